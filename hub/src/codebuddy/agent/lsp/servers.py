"""All language servers of one project, and the file changes that are announced to them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn

from codebuddy.agent.lsp.commonjs import is_commonjs
from codebuddy.agent.lsp.config import ServerConfig
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.process import Process, ServerCommandMissing
from codebuddy.agent.lsp.readiness import PROGRESS_GRACE, Condition, Readiness, Report, ServerState, first_of, remaining
from codebuddy.agent.lsp.transport import RequestTimedOut, ServerError, SessionClosed
from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.lsp.watching import CREATED, DELETED, Watcher
from codebuddy.agent.lsp.words import OTHER_USERS, Words
from codebuddy.process_tree import kill_orphans
from codebuddy.schemas.server_description import Feature
from codebuddy.tool import ToolError

log = logging.getLogger(__name__)

_HOPELESS_AFTER: Final = 3  # failures in a row
_EXIT_SECONDS: Final = 1.0  # between a session's end and its process's, or the reverse


@dataclass(frozen=True)
class Timeouts:
    """How long things may take, in seconds; tests use shorter times."""

    initialize: float = 60.0
    probe: float = 20.0
    verdict: float = 5.0
    memory_interval: float = 3.0
    first_delay: float = 0.5
    longest_delay: float = 30.0
    healthy_after: float = 60.0
    shutdown: float = 1.0
    grace: float = PROGRESS_GRACE


class IdleTimer:
    """How long a server has been without a request, over all its restarts."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._requests = 0
        self._last = 0.0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Count a request while it is in progress."""
        self._requests += 1
        self._condition.notify_all()
        try:
            yield
        finally:
            self._requests -= 1
            self.reset()

    def reset(self) -> None:
        self._last = asyncio.get_running_loop().time()
        self._condition.notify_all()

    async def wait_used(self) -> None:
        await self._condition.wait_for(lambda: self._requests)

    async def wait_idle(self, seconds: float) -> None:
        """Wait until there was no request for so long."""
        while self._requests or remaining(self._last + seconds) > 0:
            await self._condition.wait(None if self._requests else remaining(self._last + seconds))


class HangDetector:
    """Probes a process after a request timed out: if it does not answer within ``seconds``, it hangs.

    `check` waits for the outcome at most ``verdict_seconds``.
    """

    def __init__(self, connection: Connection, seconds: float, verdict_seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._verdict_seconds = verdict_seconds
        self._requested = asyncio.Event()
        self._verdict: asyncio.Future[bool] | None = None

    async def watch(self) -> str:
        """Wait until a checked server is found to hang; give that as the reason to end it."""
        try:
            while True:
                await self._requested.wait()
                self._requested.clear()
                await self._connection.probe(self._seconds)
                self._decide(True)
        except RequestTimedOut:
            return f"it answered nothing for {self._seconds:.0f} s after a request timed out"
        except SessionClosed as closed:
            if not self._connection.session.is_open:
                # It ended during the probe, and others find out why. Not `await end`: a cancelled await would cancel
                # the future too, and nobody could set the reason any more.
                await asyncio.wait([self._connection.end])
            return str(closed)
        finally:
            self._decide(False)

    async def check(self) -> str:
        """Check the server after a request timed out; say what became of the request and of the server."""
        if self._verdict is None or self._verdict.done():
            self._verdict = asyncio.get_running_loop().create_future()
            self._requested.set()
        verdict = self._verdict
        await asyncio.wait([verdict], timeout=self._verdict_seconds)
        if not verdict.done():
            wait = f"it is restarted if that goes on for {self._seconds:.0f} s"
            return f"it was cancelled; the server has answered nothing since, and {wait}"
        if verdict.result():
            return "it was cancelled; the server still answers"
        return "the server answered nothing and is being restarted"

    def _decide(self, alive: bool) -> None:
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_result(alive)


@dataclass(frozen=True)
class _End:
    """Why a process ended or is to be ended; the next start is delayed only after a failure."""

    reason: str
    kind: Literal["failure", "idle", "restart", "renewal"] = "failure"


_RESTART: Final = _End("it is being restarted on request", "restart")
_RENEWAL: Final = _End("it is being restarted to read the files as they are now", "renewal")


class LanguageServer:
    """A declared server, with its present process if there is one."""

    def __init__(
        self, config: ServerConfig, tree: Tree, flush_changes: Callable[[], Awaitable[str | None]], timeouts: Timeouts
    ) -> None:
        self.config = config
        self.tree = tree
        self.readiness = Readiness(config.name, config.ready, timeouts.grace, config.load_seconds, config.ready_log)
        if self.is_on_demand:
            self.readiness.stopped("the first question about a CommonJS module starts it")
        #: Announces all changes on disk so far to every server; gives the reason if some may be missing.
        self.flush_changes = flush_changes
        self._timeouts = timeouts
        self._connection: Connection | None = None
        self._hang_detector: HangDetector | None = None
        self._idle_timer = IdleTimer()
        self._replacement = asyncio.Event()
        self._replaced_by = _RESTART
        self._failures = 0
        self._started_at = 0.0
        self._reopen: list[Path] = []
        self._missed: dict[Path, int] | None = None  # changes while there is a process that is not connected yet

    @property
    def connection(self) -> Connection | None:
        """The connection to the initialized process; None while there is none."""
        connection = self._connection
        return connection if connection is not None and connection.session.is_open else None

    @property
    def is_on_demand(self) -> bool:
        """Whether it is started by the first question, and asked about some files only."""
        return self.config.modules is not None

    async def run(self) -> None:
        """Keep the server running until cancelled; then end it and everything it started."""
        if self.is_on_demand:
            await first_of(self._idle_timer.wait_used(), self._wait_replaced())
        while True:
            self._started_at = asyncio.get_running_loop().time()
            self._replacement.clear()
            end = await self._run_once()
            if end.kind != "failure":
                self._failures = 0
            if end.kind == "idle":
                await first_of(self._idle_timer.wait_used(), self._wait_replaced())
            if end.kind == "failure":
                self._failures = 1 if self._was_healthy() else self._failures + 1
                self.readiness.hopeless = self._failures >= _HOPELESS_AFTER
                self.readiness.died(end.reason)
                log.warning("language server %s: %s", self.config.name, end.reason)
                delay = min(self._timeouts.longest_delay, self._timeouts.first_delay * 2 ** min(self._failures - 1, 16))
                pause = asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 (no secret)
                await first_of(pause, self._wait_replaced())

    def in_use(self) -> AbstractContextManager[None]:
        """Send requests within this: a stopped server is started, and an idle one is not stopped meanwhile."""
        return self._idle_timer.in_use()

    async def check_after_timeout(self) -> str:
        """Say what became of a request that timed out. The server is restarted if it does not answer at all."""
        return await self._hang_detector.check() if self._hang_detector is not None else "the server is gone"

    async def closing_reason(self, connection: Connection, closed: SessionClosed) -> str | None:
        """Say why a session was closed; None if the process is only being renewed, so that the next one can be asked.

        A process that lives on without its session is restarted.
        """
        await asyncio.wait([connection.end], timeout=2 * _EXIT_SECONDS)
        if not connection.end.done():
            await self.check_after_timeout()
            await asyncio.wait([connection.end], timeout=2 * _EXIT_SECONDS)
        reason = connection.end.result() if connection.end.done() else str(closed)
        return None if reason == _RENEWAL.reason else reason

    def restart(self) -> None:
        """Start the server, or restart it, without delay; see `readiness` for when it is there."""
        self._failures, self.readiness.hopeless = 0, False
        self._replace(_RESTART)

    def renew(self) -> None:
        """Replace the process by one that knows the files as they are; requests go to that one."""
        self._replace(_RENEWAL)

    def _replace(self, why: _End) -> None:
        self.readiness.died(why.reason)
        self._connection = None
        self._replaced_by = why
        self._replacement.set()

    def files_changed(self, events: dict[Path, int]) -> None:
        """Announce changed files (LSP's FileChangeType by file), in order with later requests.

        A server that does not look at files again is replaced only by the next request: however much a build writes
        and deletes, no process is started in vain.
        """
        connection = self.connection
        if connection is None:
            if self._missed is not None:
                self._missed.update(events)  # it may have read the old files already
            return
        with contextlib.suppress(SessionClosed):
            connection.files_changed(events)

    def open(self, paths: list[Path]) -> None:
        """Open files of this server, so that it knows their texts before the next request.

        After a mere notification a server reads a file at some later time.
        """
        connection = self.connection
        if connection is not None:
            with contextlib.suppress(SessionClosed):
                for path in paths:
                    with contextlib.suppress(ToolError):
                        connection.documents.sync(path)

    async def _run_once(self) -> _End:
        """Run one process; give the reason of its end."""
        self.readiness.starting()
        self._idle_timer.reset()
        self._missed = {}  # the process finds the files as they are now
        environment = {**os.environ, **self.config.environment}
        try:
            process = await Process.start(self.config.command, self.tree.root, environment)
        except (ServerCommandMissing, OSError) as error:
            self._failures, self._missed = _HOPELESS_AFTER, None
            return _End(str(error))
        connection = Connection(self.config, self.tree, self.readiness, process.stdout, process.stdin)
        self._hang_detector = HangDetector(connection, self._timeouts.probe, self._timeouts.verdict)
        stderr = asyncio.create_task(process.read_stderr(self.readiness.logged))
        session = asyncio.create_task(connection.run())
        end = _End("the agent is ending", "idle")
        try:
            end = await first_of(
                self._wait_exited(process, session, stderr),
                self._initialize(connection),
                self._wait_hung(self._hang_detector),
                self._wait_memory_exceeded(process),
                self._wait_idle(),
                self._wait_replaced(),
            )
            return end
        finally:
            connection.end.set_result(end.reason)
            # Not after the second failure in a row: the server may crash on one of these files.
            if paths := connection.documents.paths():
                self._reopen = paths if self._failures == 0 or self._was_healthy() else []
            self._connection = self._hang_detector = self._missed = None
            if end.kind == "idle":
                await self._shut_down(connection, process)
            for task in (session, stderr):
                task.cancel()
            await process.kill()
            await asyncio.gather(session, stderr, return_exceptions=True)

    async def _initialize(self, connection: Connection) -> _End:
        """Make the server ready for requests; return only if it is unusable."""
        try:
            await connection.initialize(self._timeouts.initialize)
            self._connected(connection)
            await connection.probe(self._timeouts.initialize)
            self.readiness.answered()
        except RequestTimedOut as error:
            return _End(str(error))
        except ServerError as error:
            return _End(f"it refused to start: {error.message}")
        except SessionClosed:
            pass  # `_wait_exited` finds out why
        return await _forever()

    async def _wait_exited(self, process: Process, session: asyncio.Task[str], stderr: asyncio.Task[None]) -> _End:
        """Wait until the process or the session has ended; give the reason, with the telling line of stderr.

        Usually all end together. But a child may hold the output of a dead server open, and a server whose output
        made no more sense may be alive.
        """
        exited = asyncio.create_task(process.wait())
        try:
            await asyncio.wait([session, exited], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([session, stderr, exited], timeout=_EXIT_SECONDS)
        finally:
            exited.cancel()
        reason = process.exit_reason() or session.result()
        words = process.last_error_line().rstrip(".")
        return _End(f"{reason}: {words}" if words else reason)

    async def _wait_hung(self, detector: HangDetector) -> _End:
        return _End(await detector.watch())

    async def _wait_memory_exceeded(self, process: Process) -> _End:
        """Measure the memory of the process and everything it started until it is over the limit."""
        limit = self.config.memory or sys.maxsize
        while (used := await process.memory(limit)) <= limit:  # noqa: ASYNC110  nothing reports that a process grows
            await asyncio.sleep(self._timeouts.memory_interval)
        return _End(f"it used {used >> 20} MB of memory, its limit is {limit >> 20} MB")

    async def _wait_idle(self) -> _End:
        """Wait until the server was idle for as long as declared."""
        if self.config.idle_seconds is None:
            return await _forever()
        await self._idle_timer.wait_idle(self.config.idle_seconds)
        self._connection = None  # at once: a request that comes now waits for the next process
        self.readiness.stopped("idle; the next request starts it")
        return _End("it was idle", "idle")

    async def _wait_replaced(self) -> _End:
        await self._replacement.wait()
        return self._replaced_by

    async def _shut_down(self, connection: Connection, process: Process) -> None:
        """Let the server end by itself; before, see what it started, so that this can be killed."""
        await process.memory(sys.maxsize)
        await connection.shutdown(self._timeouts.shutdown)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeouts.shutdown):
                await process.wait()

    def _was_healthy(self) -> bool:
        """Whether the process ran for so long that earlier failures do not count."""
        return asyncio.get_running_loop().time() - self._started_at > self._timeouts.healthy_after

    def _connected(self, connection: Connection) -> None:
        """Return the initialized server the documents of its predecessor and the changes since it started."""
        missed, self._missed = self._missed, None
        paths, self._reopen = self._reopen, []
        paths = paths or ([] if self.config.ready != "progress" else self._any_file())
        self._connection = connection
        self.readiness.initialized()
        if missed:
            self.files_changed(missed)
        self.open(paths)

    def _any_file(self) -> list[Path]:
        """Return one file to open at once: servers that report loading by progress load a project on its first file."""
        first = self.tree.any_file(lambda path: self.config.language_of(path) is not None)
        return [first] if first else []


async def _forever() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


_CHANGES_AT_ONCE: Final = 2000  # without yielding to the event loop
_MAX_OPENED: Final = 32
_LONGEST_FIRST_SCAN: Final = 5.0


class ChangeNotifier:
    """Announces the watcher's changes to the servers, in order; concurrent callers share one pass."""

    def __init__(self, watcher: Watcher, servers: Sequence[LanguageServer]) -> None:
        self._watcher = watcher
        self._servers = servers
        self._pass: asyncio.Task[None] | None = None
        self._begun = 0
        self._lost: str | None = None
        #: Grows with every pass that found a change.
        self.generation = 0

    async def flush(self) -> str | None:
        """Return when all changes before this call are announced; give the reason if some may be missing."""
        if self._pass is None and self._watcher.is_quiet():
            return self._gap()
        begun_before = self._begun
        while True:
            if self._pass is None:
                self._begun += 1
                self._pass = asyncio.create_task(self._announce())
            is_enough = self._begun > begun_before  # it looks for changes after the call
            # Shielded: changes that were taken from the watcher are announced even if the first caller gives up.
            await asyncio.shield(self._pass)
            if is_enough:
                return self._gap()

    async def close(self) -> None:
        """Cancel a pass that is under way."""
        if self._pass is not None:
            self._pass.cancel()
            await asyncio.gather(self._pass, return_exceptions=True)

    def _gap(self) -> str | None:
        return self._lost or self._watcher.gap

    async def _announce(self) -> None:
        try:
            # Deletions first, so that a name that moved is never there twice.
            ordered = sorted((await self._find()).items(), key=lambda change: -change[1])
            self.generation += bool(ordered)
            for start in range(0, len(ordered), _CHANGES_AT_ONCE):
                for server in self._servers:
                    _notify(server, dict(ordered[start : start + _CHANGES_AT_ONCE]))
                await asyncio.sleep(0)
        finally:
            self._pass = None

    async def _find(self) -> dict[Path, int]:
        try:
            return await self._watcher.changes()
        except Exception:
            log.exception("changes could not be found")
            self._lost = "Changes of files could not be found once; the language servers may not know them."
            return {}


def _notify(server: LanguageServer, changes: dict[Path, int]) -> None:
    """Notify one server; replace it if that fails, since it would answer from old texts."""
    try:
        server.files_changed(changes)
    except Exception:
        log.exception("language server %s could not be notified of changes", server.config.name)
        server.renew()


class LanguageServers:
    """The servers of a project, in the order of their declaration, and the watcher of its files.

    Of the servers that serve a file and a feature, the first one is asked.
    """

    def __init__(self, project: str, root: Path, configs: list[ServerConfig], timeouts: Timeouts | None = None) -> None:
        self.tree = Tree(project, root)
        timeouts = timeouts or Timeouts()
        self._servers = [LanguageServer(config, self.tree, self.flush_changes, timeouts) for config in configs]
        self._watcher = Watcher(self.tree)
        self._change_notifier = ChangeNotifier(self._watcher, self._servers)
        self._told = 0
        self.words = Words(self.tree, self._may_use_code, lambda: self.generation)

    @property
    def generation(self) -> int:
        """A number that grows with each change of a file that is known here."""
        return self._change_notifier.generation + self._told

    def _may_use_code(self, inside: str) -> bool:
        return inside.endswith(OTHER_USERS) or any(server.config.language_of(inside) for server in self._servers)

    async def run(self) -> None:
        """Run the servers and the watcher until cancelled; before, end servers that earlier agents left behind."""
        if not self._servers:
            return
        await asyncio.to_thread(kill_orphans)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watcher.run(self.flush_changes), name="file watch")
                # The watcher first: otherwise changes between a server's start and the first scan would be lost.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LONGEST_FIRST_SCAN):
                        await self._watcher.begun.wait()
                for server in self._servers:
                    group.create_task(server.run(), name=f"language server {server.config.name}")
        finally:
            await self._change_notifier.close()

    async def restart(self, name: str | None, deadline: float, report: Report) -> list[ServerState]:
        """Restart one server, or all if there is no name; give their states once they have loaded, or at the deadline.

        Raises:
            ToolError: ``unknown_server``, listing the names.
        """
        chosen = [
            server
            for server in self._servers
            if name == server.config.name or (name is None and (server.connection or not server.is_on_demand))
        ]
        if name is not None and not chosen:
            names = ", ".join(server.config.name for server in self._servers) or "none"
            raise ToolError("unknown_server", f"{self.tree.project} has no language server {name!r}; it has: {names}.")
        for server in chosen:
            server.restart()
        await asyncio.gather(*(server.readiness.wait(deadline, report) for server in chosen))
        return [server.readiness.describe() for server in chosen]

    def states(self) -> list[ServerState]:
        """Return each server's state, for health."""
        return [server.readiness.describe() for server in self._servers]

    def watching(self) -> dict[str, str | None]:
        """Say how changes by others than the hub are found: ``mode`` (inotify, polling, off) and a ``reason``."""
        return {"mode": self._watcher.mode, "reason": self._watcher.reason}

    def serving(self, path: Path, feature: Feature) -> list[LanguageServer]:
        """Return the servers that are asked about a file and a feature, those of its kind of module first."""
        declared = [server for server in self._declared(path) if feature in server.config.features]
        on_demand = [server for server in declared if server.is_on_demand]
        others = [server for server in declared if not server.is_on_demand]
        return [*on_demand, *others] if on_demand and is_commonjs(self.tree, path) else others

    def server_for(self, path: Path, feature: Feature = "navigation") -> LanguageServer | None:
        """Return the first server that is asked about a file and a feature."""
        return next(iter(self.serving(path, feature)), None)

    def may_serve(self, path: Path, feature: Feature = "navigation") -> bool:
        """Say whether a server is declared for a file and a feature, without a look into the file."""
        return any(feature in server.config.features for server in self._declared(path))

    def for_project(self, feature: Feature) -> list[LanguageServer]:
        """Return the servers that are declared for a feature, for any file."""
        return [one for one in self._servers if feature in one.config.features and not one.is_on_demand]

    def is_served(self, path: Path) -> bool:
        """Say whether any server is declared for a file."""
        return bool(self._declared(path))

    def names_for(self, path: Path) -> list[str]:
        """Return the names of the servers that are declared for a file, for any feature."""
        return [server.config.name for server in self._declared(path)]

    def _declared(self, path: Path) -> list[LanguageServer]:
        inside = self.tree.relative(path)
        return [server for server in self._servers if server.config.language_of(inside)]

    def served(self) -> str:
        """Say what is served: ``typescript (*.ts, *.tsx)``."""
        shown = [f"{server.config.name} ({', '.join(server.config.languages)})" for server in self._servers]
        return ", ".join(shown) or "nothing"

    async def flush_changes(self) -> str | None:
        """Announce all changes on disk before this call to every server; give the reason if some may be missing."""
        return await self._change_notifier.flush()

    async def files_changed(self, paths: Iterable[Path]) -> int:
        """Announce files that were written, created or deleted to every server; give the number of servers.

        If they are few, each server opens those that it serves, so that the next answer is for their new text.
        """
        changed = list(dict.fromkeys(paths))
        self._told += 1
        await self.flush_changes()
        events = self._events(changed)
        existing = [path for path in changed if events.get(path) != DELETED]
        for server in self._servers:
            if events:
                server.files_changed(events)
            served = [path for path in existing if server.config.language_of(self.tree.relative(path))]
            if len(served) <= _MAX_OPENED:
                server.open(served)
        return len(self._servers)

    def show(self, paths: Iterable[Path]) -> None:
        """Open files in every server that serves them."""
        shown = list(paths)
        for server in self._servers:
            server.open([path for path in shown if server.config.language_of(self.tree.relative(path))])

    def _events(self, paths: list[Path]) -> dict[Path, int]:
        """Return the changes that the watcher does not announce: deletions, and files that it does not know.

        A needless "created" costs a look at the directory; without it a new file could stay unknown.
        """
        gone = {path: DELETED for path in paths if self.tree.stamp(path) is None}
        return gone | {path: CREATED for path in paths if path not in gone and not self._watcher.knows(path)}
