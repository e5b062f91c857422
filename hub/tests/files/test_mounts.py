"""What is mounted at a directory, with real mounts in a mount namespace of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import codebuddy
from codebuddy.files import mounts as module
from codebuddy.files.confinement import Workspaces
from codebuddy.files.mounts import Expectation, Mount, mount_of, mounts
from codebuddy.tool import ToolError


def in_namespace(directory: Path, program: str) -> list[str]:
    """Run a program, with the directory ``here``, where what it mounts is seen by nobody else; return its lines."""
    own = [] if os.getuid() == 0 else ["--map-root-user"]
    head = (
        "import os, subprocess, sys; from pathlib import Path\n"
        "from codebuddy.files.confinement import Workspaces\n"
        "from codebuddy.files.mounts import *\n"
        "from codebuddy.tool import ToolError\n"
        "here = Path(sys.argv[1])\n"
        "def mount(): subprocess.run(['mount', '-t', 'tmpfs', 'none', here], check=True)\n"
        "def unmount(): subprocess.run(['umount', '--lazy', here], check=True)\n"
    )
    argv = ["unshare", "--mount", *own, sys.executable, "-c", head + program, str(directory)]
    found_at = {**os.environ, "PYTHONPATH": str(Path(codebuddy.__file__).parents[1])}
    done = subprocess.run(argv, env=found_at, capture_output=True, text=True, timeout=60, check=False)
    if "unshare failed" in done.stderr:
        pytest.skip("this machine allows no mount namespaces")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def opened(directory: Path) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY)


def test_the_mount_of_a_directory_is_found_by_its_number(opened: int, directory: Path) -> None:
    found = mount_of(opened)
    assert found is not None
    stated = ["stat", "--file-system", "--format=%T", str(directory)]
    assert subprocess.run(stated, capture_output=True, text=True, check=True).stdout.startswith(found.type[:3])
    assert str(directory).startswith(found.point)


def test_optional_fields_and_escapes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mountinfo").write_text(
        "36 35 98:0 / / rw shared:1 master:2 - ext4 /dev/root rw\n"
        "40 36 0:45 /in\\040it /home/me/my\\040disk rw,nosuid - fuse.gocryptfs /a\\040b rw,user_id=1000\n"
    )
    monkeypatch.setattr(module, "MOUNTINFO", str(tmp_path / "mountinfo"))
    root, disk = mounts()
    assert (root, root.is_shared) == (Mount("36", "/", "ext4", "/"), False)
    assert (disk, disk.is_shared) == (Mount("40", "/home/me/my disk", "fuse.gocryptfs", "/in it"), True)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "9p", "virtiofs", "vboxsf", "prl_fs", "fuse", "fuse.sshfs"])
def test_file_systems_that_others_change_are_known(kind: str) -> None:
    assert Mount("1", "/", kind).is_shared


@pytest.mark.parametrize(
    ("found", "expected", "fits"),
    [
        ("nfs4", "nfs4", True),
        ("nfs4", "nfs", False),
        ("fuse.sshfs", "fuse", True),
        ("fuseblk", "fuse", False),
        ("fuse.sshfs", "fuse.gocryptfs", False),
    ],
)
def test_a_type_stands_for_its_subtypes(
    found: str, expected: str, fits: bool, opened: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "mount_of", lambda _descriptor: Mount("1", "/", found))
    instead = f"a file system of the type {found}"
    assert Expectation(type=expected).unmet(opened) == (None if fits else instead)


def test_a_marker_is_looked_for_at_each_question(directory: Path) -> None:
    workspaces = Workspaces({"p": directory}, expected={"p": Expectation(marker=".disk")})
    with pytest.raises(ToolError, match=r"it should be a directory with \.disk in it, and is a directory without"):
        workspaces.root("p")
    (directory / ".disk").touch()
    assert workspaces.root("p")
    (directory / ".disk").unlink()
    with pytest.raises(ToolError) as refused:
        workspaces.root("p")
    assert (refused.value.code, refused.value.path) == ("project_unavailable", "p")


def test_a_directory_that_was_deleted_while_it_was_mounted_is_told(directory: Path) -> None:
    (directory / "project").mkdir()
    (directory / "seen").mkdir()
    program = """
subprocess.run(['mount', '--bind', here / 'project', here / 'seen'], check=True)
workspaces = Workspaces({'p': here / 'seen'})
print(workspaces.root('p').project)
(here / 'project').rmdir()
(here / 'project').mkdir()
try:
    workspaces.root('p')
except ToolError as error:
    print(error.code, error.message)
"""
    before, after = in_namespace(directory, program)
    assert before == "p"
    assert after.startswith("project_unavailable The directory of project 'p' was deleted on the host, or replaced; ")


def test_a_directory_that_was_moved_while_it_was_mounted_is_told_in_the_health(directory: Path) -> None:
    (directory / "project").mkdir()
    (directory / "seen").mkdir()
    program = """
subprocess.run(['mount', '--bind', here / 'project', here / 'seen'], check=True)
workspaces = Workspaces({'p': here / 'seen'})
print(workspaces.identity('p') == workspaces.identity('p'))
(here / 'project').rename(here / 'moved')
try:
    workspaces.identity('p')
except ToolError as error:
    print(error.code, error.message)
(here / 'moved').rename(here / 'project')
print(workspaces.identity('p') != '')
"""
    before, moved, back = in_namespace(directory, program)
    assert moved.startswith(
        "project_unavailable The directory of project 'p' was moved on the host, or replaced, after"
    )
    assert (before, back) == ("True", "True")


def test_what_is_mounted_later_or_lost_is_noticed(directory: Path) -> None:
    program = """
subprocess.run(['mount', '-t', 'ramfs', 'none', here], check=True)
here = here / 'at'
here.mkdir()
workspaces = Workspaces({'p': here}, expected={'p': Expectation(type='tmpfs')})
def ask():
    try:
        print(workspaces.root('p').project)
    except ToolError as error:
        print(error.code, error.message)
ask(); mount(); ask(); unmount(); ask()
"""
    before, mounted, lost = in_namespace(directory, program)
    assert before == lost
    assert before.startswith(
        "project_unavailable The directory of project 'p' is not what is expected there: it should"
    )
    assert "a file system of the type tmpfs, and is a file system of the type ramfs; mount it" in before
    assert mounted == "p"
