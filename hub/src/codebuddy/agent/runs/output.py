"""What a run prints: an excerpt in bounded memory, the transcript on disk, and progress while it runs."""

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
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import anyio

from codebuddy.agent.runs.process import Stream
from codebuddy.schemas.runs import OutputSegment, OutputStream
from codebuddy.text_safety import label_lines
from codebuddy.tool import Progress

SEGMENT_BYTES: Final = 1024 * 1024

_HEAD_SHARE: Final = 4  # a quarter of what is kept is from the beginning: how a run ended matters more
_MAX_PIECES: Final = 1000  # of the beginning and of the end; after that all further ones are ``mixed``
_MAX_STREAM_CHANGES: Final = 500  # of an excerpt; the rest of it is ``mixed``
_SMALL_PIECE: Final = 2048  # bytes
_FLUSH_BYTES: Final = 256 * 1024

_FRAME: Final = struct.Struct(">cI")
_MARKS: Final[dict[OutputStream, bytes]] = {"stdout": b"o", "stderr": b"e"}
_STREAMS: Final = {mark: stream for stream, mark in _MARKS.items()}
_MAX_FRAME: Final = 16 * 1024 * 1024
_MAX_FILE: Final = 16 * SEGMENT_BYTES  # where the stream changes with each byte, there is a frame for each
_SUFFIX: Final = ".out"

_PROGRESS_SECONDS: Final = 0.1
_PROGRESS_BYTES: Final = 16 * 1024  # of one message; of a faster program the last part is sent
_PARTIAL_LINE_SECONDS: Final = 0.5  # how long the beginning of a line waits for its end

log = logging.getLogger(__name__)


def create_file(path: Path) -> BinaryIO:
    """Create a file to write to, where nothing is yet."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return open(os.open(path, flags, 0o600), "wb")


def open_file(path: Path, max_bytes: int | None = None) -> BinaryIO:
    """Open a regular file to read it, without following a link or blocking on a FIFO.

    Raises:
        OSError: it cannot be opened, is no regular file, or is larger than `max_bytes`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or (max_bytes is not None and found.st_size > max_bytes):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "It is no regular file, or too large", str(path))
    return open(descriptor, "rb")


class Piece(NamedTuple):
    """Some bytes of output, and their stream."""

    stream: OutputStream
    data: bytes


class Excerpt(NamedTuple):
    """Output as text, and the streams that its segments are from."""

    text: str
    streams: list[OutputSegment]


class OutputBuffer:
    """Keeps the beginning and the end of what is printed, `limit` bytes in all."""

    def __init__(self, limit: int) -> None:
        self._head_room = limit // _HEAD_SHARE
        self._tail_limit = limit - self._head_room
        self._head: list[Piece] = []
        self._tail: list[Piece] = []
        self._tail_size = 0
        self.total = 0  # bytes printed so far
        self.omitted = 0  # bytes that were dropped

    def add(self, stream: OutputStream, data: bytes) -> None:
        """Take the next output."""
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
        """Return what is kept as text, with a line that says how much was left out."""
        self._cut()
        if not self.omitted:
            return excerpt_of([*self._head, *self._tail])
        gap = f"\n[... {self.omitted} bytes left out ...]\n".encode()
        return excerpt_of([*self._head, Piece("omitted", gap), *_from_whole_character(self._tail)])

    def _cut(self) -> None:
        kept, room = list[Piece](), self._tail_limit
        for piece in reversed(self._tail):
            if room <= 0:
                break
            kept.append(Piece(piece.stream, piece.data[-room:]))
            room -= len(piece.data)
        self._tail = kept[::-1]
        self._tail_size = _size(kept)
        self.omitted = self.total - _size(self._head) - self._tail_size


