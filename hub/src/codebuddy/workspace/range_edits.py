"""New text for stretches of a text that are given by line and column. Pure: text in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

from codebuddy.errors import ToolError
from codebuddy.workspace.text import fit_line_breaks, split_lines

__all__ = ["Range", "apply_range_edits"]


class Range(Protocol):
    """New text for a stretch; 1-based, columns in code points, the end is where the first character stays."""

    line: int
    column: int
    end_line: int
    end_column: int
    new_text: str


@dataclass(frozen=True)
class _Span:
    """An edit by offsets into the text.

    Args:
        start: where it begins.
        end: where it ends.
        number: its place in the list of edits.
        new_text: what comes there.
    """

    start: int
    end: int
    number: int
    new_text: str


def apply_range_edits(content: str, edits: Sequence[Range]) -> str:
    """Apply edits whose positions all refer to the text as it is before any of them.

    Lines end at CR LF, LF or CR, as in the Language Server Protocol (3.17, "Text Documents"). Edits that insert at one
    place keep their order, and come before one that replaces what begins there ("TextEdit[]"). New text without a
    carriage return gets the line break of its place.

    Raises:
        ToolError: ``invalid_range``, saying what the text has there; ``overlapping_edits``; nothing is applied then.
    """
    lines = _Lines(content)
    spans = [_Span(*lines.span(edit, f"edits[{number}]"), number, edit.new_text) for number, edit in enumerate(edits)]
    spans.sort(key=lambda span: (span.start, span.end))  # a stable sort: insertions at one place keep their order
    for one, other in pairwise(spans):
        if other.start < one.end:
            first, second = sorted((one.number, other.number))
            raise ToolError(
                "overlapping_edits",
                f"edits[{first}] and edits[{second}] overlap, and all positions refer to the text before any of them; "
                "make one edit of them.",
            )
    pieces, done = [], 0
    for span in spans:
        pieces += [content[done : span.start], fit_line_breaks(span.new_text, content, span.start)]
        done = span.end
    return "".join([*pieces, content[done:]])


class _Lines:
    """Where the lines of a text are."""

    def __init__(self, content: str) -> None:
        lines = split_lines(content)
        if not lines or lines[-1].endswith(("\r", "\n")):
            lines.append("")  # a position may be behind the last line break
        self._starts = [0, *accumulate(map(len, lines))]
        self._widths = [len(line.rstrip("\r\n")) for line in lines]

    def span(self, edit: Range, name: str) -> tuple[int, int]:
        """Give where an edit begins and ends.

        Raises:
            ToolError: ``invalid_range``.
        """
        start = self._offset(edit.line, edit.column, name)
        end = self._offset(edit.end_line, edit.end_column, name)
        if end < start:
            raise ToolError(
                "invalid_range",
                f"{name} ends at {edit.end_line}:{edit.end_column}, before it begins at {edit.line}:{edit.column}.",
            )
        return start, end

    def _offset(self, line: int, column: int, name: str) -> int:
        count = len(self._widths)
        if not 1 <= line <= count:
            raise ToolError(
                "invalid_range",
                f"{name} names line {line}; the file has lines 1 to {count}. Read it again.",
            )
        last = self._widths[line - 1] + 1
        if not 1 <= column <= last:
            raise ToolError(
                "invalid_range",
                f"{name} names column {column} of line {line}, which has columns 1 to {last}; they count Unicode code "
                "points. Read the file again.",
            )
        return self._starts[line - 1] + column - 1
