"""One language server, supervised: started, asked, restarted when it dies, ended with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from codebuddy.errors import ToolError
from codebuddy.language.config import ServerConfig
from codebuddy.language.connection import Connection
from codebuddy.language.process import Process, ServerCommandMissing
from codebuddy.language.readiness import PROGRESS_GRACE, Readiness, ServerState
from codebuddy.language.session import RequestTimedOut, ServerError, SessionClosed
from codebuddy.language.tree import Tree, uri_of

__all__ = ["DEFAULT_PATIENCE", "LanguageServer", "Patience"]

_HOPELESS_AFTER: Final = 3
_LAST_WORDS: Final = 1.0


@dataclass(frozen=True)
class Patience:
    """How long things may take, in seconds; tests take less."""

    initialize: float = 60.0
    probe: float = 20.0
    first_delay: float = 0.5
    longest_delay: float = 30.0
    healthy_after: float = 60.0
    shutdown: float = 1.0
    grace: float = PROGRESS_GRACE


DEFAULT_PATIENCE: Final = Patience()


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
        self._suspected = asyncio.Event()
        self._failures = 0
        self._reopen: list[Path] = []
        self._missed: dict[Path, int] = {}

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
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            reason = await self._run_once()
            self._failures = 1 if clock() - began > self._patience.healthy_after else self._failures + 1
            self.readiness.hopeless = self._failures >= _HOPELESS_AFTER
            self.readiness.died(reason)
            delay = min(self._patience.longest_delay, self._patience.first_delay * 2 ** min(self._failures - 1, 16))
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 (no secret depends on it)

    def suspect(self) -> None:
        """See whether the server, which let a request time out, still answers at all; restart it if not."""
        self._suspected.set()

    def files_changed(self, events: dict[Path, int]) -> None:
        """Tell the server of changed files, in order with what is asked later; open documents are brought up to date.

        Args:
            events: kind of change (LSP's FileChangeType) by file.
        """
        connection = self.connection
        if connection is None:
            self._missed.update(events)  # it may have read the old files already, before it said that it is there
            return
        with contextlib.suppress(SessionClosed):
            connection.documents.tell_changed([(uri_of(path), kind) for path, kind in events.items()])
            connection.documents.sync_all()
            connection.checks.files_changed()

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

    async def _run_once(self) -> str:
        """Start a process and stay with it to its end; give the reason of the end."""
        self.readiness.starting()
        environment = {**os.environ, **self.config.environment}
        try:
            process = await Process.start(self.config.command, self.tree.root, environment)
        except (ServerCommandMissing, OSError) as error:
            self._failures = _HOPELESS_AFTER
            return str(error)
        connection = Connection(self.config, self.tree, self.readiness, process.stdout, process.stdin)
        listening = asyncio.create_task(process.read_stderr(self.readiness.logged))
        reading = asyncio.create_task(connection.run())
        try:
            return await self._serve(process, connection, reading, listening)
        finally:
            if self._connection is not None:
                # Not after the second failure in a row: perhaps one of them is what the server dies of.
                self._reopen = connection.documents.paths() if self._failures == 0 else []
                self._connection = None
            await _end(process, listening, reading)

    async def _serve(
        self, process: Process, connection: Connection, reading: asyncio.Task[str], listening: asyncio.Task[None]
    ) -> str:
        try:
            await connection.initialize(self._patience.initialize)
            self._connected(connection)
            return await self._stay(process, connection, reading, listening)
        except asyncio.CancelledError:
            await connection.shutdown(self._patience.shutdown)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience.shutdown):
                    await process.wait()
            raise
        except RequestTimedOut as error:
            return str(error)
        except ServerError as error:
            return f"it refused to start: {error.message}"
        except SessionClosed:
            pass
        return await self._epitaph(process, reading, listening)

    async def _stay(
        self, process: Process, connection: Connection, reading: asyncio.Task[str], listening: asyncio.Task[None]
    ) -> str:
        """Stay with an initialized server until it ends or is found to hang; give the reason."""
        watching = asyncio.create_task(self._watch(connection))
        ending = asyncio.create_task(process.wait())
        try:
            await asyncio.wait([reading, watching, ending], return_when=asyncio.FIRST_COMPLETED)
            if watching.done() and not reading.done() and not ending.done():
                return watching.result()
            return await self._epitaph(process, reading, listening)
        finally:
            watching.cancel()
            ending.cancel()

    async def _epitaph(self, process: Process, reading: asyncio.Task[str], listening: asyncio.Task[None]) -> str:
        """Say why the session ended, with the exit status and the last words of the process if it ended too.

        Usually all end together; but a child may hold the output of a dead server open, and a server that made no
        more sense may be alive.
        """
        ending = asyncio.create_task(process.wait())
        await asyncio.wait([reading, listening, ending], timeout=_LAST_WORDS, return_when=asyncio.ALL_COMPLETED)
        reason = reading.result() if reading.done() else "it closed nothing"
        if ending.done():
            status = ending.result()
            reason = f"it ended by signal {-status}" if status < 0 else f"it ended with status {status}"
        ending.cancel()
        words = process.last_words()
        return f"{reason}: {words}" if words else reason

    def _connected(self, connection: Connection) -> None:
        """Show the initialized server what the one before it had open, and what changed meanwhile."""
        missed, self._missed = self._missed, {}
        paths = self._reopen or ([] if self.config.ready != "progress" else self._any_file())
        self._connection = connection
        self.readiness.initialized()
        if missed:
            self.files_changed(missed)
        self.open(paths)

    def _any_file(self) -> list[Path]:
        """Give one file to open at once: servers that tell of loading by progress load a project on its first file."""
        first = next(self.tree.files(lambda path: self.config.language_of(path) is not None), None)
        return [first] if first else []

    async def _watch(self, connection: Connection) -> str:
        """Probe the server whenever it is suspected; give the reason when it is found to hang."""
        while True:
            await self._suspected.wait()
            self._suspected.clear()
            try:
                await connection.probe(self._patience.probe)
            except RequestTimedOut:
                return f"it was restarted: it answered nothing for {self._patience.probe:.0f} s after a time-out"
            except SessionClosed:
                return "it went away"


async def _end(process: Process, *tasks: asyncio.Task[Any]) -> None:
    process.kill()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    process.stdin.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5.0):
            await process.wait()


async def _never_stale() -> None:
    return None
