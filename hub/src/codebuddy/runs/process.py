"""One process of a run: started in a group of its own, read while it runs, ended with everything it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio

from codebuddy.runs.models import EndReason
from codebuddy.runs.output import OutputBuffer

__all__ = ["Ended", "run_process"]

TERM_SECONDS = 2.0
"""How long a process group may take to end after SIGTERM before SIGKILL."""

CHUNK = 64 * 1024

OnOutput = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Args:
        reason: one of the contract's reasons.
        exit_code: its status when it exited by itself.
        signal: name of the signal that ended it, e.g. ``SIGSEGV``.
        output: standard output and standard error, in the order in which they were written.
        duration_seconds: wall time.
    """

    reason: EndReason
    exit_code: int | None
    signal: str | None
    output: OutputBuffer
    duration_seconds: float


async def run_process(
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    stdin: bytes | None = None,
    timeout_seconds: float,
    idle_timeout_seconds: float | None = None,
    on_output: OnOutput,
) -> Ended:
    """Run a program to its end. When the caller is cancelled, its whole process group is ended first.

    Args:
        argv: program and arguments; no shell.
        cwd: working directory.
        environment: the whole environment of the process.
        stdin: what it reads; None: end of file at once.
        timeout_seconds: wall time after which it is ended.
        idle_timeout_seconds: time without output after which it is ended.
        on_output: awaited with each piece of output as it appears.

    Raises:
        OSError: the program could not be started.
    """
    started = time.monotonic()
    output = OutputBuffer()
    reason: EndReason | None = None
    async with _output_pipe() as (reader, write_end):
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=write_end,
            stderr=write_end,
            start_new_session=True,
        )
        write_end.close()
        feeder = asyncio.create_task(_feed(process, stdin)) if stdin is not None else None
        try:
            with anyio.move_on_after(timeout_seconds) as limit:
                reason = await _read(process, reader, output, idle_timeout_seconds, on_output)
                if reason is None:
                    await process.wait()
            if limit.cancelled_caught:
                reason = "timeout"
        finally:
            if feeder is not None:
                feeder.cancel()
            # Also after a normal end: what the program left in its group would outlive the run.
            await _end_group(process)
    status = process.returncode or 0
    killed_by = signal.Signals(-status).name if status < 0 and reason is None else None
    return Ended(
        reason=reason or ("signaled" if killed_by else "exited"),
        exit_code=status if status >= 0 and reason is None else None,
        signal=killed_by,
        output=output,
        duration_seconds=time.monotonic() - started,
    )


@contextlib.asynccontextmanager
async def _output_pipe() -> AsyncIterator[tuple[asyncio.StreamReader, BinaryIO]]:
    """Give a pipe: a reader, and the end that the program writes to.

    It is ours and not the process object's, whose ``wait`` waits for the pipe's end too: a daemon that the program
    left behind may hold it open for ever.
    """
    read_fd, write_fd = os.pipe()
    read_end, write_end = os.fdopen(read_fd, "rb", 0), os.fdopen(write_fd, "wb", 0)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), read_end
    )
    try:
        yield reader, write_end
    finally:
        write_end.close()
        transport.close()


async def _read(
    process: asyncio.subprocess.Process,
    reader: asyncio.StreamReader,
    output: OutputBuffer,
    idle_seconds: float | None,
    on_output: OnOutput,
) -> EndReason | None:
    """Read until the program closes its output or exits; give ``idle_timeout`` when it was silent for too long."""
    exited = asyncio.create_task(process.wait())
    try:
        while True:
            reading = asyncio.create_task(reader.read(CHUNK))
            try:
                await asyncio.wait({reading, exited}, timeout=idle_seconds, return_when=asyncio.FIRST_COMPLETED)
                if exited.done() and not reading.done():
                    # A daemon may hold the pipe open for ever: take what is there, and do not wait for its end.
                    await asyncio.wait({reading}, timeout=0.2)
                if not reading.done():
                    return None if exited.done() else "idle_timeout"
                data = reading.result()
            finally:
                reading.cancel()
            if not data:
                return None
            output.add(data)
            await on_output(data)
    finally:
        exited.cancel()


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


async def _end_group(process: asyncio.subprocess.Process) -> None:
    """End every process of the group: SIGTERM, a moment, SIGKILL. Shielded: a cancelled run is ended all the same."""
    with anyio.CancelScope(shield=True):
        if _signal_group(process.pid, signal.SIGTERM):
            with anyio.move_on_after(TERM_SECONDS):
                while _signal_group(process.pid, 0):  # noqa: ASYNC110  nothing tells when a group is empty
                    await anyio.sleep(0.01)
            _signal_group(process.pid, signal.SIGKILL)
        await process.wait()


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; False when nobody is left in it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
