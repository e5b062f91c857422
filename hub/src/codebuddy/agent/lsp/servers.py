"""All language servers of one project."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from codebuddy.agent.lsp.config import ServerConfig
from codebuddy.agent.lsp.readiness import Report, ServerState
from codebuddy.agent.lsp.server import DEFAULT_PATIENCE, LanguageServer, Patience
from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.lsp.watching import CREATED, DELETED, Watcher
from codebuddy.process_tree import end_orphans
from codebuddy.schemas.server_description import Feature
from codebuddy.tool import ToolError

log = logging.getLogger(__name__)

# So many changes are told without a break.
_AT_ONCE: Final = 2000


class Freshness:
    """Tells of changes in order. Any number of questions wait for the same telling.

    Args:
        watcher: knows the changes.
        servers: whom to tell.
    """

    def __init__(self, watcher: Watcher, servers: Sequence[LanguageServer]) -> None:
        self._watcher = watcher
        self._servers = servers
        self._telling: asyncio.Task[None] | None = None
        self._begun = 0
        self._lost: str | None = None

    async def freshen(self) -> str | None:
        """Return when all is told that changed before this was called; say why that may not be all, if so."""
        if self._telling is None and self._watcher.is_quiet():
            return self._gap()
        arrived = self._begun
        while True:
            if self._telling is None:
                self._begun += 1
                self._telling = asyncio.create_task(self._tell())
            enough = self._begun > arrived  # it looked after the call
            # Not of this question alone: what was taken from the watch is told also when its first caller gives up.
            await asyncio.shield(self._telling)
            if enough:
                return self._gap()

    def _gap(self) -> str | None:
        return self._lost or self._watcher.gap

    async def close(self) -> None:
        """End a telling that goes on."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def _tell(self) -> None:
        try:
            # What is gone first: a name that moved is then not there twice.
            ordered = sorted((await self._find()).items(), key=lambda change: -change[1])
            for start in range(0, len(ordered), _AT_ONCE):
                for server in self._servers:
                    _tell(server, dict(ordered[start : start + _AT_ONCE]))
                await asyncio.sleep(0)
        finally:
            self._telling = None

    async def _find(self) -> dict[Path, int]:
        try:
            return await self._watcher.changes()
        except Exception:
            log.exception("changes could not be found")
            self._lost = "Changes of files could not be looked for once; what changed then may not be known."
            return {}


def _tell(server: LanguageServer, changes: dict[Path, int]) -> None:
    """Tell one server; one that cannot be told is replaced, as it would answer from old texts."""
    try:
        server.files_changed(changes)
    except Exception:
        log.exception("language server %s could not be told of changes", server.config.name)
        server.renew()


_MAX_SHOWN: Final = 32
_LONGEST_BEGIN: Final = 5.0


