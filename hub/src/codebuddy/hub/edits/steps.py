"""The steps of a commit: each one rename or the like, which can be taken back, and told apart from one not yet done.

A step works in directories that are held open. New content lies staged beside its target under a temporary name; what
it replaces or removes gets that name until the edit stands. After a crash the steps are made anew from the journal, and
each tells by what is there how far it got.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from codebuddy.files.confinement import READ_FLAGS, about, require_regular
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import content_hash
from codebuddy.files.walking import read_limited
from codebuddy.hub.edits import disk
from codebuddy.hub.edits.draft import ABSENT, MAX_EDIT_BYTES, MAX_ENTRIES, Spot, look, spare_name, walk
from codebuddy.tool import ToolError

State = Literal["pending", "done", "lost"]
"""How far a step got: not begun, done, or neither can be said and it cannot be gone on with."""

_SHOWN = 20


class Conflict(ToolError):
    """Somebody else changed what a step works on."""

    def __init__(self, spot: Spot, expected: str | None, actual: str | None) -> None:
        told = f"expected {expected}, it is now {actual}; " if expected and actual else ""
        super().__init__(
            "conflict", f"{spot.path} changed while the edit was made: {told}nothing was written.", str(spot.path)
        )


class RevertIncomplete(ToolError):
    """A step could not be taken back, because somebody else changed what it had done.

    Args:
        steps: such steps; what they replaced or removed is kept where it lies.
        cause: why they were to be taken back.
    """

    def __init__(self, steps: Sequence[Step], cause: BaseException) -> None:
        told = ", ".join(_told(step) for step in steps[:_SHOWN])
        super().__init__(
            "revert_incomplete",
            f"The edit failed ({cause}) and was taken back, but another process had changed these files meanwhile, and "
            f"they were left as they are: {told}.",
            str(steps[0].spot.path),
        )
        self.steps = tuple(steps)


class RevertFailed(ToolError):
    """A step could not be taken back, because the disk refused; recovery tries again when the hub starts."""

    def __init__(self, step: Step, cause: BaseException) -> None:
        super().__init__(
            "revert_failed",
            f"The edit failed ({cause}), and the disk refuses to take back what was done; see to the disk and restart "
            "the hub, which ends the edit before it serves.",
            str(step.spot.path),
        )


def _told(step: Step) -> str:
    former = f" (what was there before is {step.former})" if step.former is not None else ""
    return f"{step.spot.path}{former}"


@dataclass
class Step(ABC):
    """One step; `apply` and `revert` leave things as they were when they raise.

    Args:
        spot: where.
    """

    spot: Spot

    @abstractmethod
    def apply(self) -> None:
        """Do it, and make sure that it met what it was to meet.

        Raises:
            Conflict: it did not.
            OSError: it cannot be done.
        """

    @abstractmethod
    def revert(self) -> None:
        """Take it back, if what it left is still there.

        Raises:
            Conflict: somebody changed it since.
        """

    @abstractmethod
    def state(self) -> State:
        """Say how far it got, by what is there."""

    def confirm(self) -> None:
        """After a crash, of a step that was done: make sure that it met what it was to meet; else put that back.

        Raises:
            Conflict: it did not.
        """
        return

    def finish(self) -> None:
        """Remove what is no longer needed, once the edit stands or was taken back."""
        return

    @property
    def former(self) -> WorkspacePath | None:
        """Where what it replaced or removed lies until `finish`; None if it does not do that."""
        return None

    @property
    def directories(self) -> list[int]:
        """The directories whose names it changes."""
        return [self.spot.fd]

    @property
    def is_atomic(self) -> bool:
        """Whether it is done or not done whatever happens, and loses nothing that is not elsewhere."""
        return False


def hash_at(spot: Spot, name: str | None = None) -> str:
    """Give the hash of what is there: of a file's content or a link's target, or what else it is."""
    try:
        found = look(spot, MAX_EDIT_BYTES, attributes=False, name=name)
    except ToolError as error:
        return error.code
    if found is None:
        return ABSENT
    return found.node.hash or found.node.kind


@dataclass
class Replace(Step):
    """Put staged content in the place of a file; the old file takes the temporary name.

    Args:
        temporary: where the new content lies.
        before: hash of the old content.
        after: hash of the new content.
        identity: of the old file, as `identity_of` gives it: its content alone does not show a changed mode.
    """

    temporary: str
    before: str
    after: str
    identity: tuple[int, ...]

    def apply(self) -> None:
        disk.exchange(self.spot.fd, self.temporary, self.spot.name)
        # Only now that nobody reaches the old file by its name can it be said what was replaced.
        if not self._replaced_the_right_one():
            disk.exchange(self.spot.fd, self.temporary, self.spot.name)
            raise Conflict(self.spot, self.before, hash_at(self.spot))

    def _replaced_the_right_one(self) -> bool:
        try:
            fd = os.open(self.temporary, READ_FLAGS | os.O_NOFOLLOW, dir_fd=self.spot.fd)
        except OSError:
            return False
        try:
            return identity_of(os.fstat(fd)) == self.identity and content_hash(_read(fd)) == self.before
        except ToolError:
            return False
        finally:
            os.close(fd)

    def confirm(self) -> None:
        spare = spare_name(self.temporary)
        if self.spot.stat(self.temporary) is None and self.spot.stat(spare) is not None:
            disk.rename(self.spot.fd, spare, self.spot.fd, self.temporary)
        found = hash_at(self.spot, self.temporary)
        if found not in (self.before, ABSENT):
            disk.exchange(self.spot.fd, self.temporary, self.spot.name)
            raise Conflict(self.spot, self.before, found)

    def revert(self) -> None:
        found = hash_at(self.spot)
        if found != self.after:
            raise Conflict(self.spot, self.after, found)
        disk.exchange(self.spot.fd, self.temporary, self.spot.name)

    def finish(self) -> None:
        disk.remove_file(self.spot.fd, self.temporary)

    def state(self) -> State:
        if hash_at(self.spot, self.temporary) == self.after:
            return "pending"
        return "lost" if hash_at(self.spot) == self.before else "done"

    @property
    def former(self) -> WorkspacePath:
        return self.spot.directory.child(self.temporary)

    @property
    def is_atomic(self) -> bool:
        return True


@dataclass
class Overwrite(Step):
    """Write staged content into a file that has several names (hard links), which all are to have it.

    Args:
        temporary: where the new content lies.
        before: hash of the old content.
        after: hash of the new content.
        old: the old content.
    """

    temporary: str
    before: str
    after: str
    old: bytes = field(repr=False)

    def apply(self) -> None:
        fd = self._open()
        try:
            found = _read(fd)
            new = self._staged()
            if found != self.old and not _is_mixture(found, self.old, new):
                raise Conflict(self.spot, self.before, content_hash(found))
            try:
                disk.overwrite(fd, new)
                disk.sync(fd)
            except OSError as error:
                self._restore(fd, error)
                raise
        finally:
            os.close(fd)

    def _restore(self, fd: int, error: OSError) -> None:
        try:
            disk.overwrite(fd, self.old)
            disk.sync(fd)
        except OSError:
            raise RevertFailed(self, error) from error

    def revert(self) -> None:
        fd = self._open()
        try:
            found = _read(fd)
            if not _is_mixture(found, self.old, self._staged()):
                raise Conflict(self.spot, self.after, content_hash(found))
            disk.overwrite(fd, self.old)
            disk.sync(fd)
        finally:
            os.close(fd)

    def finish(self) -> None:
        disk.remove_file(self.spot.fd, self.temporary)

    def state(self) -> State:
        found = hash_at(self.spot)
        if found == self.after:
            return "done"
        return "pending" if hash_at(self.spot, self.temporary) == self.after else "lost"

    def _staged(self) -> bytes:
        with about(self.spot.path):
            fd = os.open(self.temporary, READ_FLAGS | os.O_NOFOLLOW, dir_fd=self.spot.fd)
            try:
                return _read(fd)
            finally:
                os.close(fd)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with about(self.spot.path):
            return os.open(self.spot.name, flags, dir_fd=self.spot.fd)


@dataclass
class Chmod(Step):
    """Set the permission bits of a file or directory."""

    before: int
    after: int

    def apply(self) -> None:
        self._change(self.before, self.after)

    def revert(self) -> None:
        self._change(self.after, self.before)

    def state(self) -> State:
        return "done" if self._mode() == self.after else "pending"

    def _change(self, old: int, new: int) -> None:
        found = self._mode()
        if found != old:
            raise Conflict(self.spot, f"mode {old:04o}", ABSENT if found is None else f"mode {found:04o}")
        disk.change_mode(self.spot.fd, self.spot.name, new)

    def _mode(self) -> int | None:
        status = self.spot.stat()
        return None if status is None else stat.S_IMODE(status.st_mode)


def identity_of(status: os.stat_result) -> tuple[int, ...]:
    """Give what stays the same of a file whatever its content, unless somebody else changes it."""
    return status.st_ino, status.st_mode, status.st_uid, status.st_gid


def _read(fd: int) -> bytes:
    """Read an open regular file from its beginning; no more of it than an edit may have.

    Raises:
        ToolError: ``not_a_file``, ``too_large``.
    """
    require_regular(os.fstat(fd))
    os.lseek(fd, 0, os.SEEK_SET)
    return read_limited(fd, MAX_EDIT_BYTES)


def _is_mixture(found: bytes, old: bytes, new: bytes) -> bool:
    """Say whether content is what an interrupted overwrite leaves: stretches of the new and stretches of the old."""
    if not min(len(old), len(new)) <= len(found) <= max(len(old), len(new)):
        return False
    size = 512  # a power of two that every page and sector size is a multiple of
    return all(
        _is_mixed(found[at : at + size], old[at : at + size], new[at : at + size]) for at in range(0, len(found), size)
    )


def _is_mixed(found: bytes, old: bytes, new: bytes) -> bool:
    length = len(found)
    return found in (old[:length], new[:length], (new + old[len(new) :])[:length])


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
