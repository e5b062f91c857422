"""Places in files as tools write them, and which of them are the project's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from codebuddy.reports.lines import number

__all__ = ["Place", "is_own", "place", "places_in", "stack_place"]

_FOREIGN_PARTS = frozenset({"site-packages", "dist-packages", "node_modules", ".venv", ".cargo", "rustlib"})
_FOREIGN_ROOTS = ("/usr/", "/opt/", "/rustc/", "/lib/", "/tmp/rustdoctest")  # noqa: S108 - of tools and libraries
_NUMBERED = re.compile(r"(\.[A-Za-z0-9_]{1,8})[:(]([0-9]{1,9})")
_PATH_CHARACTER = re.compile(r"[\w./@+~-]")
_MAX_PATH = 300  # characters of a path that is searched for in prose
_MAX_PLACES = 50
_LONGEST_PATH = 4096


class Place(NamedTuple):
    """A line of a file, counted from 1."""

    path: str
    line: int


def place(path: str, line: str | None) -> Place | None:
    """Give a place from the parts that a tool wrote; none when it is none."""
    numbered = number(line)
    return Place(path, numbered) if path and numbered and len(path) <= _LONGEST_PATH else None


def is_own(path: str, root: str | None) -> bool:
    """Say whether a file is the project's own, and not a library's or the tool's.

    Args:
        path: as a tool gives it.
        root: the directory that the tool ran in; without it, absolute paths are judged by where libraries lie.
    """
    if path.startswith(("<", "node:", "../")) or not _FOREIGN_PARTS.isdisjoint(path.split("/")):
        return False
    if not path.startswith("/"):
        return bool(path)
    if root is not None:
        return PurePosixPath(path).is_relative_to(root)
    return not path.startswith(_FOREIGN_ROOTS)


def places_in(text: str) -> Iterator[Place]:
    """Give the first places in prose, written as ``path:line`` or ``path(line``."""
    for count, found in enumerate(_NUMBERED.finditer(text)):
        if count == _MAX_PLACES:
            return
        stem = _last_word(text[max(0, found.start() - _MAX_PATH) : found.start()])
        if stem and (given := place(stem + found[1], found[2])):
            yield given


def _last_word(text: str) -> str:
    start = len(text)
    while start and _PATH_CHARACTER.match(text[start - 1]):
        start -= 1
    word = text[start:]
    return word.removeprefix("//")  # file:///path


def stack_place(line: str) -> Place | None:
    """Give the place of a line of a JavaScript stack, like ``at name (file:///path:line:column)``."""
    text = line.strip().removeprefix("at ").removeprefix("async ")
    if text.endswith(")"):
        text = text[text.rfind("(") + 1 : -1]
    path, _, rest = text.partition("://")
    path = unquote(rest[:4096]) if path == "file" else text
    parts = path.rsplit(":", 2)
    if len(parts) != 3 or number(parts[2]) is None:
        return None
    return place(parts[0], parts[1])
