"""inotify(7), as it is: the kernel queues an event with the change itself, so what was changed before can be read.

Own bindings, for the wrappers that there are bring more than they save: threads that hide the queue behind a delay, or
no types and a look-up of the C library that starts programs.
"""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

__all__ = ["Event", "Inotify", "Mask"]

_HEAD: Final = struct.Struct("iIII")  # struct inotify_event: wd, mask, cookie, len
_READ_SIZE: Final = 64 * 1024


class Mask(IntFlag):
    """Bits of <sys/inotify.h>."""

    MODIFY = 0x2
    ATTRIB = 0x4
    CLOSE_WRITE = 0x8
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATE = 0x100
    DELETE = 0x200
    DELETE_SELF = 0x400
    MOVE_SELF = 0x800
    UNMOUNT = 0x2000
    Q_OVERFLOW = 0x4000
    IGNORED = 0x8000
    ONLYDIR = 0x1000000
    DONT_FOLLOW = 0x2000000
    EXCL_UNLINK = 0x4000000
    ISDIR = 0x40000000


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Args:
        watch: the number of the watch; -1 when events were lost.
        mask: bits of `Mask`.
        name: the name in the watched directory; empty for the directory itself.
    """

    watch: int
    mask: int
    name: str


class Inotify:
    """One queue of events.

    Raises:
        OSError: the user has as many as are allowed.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Give the descriptor; it is readable when there are events."""
        return self._descriptor

    def add(self, path: str, mask: int) -> int:
        """Watch a path; give the number of its watch, which belongs to the inode: for one that is watched, the same.

        Raises:
            OSError: ENOSPC when the user has as many as are allowed; or it cannot be watched.
        """
        return self._call("inotify_add_watch", self._descriptor, os.fsencode(path), ctypes.c_uint32(mask))

    def remove(self, watch: int) -> None:
        """End a watch.

        Raises:
            OSError: there is none of this number.
        """
        self._call("inotify_rm_watch", self._descriptor, watch)

    def read(self) -> list[Event]:
        """Give the events that are in the queue, without waiting; at most a buffer full, none when it is empty."""
        try:
            data = os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return []
        events, place = [], 0
        while place < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, place)
            place += _HEAD.size
            name = data[place : place + length].partition(b"\0")[0]
            events.append(Event(watch, mask, os.fsdecode(name)))
            place += length
        return events

    def close(self) -> None:
        """End all watches; does no harm when they have ended."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _call(self, name: str, *arguments: object) -> int:
        result: int = getattr(self._libc, name)(*arguments)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
