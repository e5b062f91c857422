"""One process of a run, seen from the agent: started through the fork server, read while it runs, ended with all that
it started.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from codebuddy.family import Family
from codebuddy.runs.child import LOST_SECONDS, Child, Input
from codebuddy.runs.forks import ForkServer
from codebuddy.runs.pipes import OutputPipes, Stream
from codebuddy.runs.program import Ended, Program, Stop, Why
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
    stop: Stop | None = None,
    on_output: OnOutput,
) -> Ended:
    """Run a program to its end. When the caller is cancelled, all of the run is ended first.

    Args:
        forks: forks the supervisor.
        program: what to run.
        timeout_seconds: wall time after which it is ended; None: never.
        idle_timeout_seconds: time without output after which it is ended.
        stop: ends it from elsewhere.
        on_output: awaited with each piece of output as it appears.

    Raises:
        OSError: the program could not be started.
        ValueError: an argument or variable cannot be given to a program.
    """
    news = asyncio.Event()
    stop = stop or Stop()
    stop.heard_by(news.set)
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
        limits = _Limits(timeout_seconds, idle_timeout_seconds, stop)
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
    """Pass on what is printed until all of the run has ended; end it when it is time."""
    loop = asyncio.get_running_loop()
    started = heard = loop.time()
    ended_at: float | None = None
    why: Why | None = None
    until: float | None
    ending: asyncio.Task[None] | None = None
    while True:
        news.clear()
        for stream, data in pipes.take():
            heard = loop.time()
            await on_output(stream, data)
        now = loop.time()
        if child.ended.done():
            ended_at = now if ended_at is None else ended_at
            # Who holds a pipe open now is none of this run.
            if pipes.ended or now - ended_at >= _DRAIN_SECONDS:
                break
            until = ended_at + _DRAIN_SECONDS
        elif why is None:
            until, why = limits.due(started, heard, now)
            if why is not None:
                ending = asyncio.create_task(child.end())
        else:
            until = now + LOST_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await news.wait()
    if ending is not None:
        await ending
    return child.how(why)


class _Limits(NamedTuple):
    """When a run is ended: after so long, after so long without output, or when somebody wants it."""

    whole: float | None
    idle: float | None
    stop: Stop

    def due(self, started: float, heard: float, now: float) -> tuple[float | None, Why | None]:
        """Give when to look again, if ever, and why it is to be ended now, if it is."""
        if self.stop.wanted:
            return now, "cancelled"
        times: list[tuple[float, Why]] = []
        if self.whole is not None:
            times.append((started + self.whole, "timeout"))
        if self.idle is not None:
            times.append((heard + self.idle, "idle_timeout"))
        if not times:
            return None, None
        until, why = min(times)
        return until, why if until <= now else None
