"""Opening files of a project such that no path or link in it can lead out of the project.

A process in a spoke can create and swap links in its own tree at any moment, so checking path strings is not enough.
The kernel resolves every path relative to the descriptor of the project's directory, and refuses any step that leaves
the project.
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
from typing import Any

from codebuddy.files.mounts import Expectation, mount_of
from codebuddy.files.paths import WorkspacePath
from codebuddy.tool import ToolError

# System calls that the standard library lacks.

# openat2(2), linux/openat2.h. The number is the same on every architecture.
_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_RESOLVE_CACHED = 0x20  # Linux 5.12; an older kernel refuses it
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_SIZE_OF_HOW = ctypes.sizeof(_OpenHow)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_OpenHow), ctypes.c_size_t]


@lru_cache(maxsize=32)  # making one takes as long as opening a file
def _how(flags: int, resolve: int) -> Any:
    return ctypes.pointer(_OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | resolve))


def openat2_beneath(directory: int, path: str, flags: int, resolve: int = 0) -> int:
    """Open an existing path such that no step of its resolution, through ``..`` or a link, leaves the directory.

    The flags are those of `os.open`, without ``O_CREAT``. The caller closes the descriptor.

    Raises:
        OSError: ``EXDEV`` when the path would leave, ``EAGAIN`` when a rename raced with ``..`` (try again), and as
            open(2).
    """
    name, how = os.fsencode(path), _how(flags, resolve)
    while True:
        descriptor: int = _syscall(_OPENAT2, directory, name, how, _SIZE_OF_HOW)
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), path)


@lru_cache(maxsize=1)
def openat2_works() -> bool:
    """Say whether the kernel (5.6 or newer) and the seccomp profile allow openat2."""
    try:
        os.close(openat2_beneath(_AT_FDCWD, ".", os.O_PATH | os.O_DIRECTORY))
    except OSError as error:
        return error.errno not in (errno.ENOSYS, errno.EPERM, errno.EINVAL)
    return True


# statfs(2), linux/magic.h: ext4, xfs, btrfs, tmpfs, overlay.
_LOCAL_FILE_SYSTEMS = frozenset({0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630})


def _file_system(fd: int) -> int:
    """Return the type of the file system that an open file is on."""
    found = (ctypes.c_long * 32)()  # struct statfs has less, and begins with the type
    return found[0] & 0xFFFFFFFF if _libc.fstatfs(fd, found) == 0 else 0


def rename_no_replace(source: int, name: str, target: int, new_name: str) -> None:
    """Rename within a directory or between two, but never over something that exists.

    Raises:
        OSError: ``EEXIST`` when the new name is taken; ``EINVAL`` or ``ENOSYS`` when the file system cannot do it.
    """
    _renameat2(source, name, target, new_name, _RENAME_NOREPLACE)


def exchange(one: int, name: str, other: int, other_name: str) -> None:
    """Swap two directory entries atomically.

    Raises:
        OSError: ``ENOENT`` when one of them does not exist; ``EINVAL`` or ``ENOSYS`` when the file system cannot do it.
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


# Errors of the operating system as errors of a tool.

_LINK_OUT = (
    "outside_project",
    "The path leads through a link that leaves the project; "
    "only relative links that stay inside are followed. Name the file itself.",
)
_FULL = ("disk_full", "There is no room left for the file (disk, quota or size limit); the old content is untouched.")
_FORBIDDEN = (
    "permission_denied",
    "CodeBuddy's user may not do this; check the owner and mode of the path.",
)

_SILENT = ("io_error", "The machine or program that holds these files does not answer; try again when it does.")

_ENDED = (
    "project_unavailable",
    "The program that the files came from has ended (as gocryptfs or sshfs when it is unmounted); "
    "mount it on the host again, then run: make up.",
)

