"""A draft of an edit: the files as they would be after it, before anything is changed.

What a tool wants is put in step by step, each step seeing what those before it leave. Out comes a `Plan`, which has
each file once: what it is now, and what it will be.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from codebuddy.files.confinement import DIRECTORY_FLAGS, READ_FLAGS, Workspaces, about, require_regular
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import apply_range_edits, content_hash, decode, encode, encode_like
from codebuddy.files.walking import MAX_FILE_BYTES, read_limited
from codebuddy.schemas.files import FileChange
from codebuddy.tool import ToolError

ABSENT = "absent"
"""As a hash: there is nothing at the path."""

Kind = Literal["file", "directory", "link"]


@dataclass(frozen=True)
class Node:
    """A file, directory or symbolic link, as far as it is known or matters; what is None is not known or stays.

    Args:
        kind: what it is.
        content: a file's bytes, or a link's target.
        known_hash: hash of a content that is not at hand.
        mode: permission bits, set-user-id and the like included.
        owner: user and group id.
        attributes: extended attributes, access lists among them.
        implied: a directory that was only made because something in it was.
    """

    kind: Kind
    content: bytes | None = None
    known_hash: str | None = None
    mode: int | None = None
    owner: tuple[int, int] | None = None
    attributes: Mapping[str, bytes] = field(default_factory=dict)
    implied: bool = False

    @cached_property
    def hash(self) -> str | None:
        """The hash of its content; None for a directory, and where nothing is known of it."""
        return self.known_hash if self.content is None else content_hash(self.content)

    def without_content(self) -> Node:
        """Give it with the hash in place of the content."""
        return replace(self, content=None, known_hash=self.hash)


@dataclass(frozen=True)
class Change:
    """One thing that becomes another, moves, comes or goes.

    Args:
        source: where it is; None for what is new.
        target: where it will be; None for what is deleted.
        before: what must be at the source: its kind, and its hash and mode if they are given.
        after: what will be at the target.
    """

    source: WorkspacePath | None
    target: WorkspacePath | None
    before: Node | None
    after: Node | None

    @property
    def path(self) -> WorkspacePath:
        """The path to speak of it: where it will be, or else where it was."""
        path = self.target or self.source
        if path is None:
            raise ValueError("a change without a path")
        return path

    @property
    def moves(self) -> bool:
        """Whether it is there before and after, at different paths."""
        return self.source is not None and self.target is not None and self.source != self.target

    @property
    def rewrites(self) -> bool:
        """Whether it is there before and after, with new content."""
        if self.before is None or self.after is None:
            return False
        if self.before.content is not None and self.after.content is not None:
            return self.after.content != self.before.content
        return self.after.hash is not None and self.after.hash != self.before.hash


@dataclass(frozen=True)
class Plan:
    """Changes that belong together.

    No two of them have the same source, and no two the same target. Their order does not matter.

    Args:
        changes: in the order of their paths.
        tool: the tool that made it.
        subject: who asked.
        undoes: id of the edit that it undoes.
    """

    changes: tuple[Change, ...]
    tool: str
    subject: str
    undoes: str | None = None

    @property
    def projects(self) -> list[str]:
        """The projects that it changes, sorted."""
        paths = [path for change in self.changes for path in (change.source, change.target) if path is not None]
        return sorted({path.project for path in paths})


_TEMPORARY = re.compile(r"\.codebuddy-[0-9]{8}T[0-9]{6}-[0-9a-f]{8}-[0-9]+\.tmp~?")


def temporary_name(edit: str, number: int) -> str:
    """Give the name under which something of an edit lies until it gets its own."""
    return f".codebuddy-{edit}-{number}.tmp"


def spare_name(temporary: str) -> str:
    """Give the name that a file has while it is swapped with a temporary one, where that takes several steps."""
    return temporary + "~"


def is_temporary(name: str) -> bool:
    """Say whether an edit lies, or left something, under this name: it is not the project's."""
    return _TEMPORARY.fullmatch(name) is not None


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


