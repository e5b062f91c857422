"""The steps of a commit: each is one rename or a similar operation that can be reverted.

Steps work in directories that are held open. New content is staged beside its target under a temporary name; what a
step replaces or removes has that name until the edit is complete. After a crash, the steps are read from the journal,
and each finds out from the disk whether it was done.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from codebuddy.files.confinement import READ_FLAGS, about, require_regular
from codebuddy.files.mounts import mount_of
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import content_hash, read_limited
from codebuddy.hub.edits import disk
from codebuddy.hub.edits.disk_view import (
    ABSENT,
    MAX_EDIT_BYTES,
    MAX_ENTRIES,
    DirectoryEntry,
    Names,
    hash_at,
    spare_name,
    walk,
)
from codebuddy.tool import ToolError

State = Literal["pending", "done", "lost"]
"""Whether a step was done; it is lost when neither can be true, and the edit cannot continue."""

_SHOWN = 20  # files named in a message


class Conflict(ToolError):
    """Another process changed what a step works on."""

    def __init__(self, entry: DirectoryEntry, expected: str | None, actual: str | None) -> None:
        details = f"expected {expected}, it is now {actual}; " if expected and actual else ""
        if details and expected == actual:
            details = "its content is the same, but its inode, mode or owner is not; "
        super().__init__(
            "conflict", f"{entry.path} changed while the edit was made: {details}nothing was written.", str(entry.path)
        )


class RevertIncomplete(ToolError):
    """Some steps could not be reverted, because another process changed their results.

    What those steps replaced or removed stays where it is.
    """

    def __init__(self, steps: Sequence[Step], cause: BaseException) -> None:
        details = ", ".join(
            f"{step.entry.path} (what was there before is {step.displaced})" if step.displaced else f"{step.entry.path}"
            for step in steps[:_SHOWN]
        )
        super().__init__(
            "revert_incomplete",
            f"The edit failed ({cause}) and was reverted, but another process had changed these files meanwhile, and "
            f"they were left as they are: {details}.",
            str(steps[0].entry.path),
        )
        self.steps = tuple(steps)


class RevertFailed(ToolError):
    """A step could not be reverted, because the disk refused; recovery tries again when the hub starts."""

    def __init__(self, step: Step, cause: BaseException) -> None:
        super().__init__(
            "revert_failed",
            f"The edit failed ({cause}), and the disk refuses to revert what was done; repair the disk and restart the "
            "hub, which completes or reverts the edit before it serves.",
            str(step.entry.path),
        )


@dataclass
class Step(ABC):
    """One operation at a directory entry. If `apply` or `revert` raises, nothing has changed.

    The journal stores a step by the names and values of its fields.
    """

    entry: DirectoryEntry

    @abstractmethod
    def apply(self) -> None:
        """Do it; raises `Conflict` if it did not replace what was expected."""

    @abstractmethod
    def revert(self) -> None:
        """Revert it; raises `Conflict` if another process changed its result."""

    @abstractmethod
    def state(self) -> State:
        """Find out from the disk whether it was done."""

    def verify(self) -> None:
        """After a crash: if a step that was done did not replace what was expected, revert it and raise `Conflict`."""
        return

    def clean_up(self) -> None:
        """Remove what is no longer needed once the edit is complete or reverted."""
        return

    @property
    def displaced(self) -> WorkspacePath | None:
        """Where what it replaced or removed is until `clean_up`; None if there is no such thing."""
        return None

    @property
    def directories(self) -> list[int]:
        """The directories in which it changes names."""
        return [self.entry.fd]

    @property
    def renamed(self) -> tuple[WorkspacePath, WorkspacePath] | None:
        """The old and new path of what it renames and may be a directory."""
        return None

    @property
    def is_atomic(self) -> bool:
        """Whether it is always either done or not done, and loses nothing that is not stored elsewhere."""
        return False


@dataclass
class _StagedStep(Step):
    """A step that has something under a temporary name."""

    temporary: str

    @property
    def _temporary_path(self) -> WorkspacePath:
        return self.entry.directory.child(self.temporary)

    def _rename_to_temporary(self) -> None:
        disk.rename(self.entry.fd, self.entry.name, self.entry.fd, self.temporary)

    def _rename_from_temporary(self) -> None:
        """Take the name; raise `Conflict` if something else has it."""
        try:
            disk.rename(self.entry.fd, self.temporary, self.entry.fd, self.entry.name)
        except FileExistsError:
            raise Conflict(self.entry, ABSENT, hash_at(self.entry)) from None


@dataclass
class _Rewrite(_StagedStep):
    """New content for a file: `before` and `after` are hashes of the old and new content."""

    before: str
    after: str

    def clean_up(self) -> None:
        disk.remove_file(self.entry.fd, self.temporary)


@dataclass
class Replace(_Rewrite):
    """Exchange a file with staged content; the old file gets the temporary name.

    Args:
        identity: of the old file, as `identity_of` gives it: the content alone does not show a changed mode.
    """

    identity: tuple[int, ...]

    def apply(self) -> None:
        self._exchange()
        # Only now that no process can reach the old file by its name is it certain what was replaced.
        if not self._replaced_the_expected_file():
            self._exchange()
            raise self._unexpected()

    def _unexpected(self) -> ToolError:
        """Return the error about a file that is not the one which was looked at before."""
        actual, status, mount = hash_at(self.entry), self.entry.stat(), mount_of(self.entry.fd)
        is_alike = actual == self.before and status is not None and identity_of(status)[1:] == self.identity[1:]
        if not is_alike or mount is None or not mount.is_shared:
            return Conflict(self.entry, self.before, actual)
        return ToolError(
            "unsupported",
            f"A file system of the type {mount.type} gives a file another inode when it is renamed, so that nobody can "
            "say whether it is the same file; nothing was written. Keep the project on a local disk or on NFS.",
            str(self.entry.path),
        )

    def _exchange(self) -> None:
        disk.exchange(self.entry.fd, self.temporary, self.entry.name)

    def _replaced_the_expected_file(self) -> bool:
        try:
            with _opened(self.entry, self.temporary) as fd:
                return identity_of(os.fstat(fd)) == self.identity and content_hash(_read(fd)) == self.before
        except ToolError:
            return False

    def verify(self) -> None:
        spare = spare_name(self.temporary)
        if self.entry.stat(self.temporary) is None and self.entry.stat(spare) is not None:
            disk.rename(self.entry.fd, spare, self.entry.fd, self.temporary)
        found = hash_at(self.entry, self.temporary)
        if found not in (self.before, ABSENT):
            self._exchange()
            raise Conflict(self.entry, self.before, found)

    def revert(self) -> None:
        found = hash_at(self.entry)
        if found != self.after:
            raise Conflict(self.entry, self.after, found)
        self._exchange()

    def state(self) -> State:
        if hash_at(self.entry, self.temporary) == self.after:
            return "pending"
        return "lost" if hash_at(self.entry) == self.before else "done"

    @property
    def displaced(self) -> WorkspacePath:
        return self._temporary_path

    @property
    def is_atomic(self) -> bool:
        return True


@dataclass
class Overwrite(_Rewrite):
    """Write staged content into a file with several names (hard links), so that all of them have it.

    Args:
        old: the old content.
    """

    old: bytes = field(repr=False)

    def apply(self) -> None:
        with self._open() as fd:
            found = _read(fd)
            new = self._staged()
            if found != self.old and not _is_mixture(found, self.old, new):
                raise Conflict(self.entry, self.before, content_hash(found))
            try:
                self._write(fd, new)
            except OSError as error:
                try:
                    self._write(fd, self.old)
                except OSError:
                    raise RevertFailed(self, error) from error
                raise

    def revert(self) -> None:
        with self._open() as fd:
            found = _read(fd)
            if not _is_mixture(found, self.old, self._staged()):
                raise Conflict(self.entry, self.after, content_hash(found))
            self._write(fd, self.old)

    @staticmethod
    def _write(fd: int, content: bytes) -> None:
        disk.overwrite(fd, content)
        disk.sync(fd)

    def state(self) -> State:
        found = hash_at(self.entry)
        if found == self.after:
            return "done"
        return "pending" if hash_at(self.entry, self.temporary) == self.after else "lost"

    def _staged(self) -> bytes:
        with about(self.entry.path), _opened(self.entry, self.temporary) as fd:
            return _read(fd)

    def _open(self) -> AbstractContextManager[int]:
        return _opened(self.entry, self.entry.name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


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
            raise Conflict(self.entry, f"mode {old:04o}", ABSENT if found is None else f"mode {found:04o}")
        disk.change_mode(self.entry.fd, self.entry.name, new)

    def _mode(self) -> int | None:
        status = self.entry.stat()
        return None if status is None else stat.S_IMODE(status.st_mode)


@dataclass
class Create(_StagedStep):
    """Give something staged its name, where nothing exists.

    Args:
        after: hash of a file's content or a link's target; None for a directory.
        inside: what was staged in a directory, with its hash, or None for a directory.
    """

    after: str | None
    inside: dict[Names, str | None] = field(default_factory=dict)

    def apply(self) -> None:
        self._rename_from_temporary()

    def revert(self) -> None:
        if self.after is not None:
            found = hash_at(self.entry)
            if found != self.after:
                raise Conflict(self.entry, self.after, found)
        elif self.entry.stat() is None or not self._holds_only_what_was_staged():
            raise Conflict(self.entry, None, None)
        self._rename_to_temporary()

    def _holds_only_what_was_staged(self) -> bool:
        return all(names in self.inside for names, _ in walk(self.entry, len(self.inside) + MAX_ENTRIES))

    def clean_up(self) -> None:
        disk.remove_tree(self.entry.fd, self.temporary)

    def state(self) -> State:
        found = hash_at(self.entry, self.temporary)
        if found == ABSENT:
            return "lost" if self.entry.stat() is None else "done"
        return "pending" if found == (self.after or "directory") and self._is_complete() else "lost"

    def _is_complete(self) -> bool:
        """Say whether a directory has everything that was staged in it; more may have moved into it already."""
        if self.after is not None:
            return True
        below = walk(self.entry, len(self.inside) + MAX_ENTRIES, self.temporary)
        staged = {names: hash_at(entry) for names, entry in below if names in self.inside}
        return staged == {names: wanted or "directory" for names, wanted in self.inside.items()}

    @property
    def renamed(self) -> tuple[WorkspacePath, WorkspacePath]:
        return self._temporary_path, self.entry.real_path

    @property
    def is_atomic(self) -> bool:
        return self.after is not None


@dataclass
class Remove(_StagedStep):
    """Rename something, with everything in it, to a temporary name.

    Args:
        before: hash of a file's content or a link's target; None for a directory.
        inode: of what is removed.
        marks: what is in a directory, each with its `mark`.
    """

    before: str | None
    inode: int
    marks: dict[Names, tuple[int, ...]] = field(default_factory=dict)

    def apply(self) -> None:
        self._rename_to_temporary()
        self.verify()

    def verify(self) -> None:
        found = hash_at(self.entry, self.temporary)
        if found == ABSENT:
            return
        if found != (self.before or "directory") or (self.before is None and self._marks_now() != self.marks):
            conflict = Conflict(self.entry, self.before, found)
            try:
                self._rename_from_temporary()
            except Conflict:
                raise RevertIncomplete([self], conflict) from conflict
            raise conflict

    def _marks_now(self) -> dict[Names, tuple[int, ...]] | None:
        try:
            below = walk(self.entry, len(self.marks) + MAX_ENTRIES, self.temporary)
            return {names: mark(entry.stat()) for names, entry in below}
        except (ToolError, OSError):
            return None

    def revert(self) -> None:
        self._rename_from_temporary()

    def clean_up(self) -> None:
        disk.remove_tree(self.entry.fd, self.temporary)

    def state(self) -> State:
        status = self.entry.stat()
        if status is None or self.entry.stat(self.temporary) is not None:
            return "done"
        is_same = status.st_ino == self.inode and hash_at(self.entry) == (self.before or "directory")
        return "pending" if is_same else "done"

    @property
    def displaced(self) -> WorkspacePath:
        return self._temporary_path

    @property
    def renamed(self) -> tuple[WorkspacePath, WorkspacePath]:
        return self.entry.real_path, self._temporary_path


@dataclass
class Move(Step):
    """Rename something, within a directory or to another.

    Args:
        inode: of what is moved.
    """

    target: DirectoryEntry
    inode: int

    def apply(self) -> None:
        self._rename(self.entry, self.target)

    def revert(self) -> None:
        self._rename(self.target, self.entry)

    def _rename(self, source: DirectoryEntry, target: DirectoryEntry) -> None:
        try:
            disk.rename(source.fd, source.name, target.fd, target.name)
        except FileExistsError:
            raise Conflict(target, ABSENT, hash_at(target)) from None
        except FileNotFoundError:
            raise Conflict(source, None, None) from None
        if not self._is_at(target):
            conflict = Conflict(source, None, None)
            try:
                disk.rename(target.fd, target.name, source.fd, source.name)
            except FileExistsError:
                raise RevertIncomplete([self], conflict) from conflict
            raise conflict

    def state(self) -> State:
        if self._is_at(self.entry):
            return "pending"
        # At its new name, it may have been replaced since.
        was_done = self._is_at(self.target) or (self.entry.stat() is None and self.target.stat() is not None)
        return "done" if was_done else "lost"

    def _is_at(self, entry: DirectoryEntry) -> bool:
        status = entry.stat()
        return status is not None and status.st_ino == self.inode

    @property
    def directories(self) -> list[int]:
        return [self.entry.fd, self.target.fd]

    @property
    def renamed(self) -> tuple[WorkspacePath, WorkspacePath]:
        return self.entry.real_path, self.target.real_path


def identity_of(status: os.stat_result) -> tuple[int, ...]:
    """Identify a file whatever its content; differs when another process replaced it or changed its mode or owner."""
    return status.st_ino, status.st_mode, status.st_uid, status.st_gid


def mark(status: os.stat_result | None) -> tuple[int, ...]:
    """Return values that change when a file does; of a directory only its type, as moves change its times."""
    if status is None:
        return ()
    if stat.S_ISDIR(status.st_mode):
        return (stat.S_IFDIR,)
    return status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns


@contextmanager
def _opened(entry: DirectoryEntry, name: str, flags: int = READ_FLAGS) -> Iterator[int]:
    with about(entry.path):
        fd = os.open(name, flags | os.O_NOFOLLOW, dir_fd=entry.fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _read(fd: int) -> bytes:
    """Read an open regular file from its beginning, unless it is larger than an edit may be."""
    require_regular(os.fstat(fd))
    os.lseek(fd, 0, os.SEEK_SET)
    return read_limited(fd, MAX_EDIT_BYTES)


def _is_mixture(found: bytes, old: bytes, new: bytes) -> bool:
    """Say whether content may be the result of an interrupted overwrite: blocks of the new and of the old content."""
    if not min(len(old), len(new)) <= len(found) <= max(len(old), len(new)):
        return False
    size = 512  # divides the size of every page and sector
    return all(
        _is_mixed(found[at : at + size], old[at : at + size], new[at : at + size]) for at in range(0, len(found), size)
    )


def _is_mixed(found: bytes, old: bytes, new: bytes) -> bool:
    length = len(found)
    return found in (old[:length], new[:length], (new + old[len(new) :])[:length])


# Several steps --------------------------------------------------------------------------------------------------------


def apply_all(steps: Sequence[Step], done: list[Step]) -> None:
    """Apply all steps in order, or none of them.

    Args:
        done: gets the steps that are applied, and loses those that are reverted again.

    Raises:
        ToolError: a step failed, and those before it were reverted.
        RevertIncomplete: some could not be reverted, because another process changed their results.
        RevertFailed: the disk refused to revert some; recovery tries again.
    """
    try:
        for step in steps:
            with about(step.entry.path):
                step.apply()
            done.append(step)
    except BaseException as error:
        left = revert_all(done, error)
        left += error.steps if isinstance(error, RevertIncomplete) else ()
        if left:
            raise RevertIncomplete(left, error) from error
        raise


def revert_all(done: list[Step], cause: BaseException) -> list[Step]:
    """Revert steps, the last first, and remove them from the list; give those whose results another process changed.

    A step that cannot be reverted does not stop the others, which may be in other projects. Those that the disk refuses
    to revert stay in the list, and raise `RevertFailed`.
    """
    left: list[Step] = []
    refused: list[Step] = []
    while done:
        step = done.pop()
        try:
            step.revert()
        except (ToolError, FileNotFoundError, FileExistsError):  # changed, removed, or something else has the name
            left.append(step)
        except OSError:
            refused.insert(0, step)
    done += refused
    if refused:
        raise RevertFailed(refused[0], cause)
    return left
