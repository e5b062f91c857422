"""No project shares, contains or lies in the directory of another project, of the state or of the system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible.module_utils.codebuddy_fleet import project_paths
from ansible.module_utils.codebuddy_fleet.mounts import Expectation, Mount
from ansible.module_utils.codebuddy_fleet.project_paths import ProjectPath, mount_warnings, path_problems
from ansible.module_utils.codebuddy_fleet.validation import declaration_problems


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def problems(home: Path, *paths: ProjectPath, uid: int | None = None) -> list[str]:
    found: list[str] = path_problems(paths, home / ".local/state/codebuddy", os.getuid() if uid is None else uid, home)
    return found


def made(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_existing_and_missing_directories_below_home_are_accepted(home: Path) -> None:
    assert (
        problems(home, ProjectPath("api", made(home / "api")), ProjectPath("web", home / "my-projects/deep/web")) == []
    )


@pytest.mark.parametrize(
    ("expect", "instead"),
    [
        (Expectation(type="fuse.gocryptfs"), "it is a file system of the type "),
        (Expectation(marker=".disk"), "it is a directory without .disk. Mount it, or correct expect"),
    ],
)
def test_what_is_not_mounted_is_refused(expect: Expectation, instead: str, home: Path) -> None:
    (problem,) = problems(home, ProjectPath("api", made(home / "api"), expect=expect))
    assert problem.startswith(f"host api: project_path {home}/api is not what is expected there (expect: {expect}): ")
    assert instead in problem
    assert problem.endswith("until then nothing is made and nothing is put there.")
    (problem,) = problems(home, ProjectPath("api", home / "missing", expect=expect))
    assert "it is nothing. Mount it" in problem
    assert not (home / "missing").exists()


def test_what_is_mounted_is_accepted(home: Path) -> None:
    (made(home / "api") / ".disk").touch()
    assert problems(home, ProjectPath("api", home / "api", expect=Expectation(marker=".disk"))) == []


def test_validation_looks_at_what_is_declared(tmp_path: Path) -> None:
    project = {"id": "api", "path": str(tmp_path), "profile": "python", "expect": "fuse.gocryptfs"}
    found = declaration_problems({"state_dir": "/srv/state"}, [project], ["python"], {})
    assert any("expect: a file system of the type fuse.gocryptfs" in problem for problem in found)


def test_of_a_file_system_that_keeps_no_inodes_it_is_warned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directories = {"api": str(tmp_path), "new": str(tmp_path / "missing")}
    assert mount_warnings(directories) == []
    monkeypatch.setattr(project_paths, "mount_of", lambda _descriptor: Mount("1", "/", "fuse.sshfs"))
    (warning,) = mount_warnings(directories)
    assert warning.startswith(
        f"host api: {tmp_path} is on a file system of the type fuse.sshfs, whose files do not keep"
    )


def test_elsewhere_only_the_last_directory_may_be_missing(tmp_path: Path, home: Path) -> None:
    assert problems(home, ProjectPath("api", tmp_path / "api")) == []
    (problem,) = problems(home, ProjectPath("api", tmp_path / "missing/api"))
    assert problem.startswith("host api: ")
    assert f"{tmp_path}/missing does not exist" in problem


def test_a_file_in_place_of_the_directory_or_its_parent_is_refused(home: Path) -> None:
    (home / "file").write_text("")
    assert "is not a directory" in problems(home, ProjectPath("api", home / "file"))[0]
    assert "file is not a directory" in problems(home, ProjectPath("api", home / "file/api"))[0]


def test_two_projects_in_one_directory_are_refused_also_through_a_link(home: Path) -> None:
    made(home / "api")
    (home / "link").symlink_to(home / "api")
    (problem,) = problems(home, ProjectPath("api", home / "api"), ProjectPath("web", home / "link"))
    assert problem.startswith("host web: ")
    assert "is the directory of api too" in problem


def test_a_project_inside_another_is_refused_in_either_order(home: Path) -> None:
    outer, inner = ProjectPath("outer", made(home / "outer")), ProjectPath("inner", made(home / "outer/inner"))
    for pair in ((outer, inner), (inner, outer)):
        (problem,) = problems(home, *pair)
        assert problem.startswith("host inner: ")
        assert "inside the one of outer" in problem


def test_a_link_inside_another_project_is_refused_because_that_project_could_redirect_it(home: Path) -> None:
    made(home / "elsewhere")
    (made(home / "outer") / "link").symlink_to(home / "elsewhere")
    outer, link = ProjectPath("outer", home / "outer"), ProjectPath("web", home / "outer/link")
    for pair in ((outer, link), (link, outer)):
        assert "inside the one of outer" in problems(home, *pair)[0]


def test_a_common_prefix_does_not_make_a_path_lie_inside_another(home: Path) -> None:
    assert problems(home, ProjectPath("p1", made(home / "p1")), ProjectPath("p1-evil", made(home / "p1-evil"))) == []


def test_no_project_may_contain_or_lie_in_the_state_directory(home: Path) -> None:
    for path in (home, home / ".local/state/codebuddy/tokens"):
        assert any("could read the keys" in problem for problem in problems(home, ProjectPath("api", path)))


@pytest.mark.parametrize("path", ["/", "/etc", "/etc/ssl", "/run", "/var/run", "/proc/self", "/dev/shm", "/usr"])
def test_directories_of_the_system_are_refused(home: Path, path: str) -> None:
    assert "belongs to the system" in problems(home, ProjectPath("api", Path(path)))[0]


def test_a_dangling_link_is_refused(home: Path) -> None:
    (home / "api").symlink_to(home / "nowhere")
    assert "is a link to nothing" in problems(home, ProjectPath("api", home / "api"))[0]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make directories of others")
def test_a_directory_that_the_containers_cannot_write_is_refused_unless_allowed(home: Path) -> None:
    path = made(home / "api")
    (problem,) = problems(home, ProjectPath("api", path), uid=1000)
    assert "belongs to root" in problem
    assert "allow_root_owned" in problem
    assert problems(home, ProjectPath("api", path, allow_root_owned=True), uid=1000) == []
    os.chown(path, 1001, 1001)
    assert "belongs to user 1001" in problems(home, ProjectPath("api", path), uid=1000)[0]


def test_all_problems_are_reported_together_and_nothing_is_created(home: Path) -> None:
    found = declaration_problems(
        fleet={
            "name": "Fleet",
            "state_dir": "state",
            "uid": 0,
            "gid": 0,
            "address_pool": "10.0.0.0/29",
            "port": 70000,
            "hub": {"memory": "lots"},
        },
        projects=[{"id": "Bad", "path": str(home / "new"), "profile": "python"}, {"id": "api", "path": "/etc"}],
        profiles=["python"],
        variables={"all": ["codebuddy_prot"]},
    )
    about_the_fleet = ["fleet_name", "codebuddy_uid", "codebuddy_gid", "state_dir", "address_pool", "codebuddy_port"]
    expected = ["codebuddy_prot", *about_the_fleet, "memory 'lots'", "host Bad", "no profile", "the system"]
    assert [word for word in expected if not any(word in problem for problem in found)] == []
    assert not (home / "new").exists()
