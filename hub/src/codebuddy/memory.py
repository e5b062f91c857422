"""Memory: how much processes use, and whether the kernel ended one for want of it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["memory_limit", "memory_of", "offer_to_oom", "oom_kills"]

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_PROPORTIONAL: Final = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)

# Of this container: cgroup v2, and v1.
_OOM_FILES: Final = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
_LIMIT_FILES: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_NO_LIMIT: Final = 2**60  # cgroup v1 has a number for that, near 2**63
_OOM_SCORE: Final = "500"
_OOM_KILLS: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def memory_of(pids: Iterable[int], limit: int) -> int:
    """Give the bytes that these processes use together.

    What they share counts once (each counts its proportional share), but that takes a walk over all pages: it is done
    only when the plain sum is over the limit.
    """
    pids = list(pids)
    resident = sum(_resident(pid) for pid in pids)
    return resident if resident <= limit else sum(_proportional(pid) for pid in pids)


def oom_kills() -> int:
    """Give how many processes of this container the kernel has ended for want of memory; 0 where it does not tell."""
    for name in _OOM_FILES:
        if match := _OOM_KILLS.search(_read(name)):
            return int(match[1])
    return 0


def memory_limit() -> int | None:
    """Give the limit of this container in bytes; None where there is none, or it is not told."""
    for name in _LIMIT_FILES:
        text = _read(name).strip()
        if text.isdecimal() and int(text) < _NO_LIMIT:
            return int(text)
    return None


def offer_to_oom(pid: int) -> None:
    """Have the kernel end this process, and what it starts from now on, rather than others when memory runs out."""
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
