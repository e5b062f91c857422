"""Where the declaration of a symbol begins and ends in the lines of its file. Pure.

Servers do not agree: for one a function begins at ``def``, for another at its decorator, for a third at the comment
above; a constant may begin at its name. Here is one rule for all: to a declaration belong its whole first line, the
decorators and attributes directly above it, the comments among and directly above those, and one behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from codebuddy.tool import ToolError

__all__ = ["Declaration", "find_declaration", "indent_of", "is_comment", "is_leader"]

_MAX_LINES: Final = 100  # of one decorator or comment
_HASH_COMMENTS: Final = (".py", ".pyi", ".rb", ".sh", ".toml", ".yml", ".yaml", ".pl", ".r", ".ex", ".exs")
_PAIRS: Final = {"(": ")", "[": "]", "{": "}"}
_NAME: Final = re.compile(r"[\w.$:]+")
_TEMPLATE: Final = re.compile(r"template\s*<.*>\s*(requires\b.*)?")
_HEAD: Final = re.compile(r"\s*(\w+(\(\w+\))?\s+)*")
_REST_OF_VARIABLE: Final = re.compile(r"\s*(:|=(?!=))")


@dataclass(frozen=True)
class Declaration:
    """The declaration of a symbol. Lines count from 1.

    Args:
        top: the first line of its comments, decorators and attributes, or of itself.
        start: the line on which it begins itself.
        end: the line on which it ends.
        separator: ``;`` or ``,`` after it, if there is one; ``""`` else. Only a comment may follow.
        comments: the lines above it that are comments.
        indent: the white space before it.
    """

    top: int
    start: int
    end: int
    separator: str
    comments: tuple[int, ...]
    indent: str


def find_declaration(lines: Sequence[str], full: tuple[int, int, int, int], name_line: int, path: str) -> Declaration:
    """Find the declaration of a symbol.

    Args:
        lines: the text.
        full: what the server counts to it: line, column, end line, end column, 1-based.
        name_line: the line of its name.
        path: the file, which tells what a comment is, and for messages.

    Raises:
        ToolError: ``shares_line``: something else begins or ends on its lines.
    """
    start = _skip_leaders(lines, full[0], name_line, path)
    column = full[1] if start == full[0] else 1
    end, end_column = _end(lines, start, full[2], full[3])
    if end == start and _REST_OF_VARIABLE.match(lines[end - 1], end_column - 1):
        end, end_column = _end_of_statement(lines, end, path)
    head, tail = lines[start - 1][: column - 1], lines[end - 1][end_column - 1 :]
    separator = tail.lstrip()[:1] if tail.lstrip()[:1] in (";", ",") else ""
    if not _HEAD.fullmatch(head) or not _is_rest(tail.lstrip().removeprefix(separator), path):
        raise ToolError(
            "shares_line",
            f"The symbol shares a line with something else (line {start if not _HEAD.fullmatch(head) else end}); "
            "use edit_file.",
            path,
        )
    top, comments = _above(lines, start, path)
    return Declaration(top, start, end, separator, comments, indent_of(lines[start - 1]))


def indent_of(line: str) -> str:
    """Give the white space that a line begins with."""
    return line[: len(line) - len(line.lstrip())]


def is_comment(line: str, path: str) -> bool:
    """Say whether a line begins with a comment."""
    text = line.lstrip()
    if path.endswith(_HASH_COMMENTS):
        return text.startswith("#") and not text.startswith("#!")
    return text.startswith(("//", "/*", "--"))


def is_leader(text: str, path: str) -> bool:
    """Say whether a text is nothing but one decorator or attribute."""
    text = text.strip()
    if text.startswith("@"):
        return _is_rest(text[_end_of_decorator(text) :], path)
    if text.startswith(("#[", "[[")):
        return _is_rest(text[_end_of_bracket(text, text.index("[")) :], path)
    return bool(_TEMPLATE.fullmatch(text))


def _skip_leaders(lines: Sequence[str], line: int, name_line: int, path: str) -> int:
    """Give the first line that is no decorator, attribute, comment or blank; at the latest that of the name."""
    while line < name_line:
        if not lines[line - 1].strip():
            line += 1
            continue
        last = _end_of_leader(lines, line, path)
        if last is None or last >= name_line:
            break
        line = last + 1
    return line


def _end_of_leader(lines: Sequence[str], line: int, path: str) -> int | None:
    """Give the line on which a decorator, attribute or comment ends that begins on a line; None when none does."""
    text = lines[line - 1]
    if text.lstrip().startswith("/*"):
        return next((at for at in range(line, min(len(lines), line + _MAX_LINES) + 1) if "*/" in lines[at - 1]), None)
    if is_comment(text, path):
        return line
    if not text.lstrip().startswith(("@", "#[", "[[", "template")):
        return None
    for last in range(line, min(len(lines), line + _MAX_LINES) + 1):
        if is_leader("\n".join(lines[line - 1 : last]), path):
            return last
    return None


def _above(lines: Sequence[str], start: int, path: str) -> tuple[int, tuple[int, ...]]:
    """Give the first line of what belongs to a declaration above it, and which of those lines are comments."""
    indent, top, comments = indent_of(lines[start - 1]), start, list[int]()
    while top > 1 and lines[top - 2].strip():
        begin = _begin_of_leader(lines, top - 1, path)
        if begin is None or indent_of(lines[begin - 1]) != indent:
            break
        if is_comment(lines[begin - 1], path):
            comments += range(begin, top)
        top = begin
    return top, tuple(sorted(comments))


def _begin_of_leader(lines: Sequence[str], last: int, path: str) -> int | None:
    """Give the line on which a decorator, attribute or comment begins that ends on a line; None when none does."""
    text = lines[last - 1].strip()
    lowest = max(1, last - _MAX_LINES)
    if text.endswith("*/"):
        begin = next((at for at in range(last, lowest - 1, -1) if "/*" in lines[at - 1]), None)
        return begin if begin is not None and lines[begin - 1].lstrip().startswith("/*") else None
    if is_comment(text, path):
        return None if text.startswith("/*") else last
    for begin in range(last, lowest - 1, -1):
        if not lines[begin - 1].strip():
            return None
        if lines[begin - 1].lstrip().startswith(("@", "#[", "[[", "template")):
            return begin if is_leader("\n".join(lines[begin - 1 : last]), path) else None
        if not text.endswith((")", "]", ">")):
            return None
    return None


def _end(lines: Sequence[str], start: int, end: int, column: int) -> tuple[int, int]:
    """Give the end without the white space that some servers count to it."""
    if end > len(lines):
        end, column = len(lines), len(lines[-1]) + 1
    while end > start and not lines[end - 1][: column - 1].strip():
        end -= 1
        column = len(lines[end - 1]) + 1
    return end, len(lines[end - 1][: column - 1].rstrip()) + 1


def _end_of_statement(lines: Sequence[str], line: int, path: str) -> tuple[int, int]:
    """Give the end of an assignment of which the server counts only the name to the variable."""
    depth = 0
    for at in range(line, min(len(lines), line + _MAX_LINES) + 1):
        text = lines[at - 1]
        depth += sum(text.count(one) - text.count(other) for one, other in _PAIRS.items())
        if depth <= 0:
            return at, len(text.rstrip().rstrip(";,")) + 1
    raise ToolError("shares_line", f"What begins on line {line} does not end; use edit_file.", path)


def _is_rest(text: str, path: str) -> bool:
    return not text.strip() or is_comment(text, path) or text.lstrip().startswith(("//", "/*"))


def _end_of_decorator(text: str) -> int:
    """Give where the decorator ends that a text begins with: names and brackets one after the other."""
    at = 1
    while at < len(text):
        if text[at] in "([" and (end := _end_of_bracket(text, at)) > at:
            at = end
        elif name := _NAME.match(text, at):
            at = name.end()
        else:
            break
    return at


def _end_of_bracket(text: str, at: int) -> int:
    """Give where the bracket closes that opens at a place; the place itself when it does not close."""
    open_brackets, quote = list[str](), ""
    for index in range(at, len(text)):
        letter = text[index]
        if quote:
            quote = "" if letter == quote and text[index - 1] != "\\" else quote
        elif letter in "\"'":
            quote = letter
        elif letter in _PAIRS:
            open_brackets.append(_PAIRS[letter])
        elif open_brackets and letter == open_brackets[-1]:
            open_brackets.pop()
            if not open_brackets:
                return index + 1
    return at
