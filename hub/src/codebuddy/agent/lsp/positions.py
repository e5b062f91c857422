"""Positions: 1-based lines and columns in Unicode code points, and the same in the encoding agreed with a server.

LSP counts lines and characters from 0, and characters in units of the negotiated ``positionEncoding`` (LSP 3.17,
"Position"). Nothing else in CodeBuddy knows about those units.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypedDict, get_args

COUNT_CODE_POINTS: Final = ("pylsp",)
"""They count columns in code points and do not say so: python-lsp-server takes and gives jedi's columns as they are.
One that learns to do it right will say so, and what it says goes before this."""

GIVE_WHOLE_TEXTS: Final = ("pylsp",)
"""A rename gives the whole text of each file, with an end of range that is wrong in a file without line break."""

CHANGE_TEXT_ONLY: Final = ("pylsp",)
"""A module is renamed without its file, and by another name also the thing itself but not its imports."""

INDEX_LATE: Final = ("clangd",)
"""Until a document is compiled they answer from the index of the text before, and complete with whatever has a name
anywhere. The symbols of a document come after that only."""


Encoding = Literal["utf-8", "utf-16", "utf-32"]

OFFERED_ENCODINGS: Final[list[Encoding]] = ["utf-8", "utf-16"]

# Not str.splitlines(): that also splits on form feeds, U+2028 and others, which servers count as ordinary characters.
_LINE_END = re.compile(r"\r\n|\n|\r")


class Position(TypedDict):
    """A place as the protocol writes it: both numbers count from 0."""

    line: int
    character: int


def agreed_encoding(answered: object, server: object = None) -> Encoding:
    """Give the encoding that a server counts in.

    Args:
        answered: its ``positionEncoding``; the protocol's default, and the answer to nonsense, is UTF-16.
        server: what it calls itself, for those that say nothing and do not count in the default.
    """
    unsaid: Encoding = "utf-32" if server in COUNT_CODE_POINTS else "utf-16"
    return next((encoding for encoding in get_args(Encoding) if encoding == answered), unsaid)


def decode_text(data: bytes) -> str:
    """Give the text of a file, without a byte-order mark; bytes that are not UTF-8 become U+FFFD."""
    return data.decode("utf-8-sig", "replace")


def clean(text: str) -> str:
    """Give a server's words as they can be written; halves of surrogate pairs become ``?``."""
    return text.encode("utf-8", "replace").decode("utf-8")


def split_lines(text: str) -> list[str]:
    r"""Split on ``\r\n``, ``\n`` and ``\r`` only; there is always one line more than there are line ends."""
    if "\r" in text:
        return _LINE_END.split(text)
    return text.split("\n")  # the same, and ten times as quick; nearly every file


def told_lines(lines: list[str]) -> str:
    """Say how many lines a text has, for people; as in `read_file`, a final line break does not begin another one."""
    count = len(lines) - (lines[-1] == "")
    return "1 line" if count == 1 else f"{count} lines"


def to_lsp(lines: list[str], line: int, column: int, encoding: Encoding) -> Position:
    """Turn a 1-based line and column into a position; the column after the last character is allowed.

    Raises:
        ValueError: the text has no such place; the message says what it has.
    """
    if not 1 <= line <= len(lines):
        raise ValueError(f"there is no line {line}: the file has {told_lines(lines)}")
    text = lines[line - 1]
    if not 1 <= column <= len(text) + 1:
        raise ValueError(f"there is no column {column} in line {line}: it has {len(text)} characters")
    return {"line": line - 1, "character": _units(text[: column - 1], encoding)}


def from_lsp(lines: list[str], position: Position, encoding: Encoding) -> tuple[int, int]:
    """Turn a position into a 1-based line and column.

    A position past the end means the end (LSP 3.17, "Position"); one inside a character means its start.
    """
    index = max(0, position["line"])
    if index >= len(lines):
        return len(lines), len(lines[-1]) + 1
    return index + 1, _column(lines[index], position["character"], encoding)


def _units(text: str, encoding: Encoding) -> int:
    if encoding == "utf-32" or text.isascii():
        return len(text)
    if encoding == "utf-16":
        return len(text) + sum(character > "\uffff" for character in text)
    return len(text.encode("utf-8", "surrogatepass"))


def _column(text: str, character: int, encoding: Encoding) -> int:
    if encoding == "utf-32" or text.isascii():
        return min(max(0, character), len(text)) + 1
    units = 0
    for index, point in enumerate(text):
        units += _units(point, encoding)
        if units > character:
            return index + 1
    return len(text) + 1
