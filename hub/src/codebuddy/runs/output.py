"""What a run printed, in bounded memory: the first part and the last part, and how much fell out between them."""

from __future__ import annotations

import codecs

__all__ = ["OutputBuffer"]


class OutputBuffer:
    """Keeps the head and the tail of a stream of bytes.

    Args:
        head: how many of the first bytes to keep.
        tail: how many of the last bytes to keep.
    """

    def __init__(self, head: int = 32 * 1024, tail: int = 96 * 1024) -> None:
        self._head_limit = head
        self._tail_limit = tail
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0
        """Bytes seen so far."""

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self.total += len(data)
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        # Cut only when twice the limit is there: cutting at each chunk would copy the tail each time.
        if len(self._tail) > 2 * self._tail_limit:
            del self._tail[: -self._tail_limit]

    @property
    def truncated(self) -> bool:
        """Whether anything fell out."""
        return self.total > self._head_limit + self._tail_limit

    def text(self) -> str:
        """Give what is kept as text; bytes that are no UTF-8 become U+FFFD, and a line tells what is missing."""
        if not self.truncated:
            return (self._head + self._tail).decode("utf-8", errors="replace")
        tail = bytes(self._tail[-self._tail_limit :])
        missing = self.total - len(self._head) - len(tail)
        # A character may be cut at the seams: an incremental decoder drops the half at the end of the head, and
        # continuation bytes at the start of the tail are skipped.
        head_text = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self._head))
        start = next((i for i, byte in enumerate(tail[:4]) if byte & 0xC0 != 0x80), 0)
        return f"{head_text}\n[... {missing} bytes left out ...]\n{tail[start:].decode('utf-8', errors='replace')}"
