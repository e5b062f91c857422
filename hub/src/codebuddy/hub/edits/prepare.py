"""A plan on the disk: every directory that it works in held open, and what is there now compared with the plan."""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

from codebuddy.files.confinement import DIRECTORY_FLAGS, Workspaces, about
from codebuddy.files.paths import WorkspacePath
from codebuddy.hub.edits import disk
from codebuddy.hub.edits.draft import (
    ABSENT,
    MAX_EDIT_BYTES,
    MAX_ENTRIES,
    NOWHERE,
    Change,
    Found,
    Node,
    Plan,
    Spot,
    look,
    spare_name,
    temporary_name,
    walk,
)
from codebuddy.hub.edits.steps import Move, Step, mark
from codebuddy.tool import ToolError

_SHOWN = 20  # files named in a message


@dataclass
class Site:
    """A change and where it works.

    Args:
        change: what is to become of it.
        source: where it is.
        target: where it will be; None as well for what lies in a directory that this edit creates.
        found: what is there now.
    """

    change: Change
    source: Spot | None = None
    target: Spot | None = None
    found: Found | None = None


class Worksite:
    """Opens the directories of a plan.

    Args:
        plan: the plan.
        workspaces: the projects.
        max_file_bytes: larger files are not rewritten.
    """

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
        self._deleted = {change.source for change in plan.changes if change.target is None}
        self._keys: set[tuple[int, int, str]] = set()
        self.sites: list[Site] = []

    def __enter__(self) -> Worksite:
        """Hold the directories open inside.

        Raises:
            ToolError: one is not there, or is no longer what the plan took it for.
        """
        try:
            self.sites = [self._site(change) for change in self.plan.changes]
            self._note_keys()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._directories.values():
            os.close(fd)
        self._directories.clear()

    @property
    def keys(self) -> list[tuple[int, int, str]]:
        """What names the files that the plan works on, for locks."""
        return [*self._keys]

    def is_inside_created(self, path: WorkspacePath) -> bool:
        """Say whether a path lies in a directory that this edit creates, and not in one that only moved into it."""
        return self.created_around(path) is not None

    def created_around(self, path: WorkspacePath) -> WorkspacePath | None:
        """Give the outermost directory that is created together with what is at a path; None if none is."""
        if not self.created:
            return None
        nearest = next((above for above in path.parents if above in self.created or above in self._moved), None)
        if nearest is None or nearest not in self.created:
            return None
        return self.created_around(nearest) or nearest

    def is_carried(self, change: Change) -> bool:
        """Say whether it moves only because a directory that it is in does."""
        if change.source is None or change.target is None or not self._moved:
            return False
        for above in change.target.parents:
            if above in self._moved:
                rest = change.target.parts[len(above.parts) :]
                return self._moved[above].child(*rest) == change.source
        return False

    def is_replanted(self, site: Site) -> bool:
        """Say whether it is made anew where it moves to: a file that gets new content too, and has no other name."""
        change, found = site.change, site.found
        return (
            change.moves
            and change.rewrites
            and not self.is_carried(change)
            and found is not None
            and found.status.st_nlink == 1
        )

    def is_deleted_with_parent(self, change: Change) -> bool:
        """Say whether it goes because the directory that it is in does, and does not move out of that before."""
        if change.source is None:
            return False
        return next(iter(change.source.parents), None) in self._deleted

    def check(self) -> None:
        """Compare what is there with what the plan expects, and refuse what may not be changed.

        Raises:
            ToolError: ``conflict``, naming every file that changed and both hashes; ``read_only``; ``too_large``.
        """
        conflicts: list[tuple[WorkspacePath, str]] = []
        total = sum(len(change.after.content or b"") for change in self.plan.changes if change.after)
        for site in self.sites:
            trouble = self._check_source(site) or self._check_target(site)
            if trouble:
                conflicts.append(trouble)
            if site.found is not None:
                total += len(site.found.node.content or b"")
            if total > MAX_EDIT_BYTES:
                raise ToolError(
                    "too_large",
                    f"The edit has more than {MAX_EDIT_BYTES // 1024**2} MiB of old and new content, more than can be "
                    "undone; make several of it, or use run_command, which cannot be undone. Nothing was written.",
                )
        if conflicts:
            raise _conflict(conflicts, is_undo=self.plan.undoes is not None)
        self._refuse_linked()

    def _refuse_linked(self) -> None:
        """Refuse to rewrite a file and change another of its names in one edit: each would find the other's doing."""
        found = [(site, site.found.status) for site in self.sites if site.found is not None]
        linked = [
            (site, (status.st_dev, status.st_ino))
            for site, status in found
            if status.st_nlink > 1 and stat.S_ISREG(status.st_mode)
        ]
        rewritten = {file: site for site, file in linked if site.change.rewrites}
        for site, file in linked:
            other = rewritten.get(file)
            if other is not None and other is not site:
                raise ToolError(
                    "same_file_twice",
                    f"{site.change.path} and {other.change.path} are names of the same file (hard links); change "
                    "one of them, or make two edits of it.",
                    str(site.change.path),
                )

    def _check_source(self, site: Site) -> tuple[WorkspacePath, str] | None:
        change, spot = site.change, site.source
        if spot is None or change.before is None or change.source is None:
            return None
        wants_content = (
            change.rewrites
            or change.target is None
            or change.before.content is not None
            or change.before.hash is not None
        )
        limit = self._max_bytes if change.rewrites else MAX_EDIT_BYTES
        site.found = look(spot, limit, content=wants_content)
        trouble = _difference(change.before, site.found.node if site.found else None)
        if trouble:
            return change.source, trouble
        if change.rewrites and site.found is not None:
            _require_writable(spot, site.found.status)
        if change.target is None and change.before.kind == "directory" and not self.is_deleted_with_parent(change):
            return self._check_listing(site)
        return None

    def _check_listing(self, site: Site) -> tuple[WorkspacePath, str] | None:
        """See that the edit knows all that is in a directory which it deletes."""
        if site.source is None or site.change.source is None:
            return None
        leaving = {change.source for change in self.plan.changes if change.source != change.target}
        with about(site.change.source):
            for names, _ in walk(site.source, len(self.plan.changes) + MAX_ENTRIES):
                inner = site.change.source.child(*names)
                moved = any(above in leaving and above not in self._deleted for above in inner.parents)
                if inner not in leaving and not moved:
                    return inner, "it appeared in a directory that is to be deleted"
        return None

    def _check_target(self, site: Site) -> tuple[WorkspacePath, str] | None:
        change, spot = site.change, site.target
        if spot is None or change.target is None or change.target == change.source or self.is_carried(change):
            return None
        # Where the target is now: its directory may be one that moves there.
        if spot.directory.child(spot.name) in {other.source for other in self.plan.changes}:
            return None  # what is there will be gone
        if spot.stat() is None:
            return None
        there = look(spot, self._max_bytes)
        return change.target, f"expected {ABSENT}, it is now {there.node.hash if there else 'something else'}"

    def marks(self, site: Site) -> dict[tuple[str, ...], tuple[int, ...]]:
        """Give what is in a directory that goes, but for what is moved out of it or goes by itself before."""
        if site.source is None or site.change.source is None:
            return {}
        with about(site.change.source):
            return {
                names: mark(spot.stat())
                for names, spot in walk(site.source, len(self.plan.changes) + MAX_ENTRIES)
                if all(site.change.source.child(*names[: depth + 1]) in self._deleted for depth in range(len(names)))
            }

    # Opening ---------------------------------------------------------------------------------------------------------

    def _site(self, change: Change) -> Site:
        site = Site(change)
        if change.source is not None:
            site.source = self._spot(change.source, change.source)
        if change.target == change.source:
            site.target = site.source
        elif change.target is not None and not self.is_inside_created(change.target) and not self.is_carried(change):
            site.target = self._spot(change.target, self._now(change.target))
        return site

    def _now(self, path: WorkspacePath) -> WorkspacePath:
        """Give where the directory of a future path is now, which a move of this edit may bring there."""
        for above in path.parents if self._moved else ():
            if above in self._moved:
                return self._moved[above].child(*path.parts[len(above.parts) :])
        return path

    def _spot(self, shown: WorkspacePath, path: WorkspacePath) -> Spot:
        parent = WorkspacePath(path.project, path.parts[:-1])
        fd = self._directories.get(parent)
        if fd is None:
            root = self._workspaces.root(path.project)
            fd = self._directories[parent] = root.entry(path).directory
            if root.locate(fd) != parent:
                raise ToolError("conflict", f"{parent} became a link meanwhile; nothing was written.", str(shown))
        return Spot(shown, parent, fd, path.parts[-1])

    def _note_keys(self) -> None:
        """Note what names each file; refuse two changes of one file that reach it by different paths."""
        for spots in ([site.source for site in self.sites], [site.target for site in self.sites]):
            seen: dict[tuple[int, int, str], Spot] = {}
            for spot in spots:
                if spot is None:
                    continue
                key = spot.key
                self._keys.add(key)
                other = seen.setdefault(key, spot)
                if other is not spot:
                    raise ToolError(
                        "same_file_twice", f"{spot.path} and {other.path} are the same file.", str(spot.path)
                    )


