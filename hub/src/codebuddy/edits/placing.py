"""Steps by which something comes, goes, or gets another name."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import NoReturn

from codebuddy.edits import disk
from codebuddy.edits.plan import ABSENT
from codebuddy.edits.spots import MAX_ENTRIES, Spot, walk
from codebuddy.edits.steps import Conflict, RevertIncomplete, State, Step, hash_at
from codebuddy.files.paths import WorkspacePath
from codebuddy.tool import ToolError

__all__ = ["Create", "Move", "Remove", "mark"]


@dataclass
class Create(Step):
    """Put something staged where there is nothing.

    Args:
        temporary: where it lies.
        after: hash of a file's content or a link's target; None for a directory.
        inside: what was staged in a directory: names from it down → its hash, None for a directory.
    """

    temporary: str
    after: str | None
    inside: dict[tuple[str, ...], str | None] = field(default_factory=dict)

    def apply(self) -> None:
        try:
            disk.rename(self.spot.fd, self.temporary, self.spot.fd, self.spot.name)
        except FileExistsError:
            raise Conflict(self.spot, ABSENT, hash_at(self.spot)) from None

    def revert(self) -> None:
        if self.after is not None:
            found = hash_at(self.spot)
            if found != self.after:
                raise Conflict(self.spot, self.after, found)
        elif self.spot.stat() is None or not self._holds_ours_only(self.spot.name):
            raise Conflict(self.spot, None, None)
        disk.rename(self.spot.fd, self.spot.name, self.spot.fd, self.temporary)

    def _holds_ours_only(self, name: str) -> bool:
        return all(names in self.inside for names, _ in walk(self.spot, len(self.inside) + MAX_ENTRIES, name))

    def finish(self) -> None:
        disk.remove_tree(self.spot.fd, self.temporary)

    def state(self) -> State:
        found = hash_at(self.spot, self.temporary)
        if found == ABSENT:
            return "lost" if self.spot.stat() is None else "done"
        return "pending" if found == (self.after or "directory") and self._is_complete() else "lost"

    @property
    def is_atomic(self) -> bool:
        return self.after is not None

    def _is_complete(self) -> bool:
        """Say whether all that was staged in a directory is in it; what moves into it may be there already."""
        if self.after is not None:
            return True
        below = walk(self.spot, len(self.inside) + MAX_ENTRIES, self.temporary)
        staged = {names: hash_at(spot) for names, spot in below if names in self.inside}
        return staged == {names: wanted or "directory" for names, wanted in self.inside.items()}


@dataclass
class Remove(Step):
    """Take something away, with all that is in it, to a temporary name.

    Args:
        temporary: where it goes.
        before: hash of a file's content or a link's target; None for a directory.
        inode: of what is removed.
        marks: what is in a directory: names from it down → what tells whether it changed.
    """

    temporary: str
    before: str | None
    inode: int
    marks: dict[tuple[str, ...], tuple[int, ...]] = field(default_factory=dict)

    def apply(self) -> None:
        disk.rename(self.spot.fd, self.spot.name, self.spot.fd, self.temporary)
        self.confirm()

    def confirm(self) -> None:
        found = hash_at(self.spot, self.temporary)
        if found == ABSENT:
            return
        if found != (self.before or "directory") or (self.before is None and self._marks_now() != self.marks):
            self._put_back(Conflict(self.spot, self.before, found))

    def _put_back(self, conflict: Conflict) -> NoReturn:
        try:
            disk.rename(self.spot.fd, self.temporary, self.spot.fd, self.spot.name)
        except FileExistsError:
            raise RevertIncomplete([self], conflict) from conflict
        raise conflict

    def _marks_now(self) -> dict[tuple[str, ...], tuple[int, ...]] | None:
        try:
            return {
                names: mark(spot.stat())
                for names, spot in walk(self.spot, len(self.marks) + MAX_ENTRIES, self.temporary)
            }
        except (ToolError, OSError):
            return None

    def revert(self) -> None:
        try:
            disk.rename(self.spot.fd, self.temporary, self.spot.fd, self.spot.name)
        except FileExistsError:
            raise Conflict(self.spot, ABSENT, hash_at(self.spot)) from None

    def finish(self) -> None:
        disk.remove_tree(self.spot.fd, self.temporary)

    def state(self) -> State:
        status = self.spot.stat()
        if status is None or self.spot.stat(self.temporary) is not None:
            return "done"
        is_same = status.st_ino == self.inode and hash_at(self.spot) == (self.before or "directory")
        return "pending" if is_same else "done"

    @property
    def former(self) -> WorkspacePath:
        return self.spot.directory.child(self.temporary)


@dataclass
class Move(Step):
    """Give something another name, in the same directory or another.

    Args:
        target: where to.
        inode: of what is moved.
    """

    target: Spot
    inode: int

    def apply(self) -> None:
        self._rename(self.spot, self.target)

    def revert(self) -> None:
        self._rename(self.target, self.spot)

    def _rename(self, source: Spot, target: Spot) -> None:
        try:
            disk.rename(source.fd, source.name, target.fd, target.name)
        except FileExistsError:
            raise Conflict(target, ABSENT, hash_at(target)) from None
        except FileNotFoundError:
            raise Conflict(source, None, None) from None
        status = target.stat()
        if status is None or status.st_ino != self.inode:
            conflict = Conflict(source, None, None)
            try:
                disk.rename(target.fd, target.name, source.fd, source.name)
            except FileExistsError:
                raise RevertIncomplete([self], conflict) from conflict
            raise conflict

    def state(self) -> State:
        if self._is_at(self.spot):
            return "pending"
        # What moved may have been replaced since, at its new name.
        was_done = self._is_at(self.target) or (self.spot.stat() is None and self.target.stat() is not None)
        return "done" if was_done else "lost"

    def _is_at(self, spot: Spot) -> bool:
        status = spot.stat()
        return status is not None and status.st_ino == self.inode

    @property
    def directories(self) -> list[int]:
        return [self.spot.fd, self.target.fd]


def mark(status: os.stat_result | None) -> tuple[int, ...]:
    """Give what changes when a file does; of a directory only that it is one, as its times change with what moves."""
    if status is None:
        return ()
    if stat.S_ISDIR(status.st_mode):
        return (stat.S_IFDIR,)
    return status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns
