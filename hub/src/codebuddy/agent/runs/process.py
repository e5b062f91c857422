"""The agent's side of a run's process: start it through the fork server, read its output, end all of it."""

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
from typing import Any, Final, Literal, get_args

import anyio

import codebuddy
from codebuddy.agent.runs.supervisor import GRACE_SECONDS, TERMINATE, pack_request
from codebuddy.process_tree import MARK_VARIABLE, MarkedProcesses

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, bytes], Awaitable[None]]
StopReason = Literal["timeout", "idle_timeout", "cancelled"]
"""Why the agent ended a run."""

_CHUNK: Final = 64 * 1024
_MAX_UNREAD: Final = 4 * _CHUNK  # bytes that are read ahead; then the program waits, as for any slow reader
_DRAIN_SECONDS: Final = 1.0
_LOST_SECONDS: Final = GRACE_SECONDS + 2.5  # after which a supervisor that should end its run counts as lost
_MIN_PEAK_FACTOR: Final = 2.0
_SOURCE: Final = str(Path(codebuddy.__file__).parents[1])

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Program:
    """What to run, without a shell."""

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]  # the whole environment of the process
    stdin: bytes | None = None  # None: end of file at once


@dataclass(frozen=True)
class ProcessEnd:
    """How a process ended."""

    stop_reason: StopReason | None  # None: it ended by itself
    exit_code: int | None  # None: it did not exit
    signal: str | None  # name of the signal that ended it, like SIGSEGV
    cpu_seconds: float | None  # of the whole run
    peak_bytes: int | None  # the most memory that one process of the run had; None: too little to be measured


async def finish_despite_cancellation(work: Awaitable[Any]) -> None:
    """Await work to its end, however often this task is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    with anyio.CancelScope(shield=True):  # against a scope that is cancelled; the rest is against a task that is
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(task)


class ForkServer:
    """The process that forks the supervisors; started when it is needed, and again when it was killed."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.was_killed = False  # at any time, so that processes may be left that it would have ended
        self.supervisors: set[int] = set()  # the process ids of those that run

    def poll(self) -> int | None:
        """Return its process id, if it runs."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            return self._process.pid
        log.warning("the process that starts runs was killed; the next run starts another one")
        self.was_killed = True
        self.close()
        return None

    def fork(self, control: socket.socket, stdin: int, stdout: int, stderr: int) -> None:
        """Have a supervisor forked that gets these descriptors; an `OSError` says that this is not possible."""
        descriptors = [control.fileno(), stdin, stdout, stderr]
        try:
            socket.send_fds(self._connect(), [b"run"], descriptors)
        except OSError:  # it may have been killed just now
            self.close()
            try:
                socket.send_fds(self._connect(), [b"run"], descriptors)
            except OSError:
                self.close()
                raise

    def close(self) -> None:
        """End it, with the runs that it started."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _connect(self) -> socket.socket:
        self.poll()
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


