"""The processes of this PID namespace, as ``/proc`` shows them. Of the standard library only: small programs use it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["ProcessId", "Stat", "become_subreaper", "descendants", "is_living", "processes", "stat_of", "zombies"]

_PR_SET_CHILD_SUBREAPER: Final = 36
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class ProcessId:
    """A process: its id and the time at which it started, which tells it from an earlier one with the same id."""

    pid: int
    started: int


class Stat(NamedTuple):
    """What ``/proc/<pid>/stat`` tells of a process (proc(5): fields 3, 4, 5 and 22)."""

    state: str
    parent: int
    group: int
    started: int


def stat_of(pid: int) -> Stat | None:
    """Give what is known of a process, also of one that ended and was not reaped; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Stat(fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[19]))


def is_living(stat: Stat | None) -> bool:
    """Say whether a process runs or can run: it is there and has not ended."""
    return stat is not None and stat.state not in ("Z", "X")


def become_subreaper() -> None:
    """Have orphans among the descendants of this process become its children (prctl(2))."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def zombies() -> set[ProcessId]:
    """Give the children of this process that have ended and were not reaped."""
    own = os.getpid()
    return {ProcessId(pid, stat.started) for pid, stat in _others() if stat.parent == own and stat.state == "Z"}


def processes() -> Iterator[tuple[int, Stat]]:
    """Give every living process but this one."""
    return ((pid, stat) for pid, stat in _others() if is_living(stat))


def _others() -> Iterator[tuple[int, Stat]]:
    own = os.getpid()
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) != own:
            stat = stat_of(int(entry.name))
            if stat is not None:
                yield int(entry.name), stat


def descendants(belongs: Callable[[ProcessId, Stat], bool]) -> dict[ProcessId, Stat]:
    """Give the living processes that belong, with all that descend from them; never this one.

    Args:
        belongs: says it of a process.
    """
    known = {ProcessId(pid, stat.started): stat for pid, stat in processes()}
    found = {kin for kin, stat in known.items() if belongs(kin, stat)}
    more: Iterable[ProcessId] = found
    while more:
        pids = {kin.pid for kin in more}
        more = {kin for kin, stat in known.items() if stat.parent in pids} - found
        found |= more
    return {kin: known[kin] for kin in found}