# What can become of a whole mount.
_LOST_MOUNTS = {
    errno.ENOKEY: (
        "project_unavailable",
        "The directory is encrypted, and its key is not there; unlock it on the host and try again.",
    ),
    errno.ENOTCONN: _ENDED,
    errno.ECONNABORTED: _ENDED,  # while it ends
    errno.ESTALE: (
        "io_error",
        "The machine that holds the files does not know this one any more; try again, and if that does not help, "
        "mount the share on the host again, then run: make up.",
    ),
    errno.EIO: (
        "io_error",
        "The disk, or what the files come from, fails to read or write; see the kernel's messages on the host (dmesg).",
    ),
    errno.ETIMEDOUT: _SILENT,
    errno.EHOSTDOWN: _SILENT,
    errno.EHOSTUNREACH: _SILENT,
}

_BY_ERRNO = {
    **_LOST_MOUNTS,
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
    errno.EMFILE: ("busy", "This process has too many files open; try again."),
    errno.ENFILE: ("busy", "The machine has too many files open; try again."),
}


def as_tool_error(error: OSError, path: WorkspacePath) -> ToolError:
    """Translate an error of the operating system into one that a caller can act on."""
    number = error.errno or 0
    unknown = ("io_error", f"The operating system refused: {error.strerror or error} ({errno.errorcode.get(number)}).")
    code, message = _BY_ERRNO.get(number, unknown)
    return ToolError(code, message, str(path))


class about:  # noqa: N801  reads like a word in a with statement; a class, because a generator takes longer
    """Turn an OSError inside the block into a ToolError, and have every ToolError name the path."""

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


def require_regular(status: os.stat_result) -> None:
    """Refuse everything but a regular file.

    Raises:
        ToolError: ``is_a_directory`` or ``not_a_file``.
    """
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISDIR(status.st_mode):
        raise ToolError("is_a_directory", "This is a directory; give the path of a file, or use list_directory.")
    raise ToolError("not_a_file", "This is a FIFO, socket or device; only regular files are read and written.")


# Openers: ways to resolve a path beneath a directory.

# O_NONBLOCK: opening a FIFO, a device or a leased file returns at once. O_NOCTTY: opening a terminal adopts none.
READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

Opener = Callable[[int, str, int], int]
"""Opens (directory descriptor, relative path, flags) beneath that directory."""


def default_opener() -> Opener:
    """Choose openat2, or the opener that follows no links where the kernel or seccomp profile lacks it."""
    return openat2_beneath if openat2_works() else open_without_links


def open_without_links(directory: int, path: str, flags: int) -> int:
    """Open beneath a directory without openat2: one component after the other, following no link at all.

    Without the kernel's help a link cannot be followed safely (it can be swapped between check and use), so even links
    that stay inside are refused.

    Raises:
        OSError: ``EXDEV`` for ``..`` and an absolute path, and as open(2).
        ToolError: ``link_not_followed``.
    """
    parts = path.split("/")
    if ".." in parts or path.startswith("/"):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    current = os.dup(directory)
    try:
        for number, part in enumerate(parts, 1):
            wanted = flags if number == len(parts) else os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            try:
                following = os.open(part or ".", wanted | os.O_NOFOLLOW, dir_fd=current)
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


def open_resolved(directory: int, path: str, flags: int) -> int:
    """Open beneath a directory, also through links that are absolute or leave it, if they end inside.

    Where the default opener refuses such a link, the path is resolved by name first. What comes of that is again opened
    beneath the directory, so a link that is swapped in between leads nowhere else.

    Raises:
        OSError: ``EXDEV`` when it ends outside, ``ELOOP`` for too many links, and as open(2).
    """
    opener = default_opener()
    try:
        return opener(directory, path, flags)
    except (OSError, ToolError) as error:
        if isinstance(error, OSError) and error.errno != errno.EXDEV:
            raise
        root = os.readlink(f"/proc/self/fd/{directory}")
        if _is_loop(os.path.join(root, path)):  # realpath would follow more links than the kernel does
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
        inside = os.path.relpath(os.path.realpath(os.path.join(root, path)), root)
        if inside.split("/")[0] == "..":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path) from error
        try:
            return opener(directory, inside, flags)
        except ToolError:  # a link that realpath could not resolve, or that was put there since
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None


def _is_loop(path: str) -> bool:
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _link_target(name: str, directory: int) -> str | None:
    """Return where a symbolic link points to, or None for anything else and where nothing is."""
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


