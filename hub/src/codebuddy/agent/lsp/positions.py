"""Positions: 1-based lines and columns in Unicode code points, and the same in the encoding agreed with a server.

LSP counts lines and characters from 0, and characters in units of the negotiated ``positionEncoding`` (LSP 3.17,
"Position"). Nothing else in CodeBuddy knows those units. Servers that deviate from the protocol are listed here too.
"""

from __future__ import annotations

from typing import Final, Literal, TypedDict, get_args

from codebuddy.files.text import LINE_BREAK

Encoding = Literal["utf-8", "utf-16", "utf-32"]

OFFERED_ENCODINGS: Final[list[Encoding]] = ["utf-8", "utf-16"]

COUNT_CODE_POINTS: Final = ("pylsp",)
"""Servers that count columns in code points without announcing it: python-lsp-server passes on jedi's columns.
An announced encoding takes precedence, in case one of them is fixed."""

GIVE_WHOLE_TEXTS: Final = ("pylsp",)
"""Servers whose rename gives the whole text of each file, with a wrong end of range if the file has no line break."""

CHANGE_TEXT_ONLY: Final = ("pylsp",)
"""Servers that rename a module without its file and, when started at an alias, a symbol without its imports."""

UPDATE_NAMES_ONLY: Final = ("ty", "basedpyright", "rust-analyzer")
"""Servers that update imports of what gets another name, and nothing, or the wrong thing, when it gets to another
directory."""

INDEX_LATE: Final = ("clangd",)
"""Servers that answer from the index of the previous text until a document is compiled, and complete with any name
of the project. Only the symbols of a document wait for the compilation."""

READ_NOTEBOOKS: Final = ("basedpyright",)
"""Servers whose answers include the cells of notebooks."""


class Position(TypedDict):
    """A place as the protocol writes it: both numbers count from 0."""

    line: int
    character: int


def agreed_encoding(announced: object, server: object = None) -> Encoding:
    """Return the encoding of a server's positions, by its ``positionEncoding`` and its name in ``serverInfo``.

    The protocol's default, also for an unknown value, is UTF-16.
    """
    default: Encoding = "utf-32" if server in COUNT_CODE_POINTS else "utf-16"
    return next((encoding for encoding in get_args(Encoding) if encoding == announced), default)


def decode_text(data: bytes) -> str:
    """Return the text of a file, without a byte order mark; bytes that are not UTF-8 become U+FFFD."""
    return data.decode("utf-8-sig", "replace")


def clean(text: str) -> str:
    """Make a server's text encodable as UTF-8; lone surrogates become ``?``."""
    return text.encode("utf-8", "replace").decode("utf-8")


def split_lines(text: str) -> list[str]:
    r"""Split on ``\r\n``, ``\n`` and ``\r`` only; there is always one line more than there are line ends."""
    if "\r" in text:
        return LINE_BREAK.split(text)
    return text.split("\n")  # the same result ten times faster, for nearly every file


def told_lines(lines: list[str]) -> str:
    """Say how many lines a text has; as in `read_file`, a final line break does not begin another line."""
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
