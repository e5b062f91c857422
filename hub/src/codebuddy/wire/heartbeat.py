"""Progress while a call is silent: many clients give up on a call of which they hear nothing for a while."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Final

from codebuddy.text_safety import one_line
from codebuddy.tool import Progress, Tool

HEARTBEAT_SECONDS: Final = 10.0
"""After this time without progress the client is told what is going on."""

_STEP: Final = 0.001  # MCP wants numbers that grow; small enough not to overtake the real ones
_MAX_CHARACTERS: Final = 100

# The argument that says best what a call is about, the first that there is.
_SUBJECTS: Final = ("task", "argv", "path", "symbol", "query", "pattern", "name", "job_id")


class Heartbeat:
    """Passes on the progress of a call, and adds a notification whenever there was none for a while.

    Nothing is sent after the block.
    """

    def __init__(self, tool: Tool[Any], arguments: Mapping[str, Any] | None, progress: Progress) -> None:
        self._tool, self._arguments, self._progress = tool, arguments or {}, progress
        self._loop = asyncio.get_running_loop()
        self._started = self._told = self._loop.time()
        self._number = 0.0
        self._message: str | None = None
        self._timer = self._loop.call_later(HEARTBEAT_SECONDS, self._check)
        self._sending: asyncio.Task[None] | None = None

    async def report(self, progress: float, total: float | None = None, message: str | None = None, /) -> None:
        """Pass on the progress of the call."""
        self._told, self._message = self._loop.time(), message
        # Where a heartbeat was told meanwhile, the same number as before would not be more than that.
        self._number = progress if progress > self._number else self._next_number()
        await self._progress(self._number, total, message)

    async def __aenter__(self) -> Heartbeat:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._sending is not None and not self._sending.done():
            try:
                await asyncio.wait([self._sending])
            finally:
                self._sending.cancel()

    def _check(self) -> None:
        now = self._loop.time()
        if now >= self._told + HEARTBEAT_SECONDS:
            self._told = now
            if self._sending is None or self._sending.done():  # a client that reads nothing needs no more
                self._number = self._next_number()
                told = self._progress(self._number, None, self._sentence(now - self._started))
                self._sending = asyncio.ensure_future(told)
        self._timer = self._loop.call_at(self._told + HEARTBEAT_SECONDS, self._check)

    def _next_number(self) -> float:
        return max(self._number + _STEP, math.nextafter(self._number, math.inf))

    def _sentence(self, seconds: float) -> str:
        subject = next((self._arguments[name] for name in _SUBJECTS if self._arguments.get(name)), "")
        projects = self._arguments.get("projects")
        words = [self._tool.name, _shown(subject, " "), f"in {_shown(projects, ', ')}" if projects else ""]
        what = " ".join(word for word in words if word)
        # What a program printed last is no answer to the question what is going on.
        if self._message and self._tool.scope != "run":
            return f"{what}: {one_line(self._message, _MAX_CHARACTERS)} ({seconds:.0f} s)"
        return f"{what}: {seconds:.0f} s"


def _shown(value: object, separator: str) -> str:
    text = separator.join(map(str, value)) if isinstance(value, list) else str(value)
    return one_line(text, _MAX_CHARACTERS)
