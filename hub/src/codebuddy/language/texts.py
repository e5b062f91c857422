"""Texts of small files that answers name again and again: kept, and looked up by the file's stamp."""

from __future__ import annotations

import codecs
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from codebuddy.language.positions import decode_text, split_lines

if TYPE_CHECKING:
    from codebuddy.language.tree import Stamp, Tree

__all__ = ["Texts"]

_MAX_KEPT: Final = 32
_MAX_BYTES: Final = 64 * 1024

# Two writes within one tick of the file system's clock leave the same stamp: what was written just now is not kept.
_UNSURE_NS: Final = 100_000_000


class _Text(NamedTuple):
    lines: list[str]
    marked: bool


class Texts:
    """The files of a project as lines, those that are small and were read lately without reading them again.

    Args:
        tree: the project.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._kept: OrderedDict[Path, tuple[Stamp, _Text]] = OrderedDict()

    def lines(self, path: Path) -> list[str]:
        """Give the lines that a file has now; they are not to be changed.

        Raises:
            ToolError: it cannot be read.
        """
        return self._text(path).lines

    def begins_with_mark(self, path: Path) -> bool:
        """Say whether a file begins with a byte order mark.

        Raises:
            ToolError: it cannot be read.
        """
        return self._text(path).marked

    def _text(self, path: Path) -> _Text:
        kept = self._kept.get(path)
        if kept is not None and kept[0] == self._tree.stamp(path):
            self._kept.move_to_end(path)
            return kept[1]
        self._kept.pop(path, None)
        data, stamp = self._tree.read(path)
        text = _Text(split_lines(decode_text(data)), data.startswith(codecs.BOM_UTF8))
        if len(data) <= _MAX_BYTES and time.time_ns() - stamp.mtime_ns > _UNSURE_NS:
            self._kept[path] = stamp, text
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return text
