"""Output as progress: told while it appears, at a bounded rate, by whole lines where it has lines."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

import anyio

from codebuddy.runs.output import Piece, excerpt_of, whole_characters
from codebuddy.runs.pipes import Stream
from codebuddy.schemas.runs import StretchOf
from codebuddy.text_safety import label_lines
from codebuddy.tool import Progress

__all__ = ["OutputTeller"]

TELL_SECONDS: Final = 0.1
"""How often output is told while it appears."""

TELL_BYTES: Final = 16 * 1024
"""The most that is told at a time; of a faster program the last part is, and all of it is kept."""

_PARTIAL_SECONDS: Final = 0.5
"""So long the beginning of a line may wait for its end."""


class OutputTeller:
    """Tells output; lines of standard error are marked.

    Args:
        progress: is told, with the number of bytes so far.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._waiting: deque[Piece] = deque()
        self._size = 0
        self._since = 0.0
        self._total = 0

    def add(self, stream: Stream, data: bytes) -> None:
        """Take the next output."""
        if not self._waiting:
            self._since = time.monotonic()
        self._total += len(data)
        self._waiting.append(Piece(stream, data[-TELL_BYTES:]))
        self._size += len(self._waiting[-1].data)
        while self._size - len(self._waiting[0].data) >= TELL_BYTES:
            self._size -= len(self._waiting.popleft().data)

    async def run(self) -> None:
        """Tell again and again, until cancelled."""
        while True:
            await anyio.sleep(TELL_SECONDS)
            await self.tell()

    async def tell(self, last: bool = False) -> None:
        """Tell what is there.

        Args:
            last: whether the end of a line is no longer waited for.
        """
        late = time.monotonic() - self._since >= _PARTIAL_SECONDS
        pieces = self._take(whole=last or late)
        if pieces:
            await self._progress(float(self._total), None, _told(pieces))

    def _take(self, whole: bool) -> list[Piece]:
        """Take all pieces, but the beginning of a line at their end."""
        pieces = list(self._waiting)
        self._waiting.clear()
        self._size = 0
        if pieces and not whole:
            stream, data = pieces.pop()
            cut = data.rfind(b"\n") + 1
            if cut:
                pieces.append(Piece(stream, data[:cut]))
            self._keep(stream, data[cut:])
        elif pieces:
            stream, data = pieces.pop()
            cut = whole_characters(data)
            pieces.append(Piece(stream, data[:cut]))
            self._keep(stream, data[cut:])
        return pieces

    def _keep(self, stream: StretchOf, data: bytes) -> None:
        if data:
            self._waiting.append(Piece(stream, data))
            self._size = len(data)


def _told(pieces: list[Piece]) -> str:
    excerpt = excerpt_of(pieces)
    at, told = 0, []
    for stretch in excerpt.streams:
        text = excerpt.text[at : at + stretch.characters]
        at += stretch.characters
        told.append(label_lines(text, "[stderr] ") if stretch.stream == "stderr" else text)
    return "".join(told)
