"""Compiler runs that a server starts when a file is saved, like rust-analyzer's ``cargo check``.

Their findings are published whenever the run ends, so "no diagnostics" means nothing before that. A run is seen by its
``$/progress`` token.
"""

from __future__ import annotations

from typing import Any, Final

from codebuddy.language.changes import Changes, remaining
from codebuddy.language.config import ServerConfig

__all__ = ["Checks"]

_RUN: Final = "flycheck"
_MAX_TOKENS: Final = 50


class Checks:
    """The runs of one session.

    Args:
        config: the server; only one with ``ready: server_status`` has such runs, unless ``checkOnSave`` is off.
    """

    def __init__(self, config: ServerConfig) -> None:
        options = config.settings.get(config.name) or config.initialization_options
        on = options.get("checkOnSave", True) if isinstance(options, dict) else True
        self.used = config.ready == "server_status" and on is not False
        self._changes = Changes()
        self._running: set[str | int] = set()
        self._begun = 0
        self._awaited = 1  # the server runs one by itself when it has loaded the project
        self._stale = False
        self._closed = False

    def files_changed(self) -> None:
        """Note that what the last run found may no longer hold."""
        self._stale = True

    def take_stale(self) -> bool:
        """Say whether a new run must be asked for, by a ``didSave`` that the caller sends now."""
        stale, self._stale = self._stale, False
        if stale:
            self._awaited = self._begun + 1
        return stale

    def progressed(self, token: str | int, value: dict[str, Any]) -> None:
        """Take a ``$/progress`` notification."""
        if _RUN not in str(token):
            return
        if value.get("kind") == "begin" and len(self._running) < _MAX_TOKENS:
            self._begun += 1
            self._running.add(token)
        elif value.get("kind") == "end":
            self._running.discard(token)
        self._changes.tell()

    async def wait(self, deadline: float) -> bool:
        """Wait until the awaited run has ended; say whether it has."""
        while self._running or self._begun < self._awaited:
            if self._closed or not await self._changes.wait(remaining(deadline)):
                return False
        return True

    def close(self) -> None:
        """Note that the server is gone: nobody needs to wait any more."""
        self._closed = True
        self._changes.tell()
