"""A draft of an edit: the files as they will be after it. It changes nothing on the disk.

Changes are added one by one, each on top of the ones before it. The result is a `Plan`, which has every file once:
what it is now, and what it will be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from codebuddy.files.confinement import Workspaces, about
from codebuddy.files.encodings import declared_encoding
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import MAX_FILE_BYTES, apply_range_edits, decode, encode, encode_again, encode_like
from codebuddy.hub.edits.disk_view import ABSENT, DiskView, Node
from codebuddy.schemas.files import FileChange
from codebuddy.tool import ToolError

_MAX_WRITTEN = 256 * 1024 * 1024  # bytes written into one draft, including those that a later change replaces


@dataclass(frozen=True)
class Change:
    """A file, directory or link that is created, changed, moved or deleted.

    Args:
        source: its path now; None if it is created.
        target: its path afterwards; None if it is deleted.
        before: what must be at the source: the kind, and the hash and mode if given.
        after: what will be at the target.
    """

    source: WorkspacePath | None
    target: WorkspacePath | None
    before: Node | None
    after: Node | None

    @property
    def path(self) -> WorkspacePath:
        """The path to show: the new one, or the old one of what is deleted."""
        path = self.target or self.source
        assert path is not None, "a change has a path"
        return path

    @property
    def node(self) -> Node:
        """What it will be; of what is deleted, what it was."""
        node = self.after or self.before
        assert node is not None, "something exists before or after a change"
        return node

    @property
    def moves(self) -> bool:
        """Whether it exists before and after, at different paths."""
        return self.source is not None and self.target is not None and self.source != self.target

    @property
    def rewrites(self) -> bool:
        """Whether it exists before and after, with different content."""
        if self.before is None or self.after is None:
            return False
        if self.before.content is not None and self.after.content is not None:
            return self.after.content != self.before.content
        return self.after.hash is not None and self.after.hash != self.before.hash


@dataclass(frozen=True)
class Plan:
    """The changes of one edit, sorted by path. No two have the same source, and no two the same target.

    Args:
        subject: who asked for it.
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


