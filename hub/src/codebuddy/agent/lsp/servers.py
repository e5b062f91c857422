"""All language servers of one project, and the file changes that are announced to them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from codebuddy.agent.lsp.config import ServerConfig
from codebuddy.agent.lsp.readiness import Report, ServerState
from codebuddy.agent.lsp.server import LanguageServer, Timeouts
from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.lsp.watching import CREATED, DELETED, Watcher
from codebuddy.process_tree import kill_orphans
from codebuddy.schemas.server_description import Feature
from codebuddy.tool import ToolError

log = logging.getLogger(__name__)

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
        chosen = [server for server in self._servers if name in (None, server.config.name)]
        if name is not None and not chosen:
            names = ", ".join(server.config.name for server in self._servers) or "none"
            raise ToolError("unknown_server", f"{self.tree.project} has no language server {name!r}; it has: {names}.")
        for server in chosen:
            server.restart()
        await asyncio.gather(*(server.readiness.wait(deadline, report) for server in chosen))
        return [server.readiness.describe() for server in chosen]

    def states(self) -> list[ServerState]:
        """Give each server's state, for health."""
        return [server.readiness.describe() for server in self._servers]

    def watching(self) -> dict[str, str | None]:
        """Say how changes by others than the hub are found: ``mode`` (inotify, polling, off) and a ``reason``."""
        return {"mode": self._watcher.mode, "reason": self._watcher.reason}

    def serving(self, path: Path, feature: Feature) -> list[LanguageServer]:
        """Give the servers that are declared for a file and a feature."""
        return [server for server in self._serving(path) if feature in server.config.features]

    def server_for(self, path: Path, feature: Feature = "navigation") -> LanguageServer | None:
        """Give the first server that is declared for a file and a feature."""
        return next(iter(self.serving(path, feature)), None)

    def for_project(self, feature: Feature) -> list[LanguageServer]:
        """Give the servers that are declared for a feature, for any file."""
        return [server for server in self._servers if feature in server.config.features]

    def is_served(self, path: Path) -> bool:
        """Say whether any server is declared for a file."""
        return bool(self._serving(path))

    def names_for(self, path: Path) -> list[str]:
        """Give the names of the servers that are declared for a file, for any feature."""
        return [server.config.name for server in self._serving(path)]

    def _serving(self, path: Path) -> list[LanguageServer]:
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
        """Give the changes that the watcher does not announce: deletions, and files that it does not know.

        A needless "created" costs a look at the directory; without it a new file could stay unknown.
        """
        gone = {path: DELETED for path in paths if self.tree.stamp(path) is None}
        return gone | {path: CREATED for path in paths if path not in gone and not self._watcher.knows(path)}
