"""The cells of Jupyter notebooks: their text, and where each character of it stands in the notebook's JSON."""

from __future__ import annotations

import json
import re
import sys
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final

from codebuddy.agent.code.places import Span
from codebuddy.agent.lsp.positions import split_lines
from codebuddy.files.text import LINE_BREAK

_DECODE: Final = json.JSONDecoder().raw_decode
_SPACE: Final = re.compile(r"[ \t\n\r]*")
# A character of a JSON string: a surrogate pair, another escape, or itself.
_CHARACTER: Final = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|.")


class UnknownCell(ValueError):
    """A notebook has no such cell, or its cells cannot be read."""


@dataclass(frozen=True)
class Cell:
    """A cell: its lines, and where they are written in the JSON of its notebook."""

    lines: list[str]
    _starts: list[int]  # of its lines, in characters of the cell
    _characters: list[tuple[int, int]]  # where each of its characters begins and ends in the JSON
    _json_starts: list[int]  # of the lines of the JSON

    def in_notebook(self, span: Span, *, to_edit: bool = False) -> Span:
        """Return where a stretch of the cell stands in the JSON.

        Raises:
            UnknownCell: the cell is empty, or what is to be edited is written in several strings.
        """
        start = self._starts[span.line - 1] + span.column - 1
        end = self._starts[span.end_line - 1] + span.end_column - 1
        written = self._characters[start:end] or self._characters[start:][:1] or self._characters[-1:]
        if not written:
            raise UnknownCell("The cell is empty.")
        if to_edit and any(before[1] != after[0] for before, after in pairwise(written)):
            raise UnknownCell("An edit of several lines of a notebook's cell cannot be made.")
        first = written[0][0] if start < len(self._characters) else written[0][1]
        return Span(*self._place(first), *self._place(written[-1][1] if end > start else first))

    def contains(self, line: int, column: int) -> bool:
        """Say whether a place in the JSON is one of the cell's characters."""
        offset = self._json_starts[line - 1] + column - 1
        number = bisect_right(self._characters, (offset, sys.maxsize))
        return number > 0 and offset < self._characters[number - 1][1]

    def _place(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._json_starts, offset)
        return line, offset - self._json_starts[line - 1] + 1


def cells_of(lines: list[str]) -> list[Cell]:
    """Return the Python cells of a notebook, in their order; basedpyright names each by its number, from 0.

    Args:
        lines: those of its file.

    Raises:
        UnknownCell: the file is no notebook.
    """
    text, json_starts = "\n".join(lines), [0, *accumulate(len(line) + 1 for line in lines)]
    try:
        json.loads(text)  # that it is valid is assumed from here on
        cells = _value(text, _skip(text, 0), "cells")
        if text[cells] != "[":
            raise TypeError("cells are a list")
        return [_cell(text, at, json_starts) for _, cell, at, _ in _parts(text, cells) if _is_python(cell)]
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError):
        raise UnknownCell("This file is no notebook whose cells can be read.") from None


def _cell(text: str, at: int, json_starts: list[int]) -> Cell:
    source = _value(text, at, "source")
    if text[source] == "[":
        strings = [(start, end) for _, _, start, end in _parts(text, source)]
    else:
        strings = [(source, _DECODE(text, source)[1])]
    content = "".join(_DECODE(text, start)[0] for start, _ in strings)
    characters = [
        match.span() for start, end in strings for match in _CHARACTER.finditer(text, start + 1, end - 1)
    ]  # without the quotes
    starts = [0, *(match.end() for match in LINE_BREAK.finditer(content))]
    return Cell(split_lines(content), starts, characters, json_starts)


def escaped(text: str) -> str:
    """Return a text as it is written in a string of JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _is_python(cell: dict[str, Any]) -> bool:
    """Say whether basedpyright counts a cell (``getIPythonCells`` in its ``sourceFile.ts``)."""
    told = cell["metadata"].get("vscode")
    language = told.get("languageId", "python") if isinstance(told, dict) else "python"
    return cell["cell_type"] == "code" and language == "python"


def _value(text: str, at: int, key: str) -> int:
    """Return where the value of a key begins, in the object that begins at a place."""
    return {name: start for name, _, start, _ in _parts(text, at)}[key]


def _parts(text: str, at: int) -> Iterator[tuple[str | None, Any, int, int]]:
    """Yield each value in the object or array that begins at a place, with its key, and where it begins and ends."""
    named, at = text[at] == "{", _skip(text, at + 1)
    while text[at] not in "]}":
        key = None
        if named:
            key, at = _DECODE(text, at)
            at = _skip(text, _skip(text, at) + 1)  # behind the colon
        value, end = _DECODE(text, at)
        yield key, value, at, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
