"""Readable text made from untrusted words: a spoke's, a language server's, a file's.

Only the hub's own words begin at the left margin of a readable answer; other words stay in their line or are indented.
"""

from __future__ import annotations

import re

MAX_LINE = 2000
MAX_PARAGRAPH = 5000

_CUT = "…"
_LINE_END = re.compile(r"\r\n?|\n")
_SPACES = "\u00a0\u202f\u3000"  # spaces of ordinary prose that are not `str.isprintable`


def printable(text: str, kept: str = "") -> str:
    """Escape control characters, line breaks and direction marks, except the characters in ``kept``."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode("ascii") for char in text
    )


def one_line(text: str, longest: int = MAX_LINE) -> str:
    """Return text as a single line of at most this many of its characters; a tab becomes a space."""
    shown = printable(text[:longest].replace("\t", " "), _SPACES)
    return shown if len(text) <= longest else shown + _CUT


def paragraph(text: str, indent: int = 2, longest: int = MAX_PARAGRAPH) -> str:
    """Return text of several lines, at most this many of its characters, and indent all lines but the first."""
    first, *rest = _LINE_END.split(text[:longest])
    shown = map(_escape_line, (first, *(" " * indent + line for line in rest)))
    return "\n".join(line.rstrip() for line in shown) + (_CUT if len(text) > longest else "")


def label_lines(text: str, label: str) -> str:
    r"""Put a label before each line without escaping anything. Only ``\n`` ends a line, as in a terminal."""
    lines = text.split("\n")
    last = [lines.pop()] if text.endswith("\n") else []
    return "\n".join([*(label + line for line in lines), *last])


def labelled(text: str, label: str) -> str:
    """Put a label before each line, however it ends, and escape control characters so that no line can be forged."""
    return label_lines("\n".join(map(_escape_line, _LINE_END.split(text))), label) if text else ""


def _escape_line(line: str) -> str:
    return printable(line.expandtabs(4), _SPACES)
