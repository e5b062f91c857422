"""What all clients together may ask of this process: bytes held at once, and long work on the event loop.

There is one budget of bytes for contents, edits, and answers that wait to be sent. A call takes what it is about to
hold, and waits while there is no room; what it turns out to hold is counted without waiting. Among those that wait, the
client that holds least is next, and of its connections the one that holds least. A connection that does not take its
answers is aborted as soon as another one waits for the room.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Protocol

from codebuddy.tool import ToolError

BUDGET: Final = 128 * 1024 * 1024
"""Of the hub's memory, which has 512 MB by default; Python's own copies come on top."""

CALL_BYTES: Final = 128 * 1024
"""What every call takes."""

SMALL_ROOM: Final = 32 * 1024 * 1024
"""Room beyond the budget for calls that take no more than that, so that large ones do not hold them up."""

LARGE_MESSAGE: Final = 128 * 1024
"""Bytes of a message that takes milliseconds to parse."""

WAIT_SECONDS: Final = 20.0
"""How long a call waits for room."""

STALLED_SECONDS: Final = 0.5
"""A connection that takes nothing for so long must make room."""

ENCODINGS: Final = 3
"""How many bytes an answer takes for each of its characters: as text, encoded, and in the buffer of its connection."""

_LOOK_SECONDS: Final = 0.1


class Outlet(Protocol):
    """A connection to which answers are sent."""

    def unsent(self) -> int:
        """Return how many bytes wait to be sent."""

    def abort(self) -> None:
        """End the connection; what waits is dropped."""


@dataclass(eq=False)
class Hold:
    """What one call of a client holds of the budget; its answer goes to the outlet."""

    _load: Load
    outlet: Outlet
    client: str
    size: int = 0

    async def take(self, size: int) -> None:
        """Hold so many bytes, and nothing of what was held before; wait for room if that is more.

        Raises:
            ToolError: ``busy``.
        """
        if size <= self.size:
            self.count(size)
        else:
            await self._load.wait_for(self, min(size, self._load.most // 2))

    def count(self, size: int) -> None:
        """Hold so many bytes, which are there already."""
        self._load.change(self, size)


_current: ContextVar[Hold | None] = ContextVar("hold", default=None)


async def reserve(size: int) -> None:
    """`Hold.take` for the present call; where nothing is bounded this does nothing."""
    if (hold := _current.get()) is not None:
        await hold.take(CALL_BYTES + size)


def count(size: int) -> None:
    """`Hold.count` for the present call."""
    if (hold := _current.get()) is not None:
        hold.count(CALL_BYTES + size)


class Load:
    """The budget and the turns of one process."""

    def __init__(self, most: int = BUDGET) -> None:
        self.most = most
        self.used = 0
        self._held: Counter[Outlet] = Counter()
        self._held_by_client: Counter[str] = Counter()
        self._waiting: dict[Hold, tuple[int, asyncio.Future[None]]] = {}
        self._large_message = asyncio.Lock()
        self._last_looks: dict[Outlet, tuple[int, float]] = {}  # bytes unsent, and since when

    @asynccontextmanager
    async def turn(self, size: int) -> AsyncIterator[None]:
        """Let the body parse a message of this size: large ones one at a time, with time for others in between.

        Parsing takes the interpreter's lock, so that a thread would hold up the others as well.
        """
        if size <= LARGE_MESSAGE:
            yield
            return
        async with self._large_message:
            began = time.monotonic()
            yield
            await asyncio.sleep(2 * (time.monotonic() - began))

    @contextmanager
    def hold(self, outlet: Outlet, client: str) -> Iterator[Hold]:
        """Make what the body takes the present call's, and give it back at the end."""
        hold = Hold(self, outlet, client)
        before = _current.set(hold)
        try:
            yield hold
        finally:
            _current.reset(before)
            hold.count(0)

    def change(self, hold: Hold, size: int) -> None:
        """Set what a call holds."""
        self._set(hold, size)
        if self._waiting:
            self._admit()

    async def wait_for(self, hold: Hold, size: int) -> None:
        """Wait until a call may hold so many bytes; see `Hold.take`."""
        if not self._waiting and self._fits(hold, size):
            self.change(hold, size)
            return
        loop = asyncio.get_running_loop()
        admitted, until = loop.create_future(), loop.time() + WAIT_SECONDS
        self._waiting[hold] = size, admitted
        try:
            self._admit()
            while not admitted.done():
                self._abort_stalled(loop.time(), hold.outlet)
                if loop.time() > until:
                    sentence = "The hub holds as much as it may for other calls; try again, or ask for less at once."
                    raise ToolError("busy", sentence)
                await asyncio.wait([admitted], timeout=_LOOK_SECONDS)
        finally:
            self._waiting.pop(hold, None)
            if not self._waiting:
                self._last_looks.clear()

    def _fits(self, hold: Hold, size: int) -> bool:
        room = self.most + (SMALL_ROOM if size <= CALL_BYTES else 0)
        return self.used - hold.size + size <= room

    def _admit(self) -> None:
        """Let those in for whom there is room, one after the other; small calls pass the large ones that wait."""
        while self._waiting:
            hold = min(self._waiting, key=self._place)
            size, admitted = self._waiting[hold]
            if not self._fits(hold, size):
                return
            del self._waiting[hold]
            if not admitted.done():  # it was not cancelled
                admitted.set_result(None)
                self._set(hold, size)

    def _place(self, hold: Hold) -> tuple[bool, int, int]:
        size, _ = self._waiting[hold]
        return size > CALL_BYTES, self._held_by_client[hold.client], self._held[hold.outlet]

    def _set(self, hold: Hold, size: int) -> None:
        more = size - hold.size
        self.used += more
        self._held[hold.outlet] += more
        self._held_by_client[hold.client] += more
        hold.size = size
        if self._held[hold.outlet] == 0:
            del self._held[hold.outlet]
        if self._held_by_client[hold.client] == 0:
            del self._held_by_client[hold.client]

    def _abort_stalled(self, now: float, waiting: Outlet) -> None:
        for outlet in list(self._held):
            if outlet is waiting:
                continue  # a slow client whose own calls wait disturbs nobody
            unsent = outlet.unsent()
            before, since = self._last_looks.get(outlet, (-1, now))
            if unsent == 0 or unsent != before:
                self._last_looks[outlet] = unsent, now
            elif now - since > STALLED_SECONDS:
                outlet.abort()
