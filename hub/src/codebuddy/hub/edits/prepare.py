"""From a plan to steps: opens its directories, compares what exists with the plan, stages content, orders the steps."""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

from codebuddy.files.confinement import DIRECTORY_FLAGS, Workspaces, about
from codebuddy.files.paths import WorkspacePath
from codebuddy.hub.edits import disk
from codebuddy.hub.edits.disk_view import (
    ABSENT,
    MAX_EDIT_BYTES,
    MAX_ENTRIES,
    NOWHERE,
    DirectoryEntry,
    Found,
    Names,
    Node,
    look,
    spare_name,
    temporary_name,
    walk,
)
from codebuddy.hub.edits.draft import Change, Plan
from codebuddy.hub.edits.steps import Chmod, Create, Move, Overwrite, Remove, Replace, Step, identity_of, mark
from codebuddy.tool import ToolError

_SHOWN = 20  # files named in a message


@dataclass
class PlannedChange:
    """A change with its directories open.

    Args:
        number: unique in the plan, for temporary names.
        target: None also for what is in a directory that this edit creates, or that moves with its directory.
        found: what exists at the source now.
    """

    change: Change
    number: int
    source: DirectoryEntry | None = None
    target: DirectoryEntry | None = None
    found: Found | None = None

    @property
    def has_hard_links(self) -> bool:
        """Whether the file has other names, which get the new content too."""
        return self.change.rewrites and self.found is not None and self.found.status.st_nlink > 1

    def as_recorded(self) -> Change:
        """Return the change with everything that is known of what was before and what comes after, as undo needs it."""
        change, found, after = self.change, self.found, self.change.after
        if found is None:
            return change
        before = found.node
        if change.before is not None and change.before.implied:
            before = replace(before, implied=True)
        if after is not None and not change.rewrites:  # it moves, or its mode changes: undo needs no content
            after = found.node if after.mode is None else replace(found.node, mode=after.mode)
            before, after = before.without_content(), after.without_content()
        return Change(change.source, change.target, before, after)


