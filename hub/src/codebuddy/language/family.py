"""The family of a language server: every process that it started, found in ``/proc`` wherever it went.

A process group is left by ``setsid``, and a parent by a double fork; but what a process is started with in its
environment, its children are started with too. So each server has a mark there that nobody else has. What left even
that behind is found as long as it is a child of one that is found, and after that by having been seen before.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["MARK", "Family", "end_orphans"]

MARK: Final = "CODEBUDDY_LANGUAGE_SERVER_OF"

_OWNER: Final = re.compile(rf"(?:^|\0){MARK}=(\d+)\.(\d+)\.(\d+)\.".encode())
_ENVIRONMENT_BYTES: Final = 256 * 1024
_ROUNDS: Final = 100
_PAUSE: Final = 0.005
_numbers = itertools.count(1)


@dataclass(frozen=True)
class _Kin:
    """A process: its id and the time at which it started, which tells it from an earlier one with the same id."""

    pid: int
    started: int


class Family:
    """The processes of one server. Start it with :attr:`mark` in its environment, then :meth:`found`."""

    def __init__(self) -> None:
        owner = _owner_of(os.getpid())
        self.mark = f"{_namespace()}.{owner.pid}.{owner.started}.{next(_numbers)}"
        self._known: set[_Kin] = set()

    def found(self, pid: int) -> None:
        """Note the first of the family."""
        if (stat := _stat(pid)) is not None:
            self._known.add(_Kin(pid, stat[1]))

    def members(self) -> list[int]:
        """Give the ids of all that live."""
        marked = f"\0{MARK}={self.mark}\0".encode()
        self._known = _families(lambda kin: kin in self._known or marked in b"\0" + _environment(kin.pid) + b"\0")
        return [kin.pid for kin in self._known]

    def kill(self) -> None:
        """End all, and those that they start meanwhile; takes a moment, so call it in a thread."""
        _kill_all(self.members)


def end_orphans() -> None:
    """End what servers of agents that are gone have left behind; takes a moment, so call it in a thread.

    Only of agents in this PID namespace: who looks from outside of a container sees its processes, under other ids.
    """
    here = _namespace()

    def left_behind(kin: _Kin) -> bool:
        match = _OWNER.search(_environment(kin.pid))
        if match is None or int(match[1]) != here:
            return False
        owner = _Kin(int(match[2]), int(match[3]))
        return _owner_of(owner.pid) != owner

    _kill_all(lambda: [kin.pid for kin in _families(left_behind)])


def _kill_all(members: Callable[[], list[int]]) -> None:
    for _ in range(_ROUNDS):
        living = members()
        if not living:
            return
        for pid in living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


def _families(belongs: Callable[[_Kin], bool]) -> set[_Kin]:
    """Give the processes that belong, with all their descendants; never this process."""
    parents = {_Kin(pid, started): parent for pid, (parent, started) in _processes()}
    found = {kin for kin in parents if belongs(kin)}
    more = found
    while more:
        pids = {kin.pid for kin in more}
        more = {kin for kin, parent in parents.items() if parent in pids} - found
        found |= more
    return found


def _processes() -> Iterator[tuple[int, tuple[int, int]]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            stat = _stat(int(entry.name))
            if stat is not None:
                yield int(entry.name), stat


def _stat(pid: int) -> tuple[int, int] | None:
    """Give a living process's parent and start time (proc(5): fields 4 and 22); None when it is gone, or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else (int(fields[1]), int(fields[19]))


def _environment(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read(_ENVIRONMENT_BYTES)
    except OSError:  # gone, or somebody else's
        return b""


def _namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _owner_of(pid: int) -> _Kin:
    stat = _stat(pid)
    return _Kin(pid, stat[1] if stat else 0)
