"""Panics of Rust programs in their output."""

from __future__ import annotations

import re

from codebuddy.reports.places import Place, is_own, place

__all__ = ["Panic", "Panics"]

_PANIC = re.compile(r"\"?thread '([^']{1,1000})' (?:\([0-9]{1,20}\) )?panicked at ")
_END = re.compile(r"stack backtrace:|note: |(?:FAILED|ok)\Z|test \S")
_FRAME = re.compile(r" {2,40}at ")
_MAX_LINES = 60
_MAX_LINE = 500  # characters
_MAX_FRAMES = 20
_MAX_THREADS = 200


class Panic:
    """A panic: its message, and where it was.

    Args:
        at: where; none when that could not be read.
        message: its lines.
    """

    def __init__(self, at: Place | None, message: list[str]) -> None:
        self.message = message
        self.frames: list[Place] = []
        self._at = at

    def own_place(self, root: str | None) -> Place | None:
        """Give the place of it in the project, or else the place in the project that it was called from."""
        places = [*([self._at] if self._at else []), *self.frames]
        return next((each for each in places if is_own(each.path, root)), None)


class Panics:
    """Collects panics by the thread that had them; a test's thread has the test's name."""

    def __init__(self, root: str | None) -> None:
        self.last: Panic | None = None
        self._root = root
        self._threads: dict[str, Panic] = {}
        self._in_message = False

    def of(self, thread: str) -> Panic | None:
        """Give the last panic of a thread."""
        return self._threads.get(thread)

    def feed(self, line: str) -> None:
        """Take a line."""
        found = _PANIC.search(line, 0, 2100) if "' " in line and " panicked at " in line else None
        if found:
            self._begin(found[1], line[found.end() :])
        elif self.last is None:
            return
        elif frame := _FRAME.match(line):
            self._in_message = False
            parts = line[frame.end() :].rsplit(":", 2)
            if len(parts) == 3 and len(self.last.frames) < _MAX_FRAMES and (at := place(parts[0], parts[1])):
                self.last.frames.append(at)
        elif _END.match(line):
            self._in_message = False
        elif self._in_message and len(self.last.message) < _MAX_LINES:
            self.last.message.append(line[:_MAX_LINE])

    def _begin(self, thread: str, rest: str) -> None:
        if rest.startswith("'"):  # before Rust 1.73: the message in quotes, then the place
            quoted, _, where = rest.rpartition("', ")
            message = [quoted[1 : 1 + 4 * _MAX_LINE]]
        else:
            where, message = rest, []
        parts = where.rstrip(":").rsplit(":", 2)
        at = place(parts[0], parts[1]) if len(parts) == 3 else None
        self.last = Panic(at, message)
        self._in_message = not message
        if len(self._threads) < _MAX_THREADS:
            self._threads[thread] = self.last
