"""Where a word stands in the files of a project, remembered until a file changes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

from codebuddy.agent.lsp.tree import Tree
from codebuddy.files.search import WITHOUT_TEXT, WordPlace, search_word

_MAX_WORDS: Final = 32
_MAX_PLACES: Final = 20_000
_MAX_PLACES_OF_FILE: Final = 1000

RELATIVES: Final = {
    "typescript": (".vue", ".svelte", ".astro", ".mdx"),
    "python": (".ipynb", ".pyx", ".pxd"),
    "cpp": (".cu", ".cuh", ".m", ".mm", ".cppm", ".ixx"),
}
"""Files that use code of a language and that its servers do not read, by language."""

OTHER_USERS: Final = tuple(chain.from_iterable(RELATIVES.values()))
"""The ends of the names of all such files."""


@dataclass(frozen=True)
class Occurrences:
    """Where a word stands.

    Args:
        places: by file, in the order of the walk: what ignore rules hide is among them, `TOOL_DIRECTORIES` are not.
        total: how many places.
        gap: why there may be more, in a sentence; None if there are not.
        code: those of a file that are code, as far as that was looked up.
    """

    places: dict[Path, tuple[WordPlace, ...]]
    total: int
    gap: str | None
    code: dict[Path, frozenset[WordPlace]] = field(default_factory=dict)


class Words:
    """Searches the files of a project for whole words; ``$`` belongs to a word.

    Args:
        tree: the project.
        wanted: says whether a file, by its path in the project, is searched.
        generation: returns a number that grows with each change of a file.
    """

    def __init__(self, tree: Tree, wanted: Callable[[str], bool], generation: Callable[[], int]) -> None:
        self._tree = tree
        self._wanted = wanted
        self._generation = generation
        self._found: OrderedDict[str, tuple[int, Occurrences]] = OrderedDict()

    async def find(self, word: str) -> Occurrences:
        """Return where a word stands now; changes must have been looked for (`LanguageServers.flush_changes`)."""
        generation = self._generation()
        known = self._found.get(word)
        if known is not None and known[0] == generation:
            self._found.move_to_end(word)
            return known[1]
        found = await asyncio.to_thread(self._search, word)
        self._found[word] = generation, found
        if len(self._found) > _MAX_WORDS:
            self._found.popitem(last=False)
        return found

    def _search(self, word: str) -> Occurrences:
        places: dict[Path, tuple[WordPlace, ...]] = {}
        cut, total = list[str](), 0
        entries = self._tree.entries(self._wanted, cut=cut.append, include_ignored=True)
        for file in search_word(self._tree.project, entries, word, letters=r"\w$", most=_MAX_PLACES_OF_FILE):
            if file.problem is not None:
                if file.places or file.problem.code not in WITHOUT_TEXT:
                    cut.append(f"{file.path} was not searched for {word!r}: {file.problem.message}")
            elif file.places:
                places[self._tree.root.joinpath(*file.path.parts)] = file.places
                total += len(file.places)
            if total > _MAX_PLACES:
                cut.append(f"{word!r} stands in more than {_MAX_PLACES} places of the project.")
                break
        return Occurrences(places, total, cut[0] if cut else None)
