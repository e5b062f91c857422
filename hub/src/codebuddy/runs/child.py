"""A program under its supervisor, seen from the agent: what it is given, how it is ended, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, Final

from codebuddy.process_tree import MARK, Family
from codebuddy.runs.forks import ForkServer
from codebuddy.runs.pipes import OutputPipes
from codebuddy.runs.program import Ended, Program, Why
from codebuddy.runs.supervisor import GRACE_SECONDS, TERMINATE, pack_request

__all__ = ["Child", "Input"]

_LOST_SECONDS: Final = GRACE_SECONDS + 2.5
"""A supervisor that has not ended what it was told to end by then is taken for lost."""

_ABOVE_FLOOR: Final = 2.0


class Input:
    """What a program reads: nothing, or a text that is written into a pipe beside it."""

    def __init__(self, data: bytes | None) -> None:
        self._data = data
        self._writing: int | None = None
        if data is None:
            self.reading_end = os.open(os.devnull, os.O_RDONLY)
        else:
            self.reading_end, self._writing = os.pipe()

    def started(self) -> None:
        """Give up the reading end: the program has its own."""
        os.close(self.reading_end)

    def feed(self) -> asyncio.Task[None] | None:
        """Write it, and close the pipe then."""
        return None if self._writing is None else asyncio.create_task(self._feed(self._writing))

    async def _feed(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(descriptor, "wb", 0)
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(self._data or b"")
                await writer.drain()
        finally:
            writer.close()


class Child:
    """A program under its supervisor."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        family: Family,
        forks: ForkServer,
        supervisor: int,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._family = family
        self._forks, self._supervisor = forks, supervisor
        forks.supervisors.add(supervisor)
        self.ended: asyncio.Task[dict[str, Any] | None] = asyncio.create_task(self._read_end())

    @classmethod
    async def start(
        cls, forks: ForkServer, program: Program, stdin: Input, pipes: OutputPipes, family: Family
    ) -> Child:
        """Start it.

        Raises:
            OSError: it could not be started; ValueError: its arguments cannot be given to a program.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                forks.send(theirs, stdin.reading_end, *pipes.writing_ends)
            pipes.started()
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        environment = {**program.environment, MARK: family.mark}
        try:
            writer.write(pack_request(list(program.argv), str(program.cwd), environment))
            await writer.drain()
            said = _message(await reader.readline())
        except BaseException:
            writer.close()
            raise
        if said is None or "pid" not in said:
            writer.close()
            raise _not_started(said, program)
        family.add_root(said["pid"])
        return cls(reader, writer, family, forks, said["supervisor"])

    def on_end(self, tell: Callable[[], None]) -> None:
        """Have somebody told when all of it has ended."""
        self.ended.add_done_callback(lambda _: tell())

    async def end(self) -> None:
        """End all of it, and return when nothing is left."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(TERMINATE)
        done, _ = await asyncio.wait([self.ended], timeout=_LOST_SECONDS)
        if not done:
            self._writer.close()
            await asyncio.to_thread(self._family.kill)

    def close(self) -> None:
        """Let go of it; what still runs of it is ended."""
        self._writer.close()
        self.ended.cancel()

    def how(self, why: Why | None) -> Ended:
        """Tell how it ended."""
        said = self.ended.result()
        if said is None:
            # Somebody killed the supervisor. Most likely that was the run itself, so it counts as ended by a signal.
            return Ended(why, None, signal.SIGKILL.name, None, None)
        code = os.waitstatus_to_exitcode(said["status"]) if said["status"] is not None else -signal.SIGKILL
        peak = said["peak_kilobytes"] * 1024
        return Ended(
            why=why,
            exit_code=code if code >= 0 else None,
            signal=_name_of(-code) if code < 0 else None,
            cpu_seconds=round(said["cpu_seconds"], 3),
            # A fork begins with its parent's memory, so less than the supervisor's own is not seen (getrusage(2)).
            peak_bytes=peak if peak > _ABOVE_FLOOR * said["floor_kilobytes"] * 1024 else None,
        )

    async def _read_end(self) -> dict[str, Any] | None:
        try:
            said = _message(await self._reader.readline())
        except ConnectionError:
            said = None
        finally:
            self._forks.supervisors.discard(self._supervisor)
        if said is None:
            await asyncio.to_thread(self._family.kill)
        return said


def _message(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    message: dict[str, Any] = json.loads(line)
    return message


def _not_started(said: dict[str, Any] | None, program: Program) -> OSError | ValueError:
    if said is None:
        return OSError(None, "the process that starts it was killed")
    if said["errno"] is None:
        return ValueError("an argument has a NUL character in it, or the name of a program or variable is none")
    of = {"cwd": str(program.cwd), "program": program.argv[0]}.get(said["of"])
    return OSError(said["errno"], os.strerror(said["errno"]), of)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"SIGRT{number - signal.SIGRTMIN:+d}"
