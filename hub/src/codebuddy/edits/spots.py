"""Where a change works: a name in a directory that is held open, so that nothing that is moved or swapped meanwhile
leads it elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from codebuddy.edits.names import is_temporary
from codebuddy.edits.plan import Node
from codebuddy.files.confinement import DIRECTORY_FLAGS, READ_FLAGS, about, require_regular
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.walking import read_limited
from codebuddy.tool import ToolError

__all__ = ["MAX_EDIT_BYTES", "MAX_ENTRIES", "NOWHERE", "Found", "Spot", "look", "walk"]

_KEPT_ATTRIBUTES = ("user.", "system.posix_acl_", "security.selinux", "trusted.")
_MAX_DEPTH = 128

MAX_EDIT_BYTES = 16 * 1024 * 1024
"""So much content, old and new together, an edit may have: the hub holds it in memory, and the journal on the disk."""

MAX_ENTRIES = 2000
"""So many files and directories an edit may delete, or carry to another project, at once."""

NOWHERE = -1
"""As a descriptor: of a directory that is not there."""


@dataclass(frozen=True)
class Spot:
    """A name in an open directory; the descriptor belongs to whoever opened it.

    Args:
        path: the path to speak of it.
        directory: the directory, without any link in it.
        fd: its descriptor; `NOWHERE` while it is not there.
        name: the name there.
    """

    path: WorkspacePath
    directory: WorkspacePath
    fd: int
    name: str

    @property
    def key(self) -> tuple[int, int, str]:
        """What is the same for every path that leads here."""
        status = os.fstat(self.fd)
        return status.st_dev, status.st_ino, self.name

    def stat(self, name: str | None = None) -> os.stat_result | None:
        """Look at the name itself, or at another in the directory, following nothing; None if there is nothing."""
        if self.fd == NOWHERE:
            return None
        try:
            return os.stat(name or self.name, dir_fd=self.fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None


@dataclass(frozen=True)
class Found:
    """What is at a spot now.

    Args:
        node: all that is to be known of it, so that it can be made again.
        status: as the kernel has it.
    """

    node: Node
    status: os.stat_result


def look(
    spot: Spot, limit: int, *, content: bool = True, attributes: bool = True, name: str | None = None
) -> Found | None:
    """See what is at a spot; None if there is nothing.

    Args:
        spot: where.
        limit: bytes of content at most.
        content: read a file's content too.
        attributes: read its extended attributes too.
        name: look at this name in the directory instead.

    Raises:
        ToolError: ``too_large``; ``not_a_file`` for what is neither file nor directory nor link.
        OSError: it cannot be read.
    """
    wanted = name or spot.name
    with about(spot.path):
        status = spot.stat(wanted)
        if status is None:
            return None
        if stat.S_ISLNK(status.st_mode):
            target = os.fsencode(os.readlink(wanted, dir_fd=spot.fd))
            return Found(Node("link", target, owner=(status.st_uid, status.st_gid)), status)
        if not content and not stat.S_ISDIR(status.st_mode):
            require_regular(status)
            return Found(Node("file", mode=stat.S_IMODE(status.st_mode)), status)
        return _open_and_look(spot, wanted, status, limit, attributes=attributes)


def _open_and_look(spot: Spot, name: str, status: os.stat_result, limit: int, *, attributes: bool) -> Found:
    is_directory = stat.S_ISDIR(status.st_mode)
    if not is_directory:
        require_regular(status)
    try:
        fd = os.open(name, (DIRECTORY_FLAGS if is_directory else READ_FLAGS) | os.O_NOFOLLOW, dir_fd=spot.fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):  # something else was put here just now
            raise ToolError("conflict", "Another process keeps changing this; nothing was written.") from None
        raise
    try:
        status = os.fstat(fd)
        if not is_directory:
            require_regular(status)
        node = Node(
            "directory" if is_directory else "file",
            None if is_directory else read_limited(fd, limit),
            mode=stat.S_IMODE(status.st_mode),
            owner=(status.st_uid, status.st_gid),
            attributes=_attributes(fd) if attributes else {},
        )
        return Found(node, status)
    finally:
        os.close(fd)


def _attributes(fd: int) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(fd, name) for name in os.listxattr(fd) if name.startswith(_KEPT_ATTRIBUTES)}
    except OSError:
        return {}  # a file system without them


def walk(spot: Spot, most: int, name: str | None = None) -> Iterator[tuple[tuple[str, ...], Spot]]:
    """Give everything below a directory as (names from it down, spot), a directory before what is in it, in order.

    What has a temporary name of an edit is left out. A spot's descriptor is closed when the walk goes on.

    Raises:
        ToolError: ``too_many_entries``.
        OSError: a directory cannot be read.
    """
    count = 0

    def below(parent: int, wanted: str, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Spot]]:
        nonlocal count
        fd = os.open(wanted, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
        try:
            for child in sorted(os.listdir(fd)):
                if is_temporary(child):
                    continue
                count += 1
                if count > most or len(names) > _MAX_DEPTH:
                    raise ToolError(
                        "too_many_entries",
                        f"The directory has more than {most} entries or is nested too deeply, which is more than an "
                        "edit can undo; use run_command (rm -r, mv), which cannot be undone.",
                        str(spot.path),
                    )
                here = (*names, child)
                inside = Spot(spot.path.child(*here), spot.path.child(*names), fd, child)
                yield here, inside
                status = inside.stat()
                if status is not None and stat.S_ISDIR(status.st_mode):
                    yield from below(fd, child, here)
        finally:
            os.close(fd)

    yield from below(spot.fd, name or spot.name, ())
