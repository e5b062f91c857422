"""Before a question, the servers are told of every change of the files so far."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
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

    async def freshen(self) -> str | None:
        """Return when all is told that changed before this was called; say why that may not be all, if so."""
        if self._telling is None and self._watcher.is_quiet():
            return self._watcher.gap
        arrived = self._begun
        while True:
            if self._telling is None:
                self._begun += 1
                self._telling = asyncio.create_task(self._tell())
            enough = self._begun > arrived  # it looked after the call
            # Not of this question alone: what was taken from the watch is told also when its first caller gives up.
            await asyncio.shield(self._telling)
            if enough:
                return self._watcher.gap

    async def close(self) -> None:
        """End a telling that goes on."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def _tell(self) -> None:
        try:
            changes = await self._watcher.changes()
            # What is gone first: a name that moved is then not there twice.
            ordered = sorted(changes.items(), key=lambda change: -change[1])
            for start in range(0, len(ordered), _AT_ONCE):
                for server in self._servers:
                    server.files_changed(dict(ordered[start : start + _AT_ONCE]))
                await asyncio.sleep(0)
        except Exception:
            log.exception("changes could not be told")
        finally:
            self._telling = None
