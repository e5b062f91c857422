"""Watching a project's files for changes by commands in the spoke, or by an editor on the host.

The kernel queues an inotify event together with the change itself, even if that is made on the host or in another
container. So reading the queue when a question arrives gives every change before it. Events only say which
entries to examine; what changed is found by comparing them with a snapshot.

Of a file system that another machine or program writes (`codebuddy.files.mounts`), the kernel tells nothing. There,
each question compares all files, for a limited time, and who asks is told if that did not suffice.

Directories that tools fill (`TOOL_DIRECTORIES`) are not watched, whatever a .gitignore says: watches are limited per
user, and one installation of packages would use them up. Other ignored directories are watched, because language
servers read generated code.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import logging
import math
import os
import stat
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from enum import IntFlag
from pathlib import Path
from time import monotonic, time_ns
from typing import Final, Literal, NamedTuple

from codebuddy.agent.lsp.tree import MAX_ENTRIES, TOOL_DIRECTORIES, Tree
from codebuddy.files.mounts import shared_type

log = logging.getLogger(__name__)

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


class Event(NamedTuple):
    """One event: ``watch`` is -1 when events were lost, and ``name`` is empty for the watched directory itself."""

    watch: int
    mask: int
    name: str


class Inotify:
    """A queue of inotify events.

    Raises:
        OSError: the user has as many as are allowed.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Return the descriptor, which is readable when there are events."""
        return self._descriptor

    def add(self, path: str, mask: int) -> int:
        """Watch a path, and return the number of the watch; an inode that is already watched keeps its number.

        Raises:
            OSError: ENOSPC when the user has as many watches as are allowed; or the path cannot be watched.
        """
        return self._call("inotify_add_watch", self._descriptor, os.fsencode(path), ctypes.c_uint32(mask))

    def remove(self, watch: int) -> None:
        """End a watch; raise OSError if there is none of this number."""
        self._call("inotify_rm_watch", self._descriptor, watch)

    def read(self) -> list[Event]:
        """Return the events in the queue without waiting: at most one buffer full, none when it is empty."""
        try:
            data = os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return []
        events, offset = [], 0
        while offset < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, offset)
            offset += _HEAD.size + length
            name = data[offset - length : offset].partition(b"\0")[0]
            events.append(Event(watch, mask, os.fsdecode(name)))
        return events

    def close(self) -> None:
        """End all watches; may be called twice."""
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

# What says nothing about a file but that it cannot be reached now.
_LOST: Final = frozenset(
    {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ECONNABORTED, errno.ENOKEY, errno.ETIMEDOUT, errno.EHOSTDOWN}
    | {errno.EHOSTUNREACH}
)

# Two writes within one tick of the file system's clock may leave the same status.
_CLOCK_TICK_NS: Final = 50_000_000


class Differences(dict[Path, int]):
    """Kinds of change by path, each summing up all changes noted of it.

    A directory is noted when it is new or gone: a server may remember what a directory contains, and of a file in a new
    one it looks only at that directory, not at the one above.
    """

    def note(self, path: str, kind: int) -> None:
        """Add a later change of a file."""
        place = Path(path)
        before = self.get(place)
        if before is None or (before != CREATED and kind == DELETED):
            self[place] = kind
        elif before == CREATED and kind == DELETED:
            del self[place]  # nobody knows yet that it was created
        elif before != CREATED:
            self[place] = CHANGED


class Snapshot:
    """The regular files and links below a directory, without `TOOL_DIRECTORIES`.

    Args:
        root: the directory; no part of its path is a link.
        watch: called with each directory before it is listed, so that no change is missed in between.
        forget: called with each directory that is gone.
        limit: most files and directories to remember.
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
        #: Directories that were not listed completely because there are too many files.
        self.left_out: set[str] = set()
        #: Directories that cannot be read now, and why; what is known of them stays.
        self.unreadable: dict[str, str] = {}
        #: Directories that were not reached in time; the next scan begins with them.
        self.not_reached: list[str] = []
        #: Whether another machine or program may change the files: then what the kernel remembers is not enough.
        self.is_shared = False

    def scan(self, directory: str, found: Differences, until: float = math.inf) -> None:
        """Compare a directory and everything below it with the snapshot, update that, and add the differences.

        Args:
            directory: where to begin.
            found: the differences.
            until: on the clock of `time.monotonic`, when no further directory is begun.

        Raises:
            OSError: as ``watch``; what was found before is added.
        """
        waiting = deque([*(one for one in self.not_reached if not os.path.islink(one)), directory])
        self.not_reached = []
        done = set[str]()
        while waiting:
            if monotonic() > until:
                self.not_reached = [one for one in dict.fromkeys(waiting) if one not in done]
                return
            here = waiting.popleft()
            if here in done:
                continue
            done.add(here)
            self._watch(here)
            present = self._list(here)
            if present is None:
                self._drop(here, found)
            else:
                waiting += self._replace(here, present, found)

    def compare_entry(self, directory: str, name: str, modified: bool, found: Differences) -> str | None:
        """Compare one entry of a directory; return its path if it is a directory, which the caller must scan.

        ``modified`` says that its content is known to have changed, even if its status did not.
        """
        known = self._known.get(directory)
        if known is None or name in TOOL_DIRECTORIES:
            return None  # the directory itself has gone
        path = os.path.join(directory, name)
        try:
            now = self._status_code(os.lstat(path))
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
        """Say whether an entry of a directory is in the snapshot."""
        return name in self._known.get(directory, {})

    def _replace(self, here: str, present: dict[str, int], found: Differences) -> list[str]:
        """Replace what is known of a directory by what is in it now; return the directories in it."""
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
        if now == _DIRECTORY:
            if before is None:
                found.note(path, CREATED)
            elif before != _DIRECTORY:
                found.note(path, DELETED)
        elif now is None:
            if before is not None:
                found.note(path, DELETED)
        elif before in (None, _DIRECTORY):
            found.note(path, CREATED)
        elif modified or now != before or now == _UNSURE:
            found.note(path, CHANGED)

    def _drop(self, directory: str, found: Differences) -> None:
        """Forget a directory that is gone, with everything that was in it."""
        below = [directory]
        while below:
            here = below.pop()
            self._forget(here)
            self.left_out.discard(here)
            self.unreadable.pop(here, None)
            known = self._known.pop(here, {})
            self._count -= len(known)
            for name, before in known.items():
                path = os.path.join(here, name)
                found.note(path, DELETED)
                if before == _DIRECTORY:
                    below.append(path)

    def _list(self, directory: str) -> dict[str, int] | None:
        """List a directory; None when it does not exist (any more)."""
        present: dict[str, int] = {}
        known = len(self._known.get(directory, ()))
        room = max(known, self._limit - self._count + known)
        self.left_out.discard(directory)
        self.unreadable.pop(directory, None)
        if self.is_shared:
            _ask_again(directory)
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if len(present) >= room:
                        self.left_out.add(directory)
                        break
                    look = None if entry.name in TOOL_DIRECTORIES else self._entry(entry)
                    if look is not None:
                        present[entry.name] = look
        except PermissionError:
            return {}
        except OSError as error:
            if error.errno not in _LOST:
                return None
            self.unreadable[directory] = error.strerror or str(error)
            return dict(self._known.get(directory, {}))
        return present

    def _entry(self, entry: os.DirEntry[str]) -> int | None:
        if self.is_shared:
            _ask_again(entry.path)
        try:
            return self._status_code(entry.stat(follow_symlinks=False))
        except OSError as error:
            if error.errno not in _LOST:
                return None
            directory = os.path.dirname(entry.path)
            self.unreadable[directory] = error.strerror or str(error)
            return self._known.get(directory, {}).get(entry.name)

    def _status_code(self, status: os.stat_result) -> int | None:
        """Return a number that changes when the file does; None for what is neither file nor link nor directory."""
        if stat.S_ISDIR(status.st_mode):
            return _DIRECTORY
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
            return None
        # Programs can set the time of modification back, but not the time of change, which is the kernel's.
        if time_ns() - status.st_ctime_ns < _CLOCK_TICK_NS:
            return _UNSURE
        inode = 0 if self.is_shared else status.st_ino  # some shared file systems number their files anew
        return hash((status.st_mtime_ns, status.st_ctime_ns, status.st_size, inode)) & (2**63 - 1)


