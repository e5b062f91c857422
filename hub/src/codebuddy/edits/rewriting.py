"""Steps on files that stay where they are: new content in the place of the old, or a new mode."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from codebuddy.edits import disk
from codebuddy.edits.names import spare_name
from codebuddy.edits.plan import ABSENT
from codebuddy.edits.spots import MAX_EDIT_BYTES
from codebuddy.edits.steps import Conflict, RevertFailed, State, Step, hash_at
from codebuddy.files.confinement import READ_FLAGS, about, require_regular
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import content_hash
from codebuddy.files.walking import read_limited
from codebuddy.tool import ToolError

__all__ = ["Chmod", "Overwrite", "Replace", "identity_of"]


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