# Projects.

_ATTEMPTS = 64  # against EAGAIN, which a spoke that renames in a loop can cause again and again
_MAX_LINKS = 40  # as the kernel's own limit


@dataclass(frozen=True)
class Place:
    """A directory entry: an open parent directory, and a name in it. The caller closes the directory, or uses with."""

    directory: int
    name: str

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.directory)

    def stat(self) -> os.stat_result | None:
        """Return the status of the entry itself, following no link; None if there is nothing."""
        try:
            return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self) -> int:
        """Open for reading; a link that was put here meanwhile is refused with ``ELOOP``."""
        return os.open(self.name, READ_FLAGS | os.O_NOFOLLOW, dir_fd=self.directory)


class ProjectRoot:
    """The open directory of a project; every method resolves beneath it.

    Args:
        project: id, for messages.
        directory: path of the project's root; trusted, because it comes from the inventory.
        opener: resolves paths; see `default_opener`.

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
        self.is_local = _file_system(self._fd) in _LOCAL_FILE_SYSTEMS
        self._mounted_from = self._source()

    def _source(self) -> str | None:
        try:
            mount = mount_of(self._fd)
        except OSError:
            return None
        return mount.root if mount else None

    def has_moved(self) -> bool:
        """Say whether the directory that is mounted here was moved on the host since it was opened."""
        return self._source() != self._mounted_from

    def unmet(self, expectation: Expectation) -> str | None:
        """As `Expectation.unmet`, about this directory."""
        return expectation.unmet(self._fd)

    def open(self, path: str, flags: int) -> int:
        """Open a path relative to the root; the caller closes the descriptor.

        Raises:
            OSError, ToolError: as the opener.
        """
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._opener(self._fd, path, flags)
            except BlockingIOError:
                continue
        return self._opener(self._fd, path, flags)

    @contextmanager
    def directory(self, path: WorkspacePath) -> Iterator[int]:
        """Open a directory.

        Raises:
            ToolError: ``not_found``, ``not_a_directory``, ``outside_project``, ...
        """
        with about(path):
            fd = self.open(path.relative, DIRECTORY_FLAGS)
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
            fd = self.open(path.relative, READ_FLAGS)
        try:
            with about(path):
                require_regular(os.fstat(fd))
            yield fd
        finally:
            os.close(fd)

    def read_cached(self, path: WorkspacePath, most: int) -> bytes | None:
        """Read a regular file of at most so many bytes if the kernel has its name and content in memory.

        Returns at once. None stands for all that `file` has to look at: whatever takes longer, or fails.
        """
        if self._opener is not openat2_beneath:
            return None
        try:
            fd = openat2_beneath(self._fd, path.relative, READ_FLAGS, _RESOLVE_CACHED)
        except OSError:
            return None
        try:
            buffer = bytearray(most + 1)
            size = os.preadv(fd, [buffer], 0, os.RWF_NOWAIT)  # refused by file systems of other machines and programs
            status = os.fstat(fd)
        except OSError:
            return None
        finally:
            os.close(fd)
        return bytes(buffer[:size]) if stat.S_ISREG(status.st_mode) and size == status.st_size <= most else None

    def place(self, path: WorkspacePath) -> Place:
        """Find the entry to write to: a link at the end is followed, so that its target is replaced.

        Raises:
            ToolError: ``not_found`` when the parent directory is missing, ``is_a_directory`` for the root,
                ``outside_project``.
        """
        with about(path):
            return self._find(path.relative)

    def entry(self, path: WorkspacePath) -> Place:
        """Find the entry that a path names, even if it is a link or does not exist yet; links before it are followed.

        Raises:
            ToolError: as `place`.
        """
        with about(path):
            if not path.parts:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            return Place(self.open("/".join(path.parts[:-1]) or ".", DIRECTORY_FLAGS), path.parts[-1])

    def locate(self, directory: int) -> WorkspacePath:
        """Return the path of an open directory of this project, with all links resolved."""
        here = os.readlink(f"/proc/self/fd/{directory}")
        return WorkspacePath(self.project, tuple(part for part in here[len(self._path) :].split("/") if part))

    def _find(self, where: str) -> Place:
        for _ in range(_MAX_LINKS):
            head, _, name = where.rstrip("/").rpartition("/")
            if name in ("", ".", ".."):
                os.close(self.open(where or ".", DIRECTORY_FLAGS))  # fails if it is outside
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            fd = self.open(head or ".", DIRECTORY_FLAGS)
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
            # The kernel resolves `head` again, links and all, so `..` in the target means what the link means.
            where = f"{head}/{target}" if head else target
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


class Workspaces:
    """The roots of projects, each opened on first use, and again when another directory was mounted in its place.

    Args:
        roots: project id → path of its root directory.
        opener: resolves paths; see `default_opener`.
        expected: project id → what must be mounted there; a directory that is another one is not opened.
    """

    def __init__(
        self,
        roots: Mapping[str, str | Path],
        opener: Opener | None = None,
        expected: Mapping[str, Expectation | None] | None = None,
    ) -> None:
        self._paths = {project: os.fspath(path) for project, path in roots.items()}
        self._opener = opener
        self._expected = {project: one for project, one in (expected or {}).items() if one is not None}
        self._open: dict[str, ProjectRoot] = {}
        self._guard = threading.Lock()

    @property
    def projects(self) -> list[str]:
        """The ids, sorted."""
        return sorted(self._paths)

    def read_cached(self, path: WorkspacePath, most: int) -> bytes | None:
        """As `ProjectRoot.read_cached`; also None until the project's root is known to be on a local file system."""
        root = self._open.get(path.project)
        return self.root(path.project).read_cached(path, most) if root is not None and root.is_local else None

    def root(self, project: str) -> ProjectRoot:
        """Return a project's root, which any thread may use until the last reference is dropped.

        Raises:
            ToolError: ``unknown_project``; ``project_unavailable`` when its directory is not there, or not as expected.
        """
        path = self._path(project)
        try:
            status = os.stat(path)
            with self._guard:
                root = self._open.get(project)
                if root is None or root.identity != (status.st_dev, status.st_ino):
                    root = ProjectRoot(project, path, self._opener)
                    self._require_expected(root)
                    self._open[project] = root
                elif project in self._expected and self._expected[project].marker:
                    self._require_expected(root)  # what is mounted stays, but a marker can go
        except OSError as error:
            raise _unavailable(project, error) from error
        if status.st_nlink == 0 and root.is_local:
            raise ToolError(
                "project_unavailable",
                f"The directory of project {project!r} was deleted on the host, or replaced; restore it if it is not "
                "there, then run: make up.",
                project,
            )
        return root

    def _require_expected(self, root: ProjectRoot) -> None:
        expectation = self._expected.get(root.project)
        if expectation is not None and (found := root.unmet(expectation)):
            raise ToolError(
                "project_unavailable",
                f"The directory of project {root.project!r} is not what is expected there: it should be {expectation}, "
                f"and is {found}; mount it on the host, then run: make up.",
                root.project,
            )

    def identity(self, project: str) -> str:
        """Return ``st_dev:st_ino`` of the directory mounted now; a spoke that sees another is on a stale mount.

        Raises:
            ToolError: as `root`; also ``project_unavailable`` when the directory was moved on the host since.
        """
        root = self.root(project)
        if root.has_moved():
            raise ToolError(
                "project_unavailable",
                f"The directory of project {project!r} was moved on the host, or replaced, after it was mounted; "
                "run: make up.",
                project,
            )
        device, inode = root.identity
        return f"{device}:{inode}"

    def _path(self, project: str) -> str:
        try:
            return self._paths[project]
        except KeyError:
            known = ", ".join(self.projects) or "none"
            raise ToolError("unknown_project", f"There is no project {project!r}; there are: {known}.") from None


def _unavailable(project: str, error: OSError) -> ToolError:
    lost = _LOST_MOUNTS.get(error.errno or 0)
    advice = f". {lost[1]}" if lost else "; check its mount and deploy again."
    message = f"The directory of project {project!r} cannot be opened ({error.strerror}){advice}"
    return ToolError("project_unavailable", message, project)
