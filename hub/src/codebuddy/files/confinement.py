"""Opening files of a project so that nothing in it can lead out of it.

A process in a spoke can plant and swap links in its own tree at any instant, so no check on path strings holds. The
kernel resolves every path relative to the project's directory descriptor, and refuses any step that would leave it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from codebuddy.files.paths import WorkspacePath
from codebuddy.tool import ToolError

# openat2(2), linux/openat2.h. The number is the same on every architecture (unified since 5.x).
_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_OpenHow), ctypes.c_size_t]


def openat2_beneath(directory: int, path: str, flags: int) -> int:
    """Open an existing path such that no step of its resolution, through ``..`` or a link, leaves the directory.

    Args:
        directory: descriptor of the directory that confines.
        path: relative path, as `os.fsdecode` gives it.
        flags: as for `os.open`; ``O_CREAT`` is not supported.

    Returns:
        A new descriptor, which the caller closes.

    Raises:
        OSError: ``EXDEV`` when the path would leave, ``EAGAIN`` when a rename raced with ``..`` (try again), and as
            open(2).
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    name = os.fsencode(path)
    while True:
        descriptor = int(_syscall(_OPENAT2, directory, name, ctypes.byref(how), ctypes.sizeof(how)))
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), path)


@lru_cache(maxsize=1)
def openat2_works() -> bool:
    """Say whether kernel (5.6 or newer) and seccomp profile allow openat2."""
    try:
        os.close(openat2_beneath(_AT_FDCWD, ".", os.O_PATH | os.O_DIRECTORY))
    except OSError as error:
        return error.errno not in (errno.ENOSYS, errno.EPERM, errno.EINVAL)
    return True


def rename_new(source: int, name: str, target: int, new_name: str) -> None:
    """Rename, within a directory or between two, but never over something that exists.

    Raises:
        OSError: ``EEXIST`` when the new name is taken; ``EINVAL`` or ``ENOSYS`` when the file system cannot do it.
    """
    _renameat2(source, name, target, new_name, _RENAME_NOREPLACE)


def exchange(one: int, name: str, other: int, other_name: str) -> None:
    """Swap what two names stand for, in one step.

    Raises:
        OSError: ``ENOENT`` when one of them is not there; ``EINVAL`` or ``ENOSYS`` when the file system cannot do it.
    """
    _renameat2(one, name, other, other_name, _RENAME_EXCHANGE)


def _renameat2(source: int, name: str, target: int, new_name: str, flags: int) -> None:
    try:
        renameat2 = _libc.renameat2  # glibc 2.28 and newer; musl has none
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if renameat2(source, os.fsencode(name), target, os.fsencode(new_name), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new_name)


_LINK_OUT = (
    "outside_project",
    "The path leads through a link that leaves the project; "
    "only relative links that stay inside are followed. Name the file itself.",
)
_FULL = ("disk_full", "There is no room left for the file (disk, quota or size limit); the old content is untouched.")
_FORBIDDEN = ("permission_denied", "The hub's user may not do this; check the owner and mode of the path.")

_BY_ERRNO = {
    errno.ENOENT: ("not_found", "There is nothing at this path; list its directory or use find_files."),
    errno.EXDEV: _LINK_OUT,
    errno.ELOOP: ("too_many_links", "The path leads through a link that cannot be followed, or in a circle."),
    errno.ENOTDIR: ("not_a_directory", "A part of the path that should be a directory is not one."),
    errno.EISDIR: ("is_a_directory", "This is a directory; give the path of a file."),
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.ENAMETOOLONG: ("name_too_long", "A name in the path, or the path itself, is too long for the file system."),
    errno.EROFS: ("read_only", "This part of the project is mounted read-only."),
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.ENXIO: ("not_a_file", "This is a socket or a device, not a regular file."),
    errno.ENODEV: ("not_a_file", "This is a device, not a regular file."),
    errno.EINVAL: ("invalid_path", "The file system does not accept this name."),
    errno.EILSEQ: ("invalid_path", "The file system does not accept this name."),
    errno.EAGAIN: ("busy", "Another process holds this file or keeps moving it; try again."),
    errno.EBUSY: ("busy", "Another process or mount holds this path; try again."),
    errno.ETXTBSY: ("busy", "The file is a program that is running; stop it and try again."),
    errno.EMFILE: ("busy", "The hub has too many files open; try again."),
    errno.ENFILE: ("busy", "The machine has too many files open; try again."),
}


def as_tool_error(error: OSError, path: WorkspacePath) -> ToolError:
    """Say what an operating system error means for the caller."""
    number = error.errno or 0
    unknown = ("io_error", f"The operating system refused: {error.strerror or error} ({errno.errorcode.get(number)}).")
    code, message = _BY_ERRNO.get(number, unknown)
    return ToolError(code, message, str(path))


class about:  # noqa: N801  reads as what it is in a with statement; a class, for it is on the path of every call
    """Turn what goes wrong inside into a ToolError that names the path."""

    __slots__ = ("_path",)

    def __init__(self, path: WorkspacePath) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError):
            raise as_tool_error(error, self._path) from error
        if isinstance(error, ToolError):
            error.path = error.path or str(self._path)


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


class Workspaces:
    """Gives each project's root, opened when first asked for and again when another directory was mounted in its place.

    Args:
        roots: project id → path of its root directory.
        opener: how paths are resolved; the default is openat2 where there is one.
    """

    def __init__(self, roots: Mapping[str, str | Path], opener: Opener | None = None) -> None:
        self._paths = {project: os.fspath(path) for project, path in roots.items()}
        self._opener = opener
        self._open: dict[str, ProjectRoot] = {}
        self._guard = threading.Lock()

    @property
    def projects(self) -> list[str]:
        """The ids, sorted."""
        return sorted(self._paths)

    def root(self, project: str) -> ProjectRoot:
        """Give a project's root; safe to use until the last reference is dropped, from any thread.

        Raises:
            ToolError: ``unknown_project``; ``project_unavailable`` when its directory is not there.
        """
        path = self._path(project)
        try:
            status = os.stat(path)
            with self._guard:
                root = self._open.get(project)
                if root is None or root.identity != (status.st_dev, status.st_ino):
                    root = self._open[project] = ProjectRoot(project, path, self._opener)
        except OSError as error:
            raise _unavailable(project, error) from error
        return root

    def identity(self, project: str) -> str:
        """Give ``st_dev:st_ino`` of the directory that is mounted now; a spoke that sees another is on a stale mount.

        Raises:
            ToolError: as `root`.
        """
        device, inode = self.root(project).identity
        return f"{device}:{inode}"

    def _path(self, project: str) -> str:
        try:
            return self._paths[project]
        except KeyError:
            known = ", ".join(self.projects) or "none"
            raise ToolError("unknown_project", f"There is no project {project!r}; there are: {known}.") from None


def _unavailable(project: str, error: OSError) -> ToolError:
    return ToolError(
        "project_unavailable",
        f"The directory of project {project!r} cannot be opened in the hub ({error.strerror}); "
        "check its mount and deploy again.",
        project,
    )
