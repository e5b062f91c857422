"""All that a run printed, as far as it is kept: in memory while it is little, on disk within a bound; read in pages."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from codebuddy.runs.output import Piece, whole_characters
from codebuddy.runs.segments import Segment, SegmentStore, read_segment
from codebuddy.schemas.runs import StretchOf

__all__ = ["Page", "Transcript"]

_FLUSH_BYTES: Final = 256 * 1024

log = logging.getLogger(__name__)


class Page(NamedTuple):
    """A stretch of the output.

    Args:
        pieces: what was printed.
        start, end: where in the whole output it begins and ends; it begins later than was asked for where what was
            asked for is no longer kept.
    """

    pieces: list[Piece]
    start: int
    end: int


class Transcript:
    """Keeps what a run prints.

    Args:
        directory: where on disk; used only for what is more than fits in memory, or is to outlive this process.
        limit: how many bytes are kept.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._store = SegmentStore(directory, limit)
        self._pending: list[Piece] = []
        self._pending_size = 0
        self._writing: list[Piece] = []
        self.total = 0
        """Bytes printed so far."""
        self.problem: str | None = None
        """Why what came later is not kept."""

    @classmethod
    def load(cls, directory: Path, limit: int) -> Transcript:
        """Take up what an earlier agent kept."""
        transcript = cls(directory, limit)
        try:
            transcript._store = SegmentStore.load(directory, limit)
        except OSError as error:
            transcript.problem = error.strerror
        segments = transcript._store.segments
        transcript.total = segments[-1].end if segments else 0
        return transcript

    async def add(self, stream: StretchOf, data: bytes) -> None:
        """Take the next output."""
        self.total += len(data)
        if self.problem is not None:
            return
        self._pending.append(Piece(stream, data))
        self._pending_size += len(data)
        # Small pieces are many: their objects count too.
        if self._pending_size + 64 * len(self._pending) >= _FLUSH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Write what is in memory."""
        if not self._pending or self.problem is not None:
            return
        start = self.total - self._pending_size
        self._writing, self._pending, self._pending_size = _joined(self._pending), [], 0
        try:
            await asyncio.to_thread(self._store.write, start, self._writing)
        except OSError as error:
            self.problem = error.strerror or str(error)
            log.warning("the output of a run cannot be kept in %s: %s", self._directory, self.problem)
        finally:
            self._writing = []

    async def close(self, keep: bool) -> None:
        """Take it that no more comes.

        Args:
            keep: whether somebody will want to read it; if not, it is gone.
        """
        if keep:
            await self.flush()
        self._store.close()
        if not keep:
            self.remove()

    def remove(self) -> None:
        """Forget it, on disk too."""
        self._pending, self._pending_size = [], 0
        if self._store.segments or self._directory.exists():
            shutil.rmtree(self._directory, ignore_errors=True)
        self._store.segments = []

    @property
    def size(self) -> int:
        """Bytes that are kept on disk."""
        return sum(segment.size for segment in self._store.segments)

    async def read(self, start: int, most: int) -> Page:
        """Give output from a place on, whole characters of it."""
        segments, rest = self._snapshot()
        return await asyncio.to_thread(_read, segments, rest, max(0, start), most)

    def snapshot(self, start: int = 0) -> Iterator[tuple[int, Piece]]:
        """Give what is kept from about a place on, with where it begins, for a thread to read while more comes."""
        segments, rest = self._snapshot()
        return _pieces([segment for segment in segments if segment.end > start], rest)

    def _snapshot(self) -> tuple[list[Segment], list[tuple[int, Piece]]]:
        waiting = [*self._writing, *self._pending]
        at = self.total - sum(len(piece.data) for piece in waiting)
        rest = []
        for piece in waiting if self.problem is None else []:
            rest.append((at, piece))
            at += len(piece.data)
        written = rest[0][0] if rest else self.total
        segments = [Segment(one.path, one.start, one.size) for one in self._store.segments if one.start < written]
        return segments, rest


def _read(segments: list[Segment], rest: list[tuple[int, Piece]], start: int, most: int) -> Page:
    pieces: list[Piece] = []
    begin: int | None = None
    end = start
    relevant = [segment for segment in segments if segment.end > start]
    for at, piece in _pieces(relevant, rest):
        if at + len(piece.data) <= start:
            continue
        data = piece.data[max(0, start - at) :][: most - (end - begin if begin is not None else 0)]
        if begin is None:
            begin = end = max(start, at)
        elif at > end:
            break  # what lay between is gone; the next page begins behind it
        pieces.append(Piece(piece.stream, data))
        end += len(data)
        if end - begin >= most:
            pieces, end = _whole(pieces, end)
            break
    return Page(pieces, begin if begin is not None else start, end)


def _whole(pieces: list[Piece], end: int) -> tuple[list[Piece], int]:
    """Leave a character that is cut at the end to the next page."""
    last = pieces[-1]
    whole = whole_characters(last.data)
    if whole == 0 and len(pieces) == 1:
        return pieces, end  # rather a broken character than no progress
    return [*pieces[:-1], Piece(last.stream, last.data[:whole])], end - (len(last.data) - whole)


def _pieces(segments: list[Segment], rest: list[tuple[int, Piece]]) -> Iterator[tuple[int, Piece]]:
    written = rest[0][0] if rest else None
    for segment in segments:
        at = segment.start
        for piece in read_segment(segment):
            if written is not None and at >= written:
                return  # written meanwhile: it is in the rest too
            yield at, piece
            at += len(piece.data)
    yield from rest


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Join neighbours of one stream, so that a program that prints byte by byte costs no frame for each."""
    joined: list[list[bytes]] = []
    streams: list[StretchOf] = []
    for stream, data in pieces:
        if streams and streams[-1] == stream:
            joined[-1].append(data)
        else:
            joined.append([data])
            streams.append(stream)
    return [Piece(stream, b"".join(data)) for stream, data in zip(streams, joined, strict=True)]
