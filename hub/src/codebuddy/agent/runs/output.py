"""What a run printed, in bounded memory: the first part and the last part, and how much fell out between them. Pure."""

from __future__ import annotations

import asyncio
import codecs
import errno
import logging
import os
import shutil
import stat
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import anyio

from codebuddy.agent.runs.process import Stream
from codebuddy.schemas.runs import Stretch, StretchOf
from codebuddy.text_safety import label_lines
from codebuddy.tool import Progress


def create_file(path: Path) -> BinaryIO:
    """Make a file to write to.

    Raises:
        OSError: it cannot be made, or something is there.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return open(os.open(path, flags, 0o600), "wb")


def open_file(path: Path, most: int | None = None) -> BinaryIO:
    """Open a file to read it.

    Args:
        path: its path.
        most: how large it may be, in bytes; None: whoever reads it has a bound.

    Raises:
        OSError: it cannot be opened, is none (a FIFO would be waited for), is a link, or is larger.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or (most is not None and found.st_size > most):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "It is not a file, or larger than one of these is", str(path))
    return open(descriptor, "rb")


_HEAD_SHARE: Final = 4
"""A quarter of what is kept is from the beginning: how it began matters, how it ended matters more."""


_MOST_PIECES: Final = 1000
"""So often a change of the stream is kept, at the beginning and at the end; after that both are one, ``mixed``."""

_MOST_STRETCHES: Final = 500
"""So many stretches are told; the last is of what is left."""

_SMALL: Final = 2048


class Piece(NamedTuple):
    """Some output: of which stream, and the bytes."""

    stream: StretchOf
    data: bytes


class Excerpt(NamedTuple):
    """Output as text, and of which stream each stretch of it is."""

    text: str
    streams: list[Stretch]


class OutputBuffer:
    """Keeps the beginning and the end of what is printed.

    Args:
        limit: how many bytes to keep.
    """

    def __init__(self, limit: int) -> None:
        self._head_room = limit // _HEAD_SHARE
        self._tail_limit = limit - self._head_room
        self._head: list[Piece] = []
        self._tail: list[Piece] = []
        self._tail_size = 0
        self.total = 0
        """Bytes seen so far."""
        self.omitted = 0
        """Bytes that fell out."""

    def add(self, stream: StretchOf, data: bytes) -> None:
        """Take the next bytes."""
        self.total += len(data)
        if self._head_room > 0:
            _append(self._head, Piece(stream, data[: self._head_room]))
            data, self._head_room = data[self._head_room :], max(0, self._head_room - len(data))
        if data:
            _append(self._tail, Piece(stream, data[-self._tail_limit :] if self._tail_limit else b""))
            self._tail_size += len(data)
            # Cut only when twice the limit is there: cutting at each piece would copy the tail each time.
            if self._tail_size > 2 * self._tail_limit:
                self._cut()

    def excerpt(self) -> Excerpt:
        """Give what is kept as text; a line tells what is missing."""
        self._cut()
        if not self.omitted:
            return excerpt_of([*self._head, *self._tail])
        gap = f"\n[... {self.omitted} bytes left out ...]\n".encode()
        return excerpt_of([*self._head, Piece("omitted", gap), *_from_character(self._tail)])

    def _cut(self) -> None:
        kept, room = list[Piece](), self._tail_limit
        for piece in reversed(self._tail):
            if room <= 0:
                break
            kept.append(Piece(piece.stream, piece.data[-room:]))
            room -= len(piece.data)
        self._tail = kept[::-1]
        self._tail_size = sum(len(piece.data) for piece in kept)
        head = sum(len(piece.data) for piece in self._head)
        self.omitted = self.total - head - self._tail_size


def excerpt_of(pieces: Iterable[Piece]) -> Excerpt:
    """Decode output: bytes that are no UTF-8 become U+FFFD. A character that another stream's output cuts in two is
    whole, where its second half comes.
    """
    decoders: dict[StretchOf, codecs.IncrementalDecoder] = {}
    texts: list[str] = []
    streams: list[Stretch] = []
    for stream, text in _decoded(pieces, decoders):
        if not text:
            continue
        texts.append(text)
        if streams and streams[-1].stream == stream:
            streams[-1].characters += len(text)
        elif len(streams) >= _MOST_STRETCHES and "omitted" not in (stream, streams[-1].stream):
            streams[-1] = Stretch(stream="mixed", characters=streams[-1].characters + len(text))
        else:
            streams.append(Stretch(stream=stream, characters=len(text)))
    return Excerpt("".join(texts), streams)


def _decoded(
    pieces: Iterable[Piece], decoders: dict[StretchOf, codecs.IncrementalDecoder]
) -> Iterator[tuple[StretchOf, str]]:
    for stream, data in pieces:
        if stream == "omitted":
            # What was cut off is not told as broken: halves of a character before the gap are dropped.
            decoders.clear()
        decoder = decoders.setdefault(stream, codecs.getincrementaldecoder("utf-8")("replace"))
        yield stream, decoder.decode(data)
    for stream, decoder in decoders.items():
        yield stream, decoder.decode(b"", final=True)


def whole_characters(data: bytes) -> int:
    """Give how many bytes are there without a UTF-8 character that is cut at the end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # no continuation: the first byte of a character, or ASCII
            needed = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if needed > back else len(data)
    return len(data)


def _append(pieces: list[Piece], piece: Piece) -> None:
    # Small neighbours are joined: a program that prints byte by byte must not cost an object for each.
    if len(pieces) >= _MOST_PIECES:
        piece = Piece("mixed", piece.data)
    if pieces and pieces[-1].stream == piece.stream and len(pieces[-1].data) + len(piece.data) <= _SMALL:
        pieces[-1] = Piece(piece.stream, pieces[-1].data + piece.data)
    elif piece.data:
        pieces.append(piece)


def _from_character(pieces: list[Piece]) -> Iterator[Piece]:
    """Skip the rest of a character that is cut at the beginning."""
    first, *rest = pieces or [Piece("stdout", b"")]
    start = next((i for i, byte in enumerate(first.data[:4]) if byte & 0xC0 != 0x80), 0)
    yield Piece(first.stream, first.data[start:])
    yield from rest


SEGMENT_BYTES: Final = 1024 * 1024
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
