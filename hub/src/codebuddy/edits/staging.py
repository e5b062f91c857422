"""New content beside its target, complete and with the target's mode, owner and attributes, before anything changes."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from dataclasses import replace

from codebuddy.edits import disk
from codebuddy.edits.names import spare_name, temporary_name
from codebuddy.edits.placing import Move
from codebuddy.edits.plan import Node
from codebuddy.edits.spots import NOWHERE, Spot
from codebuddy.edits.steps import Step
from codebuddy.edits.worksite import Site, Worksite
from codebuddy.files.confinement import DIRECTORY_FLAGS, about
from codebuddy.files.paths import WorkspacePath

__all__ = ["Stage"]


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
