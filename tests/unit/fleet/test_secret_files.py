"""Which files can be secrets, and which containers mount them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.codebuddy_fleet.declaration import parse_fleet
from ansible.module_utils.codebuddy_fleet.host_facts import HostFacts, read_host_facts
from ansible.module_utils.codebuddy_fleet.plan import Plan, spec_hash
from ansible.module_utils.codebuddy_fleet.planner import render
from ansible.module_utils.codebuddy_fleet.project_paths import ProjectPath
from ansible.module_utils.codebuddy_fleet.secret_files import secret_problems

PlanOf = Callable[[dict[str, Any]], Plan]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    return directory


def problems(tmp_path: Path, path: Path) -> list[str]:
    declared = [{"id": "api", "secrets": {"key": str(path)}}, {"id": "web"}]
    found: list[str] = secret_problems(declared, [ProjectPath("web", tmp_path / "project")], tmp_path / "state")
    return found


def written(path: Path, content: bytes = b"secret") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


@contextmanager
def nobody() -> Iterator[None]:
    """Run as another user, because root can read every file."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_readable_file_is_accepted(tmp_path: Path) -> None:
    file = written(tmp_path / "key")
    (tmp_path / "link").symlink_to(file)
    assert problems(tmp_path, file) == problems(tmp_path, tmp_path / "link") == []


def test_each_file_that_cannot_be_a_secret_is_reported_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (2**20 + 1))
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    for path, why in {
        tmp_path / "none": "cannot be read (No such file or directory): create the file or correct the path.",
        written(tmp_path / "key") / "x": "cannot be read (Not a directory): create the file or correct the path.",
        tmp_path / "loop": "cannot be read (",
        tmp_path: "is not a file: give the path of one.",
        tmp_path / "fifo": "is not a file: give the path of one.",
        tmp_path / "large": "is larger than 1 MiB: give a file that holds only the secret.",
    }.items():
        (found,) = problems(tmp_path, path)
        assert found.startswith(f"host api: the secret key, {path}, {why}")


def test_a_file_that_the_deploying_user_cannot_read_is_refused() -> None:
    with tempfile.TemporaryDirectory() as name:  # outside root's home, which others cannot enter
        directory = Path(name)
        directory.chmod(0o755)
        written(directory / "key").chmod(0)
        with nobody():
            (found,) = problems(directory, directory / "key")
    assert "cannot be read by you: change its mode, or deploy as a user who can" in found


def test_a_file_in_any_project_is_refused_also_through_links(tmp_path: Path, project: Path) -> None:
    inside = written(project / "key")
    (tmp_path / "to-file").symlink_to(inside)
    (tmp_path / "to-directory").symlink_to("project")
    for path in (inside, tmp_path / "to-file", tmp_path / "to-directory/key", project / "not-there"):
        (found,) = problems(tmp_path, path)
        assert found.endswith("lies in the project web, which containers use: move it out of there.")
    (found,) = problems(tmp_path, written(tmp_path / "state/key"))
    assert found.endswith("lies in codebuddy_state_dir, which containers use: move it out of there.")


def test_a_path_that_a_spoke_could_redirect_is_refused_even_if_the_file_is_elsewhere(
    tmp_path: Path, project: Path
) -> None:
    elsewhere = written(tmp_path / "elsewhere/key")
    (project / "sub").mkdir()
    (project / "link").symlink_to(elsewhere)
    (project / "directory").symlink_to(elsewhere.parent)
    (tmp_path / "chain").symlink_to("project/link")
    (tmp_path / "chain-of-directories").symlink_to(project / "directory")
    for path in (
        project / "link",
        project / "directory/key",
        tmp_path / "chain",
        tmp_path / "chain-of-directories/key",
        project / "sub/../../elsewhere/key",  # with a link in place of sub, this would be another file
    ):
        assert path.read_bytes() == b"secret"
        (found,) = problems(tmp_path, path)
        assert "is reached through the project web, which containers use and could make lead to any file" in found


def test_links_outside_of_projects_are_followed(tmp_path: Path, project: Path) -> None:
    elsewhere = written(tmp_path / "elsewhere/key")
    written(tmp_path / "project-of-old/key")
    (tmp_path / "one").symlink_to("elsewhere/../elsewhere")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    for path in (tmp_path / "two/key", elsewhere.parent / "../project-of-old/key", tmp_path / "./elsewhere//key"):
        assert problems(tmp_path, path) == []


def test_only_its_own_spoke_mounts_a_secret_and_only_read_only(declared: dict[str, Any], plan_of: PlanOf) -> None:
    before = plan_of(declared)
    declared["projects"][0]["secrets"] = {"key": "/home/me/key"}
    after = plan_of(declared)
    changed = [name for name, one in after.containers.items() if spec_hash(before.containers[name]) != spec_hash(one)]
    assert changed == ["unitfleet-api"]
    mount = {"type": "bind", "source": "/srv/state/secrets/api", "read_only": True}
    assert after.containers["unitfleet-api"].mounts["/run/secrets/project"] == mount
    assert "/home/me/key" not in json.dumps(after.as_dict())


def test_a_recreated_directory_of_secrets_recreates_its_spoke(declared: dict[str, Any], tmp_path: Path) -> None:
    declared["projects"][0]["secrets"] = {"key": "/home/me/key"}
    fleet = parse_fleet(declared["fleet"], declared["projects"])
    one, other = (render(fleet, HostFacts(secrets={"api": inode})).containers["unitfleet-api"] for inode in (1, 2))
    assert one.labels["codebuddy.secrets"] == "1"
    assert spec_hash(one) != spec_hash(other)
    declared["fleet"]["state_dir"] = str(tmp_path)
    assert read_host_facts(parse_fleet(declared["fleet"], declared["projects"])).secrets == {}
    (tmp_path / "secrets/api").mkdir(parents=True)
    inode = (tmp_path / "secrets/api").stat().st_ino
    assert read_host_facts(parse_fleet(declared["fleet"], declared["projects"])).secrets == {"api": inode}