class LanguageServers:
    """The servers of a project, and the watch over its files.

    Args:
        project: its id.
        root: its directory.
        configs: what was declared, in order: the first server that serves a file is asked about it.
        patience: time limits.
    """

    def __init__(
        self, project: str, root: Path, configs: list[ServerConfig], patience: Patience = DEFAULT_PATIENCE
    ) -> None:
        self.tree = Tree(project, root)
        self._servers = [LanguageServer(config, self.tree, patience) for config in configs]
        self._watcher = Watcher(self.tree)
        self._freshness = Freshness(self._watcher, self._servers)
        for server in self._servers:
            server.freshen = self.freshen

    async def run(self) -> None:
        """Run the servers and the watch until cancelled; none is left running afterwards, nor from before."""
        if not self._servers:
            return
        await asyncio.to_thread(end_orphans)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watcher.run(self.freshen), name="file watch")
                # First the watch, or what changes after a server read it and before the watch is there is lost.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LONGEST_BEGIN):
                        await self._watcher.begun.wait()
                for server in self._servers:
                    group.create_task(server.run(), name=f"language server {server.config.name}")
        finally:
            await self._freshness.close()

    async def restart(self, name: str | None, deadline: float, report: Report) -> list[ServerState]:
        """Restart one server, or all; give how they are when they have loaded, or when the time is over.

        Args:
            name: which; None: all.
            deadline: until when to wait, in the running loop's time.
            report: told what is being waited for.

        Raises:
            ToolError: ``unknown_server``, listing the names.
        """
        chosen = [server for server in self._servers if name in (None, server.config.name)]
        if name is not None and not chosen:
            names = ", ".join(server.config.name for server in self._servers) or "none"
            raise ToolError("unknown_server", f"{self.tree.project} has no language server {name!r}; it has: {names}.")
        for server in chosen:
            server.restart()
        await asyncio.gather(*(server.readiness.wait(deadline, report) for server in chosen))
        return [server.state() for server in chosen]

    def states(self) -> list[ServerState]:
        """Give each server's state, for health."""
        return [server.state() for server in self._servers]

    def watching(self) -> dict[str, str | None]:
        """Say how changes by others than the hub are found: ``mode`` (inotify, polling, off) and a ``reason``."""
        return {"mode": self._watcher.mode, "reason": self._watcher.reason}

    def serving(self, path: Path, feature: Feature) -> list[LanguageServer]:
        """Give the servers that are declared for a file and a feature, in the order in which they were declared."""
        inside = self.tree.relative(path)
        serving = (server for server in self._servers if server.config.language_of(inside))
        return [server for server in serving if feature in server.config.features]

    def server_for(self, path: Path, feature: Feature = "navigation") -> LanguageServer | None:
        """Give the first server that is declared for a file and a feature; None when there is none."""
        return next(iter(self.serving(path, feature)), None)

    def for_project(self, feature: Feature) -> list[LanguageServer]:
        """Give the servers that are declared for a feature, whatever the file, in the order of their declaration."""
        return [server for server in self._servers if feature in server.config.features]

    def is_served(self, path: Path) -> bool:
        """Say whether any server is declared for a file."""
        return bool(self.names_for(path))

    def names_for(self, path: Path) -> list[str]:
        """Give the names of the servers that are declared for a file, whatever for."""
        inside = self.tree.relative(path)
        return [server.config.name for server in self._servers if server.config.language_of(inside)]

    def served(self) -> str:
        """Say what is served, for people: ``typescript (*.ts, *.tsx)``."""
        shown = [f"{server.config.name} ({', '.join(server.config.languages)})" for server in self._servers]
        return ", ".join(shown) or "nothing"

    async def freshen(self) -> str | None:
        """Tell every server of all that changed on the disk before this was called, by whomever.

        Give the reason in a sentence when changes may be missing.
        """
        return await self._freshness.freshen()

    async def files_changed(self, paths: Iterable[Path]) -> int:
        """Tell every server that files were written, created or deleted; give how many were told.

        Files that a server serves are shown to it as open documents (as long as they are few), so that the next
        question is answered with their new text.
        """
        changed = list(dict.fromkeys(paths))
        await self.freshen()
        events = self._events(changed)
        for server in self._servers:
            if events:
                server.files_changed(events)
            existing = (path for path in changed if events.get(path) != DELETED)
            served = [path for path in existing if server.config.language_of(self.tree.relative(path))]
            if len(served) <= _MAX_SHOWN:
                server.open(served)
        return len(self._servers)

    def show(self, paths: Iterable[Path]) -> None:
        """Show files to every server that serves them, as open documents."""
        shown = list(paths)
        for server in self._servers:
            server.open([path for path in shown if server.config.language_of(self.tree.relative(path))])

    def _events(self, paths: list[Path]) -> dict[Path, int]:
        """Give what is still to be told: changes where nothing is watched; and what is gone, for those who speak of it.

        A needless "created" costs a look at the directory; a missing one leaves a new file unknown.
        """
        gone = {path: DELETED for path in paths if self.tree.stamp(path) is None}
        return gone | {path: CREATED for path in paths if path not in gone and not self._watcher.knows(path)}
