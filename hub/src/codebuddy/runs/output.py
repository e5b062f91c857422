"""What a run printed, in bounded memory: the first part and the last part, and how much fell out between them. Pure."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from codebuddy.schemas.runs import Stretch, StretchOf

__all__ = ["Excerpt", "OutputBuffer", "Piece", "excerpt_of", "whole_characters"]

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
