"""A family of processes: a language server or a run with all that it started, found in ``/proc`` wherever it went.

A process group is left by ``setsid``, and a parent by a double fork; but what a process is started with in its
environment, its children are started with too. So each family has a mark there that nobody else has. What left even
that behind is found as long as it is a child of one that is found, and after that by having been seen before.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import time
import weakref
from collections.abc import Callable
from typing import Final

from codebuddy.processes import ProcessId, descendants, is_living, stat_of

__all__ = ["MARK", "Family", "end_orphans", "is_root"]

MARK: Final = "CODEBUDDY_FAMILY"

_OWNER: Final = re.compile(rf"(?:^|\0){MARK}=(\d+)\.(\d+)\.(\d+)\.".encode())
_ENVIRONMENT_BYTES: Final = 256 * 1024
_ROUNDS: Final = 100
_PAUSE: Final = 0.005
_numbers = itertools.count(1)
_families: weakref.WeakSet[Family] = weakref.WeakSet()


class Family:
    """The processes of one family. Start it with :attr:`mark` in its environment, then :meth:`add_root`."""

    def __init__(self) -> None:
        owner = _owner_of(os.getpid())
        self.mark = f"{_namespace()}.{owner.pid}.{owner.started}.{next(_numbers)}"
        self._roots: set[ProcessId] = set()
        self._known: set[ProcessId] = set()
        _families.add(self)

    def add_root(self, pid: int) -> None:
        """Note the first of the family."""
        if (stat := stat_of(pid)) is not None and is_living(stat):
            self._roots.add(ProcessId(pid, stat.started))
            self._known |= self._roots

    def members(self) -> list[int]:
        """Give the ids of all that live."""
        marked = f"\0{MARK}={self.mark}\0".encode()
        self._known = set(
            descendants(lambda kin, _: kin in self._known or marked in b"\0" + _environment(kin.pid) + b"\0")
        )
        return [kin.pid for kin in self._known]

    def kill(self) -> None:
        """End all, and those that they start meanwhile; takes a moment, so call it in a thread."""
        _kill_all(self.members)


def is_root(kin: ProcessId) -> bool:
    """Say whether a process is the first of a family of ours."""
    return any(kin in family._roots for family in _families)


def end_orphans() -> None:
    """End what agents that are gone have left behind; takes a moment, so call it in a thread.

    Only of agents in this PID namespace: who looks from outside of a container sees its processes, under other ids.
    """
    here = _namespace()

    def left_behind(kin: ProcessId, _stat: object) -> bool:
        match = _OWNER.search(_environment(kin.pid))
        if match is None or int(match[1]) != here:
            return False
        owner = ProcessId(int(match[2]), int(match[3]))
        return _owner_of(owner.pid) != owner

    _kill_all(lambda: [kin.pid for kin in descendants(left_behind)])


def _kill_all(members: Callable[[], list[int]]) -> None:
    for _ in range(_ROUNDS):
        living = members()
        if not living:
            return
        for pid in living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


def _environment(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read(_ENVIRONMENT_BYTES)
    except OSError:  # gone, or somebody else's
        return b""


def _namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _owner_of(pid: int) -> ProcessId:
    stat = stat_of(pid)
    return ProcessId(pid, stat.started if stat is not None and is_living(stat) else 0)
