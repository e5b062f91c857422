"""All runs of a spoke: under way, and ended ones whose output can still be read; within the project's limits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codebuddy.configuration import RunLimits
from codebuddy.process_tree import memory_limit, oom_kills
from codebuddy.runs.advice import start_advice
from codebuddy.runs.forks import ForkServer
from codebuddy.runs.output import excerpt_of
from codebuddy.runs.pipes import Stream
from codebuddy.runs.process import run_process
from codebuddy.runs.program import Ended
from codebuddy.runs.records import load_runs, save_run
from codebuddy.runs.run import Order, Run, RunEnd, new_id
from codebuddy.runs.shielding import finish
from codebuddy.runs.transcript import Transcript
from codebuddy.schemas.runs import EndReason, Reported
from codebuddy.tool import ToolError

__all__ = ["Runs", "Watcher"]

_AT_ONCE: Final = 64
"""So many runs that somebody waits for go on at the same time; more wait for their turn."""

_ADVICE_BYTES: Final = 32 * 1024
"""So much of the end of a failed run's output is looked at for advice."""

_MAX_ENDED: Final = 50
_KEPT_LIMITS: Final = 4
"""The output of ended runs is kept up to so many times the limit of one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watcher:
    """Follows a run.

    Args:
        on_output: awaited with each piece of output.
        on_end: awaited with how it ended when all was printed; gives what is to be told of it beside how it ended.
        keep: says, then, whether the output is to be kept for `job_output`.
    """

    on_output: Callable[[Stream, bytes], Awaitable[None]]
    on_end: Callable[[RunEnd], Awaitable[Reported]]
    keep: Callable[[], bool]


class Runs:
    """The runs of one project.

    Args:
        project: its id.
        directory: where jobs and long output are kept.
        limits: the project's.
        advise: gives a sentence where the last output of a run that failed shows what it lacked.
    """

    def __init__(
        self,
        project: str,
        directory: Path,
        limits: RunLimits,
        advise: Callable[[str], str | None] = lambda _output: None,
    ) -> None:
        self.limits = limits
        self._project = project
        self._directory = directory
        self._advise = advise
        self.forks = ForkServer()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._runs: dict[str, Run] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._under_way = 0
        self._closing = False

    def load(self) -> None:
        """Take up the jobs of an earlier agent, which ended with it."""
        for run in load_runs(self._directory, self._project, self.limits.output_bytes):
            self._runs[run.job_id] = run
        self._forget()

    async def foreground(self, order: Order, watcher: Watcher) -> Run:
        """Run to the end. When the caller is cancelled, the run is ended, and this waits until it has."""
        run = self._add(order)
        task = asyncio.create_task(self._execute(run, order, watcher))
        self._tasks[run.job_id] = task
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            run.stop.set()
            await finish(task)
            raise
        return run

    def background(self, order: Order, watcher: Watcher) -> Run:
        """Start a job.

        Raises:
            ToolError: ``too_many_jobs``.
        """
        jobs = [run for run in self._runs.values() if run.background and run.end is None]
        if len(jobs) >= self.limits.max_jobs:
            raise ToolError(
                "too_many_jobs",
                f"{self._project} runs {len(jobs)} jobs, as many as it may (max_jobs); end one with cancel_job first.",
            )
        run = self._add(order)
        save_run(self._place(run.job_id), run)
        self._tasks[run.job_id] = asyncio.create_task(self._execute(run, order, watcher))
        return run

    def get(self, job_id: str) -> Run:
        """Give a run.

        Raises:
            ToolError: ``unknown_job``.
        """
        run = self._runs.get(job_id)
        if run is None:
            raise ToolError(
                "unknown_job", f"{self._project} has no job {job_id}; list_jobs tells which there are (old ones go)."
            )
        return run

    def all(self) -> list[Run]:
        """Give all runs that are under way or kept, the newest first."""
        return sorted(self._runs.values(), key=lambda run: (run.started, run.job_id), reverse=True)

    async def cancel(self, job_id: str) -> Run:
        """End a run, and wait until nothing of it is left; one that has ended stays as it is.

        Raises:
            ToolError: ``unknown_job``.
        """
        run = self.get(job_id)
        run.stop.set()
        task = self._tasks.get(job_id)
        if task is not None:
            await asyncio.wait([task])
        return run

    async def close(self) -> None:
        """End all that is under way, for the agent ends."""
        self._closing = True
        tasks = list(self._tasks.values())
        for run in self._runs.values():
            run.stop.set()
        if tasks:
            await asyncio.wait(tasks, timeout=4.0)
        self.forks.close()

    def _add(self, order: Order) -> Run:
        job_id = new_id(self._project)
        run = Run(
            job_id=job_id,
            argv=list(order.program.argv),
            task=order.task,
            background=order.background,
            started=time.time(),
            transcript=Transcript(self._place(job_id), self.limits.output_bytes),
        )
        self._runs[job_id] = run
        return run

    def _place(self, job_id: str) -> Path:
        return self._directory / job_id.rpartition(":")[2]

    async def _execute(self, run: Run, order: Order, watcher: Watcher) -> None:
        async def on_output(stream: Stream, data: bytes) -> None:
            await run.transcript.add(stream, data)
            await watcher.on_output(stream, data)

        try:
            run.end = await self._end_of(run, order, on_output)
            try:
                run.report = await watcher.on_end(run.end)
            except Exception:
                log.exception("the report of %s cannot be read", run.job_id)
                run.report = Reported(report_problem="Its report could not be read; the agent's log says why.")
            keep = run.background or watcher.keep()
            await run.transcript.close(keep)
            if keep:
                await asyncio.to_thread(save_run, self._place(run.job_id), run)
            else:
                del self._runs[run.job_id]
        finally:
            if run.end is None:  # a fault of ours: nothing may look as if it ran on
                run.end = RunEnd("not_started", run.duration_seconds, message="The agent failed; see its log.")
            self._tasks.pop(run.job_id, None)
            self._forget()

    async def _end_of(self, run: Run, order: Order, on_output: Callable[[Stream, bytes], Awaitable[None]]) -> RunEnd:
        kills, alone = oom_kills(), self._under_way == 0
        self._under_way += 1
        try:
            if order.background:
                ended = await self._process(run, order, on_output)
            else:
                async with self._turns:
                    ended = await self._process(run, order, on_output)
        except (OSError, ValueError) as error:
            return RunEnd("not_started", run.duration_seconds, message=self._why_not(order.program.argv[0], error))
        finally:
            self._under_way -= 1
        alone = alone and self._under_way == 0
        reason = _reason(ended, killed=oom_kills() > kills, alone=alone)
        if reason == "cancelled" and self._closing:
            reason = "agent_restart"
        return RunEnd(
            reason=reason,
            duration_seconds=run.duration_seconds,
            exit_code=ended.exit_code if ended.why is None else None,
            signal=ended.signal if ended.why is None else None,
            message=_sentence(reason, order) or await self._advice(run, reason, ended),
            cpu_seconds=ended.cpu_seconds,
            peak_memory_bytes=ended.peak_bytes,
        )

    async def _process(self, run: Run, order: Order, on_output: Callable[[Stream, bytes], Awaitable[None]]) -> Ended:
        return await run_process(
            self.forks,
            order.program,
            timeout_seconds=order.timeout_seconds,
            idle_timeout_seconds=order.idle_timeout_seconds,
            stop=run.stop,
            on_output=on_output,
        )

    async def _advice(self, run: Run, reason: EndReason, ended: Ended) -> str | None:
        if reason != "exited" or ended.exit_code == 0:
            return None
        page = await run.transcript.read(run.transcript.total - _ADVICE_BYTES, _ADVICE_BYTES)
        return self._advise(excerpt_of(page.pieces)[0])

    def _why_not(self, program: str, error: OSError | ValueError) -> str:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        told = f"{program[:200]!r} could not be started in {self._project}: {why}."
        return f"{told} {start_advice(program)}" if isinstance(error, FileNotFoundError) else told

    def _forget(self) -> None:
        """Let go of the oldest ended runs, when they are many or their output is much."""
        ended = [run for run in self._runs.values() if run.end is not None]
        room = _KEPT_LIMITS * self.limits.output_bytes
        for number, run in enumerate(reversed(ended)):
            room -= run.transcript.size
            if number >= _MAX_ENDED or (room < 0 and number > 0):
                del self._runs[run.job_id]
                run.transcript.remove()


def _reason(ended: Ended, *, killed: bool, alone: bool) -> EndReason:
    """Say why a run ended.

    Args:
        ended: how its process did.
        killed: whether the kernel ended a process of this container for want of memory meanwhile.
        alone: whether no other run can have been meant.
    """
    if ended.why is not None:
        return ended.why
    by_kill = ended.signal == "SIGKILL" or ended.exit_code == 128 + 9  # as a shell tells of what it ran
    if killed and (by_kill or (alone and ended.exit_code != 0)):
        return "oom"
    return "signaled" if ended.signal is not None else "exited"


def _sentence(reason: EndReason, order: Order) -> str | None:
    match reason:
        case "oom":
            limit = f" of {most / 2**20:.0f} MiB" if (most := memory_limit()) else ""
            return f"It needed more memory than the project's limit{limit} leaves; raise `memory` in the inventory."
        case "timeout":
            return f"It had not ended after {order.timeout_seconds:g} s."
        case "idle_timeout":
            return f"It had printed nothing for {order.idle_timeout_seconds:g} s."
    return None
