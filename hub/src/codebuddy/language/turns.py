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

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Go on with others of the same kind, while nobody is alone."""
        await self._join()
        try:
            yield
        finally:
            self._leave()

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Step out of `together` for a wait that may be long, and come back after it."""
        self._leave()
        try:
            yield
            await self._join()
        except BaseException:
            self._together += 1  # at once: it asks nothing more, and `together` takes it off again
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

    def _free(self) -> bool:
        return not self._alone and not self._want_alone

    async def _join(self) -> None:
        while not self._free():
            await self._changes.wait(_FOR_EVER)
        self._together += 1

    def _leave(self) -> None:
        self._together -= 1
        self._changes.tell()
