"""Turns at a server: questions go on together, and what would change their answers waits for its own turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from codebuddy.language.changes import Changes

__all__ = ["Turns"]

_FOR_EVER: Final = 1e9


class Turns:
    """Any number of questions, or one that is alone. Who wants to be alone is next: later questions wait for it.

    Everyone waits until cancelled; put a time-out around it.
    """

    def __init__(self) -> None:
        self._together = 0
        self._alone = False
        self._want_alone = 0
        self._changes = Changes()

    def begin(self) -> bool:
        """Go on with others of the same kind, unless one is alone or wants to be; say so. `end` must follow."""
        if self._alone or self._want_alone:
            return False
        self._together += 1
        return True

    async def join(self) -> None:
        """Go on with others of the same kind as soon as nobody is alone; `end` must follow."""
        while not self.begin():
            await self._changes.wait(_FOR_EVER)

    def end(self) -> None:
        """Give way to who wants to be alone."""
        self._together -= 1
        self._changes.tell()

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Step out, between `begin` and `end`, for a wait that may be long, and come back after it."""
        self.end()
        try:
            yield
            await self.join()
        except BaseException:
            self._together += 1  # at once: it asks nothing more, and `end` takes it off again
            raise

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Go on when all others have ended or stepped aside; nobody begins meanwhile."""
        self._want_alone += 1
        try:
            while self._together or self._alone:
                await self._changes.wait(_FOR_EVER)
            self._alone = True
        finally:
            self._want_alone -= 1
            self._changes.tell()
        try:
            yield
        finally:
            self._alone = False
            self._changes.tell()
