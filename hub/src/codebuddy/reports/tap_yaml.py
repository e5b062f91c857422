"""The diagnostics below a test of TAP: the part of YAML that is written there."""

from __future__ import annotations

import re

__all__ = ["TapYaml"]

_KEY = re.compile(r"([A-Za-z_]\w{0,40}):(?: (.*))?\Z")
_MAX_LINES = 400
_MAX_TEXT = 100  # lines of a value
_BLOCKS = frozenset({"|", "|-", "|+", ">", ">-", ">+"})


class TapYaml:
    """Takes the lines between ``---`` and ``...``; of nested mappings the keys that no outer one has."""

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}
        self._state = "before"
        self._indent = 0
        self._count = 0
        self._block: list[str] | None = None
        self._block_indent = 0

    def get(self, key: str) -> str | None:
        """Give a value of one line; none when it is not there, or null."""
        value = self._values.get(key)
        return value[0] if value and value[0] not in {"", "~", "null"} else None

    def text(self, key: str) -> list[str]:
        """Give the lines of a value; none when it is not there."""
        return [] if self.get(key) is None and len(self._values.get(key, ())) < 2 else self._values[key]

    def feed(self, line: str, indent: int) -> bool:
        """Take the next line after a test, and say whether it was one of its diagnostics.

        Args:
            line: with its indentation.
            indent: the test's own indentation.
        """
        if self._state == "after":
            return False
        text = line.strip()
        own = len(line) - len(line.lstrip(" "))
        if self._state == "before":
            inside = text == "---" and own > indent
            self._state, self._indent = ("inside", own) if inside else ("after", 0)
            return inside
        self._count += 1
        if (text == "..." and own <= self._indent) or self._count > _MAX_LINES or (text and own < self._indent):
            self._state = "after"
            return text == "..."
        self._line(line, text, own)
        return True

    def _line(self, line: str, text: str, own: int) -> None:
        if self._block is not None:
            if not text or own > self._block_indent:
                if len(self._block) < _MAX_TEXT:
                    self._block.append(line[self._block_indent + 2 :])
                return
            self._block = None
        found = _KEY.match(text)
        if found is None:
            return
        value = (found[2] or "").strip()
        lines = [] if value in _BLOCKS else [_unquoted(value)]
        if own == self._indent or found[1] not in self._values:
            self._values[found[1]] = lines
        if value in _BLOCKS:
            self._block, self._block_indent = lines, own


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1].replace("''", "'")
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return value
