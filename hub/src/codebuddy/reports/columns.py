"""Columns as GCC counts them: cells of a terminal."""

from __future__ import annotations

import unicodedata

__all__ = ["from_display"]

_TAB = 8  # GCC manual, -ftabstop
_WIDE = frozenset({"W", "F"})
_MARKS = frozenset({"Mn", "Me", "Cf"})


def from_display(text: str, column: int) -> int:
    """Give the column in code points, counted from 1, of a column in cells (GCC manual, -fdiagnostics-column-unit).

    Args:
        text: the line.
        column: counted from 1; one behind the line's end gives the column after its last character.
    """
    cells = 0
    for index, character in enumerate(text):
        cells += _width(character, cells)
        if cells >= column:
            return index + 1
    return len(text) + 1


def _width(character: str, cells: int) -> int:
    if character == "\t":
        return _TAB - cells % _TAB
    if character.isascii():
        return 1
    if unicodedata.category(character) in _MARKS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1