def _append(pieces: list[Piece], piece: Piece) -> None:
    # Small neighbours are joined: a program that prints byte by byte must not cost an object for each.
    if len(pieces) >= _MAX_PIECES:
        piece = Piece("mixed", piece.data)
    if pieces and pieces[-1].stream == piece.stream and len(pieces[-1].data) + len(piece.data) <= _SMALL_PIECE:
        pieces[-1] = Piece(piece.stream, pieces[-1].data + piece.data)
    elif piece.data:
        pieces.append(piece)


def _size(pieces: Iterable[Piece]) -> int:
    return sum(len(piece.data) for piece in pieces)


def _from_whole_character(pieces: list[Piece]) -> Iterator[Piece]:
    """Skip the rest of a character that is cut at the beginning."""
    first, *rest = pieces or [Piece("stdout", b"")]
    start = next((i for i, byte in enumerate(first.data[:4]) if byte & 0xC0 != 0x80), 0)
    yield Piece(first.stream, first.data[start:])
    yield from rest


def whole_characters(data: bytes) -> int:
    """Return how many bytes there are without a UTF-8 character that is cut at the end."""
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    decoder.decode(data[-4:])
    return len(data) - len(decoder.getstate()[0])


def excerpt_of(pieces: Iterable[Piece]) -> Excerpt:
    """Decode output; bytes that are no UTF-8 become U+FFFD.

    A character whose bytes are separated by another stream's output is put where its second half comes.
    """
    texts: list[str] = []
    streams: list[OutputSegment] = []
    for stream, text in _decode(pieces):
        if not text:
            continue
        texts.append(text)
        if streams and streams[-1].stream == stream:
            streams[-1].characters += len(text)
        elif len(streams) >= _MAX_STREAM_CHANGES and "omitted" not in (stream, streams[-1].stream):
            streams[-1] = OutputSegment(stream="mixed", characters=streams[-1].characters + len(text))
        else:
            streams.append(OutputSegment(stream=stream, characters=len(text)))
    return Excerpt("".join(texts), streams)


def _decode(pieces: Iterable[Piece]) -> Iterator[tuple[OutputStream, str]]:
    decoders: dict[OutputStream, codecs.IncrementalDecoder] = {}
    for stream, data in pieces:
        if stream == "omitted":
            decoders.clear()  # drops a character that the gap cuts, which is not to look broken
        decoder = decoders.setdefault(stream, codecs.getincrementaldecoder("utf-8")("replace"))
        yield stream, decoder.decode(data)
    for stream, decoder in decoders.items():
        yield stream, decoder.decode(b"", final=True)


@dataclass
class _Segment:
    """A file of the transcript: where in the output it begins, and how many bytes of output are in it."""

    path: Path
    start: int
    size: int = 0

    @property
    def end(self) -> int:
        return self.start + self.size

    def read(self) -> Iterator[Piece]:
        """Return what is in it; nothing when it is gone, and when it is damaged what comes before that."""
        try:
            file = open_file(self.path, _MAX_FILE)
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


