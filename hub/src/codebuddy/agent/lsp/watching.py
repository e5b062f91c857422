"""The watch over a project's files: changes by commands in the spoke, or by an editor on the host.

The kernel queues an event together with the change itself, also one that is made on the host or in another container:
to read the queue when a question comes is to know of every change before it. Only which entries are to be looked at is
taken from the events; what changed is found by looking.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import logging
import os
import stat
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import Final, Literal

from codebuddy.agent.lsp.tree import IGNORED_DIRECTORIES, MAX_ENTRIES, Tree

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


CREATED, CHANGED, DELETED = 1, 2, 3  # FileChangeType, LSP 3.17

_DIRECTORY: Final = -1
_UNSURE: Final = -2

# What is written twice within a tick of the file system's clock may look the same.
_TICK_NS: Final = 50_000_000


class Differences(dict[Path, int]):
    """Kinds of change by file, from what was known first to what is known last."""

    def note(self, path: str, kind: int) -> None:
        """Add a later change of a file."""
        place, before = Path(path), self.get(Path(path))
        if before is None or (before != CREATED and kind == DELETED):
            self[place] = kind
        elif before == CREATED and kind == DELETED:
            del self[place]  # nobody was told that it is there
        elif before != CREATED:
            self[place] = CHANGED


class Snapshot:
    """The regular files and links below a directory, but for what tools generate.

    Args:
        root: the directory; the parts of its path are no links.
        watch: called with each directory before it is looked at, so that nothing is missed in between.
        forget: called with each directory that is gone.
        limit: the most files and directories to know.
    """

    def __init__(
        self, root: str, watch: Callable[[str], None], forget: Callable[[str], None], limit: int = MAX_ENTRIES
    ) -> None:
        self._root = root
        self._watch = watch
        self._forget = forget
        self._limit = limit
        self._known: dict[str, dict[str, int]] = {}
        self._count = 0
        #: Directories that were not looked at, for there are too many files.
        self.left_out: set[str] = set()

    def scan(self, directory: str, found: Differences) -> None:
        """Look at a directory and all that is below; add what is different.

        Raises:
            OSError: what ``watch`` raised; what was found before it is added.
        """
        below = [directory]
        while below:
            here = below.pop()
            self._watch(here)
            present = self._list(here)
            if present is None:
                self._drop(here, found)
            else:
                below += self._compare(here, present, found)

    def look(self, directory: str, name: str, modified: bool, found: Differences) -> str | None:
        """Look at one entry of a directory; give its path if it is a directory, which is to be scanned then.

        Args:
            directory: the directory.
            name: the name in it.
            modified: whether it is known that its content changed, however it looks.
            found: what is different is added here.
        """
        known = self._known.get(directory)
        if known is None or name in IGNORED_DIRECTORIES:
            return None  # the directory itself has gone
        path = os.path.join(directory, name)
        try:
            now = _look_of(os.lstat(path))
        except OSError:
            now = None
        before = known.get(name)
        self._note(path, before, now, modified, found)
        self._count += (now is not None) - (before is not None)
        if now is None:
            known.pop(name, None)
        else:
            known[name] = now
        return path if now == _DIRECTORY else None

    def knows(self, directory: str, name: str) -> bool:
        """Say whether an entry of a directory was there when it was looked at last."""
        return name in self._known.get(directory, {})

    def _compare(self, here: str, present: dict[str, int], found: Differences) -> list[str]:
        """Take what is in a directory for what is known of it; give the directories in it."""
        known = self._known.get(here, {})
        for name in known.keys() - present.keys():
            self._note(os.path.join(here, name), known[name], None, False, found)
        below = []
        for name, now in present.items():
            path = os.path.join(here, name)
            self._note(path, known.get(name), now, False, found)
            if now == _DIRECTORY:
                below.append(path)
        self._count += len(present) - len(known)
        self._known[here] = present
        return below

    def _note(self, path: str, before: int | None, now: int | None, modified: bool, found: Differences) -> None:
        if before == _DIRECTORY and now != _DIRECTORY:
            self._drop(path, found)
            before = None
        if now == _DIRECTORY:
            if before is not None and before != _DIRECTORY:
                found.note(path, DELETED)
        elif now is None:
            if before is not None:
                found.note(path, DELETED)
        elif before is None:
            found.note(path, CREATED)
        elif modified or now != before or now == _UNSURE:
            found.note(path, CHANGED)

    def _drop(self, directory: str, found: Differences) -> None:
        """Forget a directory that is gone, with all that was in it."""
        below = [directory]
        while below:
            here = below.pop()
            self._forget(here)
            self.left_out.discard(here)
            known = self._known.pop(here, {})
            self._count -= len(known)
            for name, before in known.items():
                path = os.path.join(here, name)
                if before == _DIRECTORY:
                    below.append(path)
                else:
                    found.note(path, DELETED)

    def _list(self, directory: str) -> dict[str, int] | None:
        """Look at the entries of a directory; None when there is none (any more)."""
        present: dict[str, int] = {}
        known = len(self._known.get(directory, ()))
        room = max(known, self._limit - self._count + known)
        self.left_out.discard(directory)
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if len(present) >= room:
                        self.left_out.add(directory)
                        break
                    look = None if entry.name in IGNORED_DIRECTORIES else _entry(entry)
                    if look is not None:
                        present[entry.name] = look
        except PermissionError:
            return {}
        except OSError:
            return None
        return present


def _entry(entry: os.DirEntry[str]) -> int | None:
    try:
        return _look_of(entry.stat(follow_symlinks=False))
    except OSError:
        return None


def _look_of(status: os.stat_result) -> int | None:
    """Give a number that is another one when the file is; None for what is neither file nor link nor directory."""
    if stat.S_ISDIR(status.st_mode):
        return _DIRECTORY
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
        return None
    # The time of change is the kernel's: who sets back the time of modification does not set that.
    if time.time_ns() - status.st_ctime_ns < _TICK_NS:
        return _UNSURE
    return hash((status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)) & (2**63 - 1)


log = logging.getLogger(__name__)

# Not MODIFY alone: what was written through a mapping shows when the file is closed, or its time is set (ATTRIB).
_MASK: Final = (
    Mask.CREATE | Mask.MODIFY | Mask.CLOSE_WRITE | Mask.ATTRIB | Mask.MOVED_FROM | Mask.MOVED_TO | Mask.DELETE
) | (Mask.ONLYDIR | Mask.DONT_FOLLOW | Mask.EXCL_UNLINK)

# Watches are limited per user, over all containers and the desktop: some are left to the others.
_MAX_WATCHES: Final = 50_000
_MAX_HINTS: Final = 50_000
_MAX_READS: Final = 200  # more than the queue holds
_INLINE: Final = 100

# So long changes are gathered while nobody asks.
_GATHER_SECONDS: Final = 0.1


class Watcher:
    """Knows which files changed, those that tools generate left out.

    Without inotify it compares the looks of all files, each time that it is asked and every few seconds.

    Args:
        tree: the project.
        poll_seconds: the time between two looks when polling.
        limit: the most files and directories to watch over.
    """

    def __init__(self, tree: Tree, poll_seconds: float = 3.0, limit: int = MAX_ENTRIES) -> None:
        self._root = str(tree.root)
        self._poll_seconds = poll_seconds
        self._limit = limit
        self._snapshot = Snapshot(self._root, self._watch, self._forget, limit)
        self._inotify: Inotify | None = None
        self._watched: dict[str, int] = {}
        self._path_of: dict[int, str] = {}
        self._hints: dict[tuple[str, str], bool] = {}
        self._look_at_all = True
        self._lost = False
        self._refused = False
        self._something = asyncio.Event()
        #: Set when the files were looked at for the first time.
        self.begun = asyncio.Event()
        self.mode: Literal["inotify", "polling", "off"] = "off"
        self.reason: str | None = None

    @property
    def gap(self) -> str | None:
        """Why some changes may not be known, in a sentence; None when all are."""
        if self._snapshot.left_out:
            return f"The project has more than {self._limit} files; changes of some of them are not seen."
        return None

    def is_quiet(self) -> bool:
        """Say whether nothing changed since it was asked for `changes`; costs one look at an empty queue."""
        if self.mode == "inotify":
            self._read()
        return self.mode == "inotify" and not self._hints and not self._look_at_all

    def knows(self, path: Path) -> bool:
        """Say whether changes of a file are seen, and it was there when it was looked for it last."""
        return self._snapshot.knows(str(path.parent), path.name)

    async def changes(self) -> Differences:
        """Give what changed since this was asked for the last time; nothing the first time. One caller at a time."""
        found = Differences()
        try:
            await self._find(found)
        except OSError as error:  # looking at files fails one by one; this is about all
            log.exception("the files could not be looked at")
            self._fall_back(f"{type(error).__name__}: {error}")
        if self.begun.is_set():
            return found
        self.begun.set()
        return Differences()

    async def run(self, freshen: Callable[[], Awaitable[object]]) -> None:
        """Have changes told also while nobody asks, until cancelled.

        Args:
            freshen: asks for the changes and tells them.
        """
        try:
            while True:
                self._something.clear()
                await freshen()
                patience = None if self.mode == "inotify" else self._poll_seconds
                try:
                    async with asyncio.timeout(patience):
                        await self._something.wait()
                    await asyncio.sleep(_GATHER_SECONDS)
                except TimeoutError:
                    continue
        finally:
            self._close()
            self.mode = "off"

    async def _find(self, found: Differences) -> None:
        if self._inotify is not None:
            self._read()
        hints, self._hints = self._hints, {}
        if self._look_at_all or self.mode != "inotify":
            await self._find_all(found)
            return
        # A few are looked at at once; a thread would take longer to begin.
        if len(hints) <= _INLINE:
            directories = self._look(hints, found)
        else:
            directories = await asyncio.to_thread(self._look, hints, found)
        if directories:
            await self._scan(directories, found)

    async def _find_all(self, found: Differences) -> None:
        self._look_at_all = False
        if self._lost:
            self._close()
        if self._inotify is None and not self._refused:
            self._open()
        await self._scan([self._root], found)
        if self._inotify is None:
            return
        if self._root in self._watched:
            self.mode, self.reason = "inotify", None
        else:
            self._lost = True  # another time there may be one
            self._say_polling("the project's directory is not there")

    async def _scan(self, directories: list[str], found: Differences) -> None:
        try:
            await asyncio.to_thread(self._scan_all, directories, found)
        except OSError as error:
            self._fall_back(f"{type(error).__name__}: {error}")
            await asyncio.to_thread(self._scan_all, [self._root], found)

    def _scan_all(self, directories: list[str], found: Differences) -> None:
        for directory in directories:
            self._snapshot.scan(directory, found)

    def _look(self, hints: dict[tuple[str, str], bool], found: Differences) -> list[str]:
        looked = (self._snapshot.look(*place, modified, found) for place, modified in hints.items())
        return [directory for directory in looked if directory is not None]

    def _read(self) -> None:
        """Take all events that are in the queue now."""
        assert self._inotify is not None
        for _ in range(_MAX_READS):
            events = self._inotify.read()
            for event in events:
                self._take(event.watch, event.mask, event.name)
            if not events:
                break
        if self._hints or self._look_at_all:
            self._something.set()

    def _take(self, watch: int, mask: int, name: str) -> None:
        directory = self._path_of.get(watch)
        if mask & Mask.Q_OVERFLOW or len(self._hints) > _MAX_HINTS:
            self._look_at_all = True
        elif directory == self._root and mask & (Mask.IGNORED | Mask.MOVE_SELF):
            self._look_at_all = self._lost = True
        elif directory is not None and mask & Mask.IGNORED:
            self._path_of.pop(watch)
            if self._watched.get(directory) == watch:
                del self._watched[directory]
            self._hint(*os.path.split(directory), False)  # perhaps it was unmounted, and another one is there now
        elif directory is not None and name:
            self._hint(directory, name, bool(mask & Mask.MODIFY))

    def _hint(self, directory: str, name: str, modified: bool) -> None:
        place = directory, name
        self._hints[place] = modified or self._hints.get(place, False)

    def _watch(self, directory: str) -> None:
        inotify = self._inotify
        if inotify is None:
            return
        if len(self._watched) >= _MAX_WATCHES and directory not in self._watched:
            raise OSError(errno.ENOSPC, f"the project has more than {_MAX_WATCHES} directories")
        try:
            watch = inotify.add(directory, _MASK | (Mask.MOVE_SELF if directory == self._root else 0))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                raise
            return  # it is gone, or may not be read, or is no directory any more
        before = self._path_of.get(watch)
        if before is not None and before != directory:
            self._watched.pop(before, None)  # it was moved
        self._path_of[watch], self._watched[directory] = directory, watch

    def _forget(self, directory: str) -> None:
        watch, inotify = self._watched.pop(directory, None), self._inotify
        if watch is None or inotify is None:
            return
        self._path_of.pop(watch, None)
        with contextlib.suppress(OSError):  # it ended with its directory
            inotify.remove(watch)

    def _open(self) -> None:
        try:
            self._inotify = Inotify()
        except OSError as error:
            self._fall_back(f"{type(error).__name__}: {error}")
            return
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._read)

    def _close(self) -> None:
        inotify, self._inotify, self._lost = self._inotify, None, False
        self._watched.clear()
        self._path_of.clear()
        if inotify is not None:
            asyncio.get_running_loop().remove_reader(inotify.fileno())
            inotify.close()

    def _fall_back(self, why: str) -> None:
        """Do without inotify from now on."""
        self._refused = True
        self._close()
        self._say_polling(why)

    def _say_polling(self, why: str) -> None:
        self.mode, self.reason = "polling", f"watching fell back to polling: {why}"
