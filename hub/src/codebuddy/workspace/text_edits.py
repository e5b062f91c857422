"""Exact replacements in a text. Pure: text in, text out."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from codebuddy.errors import ToolError
from codebuddy.workspace.text import fit_line_breaks, split_lines

__all__ = ["TextEdit", "apply_edits"]

_BREAK = re.compile(r"\r\n|\n|\r")
_SHOWN = 10  # line numbers in a message


@dataclass(frozen=True)
class TextEdit:
    """Replace a text that occurs exactly ``count`` times.

    Args:
        old_text: what is there. Without a carriage return in it, its line breaks match those of the file whatever they
            are; with one, it is matched character by character.
        new_text: what comes in its place. Without a carriage return, its line breaks become those of the place it goes
            to.
        count: how often old_text must occur; all occurrences are replaced.
    """

    old_text: str
    new_text: str
    count: int = 1


def apply_edits(content: str, edits: Sequence[TextEdit]) -> str:
    """Apply replacements in order, each to the result of the one before.

    Raises:
        ToolError: ``no_match`` or ``ambiguous_match``, with the lines; nothing is applied then.
    """
    for number, edit in enumerate(edits, 1):
        content = _apply(content, edit, f"edits[{number - 1}]")
    return content


def _apply(content: str, edit: TextEdit, name: str) -> str:
    if not edit.old_text:
        raise ToolError("invalid_arguments", f"{name}.old_text is empty; use write_file to write a whole file.")
    spans = _find(content, edit.old_text, name)
    if not spans:
        raise ToolError("no_match", f"{name}.old_text does not occur in the file{_hint(content, edit.old_text)}.")
    if len(spans) != edit.count:
        lines = _listed([_line_at(content, start) for start, _ in spans])
        raise ToolError(
            "ambiguous_match",
            f"{name}.old_text occurs {len(spans)} times, not {edit.count} (lines {lines}); "
            f"add surrounding text to make it unique, or set count to {len(spans)} to replace all.",
        )
    pieces, done = [], 0
    for start, end in spans:
        pieces += [content[done:start], fit_line_breaks(edit.new_text, content, start)]
        done = end
    return "".join([*pieces, content[done:]])


def _find(content: str, old: str, name: str) -> list[tuple[int, int]]:
    """Give the (start, end) of every occurrence."""
    if "\r" in old or "\r" not in content or "\n" not in old:
        return _occurrences(content, old, name)
    plain, shifts = _without_carriage_returns(content)
    return [(_real(start, shifts), _real(end, shifts)) for start, end in _occurrences(plain, old, name)]


def _occurrences(content: str, old: str, name: str) -> list[tuple[int, int]]:
    spans = []
    start = content.find(old)
    while start >= 0:
        end = start + len(old)
        spans.append((start, end))
        overlapping = content.find(old, start + 1, end + len(old) - 1)
        if overlapping >= 0:
            lines = _listed([_line_at(content, start), _line_at(content, overlapping)])
            raise ToolError(
                "ambiguous_match",
                f"{name}.old_text occurs at places that overlap (lines {lines}); add surrounding text.",
            )
        start = content.find(old, end)
    return spans


def _without_carriage_returns(content: str) -> tuple[str, list[int]]:
    """Turn every break into LF; with it come the plain offsets after which one more real character was dropped."""
    shifts = [found.start() + 1 - index for index, found in enumerate(re.finditer("\r\n", content))]
    return _BREAK.sub("\n", content), shifts


def _real(offset: int, shifts: list[int]) -> int:
    return offset + bisect_right(shifts, offset)


def _line_at(content: str, offset: int) -> int:
    return 1 + sum(1 for _ in _BREAK.finditer(content, 0, offset))


def _hint(content: str, old: str) -> str:
    if "\r" in old and "\r" not in content:
        return "; it has carriage returns and the file has none"
    first = next((line.strip() for line in old.splitlines() if line.strip()), "")
    near = [number for number, line in enumerate(split_lines(content), 1) if first and line.strip() == first]
    if not near:
        return "; read the file again and copy the text exactly"
    return f"; its first line occurs with other white space or another continuation at lines {_listed(near)}"


def _listed(lines: list[int]) -> str:
    more = ", ..." if len(lines) > _SHOWN else ""
    return ", ".join(str(line) for line in lines[:_SHOWN]) + more