class PreparedPlan:
    """A plan with its directories open, as a context manager. Files of more than `max_file_bytes` are not rewritten."""

    def __init__(self, plan: Plan, workspaces: Workspaces, max_file_bytes: int) -> None:
        self.plan = plan
        self._workspaces, self._max_bytes = workspaces, max_file_bytes
        self._directories: dict[WorkspacePath, int] = {}
        self.created = {
            change.target: change
            for change in plan.changes
            if change.source is None and change.target and change.after and change.after.kind == "directory"
        }
        self._moved = {
            change.target: change.source for change in plan.changes if change.moves and change.target and change.source
        }
        self.deleted = {change.source for change in plan.changes if change.target is None}
        self.keys: set[tuple[int, int, str]] = set()  # of all directory entries that the plan changes, for locks
        self.changes: list[PlannedChange] = []

    def __enter__(self) -> PreparedPlan:
        """Open the directories; raises `ToolError` if one is missing or is no longer what the plan expects."""
        try:
            self.changes = [self._open(change, number) for number, change in enumerate(self.plan.changes)]
            self._collect_keys()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._directories.values():
            os.close(fd)
        self._directories.clear()

    # How changes depend on each other ---------------------------------------------------------------------------------

    def is_inside_created(self, path: WorkspacePath) -> bool:
        """Say whether a path is in a directory that this edit creates, and not in one that it moves into it."""
        return self.outermost_created(path) is not None

    def outermost_created(self, path: WorkspacePath) -> WorkspacePath | None:
        """Return the outermost directory that is created together with what is at a path; None if none is."""
        if not self.created:
            return None
        nearest = next((above for above in path.parents if above in self.created or above in self._moved), None)
        if nearest is None or nearest not in self.created:
            return None
        return self.outermost_created(nearest) or nearest

    def moves_with_parent(self, change: Change) -> bool:
        """Say whether it moves only because a directory that it is in does."""
        if change.source is None or change.target is None or not self._moved:
            return False
        for above in change.target.parents:
            if above in self._moved:
                rest = change.target.parts[len(above.parts) :]
                return self._moved[above].child(*rest) == change.source
        return False

    def moves_by_itself(self, planned: PlannedChange) -> bool:
        """Say whether it takes a rename of its own."""
        change = planned.change
        return change.moves and not self.moves_with_parent(change) and not self.is_recreated(planned)

    def is_recreated(self, planned: PlannedChange) -> bool:
        """Say whether it is created at its new path and removed at the old one: a file that moves and is rewritten.

        A file with hard links is not, as its other names are to have the new content.
        """
        change, found = planned.change, planned.found
        return (
            change.moves
            and change.rewrites
            and not self.moves_with_parent(change)
            and found is not None
            and found.status.st_nlink == 1
        )

    def is_created(self, planned: PlannedChange) -> bool:
        """Say whether it comes into being at its target, new or recreated."""
        return planned.change.source is None or self.is_recreated(planned)

    def is_deleted_with_parent(self, change: Change) -> bool:
        """Say whether it is deleted because its directory is, and is not moved out of that before."""
        if change.source is None:
            return False
        return next(iter(change.source.parents), None) in self.deleted

    # Checking ---------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare what exists with what the plan expects, and refuse what may not be changed.

        A ``conflict`` names every file that changed, and both hashes.
        """
        conflicts: list[tuple[WorkspacePath, str]] = []
        total = sum(len(change.after.content or b"") for change in self.plan.changes if change.after)
        for planned in self.changes:
            difference = self._check_source(planned) or self._check_target(planned)
            if difference:
                conflicts.append(difference)
            if planned.found is not None:
                total += len(planned.found.node.content or b"")
            if total > MAX_EDIT_BYTES:
                raise ToolError(
                    "too_large",
                    f"The edit has more than {MAX_EDIT_BYTES // 1024**2} MiB of old and new content, more than can be "
                    "undone; split it into several, or use run_command, which cannot be undone. Nothing was written.",
                )
        if conflicts:
            raise _conflict(conflicts, is_undo=self.plan.undoes is not None)
        self._refuse_linked()

    def _refuse_linked(self) -> None:
        """Refuse to rewrite a file and change another of its names (hard links): each would see the other's change."""
        found = [(planned, planned.found.status) for planned in self.changes if planned.found is not None]
        linked = [
            (planned, (status.st_dev, status.st_ino))
            for planned, status in found
            if status.st_nlink > 1 and stat.S_ISREG(status.st_mode)
        ]
        rewritten = {file: planned for planned, file in linked if planned.change.rewrites}
        for planned, file in linked:
            other = rewritten.get(file)
            if other is not None and other is not planned:
                path = planned.change.path
                raise ToolError(
                    "same_file_twice",
                    f"{path} and {other.change.path} are names of the same file (hard links); change one of them, or "
                    "make two edits.",
                    str(path),
                )

    def _check_source(self, planned: PlannedChange) -> tuple[WorkspacePath, str] | None:
        change, entry = planned.change, planned.source
        if entry is None or change.before is None or change.source is None:
            return None
        wants_content = (
            change.rewrites
            or change.target is None
            or change.before.content is not None
            or change.before.hash is not None
        )
        planned.found = look(entry, self._max_bytes if change.rewrites else MAX_EDIT_BYTES, content=wants_content)
        difference = _difference(change.before, planned.found.node if planned.found else None)
        if difference:
            return change.source, difference
        if change.rewrites and planned.found is not None:
            _require_writable(entry, planned.found.status)
        if change.target is None and change.before.kind == "directory" and not self.is_deleted_with_parent(change):
            return self._check_deleted_directory(entry, change.source)
        return None

    def _check_deleted_directory(self, entry: DirectoryEntry, path: WorkspacePath) -> tuple[WorkspacePath, str] | None:
        """Check that the plan knows everything in a directory that it deletes."""
        leaving = {change.source for change in self.plan.changes if change.source != change.target}
        with about(path):
            for names, _ in walk(entry, len(self.plan.changes) + MAX_ENTRIES):
                inner = path.child(*names)
                moved = any(above in leaving and above not in self.deleted for above in inner.parents)
                if inner not in leaving and not moved:
                    return inner, "it appeared in a directory that is to be deleted"
        return None

    def _check_target(self, planned: PlannedChange) -> tuple[WorkspacePath, str] | None:
        change, entry = planned.change, planned.target
        if entry is None or change.target is None or change.target == change.source or self.moves_with_parent(change):
            return None
        # By the present path: the target's directory may be one that moves there.
        if entry.real_path in {other.source for other in self.plan.changes}:
            return None  # what exists there leaves
        if entry.stat() is None:
            return None
        there = look(entry, self._max_bytes)
        return change.target, f"expected {ABSENT}, it is now {there.node.hash if there else 'something else'}"

    # Opening ---------------------------------------------------------------------------------------------------------

    def _open(self, change: Change, number: int) -> PlannedChange:
        planned, target = PlannedChange(change, number), change.target
        if change.source is not None:
            planned.source = self._open_entry(change.source, change.source)
        if target == change.source:
            planned.target = planned.source
        elif target is not None and not self.is_inside_created(target) and not self.moves_with_parent(change):
            planned.target = self._open_entry(target, self._present_path(target))
        return planned

    def _present_path(self, path: WorkspacePath) -> WorkspacePath:
        """Return where the directory of a future path is now, if this edit moves it."""
        for above in path.parents if self._moved else ():
            if above in self._moved:
                return self._moved[above].child(*path.parts[len(above.parts) :])
        return path

    def _open_entry(self, shown: WorkspacePath, path: WorkspacePath) -> DirectoryEntry:
        parent = WorkspacePath(path.project, path.parts[:-1])
        fd = self._directories.get(parent)
        if fd is None:
            root = self._workspaces.root(path.project)
            fd = self._directories[parent] = root.entry(path).directory
            if root.locate(fd) != parent:
                raise ToolError("conflict", f"{parent} became a link meanwhile; nothing was written.", str(shown))
        return DirectoryEntry(shown, parent, fd, path.parts[-1])

    def _collect_keys(self) -> None:
        """Collect the keys for locks; refuse two changes of one file by different paths."""
        for entries in ([planned.source for planned in self.changes], [planned.target for planned in self.changes]):
            seen: dict[tuple[int, int, str], DirectoryEntry] = {}
            for entry in entries:
                if entry is None:
                    continue
                key = entry.key
                self.keys.add(key)
                other = seen.setdefault(key, entry)
                if other is not entry:
                    raise ToolError(
                        "same_file_twice", f"{entry.path} and {other.path} are the same file.", str(entry.path)
                    )


