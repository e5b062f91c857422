"""Which places of a file are code, and not in a comment or a string."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Final

from codebuddy.agent.code.notebooks import UnknownCell, cells_of
from codebuddy.agent.lsp.tree import Tree
from codebuddy.files.search import WordPlace
from codebuddy.tool import ToolError

# Text may be hostile: what has no end reaches to that of the text, so that none of it is looked at twice.
_COMMENT: Final = r"//[^\n]*|/\*(?s:.*?)(?:\*/|\Z)"
_DOUBLE: Final = r'"(?:\\.|[^"\\\n])*"'
_SINGLE: Final = r"'(?:\\.|[^'\\\n])*'"
_TRIPLE: Final = r'"""(?s:\\.|.)*?(?:"""|\Z)|' + r"'''(?s:\\.|.)*?(?:'''|\Z)"
_SCRIPT: Final = re.compile(rf"{_COMMENT}|{_DOUBLE}|{_SINGLE}|(?P<mixed>`(?:\\(?s:.)|[^`\\])*`)|<!--(?s:.*?)(?:-->|\Z)")
_EXPRESSION: Final = re.compile(r"\{[^{}]*\}")
_PATTERNS: Final = {
    ".py": re.compile(
        rf"(?P<mixed>(?:[fFtT][rR]?|[rR][fFtT])(?:{_TRIPLE}|{_DOUBLE}|{_SINGLE}))"
        rf"|#[^\n]*|{_TRIPLE}|{_DOUBLE}|{_SINGLE}"
    ),
    ".go": re.compile(rf"{_COMMENT}|{_DOUBLE}|'(?:\\.|[^'\\\n])+'|`[^`]*`"),
    ".rs": re.compile(
        rf'{_COMMENT}|\bb?r(?P<marks>#*)"(?s:.*?)(?:"(?P=marks)|\Z)|"(?:\\(?s:.)|[^"\\])*"|\'(?:\\[^\'\n]+|[^\\\'\n])\''
    ),
    ".cpp": re.compile(rf'{_COMMENT}|R"(?P<mark>[^(\s]*)\((?s:.*?)(?:\)(?P=mark)"|\Z)|{_DOUBLE}|{_SINGLE}'),
}
_SAME_AS: Final = {
    ".pyi": ".py",
    ".pyx": ".py",
    ".pxd": ".py",
    **dict.fromkeys((".c", ".h", ".cc", ".cxx", ".hh", ".hpp", ".hxx", ".ipp", ".inl", ".cu", ".cuh"), ".cpp"),
    **dict.fromkeys((".m", ".mm", ".cppm", ".ixx"), ".cpp"),
}
_SCRIPTS: Final = (".ts", ".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs", ".jsx", ".vue", ".svelte", ".astro", ".mdx")


def code_places(tree: Tree, file: Path, places: Sequence[WordPlace]) -> list[WordPlace]:
    """Return those of some places of a file that are code; all of them if its language is not known here."""
    if file.suffix == ".ipynb":
        return _in_cells(tree, file, places)
    pattern = _SCRIPT if file.suffix in _SCRIPTS else _PATTERNS.get(_SAME_AS.get(file.suffix, file.suffix))
    if pattern is None:
        return list(places)
    try:
        lines = tree.lines(file)
    except ToolError:
        return list(places)
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    begins, ends = _spans(pattern, "\n".join(lines))

    def is_code(at: WordPlace) -> bool:
        if at.line > len(lines):
            return True
        offset = starts[at.line - 1] + at.column - 1
        number = bisect_right(begins, offset)
        return number == 0 or ends[number - 1] <= offset

    return [at for at in places if is_code(at)]


def _in_cells(tree: Tree, file: Path, places: Sequence[WordPlace]) -> list[WordPlace]:
    try:
        cells = cells_of(tree.lines(file))
    except (ToolError, UnknownCell):
        return list(places)
    return [at for at in places if any(cell.contains(at.line, at.column) for cell in cells)]


@lru_cache(maxsize=32)
def _spans(pattern: re.Pattern[str], text: str) -> tuple[list[int], list[int]]:
    """Return where the comments and strings of a text begin and end."""
    spans: list[tuple[int, int]] = []
    for match in pattern.finditer(text):
        start, end = match.span()
        if match.groupdict().get("mixed") is not None:  # a string with expressions in it, which are code
            for expression in _EXPRESSION.finditer(text, start, end):
                spans.append((start, expression.start()))
                start = expression.end()
        spans.append((start, end))
    return [begin for begin, _ in spans], [end for _, end in spans]