def _difference(expected: Node, found: Node | None) -> str | None:
    """Say in what way something is not as it was expected; None when it is."""
    if found is None:
        return f"expected {expected.hash or expected.kind}, it is now {ABSENT}"
    if found.kind != expected.kind:
        return f"expected a {expected.kind}, it is now a {found.kind}"
    if expected.content is not None and found.content == expected.content:
        pass  # which is quicker than to compute two hashes
    elif expected.hash is not None and found.hash != expected.hash:
        return f"expected {expected.hash}, it is now {found.hash}"
    if expected.mode is not None and found.mode is not None and found.mode != expected.mode:
        return f"expected mode {expected.mode:04o}, it is now {found.mode:04o}"
    return None


def _require_writable(spot: Spot, status: os.stat_result) -> None:
    """Refuse what opening for writing would refuse: a rename needs no right on the file itself."""
    mode = stat.S_IMODE(status.st_mode)
    if not mode & 0o222:
        raise ToolError(
            "read_only", f"The file is marked read-only (mode {mode:04o}); change that first.", str(spot.path)
        )
    if os.fstatvfs(spot.fd).f_flag & os.ST_RDONLY:
        raise ToolError("read_only", "This part of the project is mounted read-only.", str(spot.path))
    if not os.access(spot.name, os.W_OK, dir_fd=spot.fd, effective_ids=True, follow_symlinks=False):
        raise ToolError(
            "permission_denied", "The hub's user may not write this file; check its owner and mode.", str(spot.path)
        )