class Images:
    """Looks at the projects and changes nothing.

    Args:
        workspaces: the projects.
        max_file_bytes: larger files are not read.
    """

    def __init__(self, workspaces: Workspaces, max_file_bytes: int) -> None:
        self._workspaces, self._max_bytes = workspaces, max_file_bytes

    def real(self, path: WorkspacePath) -> WorkspacePath:
        """Give the path without any link in it, as far as it exists.

        Raises:
            ToolError: it leads out of the project, or is the project itself.
        """
        return self.look(path, content=False)[0]

    def look(self, path: WorkspacePath, *, content: bool) -> tuple[WorkspacePath, Node | None]:
        """Give the path without any link in it, and what is there; None if there is nothing.

        Raises:
            ToolError: it leads out of the project, or is the project itself; it cannot be read.
        """
        root = self._workspaces.root(path.project)
        try:
            place = root.place(path)
        except ToolError as error:
            if error.code != "not_found":
                raise
            return self._new(path), None
        try:
            parent = root.locate(place.directory)
            here = parent.child(place.name)
            return here, self._node(Spot(here, parent, place.directory, place.name), content=content)
        finally:
            os.close(place.directory)

    def entry(self, path: WorkspacePath) -> WorkspacePath:
        """Give the path without any link in it but the one that it may end in.

        Raises:
            ToolError: as `real`.
        """
        root = self._workspaces.root(path.project)
        try:
            with root.entry(path) as place:
                return root.locate(place.directory).child(place.name)
        except ToolError as error:
            if error.code != "not_found":
                raise
        return self._new(path)

    def _new(self, path: WorkspacePath) -> WorkspacePath:
        """Give the real path of something below directories that are missing."""
        if len(path.parts) < 2:
            return path
        parent = WorkspacePath(path.project, path.parts[:-1])
        root = self._workspaces.root(path.project)
        try:
            with root.directory(parent) as fd:
                return root.locate(fd).child(path.parts[-1])
        except ToolError as error:
            if error.code != "not_found":
                raise
        return self._new(parent).child(path.parts[-1])

    def find(self, path: WorkspacePath, *, content: bool) -> Node | None:
        """Give what is at a real path; None if there is nothing. A file's content only if asked for.

        Raises:
            ToolError: it cannot be read.
        """
        if not path.parts:
            return Node("directory")
        root = self._workspaces.root(path.project)
        try:
            with root.entry(path) as place:
                return self._node(Spot(path, path, place.directory, place.name), content=content)
        except ToolError as error:
            if error.code == "not_found":
                return None
            raise

    def _node(self, spot: Spot, *, content: bool) -> Node | None:
        found = look(spot, self._max_bytes, content=content, attributes=False)
        # Of what is there, an edit may rely on kind, content and mode.
        return None if found is None else Node(found.node.kind, found.node.content, mode=found.node.mode)

    def below(self, path: WorkspacePath, most: int = MAX_ENTRIES) -> list[tuple[str, ...]]:
        """Give what is below a directory, at most so much, as names from it down.

        Raises:
            ToolError: ``too_many_entries``; it cannot be read.
        """
        root = self._workspaces.root(path.project)
        with about(path), root.entry(path) as place:
            return [names for names, _ in walk(Spot(path, path, place.directory, place.name), most)]


_MAX_WRITTEN = 256 * 1024 * 1024  # by all steps of a draft, those that later ones replace too


@dataclass(frozen=True)
class _Item:
    """What is at a path in the draft.

    Args:
        node: what it is.
        origin: where it is on the disk; None for what is new.
        before: what it is there; as `node` while it was not changed.
    """

    node: Node
    origin: WorkspacePath | None = None
    before: Node | None = None


