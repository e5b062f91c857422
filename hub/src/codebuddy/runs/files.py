"""Files of ours where a project can write too: whatever it put in their place is not waited for and not followed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["create_file", "open_file"]


def create_file(path: Path) -> BinaryIO:
    """Make a file to write to.

    Raises:
        OSError: it cannot be made, or something is there.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return open(os.open(path, flags, 0o600), "wb")


def open_file(path: Path, most: int | None = None) -> BinaryIO:
    """Open a file to read it.

    Args:
        path: its path.
        most: how large it may be, in bytes; None: whoever reads it has a bound.

    Raises:
        OSError: it cannot be opened, is none (a FIFO would be waited for), is a link, or is larger.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or (most is not None and found.st_size > most):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "It is not a file, or larger than one of these is", str(path))
    return open(descriptor, "rb")
