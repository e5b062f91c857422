"""Finding files by name and by content in one project, within bounds, and able to go on where it stopped."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, TypeVar

import re2

from codebuddy.files.confinement import READ_FLAGS, ProjectRoot, require_regular
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import content_hash, decode, split_lines
from codebuddy.files.walking import MAX_FILE_BYTES, Bounds, Entry, StopReason, Walk, read_bytes, read_limited
from codebuddy.tool import ToolError

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


_LINE_CHARS = 400  # of a line in an answer; minified files have lines of megabytes
_LEAD_CHARS = 100  # of them, before the match


@dataclass(frozen=True)
class Match:
    """A match: lines and columns 1-based, columns in code points, the end exclusive.

    Args:
        line_text: the line that it begins on, without its break; of a very long one only the part around the match.
        line_cut: line_text is only a part of the line; None if it is whole.
        before, after: the lines around it, if they were asked for.
    """

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    line_text: str
    line_cut: bool | None = None
    before: list[str] | None = None
    after: list[str] | None = None

    @property
    def weight(self) -> int:
        """Characters that it adds to an answer."""
        around = sum(map(len, self.before or ())) + sum(map(len, self.after or ()))
        return len(self.path) + len(self.line_text) + around + 100


class LineFinder:
    """Turns rising byte offsets into lines and columns; every byte is counted once, however many matches there are.

    Args:
        data: valid UTF-8 whose line breaks are all LF.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0
        self._line_start = 0
        self._line = 1
        self._column = 1

    def match(self, path: str, start: int, end: int, context_lines: int) -> Match:
        """Describe the match from byte ``start`` to byte ``end``; starts must not fall from call to call."""
        line, column = self._advance(start)
        line_start = self._line_start
        text, cut = self._around(line_start, start)
        before = self._lines_before(line_start, context_lines) if context_lines else None
        end_line, end_column = self._advance(end)
        after = self._lines_after(end, context_lines) if context_lines else None
        return Match(path, line, column, end_line, end_column, text, cut or None, before, after)

    def _advance(self, offset: int) -> tuple[int, int]:
        breaks = self._data.count(b"\n", self._offset, offset)
        if breaks:
            self._line += breaks
            self._line_start = self._offset = self._data.rfind(b"\n", self._offset, offset) + 1
            self._column = 1
        self._column += len(self._data[self._offset : offset].decode())
        self._offset = offset
        return self._line, self._column

    def _around(self, line_start: int, start: int) -> tuple[str, bool]:
        """Give the line, or of a long one what is around the match; four bytes hold any character."""
        first = max(line_start, start - 4 * _LEAD_CHARS)
        end = self._data.find(b"\n", start, first + 4 * _LINE_CHARS)
        last = end if end >= 0 else min(len(self._data), first + 4 * _LINE_CHARS)
        lead = self._data[first:start].decode("utf-8", "ignore")
        rest = self._data[start:last].decode("utf-8", "ignore")
        if first == line_start and len(lead) + len(rest) <= _LINE_CHARS:
            return lead + rest, end < 0 and last < len(self._data)
        lead = lead[-_LEAD_CHARS:]
        kept = rest[: _LINE_CHARS - len(lead)]
        return lead + kept, True

    def _lines_before(self, line_start: int, number: int) -> list[str]:
        lines: list[str] = []
        end = line_start - 1
        while end >= 0 and len(lines) < number:
            start = self._data.rfind(b"\n", 0, end) + 1
            lines.append(self._shortened(start, end))
            end = start - 1
        return lines[::-1]

    def _lines_after(self, offset: int, number: int) -> list[str]:
        lines: list[str] = []
        start = self._data.find(b"\n", offset) + 1
        while 0 < start < len(self._data) and len(lines) < number:
            found = self._data.find(b"\n", start)
            end = found if found >= 0 else len(self._data)
            lines.append(self._shortened(start, end))
            start = end + 1
        return lines

    def _shortened(self, start: int, end: int) -> str:
        return self._data[start : min(end, start + 4 * _LINE_CHARS)].decode("utf-8", "ignore")[:_LINE_CHARS]


T = TypeVar("T")
_Chooser = Callable[[Entry, str], T | None]


@dataclass(frozen=True)
class Position:
    """How far a search got: all up to and including this path is done.

    Args:
        parts: of the path, from the project's root; empty when nothing is done.
        line, column: of that file, only what begins up to here is done; 0, 0 for nothing of it.
    """

    parts: tuple[str, ...] = ()
    line: int | None = None
    column: int = 0


@dataclass
class Page(Generic[T]):
    """What one project gave.

    Args:
        found: each item with its position, behind which a later search goes on.
        reason: why it ended early; None when all was seen.
        resume: where a later search goes on, if it ended early.
        skipped: how many entries were left out, by reason.
    """

    found: list[tuple[Position, T]] = field(default_factory=list)
    reason: StopReason | None = None
    resume: Position | None = None
    skipped: Counter[str] = field(default_factory=Counter)

    def end(self, reason: StopReason, resume: Position) -> None:
        """Note why and where it ended early."""
        self.reason, self.resume = reason, resume

    def finish(self, walk: Walk) -> None:
        """Take over what the walk tells at its end."""
        if self.reason is None and walk.reason is not None:
            self.end(walk.reason, Position(walk.last))
        for name, number in (("ignored", walk.ignored), ("unreadable", walk.unreadable)):
            if number:
                self.skipped[name] += number


