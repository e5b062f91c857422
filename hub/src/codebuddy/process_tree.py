"""Processes of this PID namespace and their memory, from ``/proc``. Standard library only: small programs use it."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import signal
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

_PR_SET_CHILD_SUBREAPER: Final = 36
_libc = ctypes.CDLL(None)

MARK_VARIABLE: Final = "CODEBUDDY_FAMILY"
"""The environment variable that marks the processes of one `MarkedProcesses`, and names the process that owns them."""

_OWNER: Final = re.compile(rf"(?:^|\0){MARK_VARIABLE}=(\d+)\.(\d+)\.(\d+)\.".encode())
_ENVIRONMENT_BYTES: Final = 256 * 1024
_ROUNDS: Final = 100
_PAUSE_SECONDS: Final = 0.005
_numbers = itertools.count(1)
_all_marked: weakref.WeakSet[MarkedProcesses] = weakref.WeakSet()

# Of memory.
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_PROPORTIONAL: Final = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
# Of this container: cgroup v2, and v1.
_OOM_FILES: Final = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
_LIMIT_FILES: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_NO_LIMIT: Final = 2**60  # cgroup v1 has a number for that, near 2**63
_OOM_SCORE: Final = "500"
_OOM_KILLS: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class ProcessId:
    """A process: its id and its start time, which distinguishes it from an earlier process with the same id."""

    pid: int
    started: int


class Stat(NamedTuple):
    """The state of a process, from ``/proc/<pid>/stat`` (proc(5): fields 3, 4, 5 and 22)."""

    state: str
    parent: int
    group: int
    started: int


def stat_of(pid: int) -> Stat | None:
    """Return the state of a process, also of a zombie; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Stat(fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[19]))


def is_living(stat: Stat | None) -> bool:
    """Say whether a process is there and has not ended."""
    return stat is not None and stat.state not in ("Z", "X")


def become_subreaper() -> None:
    """Make orphans among the descendants of this process its children (prctl(2))."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def zombies() -> set[ProcessId]:
    """Return the children of this process that have ended and were not reaped."""
    own = os.getpid()
    return {ProcessId(pid, stat.started) for pid, stat in _others() if stat.parent == own and stat.state == "Z"}


def processes() -> Iterator[tuple[int, Stat]]:
    """Return every living process but this one."""
    return ((pid, stat) for pid, stat in _others() if is_living(stat))


def _others() -> Iterator[tuple[int, Stat]]:
    own = os.getpid()
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) != own:
            stat = stat_of(int(entry.name))
            if stat is not None:
                yield int(entry.name), stat


def descendants(matches: Callable[[ProcessId, Stat], bool]) -> dict[ProcessId, Stat]:
    """Return the living processes that match, with all their descendants; never this one."""
    known = {ProcessId(pid, stat.started): stat for pid, stat in processes()}
    found = {process for process, stat in known.items() if matches(process, stat)}
    more: Iterable[ProcessId] = found
    while more:
        pids = {process.pid for process in more}
        more = {process for process, stat in known.items() if stat.parent in pids} - found
        found |= more
    return {process: known[process] for process in found}


class MarkedProcesses:
    """A process and its descendants. Start it with :attr:`mark` in its environment, then call :meth:`add_root`."""

    def __init__(self) -> None:
        owner = _living_id(os.getpid())
        self.mark = f"{_namespace()}.{owner.pid}.{owner.started}.{next(_numbers)}"
        self._roots: set[ProcessId] = set()
        self._known: set[ProcessId] = set()
        _all_marked.add(self)

    def add_root(self, pid: int) -> None:
        """Add the first process."""
        root = _living_id(pid)
        if root.started:
            self._roots.add(root)
            self._known.add(root)

    def members(self) -> list[int]:
        """Return the ids of all that live."""
        variable = f"\0{MARK_VARIABLE}={self.mark}\0".encode()

        def is_member(process: ProcessId, _stat: object) -> bool:
            return process in self._known or variable in b"\0" + _environment(process.pid) + b"\0"

        self._known = set(descendants(is_member))
        return [process.pid for process in self._known]

    def kill(self) -> None:
        """Kill all, and those that they start meanwhile; this blocks, so call it in a thread."""
        _kill_all(self.members)


def is_marked_root(process: ProcessId) -> bool:
    """Say whether a process is the first one of some `MarkedProcesses` of this agent."""
    return any(process in marked._roots for marked in _all_marked)


def kill_orphans() -> None:
    """Kill what agents that are gone have left behind; this blocks, so call it in a thread.

    Only of agents in this PID namespace: outside of a container, its processes are visible under other ids.
    """
    here = _namespace()

    def is_orphan(process: ProcessId, _stat: object) -> bool:
        match = _OWNER.search(_environment(process.pid))
        if match is None or int(match[1]) != here:
            return False
        owner = ProcessId(int(match[2]), int(match[3]))
        return _living_id(owner.pid) != owner

    _kill_all(lambda: [process.pid for process in descendants(is_orphan)])


def _kill_all(members: Callable[[], list[int]]) -> None:
    # Returns when none of them lives. `supervisor.stop_and_kill` stops them before, since a run may fork as fast as it
    # is killed, kills them once, and leaves waiting and reaping to its caller.
    for _ in range(_ROUNDS):
        living = members()
        if not living:
            return
        for pid in living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)


def _environment(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read(_ENVIRONMENT_BYTES)
    except OSError:  # gone, or another user's
        return b""


def _namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _living_id(pid: int) -> ProcessId:
    """Identify a process; one that does not live has 0 for its start time."""
    stat = stat_of(pid)
    return ProcessId(pid, stat.started if stat is not None and is_living(stat) else 0)


def memory_of(pids: Iterable[int], limit: int) -> int:
    """Return the bytes that these processes use together.

    Shared pages count once (each process counts its proportional share), but that takes a walk over all pages: it is
    done only when the plain sum is over the limit.
    """
    pids = list(pids)
    resident = sum(_resident(pid) for pid in pids)
    return resident if resident <= limit else sum(_proportional(pid) for pid in pids)


def oom_kills() -> int:
    """Return how many processes of this container the OOM killer has ended; 0 where that is unknown."""
    for name in _OOM_FILES:
        if match := _OOM_KILLS.search(_read(name)):
            return int(match[1])
    return 0


def memory_limit() -> int | None:
    """Return the memory limit of this container in bytes; None where there is none, or it is unknown."""
    for name in _LIMIT_FILES:
        text = _read(name).strip()
        if text.isdecimal() and int(text) < _NO_LIMIT:
            return int(text)
    return None


def prefer_for_oom_kill(pid: int) -> None:
    """Have the OOM killer choose this process, and what it starts from now on, before others."""
    with contextlib.suppress(OSError):  # it may have ended
        Path(f"/proc/{pid}/oom_score_adj").write_text(_OOM_SCORE)


def _resident(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE if fields else 0


def _proportional(pid: int) -> int:
    match = _PROPORTIONAL.search(_read(f"/proc/{pid}/smaps_rollup"))
    return int(match[1]) * 1024 if match else _resident(pid)


def _read(name: str) -> str:
    try:
        return Path(name).read_text()
    except OSError:
        return ""