class Draft:
    """Collects changes to the projects as they are now. Not thread-safe.

    Files of more than `max_file_bytes` are neither read nor written. Methods raise `ToolError` for a change that cannot
    be made, and then neither can the edit.
    """

    def __init__(self, workspaces: Workspaces, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self._view = DiskView(workspaces, max_file_bytes)
        self._max_bytes = max_file_bytes
        self._changes: dict[WorkspacePath, Change] = {}  # by target
        self._gone: set[WorkspacePath] = set()
        self._origins: dict[WorkspacePath, Node] = {}  # every source that was touched, as it is on the disk
        self._written = 0

    def find(self, path: WorkspacePath) -> Node | None:
        """Read what the draft has at a path, following links; None if nothing."""
        found = self._locate(path)[1]
        return found.node if found else None

    def write(
        self, path: WorkspacePath, content: bytes, *, expected_hash: str | None = None, mode: int | None = None
    ) -> None:
        """Write a whole file, following links, and create missing parents.

        Args:
            expected_hash: the hash that the content must have now, or `ABSENT`.
            mode: permission bits; None keeps those of the file, or gives a new one 0o644.
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
                    "too_large",
                    "The edit writes the same large files too often; combine the changes of each file into one.",
                )
            path, found = self._locate(path)
            if expected_hash is not None:
                check_hash(found.node.hash if found else ABSENT, expected_hash)
            if found is not None:
                _require_file(found.node)
        if found is None:
            self._make_parents(path)
            self._put(Change(None, path, None, Node("file", content, mode=0o644 if mode is None else mode)))
            return
        kept = found.node.mode if mode is None or found.node.mode is None else found.node.mode & ~0o777 | mode
        self._put(replace(found, after=replace(found.node, content=content, known_hash=None, mode=kept)))

    def make_directory(self, path: WorkspacePath) -> bool:
        """Create a directory and its missing parents; say whether it is new."""
        path = path if self._is_drafted(path) else self._view.real(path)
        found = self._find(path)
        if found is not None and found.node.kind != "directory":
            raise ToolError("already_exists", "There is a file at this path; move or delete it first.", str(path))
        if found is None:
            self._make_parents(path)
            self._put(Change(None, path, None, Node("directory", mode=0o755)))
        return found is None

    def delete(self, path: WorkspacePath, *, recursive: bool = False, expected_hash: str | None = None) -> None:
        """Delete what is at a path; of a link, the link itself."""
        path = self._entry(path)
        with about(path):
            found = self._require(path, content=expected_hash is not None)
            if expected_hash is not None:
                check_hash(found.node.hash, expected_hash)
        below = self._below(path, found)
        if below and not recursive:
            raise ToolError(
                "not_empty", "The directory is not empty; set recursive to delete everything in it.", str(path)
            )
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
        """Move what is at one path to another; to another project, it is copied and deleted."""
        source, target = self._entry(source), self._entry(target)
        with about(source):
            found = self._require_with_content(source, expected_hash)
            if expected_hash is not None:
                check_hash(found.node.hash, expected_hash)
        if source == target:
            return
        if target.is_below(source):
            raise ToolError("invalid_path", "A directory cannot be moved into itself.", str(target))
        taken = self._find(target)
        if taken is not None:
            if not overwrite:
                raise ToolError("already_exists", "The new path exists; set overwrite to replace it.", str(target))
            if taken.node.kind == "directory":
                raise ToolError("already_exists", "There is a directory at the new path; delete it first.", str(target))
            self.delete(target)
        self._make_parents(target)
        if source.project == target.project:
            self._rename(source, target, found)
        else:
            self._copy_and_delete(source, target, found)

    def plan(self, tool: str, subject: str, undoes: str | None = None) -> Plan:
        """Return the plan of everything that was added."""
        changes = []
        kept: set[WorkspacePath] = set()
        for path, change in self._changes.items():
            if change.source is None:
                changes.append(change)
                continue
            kept.add(change.source)
            if change.source == path and self._is_elsewhere(path):
                raise ToolError(
                    "two_edits",
                    "A file cannot leave a moved directory and take that directory's old path in one edit; split it "
                    "in two.",
                    str(path),
                )
            if change.source != path or change.after != change.before:
                changes.append(change)
        changes += [
            Change(origin, None, before, None) for origin, before in self._origins.items() if origin not in kept
        ]
        return Plan(tuple(sorted(changes, key=lambda change: change.path)), tool, subject, undoes)

    def _is_elsewhere(self, path: WorkspacePath) -> bool:
        """Say whether the directory of a path is another one in this draft than on the disk."""
        above = next((here for here in path.parents if here in self._changes), None)
        return above is not None and self._changes[above].source != above

    # Reading. What the draft itself created has no links in its path. -------------------------------------------------

    def _locate(self, path: WorkspacePath) -> tuple[WorkspacePath, Change | None]:
        """Resolve links, and give what is there with its content."""
        if self._is_drafted(path):
            return path, self._find(path, content=True)
        real, node = self._view.look(path, content=True)
        if self._is_drafted(real):
            return real, self._find(real, content=True)
        return real, None if node is None else Change(real, real, node, node)

    def _entry(self, path: WorkspacePath) -> WorkspacePath:
        """Resolve links but one that the path itself may be."""
        return path if self._is_drafted(path) else self._view.entry(path)

    def _is_drafted(self, path: WorkspacePath) -> bool:
        if not self._changes and not self._gone:
            return False
        return any(here in self._changes or here in self._gone for here in (path, *path.parents))

    def _find(self, path: WorkspacePath, *, content: bool = False) -> Change | None:
        """Return what the draft has at a path without links; what it did not touch is a change into itself."""
        on_disk = self._on_disk(path)
        if on_disk is None:
            change = self._changes.get(path)
            if change and content and change.source and change.node.kind == "file" and change.node.content is None:
                return self._with_content(change, change.source)
            return change
        node = self._view.find(on_disk, content=content)
        return None if node is None else Change(on_disk, path, node, node)

    def _with_content(self, change: Change, source: WorkspacePath) -> Change:
        on_disk = self._view.find(source, content=True)
        if on_disk is None or change.before is None:
            raise ToolError("conflict", "The file was deleted meanwhile; nothing was written. Try again.", str(source))
        content = on_disk.content
        before, after = replace(change.before, content=content), replace(change.node, content=content)
        return replace(change, before=before, after=after)

    def _on_disk(self, path: WorkspacePath) -> WorkspacePath | None:
        """Return where something that the draft did not touch is on the disk; None for what it did touch."""
        for here in (path, *path.parents) if self._changes or self._gone else ():
            if here in self._changes:
                source = self._changes[here].source
                if here == path or source is None:
                    return None
                return source.child(*path.parts[len(here.parts) :])
            if here in self._gone:
                return None
        return path

    def _require(self, path: WorkspacePath, *, content: bool = False) -> Change:
        found = self._find(path, content=content)
        if found is None:
            raise ToolError(
                "not_found", "There is nothing at this path; list its directory or use find_files.", str(path)
            )
        return found

    def _require_with_content(self, path: WorkspacePath, expected_hash: str | None) -> Change:
        """Read the content too, so that a change of it is noticed; that of a file that is too large is left out."""
        try:
            return self._require(path, content=True)
        except ToolError as error:
            if error.code != "too_large" or expected_hash is not None:
                raise
        return self._require(path)

    def _below(self, path: WorkspacePath, change: Change) -> list[WorkspacePath]:
        """List all paths below a directory of the draft, the deepest first."""
        drafted = {other: inner for other, inner in self._changes.items() if other.is_below(path)}
        found = set(drafted)
        for directory, inner in ((path, change), *drafted.items()):
            if inner.node.kind == "directory" and inner.source is not None:
                beneath = (directory.child(*names) for names in self._view.below(inner.source))
                found.update(other for other in beneath if self._on_disk(other) is not None)
        return sorted(found, key=lambda inner: (-len(inner.parts), inner))

    # Writing ---------------------------------------------------------------------------------------------------------

    def _put(self, change: Change) -> None:
        self._changes[change.path] = change
        self._remember_origin(change)

    def _drop(self, path: WorkspacePath) -> None:
        self._remember_origin(self._require(path))
        self._changes.pop(path, None)
        self._gone.add(path)

    def _remember_origin(self, change: Change) -> None:
        if change.source is not None and change.before is not None:
            self._origins.setdefault(change.source, change.before)

    def _make_parents(self, path: WorkspacePath) -> None:
        for depth in range(1, len(path.parts)):
            parent = WorkspacePath(path.project, path.parts[:depth])
            found = self._find(parent)
            if found is None:
                self._put(Change(None, parent, None, Node("directory", mode=0o755, implied=True)))
            elif found.node.kind != "directory":
                raise ToolError(
                    "not_a_directory", "A part of the path that should be a directory is not one.", str(path)
                )

    def _rename(self, source: WorkspacePath, target: WorkspacePath, change: Change) -> None:
        def moved(path: WorkspacePath) -> WorkspacePath:
            return target.child(*path.parts[len(source.parts) :]) if path.is_below(source) else path

        self._changes = {moved(path): replace(inner, target=moved(path)) for path, inner in self._changes.items()}
        # What was below the target before does not matter for what arrives there.
        gone = {path for path in self._gone if path != target and not path.is_below(target)}
        self._gone = {moved(path) for path in gone}
        self._changes.pop(source, None)
        self._gone.add(source)
        self._put(replace(change, target=target))

    def _copy_and_delete(self, source: WorkspacePath, target: WorkspacePath, change: Change) -> None:
        below = self._below(source, change)
        for path in [source, *reversed(below)]:
            here = self._find(path, content=True)
            if here is not None:
                self._remember_origin(here)  # with the content that is copied
                self._put(Change(None, target.child(*path.parts[len(source.parts) :]), None, here.node))
        for path in [*below, source]:
            self._drop(path)


def _require_file(node: Node) -> None:
    if node.kind == "directory":
        raise ToolError("is_a_directory", "This is a directory; give the path of a file.")
    if node.kind == "link":  # only one that this draft moved: its new target is not known yet
        raise ToolError("link_not_followed", "This link moves in the same edit; name the file that it leads to.")


def check_hash(actual: str | None, expected: str | None) -> None:
    """Raise ``conflict``, with both hashes, if a file's hash is not the one that the caller expects."""
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


# Changes as tools ask for them ----------------------------------------------------------------------------------------

Rewrite = Callable[[bytes | None, WorkspacePath], bytes]
"""Computes a file's new bytes from the old ones, which are None if there is no file, and its path."""


@dataclass(frozen=True)
class Drafted:
    """A file's content before (None if it is new) and after."""

    before: bytes | None
    after: bytes


def written(content: str) -> Rewrite:
    """Replace the whole text of a file, in its own encoding and with its own line endings."""

    def rewrite(before: bytes | None, path: WorkspacePath) -> bytes:
        if before is None:
            return encode(content, declared_encoding(path.project, path.relative_wire) or "utf-8")
        return encode_like(content, decode(before, path))

    return rewrite


def edited(change: Callable[[str], str]) -> Rewrite:
    """Change the text of an existing file by a function."""

    def rewrite(before: bytes | None, path: WorkspacePath) -> bytes:
        if before is None:
            raise ToolError("not_found", "There is no file at this path; use write_file to create it.")
        text = decode(before, path)
        return encode_again(change(text.content), text)

    return rewrite


def draft_rewrite(
    draft: Draft, path: WorkspacePath, rewrite: Rewrite, expected_hash: str | None = None, mode: int | None = None
) -> Drafted:
    """Rewrite a file; otherwise as `Draft.write`."""
    with about(path):
        found = draft.find(path)
        _require_editable(found)
        check_hash(found.hash if found else ABSENT, expected_hash)
        before = found.content if found else None
        after = rewrite(before, path)
    # The draft reads the file again, and a change since then must not be overwritten: `rewrite` did not see it.
    draft.write(path, after, expected_hash=(found.hash if found else None) or ABSENT, mode=mode)
    return Drafted(before, after)


def _require_editable(node: Node | None) -> None:
    if node is not None and node.kind == "directory":
        raise ToolError("is_a_directory", "This is a directory; give the path of a file.")
    if node is not None and (node.kind == "link" or node.content is None):
        raise ToolError("not_a_file", "This is a link that cannot be followed here; name the file that it leads to.")


def draft_change(draft: Draft, change: FileChange) -> None:
    """Add one change of a workspace edit to a draft."""
    path = WorkspacePath.parse(change.path)
    if change.edits is not None:
        edits = change.edits
        draft_rewrite(draft, path, edited(lambda text: apply_range_edits(text, edits)), change.expected_hash)
    elif change.content is not None:
        if not change.ignore_if_exists or draft.find(path) is None:
            draft_rewrite(draft, path, written(change.content), change.expected_hash)
    elif change.move_to is not None:
        target = WorkspacePath.parse(change.move_to)
        if not change.ignore_if_exists or change.overwrite or draft.find(target) is None:
            draft.move(path, target, overwrite=change.overwrite, expected_hash=change.expected_hash)
    else:
        try:
            draft.delete(path, recursive=change.recursive, expected_hash=change.expected_hash)
        except ToolError as error:
            if error.code != "not_found" or not change.ignore_if_not_exists:
                raise


def paths_of(changes: Iterable[FileChange]) -> list[WorkspacePath]:
    """Parse every path that the changes of a workspace edit name."""
    named = [path for change in changes for path in (change.path, change.move_to) if path is not None]
    return [WorkspacePath.parse(path) for path in named]
