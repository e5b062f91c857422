"""New content beside its target: complete, on the disk, and with the target's mode, owner and attributes."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from codebuddy.workspace.confinement import Place
from codebuddy.workspace.syscalls import rename_new

__all__ = ["Staged", "stage"]

_KEPT_ATTRIBUTES = ("user.", "system.posix_acl_", "security.selinux", "trusted.")


class Staged:
    """New content that lies beside its target under a temporary name, complete and on the disk."""

    def __init__(self, place: Place, name: str) -> None:
        self._place, self._name = place, name
        self._is_there = True

    def commit(self) -> None:
        """Put it in the place of the target, whatever is there."""
        directory = self._place.directory
        os.rename(self._name, self._place.name, src_dir_fd=directory, dst_dir_fd=directory)
        self._is_there = False
        os.fsync(directory)

    def commit_new(self) -> None:
        """Put it where nothing is yet.

        Raises:
            FileExistsError: there is something now.
        """
        try:
            rename_new(self._place.directory, self._name, self._place.name)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            self.commit()  # a file system without RENAME_NOREPLACE: the check just before has to do
            return
        self._is_there = False
        os.fsync(self._place.directory)

    def discard(self) -> None:
        """Take the temporary file away, if it is still there."""
        if self._is_there:
            with suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=self._place.directory)
            self._is_there = False


@contextmanager
def stage(place: Place, data: bytes, mode: int | None, like: os.stat_result | None) -> Iterator[Staged]:
    """Write new content beside its target; what is not committed inside is taken away again.

    Args:
        place: the target.
        data: the new content.
        mode: permission bits; None keeps those of the old file, or 0o644.
        like: the old file, whose owner, group, mode and attributes the new one gets.
    """
    name = f".codebuddy-{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=place.directory)
    staged = Staged(place, name)
    try:
        try:
            _write_all(fd, data)
            _carry_over(place, fd, mode, like)
            os.fsync(fd)
        finally:
            os.close(fd)
        yield staged
    finally:
        staged.discard()


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _carry_over(place: Place, fd: int, mode: int | None, like: os.stat_result | None) -> None:
    if like is None:
        os.fchmod(fd, 0o644 if mode is None else mode)
        return
    kept_owner = _chown(fd, like.st_uid, like.st_gid)
    bits = like.st_mode & 0o7777
    if mode is not None:
        bits = bits & ~0o777 | mode
    if not kept_owner:
        bits &= 0o777  # set-uid for another user than before would be a gift
    os.fchmod(fd, bits)
    _copy_attributes(place, fd)


def _chown(fd: int, owner: int, group: int) -> bool:
    status = os.fstat(fd)
    if (status.st_uid, status.st_gid) == (owner, group):
        return True
    try:
        os.fchown(fd, owner, group)
    except OSError:
        with suppress(OSError):  # the group alone may be changed to one that the user is in
            os.fchown(fd, -1, group)
        return False
    return True


def _copy_attributes(place: Place, fd: int) -> None:
    """Copy access lists and extended attributes as far as the file system and the user's rights allow."""
    with suppress(OSError):
        source = place.open()
        try:
            for name in os.listxattr(source):
                if name.startswith(_KEPT_ATTRIBUTES):
                    with suppress(OSError):
                        os.setxattr(fd, name, os.getxattr(source, name))
        finally:
            os.close(source)
