"""Readable text from words that are not trusted: a spoke's, a language server's, a file's.

What stands at the margin of a readable answer is the hub's own: words of others stay in their line, or further in.
"""

from __future__ import annotations

import re

MAX_LINE = 2000
MAX_PARAGRAPH = 5000

_CUT = "…"
_LINE_END = re.compile(r"\r\n?|\n")
_SPACES = "\u00a0\u202f\u3000"  # printed as what they are in prose, though not `str.isprintable`


def printable(text: str, kept: str = "") -> str:
    """Escape control characters, line breaks and direction marks.

    Args:
        text: anything.
        kept: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode("ascii") for char in text
    )


def one_line(text: str, longest: int = MAX_LINE) -> str:
    """Give words that have one line in it: what would break the line is escaped, a tab is a space.

    Args:
        text: anything.
        longest: how many of its characters are shown.
    """
    shown = printable(text[:longest].replace("\t", " "), _SPACES)
    return shown if len(text) <= longest else shown + _CUT


def paragraph(text: str, indent: int = 2, longest: int = MAX_PARAGRAPH) -> str:
    """Give words that may have several lines; those after the first are further in, and tabs are spaces.

    Args:
        text: anything.
        indent: how far in, in spaces.
        longest: how many of its characters are shown.
    """
    first, *rest = _LINE_END.split(text[:longest])
    shown = map(_escaped, (first, *(" " * indent + line for line in rest)))
    return "\n".join(line.rstrip() for line in shown) + (_CUT if len(text) > longest else "")


def label_lines(text: str, label: str) -> str:
    r"""Put a label before each line; nothing is escaped. Only ``\n`` ends a line, as in a terminal."""
    lines = text.split("\n")
    last = [lines.pop()] if text.endswith("\n") else []
    return "\n".join([*(label + line for line in lines), *last])


def labelled(text: str, label: str) -> str:
    """Put a label before each line, whatever ends it, and escape what a terminal would obey: no line is forged.

    Args:
        text: anything; that it ends with a line's end, or does not, stays so.
        label: whose words they are.
    """
    return label_lines("\n".join(map(_escaped, _LINE_END.split(text))), label) if text else ""


def _escaped(line: str) -> str:
    return printable(line.expandtabs(4), _SPACES)