_STATX: Final = getattr(ctypes.CDLL(None), "statx", None)  # glibc 2.28
_AT_FDCWD: Final = -100
_STATX_FLAGS: Final = 0x100 | 0x2000  # AT_SYMLINK_NOFOLLOW, AT_STATX_FORCE_SYNC
_STATX_BASIC_STATS: Final = 0x7FF


def _ask_again(path: str) -> None:
    """Have the kernel ask the owner of a shared file system about a file, in place of what it remembers of it."""
    if _STATX is not None:
        _STATX(_AT_FDCWD, os.fsencode(path), _STATX_FLAGS, _STATX_BASIC_STATS, ctypes.create_string_buffer(256))


# Not MODIFY alone: a write through a memory mapping shows when the file is closed, or its time is set (ATTRIB).
_MASK: Final = (
    Mask.CREATE | Mask.MODIFY | Mask.CLOSE_WRITE | Mask.ATTRIB | Mask.MOVED_FROM | Mask.MOVED_TO | Mask.DELETE
) | (Mask.ONLYDIR | Mask.DONT_FOLLOW | Mask.EXCL_UNLINK)

# Watches are limited per user, over all containers and the desktop, so some are left to the others.
_MAX_WATCHES: Final = 50_000
_MAX_HINTS: Final = 50_000
_MAX_READS: Final = 200  # buffers; more than the queue holds
_INLINE: Final = 100  # entries examined without a thread, which would take longer to start

