"""Who may change what at a time: per file, and per project where a whole directory moves or goes."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from contextlib import AbstractContextManager
from weakref import WeakValueDictionary

__all__ = ["Locks"]


class _Lock:
    """Held by any number that share it, or by one alone."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._sharing = 0
        self._taken = False

    def acquire(self, *, shared: bool) -> None:
        with self._condition:
            while self._taken or (self._sharing and not shared):
                self._condition.wait()
            if shared:
                self._sharing += 1
            else:
                self._taken = True

    def release(self) -> None:
        with self._condition:
            if self._taken:
                self._taken = False
            else:
                self._sharing -= 1
            self._condition.notify_all()


class _Held:
    """Locks that are held inside; taken in the given order."""

    def __init__(self, locks: list[tuple[_Lock, bool]]) -> None:
        self._locks = locks
        self._held: list[_Lock] = []

    def __enter__(self) -> None:
        try:
            for lock, shared in self._locks:
                lock.acquire(shared=shared)
                self._held.append(lock)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        while self._held:
            self._held.pop().release()


class Locks:
    """Locks that are taken in one fixed order, projects before files, so that no two edits wait for each other."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, _Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    def projects(self, names: Iterable[str], alone: Iterable[str]) -> AbstractContextManager[None]:
        """Hold projects: those in ``alone`` against every other edit, the others against edits that want them alone."""
        exclusive = set(alone)
        return _Held([(self._lock(name), name not in exclusive) for name in sorted({*names, *exclusive})])

    def files(self, keys: Iterable[tuple[int, int, str]]) -> AbstractContextManager[None]:
        """Hold files, each named by device and inode of its directory, and its name there."""
        return _Held([(self._lock(key), False) for key in sorted(set(keys))])

    def _lock(self, key: Hashable) -> _Lock:
        with self._guard:
            return self._locks.setdefault(key, _Lock())
