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
_SCRIPT: Final = rf"(?<!:){_COMMENT}|{_DOUBLE}|{_SINGLE}|(?P<mixed>`)|<!--(?s:.*?)(?:-->|\Z)|/"
_PYTHON: Final = rf"\b(?:[fFtT][rR]?|[rR][fFtT])(?P<mixed>\"\"\"|'''|\"|')|#[^\n]*|{_TRIPLE}|{_DOUBLE}|{_SINGLE}"
_PATTERNS: Final = {
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
    **dict.fromkeys((".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs", ".jsx"), ".ts"),
    **dict.fromkeys((".svelte", ".astro", ".mdx"), ".vue"),
    **dict.fromkeys((".c", ".h", ".cc", ".cxx", ".hh", ".hpp", ".hxx", ".ipp", ".inl", ".cu", ".cuh"), ".cpp"),
    **dict.fromkeys((".m", ".mm", ".cppm", ".ixx"), ".cpp"),
}

# By what closes a string that has expressions in it: where its text, or a part of it, ends.
_STOPS: Final = {
    "`": re.compile(r"\\(?s:.)|`|\$\{"),
    **{quote: re.compile(rf"\\[^{{]|\{{\{{|\n|{quote}|\{{") for quote in ('"', "'")},
    **{quote: re.compile(rf"\\[^{{]|\{{\{{|{quote}|\{{") for quote in ('"""', "'''")},
}

# Of scripts. What stands between quotes in text of JSX, as in "it's {this}, isn't it", is no string.
_BEFORE_STRING: Final = re.compile(
    r"(?<![\w$])(?:return|case|typeof|in|of|from|import|export|default|else|await|yield)$"
)
_BEFORE_EXPRESSION: Final = re.compile(r"(?:[(,=:\[!&|?;+{]|=>|\breturn|^)$")
_REGULAR_EXPRESSION: Final = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n]){1,200}\]|[^/*\\\[\n]){1,500}/")
_LOOK_BACK: Final = 20


def code_places(tree: Tree, file: Path, places: Sequence[WordPlace]) -> list[WordPlace]:
    """Return those of some places of a file that are code; all of them if its language is not known here."""
    if file.suffix == ".ipynb":
        return _in_cells(tree, file, places)
    kind = _SAME_AS.get(file.suffix, file.suffix)
    if kind not in _PATTERNS and kind not in _SCANNERS:
        return list(places)
    try:
        lines = tree.lines(file)
    except ToolError:
        return list(places)
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    begins, ends = _spans(kind, "\n".join(lines))

    def is_code(at: WordPlace) -> bool:
        if at.line > len(lines):
            return True
        offset = starts[at.line - 1] + at.column - 1
        number = bisect_right(begins, offset)
        return number == 0 or ends[number - 1] <= offset

    return [at for at in places if is_code(at)]


def has_spans(suffix: str) -> bool:
    """Say whether the comments and strings of such files are known."""
    return _SAME_AS.get(suffix, suffix) in _PATTERNS.keys() | _SCANNERS.keys()


def masked(text: str, suffix: str) -> str:
    """Return a text, of the same length, with spaces for its comments and underscores for its strings."""
    kind, parts, at = _SAME_AS.get(suffix, suffix), list[str](), 0
    for begin, end in zip(*_spans(kind, text), strict=True):
        found = text[begin:end]
        is_comment = found.startswith(("#", "//", "/*", "<!--"))
        parts += [text[at:begin], re.sub(r"[^\n]", " " if is_comment else "_", found)]
        at = end
    return "".join([*parts, text[at:]])


def _in_cells(tree: Tree, file: Path, places: Sequence[WordPlace]) -> list[WordPlace]:
    try:
        cells = cells_of(tree.lines(file))
    except (ToolError, UnknownCell):
        return list(places)
    return [at for at in places if any(cell.contains(at.line, at.column) for cell in cells)]


@lru_cache(maxsize=32)
def _spans(kind: str, text: str) -> tuple[list[int], list[int]]:
    """Return where the comments and strings of a text begin and end."""
    if kind in _PATTERNS:
        spans = [match.span() for match in _PATTERNS[kind].finditer(text)]
    else:
        spans = _Scanner(kind, text).spans()
    return [begin for begin, _ in spans], [end for _, end in spans]


_SCANNERS: Final = {
    ".ts": (re.compile(_SCRIPT), re.compile(rf"{_SCRIPT}|[{{}}]")),
    ".vue": (re.compile(_SCRIPT), re.compile(rf"{_SCRIPT}|[{{}}]")),
    ".py": (re.compile(_PYTHON), re.compile(rf"{_PYTHON}|[{{}}\n]")),
}
"""What is looked for in code, and in an expression within a string."""


class _Scanner:
    """Reads a text with strings that have expressions in them, which have strings in them."""

    def __init__(self, kind: str, text: str) -> None:
        self._kind, self._text = kind, text
        self._outside, self._inside = _SCANNERS[kind]
        self._found: list[tuple[int, int]] = []
        self._around: list[tuple[str, int]] = []  # what closes the strings around, and the braces open around each
        self._braces = 0

    def spans(self) -> list[tuple[int, int]]:
        """Return where comments and strings begin and end, without the expressions in them."""
        at = 0
        while match := (self._inside if self._around else self._outside).search(self._text, at):
            at = self._after(match)
        return self._found

    def _after(self, match: re.Match[str]) -> int:
        """Note what was found, and return where to go on."""
        begin, end = match.span()
        found = match[0]
        if match["mixed"] is not None:
            return self._read_text(match["mixed"], begin, end)
        if found == "{":
            self._braces += 1
        elif found == "}" and self._braces:
            self._braces -= 1
        elif found == "}":
            closing, self._braces = self._around.pop()
            return self._read_text(closing, end, end)
        elif found == "\n":
            if len(self._around[-1][0]) == 1:  # something was misread: such a string rarely has several lines
                self._around, self._braces = [], 0
        elif self._kind == ".py":
            self._found.append((begin, end))
        else:
            return self._after_script(found, begin, end)
        return end

    def _after_script(self, found: str, begin: int, end: int) -> int:
        before = self._text[max(0, begin - _LOOK_BACK) : begin]
        if found == "/":
            if not _BEFORE_EXPRESSION.search(before.rstrip(" ")):
                return end
            if not (expression := _REGULAR_EXPRESSION.match(self._text, begin)):
                return end
            end = expression.end()
        elif found[0] == "'" and (before[-1:].isalnum() and not _BEFORE_STRING.search(before)):
            return begin + 1
        if not (self._kind == ".vue" and found[0] in "\"'" and before.endswith("=")):  # an attribute has code
            self._found.append((begin, end))
        return end

    def _read_text(self, closing: str, begin: int, at: int) -> int:
        """Note the text of a string, up to its end or to an expression."""
        for stop in _STOPS[closing].finditer(self._text, at):
            found = stop[0]
            if found in ("{", "${"):
                self._around.append((closing, self._braces))
                self._braces = 0
            elif found not in (closing, "\n"):
                continue
            self._found.append((begin, stop.end()))
            return stop.end()
        self._found.append((begin, len(self._text)))
        return len(self._text)