class _OutputPipes:
    """The pipes for standard output and standard error.

    Writes to two pipes have no order but that of their arrival; of those that arrive at the same time, standard output
    comes first. `on_event` is called when there is something to take, or a pipe ended.
    """

    def __init__(self, on_event: Callable[[], None]) -> None:
        self._on_event = on_event
        self._unread: deque[tuple[Stream, bytes]] = deque()
        self._size = 0
        self._reading_ends: dict[int, Stream] = {}
        self._paused = False
        self.writing_ends: list[int] = []
        for stream in get_args(Stream):
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            self._reading_ends[reading] = stream
            self.writing_ends.append(writing)
        self._resume()

    @property
    def ended(self) -> bool:
        """Whether no process holds a writing end any more, and everything was read."""
        return not self._reading_ends

    def close_writing_ends(self) -> None:
        """Close the writing ends, once the program has its own."""
        for descriptor in self.writing_ends:
            os.close(descriptor)
        self.writing_ends.clear()

    def take(self) -> list[tuple[Stream, bytes]]:
        """Return what was read since the last time."""
        taken = list(self._unread)
        self._unread.clear()
        self._size = 0
        if self._paused:
            self._resume()
        return taken

    def close(self) -> None:
        self.close_writing_ends()
        for descriptor in list(self._reading_ends):
            self._end(descriptor)

    def _resume(self) -> None:
        self._paused = False
        for descriptor in self._reading_ends:
            asyncio.get_running_loop().add_reader(descriptor, self._read, descriptor)

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._end(descriptor)
        else:
            self._unread.append((self._reading_ends[descriptor], data))
            self._size += len(data)
            if self._size >= _MAX_UNREAD:
                self._paused = True
                for reading_end in self._reading_ends:
                    asyncio.get_running_loop().remove_reader(reading_end)
        self._on_event()

    def _end(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        del self._reading_ends[descriptor]
        os.close(descriptor)


class _Input:
    """Standard input of a program: nothing, or data that is written into a pipe meanwhile."""

    def __init__(self, data: bytes | None) -> None:
        self._data = data
        self._writing_end: int | None = None
        if data is None:
            self.reading_end = os.open(os.devnull, os.O_RDONLY)
        else:
            self.reading_end, self._writing_end = os.pipe()

    def close_reading_end(self) -> None:
        """Close the reading end, once the program has its own."""
        os.close(self.reading_end)

    def close_writing_end(self) -> None:
        """Close the writing end of a program that was not started."""
        if self._writing_end is not None:
            os.close(self._writing_end)

    def start_writing(self) -> asyncio.Task[None] | None:
        """Write the data, then close the pipe."""
        return None if self._writing_end is None else asyncio.create_task(self._write(self._writing_end))

    async def _write(self, descriptor: int) -> None:
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


@dataclass
class _SupervisedProcess:
    """A program that runs under its supervisor."""

    reader: asyncio.StreamReader  # of the supervisor's control socket
    writer: asyncio.StreamWriter
    processes: MarkedProcesses
    fork_server: ForkServer
    supervisor: int  # its process id

    def __post_init__(self) -> None:
        self.fork_server.supervisors.add(self.supervisor)
        self.ended: asyncio.Task[dict[str, Any] | None] = asyncio.create_task(self._read_end())

    @classmethod
    async def start(
        cls, fork_server: ForkServer, program: Program, stdin: _Input, pipes: _OutputPipes
    ) -> _SupervisedProcess:
        """Start the program; raises as `run_process`."""
        processes = MarkedProcesses()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                stdout, stderr = pipes.writing_ends
                fork_server.fork(theirs, stdin.reading_end, stdout, stderr)
            pipes.close_writing_ends()
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        try:
            environment = {**program.environment, MARK_VARIABLE: processes.mark}
            writer.write(pack_request(list(program.argv), str(program.cwd), environment))
            await writer.drain()
            answer = _parse_message(await reader.readline())
            if answer is None or "pid" not in answer:
                raise _start_error(answer, program)
        except BaseException:
            writer.close()
            raise
        processes.add_root(answer["pid"])
        return cls(reader, writer, processes, fork_server, answer["supervisor"])

    async def end(self) -> None:
        """End the whole run, and return when nothing is left."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(TERMINATE)
        done, _ = await asyncio.wait([self.ended], timeout=_LOST_SECONDS)
        if not done:
            self.writer.close()
            await asyncio.to_thread(self.processes.kill)

    def close(self) -> None:
        """Close the control socket; the supervisor then kills what still runs."""
        self.writer.close()
        self.ended.cancel()

    def result(self, stop_reason: StopReason | None) -> ProcessEnd:
        """Describe how it ended."""
        message = self.ended.result()
        if message is None:
            # The supervisor was killed, most likely by the run itself, so the run counts as ended by a signal.
            return ProcessEnd(stop_reason, None, signal.SIGKILL.name, None, None)
        status = message["status"]
        code = os.waitstatus_to_exitcode(status) if status is not None else -signal.SIGKILL
        peak, floor = message["peak_kilobytes"], message["floor_kilobytes"]
        return ProcessEnd(
            stop_reason=stop_reason,
            exit_code=code if code >= 0 else None,
            signal=_signal_name(-code) if code < 0 else None,
            cpu_seconds=round(message["cpu_seconds"], 3),
            # A fork begins with its parent's memory, so less than the supervisor's own is not seen (getrusage(2)).
            peak_bytes=peak * 1024 if peak > _MIN_PEAK_FACTOR * floor else None,
        )

    async def _read_end(self) -> dict[str, Any] | None:
        try:
            message = _parse_message(await self.reader.readline())
        except ConnectionError:
            message = None
        finally:
            self.fork_server.supervisors.discard(self.supervisor)
        if message is None:
            await asyncio.to_thread(self.processes.kill)
        return message


def _parse_message(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    message: dict[str, Any] = json.loads(line)
    return message


def _start_error(answer: dict[str, Any] | None, program: Program) -> OSError | ValueError:
    if answer is None:
        return OSError(None, "the process that starts it was killed")
    if answer["errno"] is None:
        return ValueError("an argument has a NUL character in it, or the name of a program or variable is invalid")
    path = {"cwd": str(program.cwd), "program": program.argv[0]}.get(answer["of"])
    return OSError(answer["errno"], os.strerror(answer["errno"]), path)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"SIGRT{number - signal.SIGRTMIN:+d}"


@dataclass
class _Limits:
    """When a run is ended; times are those of the event loop."""

    timeout_seconds: float | None
    idle_timeout_seconds: float | None
    stop: asyncio.Event
    started: float
    last_output: float
    stop_reason: StopReason | None = None

    def check(self, now: float) -> float | None:
        """Set the reason to end the run now, if there is one; give the time of the next check, if there is any."""
        if self.stop.is_set():
            self.stop_reason = "cancelled"
            return now
        times: list[tuple[float, StopReason]] = []
        if self.timeout_seconds is not None:
            times.append((self.started + self.timeout_seconds, "timeout"))
        if self.idle_timeout_seconds is not None:
            times.append((self.last_output + self.idle_timeout_seconds, "idle_timeout"))
        if not times:
            return None
        due, reason = min(times)
        if due <= now:
            self.stop_reason = reason
        return due


async def run_process(
    fork_server: ForkServer,
    program: Program,
    *,
    timeout_seconds: float | None,
    idle_timeout_seconds: float | None = None,
    stop: asyncio.Event | None = None,
    on_output: OnOutput,
) -> ProcessEnd:
    """Run a program to its end. When the caller is cancelled, the whole run is ended first.

    Args:
        timeout_seconds: wall time after which it is ended; None: never.
        idle_timeout_seconds: time without output after which it is ended; None: never.
        stop: once it is set, the run is ended, as ``cancelled``.
        on_output: awaited with each piece of output as it appears.

    Raises:
        OSError: the program could not be started.
        ValueError: an argument or variable cannot be given to a program.
    """
    event = asyncio.Event()
    pipes = _OutputPipes(event.set)
    writing: asyncio.Task[None] | None = None
    process: _SupervisedProcess | None = None
    try:
        stdin = _Input(program.stdin)
        try:
            process = await _SupervisedProcess.start(fork_server, program, stdin, pipes)
            writing = stdin.start_writing()
        finally:
            stdin.close_reading_end()
            if writing is None:
                stdin.close_writing_end()
        process.ended.add_done_callback(lambda _: event.set())
        now = asyncio.get_running_loop().time()
        limits = _Limits(timeout_seconds, idle_timeout_seconds, stop or asyncio.Event(), now, now)
        return await _follow(process, pipes, event, limits, on_output)
    except asyncio.CancelledError:
        if process is not None:
            await finish_despite_cancellation(process.end())
        raise
    finally:
        if writing is not None:
            writing.cancel()
        if process is not None:
            process.close()
        pipes.close()


async def _follow(
    process: _SupervisedProcess, pipes: _OutputPipes, event: asyncio.Event, limits: _Limits, on_output: OnOutput
) -> ProcessEnd:
    """Pass on what is printed until the whole run has ended."""
    loop = asyncio.get_running_loop()
    # A task of its own: on_output may have to wait for a disk, which does not extend the run's time.
    ending = asyncio.create_task(_end_in_time(process, limits))
    drained: float | None = None
    try:
        while True:
            event.clear()
            for stream, data in pipes.take():
                limits.last_output = loop.time()
                await on_output(stream, data)
            if process.ended.done():
                drained = drained or loop.time() + _DRAIN_SECONDS
                # A process that holds a pipe open now is none of this run.
                if pipes.ended or loop.time() >= drained:
                    break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(drained):
                    await event.wait()
        if limits.stop_reason is not None:
            await ending
        return process.result(limits.stop_reason)
    finally:
        ending.cancel()


async def _end_in_time(process: _SupervisedProcess, limits: _Limits) -> None:
    while not process.ended.done():
        due = limits.check(asyncio.get_running_loop().time())
        if limits.stop_reason is not None:
            await process.end()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await limits.stop.wait()
