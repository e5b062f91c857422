"""Walking a project's tree by directory descriptors, never through a link, in a fixed order, within bounds."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal

from codebuddy.workspace.confinement import DIRECTORY_FLAGS, ProjectRoot
from codebuddy.workspace.ignore import IgnoreRules
from codebuddy.workspace.paths import WorkspacePath

__all__ = ["Bounds", "Entry", "Kind", "StopReason", "Walk"]

Kind = Literal["file", "directory", "link", "other"]
StopReason = Literal["limit", "timed_out", "too_many_entries", "too_much_text"]

_MAX_DEPTH = 100  # each level of a walk holds one descriptor
_MAX_DIRECTORY = 500_000


@dataclass(frozen=True)
class Entry:
    """Something in a directory; ``parent`` is open only until the walk goes on."""

    parts: tuple[str, ...]
    kind: Kind
    parent: int

    @property
    def name(self) -> str:
        """Its name in its directory."""
        return self.parts[-1]

    def size(self) -> int | None:
        """Bytes of a regular file; None if it is none, or is gone."""
        try:
            status = os.stat(self.name, dir_fd=self.parent, follow_symlinks=False)
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None


@dataclass
class Bounds:
    """When to stop: at a time of `time.monotonic`, after so many entries, or when told to."""

    deadline: float
    max_entries: int = 200_000
    stop: threading.Event = field(default_factory=threading.Event)

    def reached(self, visited: int = 0) -> StopReason | None:
        """Say which bound is reached."""
        if self.stop.is_set() or time.monotonic() > self.deadline:
            return "timed_out"
        return "too_many_entries" if visited >= self.max_entries else None


class Walk:
    """One walk below a directory, depth first, names in order of their code points; `.git` is always left out.

    Args:
        root: the project.
        start: directory to walk; when ignore rules hide it, they are not applied, because it was asked for by name.
        bounds: when to stop.
        max_depth: levels below start; 1 gives its own entries only.
        after: parts of a path that an earlier walk ended at: all up to it is left out.
        again: give the entry at ``after`` itself once more.
        include_ignored: do not apply ignore rules.

    Attributes:
        ignored: entries left out because of ignore rules.
        unreadable: directories that could not be opened, are too deep, or have too many entries to list all.
        last: parts of the last path that is done with.
        reason: why the walk ended before its end, if it did.
    """

    def __init__(
        self,
        root: ProjectRoot,
        start: WorkspacePath,
        bounds: Bounds,
        *,
        max_depth: int = _MAX_DEPTH,
        after: tuple[str, ...] = (),
        again: bool = False,
        include_ignored: bool = False,
    ) -> None:
        self._root, self._start, self._bounds = root, start, bounds
        self._max_depth, self._include_ignored = min(max_depth, _MAX_DEPTH), include_ignored
        self._after, self._again = after, again
        self._visited = 0
        self.ignored = 0
        self.unreadable = 0
        self.last = after
        self.reason: StopReason | None = None

    def entries(self) -> Generator[Entry, None, None]:
        """Give the entries; close the generator to end the walk early.

        Raises:
            ToolError: the start is no directory inside the project.
        """
        with self._root.directory(self._start) as fd:
            rules = IgnoreRules() if self._include_ignored else self._rules_above()
            yield from self._directory(fd, self._start.parts, rules, 1)

    def _rules_above(self) -> IgnoreRules:
        """Collect the rules of the directories above the start; none count if they hide the start itself."""
        rules = IgnoreRules()
        for depth in range(len(self._start.parts)):
            above = WorkspacePath(self._start.project, self._start.parts[:depth])
            with self._root.directory(above) as fd:
                rules = rules.entering(fd, depth)
            if rules.hides(self._start.parts[: depth + 1], is_directory=True):
                self._include_ignored = True
                return IgnoreRules()
        return rules

    def _directory(
        self, fd: int, parts: tuple[str, ...], rules: IgnoreRules, depth: int
    ) -> Generator[Entry, None, None]:
        if not self._include_ignored:
            rules = rules.entering(fd, len(parts))
        for name, kind in self._listed(fd):
            here = (*parts, name)
            again = self._again and here == self._after
            inside = self._after[: len(here)] == here and not again  # `after` lies at or below this entry
            if here <= self._after and not again and not (inside and kind == "directory"):
                continue
            if self.reason is None:
                self.reason = self._bounds.reached(self._visited)
            if self.reason is not None:
                return
            self._visited += 1
            if self._hidden(here, kind, rules):
                self.last = here  # so that going on from here makes progress even where all is hidden
                continue
            if not inside:
                yield Entry(here, kind, fd)
                self.last = here
            if kind == "directory" and depth < self._max_depth:
                yield from self._below(fd, here, rules, depth)
            elif kind == "directory" and depth >= _MAX_DEPTH:
                self.unreadable += 1

    def _below(self, fd: int, here: tuple[str, ...], rules: IgnoreRules, depth: int) -> Generator[Entry, None, None]:
        with ExitStack() as opened:
            try:
                child = os.open(here[-1], DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=fd)
            except FileNotFoundError:
                return
            except OSError:  # forbidden, or a link was put in its place
                self.unreadable += 1
                return
            opened.callback(os.close, child)
            yield from self._directory(child, here, rules, depth + 1)

    def _listed(self, fd: int) -> list[tuple[str, Kind]]:
        names: list[tuple[str, Kind]] = []
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    names.append((entry.name, _kind(entry)))
                    if len(names) >= _MAX_DIRECTORY:
                        self.unreadable += 1
                        break
        except OSError:
            self.unreadable += 1
        return sorted(names)

    def _hidden(self, parts: tuple[str, ...], kind: Kind, rules: IgnoreRules) -> bool:
        if parts[-1] == ".git":
            return True
        if self._include_ignored or not rules.hides(parts, kind == "directory"):
            return False
        self.ignored += 1
        return True


def _kind(entry: os.DirEntry[str]) -> Kind:
    try:
        if entry.is_symlink():
            return "link"
        if entry.is_dir(follow_symlinks=False):
            return "directory"
        return "file" if entry.is_file(follow_symlinks=False) else "other"
    except OSError:
        return "other"
