"""A draft of an edit: the files as they would be after it, before anything is changed.

What a tool wants is put in step by step, each step seeing what those before it leave. Out comes a `Plan`, which has
each file once: what it is now, and what it will be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from codebuddy.edits.images import Images
from codebuddy.edits.plan import ABSENT, Change, Node, Plan
from codebuddy.files.confinement import Workspaces, about
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.walking import MAX_FILE_BYTES
from codebuddy.tool import ToolError

__all__ = ["Draft"]

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
