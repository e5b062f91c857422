"""Search patterns and globs, compiled with RE2: matching takes time linear in the text, whatever the pattern.

Patterns come from clients, and ignore rules from the projects themselves; Python's ``re`` would let either hang the
hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from codebuddy.errors import ToolError

__all__ = ["Glob", "SearchPattern", "compile_glob", "compile_search"]

# Where its automaton does not fit in memory, RE2 steps through up to its whole program for every byte: some 60 million
# steps a second. The clock can be looked at between two stretches of text only, so a stretch is bounded by its steps.
_WINDOW_STEPS = 30_000_000
_MAX_STEPS = 1_000_000_000
_MAX_PROGRAM = 50_000
_MAX_WINDOW = 64 * 1024
_MAX_ALTERNATIVES = 256
_BRACES = re.compile(r"\{([^{}]*)\}")
_GLOB_PIECE = re.compile(r"\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]/]*\]|.", re.DOTALL)


def _options(**values: bool) -> Any:
    options = re2.Options()
    options.log_errors = False  # the hub's stderr is not the place for a client's typing errors
    options.max_mem = 32 * 1024 * 1024
    for name, value in values.items():
        setattr(options, name, value)
    return options


@dataclass(frozen=True)
class SearchPattern:
    """A compiled pattern over UTF-8 bytes whose line breaks are all LF."""

    compiled: Any
    by_line: bool  # no match can span lines, so a text may be searched in pieces that end at line breaks
    literal: bool

    def spans(self, data: bytes, start: int = 0) -> Iterator[tuple[int, int] | None]:
        """Give the (start, end) of each match from an offset on, as they are found.

        None is given between matches when nothing was found for a while, so that the caller can look at the clock, and
        in place of a stretch that would take too long is raised:

        Raises:
            ToolError: ``too_costly``: the pattern is too complex for a line, or a file, of this length.
        """
        while start < len(data):
            end = self._window_end(data, start)
            if not self.literal and (end - start) * int(self.compiled.programsize) > _MAX_STEPS:
                raise ToolError("too_costly", "The pattern is too complex for lines of this length.")
            yield from self._within(data, start, end)
            yield None
            start = end

    def _window_end(self, data: bytes, start: int) -> int:
        if not self.by_line:
            return len(data)
        window = min(_MAX_WINDOW, _WINDOW_STEPS // int(self.compiled.programsize))
        return data.find(b"\n", start + window) + 1 or len(data)

    def _within(self, data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        while start <= end:
            found = self.compiled.search(data, start, end)
            if found is None:
                return
            first, last = found.span()
            if first == last and first == end and data[end - 1 : end] == b"\n":
                return  # an empty match behind the last break is on a line that this window does not have
            yield first, last
            start = last if last > first else last + 1
            while start < end and data[start] & 0xC0 == 0x80:  # never in the middle of a character
                start += 1


def compile_search(pattern: str, *, regex: bool, case_sensitive: bool) -> SearchPattern:
    r"""Compile what `search_text` looks for.

    A regular expression matches within lines, and ``^`` and ``$`` are the ends of a line, unless it names a line break
    (``\n``) itself; a literal may contain line breaks.

    Raises:
        ToolError: ``invalid_pattern``.
    """
    by_line = regex and "\n" not in pattern and "\\n" not in pattern
    plain = pattern.replace("\r\n", "\n")
    try:
        compiled = re2.compile(
            f"(?m){plain}" if regex else plain,
            _options(case_sensitive=case_sensitive, literal=not regex, never_nl=by_line),
        )
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise ToolError(
            "invalid_pattern",
            f"RE2 refuses the pattern ({reason}); it knows no look-around and no back-references. "
            "For plain text set regex to false.",
        ) from None
    if compiled.programsize > _MAX_PROGRAM:
        raise ToolError("invalid_pattern", "The pattern is too complex; repeat less, or search for a part of it.")
    return SearchPattern(compiled, by_line, not regex)


@dataclass(frozen=True)
class Glob:
    """A compiled glob over paths in a project as they travel, without the project's id."""

    compiled: Any

    def matches(self, project: str, relative: str) -> bool:
        """Say whether a path, or the same with the project's id before it, fits."""
        return (
            self.compiled.fullmatch(relative) is not None
            or self.compiled.fullmatch(f"{project}/{relative}") is not None
        )


@lru_cache(maxsize=128)
def compile_glob(pattern: str) -> Glob:
    """Compile a glob: ``*`` and ``?`` stay within a name, ``**`` crosses directories, ``[a-z]``, ``{ts,tsx}``.

    A pattern without a slash is matched with the name alone, at any depth.

    Raises:
        ToolError: ``invalid_pattern``.
    """
    anchored = pattern.removeprefix("./").removeprefix("/")
    if "/" not in pattern.rstrip("/"):
        anchored = f"**/{anchored}"
    if anchored.endswith("/"):
        anchored += "**"
    alternatives = [_glob_to_regex(plain) for plain in _expand_braces(anchored)]
    try:
        return Glob(
            re2.compile("|".join(f"(?:{one})" for one in alternatives), _options(dot_nl=True, never_capture=True))
        )
    except (re2.error, UnicodeEncodeError):
        raise ToolError(
            "invalid_pattern", f"{pattern!r} is not a glob; write one like 'src/**/*.ts' or '*.py'."
        ) from None


def _expand_braces(pattern: str) -> list[str]:
    done, todo = [], [pattern]
    while todo:
        current = todo.pop()
        found = _BRACES.search(current)
        if found is None:
            done.append(current)
            continue
        todo += [current[: found.start()] + word + current[found.end() :] for word in found[1].split(",")]
        if len(todo) + len(done) > _MAX_ALTERNATIVES:
            raise ToolError("invalid_pattern", f"The braces stand for more than {_MAX_ALTERNATIVES} globs; use fewer.")
    return done


def _glob_to_regex(pattern: str) -> str:
    pieces = []
    for piece in _GLOB_PIECE.findall(pattern):
        if piece == "**/":
            pieces.append("(?:.*/)?")
        elif piece == "**":
            pieces.append(".*")
        elif piece == "*":
            pieces.append("[^/]*")
        elif piece == "?":
            pieces.append("[^/]")
        elif len(piece) > 2 and piece[0] == "[":
            inside = re.sub(r"([\\\[\]^])", r"\\\1", piece[1:-1].removeprefix("!").removeprefix("^"))
            pieces.append(f"[^/{inside}]" if piece[1] in "!^" else f"[{inside}]")
        else:
            pieces.append(re2.escape(piece))
    return "".join(pieces)
