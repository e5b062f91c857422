"""Before a question, the servers are told of every change of the files so far."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from codebuddy.language.server import LanguageServer
from codebuddy.language.watching import Watcher

__all__ = ["Freshness"]

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
