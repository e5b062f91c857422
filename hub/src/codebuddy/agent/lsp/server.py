"""One language server, supervised: started, asked, restarted when it fails, ended with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn

from codebuddy.agent.lsp.config import ServerConfig
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.process import Process, ServerCommandMissing
from codebuddy.agent.lsp.readiness import PROGRESS_GRACE, Changes, Readiness, ServerState, first_of, remaining
from codebuddy.agent.lsp.transport import RequestTimedOut, ServerError, SessionClosed
from codebuddy.agent.lsp.tree import Tree
from codebuddy.tool import ToolError


@dataclass(frozen=True)
class Patience:
    """How long things may take, in seconds; tests take less."""

    initialize: float = 60.0
    probe: float = 20.0
    verdict: float = 5.0
    memory_look: float = 3.0
    first_delay: float = 0.5
    longest_delay: float = 30.0
    healthy_after: float = 60.0
    shutdown: float = 1.0
    grace: float = PROGRESS_GRACE


DEFAULT_PATIENCE: Final = Patience()


class Demand:
    """The questions to one server, over all its restarts."""

    def __init__(self) -> None:
        self._changes = Changes()
        self._asking = 0
        self._last = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Count a question for as long as it goes on."""
        self._asking += 1
        self._changes.tell()
        try:
            yield
        finally:
            self._asking -= 1
            self.note()

    def note(self) -> None:
        """Begin anew to count the time in which nobody asks."""
        self._last = asyncio.get_running_loop().time()
        self._changes.tell()

    async def arise(self) -> None:
        """Wait until somebody asks."""
        while not self._asking:
            await self._changes.wait(None)

    async def cease(self, seconds: float) -> None:
        """Wait until nobody has asked for so long."""
        while True:
            rest = remaining(self._last + seconds)
            if not self._asking and rest == 0:
                return
            await self._changes.wait(None if self._asking else rest)


