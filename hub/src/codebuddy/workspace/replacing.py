"""Replacing files atomically: every reader sees the old content or the new, and a failure leaves no trace.

The new content is staged in a temporary file beside the target and renamed over it, so the target's inode changes.
Mode, owner, group, access lists and extended attributes are carried over. **Hard links are not kept**: the other names
keep the old content. That is on purpose: package stores link their files into many projects, and a write in one project
must not be seen in another.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from weakref import WeakValueDictionary

from codebuddy.errors import ToolError
from codebuddy.workspace.confinement import Place, ProjectRoot, require_regular
from codebuddy.workspace.failures import about
from codebuddy.workspace.parents import made_parents
from codebuddy.workspace.paths import WorkspacePath
from codebuddy.workspace.reading import MAX_FILE_BYTES, read_limited
from codebuddy.workspace.staging import stage
from codebuddy.workspace.text import content_hash

__all__ = ["ABSENT", "Change", "Replacement", "locked", "replace_file"]

ABSENT = "absent"
"""As expected_hash: there must be no file yet."""

_ATTEMPTS = 8

Change = Callable[[bytes | None], bytes]
"""Gives a file's new bytes for its old ones (None when there is no file); must be pure, as it may be called again."""


@dataclass(frozen=True)
class Replacement:
    """What was done.

    Args:
        before: the old bytes; None when the file is new.
        after: the new bytes.
        written: False when there was nothing to change.
    """

    before: bytes | None
    after: bytes
    written: bool


@dataclass(frozen=True)
class _Seen:
    """A file as it was read."""

    data: bytes
    status: os.stat_result

    def is_still(self, other: _Seen | None) -> bool:
        return (
            other is not None
            and (self.status.st_dev, self.status.st_ino) == (other.status.st_dev, other.status.st_ino)
            and self.data == other.data
        )


class _ChangedMeanwhile(Exception):
    """Somebody else wrote between reading and replacing."""


def replace_file(
    root: ProjectRoot,
    path: WorkspacePath,
    change: Change,
    *,
    expected_hash: str | None = None,
    mode: int | None = None,
    limit: int = MAX_FILE_BYTES,
) -> Replacement:
    """Read a file, compute its new content, and replace it, as one step with respect to every other call of this.

    Against writers outside the hub, the content is compared once more immediately before the rename; if it changed, the
    whole is done again with what is there then. Missing parent directories are created, and taken away again on
    failure.

    Args:
        change: computes the new bytes.
        expected_hash: hash that the old content must have, or `ABSENT`.
        mode: permission bits to set; None keeps those of the old file, or 0o644.
        limit: bytes at most, old and new.

    Raises:
        ToolError: ``conflict``, ``changed_meanwhile``, ``too_large``, ``read_only``, ``disk_full``,
            ``permission_denied``, what `change` raises, and as `ProjectRoot.place`.
    """
    with about(path), made_parents(root, path):
        for _ in range(_ATTEMPTS):
            with root.place(path) as place, locked(place), suppress(_ChangedMeanwhile):
                return _replace_once(place, change, expected_hash, mode, limit)
        raise ToolError("changed_meanwhile", "Another process keeps writing this file; nothing was written. Try again.")


def _replace_once(place: Place, change: Change, expected: str | None, mode: int | None, limit: int) -> Replacement:
    old = _read(place, limit)
    _check_hash(old, expected)
    before = None if old is None else old.data
    after = change(before)
    if len(after) > limit:
        raise ToolError(
            "too_large", f"The new content has {len(after)} bytes and the limit is {limit}; nothing was written."
        )
    if old is not None:
        if after == before and mode in (None, old.status.st_mode & 0o777):
            return Replacement(before, after, written=False)
        _check_writable(place, old.status)
    with stage(place, after, mode, like=None if old is None else old.status) as staged:
        if old is None:
            try:
                staged.commit_new()
            except FileExistsError:
                raise _ChangedMeanwhile from None
        elif old.is_still(_read(place, limit)):
            staged.commit()
        else:
            raise _ChangedMeanwhile
    return Replacement(before, after, written=True)


def _read(place: Place, limit: int) -> _Seen | None:
    try:
        fd = place.open()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link was put here after the place was found
            raise _ChangedMeanwhile from None
        raise
    try:
        status = os.fstat(fd)
        require_regular(status)
        return _Seen(read_limited(fd, limit), status)
    finally:
        os.close(fd)


def _check_hash(old: _Seen | None, expected: str | None) -> None:
    actual = ABSENT if old is None else content_hash(old.data)
    if expected is None or expected == actual:
        return
    if old is None:
        raise ToolError(
            "conflict", f"The file does not exist; leave expected_hash out or give '{ABSENT}' to create it."
        )
    if expected == ABSENT:
        raise ToolError("conflict", f"The file exists already, with hash {actual}; read it first.")
    raise ToolError("conflict", f"The file changed since it was read: its hash is now {actual}; read it again.")


def _check_writable(place: Place, status: os.stat_result) -> None:
    """Refuse what opening for writing would refuse: a rename needs no right on the file itself."""
    if not status.st_mode & 0o222:
        raise ToolError(
            "read_only", f"The file is marked read-only (mode {status.st_mode & 0o7777:04o}); change that first."
        )
    if not os.access(place.name, os.W_OK, dir_fd=place.directory, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


class _Lock:
    """A lock that can be weakly referenced, as `threading.Lock` itself cannot be in a typed way."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


_locks: WeakValueDictionary[tuple[int, int, str], _Lock] = WeakValueDictionary()
_locks_guard = threading.Lock()


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Hold the lock of a file against all other writers in this process."""
    status = os.fstat(place.directory)
    with _locks_guard:
        holder = _locks.setdefault((status.st_dev, status.st_ino, place.name), _Lock())
    with holder.lock:
        yield
