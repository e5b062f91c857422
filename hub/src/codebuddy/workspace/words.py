"""Where a word stands in the text files of a project: as a whole word, in code, comments and strings alike."""

from __future__ import annotations

import re
from dataclasses import dataclass

from codebuddy.errors import ToolError
from codebuddy.workspace.confinement import ProjectRoot
from codebuddy.workspace.paths import WorkspacePath
from codebuddy.workspace.patterns import compile_search
from codebuddy.workspace.reading import read_bytes
from codebuddy.workspace.search import Position, Query, search_text
from codebuddy.workspace.text import content_hash, decode, split_lines
from codebuddy.workspace.walking import Bounds

__all__ = ["WordFile", "WordPlace", "find_word"]

_MAX_MATCHES = 20_000
_MAX_FILES = 2000
_LINE_CHARS = 400


@dataclass(frozen=True)
class WordPlace:
    """Where a word begins, 1-based, in code points; and the text of the line, or its beginning."""

    line: int
    column: int
    line_text: str


@dataclass(frozen=True)
class WordFile:
    """A file that has a word.

    Args:
        path: which.
        hash: of its content.
        places: where the word stands in it.
    """

    path: WorkspacePath
    hash: str
    places: tuple[WordPlace, ...]


def find_word(root: ProjectRoot, word: str, bounds: Bounds) -> list[WordFile]:
    """Find a word in all text files of a project that no ignore rule hides.

    Raises:
        ToolError: ``too_many_matches``, ``timed_out``: not all of them can be told.
    """
    query = Query(compile_search(word, regex=False, case_sensitive=True), limit=_MAX_MATCHES, answer_chars=100_000_000)
    page = search_text(root, query, bounds, Position())
    paths = list(dict.fromkeys(match.path for _, match in page.found))
    if page.reason is not None or len(paths) > _MAX_FILES:
        code = "timed_out" if page.reason == "timed_out" else "too_many_matches"
        raise ToolError(
            code, f"The word {word!r} stands in more places of {root.project} than can be looked at.", root.project
        )
    whole = re.compile(rf"(?<![\w$]){re.escape(word)}(?![\w$])")
    found = [_look(root, WorkspacePath.parse(path), whole) for path in paths]
    return [file for file in found if file is not None and file.places]


def _look(root: ProjectRoot, path: WorkspacePath, word: re.Pattern[str]) -> WordFile | None:
    try:
        data = read_bytes(root, path)
        lines = split_lines(decode(data).content)
    except ToolError:
        return None  # it went, or changed into what is no text, since it was searched
    places = [
        WordPlace(number, match.start() + 1, line.rstrip("\r\n")[:_LINE_CHARS])
        for number, line in enumerate(lines, 1)
        for match in word.finditer(line)
    ]
    return WordFile(path, content_hash(data), tuple(places))