def _difference(expected: Node, found: Node | None) -> str | None:
    """Describe how something differs from what was expected; None if it does not."""
    if found is None:
        return f"expected {expected.hash or expected.kind}, it is now {ABSENT}"
    if found.kind != expected.kind:
        return f"expected a {expected.kind}, it is now a {found.kind}"
    has_same_content = expected.content is not None and found.content == expected.content  # cheaper than two hashes
    if not has_same_content and expected.hash is not None and found.hash != expected.hash:
        return f"expected {expected.hash}, it is now {found.hash}"
    if expected.mode is not None and found.mode is not None and found.mode != expected.mode:
        return f"expected mode {expected.mode:04o}, it is now {found.mode:04o}"
    return None


def _require_writable(entry: DirectoryEntry, status: os.stat_result) -> None:
    """Refuse what opening the file for writing would refuse; the rename itself needs no right on the file."""
    mode, path = stat.S_IMODE(status.st_mode), str(entry.path)
    if not mode & 0o222:
        raise ToolError("read_only", f"The file is marked read-only (mode {mode:04o}); change that first.", path)
    if os.fstatvfs(entry.fd).f_flag & os.ST_RDONLY:
        raise ToolError("read_only", "This part of the project is mounted read-only.", path)
    if not os.access(entry.name, os.W_OK, dir_fd=entry.fd, effective_ids=True, follow_symlinks=False):
        raise ToolError("permission_denied", "The hub's user may not write this file; check its owner and mode.", path)


def _conflict(conflicts: list[tuple[WorkspacePath, str]], *, is_undo: bool) -> ToolError:
    details = "; ".join(f"{path}: {difference}" for path, difference in conflicts[:_SHOWN])
    more = f"; and {len(conflicts) - _SHOWN} more" if len(conflicts) > _SHOWN else ""
    since, advice = ("it was read", "; read again") if not is_undo else ("that edit", "; undo later edits of it first")
    return ToolError(
        "conflict", f"Changed since {since}: {details}{more}. Nothing was written{advice}.", str(conflicts[0][0])
    )


