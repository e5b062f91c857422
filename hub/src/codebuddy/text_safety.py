"""Readable text made from untrusted words: a spoke's, a language server's, a file's.

Only the hub's own words begin at the left margin of a readable answer; other words stay in their line or are indented.
Roles have this file too, so it imports the standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MAX_LINE = 2000

_CUT = "…"
_LINE_END = re.compile(r"\r\n?|\n")
_SPACES = "\u00a0\u202f\u3000"  # spaces of ordinary prose that are not `str.isprintable`
_VERBATIM = ("content", "diff")  # of files, which are shown last, so that nothing in them can look like another field

# Control sequences of terminals (ECMA-48, 5.4 and 5.6): CSI, then OSC and other strings with their end, then the rest.
# They need no end, so that what begins one never stays: without what stood between, it would begin another.
_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]?")


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


def quoted(text: str, longest: int = 500) -> str:
    """Return text as `one_line` in double quotes, which it cannot end itself."""
    return '"' + one_line(text.replace("\\", r"\\").replace('"', r"\""), longest) + '"'


def paragraph(text: str, longest: int) -> str:
    """Return text of several lines, at most this many of its characters, and indent all lines but the first."""
    first, *rest = _LINE_END.split(text[:longest])
    shown = map(_escape, (first, *("  " + line for line in rest)))
    return "\n".join(line.rstrip() for line in shown) + (_CUT if len(text) > longest else "")


def label_lines(text: str, label: str) -> str:
    r"""Put a label before each line without escaping anything. Only ``\n`` ends a line, as in a terminal."""
    lines = text.split("\n")
    last = [lines.pop()] if text.endswith("\n") else []
    return "\n".join([*(label + line for line in lines), *last])


def labelled(text: str, label: str) -> str:
    """Put a label before each line, however it ends, and escape control characters so that no line can be forged."""
    return label_lines("\n".join(map(_escape, _LINE_END.split(text))), label) if text else ""


def json_text(value: Any) -> str:
    """Return JSON for programs and terminals: what moves a cursor or turns the direction of text is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def plain_output(text: str) -> str:
    """Return what a program printed as it is to be read: without colours, and of each overwritten line the last state.

    Tabs, spaces and all other characters stay.
    """
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def readable(answer: Mapping[str, Any]) -> str:
    """Render a structured answer as text: a line for each field and row, and below it, indented, what is inside.

    Nothing but the indentation is added to a text, tabs stay; control characters are escaped so that no line can be
    forged. The content of a file and diffs come last and exactly as they are.
    """
    last = [name for name in _VERBATIM if isinstance(answer.get(name), str)]
    lines = [line for name, value in answer.items() if name not in last for line in _field(name, value, "")]
    return "\n".join([*lines, *(f"{name}:\n{answer[name]}" for name in last)])


def _field(name: str, value: Any, indent: str) -> Iterator[str]:
    head, inner = f"{indent}{_escape(name)}:", indent + "  "
    if isinstance(value, str):
        first, *rest = _LINE_END.split(value)
        if not rest:
            yield f"{head} {_escape(first)}"
            return
        yield head
        yield from _below((first, *(rest[:-1] if rest[-1] == "" else rest)), inner)
    elif isinstance(value, Mapping) and value:
        if indent and all(isinstance(item, int | float) for item in value.values()):
            yield f"{head} {', '.join(f'{_escape(str(key))} {_scalar(item)}' for key, item in value.items())}"
            return
        yield head
        for key, item in value.items():
            yield from _field(str(key), item, inner)
    elif isinstance(value, Sequence) and value:
        if indent and all(isinstance(item, str) and item and not re.search(r"[\s,]", item) for item in value):
            yield f"{head} {', '.join(map(_escape, value))}"
            return
        yield head
        for item in value:
            yield from _row(item, inner)
    else:
        yield f"{head} {_scalar(value)}"


def _row(item: Any, indent: str) -> Iterator[str]:
    if isinstance(item, str):
        first, *rest = _LINE_END.split(item)
        yield indent + _escape(first)
        yield from _below(rest, indent + "    ")
    elif isinstance(item, Mapping) and item:
        (first_name, first_value), *others = item.items()
        head, *below = _field(first_name, first_value, indent + "  ")
        yield f"{indent}- {head.lstrip()}"
        yield from below
        for name, value in others:
            yield from _field(name, value, indent + "  ")
    else:
        yield indent + _scalar(item)


def _below(lines: Sequence[str], indent: str) -> Iterator[str]:
    return (indent + _escape(line) if line else "" for line in lines)


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) if value or value == 0 else "none"


def _escape(line: str) -> str:
    return printable(line, "\t" + _SPACES)