# How long changes are collected while nobody asks.
_GATHER_SECONDS: Final = 0.1

# How long one question looks at the files of a shared file system, where each costs a message to its owner.
_LOOK_SECONDS: Final = 5.0


class Watcher:
    """Knows which files changed, except in `TOOL_DIRECTORIES`.

    Without inotify it polls: it compares the status of all files whenever it is asked, and every ``poll_seconds``. On a
    shared file system it only does when it is asked, since that costs the owner of the files as much as it costs here.

    Args:
        tree: the project.
        poll_seconds: the interval when polling.
        limit: most files and directories to watch.
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
        self._rescan = True
        self._root_lost = False
        self._refused = False
        self._shared: str | None = None  # the type of the file system, if others may change it unseen
        self._something = asyncio.Event()
        #: Set when the first snapshot is complete.
        self.begun = asyncio.Event()
        self.mode: Literal["inotify", "polling", "off"] = "off"
        self.reason: str | None = None

    @property
    def gap(self) -> str | None:
        """Why some changes may be missed, in a sentence; None if none are."""
        if self._snapshot.left_out:
            return f"The project has more than {self._limit} files; changes of some of them are not seen."
        if self._snapshot.not_reached:
            return (
                f"On a file system of the type {self._shared}, which tells no changes, not all files could be compared "
                f"within {_LOOK_SECONDS:.0f} s; changes of some may be missing. Ask again."
            )
        if self._snapshot.unreadable:
            directory, why = next(iter(self._snapshot.unreadable.items()))
            shown = os.path.relpath(directory, self._root)
            return f"The directory {shown!r} of the project cannot be read ({why}); changes in it are not seen."
        return None

    def is_quiet(self) -> bool:
        """Say whether nothing changed since `changes` was called; costs one read of an empty queue."""
        if self.mode == "inotify":
            self._read()
        return self.mode == "inotify" and not self._hints and not self._rescan

    def knows(self, path: Path) -> bool:
        """Say whether a file is watched, and existed when its directory was examined last."""
        return self._snapshot.knows(str(path.parent), path.name)

    async def changes(self) -> Differences:
        """Return what changed since the last call; nothing the first time. One caller at a time."""
        found = Differences()
        try:
            await self._collect(found)
        except OSError as error:  # not about a single file: those errors are handled where they occur
            log.exception("the files could not be examined")
            self._fall_back(f"{type(error).__name__}: {error}")
        if self.begun.is_set():
            return found
        self.begun.set()
        return Differences()

    async def run(self, flush_changes: Callable[[], Awaitable[object]]) -> None:
        """Until cancelled, call ``flush_changes``, which fetches changes and passes them on, when there are some."""
        try:
            while True:
                self._something.clear()
                await flush_changes()
                try:
                    async with asyncio.timeout(None if self.mode == "inotify" or self._shared else self._poll_seconds):
                        await self._something.wait()
                    await asyncio.sleep(_GATHER_SECONDS)
                except TimeoutError:
                    continue
        finally:
            self._close()
            self.mode = "off"

    async def _collect(self, found: Differences) -> None:
        if self._inotify is not None:
            self._read()
        hints, self._hints = self._hints, {}
        if self._rescan or self.mode != "inotify":
            await self._collect_all(found)
            return
        if len(hints) <= _INLINE:
            directories = self._examine(hints, found)
        else:
            directories = await asyncio.to_thread(self._examine, hints, found)
        if directories:
            await self._scan(directories, found)

    async def _collect_all(self, found: Differences) -> None:
        self._rescan = False
        if self._root_lost:
            self._close()
        if self._inotify is None and not self._refused:
            self._open()
        await self._scan([self._root], found)
        if self._inotify is None:
            return
        if self._root in self._watched:
            self.mode, self.reason = "inotify", None
        else:
            self._root_lost = True  # so that it is looked for again
            self._use_polling("the project's directory is not there")

    async def _scan(self, directories: list[str], found: Differences) -> None:
        try:
            await asyncio.to_thread(self._scan_all, directories, found)
        except OSError as error:
            self._fall_back(f"{type(error).__name__}: {error}")
            await asyncio.to_thread(self._scan_all, [self._root], found)

    def _scan_all(self, directories: list[str], found: Differences) -> None:
        # Not the first time: what is unknown then could only be announced as new later.
        until = monotonic() + _LOOK_SECONDS if self._shared and self.begun.is_set() else math.inf
        for directory in directories:
            self._snapshot.scan(directory, found, until)

    def _examine(self, hints: dict[tuple[str, str], bool], found: Differences) -> list[str]:
        examined = (self._snapshot.compare_entry(*entry, modified, found) for entry, modified in hints.items())
        return [directory for directory in examined if directory is not None]

    def _read(self) -> None:
        """Take all events that are in the queue."""
        assert self._inotify is not None
        for _ in range(_MAX_READS):
            events = self._inotify.read()
            for event in events:
                self._handle(*event)
            if not events:
                break
        if self._hints or self._rescan:
            self._something.set()

    def _handle(self, watch: int, mask: int, name: str) -> None:
        directory = self._path_of.get(watch)
        if mask & Mask.Q_OVERFLOW or len(self._hints) > _MAX_HINTS:
            self._rescan = True
        elif directory == self._root and mask & (Mask.IGNORED | Mask.MOVE_SELF):
            self._rescan = self._root_lost = True
        elif directory is not None and mask & Mask.IGNORED:
            self._path_of.pop(watch)
            if self._watched.get(directory) == watch:
                del self._watched[directory]
            self._hint(*os.path.split(directory), False)  # it may have been unmounted, which shows another directory
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
        with contextlib.suppress(OSError):  # it is not there; that is found elsewhere
            self._shared = shared_type(self._root)
        if self._shared:
            self._refused = self._snapshot.is_shared = True
            self.mode, self.reason = "polling", f"a file system of the type {self._shared} tells no changes"
            return
        try:
            self._inotify = Inotify()
        except OSError as error:
            self._fall_back(f"{type(error).__name__}: {error}")
            return
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._read)

    def _close(self) -> None:
        inotify, self._inotify, self._root_lost = self._inotify, None, False
        self._watched.clear()
        self._path_of.clear()
        if inotify is not None:
            asyncio.get_running_loop().remove_reader(inotify.fileno())
            inotify.close()

    def _fall_back(self, why: str) -> None:
        """Stop using inotify for good."""
        self._refused = True
        self._close()
        self._use_polling(why)

    def _use_polling(self, why: str) -> None:
        self.mode, self.reason = "polling", f"watching fell back to polling: {why}"