class Staging:
    """Stages what a plan creates or rewrites, under temporary names beside the targets."""

    def __init__(self, prepared: PreparedPlan, edit: str) -> None:
        self._prepared = prepared
        self._to_sync: list[int] = []
        self._directories: dict[WorkspacePath, int] = {}
        self.names = {
            planned.number: temporary_name(edit, planned.number)
            for planned in prepared.changes
            if self._is_staged(planned)
        }

    def _is_staged(self, planned: PlannedChange) -> bool:
        if self._prepared.is_created(planned):
            return not self._prepared.is_inside_created(planned.change.path)
        return planned.change.rewrites

    @property
    def temporaries(self) -> list[tuple[DirectoryEntry, str]]:
        """The entry of everything that is staged, and its temporary name."""
        staged = [planned for planned in self._prepared.changes if planned.number in self.names]
        return [(self._entry(planned), self.names[planned.number]) for planned in staged]

    def _entry(self, planned: PlannedChange) -> DirectoryEntry:
        entry = planned.target if self._prepared.is_created(planned) else planned.source
        if entry is None:
            raise ValueError("a staged change without a directory entry")
        return entry

    def write(self) -> list[int]:
        """Stage everything; give the descriptors to sync. `close` closes them; after an error, `discard` cleans up."""
        for planned in self._prepared.changes:
            if planned.number in self.names:
                with about(planned.change.path):
                    self._make(self._entry(planned).fd, self.names[planned.number], planned)
        self._fill_directories()
        return self._to_sync

    def close(self) -> None:
        """Close all descriptors."""
        for fd in {*self._to_sync, *self._directories.values()}:
            os.close(fd)
        self._to_sync.clear()
        self._directories.clear()

    def discard(self, kept: Container[WorkspacePath | None] = ()) -> None:
        """Remove what was staged and still has its temporary name, except for some paths."""
        for entry, name in self.temporaries:
            if entry.directory.child(name) not in kept:
                disk.remove_tree(entry.fd, name)
                disk.remove_tree(entry.fd, spare_name(name))

    def open_created_targets(self, steps: Iterable[Step]) -> None:
        """Give moves into directories that this edit creates the descriptors of the staged directories."""
        for step in steps:
            if isinstance(step, Move):
                step.entry, step.target = self._opened(step.entry), self._opened(step.target)

    def _opened(self, entry: DirectoryEntry) -> DirectoryEntry:
        return replace(entry, fd=self._directories[entry.directory]) if entry.fd == NOWHERE else entry

    def _make(self, fd: int, name: str, planned: PlannedChange) -> None:
        node, path = planned.change.after, planned.change.path
        if node is None:
            return
        if node.kind == "link":
            disk.create_link(fd, name, node.content or b"", node.owner)
        elif node.kind == "directory":
            disk.create_directory(fd, name, 0o700)
            self._directories[path] = os.open(name, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=fd)
            self._to_sync.append(self._directories[path])
        else:
            made = disk.create_file(fd, name, node.content or b"")
            self._to_sync.append(made)
            self._set_attributes(made, node, planned.found.node if planned.found else node)

    @staticmethod
    def _set_attributes(fd: int, node: Node, known: Node) -> None:
        mode = node.mode if node.mode is not None else known.mode
        disk.set_attributes(fd, known.owner, 0o644 if mode is None else mode, dict(known.attributes))

    def _fill_directories(self) -> None:
        """Create what belongs in created directories; then set the modes of these."""
        inside = [
            planned
            for planned in self._prepared.changes
            if self._prepared.is_created(planned) and self._prepared.is_inside_created(planned.change.path)
        ]
        for planned in sorted(inside, key=lambda planned: planned.change.path):
            path = planned.change.path
            with about(path):
                self._make(self._directories[WorkspacePath(path.project, path.parts[:-1])], path.parts[-1], planned)
        for path, fd in sorted(self._directories.items(), reverse=True):
            after = self._prepared.created[path].after
            if after is not None:
                if after.owner is None:  # it is new, and keeps what it inherits from its parent directory
                    after = replace(after, mode=(after.mode or 0o755) | os.fstat(fd).st_mode & 0o7000)
                with about(path):
                    self._set_attributes(fd, after, after)


def build_steps(prepared: PreparedPlan, staging: Staging, edit: str) -> list[Step]:
    """Return the steps in the order in which they are applied.

    First, what stays where it is gets its new content. Then everything that is deleted or has to wait gives up its
    name, the deepest first; what is new gets its name; and last, what moves gets its new name, the shallowest first. So
    no step needs a name that something else still has, and names can be swapped.
    """
    builder = _StepBuilder(prepared, staging, edit)
    changes = prepared.changes
    rewrites = [step for planned in changes for step in builder.rewrite(planned)]
    leaving = sorted(changes, key=lambda planned: -len(planned.change.source.parts) if planned.change.source else 0)
    removes = [step for planned in leaving for step in builder.remove(planned)]
    creates = [step for planned in changes for step in builder.create(planned)]
    arriving = sorted(changes, key=lambda planned: len(planned.change.path.parts))
    moves = [step for planned in arriving for step in builder.move(planned)]
    return [*rewrites, *removes, *creates, *moves]


