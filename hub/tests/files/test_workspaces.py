"""The fleet's projects: opened when needed, and again when another directory takes the place."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

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


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file system read at once what it has in memory; tmpfs, where the tests' files are, cannot."""
    preadv = os.preadv

    def without_flags(fd: int, buffers: list[bytearray], offset: int, flags: int) -> int:
        assert flags == os.RWF_NOWAIT
        return preadv(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", without_flags)


def cached(workspaces: Workspaces, name: str, most: int = 100) -> bytes | None:
    return workspaces.read_cached(WorkspacePath("p", tuple(name.split("/"))), most)


@pytest.mark.usefixtures("in_memory")
def test_a_small_file_in_memory_is_read_at_once(directory: Path) -> None:
    (directory / "sub").mkdir()
    (directory / "sub/f").write_text("grüße")
    (directory / "full").write_bytes(b"x" * 100)
    (directory / "inside").symlink_to("sub/f")
    workspaces = Workspaces({"p": directory})
    assert cached(workspaces, "sub/f") is None  # nobody has looked yet whether it is on a local file system
    workspaces.root("p")
    assert cached(workspaces, "sub/f") == cached(workspaces, "inside") == "grüße".encode()
    assert cached(workspaces, "full") == b"x" * 100


@pytest.mark.usefixtures("in_memory")
def test_what_is_not_small_or_no_file_inside_is_left_to_the_thread(directory: Path) -> None:
    (directory.parent / "secret").write_text("secret")
    (directory / "out").symlink_to("../secret")
    (directory / "long").write_bytes(b"x" * 101)
    (directory / "sub").mkdir()
    os.mkfifo(directory / "fifo")
    workspaces = Workspaces({"p": directory})
    workspaces.root("p")
    assert [cached(workspaces, name) for name in ("out", "long", "sub", "fifo", "missing")] == [None] * 5


@pytest.mark.usefixtures("in_memory")
def test_a_file_in_memory_is_that_of_the_directory_which_is_there_now(directory: Path) -> None:
    workspaces = Workspaces({"p": directory})
    (directory / "f").write_text("old")
    workspaces.root("p")
    directory.rename(directory.with_name("moved"))
    directory.mkdir()
    (directory / "f").write_text("new")
    os.stat(directory / "f")  # now the kernel has its name in memory
    assert cached(workspaces, "f") == b"new"


@pytest.mark.usefixtures("in_memory")
def test_nothing_is_read_at_once_on_a_file_system_of_another_machine(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codebuddy.files.confinement._file_system", lambda _fd: 0x6969)  # NFS
    (directory / "f").write_text("x")
    workspaces = Workspaces({"p": directory})
    workspaces.root("p")
    assert cached(workspaces, "f") is None


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
        (errno.ESTALE, "io_error"),
        (errno.ETIMEDOUT, "io_error"),
        (errno.ENOKEY, "project_unavailable"),
        (errno.ENOTCONN, "project_unavailable"),
        (errno.ECONNABORTED, "project_unavailable"),
    ],
)
def test_every_refusal_of_the_system_becomes_a_sentence_about_the_path(number: int, code: str) -> None:
    with pytest.raises(ToolError) as refused, about(FILE):
        raise OSError(number, os.strerror(number))
    assert (refused.value.code, refused.value.path) == (code, "p/f")
    assert refused.value.message.endswith(".")
    assert "The operating system refused" not in refused.value.message


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOTCONN, "mount it on the host again, then run: make up."),
        (errno.ESTALE, "mount the share on the host again, then run: make up."),
        (errno.ENOKEY, "unlock it on the host and try again."),
        (errno.EIO, "see the kernel's messages on the host (dmesg)."),
    ],
)
def test_of_a_mount_that_is_lost_it_is_said_what_to_do(
    number: int, advice: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspaces = Workspaces({"p": directory})
    workspaces.root("p")
    stat = os.stat

    def lost(path: Any, **options: Any) -> os.stat_result:
        if path == str(directory):
            raise OSError(number, os.strerror(number), path)
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", lost)
    with pytest.raises(ToolError) as refused:
        workspaces.root("p")
    assert refused.value.code == "project_unavailable"
    assert f"cannot be opened ({os.strerror(number)}). " in refused.value.message
    assert refused.value.message.endswith(advice)
