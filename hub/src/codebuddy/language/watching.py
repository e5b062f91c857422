"""The watch over a project's files: changes by commands in the spoke, or by an editor on the host.

The kernel queues an event together with the change itself, also one that is made on the host or in another container:
to read the queue when a question comes is to know of every change before it. Only which entries are to be looked at is
taken from the events; what changed is found by looking.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal

from codebuddy.language.inotify import Inotify, Mask
from codebuddy.language.snapshot import Differences, Snapshot
from codebuddy.language.tree import MAX_ENTRIES, Tree

__all__ = ["Watcher"]

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
