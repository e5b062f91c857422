"""One run: what was asked, what it printed, how it ended; and that as it is told and as it is kept."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from codebuddy.runs.program import Program
from codebuddy.runs.transcript import Transcript
from codebuddy.schemas.runs import EndReason, Job, Reported

__all__ = ["Order", "Run", "RunEnd", "new_id", "utc"]

_TOLD_ARGV: Final = 2000
"""So many characters of a command line are kept."""


@dataclass(frozen=True)
class Order:
    """What is to be run.

    Args:
        program: the program.
        task: the name of the task that it is, if it is one.
        background: whether it is a job, which runs on without its caller.
        timeout_seconds, idle_timeout_seconds: when it is ended; None: never.
    """

    program: Program
    task: str | None
    background: bool
    timeout_seconds: float | None
    idle_timeout_seconds: float | None


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, and what it took; see `RunResult`."""

    reason: EndReason
    duration_seconds: float
    exit_code: int | None = None
    signal: str | None = None
    message: str | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(eq=False)
class Run:
    """A run, under way or ended.

    Args:
        job_id: its id, with the project's before it.
        argv: its command line; of a long one the beginning is kept.
        task: the task's name, if it is one.
        background: whether it runs on without its caller.
        started: when, as `time.time` gives it.
        transcript: what it prints.
    """

    job_id: str
    argv: list[str]
    task: str | None
    background: bool
    started: float
    transcript: Transcript
    end: RunEnd | None = None
    report: Reported = field(default_factory=Reported)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    clock: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.argv = _beginning(self.argv)  # it is kept for long, and told in lists

    @property
    def project(self) -> str:
        """The id of its project."""
        return self.job_id.partition(":")[0]

    @property
    def duration_seconds(self) -> float:
        """How long it has run, or ran."""
        return round(time.monotonic() - self.clock if self.end is None else self.end.duration_seconds, 3)

    def describe(self) -> Job:
        """Tell of it."""
        end = self.end
        return Job(
            job_id=self.job_id,
            project=self.project,
            argv=self.argv,
            task=self.task,
            background=self.background,
            started_at=utc(self.started),
            duration_seconds=self.duration_seconds,
            reason=end.reason if end else None,
            exit_code=end.exit_code if end else None,
            signal=end.signal if end else None,
            message=end.message if end else None,
            output_bytes=self.transcript.total,
        )


def _beginning(argv: list[str]) -> list[str]:
    """Give the beginning of a command line; ``…`` is where something is left out."""
    room, told = _TOLD_ARGV, list[str]()
    for word in argv:
        if len(word) >= room:
            return [*told, f"{word[:room]}…"]
        told.append(word)
        room -= len(word) + 1
    return told


def new_id(project: str) -> str:
    """Make the id of a run."""
    return f"{project}:{secrets.token_hex(6)}"


def utc(seconds: float) -> str:
    """Write a time as people and programs read it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
