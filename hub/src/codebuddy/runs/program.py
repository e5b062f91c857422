"""What a run starts, and how that ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Ended", "Program", "Why"]

Why = Literal["timeout", "idle_timeout", "cancelled"]
"""Why a run was ended from here."""


@dataclass(frozen=True)
class Program:
    """What to run.

    Args:
        argv: program and arguments; no shell.
        cwd: working directory.
        environment: the whole environment of the process.
        stdin: what it reads; None: end of file at once.
    """

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    stdin: bytes | None = None


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Args:
        why: why it was ended from here; None when it ended by itself.
        exit_code: its status when it exited.
        signal: name of the signal that ended it, like ``SIGSEGV``.
        cpu_seconds: processor time of the whole run.
        peak_bytes: the most memory that one process of it had; None when that is too little to tell.
    """

    why: Why | None
    exit_code: int | None
    signal: str | None
    cpu_seconds: float | None
    peak_bytes: int | None
