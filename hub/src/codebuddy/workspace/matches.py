"""Places of matches: byte offsets of UTF-8 text turned into lines, columns and the text around them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LineFinder", "Match"]

_LINE_CHARS = 400  # of a line in an answer; minified files have lines of megabytes
_LEAD_CHARS = 100  # of them, before the match


@dataclass(frozen=True)
class Match:
    """A match: lines and columns 1-based, columns in code points, the end exclusive.

    Args:
        line_text: the line that it begins on, without its break; of a very long one only the part around the match.
        line_cut: line_text is only a part of the line; None if it is whole.
        before, after: the lines around it, if they were asked for.
    """

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    line_text: str
    line_cut: bool | None = None
    before: list[str] | None = None
    after: list[str] | None = None

    @property
    def weight(self) -> int:
        """Characters that it adds to an answer."""
        around = sum(map(len, self.before or ())) + sum(map(len, self.after or ()))
        return len(self.path) + len(self.line_text) + around + 100


class LineFinder:
    """Turns rising byte offsets into lines and columns; every byte is counted once, however many matches there are.

    Args:
        data: valid UTF-8 whose line breaks are all LF.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0
        self._line_start = 0
        self._line = 1
        self._column = 1

    def match(self, path: str, start: int, end: int, context_lines: int) -> Match:
        """Describe the match from byte ``start`` to byte ``end``; starts must not fall from call to call."""
        line, column = self._advance(start)
        line_start = self._line_start
        text, cut = self._around(line_start, start)
        before = self._lines_before(line_start, context_lines) if context_lines else None
        end_line, end_column = self._advance(end)
        after = self._lines_after(end, context_lines) if context_lines else None
        return Match(path, line, column, end_line, end_column, text, cut or None, before, after)

    def _advance(self, offset: int) -> tuple[int, int]:
        breaks = self._data.count(b"\n", self._offset, offset)
        if breaks:
            self._line += breaks
            self._line_start = self._offset = self._data.rfind(b"\n", self._offset, offset) + 1
            self._column = 1
        self._column += len(self._data[self._offset : offset].decode())
        self._offset = offset
        return self._line, self._column

    def _around(self, line_start: int, start: int) -> tuple[str, bool]:
        """Give the line, or of a long one what is around the match; four bytes hold any character."""
        first = max(line_start, start - 4 * _LEAD_CHARS)
        end = self._data.find(b"\n", start, first + 4 * _LINE_CHARS)
        last = end if end >= 0 else min(len(self._data), first + 4 * _LINE_CHARS)
        lead = self._data[first:start].decode("utf-8", "ignore")
        rest = self._data[start:last].decode("utf-8", "ignore")
        if first == line_start and len(lead) + len(rest) <= _LINE_CHARS:
            return lead + rest, end < 0 and last < len(self._data)
        lead = lead[-_LEAD_CHARS:]
        kept = rest[: _LINE_CHARS - len(lead)]
        return lead + kept, True

    def _lines_before(self, line_start: int, number: int) -> list[str]:
        lines: list[str] = []
        end = line_start - 1
        while end >= 0 and len(lines) < number:
            start = self._data.rfind(b"\n", 0, end) + 1
            lines.append(self._shortened(start, end))
            end = start - 1
        return lines[::-1]

    def _lines_after(self, offset: int, number: int) -> list[str]:
        lines: list[str] = []
        start = self._data.find(b"\n", offset) + 1
        while 0 < start < len(self._data) and len(lines) < number:
            found = self._data.find(b"\n", start)
            end = found if found >= 0 else len(self._data)
            lines.append(self._shortened(start, end))
            start = end + 1
        return lines

    def _shortened(self, start: int, end: int) -> str:
        return self._data[start : min(end, start + 4 * _LINE_CHARS)].decode("utf-8", "ignore")[:_LINE_CHARS]
