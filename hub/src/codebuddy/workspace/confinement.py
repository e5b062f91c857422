"""Opening files of a project so that nothing in it can lead out of it.

A process in a spoke can plant and swap links in its own tree at any instant, so no check on path strings holds. The
kernel resolves every path relative to the project's directory descriptor, and refuses any step that would leave it.
"""

from __future__ import annotations

import errno
import os
import stat
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from codebuddy.errors import ToolError
from codebuddy.workspace.failures import about
from codebuddy.workspace.paths import WorkspacePath
from codebuddy.workspace.syscalls import openat2_beneath, openat2_works

__all__ = [
    "DIRECTORY_FLAGS",
    "READ_FLAGS",
    "Opener",
    "Place",
    "ProjectRoot",
    "default_opener",
    "open_without_links",
    "require_regular",
]

# O_NONBLOCK: opening a FIFO, a device or a leased file returns at once. O_NOCTTY: opening a terminal adopts none.
READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_ATTEMPTS = 64  # against EAGAIN, which a spoke that renames in a loop can cause again and again
_MAX_LINKS = 40  # as the kernel's own limit

Opener = Callable[[int, str, int], int]
"""Opens (directory descriptor, relative path, flags) beneath that directory."""


@dataclass(frozen=True)
class Place:
    """Where a file is or will be: an open parent directory and a name in it that is not a link."""

    directory: int
    name: str

    def stat(self) -> os.stat_result | None:
        """Look at the name itself, following nothing; None if there is nothing."""
        try:
            return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self) -> int:
        """Open for reading; a link that was put here meanwhile is refused with ``ELOOP``."""
        return os.open(self.name, READ_FLAGS | os.O_NOFOLLOW, dir_fd=self.directory)


class ProjectRoot:
    """A project's directory, held open; every method resolves beneath it.

    Args:
        project: id, for messages.
        directory: path of the project's root; trusted, because it comes from the declaration.
        opener: resolves paths; the default is openat2 where there is one.

    Raises:
        OSError: the directory cannot be opened.
    """

    def __init__(self, project: str, directory: str, opener: Opener | None = None) -> None:
        self.project = project
        self._opener = opener or default_opener()
        self._fd = os.open(directory, DIRECTORY_FLAGS)
        # Threads that still use this root keep it alive, and with it the descriptor.
        weakref.finalize(self, os.close, self._fd)
        self._path = os.readlink(f"/proc/self/fd/{self._fd}")
        status = os.fstat(self._fd)
        self.identity = (status.st_dev, status.st_ino)

    @contextmanager
    def directory(self, path: WorkspacePath) -> Iterator[int]:
        """Open a directory.

        Raises:
            ToolError: ``not_found``, ``not_a_directory``, ``outside_project``, ...
        """
        with about(path):
            fd = self._open(path.relative, DIRECTORY_FLAGS)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def file(self, path: WorkspacePath) -> Iterator[int]:
        """Open a regular file for reading; links that stay inside are followed.

        Raises:
            ToolError: ``not_found``, ``is_a_directory``, ``not_a_file``, ``outside_project``, ...
        """
        with about(path):
            fd = self._open(path.relative, READ_FLAGS)
        try:
            with about(path):
                require_regular(os.fstat(fd))
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def place(self, path: WorkspacePath) -> Iterator[Place]:
        """Find where a file is to be written: a link at the end is followed, so that its target is what gets replaced.

        Raises:
            ToolError: ``not_found`` when the parent directory is missing, ``is_a_directory`` for the root,
                ``outside_project``.
        """
        place = self.open_place(path)
        try:
            yield place
        finally:
            os.close(place.directory)

    def open_place(self, path: WorkspacePath) -> Place:
        """As `place`, for one who closes the directory himself."""
        with about(path):
            return self._find(path.relative)

    @contextmanager
    def entry(self, path: WorkspacePath) -> Iterator[Place]:
        """Find the name itself that a path ends in, be it a link or nothing yet; links before it are followed.

        Raises:
            ToolError: as `place`.
        """
        place = self.open_entry(path)
        try:
            yield place
        finally:
            os.close(place.directory)

    def open_entry(self, path: WorkspacePath) -> Place:
        """As `entry`, for one who closes the directory himself."""
        with about(path):
            if not path.parts:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            return Place(self._open("/".join(path.parts[:-1]) or ".", DIRECTORY_FLAGS), path.parts[-1])

    def locate(self, directory: int) -> WorkspacePath:
        """Give the path of an open directory of this project, without any link in it."""
        here = os.readlink(f"/proc/self/fd/{directory}")
        return WorkspacePath(self.project, tuple(part for part in here[len(self._path) :].split("/") if part))

    def _find(self, where: str) -> Place:
        for _ in range(_MAX_LINKS):
            head, _, name = where.rstrip("/").rpartition("/")
            if name in ("", ".", ".."):
                os.close(self._open(where or ".", DIRECTORY_FLAGS))  # says so if it is outside
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            fd = self._open(head or ".", DIRECTORY_FLAGS)
            try:
                target = _link_target(name, fd)
            except BaseException:
                os.close(fd)
                raise
            if target is None:
                return Place(fd, name)
            os.close(fd)
            if self._opener is open_without_links:
                raise _links_not_followed()
            if target.startswith("/"):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            # `head` is resolved by the kernel again, links and all, so `..` in the target means what the link means.
            where = f"{head}/{target}" if head else target
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _open(self, path: str, flags: int) -> int:
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._opener(self._fd, path, flags)
            except BlockingIOError:
                continue
        return self._opener(self._fd, path, flags)


def default_opener() -> Opener:
    """Choose openat2, or the walk that follows no links where kernel or seccomp profile lack it."""
    return openat2_beneath if openat2_works() else open_without_links


def open_without_links(directory: int, path: str, flags: int) -> int:
    """Open beneath a directory without openat2: one component after the other, following no link at all.

    Without the kernel's help a link cannot be followed safely (it can be swapped between check and use), so even those
    that stay inside are refused.

    Raises:
        OSError: as open(2).
        ToolError: ``link_not_followed``.
    """
    parts = path.split("/")
    current = os.dup(directory)
    try:
        for number, part in enumerate(parts, 1):
            wanted = flags if number == len(parts) else os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            try:
                following = os.open(part, wanted | os.O_NOFOLLOW, dir_fd=current)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR) and _link_target(part, current) is not None:
                    raise _links_not_followed() from error
                raise
            os.close(current)
            current = following
    except BaseException:
        os.close(current)
        raise
    return current


def require_regular(status: os.stat_result) -> None:
    """Refuse everything that is not a regular file.

    Raises:
        ToolError: ``is_a_directory`` or ``not_a_file``.
    """
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISDIR(status.st_mode):
        raise ToolError("is_a_directory", "This is a directory; give the path of a file, or use list_directory.")
    raise ToolError("not_a_file", "This is a FIFO, socket or device; only regular files are read and written.")


def _link_target(name: str, directory: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:  # readlink(2): not a symbolic link
            return None
        raise


def _links_not_followed() -> ToolError:
    return ToolError(
        "link_not_followed",
        "The path leads through a symbolic link, and this kernel or its seccomp profile has no openat2, without which "
        "links cannot be followed safely; name the file itself.",
    )