def _conflict(conflicts: list[tuple[WorkspacePath, str]], *, is_undo: bool) -> ToolError:
    told = "; ".join(f"{path}: {trouble}" for path, trouble in conflicts[:_SHOWN])
    more = f"; and {len(conflicts) - _SHOWN} more" if len(conflicts) > _SHOWN else ""
    since, advice = ("it was read", "; read again") if not is_undo else ("that edit", "; undo later edits of it first")
    return ToolError(
        "conflict", f"Changed since {since}: {told}{more}. Nothing was written{advice}.", str(conflicts[0][0])
    )


class Stage:
    """Stages what a plan creates or rewrites.

    Args:
        worksite: the open plan.
        edit: id of the edit.
    """

    def __init__(self, worksite: Worksite, edit: str) -> None:
        self._worksite, self._edit = worksite, edit
        self._to_sync: list[int] = []
        self._directories: dict[WorkspacePath, int] = {}
        self.names = {
            id(site): temporary_name(edit, number)
            for number, site in enumerate(worksite.sites)
            if self._is_staged(site)
        }

    @property
    def temporaries(self) -> list[tuple[Spot, str]]:
        """Where something will be staged, and under which name."""
        staged = [site for site in self._worksite.sites if id(site) in self.names]
        return [(self._spot(site), self.names[id(site)]) for site in staged]

    def write(self) -> list[int]:
        """Write all of it; give the descriptors of what is not on the disk yet, which `close` closes.

        Raises:
            ToolError: something cannot be written; what was staged before it is left for `discard`.
        """
        for site in self._worksite.sites:
            if id(site) in self.names:
                with about(site.change.path):
                    self._stage(site)
        self._fill_directories()
        return self._to_sync

    def close(self) -> None:
        """Close what is open."""
        for fd in {*self._to_sync, *self._directories.values()}:
            os.close(fd)
        self._to_sync.clear()
        self._directories.clear()

    def discard(self, kept: Container[WorkspacePath | None] = ()) -> None:
        """Remove what was staged and is still there, but for what is to be kept."""
        for spot, name in self.temporaries:
            if spot.directory.child(name) not in kept:
                disk.remove_tree(spot.fd, name)
                disk.remove_tree(spot.fd, spare_name(name))

    def enter_created(self, steps: Iterable[Step]) -> None:
        """Have moves go into the directories that were staged, now that there are descriptors of them."""
        for step in steps:
            if isinstance(step, Move):
                step.spot, step.target = self._entered(step.spot), self._entered(step.target)

    def _entered(self, spot: Spot) -> Spot:
        return replace(spot, fd=self._directories[spot.directory]) if spot.fd == NOWHERE else spot

    def _spot_in_created(self, path: WorkspacePath) -> Spot:
        parent = WorkspacePath(path.project, path.parts[:-1])
        return Spot(path, parent, self._directories[parent], path.parts[-1])

    def _is_staged(self, site: Site) -> bool:
        if self._is_new(site):
            return not self._worksite.is_inside_created(site.change.path)
        return site.change.rewrites

    def _is_new(self, site: Site) -> bool:
        return site.change.source is None or self._worksite.is_replanted(site)

    def _spot(self, site: Site) -> Spot:
        spot = site.target if self._is_new(site) else site.source
        if spot is None:
            raise ValueError("a staged change without a place")
        return spot

    def _stage(self, site: Site) -> None:
        spot, name, after = self._spot(site), self.names[id(site)], site.change.after
        if after is None:
            return
        self._make(spot.fd, name, after, site.change.path, like=site.found.node if site.found else None)

    def _make(self, fd: int, name: str, node: Node, path: WorkspacePath, like: Node | None = None) -> None:
        if node.kind == "link":
            disk.create_link(fd, name, node.content or b"", node.owner)
        elif node.kind == "directory":
            disk.create_directory(fd, name, 0o700)
            self._directories[path] = os.open(name, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=fd)
            self._to_sync.append(self._directories[path])
        else:
            made = disk.create_file(fd, name, node.content or b"")
            self._to_sync.append(made)
            self._set(made, node, like)

    def _set(self, fd: int, node: Node, like: Node | None) -> None:
        known = like or node
        mode = node.mode if node.mode is not None else known.mode
        disk.set_attributes(fd, known.owner, 0o644 if mode is None else mode, dict(known.attributes))

    def _fill_directories(self) -> None:
        """Put what is created inside created directories where it belongs; then give those their modes."""
        inside = [
            site
            for site in self._worksite.sites
            if self._is_new(site) and self._worksite.is_inside_created(site.change.path)
        ]
        for site in sorted(inside, key=lambda site: site.change.path):
            if site.change.after is not None:
                with about(site.change.path):
                    spot = self._spot_in_created(site.change.path)
                    like = site.found.node if site.found else None
                    self._make(spot.fd, spot.name, site.change.after, site.change.path, like)
        for path, fd in sorted(self._directories.items(), reverse=True):
            after = self._worksite.created[path].after
            if after is not None:
                if after.owner is None:  # new: what it inherits from the directory around it stays
                    after = replace(after, mode=(after.mode or 0o755) | os.fstat(fd).st_mode & 0o7000)
                with about(path):
                    self._set(fd, after, None)
