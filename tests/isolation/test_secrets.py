"""A secret of a project is read-only in its own spoke, and is nowhere else."""

from __future__ import annotations

import json

import pytest

from codebuddy_testing.deployment import ROOT, Deployment

HOLDER, FILE = "project-b", "/run/secrets/project/api-key"
CONTENT = (ROOT / "molecule/secrets/api-key").read_text()
SECRET = CONTENT.strip()

CHANGE = """
import os, pathlib
path = pathlib.Path("/run/secrets/project/api-key")
attempts = {
    "written": lambda: path.write_text("x"),
    "removed": lambda: path.unlink(),
    "moved": lambda: path.rename("/run/api-key"),
    "opened to others": lambda: path.chmod(0o444),
    "given away": lambda: os.chown(path, 65534, 65534),
    "joined by another": lambda: path.with_name("other").touch(),
}
for what, attempt in attempts.items():
    try:
        attempt()
    except OSError:
        continue
    print(what)
"""


def test_only_the_spokes_user_can_read_its_secret(fleet: Deployment) -> None:
    assert fleet.run(HOLDER, "cat", FILE).output == CONTENT
    user = fleet.inspected[HOLDER]["Config"]["User"]
    assert fleet.run(HOLDER, "stat", "-c", "%a %u:%g", FILE).output.split() == ["400", user]
    assert fleet.run(HOLDER, "stat", "-c", "%a %u:%g", FILE.rpartition("/")[0]).output.split() == ["700", user]
    assert fleet.run(HOLDER, "ls", "-A", FILE.rpartition("/")[0]).output.split() == ["api-key"]


def test_a_spoke_cannot_change_its_secret(fleet: Deployment) -> None:
    done = fleet.python(HOLDER, CHANGE)
    assert (done.code, done.output) == (0, "")
    assert (fleet.state / f"secrets/{HOLDER}/api-key").read_text() == CONTENT


def test_a_secret_is_mounted_read_only_and_only_in_its_own_spoke(fleet: Deployment) -> None:
    mounts = [(part, mount) for part, one in fleet.inspected.items() for mount in one["Mounts"]]
    ((part, mount),) = [(part, one) for part, one in mounts if one["Source"].startswith(str(fleet.state / "secrets"))]
    assert (part, mount["Source"]) == (HOLDER, str(fleet.state / "secrets" / HOLDER))
    assert (mount["Destination"], mount["RW"]) == (FILE.rpartition("/")[0], False)


@pytest.mark.parametrize("part", ["hub", "project-a", "project-c"])
def test_no_other_container_has_the_secret(fleet: Deployment, part: str) -> None:
    assert fleet.run(part, "ls", "/run/secrets").output.split() == ["codebuddy"]
    assert fleet.run(part, "sh", "-c", "find / -xdev -name api-key 2>/dev/null").output == ""


def test_the_hub_does_not_follow_a_link_to_the_secret(fleet: Deployment) -> None:
    link = fleet.path(HOLDER) / "link-to-a-secret"
    link.symlink_to(FILE)
    try:
        done = fleet.run("hub", "codebuddy", "call", "read_file", json.dumps({"path": f"{HOLDER}/{link.name}"}))
    finally:
        link.unlink()
    assert done.code == 1
    assert "outside_project" in done.output
    assert SECRET not in done.output


def test_the_engine_does_not_show_the_secret(fleet: Deployment) -> None:
    for part in fleet.inspected.values():
        assert SECRET not in str(part)
        image = fleet.engine.images.get(part["Image"])
        assert SECRET not in str(image.attrs) + str(image.history())


def test_the_secret_is_in_no_environment_and_on_no_command_line(fleet: Deployment) -> None:
    for file in ("environ", "cmdline"):
        shown = fleet.run(HOLDER, "sh", "-c", f"cat /proc/[0-9]*/{file} | tr '\\0' '\\n'").output
        assert "codebuddy" in shown
        assert SECRET not in shown


def test_the_only_file_of_the_state_with_the_secret_is_its_copy(fleet: Deployment) -> None:
    holding = [path for path in fleet.state.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holding == [fleet.state / f"secrets/{HOLDER}/api-key"]
    assert list((fleet.state / "generations").iterdir())
