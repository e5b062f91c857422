"""What is on the disk now: looks at files, directories and links without changing or following them."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from codebuddy.files.confinement import DIRECTORY_FLAGS, READ_FLAGS, Workspaces, about, require_regular
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import content_hash, read_limited
from codebuddy.tool import ToolError

ABSENT = "absent"
"""In place of a hash: nothing exists at the path."""

NOWHERE = -1
"""In place of a file descriptor: the directory is not open, because it does not exist (yet)."""

MAX_EDIT_BYTES = 16 * 1024 * 1024
"""Old and new content of one edit together: the hub holds it in memory, and the journal stores it."""

MAX_ENTRIES = 2000
"""Files and directories that one edit may delete, or move to another project."""

Names = tuple[str, ...]
"""A path below a directory."""

_MAX_DEPTH = 128
_KEPT_ATTRIBUTES = ("user.", "system.posix_acl_", "security.selinux", "trusted.")
_TEMPORARY = re.compile(r"\.codebuddy-[0-9]{8}T[0-9]{6}-[0-9a-f]{8}-[0-9]+\.tmp~?")


def temporary_name(edit: str, number: int) -> str:
    """Return the name of a file that an edit staged, or has replaced and not removed yet."""
    return f".codebuddy-{edit}-{number}.tmp"


def spare_name(temporary: str) -> str:
    """Return the second name that a file has while it is exchanged with a temporary file in several steps."""
    return temporary + "~"


def _is_temporary(name: str) -> bool:
    return _TEMPORARY.fullmatch(name) is not None


@dataclass(frozen=True)
class Node:
    """A file, directory or symbolic link. What is None is unknown, or stays as it is.

    Args:
        content: a file's bytes, or a link's target.
        known_hash: the hash, where the content itself is not available.
        mode: permission bits, including set-user-id, set-group-id and sticky.
        owner: user id and group id.
        attributes: extended attributes, including access control lists.
        implied: a directory that was only created as the parent of something else.
    """

    kind: Literal["file", "directory", "link"]
    content: bytes | None = None
    known_hash: str | None = None
    mode: int | None = None
    owner: tuple[int, int] | None = None
    attributes: Mapping[str, bytes] = field(default_factory=dict)
    implied: bool = False

    @cached_property
    def hash(self) -> str | None:
        """The hash of the content; None for a directory, and where the content is unknown."""
        return self.known_hash if self.content is None else content_hash(self.content)

    def without_content(self) -> Node:
        """Replace the content by its hash."""
        return replace(self, content=None, known_hash=self.hash)


@dataclass(frozen=True)
class DirectoryEntry:
    """A name in an open directory. The code that opened the directory closes it.

    Args:
        path: the path to show in messages.
        directory: the path of the directory, without links.
        fd: the directory's descriptor, or `NOWHERE`.
    """

    path: WorkspacePath
    directory: WorkspacePath
    fd: int
    name: str

    @property
    def real_path(self) -> WorkspacePath:
        """The path without links."""
        return self.directory.child(self.name)

    @property
    def key(self) -> tuple[int, int, str]:
        """Identifies the entry, whatever path leads to it: device and inode of the directory, and the name."""
        status = os.fstat(self.fd)
        return status.st_dev, status.st_ino, self.name

    def stat(self, name: str | None = None) -> os.stat_result | None:
        """Get the status of the entry, or of another name in the directory; None if it does not exist."""
        if self.fd == NOWHERE:
            return None
        try:
            return os.stat(name or self.name, dir_fd=self.fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None


@dataclass(frozen=True)
class Found:
    """What exists at a directory entry: everything that is needed to create it again, and its status."""

    node: Node
    status: os.stat_result


def look(
    entry: DirectoryEntry, limit: int, *, content: bool = True, attributes: bool = True, name: str | None = None
) -> Found | None:
    """Read what exists at an entry, or at another name in its directory; None if nothing does.

    Args:
        limit: the most bytes of content to read; raises ``too_large``.
        content: whether to read a file's content.
        attributes: whether to read extended attributes.
    """
    wanted = name or entry.name
    with about(entry.path):
        status = entry.stat(wanted)
        if status is None:
            return None
        if stat.S_ISLNK(status.st_mode):
            target = os.fsencode(os.readlink(wanted, dir_fd=entry.fd))
            return Found(Node("link", target, owner=(status.st_uid, status.st_gid)), status)
        is_directory = stat.S_ISDIR(status.st_mode)
        if not is_directory:
            require_regular(status)
            if not content:
                return Found(Node("file", mode=stat.S_IMODE(status.st_mode)), status)
        return _open_and_look(entry, wanted, is_directory, limit, attributes)


def _open_and_look(entry: DirectoryEntry, name: str, is_directory: bool, limit: int, attributes: bool) -> Found:
    try:
        fd = os.open(name, (DIRECTORY_FLAGS if is_directory else READ_FLAGS) | os.O_NOFOLLOW, dir_fd=entry.fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):  # it was replaced by something else just now
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
        return {}  # the file system has none


def hash_at(entry: DirectoryEntry, name: str | None = None) -> str:
    """Hash a file's content or a link's target; for anything else, say what it is."""
    try:
        found = look(entry, MAX_EDIT_BYTES, attributes=False, name=name)
    except ToolError as error:
        return error.code
    if found is None:
        return ABSENT
    return found.node.hash or found.node.kind


def walk(entry: DirectoryEntry, most: int, name: str | None = None) -> Iterator[tuple[Names, DirectoryEntry]]:
    """Yield everything below a directory, sorted, parents first, as (names below the directory, entry).

    Temporary files of edits are left out. The descriptor of an entry is closed when the walk continues. Raises
    ``too_many_entries``, or `OSError` when a directory cannot be read.
    """
    count = 0

    def below(parent: int, wanted: str, names: Names) -> Iterator[tuple[Names, DirectoryEntry]]:
        nonlocal count
        fd = os.open(wanted, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
        try:
            for child in sorted(os.listdir(fd)):
                if _is_temporary(child):
                    continue
                count += 1
                if count > most or len(names) > _MAX_DEPTH:
                    raise ToolError(
                        "too_many_entries",
                        f"The directory has more than {most} entries or is nested too deeply, which is more than an "
                        "edit can undo; use run_command (rm -r, mv), which cannot be undone.",
                        str(entry.path),
                    )
                here = (*names, child)
                inside = DirectoryEntry(entry.path.child(*here), entry.path.child(*names), fd, child)
                yield here, inside
                status = inside.stat()
                if status is not None and stat.S_ISDIR(status.st_mode):
                    yield from below(fd, child, here)
        finally:
            os.close(fd)

    yield from below(entry.fd, name or entry.name, ())


@contextmanager
def _missing_allowed() -> Iterator[None]:
    try:
        yield
    except ToolError as error:
        if error.code != "not_found":
            raise


class DiskView:
    """A read-only view of the projects. Files of more than `max_file_bytes` are not read.

    All methods raise `ToolError` when a path leads out of its project or cannot be read.
    """

    def __init__(self, workspaces: Workspaces, max_file_bytes: int) -> None:
        self._workspaces, self._max_bytes = workspaces, max_file_bytes

    def real(self, path: WorkspacePath) -> WorkspacePath:
        """Resolve all links, as far as the path exists; the project itself is refused."""
        return self.look(path, content=False)[0]

    def look(self, path: WorkspacePath, *, content: bool) -> tuple[WorkspacePath, Node | None]:
        """Resolve all links, and read what exists there; the project itself is refused."""
        root, place = self._workspaces.root(path.project), None
        with _missing_allowed():
            place = root.place(path)
        if place is None:
            return self._missing(path), None
        try:
            parent = root.locate(place.directory)
            here = parent.child(place.name)
            return here, self._node(DirectoryEntry(here, parent, place.directory, place.name), content=content)
        finally:
            os.close(place.directory)

    def entry(self, path: WorkspacePath) -> WorkspacePath:
        """Resolve all links but one that the path itself may be; the project itself is refused."""
        root = self._workspaces.root(path.project)
        with _missing_allowed(), root.entry(path) as place:
            return root.locate(place.directory).child(place.name)
        return self._missing(path)

    def _missing(self, path: WorkspacePath) -> WorkspacePath:
        """Resolve a path of which the last parts do not exist."""
        if len(path.parts) < 2:
            return path
        parent = WorkspacePath(path.project, path.parts[:-1])
        root = self._workspaces.root(path.project)
        with _missing_allowed(), root.directory(parent) as fd:
            return root.locate(fd).child(path.parts[-1])
        return self._missing(parent).child(path.parts[-1])

    def find(self, path: WorkspacePath, *, content: bool) -> Node | None:
        """Read what exists at a path without links; a file's content only on request."""
        if not path.parts:
            return Node("directory")
        root = self._workspaces.root(path.project)
        with _missing_allowed(), root.entry(path) as place:
            return self._node(DirectoryEntry(path, path, place.directory, place.name), content=content)
        return None

    def _node(self, entry: DirectoryEntry, *, content: bool) -> Node | None:
        found = look(entry, self._max_bytes, content=content, attributes=False)
        # An edit may rely on kind, content and mode only.
        return None if found is None else Node(found.node.kind, found.node.content, mode=found.node.mode)

    def below(self, path: WorkspacePath, most: int = MAX_ENTRIES) -> list[Names]:
        """List everything below a directory, as names from it down; raises ``too_many_entries``."""
        root = self._workspaces.root(path.project)
        with about(path), root.entry(path) as place:
            return [names for names, _ in walk(DirectoryEntry(path, path, place.directory, place.name), most)]
