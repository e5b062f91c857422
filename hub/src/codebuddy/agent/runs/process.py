"""One process of a run, seen from the agent: started through the fork server, read while it runs, ended with all that
it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import codebuddy
from codebuddy.agent.runs.supervisor import GRACE_SECONDS, TERMINATE, pack_request
from codebuddy.process_tree import MARK, Family

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


async def finish(work: Awaitable[Any]) -> None:
    """Finish something although we are cancelled, however often."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)


Stream = Literal["stdout", "stderr"]

_CHUNK: Final = 64 * 1024
_MOST: Final = 4 * _CHUNK
"""So much is read ahead of who takes it; then the program waits, as it does for any slow reader."""


class OutputPipes:
    """Two pipes and their reading ends.

    Two programs' writes into two pipes have no order but that of their arrival: what is written while nobody looks is
    taken standard output first.

    Args:
        on_news: called when there is something to take, or a pipe ended.
    """

    def __init__(self, on_news: Callable[[], None]) -> None:
        self._on_news = on_news
        self._got: deque[tuple[Stream, bytes]] = deque()
        self._size = 0
        self._reading: dict[int, Stream] = {}
        self._paused = False
        self._writing: list[int] = []
        for stream in get_args(Stream):
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            self._reading[reading] = stream
            self._writing.append(writing)
        self._watch()

    @property
    def writing_ends(self) -> tuple[int, int]:
        """The descriptors that the program writes to."""
        stdout, stderr = self._writing
        return stdout, stderr

    @property
    def ended(self) -> bool:
        """Whether nobody holds a writing end any more, and all was read."""
        return not self._reading

    def started(self) -> None:
        """Give up the writing ends: the program has its own."""
        for descriptor in self._writing:
            os.close(descriptor)
        self._writing.clear()

    def take(self) -> list[tuple[Stream, bytes]]:
        """Give what was read since the last time."""
        taken = list(self._got)
        self._got.clear()
        self._size = 0
        if self._paused:
            self._watch()
        return taken

    def close(self) -> None:
        """Close what is open."""
        self.started()
        for descriptor in list(self._reading):
            self._end(descriptor)

    def _watch(self) -> None:
        self._paused = False
        for descriptor in self._reading:
            asyncio.get_running_loop().add_reader(descriptor, self._read, descriptor)

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._end(descriptor)
        else:
            self._got.append((self._reading[descriptor], data))
            self._size += len(data)
            if self._size >= _MOST:
                self._pause()
        self._on_news()

    def _pause(self) -> None:
        self._paused = True
        for descriptor in self._reading:
            asyncio.get_running_loop().remove_reader(descriptor)

    def _end(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        del self._reading[descriptor]
        os.close(descriptor)


_SOURCE: Final = str(Path(codebuddy.__file__).parents[1])

log = logging.getLogger(__name__)


class ForkServer:
    """The process that forks the supervisors; started when it is needed, and again when it was killed."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.was_killed = False
        """Whether one was, at any time: what it would have ended may be left."""
        self.supervisors: set[int] = set()
        """The ids of those that are at work."""

    def look(self) -> int | None:
        """See whether it still runs; give its id."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            return self._process.pid
        log.warning("the process that starts runs was killed; the next run starts another one")
        self.was_killed = True
        self.close()
        return None

    def send(self, control: socket.socket, stdin: int, stdout: int, stderr: int) -> None:
        """Have a supervisor forked that gets these descriptors.

        Raises:
            OSError: it cannot be.
        """
        descriptors = [control.fileno(), stdin, stdout, stderr]
        for last in (False, True):
            try:
                socket.send_fds(self._connected(), [b"run"], descriptors)
                return
            except OSError:
                self.close()
                if last:
                    raise

    def close(self) -> None:
        """End it; the runs that are under way end too."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _connected(self) -> socket.socket:
        self.look()
        if self._socket is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            # Neither the project's modules nor site-packages: it needs none, and stays small.
            code = f"import sys; sys.path.insert(0, {_SOURCE!r}); from codebuddy.agent.runs.supervisor import serve; "
            code += f"serve({theirs.fileno()})"
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", code],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            self._socket = ours
        return self._socket


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