class Pulse:
    """The pulse of one process, felt when it is doubted.

    Args:
        connection: to it.
        seconds: how long it may take to answer the simplest question before it counts as hanging.
        patience: how long whoever doubts waits to hear what came of it.
    """

    def __init__(self, connection: Connection, seconds: float, patience: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._patience = patience
        self._doubted = asyncio.Event()
        self._verdict: asyncio.Future[bool] | None = None

    async def watch(self) -> str:
        """Wait until the server was doubted and is found to hang; give that as the reason to end it."""
        try:
            while True:
                await self._doubted.wait()
                self._doubted.clear()
                await self._connection.probe(self._seconds)
                self._decide(True)
        except RequestTimedOut:
            return f"it answered nothing for {self._seconds:.0f} s after a time-out"
        except SessionClosed as closed:
            if not self._connection.session.is_open:
                # It ended while it was asked: why is found out by others. Not `await end`: who is cancelled in that
                # cancels the future too, and then nobody can say the reason any more.
                await asyncio.wait([self._connection.end])
            return str(closed)
        finally:
            self._decide(False)

    async def doubt(self) -> str:
        """Doubt the server after a request timed out; say what became of the request and of the server."""
        if self._verdict is None or self._verdict.done():
            self._verdict = asyncio.get_running_loop().create_future()
            self._doubted.set()
        verdict = self._verdict
        await asyncio.wait([verdict], timeout=self._patience)
        if not verdict.done():
            wait = f"it is restarted if that goes on for {self._seconds:.0f} s"
            return f"it was cancelled; the server has answered nothing since, and {wait}"
        if verdict.result():
            return "it was cancelled; the server still answers"
        return "the server answered nothing and is being restarted"

    def _decide(self, alive: bool) -> None:
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_result(alive)


log = logging.getLogger(__name__)

_HOPELESS_AFTER: Final = 3
_LAST_WORDS: Final = 1.0


@dataclass(frozen=True)
class _End:
    """Why a process ended or is to be ended; only after a failure is the next one delayed."""

    reason: str
    kind: Literal["failure", "idle", "order", "renewal"] = "failure"


_ORDER: Final = _End("it is being restarted, as was asked for", "order")
_RENEWAL: Final = _End("it is being restarted, to know the files as they are now", "renewal")


class LanguageServer:
    """A server and its present process, if it has one.

    Args:
        config: what was declared.
        tree: the project.
        patience: time limits.
    """

    def __init__(self, config: ServerConfig, tree: Tree, patience: Patience = DEFAULT_PATIENCE) -> None:
        self.config = config
        self.tree = tree
        self.readiness = Readiness(config.name, config.ready, patience.grace, config.load_seconds, config.ready_log)
        #: Has every server told of all that changed on the disk so far; gives the reason when that may not be all.
        self.freshen: Callable[[], Awaitable[str | None]] = _never_stale
        self._patience = patience
        self._connection: Connection | None = None
        self._pulse: Pulse | None = None
        self._demand = Demand()
        self._ordered = asyncio.Event()
        self._given = _ORDER
        self._failures = 0
        self._began = 0.0
        self._reopen: list[Path] = []
        self._missed: dict[Path, int] | None = None  # only while a process is there that is not connected yet

    @property
    def connection(self) -> Connection | None:
        """The connection to the initialized process; None while there is none."""
        connection = self._connection
        return connection if connection is not None and connection.session.is_open else None

    def state(self) -> ServerState:
        """Give the state for health."""
        return self.readiness.describe()

    async def run(self) -> None:
        """Keep the server running until cancelled; then end it and all that it started."""
        while True:
            self._began = asyncio.get_running_loop().time()
            self._ordered.clear()
            end = await self._run_once()
            if end.kind != "failure":
                self._failures = 0
            if end.kind == "idle":
                await first_of(self._demand.arise(), self._order())
            if end.kind == "failure":
                self._failures = 1 if self._lived_long() else self._failures + 1
                self.readiness.hopeless = self._failures >= _HOPELESS_AFTER
                self.readiness.died(end.reason)
                log.warning("language server %s: %s", self.config.name, end.reason)
                delay = min(self._patience.longest_delay, self._patience.first_delay * 2 ** min(self._failures - 1, 16))
                await first_of(_pause(delay * random.uniform(0.8, 1.2)), self._order())  # noqa: S311 (no secret)

    def asking(self) -> AbstractContextManager[None]:
        """Ask within this: a server that is stopped is started, and none is stopped meanwhile for being idle."""
        return self._demand.asking()

    async def suspect(self) -> str:
        """Say what became of a request that timed out. The server is restarted if it does not answer at all."""
        return await self._pulse.doubt() if self._pulse is not None else "the server is gone"

    async def farewell(self, connection: Connection, closed: SessionClosed) -> str | None:
        """Say why a session was closed; None when only to be replaced, so that the next process is to be asked.

        If the process lives all the same, it is restarted.
        """
        await asyncio.wait([connection.end], timeout=2 * _LAST_WORDS)
        if not connection.end.done():
            await self.suspect()
            await asyncio.wait([connection.end], timeout=2 * _LAST_WORDS)
        reason = connection.end.result() if connection.end.done() else str(closed)
        return None if reason == _RENEWAL.reason else reason

    def restart(self) -> None:
        """Restart the server, or start it, at once, however often it failed; `readiness` tells when it is there."""
        self._failures, self.readiness.hopeless = 0, False
        self._replace(_ORDER)

    def renew(self) -> None:
        """Replace the process by one that knows the files as they are; who asks meanwhile asks that one."""
        self._replace(_RENEWAL)

    def _replace(self, order: _End) -> None:
        self.readiness.died(order.reason)
        self._connection = None
        self._given = order
        self._ordered.set()

    def files_changed(self, events: dict[Path, int]) -> None:
        """Tell the server of changed files, in order with what is asked later; open documents are brought up to date.

        One that does not look again at files is replaced when it is asked next: however much a
        build writes and deletes, no process is started for nobody.

        Args:
            events: kind of change (LSP's FileChangeType) by file.
        """
        connection = self.connection
        if connection is None:
            if self._missed is not None:
                self._missed.update(events)  # it may have read the old files already, before it said that it is there
            return
        with contextlib.suppress(SessionClosed):
            connection.tell(events)

    def open(self, paths: list[Path]) -> None:
        """Show files of this server to it as open documents: their text is then known before the next question.

        A mere notice that a file changed makes a server read it in its own time.
        """
        connection = self.connection
        if connection is not None:
            with contextlib.suppress(SessionClosed):
                for path in paths:
                    with contextlib.suppress(ToolError):
                        connection.documents.sync(path)

    async def _run_once(self) -> _End:
        """Start a process and stay with it to its end; give the reason of the end."""
        self.readiness.starting()
        self._demand.note()
        self._missed = {}  # it finds the files as they are now
        environment = {**os.environ, **self.config.environment}
        try:
            process = await Process.start(self.config.command, self.tree.root, environment)
        except (ServerCommandMissing, OSError) as error:
            self._failures, self._missed = _HOPELESS_AFTER, None
            return _End(str(error))
        connection = Connection(self.config, self.tree, self.readiness, process.stdout, process.stdin)
        self._pulse = Pulse(connection, self._patience.probe, self._patience.verdict)
        listening = asyncio.create_task(process.read_stderr(self.readiness.logged))
        reading = asyncio.create_task(connection.run())
        end = _End("the agent is ending", "idle")
        try:
            end = await first_of(
                self._crash(process, reading, listening),
                self._serve(connection),
                self._hang(self._pulse),
                self._hunger(process),
                self._idleness(),
                self._order(),
            )
            return end
        finally:
            connection.end.set_result(end.reason)
            # Not after the second failure in a row: perhaps one of them is what the server dies of.
            if paths := connection.documents.paths():
                self._reopen = paths if self._failures == 0 or self._lived_long() else []
            self._connection = self._pulse = self._missed = None
            if end.kind == "idle":
                await self._shut_down(connection, process)
            for task in (reading, listening):
                task.cancel()
            await process.kill()
            await asyncio.gather(reading, listening, return_exceptions=True)

    async def _serve(self, connection: Connection) -> _End:
        """Make the server ready to be asked; stay until it is ended, or give the reason why it is no use."""
        try:
            await connection.initialize(self._patience.initialize)
            self._connected(connection)
            await connection.probe(self._patience.initialize)
            self.readiness.answers()
        except RequestTimedOut as error:
            return _End(str(error))
        except ServerError as error:
            return _End(f"it refused to start: {error.message}")
        except SessionClosed:
            pass  # why is found by others
        return await _for_ever()

    async def _crash(self, process: Process, reading: asyncio.Task[str], listening: asyncio.Task[None]) -> _End:
        """Wait until the process or the session has ended; say why, with the server's last words.

        Usually all end together; but a child may hold the output of a dead server open, and a server that made no
        more sense may be alive.
        """
        ending = asyncio.create_task(process.wait())
        try:
            await asyncio.wait([reading, ending], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([reading, listening, ending], timeout=_LAST_WORDS)
        finally:
            ending.cancel()
        reason = process.epitaph() or reading.result()
        words = process.last_words().rstrip(".")
        return _End(f"{reason}: {words}" if words else reason)

    async def _hang(self, pulse: Pulse) -> _End:
        return _End(await pulse.watch())

    async def _hunger(self, process: Process) -> _End:
        """Look at the process and all that it started again and again until they use too much memory."""
        limit = self.config.memory or sys.maxsize
        while (used := await process.memory(limit)) <= limit:  # noqa: ASYNC110  nothing tells when a process grows
            await asyncio.sleep(self._patience.memory_look)
        return _End(f"it used {used >> 20} MB of memory, its limit is {limit >> 20} MB")

    async def _idleness(self) -> _End:
        """Wait until nobody has asked anything for as long as was declared."""
        if self.config.idle_seconds is None:
            return await _for_ever()
        await self._demand.cease(self.config.idle_seconds)
        self._connection = None  # at once: a question that comes now waits for the next process
        self.readiness.stopped("idle; it starts when it is asked")
        return _End("it was idle", "idle")

    async def _order(self) -> _End:
        await self._ordered.wait()
        return self._given

    async def _shut_down(self, connection: Connection, process: Process) -> None:
        """Let the server end by itself, after a look at what it started."""
        await process.memory(sys.maxsize)
        await connection.shutdown(self._patience.shutdown)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.shutdown):
                await process.wait()

    def _lived_long(self) -> bool:
        """Whether the process worked for so long that what went wrong before it is no reason to doubt it."""
        return asyncio.get_running_loop().time() - self._began > self._patience.healthy_after

    def _connected(self, connection: Connection) -> None:
        """Show the initialized server what the one before it had open, and what changed meanwhile."""
        missed, self._missed = self._missed, None
        paths, self._reopen = self._reopen, []
        paths = paths or ([] if self.config.ready != "progress" else self._any_file())
        self._connection = connection
        self.readiness.initialized()
        if missed:
            self.files_changed(missed)
        self.open(paths)

    def _any_file(self) -> list[Path]:
        """Give one file to open at once: servers that tell of loading by progress load a project on its first file."""
        first = self.tree.any_file(lambda path: self.config.language_of(path) is not None)
        return [first] if first else []


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def _for_ever() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def _never_stale() -> None:
    return None
