"""One process of a run, seen from the agent: started through the fork server, read while it runs, ended with all that
it started.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from codebuddy.process_tree import Family
from codebuddy.runs.child import Child, Input
from codebuddy.runs.forks import ForkServer
from codebuddy.runs.pipes import OutputPipes, Stream
from codebuddy.runs.program import Ended, Program, Why
from codebuddy.runs.shielding import finish

__all__ = ["OnOutput", "run_process"]

_DRAIN_SECONDS: Final = 1.0

OnOutput = Callable[[Stream, bytes], Awaitable[None]]


async def run_process(
    forks: ForkServer,
    program: Program,
    *,
    timeout_seconds: float | None,
    idle_timeout_seconds: float | None = None,
    stop: asyncio.Event | None = None,
    on_output: OnOutput,
) -> Ended:
    """Run a program to its end. When the caller is cancelled, all of the run is ended first.

    Args:
        forks: forks the supervisor.
        program: what to run.
        timeout_seconds: wall time after which it is ended; None: never.
        idle_timeout_seconds: time without output after which it is ended.
        stop: once it is set, the run is ended, as ``cancelled``.
        on_output: awaited with each piece of output as it appears.

    Raises:
        OSError: the program could not be started.
        ValueError: an argument or variable cannot be given to a program.
    """
    news = asyncio.Event()
    pipes = OutputPipes(news.set)
    family = Family()
    feeding: asyncio.Task[None] | None = None
    child: Child | None = None
    try:
        stdin = Input(program.stdin)
        try:
            child = await Child.start(forks, program, stdin, pipes, family)
        finally:
            stdin.started()
        child.on_end(news.set)
        feeding = stdin.feed()
        limits = _Limits(timeout_seconds, idle_timeout_seconds, stop or asyncio.Event())
        return await _follow(child, pipes, news, limits, on_output)
    except asyncio.CancelledError:
        if child is not None:
            await finish(child.end())
        raise
    finally:
        if feeding is not None:
            feeding.cancel()
        if child is not None:
            child.close()
        pipes.close()


async def _follow(child: Child, pipes: OutputPipes, news: asyncio.Event, limits: _Limits, on_output: OnOutput) -> Ended:
    """Pass on what is printed until all of the run has ended."""
    loop = asyncio.get_running_loop()
    course = _Course(started=loop.time(), heard=loop.time())
    # On its own: who takes the output may have to wait for a disk, and its time is the run's all the same.
    ending = asyncio.create_task(_end_in_time(child, limits, course))
    ended_at: float | None = None
    until: float | None = None
    try:
        while True:
            news.clear()
            for stream, data in pipes.take():
                course.heard = loop.time()
                await on_output(stream, data)
            if child.ended.done():
                ended_at = loop.time() if ended_at is None else ended_at
                # Who holds a pipe open now is none of this run.
                if pipes.ended or loop.time() - ended_at >= _DRAIN_SECONDS:
                    break
                until = ended_at + _DRAIN_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await news.wait()
        if course.why is not None:
            await ending
        return child.how(course.why)
    finally:
        ending.cancel()


async def _end_in_time(child: Child, limits: _Limits, course: _Course) -> None:
    loop = asyncio.get_running_loop()
    while not child.ended.done():
        until, course.why = limits.due(course, loop.time())
        if course.why is not None:
            await child.end()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await limits.stop.wait()


@dataclass
class _Course:
    """How a run went so far: when it started and was heard last, in the loop's time, and why it is being ended."""

    started: float
    heard: float
    why: Why | None = None


class _Limits(NamedTuple):
    """When a run is ended: after so long, after so long without output, or when somebody wants it."""

    whole: float | None
    idle: float | None
    stop: asyncio.Event

    def due(self, course: _Course, now: float) -> tuple[float | None, Why | None]:
        """Give when to look again, if ever, and why it is to be ended now, if it is."""
        if self.stop.is_set():
            return now, "cancelled"
        times: list[tuple[float, Why]] = []
        if self.whole is not None:
            times.append((course.started + self.whole, "timeout"))
        if self.idle is not None:
            times.append((course.heard + self.idle, "idle_timeout"))
        if not times:
            return None, None
        until, why = min(times)
        return until, why if until <= now else None
