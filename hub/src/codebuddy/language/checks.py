"""Compiler runs that a server starts when a file is saved, like rust-analyzer's ``cargo check``.

Their findings are published whenever the run ends, so "no diagnostics" means nothing before that. A run is seen by its
``$/progress`` token. When rust-analyzer has loaded the project, also again because of changed files, it drops what was
found and starts a run by itself: main_loop.rs, ``became_quiescent``.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from codebuddy.language.changes import Changes, remaining
from codebuddy.language.config import ServerConfig

__all__ = ["Checks"]

_RUN: Final = "flycheck"
# Not Indexing, which comes after the project is loaded, and beside the run.
_LOADS: Final = tuple(f"rustAnalyzer/{step}" for step in ("Fetching", "Roots Scanned", "Building", "Loading"))
_MAX_TOKENS: Final = 50

# A run that is asked for ends the one before and begins 50 ms later (flycheck.rs), on a machine that is not busy.
_LINGER: Final = 0.3

# So long a run that begins by itself is waited for before another is asked for.
_BEGINNING: Final = 5.0


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
        self._awaited = 1  # the one that comes by itself when the project is loaded
        self._stale = False
        self._saved = 0
        self._doubts = self._settled = 0
        self._closed = False

    def files_changed(self) -> None:
        """Note that what the last run found may no longer hold."""
        self._stale = True

    @property
    def stale(self) -> bool:
        """Whether a new run must be asked for."""
        return self._stale

    async def begun(self, deadline: float) -> None:
        """Wait until the awaited run has begun: only then a new one, which ends it, can be told from it."""
        until = min(deadline, asyncio.get_running_loop().time() + _BEGINNING)
        while self._begun < self._awaited and not self._closed and await self._changes.wait(remaining(until)):
            pass

    def take_stale(self) -> bool:
        """Say whether a new run must be asked for, by a ``didSave`` that the caller sends now."""
        stale, self._stale = self._stale, False
        if stale:
            self._awaited = self._saved = self._begun + 1
            self._changes.tell()
        return stale

    def progressed(self, token: str | int, value: dict[str, Any]) -> None:
        """Take a ``$/progress`` notification."""
        name, kind = str(token), value.get("kind")
        if _RUN not in name:
            if kind == "end" and name.startswith(_LOADS):
                # Was another under way, it may yet be seen to begin, or to end, and not be the one.
                self._doubts += bool(self._running) or self._begun < self._saved
                self._awaited = self._begun + 1
                self._changes.tell()
            return
        if kind == "begin" and len(self._running) < _MAX_TOKENS:
            self._begun += 1
            self._running.add(token)
        elif kind == "end":
            self._running.discard(token)
        self._changes.tell()

    async def wait(self, deadline: float) -> bool:
        """Wait until the awaited run has ended; say whether it has."""
        while (under_way := self._running or self._begun < self._awaited) or self._settled < self._doubts:
            left, doubts = remaining(deadline), self._doubts
            if self._closed or left == 0:
                return False
            waited = left if under_way else min(_LINGER, left)
            if not await self._changes.wait(waited) and not under_way and waited == _LINGER:
                self._settled = doubts  # there was no other
        return True

    def close(self) -> None:
        """Note that the server is gone: nobody needs to wait any more."""
        self._closed = True
        self._changes.tell()
