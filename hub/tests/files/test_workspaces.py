"""The fleet's projects: opened when needed, and again when another directory takes the place."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from codebuddy.files.confinement import Workspaces, about
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import read_bytes
from codebuddy.tool import ToolError

FILE = WorkspacePath("p", ("f",))


def test_a_directory_that_was_replaced_is_opened_again_while_old_users_go_on(directory: Path) -> None:
    workspaces = Workspaces({"p": directory})
    (directory / "f").write_text("old")
    old = workspaces.root("p")
    identity = workspaces.identity("p")
    directory.rename(directory.with_name("moved"))
    directory.mkdir()
    (directory / "f").write_text("new")
    assert read_bytes(workspaces.root("p"), FILE) == b"new"
    assert read_bytes(old, FILE) == b"old"
    assert workspaces.identity("p") != identity


def test_the_identity_is_device_and_inode(directory: Path) -> None:
    status = directory.stat()
    assert Workspaces({"p": str(directory)}).identity("p") == f"{status.st_dev}:{status.st_ino}"


def test_the_same_root_is_kept(directory: Path) -> None:
    workspaces = Workspaces({"p": directory})
    assert workspaces.root("p") is workspaces.root("p")


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_project_without_a_directory_is_unavailable(directory: Path, kind: str) -> None:
    path = directory / "x"
    if kind == "file":
        path.write_text("")
    with pytest.raises(ToolError) as refused:
        Workspaces({"p": path}).root("p")
    assert refused.value.code == "project_unavailable"


def test_an_unknown_project_is_refused(directory: Path) -> None:
    workspaces = Workspaces({"p": directory, "b": directory})
    with pytest.raises(ToolError) as refused:
        workspaces.root("q")
    assert refused.value.code == "unknown_project"
    assert workspaces.projects == ["b", "p"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EACCES, "permission_denied"),
        (errno.EPERM, "permission_denied"),
        (errno.EROFS, "read_only"),
        (errno.ENOSPC, "disk_full"),
        (errno.EXDEV, "outside_project"),
        (errno.EMFILE, "busy"),
        (errno.EIO, "io_error"),
    ],
)
def test_every_refusal_of_the_system_becomes_a_sentence_about_the_path(number: int, code: str) -> None:
    with pytest.raises(ToolError) as refused, about(FILE):
        raise OSError(number, os.strerror(number))
    assert (refused.value.code, refused.value.path) == (code, "p/f")
    assert refused.value.message.endswith(".")
