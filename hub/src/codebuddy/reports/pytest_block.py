"""What pytest shows of one failure, in its output and in the XML that it writes."""

from __future__ import annotations

import re

from codebuddy.reports.lines import number
from codebuddy.reports.places import Place, is_own, place

__all__ = ["PytestBlock"]

# _pytest._code.code: ReprFileLocation, ReprEntry; and traceback.format_exception for --tb=native.
_LOCATION = re.compile(r":([0-9]{1,9}): ?(?=in |[A-Za-z_][\w.]{0,200}(?::|\Z)|\Z)")
_NATIVE = re.compile(r' {2,12}File "([^"]{1,4096})", line ([0-9]{1,9})')
_MARKED = re.compile(r"E(?: {3}|\Z)")
_INDENT = re.compile(r"E( +)")
_RAISED = re.compile(r"[A-Za-z_][\w.]{0,200}(?:\Z|: )")
_CAPTURED = re.compile(r"-{3,80} Captured .{1,40} -{3,80}\Z")
_MAX_LINES = 60
_MAX_TEXT = 20_000  # characters of all lines that are kept
_MAX_PLACES = 20


class PytestBlock:
    """Takes the lines of a failure.

    Args:
        root: the working directory.
    """

    def __init__(self, root: str | None) -> None:
        self._root = root
        self._marked: list[str] = []  # behind an E
        self._after_mark = False
        self._raised: list[str] = []  # what a native traceback ends in
        self._first: list[str] = []
        self._places: list[Place] = []
        self._syntax: Place | None = None
        self._over = False
        self._room = _MAX_TEXT

    def feed(self, line: str) -> None:
        """Take a line."""
        self._over = self._over or _CAPTURED.match(line) is not None
        if self._over:
            return
        self._keep(self._first, line)
        if _MARKED.match(line):
            if not self._after_mark:  # an earlier one is of an exception that this one came from
                self._marked.clear()
                self._syntax = None
            self._after_mark = True
            self._keep(self._marked, line)
            if native := _NATIVE.match(line[1:]):
                self._syntax = place(native[1], native[2])
            return
        self._after_mark = False
        self._location(line)

    def message(self) -> list[str]:
        """Give the last exception's text, or what there is in its place."""
        if self._marked:
            indents = [len(found[1]) for line in self._marked if (found := _INDENT.match(line))]
            lines = [line[1 + min(indents, default=0) :] for line in self._marked]
            # A syntax error tells its file and line, then the text of that, then what it is.
            return [lines[-1].strip(), *lines[1:-1]] if self._syntax and len(lines) > 1 else lines
        if self._raised:
            return self._raised
        return [line for line in self._first if line.strip() and not line.startswith("[gw")]  # xdist's worker

    def places(self) -> list[Place]:
        """Give the places in the project, from the test to where it failed."""
        return [at for at in [*self._places, *([self._syntax] if self._syntax else [])] if is_own(at.path, self._root)]

    def _keep(self, lines: list[str], line: str) -> None:
        if len(lines) < _MAX_LINES and self._room > 0:
            lines.append(line[: self._room])
            self._room -= len(line)

    def _location(self, line: str) -> None:
        if native := _NATIVE.match(line):
            at = place(native[1], native[2])
            self._raised.clear()
        elif line[:1].isspace() or line.startswith((">", "<")):
            return
        else:
            found = _LOCATION.search(line)
            at = place(line[: found.start()], found[1]) if found and number(found[1]) else None
            ends = self._raised or (self._places and _RAISED.match(line))
            if at is None and ends:
                self._keep(self._raised, line)
        if at is not None and len(self._places) < _MAX_PLACES:
            self._places.append(at)
        elif at is not None:
            self._places[-1] = at
