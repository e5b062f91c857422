"""Which of a project's files have a word in them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from codebuddy.language.tree import Tree
from codebuddy.tool import ToolError

__all__ = ["Looked", "look_for_word"]

_READ_AT_ONCE: Final = 50


class Looked(NamedTuple):
    """Some of the files of a project.

    Args:
        files: how many.
        found: those with the word.
        refused: those that could not be read, but for what is gone, and why.
        cut: why these are the last though there are more, if so.
    """

    files: int
    found: list[Path]
    refused: list[tuple[Path, ToolError]]
    cut: str | None = None


async def look_for_word(tree: Tree, word: str, wanted: Callable[[str], bool]) -> AsyncIterator[Looked]:
    """Look for a word in the files of a project, some at a time: whoever has enough stops.

    Args:
        tree: the project.
        word: the word; nothing that can belong to a word stands beside it.
        wanted: whether a file is looked at, by its path in the project.
    """
    pattern = re.compile(rb"(?<!\w)" + re.escape(word.encode("utf-8", "replace")) + rb"(?!\w)")
    cut: list[str] = []
    walk = tree.files(wanted, cut=cut.append)
    while some := await asyncio.to_thread(lambda: list(islice(walk, _READ_AT_ONCE))):
        yield await asyncio.to_thread(partial(_look, tree, some, pattern))
    if cut:
        yield Looked(0, [], [], cut[0])


def _look(tree: Tree, paths: list[Path], pattern: re.Pattern[bytes]) -> Looked:
    found, refused = list[Path](), list[tuple[Path, ToolError]]()
    for path in paths:
        try:
            data, _ = tree.read(path)
        except ToolError as error:
            if error.code != "not_found":
                refused.append((path, error))
            continue
        if pattern.search(data):
            found.append(path)
    return Looked(len(paths), found, refused)
