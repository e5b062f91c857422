"""Whether anybody asks a server anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from codebuddy.language.changes import Changes, remaining

__all__ = ["Demand"]


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
