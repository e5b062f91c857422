"""What the files of a tree were like when they were last looked at, and what is different now."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from codebuddy.language.tree import IGNORED_DIRECTORIES, MAX_ENTRIES

__all__ = ["CHANGED", "CREATED", "DELETED", "Differences", "Snapshot"]

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
