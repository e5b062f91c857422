"""What a run printed, on disk within a bound: files of frames, of which the oldest but for the first go.

A frame is a byte for the stream, four for the length, and the output. A file is named after the place in the output at
which it begins, so that what was kept can be read after a restart.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from codebuddy.runs.files import create_file, open_file
from codebuddy.runs.output import Piece
from codebuddy.schemas.runs import StretchOf

__all__ = ["Segment", "SegmentStore", "read_segment"]

SEGMENT_BYTES: Final = 1024 * 1024
_HEAD_SHARE: Final = 4
_FRAME: Final = struct.Struct(">cI")
_MARKS: Final[dict[StretchOf, bytes]] = {"stdout": b"o", "stderr": b"e"}
_STREAMS: Final = {mark: stream for stream, mark in _MARKS.items()}
_MAX_FRAME: Final = 16 * 1024 * 1024
_MAX_FILE: Final = 16 * SEGMENT_BYTES  # where the stream changes with each byte, there is a frame for each
_SUFFIX: Final = ".out"


@dataclass
class Segment:
    """A file: where in the output it begins, and how many bytes of output are in it."""

    path: Path
    start: int
    size: int = 0

    @property
    def end(self) -> int:
        """Where in the output it ends."""
        return self.start + self.size


class SegmentStore:
    """Writes segments. One thread at a time may use it.

    Args:
        directory: where; it is made when the first byte is written.
        limit: how many bytes of output to keep; a quarter of it from the beginning.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._limit = max(limit, 2 * SEGMENT_BYTES)
        self.segments: list[Segment] = []
        self._file: BinaryIO | None = None

    @classmethod
    def load(cls, directory: Path, limit: int) -> SegmentStore:
        """Take up what an earlier agent wrote, to be read.

        Raises:
            OSError: it cannot be read.
        """
        store = cls(directory, limit)
        most = store._limit // SEGMENT_BYTES + 1
        for entry in sorted(directory.iterdir()):
            if len(store.segments) == most:
                break  # not written here
            if entry.name.endswith(_SUFFIX) and entry.stem.isdecimal():
                segment = Segment(entry, int(entry.stem))
                segment.size = sum(len(piece.data) for piece in read_segment(segment))
                store.segments.append(segment)
        return store

    def write(self, start: int, pieces: list[Piece]) -> None:
        """Write output that begins at a place.

        Raises:
            OSError: it cannot be written.
        """
        at = start
        for stream, data in pieces:
            segment = self._current(at)
            assert self._file is not None
            self._file.write(_FRAME.pack(_MARKS[stream], len(data)) + data)
            segment.size += len(data)
            at += len(data)
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file; there is nothing more to write."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _current(self, at: int) -> Segment:
        if self._file is None or self.segments[-1].size >= SEGMENT_BYTES:
            self.close()
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._directory / f"{at:015d}{_SUFFIX}"
            self._file = create_file(path)  # it stays open until the next one, or close()
            self.segments = [*self.segments, Segment(path, at)]  # a reader in another thread keeps the old list
            self._drop_oldest()
        return self.segments[-1]

    def _drop_oldest(self) -> None:
        kept = sum(segment.size for segment in self.segments)
        while kept + SEGMENT_BYTES > self._limit:
            # Those of the beginning stay.
            oldest = next(i for i, segment in enumerate(self.segments) if segment.start >= self._limit // _HEAD_SHARE)
            if oldest >= len(self.segments) - 1:
                return
            segment = self.segments[oldest]
            self.segments = [*self.segments[:oldest], *self.segments[oldest + 1 :]]
            kept -= segment.size
            segment.path.unlink(missing_ok=True)


def read_segment(segment: Segment) -> Iterator[Piece]:
    """Give what is in a segment; nothing of one that is gone, and of one that is spoilt what comes before that."""
    try:
        file = open_file(segment.path, _MAX_FILE)
    except OSError:
        return
    with file:
        while len(header := file.read(_FRAME.size)) == _FRAME.size:
            mark, length = _FRAME.unpack(header)
            if mark not in _STREAMS or length > _MAX_FRAME:
                return
            data = file.read(length)
            yield Piece(_STREAMS[mark], data)
            if len(data) < length:
                return