class Draft:
    """Collects changes. Not to be used by two threads at a time.

    Args:
        workspaces: the projects as they are now.
        max_file_bytes: larger files are neither read nor written.
    """

    def __init__(self, workspaces: Workspaces, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self._images = Images(workspaces, max_file_bytes)
        self._max_bytes = max_file_bytes
        self._items: dict[WorkspacePath, _Item] = {}
        self._gone: set[WorkspacePath] = set()
        self._origins: dict[WorkspacePath, Node] = {}
        self._written = 0

    def find(self, path: WorkspacePath) -> Node | None:
        """Give what is at a path, at the end of a link too, with a file's content; None if there is nothing.

        Raises:
            ToolError: it cannot be read, or the path leads out of the project.
        """
        item = self._locate(path)[1]
        return item.node if item else None

    def write(
        self, path: WorkspacePath, content: bytes, *, expected_hash: str | None = None, mode: int | None = None
    ) -> None:
        """Have a file with this content at a path; its missing parents come with it.

        Args:
            path: a link is followed.
            content: all of it.
            expected_hash: hash that the content must have now, or `ABSENT`.
            mode: permission bits; None keeps those that it has, or 0o644.

        Raises:
            ToolError: ``conflict``, ``is_a_directory``, ``too_large``, ...
        """
        with about(path):
            if len(content) > self._max_bytes:
                raise ToolError(
                    "too_large",
                    f"The new content has {len(content)} bytes, the limit is {self._max_bytes}; nothing was written.",
                )
            self._written += len(content)
            if self._written > _MAX_WRITTEN:
                raise ToolError(
                    "too_large", "The edit writes the same large files too often; put the changes of a file together."
                )
            path, item = self._locate(path)
            if expected_hash is not None:
                check_hash(item.node.hash if item else ABSENT, expected_hash)
            if item is not None:
                _require_file(item.node)
        if item is None:
            self._make_parents(path)
            self._put(path, _Item(Node("file", content, mode=0o644 if mode is None else mode)))
            return
        kept = item.node.mode if mode is None or item.node.mode is None else item.node.mode & ~0o777 | mode
        self._put(path, replace(item, node=replace(item.node, content=content, known_hash=None, mode=kept)))

    def make_directory(self, path: WorkspacePath) -> bool:
        """Have a directory at a path; say whether it is new.

        Raises:
            ToolError: ``not_a_directory``: there is something else.
        """
        path = self._real(path)
        item = self._find(path)
        if item is not None and item.node.kind != "directory":
            raise ToolError("already_exists", "There is a file at this path; move or delete it first.", str(path))
        if item is None:
            self._make_parents(path)
            self._put(path, _Item(Node("directory", mode=0o755)))
        return item is None

    def delete(self, path: WorkspacePath, *, recursive: bool = False, expected_hash: str | None = None) -> None:
        """Have nothing at a path; a link itself goes, not what it leads to.

        Raises:
            ToolError: ``not_found``, ``not_empty``, ``conflict``, ``too_many_entries``.
        """
        path = self._entry(path)
        with about(path):
            item = self._require(path, content=expected_hash is not None)
            if expected_hash is not None:
                check_hash(item.node.hash, expected_hash)
        below = self._below(path, item)
        if below and not recursive:
            raise ToolError("not_empty", "The directory is not empty; say recursive to delete all of it.", str(path))
        for inner in below:
            self._drop(inner)
        self._drop(path)

    def move(
        self,
        source: WorkspacePath,
        target: WorkspacePath,
        *,
        overwrite: bool = False,
        expected_hash: str | None = None,
    ) -> None:
        """Have what is at one path at another; between projects it is copied and deleted.

        Raises:
            ToolError: ``not_found``, ``already_exists``, ``invalid_path``, ``conflict``.
        """
        source, target = self._entry(source), self._entry(target)
        with about(source):
            item = self._require_seen(source, expected_hash)
            if expected_hash is not None:
                check_hash(item.node.hash, expected_hash)
        if source == target:
            return
        if target.parts[: len(source.parts)] == source.parts and target.project == source.project:
            raise ToolError("invalid_path", "A directory cannot be moved into itself.", str(target))
        taken = self._find(target)
        if taken is not None:
            if not overwrite:
                raise ToolError("already_exists", "There is something at the new path; say overwrite.", str(target))
            if taken.node.kind == "directory":
                raise ToolError("already_exists", "There is a directory at the new path; delete it first.", str(target))
            self.delete(target)
        self._make_parents(target)
        if source.project == target.project:
            self._rename(source, target, item)
        else:
            self._carry_over(source, target, item)

    def plan(self, tool: str, subject: str, undoes: str | None = None) -> Plan:
        """Give the plan of all that was put in."""
        changes = []
        kept: set[WorkspacePath] = set()
        for path, item in self._items.items():
            if item.origin is None:
                changes.append(Change(None, path, None, item.node))
                continue
            kept.add(item.origin)
            if item.origin == path and self._is_elsewhere(path):
                raise ToolError(
                    "two_edits",
                    "What leaves a directory that moves cannot come to its old path in the same edit; "
                    "make two edits of it.",
                    str(path),
                )
            if item.origin != path or item.node != item.before:
                changes.append(Change(item.origin, path, item.before, item.node))
        changes += [
            Change(origin, None, before, None) for origin, before in self._origins.items() if origin not in kept
        ]
        return Plan(tuple(sorted(changes, key=lambda change: change.path)), tool, subject, undoes)

    def _is_elsewhere(self, path: WorkspacePath) -> bool:
        """Say whether the directory that a path is in is another one in this draft than on the disk."""
        above = next((here for here in path.parents if here in self._items), None)
        return above is not None and self._items[above].origin != above

    # Paths -----------------------------------------------------------------------------------------------------------

    def _real(self, path: WorkspacePath) -> WorkspacePath:
        """Follow links, so that a file has one path in the draft; what the draft made itself has no links in it."""
        return path if self._is_drafted(path) else self._images.real(path)

    def _locate(self, path: WorkspacePath) -> tuple[WorkspacePath, _Item | None]:
        """Follow links, and give what is there, with its content."""
        if self._is_drafted(path):
            return path, self._find(path, content=True)
        real, node = self._images.look(path, content=True)
        if self._is_drafted(real):
            return real, self._find(real, content=True)
        return real, None if node is None else _Item(node, real, node)

    def _entry(self, path: WorkspacePath) -> WorkspacePath:
        """Follow links but the one that the path may end in."""
        return path if self._is_drafted(path) else self._images.entry(path)

    def _is_drafted(self, path: WorkspacePath) -> bool:
        if not self._items and not self._gone:
            return False
        return any(here in self._items or here in self._gone for here in (path, *path.parents))

    # What is where ---------------------------------------------------------------------------------------------------

    def _find(self, path: WorkspacePath, *, content: bool = False) -> _Item | None:
        on_disk = self._on_disk(path)
        if on_disk is None:
            item = self._items.get(path)
            if item and content and item.origin and item.node.kind == "file" and item.node.content is None:
                return self._with_content(item, item.origin)
            return item
        node = self._images.find(on_disk, content=content)
        return None if node is None else _Item(node, on_disk, node)

    def _with_content(self, item: _Item, origin: WorkspacePath) -> _Item:
        on_disk = self._images.find(origin, content=True)
        if on_disk is None or item.before is None:
            raise ToolError("conflict", "The file was deleted meanwhile; nothing was written. Try again.", str(origin))
        content = on_disk.content
        return replace(item, node=replace(item.node, content=content), before=replace(item.before, content=content))

    def _on_disk(self, path: WorkspacePath) -> WorkspacePath | None:
        """Give where on the disk that lies which the draft did not touch; None for what it did."""
        for here in (path, *path.parents) if self._items or self._gone else ():
            if here in self._items:
                origin = self._items[here].origin
                if here == path or origin is None:
                    return None
                return origin.child(*path.parts[len(here.parts) :])
            if here in self._gone:
                return None
        return path

    def _require(self, path: WorkspacePath, *, content: bool = False) -> _Item:
        item = self._find(path, content=content)
        if item is None:
            raise ToolError(
                "not_found", "There is nothing at this path; list its directory or use find_files.", str(path)
            )
        return item

    def _require_seen(self, path: WorkspacePath, expected_hash: str | None) -> _Item:
        """Give what is at a path with its content, so that it is noticed when it changes; what is too large without."""
        try:
            return self._require(path, content=True)
        except ToolError as error:
            if error.code != "too_large" or expected_hash is not None:
                raise
        return self._require(path)

    def _below(self, path: WorkspacePath, item: _Item) -> list[WorkspacePath]:
        """Give all paths below a directory in the draft, the deepest first."""
        drafted = {other: inner for other, inner in self._items.items() if other.is_below(path)}
        found = set(drafted)
        for directory, inner in ((path, item), *drafted.items()):
            if inner.node.kind == "directory" and inner.origin is not None:
                beneath = (directory.child(*names) for names in self._images.below(inner.origin))
                found.update(other for other in beneath if self._on_disk(other) is not None)
        return sorted(found, key=lambda inner: (-len(inner.parts), inner))

    # Changing the draft ----------------------------------------------------------------------------------------------

    def _put(self, path: WorkspacePath, item: _Item) -> None:
        self._items[path] = item
        if item.origin is not None and item.before is not None:
            self._origins.setdefault(item.origin, item.before)

    def _drop(self, path: WorkspacePath) -> None:
        item = self._require(path)
        if item.origin is not None and item.before is not None:
            self._origins.setdefault(item.origin, item.before)
        self._items.pop(path, None)
        self._gone.add(path)

    def _make_parents(self, path: WorkspacePath) -> None:
        for depth in range(1, len(path.parts)):
            parent = WorkspacePath(path.project, path.parts[:depth])
            item = self._find(parent)
            if item is None:
                self._put(parent, _Item(Node("directory", mode=0o755, implied=True)))
            elif item.node.kind != "directory":
                raise ToolError("not_a_directory", "A part of the path that should be a directory is none.", str(path))

    def _rename(self, source: WorkspacePath, target: WorkspacePath, item: _Item) -> None:
        def moved(path: WorkspacePath) -> WorkspacePath:
            return target.child(*path.parts[len(source.parts) :])

        self._items = {moved(path) if path.is_below(source) else path: inner for path, inner in self._items.items()}
        # What was below the target before says nothing of what comes there.
        gone = {path for path in self._gone if path != target and not path.is_below(target)}
        self._gone = {moved(path) if path.is_below(source) else path for path in gone}
        self._items.pop(source, None)
        self._gone.add(source)
        self._put(target, item)

    def _carry_over(self, source: WorkspacePath, target: WorkspacePath, item: _Item) -> None:
        below = self._below(source, item)
        for path in [source, *reversed(below)]:
            here = self._find(path, content=True)
            if here is not None:
                if here.origin is not None and here.before is not None:
                    self._origins.setdefault(here.origin, here.before)  # with the content that is carried over
                self._put(target.child(*path.parts[len(source.parts) :]), _Item(here.node))
        for path in [*below, source]:
            self._drop(path)


def _require_file(node: Node) -> None:
    if node.kind == "directory":
        raise ToolError("is_a_directory", "This is a directory; give the path of a file.")
    if node.kind == "link":  # only one that this draft moved: where it leads from there is not known yet
        raise ToolError("link_not_followed", "This link moves in the same edit; name the file that it leads to.")


def check_hash(actual: str | None, expected: str | None) -> None:
    """Compare what is there with what the caller saw.

    Raises:
        ToolError: ``conflict``, naming both.
    """
    if expected is None or expected == actual:
        return
    if actual is None:
        raise ToolError("is_a_directory", "This is a directory, which has no hash; leave expected_hash out.")
    if actual == ABSENT:
        raise ToolError(
            "conflict", f"The file does not exist; leave expected_hash out or give '{ABSENT}' to create it."
        )
    if expected == ABSENT:
        raise ToolError("conflict", f"There is something at this path already, with hash {actual}; read it first.")
    raise ToolError(
        "conflict", f"The file changed since it was read: expected {expected}, it is now {actual}; read it again."
    )


Rewrite = Callable[[bytes | None], bytes]
"""Gives a file's new bytes for its old ones; None when there is no file."""


@dataclass(frozen=True)
class Drafted:
    """A file's content before and after.

    Args:
        before: None when the file is new.
        after: its new content.
    """

    before: bytes | None
    after: bytes


def written(content: str) -> Rewrite:
    """Give what makes a whole text of a file, in the file's own encoding and line ending."""
    return lambda before: encode(content) if before is None else encode_like(content, decode(before))


def edited(change: Callable[[str], str]) -> Rewrite:
    """Give what changes the text of a file that is there.

    Args:
        change: gives the new text for the old one.
    """

    def rewrite(before: bytes | None) -> bytes:
        if before is None:
            raise ToolError("not_found", "There is no file at this path; use write_file to create it.")
        text = decode(before)
        return encode(change(text.content), text.encoding)

    return rewrite


def draft_text(
    draft: Draft, path: WorkspacePath, rewrite: Rewrite, expected_hash: str | None = None, mode: int | None = None
) -> Drafted:
    """Have a file rewritten.

    Args:
        draft: the draft.
        path: the file; a link is followed.
        rewrite: gives its new content.
        expected_hash: hash that it must have now, or `ABSENT`.
        mode: permission bits; None keeps those that it has.

    Raises:
        ToolError: ``conflict``, ``is_a_directory``, and what `rewrite` and the draft raise.
    """
    with about(path):
        found = draft.find(path)
        _require_editable(found)
        check_hash(found.hash if found else ABSENT, expected_hash)
        before = found.content if found else None
        after = rewrite(before)
    # The draft looks again, and what came between must not be overwritten: it was not what was rewritten.
    draft.write(path, after, expected_hash=(found.hash if found else None) or ABSENT, mode=mode)
    return Drafted(before, after)


def draft_change(draft: Draft, change: FileChange) -> None:
    """Put one change into a draft.

    Raises:
        ToolError: it cannot be made, and then neither can the edit.
    """
    path = WorkspacePath.parse(change.path)
    if change.edits is not None:
        edits = change.edits
        draft_text(draft, path, edited(lambda text: apply_range_edits(text, edits)), change.expected_hash)
    elif change.content is not None:
        if not change.ignore_if_exists or draft.find(path) is None:
            draft_text(draft, path, written(change.content), change.expected_hash)
    elif change.move_to is not None:
        target = WorkspacePath.parse(change.move_to)
        if not change.ignore_if_exists or change.overwrite or draft.find(target) is None:
            draft.move(path, target, overwrite=change.overwrite, expected_hash=change.expected_hash)
    else:
        _draft_deletion(draft, path, change)


def paths_of(changes: Iterable[FileChange]) -> list[WorkspacePath]:
    """Give every path that changes name.

    Raises:
        ToolError: one is none.
    """
    named = [path for change in changes for path in (change.path, change.move_to) if path is not None]
    return [WorkspacePath.parse(path) for path in named]


def _draft_deletion(draft: Draft, path: WorkspacePath, change: FileChange) -> None:
    try:
        draft.delete(path, recursive=change.recursive, expected_hash=change.expected_hash)
    except ToolError as error:
        if error.code != "not_found" or not change.ignore_if_not_exists:
            raise


def _require_editable(node: Node | None) -> None:
    if node is not None and node.kind == "directory":
        raise ToolError("is_a_directory", "This is a directory; give the path of a file.")
    if node is not None and (node.kind == "link" or node.content is None):
        raise ToolError("not_a_file", "This is a link that cannot be followed here; name the file that it leads to.")
