"""Frames: the bytes between us and a language server, and the JSON-RPC messages in them. No I/O here.

A frame is a header of ``Name: value`` lines, an empty line, and ``Content-Length`` bytes of JSON (LSP 3.17, "Base
Protocol"). The server is not trusted: a length is believed only up to a limit, and what cannot be read becomes a
:class:`BadFrame` and not an exception out of the parser.

    state     bytes so far                 next
    header    no empty line yet            header, or broken when longer than ``MAX_HEADER``
    header    empty line, good length      body
    header    empty line, bad length       broken
    body      fewer than the length        body
    body      all                          header; a message, or a BadFrame that is not fatal
    broken    anything                     broken; the bytes are dropped
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["MAX_CONTENT", "MAX_HEADER", "BadFrame", "Decoder", "Message", "encode"]

Message = dict[str, Any]

MAX_HEADER: Final = 8 * 1024
MAX_CONTENT: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class BadFrame:
    """Something that is no message.

    Args:
        reason: what is wrong with it, in a few words.
        fatal: whether the place of the next frame is lost, so that the stream is of no more use.
    """

    reason: str
    fatal: bool


def encode(message: Message) -> bytes:
    """Give the frame of a message."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Decoder:
    """Cuts a stream of bytes into messages.

    Args:
        max_content: the longest body that is believed, in bytes.
    """

    def __init__(self, max_content: int = MAX_CONTENT) -> None:
        self._buffer = bytearray()
        self._max_content = max_content
        self._length: int | None = None
        self._broken = False

    def feed(self, data: bytes) -> list[Message | BadFrame]:
        """Take bytes as they come, in pieces of any size; give what they complete, in order."""
        if self._broken:
            return []
        self._buffer += data
        found: list[Message | BadFrame] = []
        while (item := self._next()) is not None:
            found.append(item)
            if isinstance(item, BadFrame) and item.fatal:
                self._broken = True
                self._buffer.clear()
                break
        return found

    def _next(self) -> Message | BadFrame | None:
        if self._length is None:
            problem = self._read_header()
            if problem is not None or self._length is None:
                return problem
        if len(self._buffer) < self._length:
            return None
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._length = None
        return _parse(body)

    def _read_header(self) -> BadFrame | None:
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEADER)
        if end < 0:
            if len(self._buffer) >= MAX_HEADER:
                return BadFrame(f"a header of more than {MAX_HEADER} bytes", fatal=True)
            return None
        header = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        length = _content_length(header)
        if length is None:
            return BadFrame("a header without a usable Content-Length", fatal=True)
        if length > self._max_content:
            return BadFrame(f"a message of {length} bytes, over the limit of {self._max_content}", fatal=True)
        self._length = length
        return None


def _content_length(header: bytes) -> int | None:
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        digits = value.strip()
        if name.strip().lower() == b"content-length" and digits.isdigit() and len(digits) <= 15:
            return int(digits)
    return None


def _parse(body: bytes) -> Message | BadFrame:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):  # bad UTF-8 and endless digits are ValueErrors too
        return BadFrame("a body that is not JSON", fatal=False)
    if not isinstance(message, dict):
        return BadFrame("a body that is not a JSON object", fatal=False)
    return message
