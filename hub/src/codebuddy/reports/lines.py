"""Lines of a program's output: what every reader does with them. The program may mean ill: all of it is linear."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["MAX_LINE", "cut_message", "json_object", "number", "plain", "readable", "seconds"]

MAX_LINE = 65536  # characters that are looked at
_MAX_MESSAGE = 2000  # characters
_MAX_NUMBER = 9  # digits

# ECMA-48 5.4 (control sequences) and 5.6 (control strings, which are looked for in one line only), and other escapes.
# The bound keeps an escape that does not end from being looked through again and again.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)|[ -/]{0,8}[0-Z\\^-~])")


def plain(line: str) -> str:
    """Give a line without what colours it."""
    line = line[:MAX_LINE]
    return _ESCAPE.sub("", line) if "\x1b" in line else line


def readable(text: str, longest: int) -> str:
    """Give text that every encoder takes: JSON can name half of a surrogate pair."""
    text = text[:longest]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def cut_message(lines: Iterable[str]) -> str:
    """Join the lines of a message, without blank ones around them, up to what a report gives of one."""
    kept: list[str] = []
    size = 0
    for line in lines:
        if not kept and not line.strip():
            continue
        kept.append(line.rstrip())
        size += len(line) + 1
        if size > _MAX_MESSAGE:
            break
    return "\n".join(kept)[:_MAX_MESSAGE].rstrip()


def number(digits: str | None) -> int | None:
    """Give a line or column; none when it is none."""
    if not digits or len(digits) > _MAX_NUMBER or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits) or None


def seconds(value: object, factor: float = 1.0) -> float | None:
    """Give a duration that a tool wrote, in seconds.

    Args:
        value: a number, or the text of one.
        factor: how many seconds its unit has.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        # Surefire groups the digits: 1,234.5.
        duration = float(value[:64].replace(",", "") if isinstance(value, str) else value) * factor
    except (ValueError, OverflowError):
        return None
    return round(duration, 6) if math.isfinite(duration) and duration >= 0 else None


def json_object(line: str) -> dict[str, Any] | None:
    """Read a line that is one JSON object; none when it is not."""
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