@dataclass(frozen=True)
class Listed:
    """An entry of a directory: type is file, directory, link or other; size in bytes, of files only."""

    path: str
    type: str
    size: int | None = None


def list_directory(
    root: ProjectRoot,
    path: WorkspacePath,
    bounds: Bounds,
    *,
    depth: int,
    limit: int,
    after: Position,
    include_ignored: bool = False,
) -> Page[Listed]:
    """List a directory, to a depth.

    Raises:
        ToolError: ``not_found``, ``not_a_directory``, ``outside_project``, ...
    """
    walk = Walk(root, path, bounds, max_depth=depth, after=after.parts, include_ignored=include_ignored)
    return _collect(walk, path.project, limit, lambda entry, name: Listed(name, entry.kind, entry.size()))


def find_files(
    root: ProjectRoot, glob: Glob, bounds: Bounds, *, limit: int, after: Position, include_ignored: bool = False
) -> Page[str]:
    """Find files (and links, which are not followed) by glob; gives workspace paths."""
    project = root.project
    walk = Walk(root, WorkspacePath(project), bounds, after=after.parts, include_ignored=include_ignored)

    def matching(entry: Entry, name: str) -> str | None:
        fits = entry.kind != "directory" and glob.matches(project, name.partition("/")[2])
        return name if fits else None

    return _collect(walk, project, limit, matching)


def _collect(walk: Walk, project: str, limit: int, choose: _Chooser[T]) -> Page[T]:
    page: Page[T] = Page()
    with closing(walk.entries()) as entries:
        for entry in entries:
            chosen = choose(entry, str(WorkspacePath(project, entry.parts)))
            if chosen is None:
                continue
            if len(page.found) >= limit:
                page.end("limit", page.found[-1][0])
                break
            page.found.append((Position(entry.parts), chosen))
    page.finish(walk)
    return page


@dataclass(frozen=True)
class Query:
    """What to search for in the contents of files.

    Args:
        pattern: compiled pattern.
        include: which files; None for all.
        limit: matches at most.
        context_lines: lines given before and after each match.
        file_bytes: larger files are skipped.
        answer_chars: text of all matches together, at most.
        include_ignored: search files that ignore rules hide, too.
    """

    pattern: SearchPattern
    include: Glob | None = None
    limit: int = 100
    context_lines: int = 0
    file_bytes: int = MAX_FILE_BYTES
    answer_chars: int = 200_000
    include_ignored: bool = False


def search_text(root: ProjectRoot, query: Query, bounds: Bounds, after: Position) -> Page[Match]:
    """Search the text files of a project; what cannot be searched is counted in ``skipped``."""
    return _TextSearch(root, query, bounds, after).run()


class _TextSearch:
    def __init__(self, root: ProjectRoot, query: Query, bounds: Bounds, after: Position) -> None:
        self._query, self._bounds, self._after = query, bounds, after
        self._project = root.project
        self._page: Page[Match] = Page()
        self._room = query.answer_chars
        self._walk = Walk(
            root,
            WorkspacePath(root.project),
            bounds,
            after=after.parts,
            again=after.line is not None,
            include_ignored=query.include_ignored,
        )

    def run(self) -> Page[Match]:
        with closing(self._walk.entries()) as entries:
            for entry in entries:
                path = WorkspacePath(self._project, entry.parts)
                if entry.kind == "file" and self._included(path):
                    self._file(entry, path)
                if self._page.reason is not None:
                    break
        self._page.finish(self._walk)
        return self._page

    def _included(self, path: WorkspacePath) -> bool:
        include = self._query.include
        return include is None or include.matches(path.project, path.relative_wire)

    def _file(self, entry: Entry, path: WorkspacePath) -> None:
        try:
            self._matches(_searchable(entry, self._query.file_bytes), path)
        except ToolError as error:
            self._page.skipped[error.code] += 1
        except OSError:
            self._page.skipped["unreadable"] += 1

    def _matches(self, data: bytes, path: WorkspacePath) -> None:
        page, finder = self._page, LineFinder(data)
        resumed = self._after if self._after.parts == path.parts else Position(path.parts, 0)
        last, done = resumed, (resumed.line or 0, resumed.column)
        for span in self._query.pattern.spans(data):
            stopped = self._bounds.reached()
            if stopped is not None:
                page.end(stopped, last)
                return
            if span is None:
                continue
            match = finder.match(str(path), *span, self._query.context_lines)
            if (match.line, match.column) <= done:
                continue
            if len(page.found) >= self._query.limit:
                page.end("limit", last)
                return
            if match.weight > self._room:
                page.end("too_much_text", last)
                return
            last = Position(path.parts, match.line, match.column)
            page.found.append((last, match))
            self._room -= match.weight


def _searchable(entry: Entry, limit: int) -> bytes:
    """Read a file as UTF-8 with LF breaks, which leaves lines and columns what they are."""
    fd = os.open(entry.name, READ_FLAGS | os.O_NOFOLLOW, dir_fd=entry.parent)
    try:
        require_regular(os.fstat(fd))
        data = read_limited(fd, limit)
    finally:
        os.close(fd)
    text = decode(data)
    data = data if text.encoding == "utf-8" else text.content.encode()
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


_MAX_MATCHES = 20_000
_MAX_FILES = 2000


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
