"""The two Linux calls that Python's ``os`` does not offer: openat2 and renameat2."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import lru_cache

__all__ = ["exchange", "openat2_beneath", "openat2_works", "rename_new"]

# openat2(2), linux/openat2.h. The number is the same on every architecture (unified since 5.x).
_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_OpenHow), ctypes.c_size_t]


def openat2_beneath(directory: int, path: str, flags: int) -> int:
    """Open an existing path such that no step of its resolution, through ``..`` or a link, leaves the directory.

    Args:
        directory: descriptor of the directory that confines.
        path: relative path, as `os.fsdecode` gives it.
        flags: as for `os.open`; ``O_CREAT`` is not supported.

    Returns:
        A new descriptor, which the caller closes.

    Raises:
        OSError: ``EXDEV`` when the path would leave, ``EAGAIN`` when a rename raced with ``..`` (try again), and as
            open(2).
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    name = os.fsencode(path)
    while True:
        descriptor = int(_syscall(_OPENAT2, directory, name, ctypes.byref(how), ctypes.sizeof(how)))
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), path)


@lru_cache(maxsize=1)
def openat2_works() -> bool:
    """Say whether kernel (5.6 or newer) and seccomp profile allow openat2."""
    try:
        os.close(openat2_beneath(_AT_FDCWD, ".", os.O_PATH | os.O_DIRECTORY))
    except OSError as error:
        return error.errno not in (errno.ENOSYS, errno.EPERM, errno.EINVAL)
    return True


def rename_new(source: int, name: str, target: int, new_name: str) -> None:
    """Rename, within a directory or between two, but never over something that exists.

    Raises:
        OSError: ``EEXIST`` when the new name is taken; ``EINVAL`` or ``ENOSYS`` when the file system cannot do it.
    """
    _renameat2(source, name, target, new_name, _RENAME_NOREPLACE)


def exchange(one: int, name: str, other: int, other_name: str) -> None:
    """Swap what two names stand for, in one step.

    Raises:
        OSError: ``ENOENT`` when one of them is not there; ``EINVAL`` or ``ENOSYS`` when the file system cannot do it.
    """
    _renameat2(one, name, other, other_name, _RENAME_EXCHANGE)


def _renameat2(source: int, name: str, target: int, new_name: str, flags: int) -> None:
    try:
        renameat2 = _libc.renameat2  # glibc 2.28 and newer; musl has none
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if renameat2(source, os.fsencode(name), target, os.fsencode(new_name), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new_name)
