"""What a run prints, as it comes: standard output and standard error told apart, in the order in which they arrive."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, get_args

__all__ = ["OutputPipes", "Stream"]

Stream = Literal["stdout", "stderr"]

_CHUNK: Final = 64 * 1024
_MOST: Final = 4 * _CHUNK
"""So much is read ahead of who takes it; then the program waits, as it does for any slow reader."""


class OutputPipes:
    """Two pipes and their reading ends.

    Two programs' writes into two pipes have no order but that of their arrival: what is written while nobody looks is
    taken standard output first.

    Args:
        on_news: called when there is something to take, or a pipe ended.
    """

    def __init__(self, on_news: Callable[[], None]) -> None:
        self._on_news = on_news
        self._got: deque[tuple[Stream, bytes]] = deque()
        self._size = 0
        self._reading: dict[int, Stream] = {}
        self._paused = False
        self._writing: list[int] = []
        for stream in get_args(Stream):
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            self._reading[reading] = stream
            self._writing.append(writing)
        self._watch()

    @property
    def writing_ends(self) -> tuple[int, int]:
        """The descriptors that the program writes to."""
        stdout, stderr = self._writing
        return stdout, stderr

    @property
    def ended(self) -> bool:
        """Whether nobody holds a writing end any more, and all was read."""
        return not self._reading

    def started(self) -> None:
        """Give up the writing ends: the program has its own."""
        for descriptor in self._writing:
            os.close(descriptor)
        self._writing.clear()

    def take(self) -> list[tuple[Stream, bytes]]:
        """Give what was read since the last time."""
        taken = list(self._got)
        self._got.clear()
        self._size = 0
        if self._paused:
            self._watch()
        return taken

    def close(self) -> None:
        """Close what is open."""
        self.started()
        for descriptor in list(self._reading):
            self._end(descriptor)

    def _watch(self) -> None:
        self._paused = False
        for descriptor in self._reading:
            asyncio.get_running_loop().add_reader(descriptor, self._read, descriptor)

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._end(descriptor)
        else:
            self._got.append((self._reading[descriptor], data))
            self._size += len(data)
            if self._size >= _MOST:
                self._pause()
        self._on_news()

    def _pause(self) -> None:
        self._paused = True
        for descriptor in self._reading:
            asyncio.get_running_loop().remove_reader(descriptor)

    def _end(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        del self._reading[descriptor]
        os.close(descriptor)