class _SegmentStore:
    """Writes segments into a directory, which is made with the first one; at most `limit` bytes of output are kept.

    One thread at a time may use it.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._limit = max(limit, 2 * SEGMENT_BYTES)
        self._file: BinaryIO | None = None
        self.segments: list[_Segment] = []

    def load(self) -> None:
        """Find the segments that an earlier agent wrote; an `OSError` says that the directory cannot be read."""
        for entry in sorted(self._directory.iterdir()):
            if len(self.segments) > self._limit // SEGMENT_BYTES:
                break  # more than an agent writes
            if entry.name.endswith(_SUFFIX) and entry.stem.isdecimal():
                segment = _Segment(entry, int(entry.stem))
                segment.size = _size(segment.read())
                self.segments.append(segment)

    def write(self, start: int, pieces: list[Piece]) -> None:
        """Write output that begins at `start`; an `OSError` says that it cannot be written."""
        for stream, data in pieces:
            file, segment = self._current(start)
            file.write(_FRAME.pack(_MARKS[stream], len(data)) + data)
            segment.size += len(data)
            start += len(data)
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file; there is nothing more to write."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _current(self, at: int) -> tuple[BinaryIO, _Segment]:
        if self._file is None or self.segments[-1].size >= SEGMENT_BYTES:
            self.close()
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._directory / f"{at:015d}{_SUFFIX}"
            self._file = create_file(path)  # it stays open until the next one, or close()
            self.segments = [*self.segments, _Segment(path, at)]  # a reader in another thread keeps the old list
            self._drop_oldest()
        return self._file, self.segments[-1]

    def _drop_oldest(self) -> None:
        """Remove segments until the limit is kept, but none of the beginning."""
        kept = sum(segment.size for segment in self.segments)
        while kept + SEGMENT_BYTES > self._limit:
            oldest = next(i for i, segment in enumerate(self.segments) if segment.start >= self._limit // _HEAD_SHARE)
            if oldest >= len(self.segments) - 1:
                return
            segment = self.segments[oldest]
            self.segments = [*self.segments[:oldest], *self.segments[oldest + 1 :]]
            kept -= segment.size
            segment.path.unlink(missing_ok=True)


class Page(NamedTuple):
    """A part of the output and its position; it begins later than requested where output was dropped."""

    pieces: list[Piece]
    start: int
    end: int


class Transcript:
    """Keeps what a run prints, `limit` bytes of it.

    The directory is used only for what does not fit in memory, or is to outlive this process.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._store = _SegmentStore(directory, limit)
        self._pending: list[Piece] = []
        self._pending_size = 0
        self._writing: list[Piece] = []
        self.total = 0  # bytes printed so far
        self.problem: str | None = None  # why later output is not kept

    @classmethod
    def load(cls, directory: Path, limit: int) -> Transcript:
        """Load what an earlier agent kept."""
        transcript = cls(directory, limit)
        try:
            transcript._store.load()
        except OSError as error:
            transcript._store.segments = []
            transcript.problem = error.strerror
        segments = transcript._store.segments
        transcript.total = segments[-1].end if segments else 0
        return transcript

    @property
    def size(self) -> int:
        """Bytes that are kept on disk."""
        return sum(segment.size for segment in self._store.segments)

    async def add(self, stream: OutputStream, data: bytes) -> None:
        """Take the next output."""
        self.total += len(data)
        if self.problem is not None:
            return
        self._pending.append(Piece(stream, data))
        self._pending_size += len(data)
        # Of many small pieces the objects count too.
        if self._pending_size + 64 * len(self._pending) >= _FLUSH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Write what is in memory."""
        if not self._pending or self.problem is not None:
            return
        start = self.total - self._pending_size
        self._writing, self._pending, self._pending_size = _join(self._pending), [], 0
        try:
            await asyncio.to_thread(self._store.write, start, self._writing)
        except OSError as error:
            self.problem = error.strerror or str(error)
            log.warning("the output of a run cannot be kept in %s: %s", self._directory, self.problem)
        finally:
            self._writing = []

    async def close(self, keep: bool) -> None:
        """End the transcript; keep it on disk or remove it."""
        if keep:
            await self.flush()
        self._store.close()
        if not keep:
            self.remove()

    def remove(self) -> None:
        """Remove it from memory and disk."""
        self._pending, self._pending_size = [], 0
        if self._store.segments or self._directory.exists():
            shutil.rmtree(self._directory, ignore_errors=True)
        self._store.segments = []

    async def read(self, start: int, max_bytes: int) -> Page:
        """Return output from `start` on, in whole characters."""
        start = max(0, start)
        return await asyncio.to_thread(_read_page, self.snapshot(start), start, max_bytes)

    def snapshot(self, start: int = 0) -> Iterator[tuple[int, Piece]]:
        """Return the pieces that are kept from about `start` on, and where each begins; another thread may iterate."""
        in_memory = [*self._writing, *self._pending] if self.problem is None else []
        written = self.total - _size(in_memory)
        segments = [replace(one) for one in self._store.segments if one.start < written and one.end > start]
        return _pieces(segments, written, in_memory)


def _join(pieces: list[Piece]) -> list[Piece]:
    """Join neighbours of one stream, so that a program that prints byte by byte costs no frame for each."""
    groups = groupby(pieces, key=lambda piece: piece.stream)
    return [Piece(stream, b"".join(piece.data for piece in group)) for stream, group in groups]


def _pieces(segments: list[_Segment], written: int, in_memory: list[Piece]) -> Iterator[tuple[int, Piece]]:
    for segment in segments:
        at = segment.start
        for piece in segment.read():
            if at >= written:
                break  # it was in memory when the snapshot was taken
            yield at, piece
            at += len(piece.data)
    at = written
    for piece in in_memory:
        yield at, piece
        at += len(piece.data)


def _read_page(snapshot: Iterator[tuple[int, Piece]], start: int, max_bytes: int) -> Page:
    pieces: list[Piece] = []
    begin: int | None = None
    end = start
    for at, (stream, data) in snapshot:
        if at + len(data) <= start:
            continue
        if begin is None:
            begin = end = max(start, at)
        elif at > end:
            break  # what lay between was dropped; the next page begins behind it
        pieces.append(Piece(stream, data[max(0, start - at) :][: max_bytes - (end - begin)]))
        end += len(pieces[-1].data)
        if end - begin >= max_bytes:
            # A character that is cut at the end is left to the next page, unless there is nothing else.
            last = pieces.pop()
            whole = whole_characters(last.data) or (0 if pieces else len(last.data))
            pieces.append(Piece(last.stream, last.data[:whole]))
            end -= len(last.data) - whole
            break
    return Page(pieces, begin if begin is not None else start, end)


class ProgressReporter:
    """Reports output as progress, with the number of bytes so far; lines of standard error are labelled.

    ``progress`` may be replaced meanwhile.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._waiting: deque[Piece] = deque()
        self._size = 0
        self._since = 0.0
        self._total = 0

    def add(self, stream: Stream, data: bytes) -> None:
        """Take the next output."""
        if not self._waiting:
            self._since = time.monotonic()
        self._total += len(data)
        self._waiting.append(Piece(stream, data[-_PROGRESS_BYTES:]))
        self._size += len(self._waiting[-1].data)
        while self._size - len(self._waiting[0].data) >= _PROGRESS_BYTES:
            self._size -= len(self._waiting.popleft().data)

    async def run(self) -> None:
        """Report at intervals until cancelled."""
        while True:
            await anyio.sleep(_PROGRESS_SECONDS)
            await self.tell()

    async def tell(self, last: bool = False) -> None:
        """Report what is there; whole lines unless it is the last time or the line is late."""
        is_late = time.monotonic() - self._since >= _PARTIAL_LINE_SECONDS
        pieces = self._take(whole_lines=not (last or is_late))
        if pieces:
            await self.progress(float(self._total), None, _labelled(pieces))

    def _take(self, whole_lines: bool) -> list[Piece]:
        """Take all pieces, except for a line or a character that is not complete."""
        pieces = list(self._waiting)
        self._waiting.clear()
        self._size = 0
        if pieces:
            stream, data = pieces.pop()
            cut = data.rfind(b"\n") + 1 if whole_lines else whole_characters(data)
            if cut:
                pieces.append(Piece(stream, data[:cut]))
            if cut < len(data):
                self._waiting.append(Piece(stream, data[cut:]))
                self._size = len(data) - cut
        return pieces


def _labelled(pieces: list[Piece]) -> str:
    excerpt = excerpt_of(pieces)
    at, texts = 0, []
    for segment in excerpt.streams:
        text = excerpt.text[at : at + segment.characters]
        at += segment.characters
        texts.append(label_lines(text, "[stderr] ") if segment.stream == "stderr" else text)
    return "".join(texts)