class _StepBuilder:
    def __init__(self, prepared: PreparedPlan, staging: Staging, edit: str) -> None:
        self._prepared, self._staging, self._edit = prepared, staging, edit
        self._count = len(prepared.changes)
        moves = [planned for planned in prepared.changes if prepared.moves_by_itself(planned)]
        # What moves away from a name that another takes, or out of a deleted directory, has a temporary name meanwhile.
        self._temporary_names = {
            planned.number: temporary_name(edit, self._count + number)
            for number, planned in enumerate(moves)
            if self._must_wait(planned.change)
        }

    def _must_wait(self, own: Change) -> bool:
        return any(_collide(own, other) for other in self._prepared.plan.changes if other is not own)

    def rewrite(self, planned: PlannedChange) -> list[Step]:
        change, entry, found = planned.change, planned.source, planned.found
        if entry is None or found is None or change.after is None or self._prepared.is_recreated(planned):
            return []
        steps: list[Step] = []
        if change.rewrites:
            name = self._staging.names[planned.number]
            before, after = found.node.hash or "", change.after.hash or ""
            if found.status.st_nlink == 1:
                return [Replace(entry, name, before, after, identity_of(found.status))]
            steps.append(Overwrite(entry, name, before, after, found.node.content or b""))
        wanted, mode = change.after.mode, stat.S_IMODE(found.status.st_mode)
        if wanted not in (None, mode) and change.after.kind != "link":
            steps.append(Chmod(entry, mode, wanted))
        return steps

    def remove(self, planned: PlannedChange) -> list[Step]:
        change, entry, found = planned.change, planned.source, planned.found
        if entry is None or found is None:
            return []
        is_deleted = change.target is None and not self._prepared.is_deleted_with_parent(change)
        if self._prepared.is_recreated(planned) or is_deleted:
            name = temporary_name(self._edit, 2 * self._count + planned.number)
            marks = self._marks(entry, change.path) if found.node.kind == "directory" else {}
            return [Remove(entry, name, found.node.hash, found.status.st_ino, marks)]
        if change.target is not None and planned.number in self._temporary_names:
            return [Move(entry, self._waiting_entry(planned, change.target), found.status.st_ino)]
        return []

    def _marks(self, entry: DirectoryEntry, path: WorkspacePath) -> dict[Names, tuple[int, ...]]:
        """Return the marks of what is in a deleted directory, but for what is moved out of it or removed before."""
        deleted = self._prepared.deleted
        with about(path):
            return {
                names: mark(inner.stat())
                for names, inner in walk(entry, self._count + MAX_ENTRIES)
                if all(path.child(*names[: depth + 1]) in deleted for depth in range(len(names)))
            }

    def create(self, planned: PlannedChange) -> list[Step]:
        change, entry = planned.change, planned.target
        if not self._prepared.is_created(planned) or entry is None or change.after is None:
            return []
        inside = {
            other.change.path.parts[len(change.path.parts) :]: other.change.after.hash
            for other in self._prepared.changes
            if self._prepared.is_created(other)
            and other.change.after is not None
            and self._prepared.outermost_created(other.change.path) == change.path
        }
        return [Create(entry, self._staging.names[planned.number], change.after.hash, inside)]

    def move(self, planned: PlannedChange) -> list[Step]:
        target, source, found = planned.change.target, planned.source, planned.found
        if not self._prepared.moves_by_itself(planned) or source is None or found is None or target is None:
            return []
        if planned.number in self._temporary_names:
            source = self._waiting_entry(planned, target)
        return [Move(source, self._target(planned, target), found.status.st_ino)]

    def _target(self, planned: PlannedChange, path: WorkspacePath) -> DirectoryEntry:
        """Return where a move ends; a directory that this edit creates is opened once it is staged."""
        parent = WorkspacePath(path.project, path.parts[:-1])
        return planned.target or DirectoryEntry(path, parent, NOWHERE, path.parts[-1])

    def _waiting_entry(self, planned: PlannedChange, path: WorkspacePath) -> DirectoryEntry:
        """Return where something waits: beside its target, as the directory that it comes from may be deleted."""
        return replace(self._target(planned, path), name=self._temporary_names[planned.number])


def _collide(own: Change, other: Change) -> bool:
    """Say whether a move needs a name that another change still has, or has one that the other needs or removes."""
    if own.source is None or own.target is None or other.source == other.target:
        return False
    if own.source == other.target:
        return True
    if other.source is None:
        return False
    return own.target == other.source or own.target.is_below(other.source) or own.source.is_below(other.source)
