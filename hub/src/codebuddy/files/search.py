"""Finding files by name and by content in one project, within bounds, and continuing where a search stopped."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import Any, Generic, TypeVar

import re2

from codebuddy.files.confinement import ProjectRoot, about
from codebuddy.files.encodings import declare_encodings, declared_encoding
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import LINE_BREAK, MAX_FILE_BYTES, content_hash, decode
from codebuddy.files.walking import Bounds, Entry, StopReason, Walk
from codebuddy.tool import ToolError

T = TypeVar("T")


# Where its automaton does not fit in memory, RE2 may step through its whole program for every byte, at some 60 million
# steps a second. The deadline can only be checked between two stretches of text, so the steps of a stretch are bounded.
_WINDOW_STEPS = 30_000_000
_MAX_STEPS = 1_000_000_000
_MAX_PROGRAM = 50_000
_MAX_WINDOW = 64 * 1024
_MAX_ALTERNATIVES = 256
_BRACES = re.compile(r"\{([^{}]*)\}")
_OPEN, _CLOSE = "\ue000", "\ue001"  # braces that are a part of the name
_GLOB_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_GLOB_PIECE = re.compile(r"\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]/]*\]|.", re.DOTALL)

# Of a match.
_LINE_CHARS = 400  # most of a line in an answer; minified files have lines of megabytes
_LEAD_CHARS = 100  # of these, before the match

# Of a search for a word.
_MAX_PLACES = 20_000
_MAX_FILES = 2000

_Chooser = Callable[[Entry, str], T | None]


def _options(**values: bool) -> Any:
    options = re2.Options()
    options.log_errors = False  # a client's typing errors do not belong into the log
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

    def spans(self, data: bytes) -> Iterator[tuple[int, int] | None]:
        """Yield the (start, end) of each match.

        Between stretches of text it yields None, so that the caller can check the deadline.

        Raises:
            ToolError: ``too_costly``: the pattern is too complex for a line, or a file, of this length.
        """
        start = 0
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
                return  # an empty match after the last break is on a line that is not in this window
            yield first, last
            start = last if last > first else last + 1
            while start < end and data[start] & 0xC0 == 0x80:  # never in the middle of a character
                start += 1


def compile_search(pattern: str, *, regex: bool, case_sensitive: bool) -> SearchPattern:
    r"""Compile what `search_text` looks for.

    A regular expression matches within lines, unless it contains a line break (``\n``) itself; ``^`` and ``$`` are the
    ends of a line. A literal may contain line breaks.

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
    """A compiled glob over paths in a project as they are sent, without the project's id."""

    compiled: Any

    def matches(self, project: str, relative: str) -> bool:
        """Say whether a path matches, with or without the project's id before it."""
        return any(self.compiled.fullmatch(path) is not None for path in (relative, f"{project}/{relative}"))


@lru_cache(maxsize=128)
def compile_glob(pattern: str) -> Glob:
    """Compile a glob: ``*`` and ``?`` stay within a name, ``**`` crosses directories, ``[a-z]``, ``{ts,tsx}``.

    A pattern without a slash is matched against the name alone, at any depth. ``[id]`` is also a name, as routes of
    Next.js and SvelteKit have it, and so is ``{name}`` without a comma, as in templates of projects.

    Raises:
        ToolError: ``invalid_pattern``.
    """
    anchored = pattern.removeprefix("./").removeprefix("/")
    if "/" not in pattern.rstrip("/"):
        anchored = f"**/{anchored}"
    if anchored.endswith("/"):
        anchored += "**"
    alternatives = "|".join(f"(?:{_glob_to_regex(plain)})" for plain in _expand_braces(anchored))
    try:
        return Glob(re2.compile(alternatives, _options(dot_nl=True, never_capture=True)))
    except (re2.error, UnicodeEncodeError):
        raise ToolError(
            "invalid_pattern", f"{pattern!r} is not a glob; write one like 'src/**/*.ts' or '*.py'."
        ) from None


def use_encodings(project: str, encodings: Iterable[tuple[str, str]]) -> None:
    """Read and write the files of a project in the encodings that it declares by glob; the last that fits counts.

    Raises:
        ToolError: ``invalid_pattern``.
        ValueError: an encoding is not known.
    """
    declare_encodings(project, [(compile_glob(pattern), name) for pattern, name in encodings])


def _expand_braces(pattern: str) -> list[str]:
    done, todo = [], [pattern]
    while todo:
        current = todo.pop()
        found = _BRACES.search(current)
        if found is None:
            done.append(current.replace(_OPEN, "{").replace(_CLOSE, "}"))
            continue
        words = found[1].split(",")
        if len(words) == 1:
            words.append(f"{_OPEN}{found[1]}{_CLOSE}")
        todo += [current[: found.start()] + word + current[found.end() :] for word in words]
        if len(todo) + len(done) > _MAX_ALTERNATIVES:
            raise ToolError("invalid_pattern", f"The braces stand for more than {_MAX_ALTERNATIVES} globs; use fewer.")
    return done


def _glob_to_regex(pattern: str) -> str:
    return "".join(map(_piece_to_regex, _GLOB_PIECE.findall(pattern)))


def _piece_to_regex(piece: str) -> str:
    if len(piece) > 2 and piece[0] == "[":
        inside = re.sub(r"([\\\[\]^])", r"\\\1", piece[1:-1].removeprefix("!").removeprefix("^"))
        members = f"[^/{inside}]" if piece[1] in "!^" else f"[{inside}]"
        name = re2.escape(piece)
        if len(piece) > 5 and not _is_set(members):
            return str(name)  # as in [user-id]: letters from r to i there are none
        return f"(?:{members}|{name})"
    return _GLOB_WILDCARDS.get(piece) or str(re2.escape(piece))


def _is_set(members: str) -> bool:
    try:
        re2.compile(members, _options())
    except re2.error:
        return False
    return True


@dataclass(frozen=True)
class Match:
    """A match: lines and columns 1-based, columns in code points, the end exclusive.

    Args:
        line_text: the line that it begins on, without its break; if the line is very long, the part around the match.
        line_cut: whether line_text is only a part of the line; None if it is whole.
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
        """How many characters it adds to an answer."""
        around = sum(map(len, self.before or ())) + sum(map(len, self.after or ()))
        return len(self.path) + len(self.line_text) + around + 100


class LineFinder:
    """Converts ascending byte offsets to lines and columns, counting every byte once however many matches there are.

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
        """Describe the match from byte ``start`` to byte ``end``; no start may be smaller than the one before."""
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
        """Return the line, or the part of a long one around the match, and whether it was cut.

        Four bytes hold any character.
        """
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


@dataclass(frozen=True)
class Position:
    """How far a search got: everything up to and including this path is done.

    Args:
        parts: of the path, from the project's root; empty when nothing is done.
        line, column: in that file, only what begins up to here is done; 0, 0 for nothing of it.
    """

    parts: tuple[str, ...] = ()
    line: int | None = None
    column: int = 0


@dataclass
class Page(Generic[T]):
    """The result of a search in one project.

    Args:
        found: each item with its position, after which a later search continues.
        reason: why the search ended early; None when everything was seen.
        resume: where a later search continues, if this one ended early.
        skipped: how many entries were left out, by reason.
    """

    found: list[tuple[Position, T]] = field(default_factory=list)
    reason: StopReason | None = None
    resume: Position | None = None
    skipped: Counter[str] = field(default_factory=Counter)

    def end(self, reason: StopReason, resume: Position) -> None:
        """Record why and where the search ended early."""
        self.reason, self.resume = reason, resume

    def finish(self, walk: Walk) -> None:
        """Take over the counts of a walk, and why it ended."""
        if self.reason is None and walk.reason is not None:
            self.end(walk.reason, Position(walk.last))
        for name, number in (("ignored", walk.ignored), ("unreadable", walk.unreadable)):
            if number:
                self.skipped[name] += number


@dataclass(frozen=True)
class Listed:
    """An entry of a directory: type is file, directory, link or other; size is in bytes, for files only."""

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
    """List a directory to a depth; raise ToolError as `ProjectRoot.directory`."""
    walk = Walk(root, path, bounds, max_depth=depth, after=after.parts, include_ignored=include_ignored)
    return _collect(walk, path.project, limit, lambda entry, name: Listed(name, entry.kind, entry.size()))


def find_files(
    root: ProjectRoot, glob: Glob, bounds: Bounds, *, limit: int, after: Position, include_ignored: bool = False
) -> Page[str]:
    """Find files by glob, and links, which are not followed; return their workspace paths."""
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
        include: which files; None for all.
        limit: most matches.
        context_lines: lines given before and after each match.
        file_bytes: larger files are skipped.
        answer_chars: most characters of all matches together.
        include_ignored: also search files that ignore rules hide.
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
            self._matches(_searchable(entry.read(self._query.file_bytes), path), path)
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


def _searchable(data: bytes, path: WorkspacePath) -> bytes:
    """Convert a file to UTF-8 with LF breaks, which changes no line or column.

    Raises:
        ToolError: as `decode`.
    """
    text = decode(data, path)
    data = data if text.encoding == "utf-8" else text.content.encode()
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


@dataclass(frozen=True)
class WordPlace:
    """Where a word begins, 1-based, in code points; and the text of the line, or its beginning."""

    line: int
    column: int
    line_text: str


WITHOUT_TEXT = ("not_found", "binary_file", "unsupported_encoding")
"""Codes of files that are gone, or have no text in which a word could be a name."""


@dataclass(frozen=True)
class WordFile:
    """A file that was searched for a word.

    Args:
        hash: of its content.
        places: where the word occurs in it.
        problem: why it cannot be read, or is no text that can be edited.
    """

    path: WorkspacePath
    hash: str
    places: tuple[WordPlace, ...]
    problem: ToolError | None = None


def find_word(
    root: ProjectRoot, word: str, bounds: Bounds, undecoded: list[WorkspacePath] | None = None
) -> list[WordFile]:
    """Find a word in all text files of a project that no ignore rule hides; ``$`` belongs to a word.

    Args:
        undecoded: takes the files that contain the word, and whose encoding is not known.

    Raises:
        ToolError: ``too_many_matches``, ``timed_out``: not all places can be given.
    """
    walk, found, places = Walk(root, WorkspacePath(root.project), bounds), list[WordFile](), 0
    with closing(walk.entries()) as entries:
        for file in search_word(root.project, entries, word, letters=r"\w$"):
            if file.problem is None:
                found += [file] if file.places else []
                places += len(file.places)
            elif file.places and undecoded is not None and file.problem.code == "unsupported_encoding":
                undecoded.append(file.path)
            if places > _MAX_PLACES or len(found) > _MAX_FILES:
                walk.reason = "too_many_entries"
                break
    if walk.reason is not None:
        code = "timed_out" if walk.reason == "timed_out" else "too_many_matches"
        raise ToolError(
            code, f"The word {word!r} occurs in too many places of {root.project} to examine them all.", root.project
        )
    return found


def search_word(
    project: str, entries: Iterable[Entry], word: str, *, letters: str = r"\w", most: int = _MAX_PLACES + 1
) -> Iterator[WordFile]:
    """Search files for a word, and yield each file, even one without it; entries that are not files are passed over.

    Args:
        project: id of the project that the entries belong to.
        entries: what to search; each is read before the next one is asked for.
        word: the word; when it is empty, no file is read.
        letters: what may not be next to the word, as in a character set of a regular expression.
        most: places given of each file.
    """
    pattern = re.compile(rf"(?<![{letters}]){re.escape(word)}(?![{letters}])")
    encoded = word.encode("utf-8", "replace")
    for entry in entries:
        if entry.kind == "file":
            yield _search_file(entry, WorkspacePath(project, entry.parts), pattern, encoded, most)


def _search_file(entry: Entry, path: WorkspacePath, pattern: re.Pattern[str], encoded: bytes, most: int) -> WordFile:
    nothing = WordFile(path, "", ())
    if not encoded:
        return nothing
    try:
        with about(path):
            data = entry.read()
    except ToolError as error:
        is_without = error.code == "too_large" and entry.lacks(encoded)
        return nothing if is_without else replace(nothing, problem=error)
    is_other = not encoded.isascii() and declared_encoding(path.project, path.relative_wire) is not None
    if encoded not in data and not is_other and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return nothing  # nearly every file, found without decoding it
    problem = None
    try:
        content = decode(data, path).content
    except ToolError as error:
        content, problem = data.decode("utf-8", "replace"), error
    places = tuple(islice(_places(content, pattern), most))
    return WordFile(path, content_hash(data), places, problem)


def _places(content: str, pattern: re.Pattern[str]) -> Iterator[WordPlace]:
    line, start, done = 1, 0, 0
    for match in pattern.finditer(content):
        for line_break in LINE_BREAK.finditer(content, done, match.start()):
            line, start = line + 1, line_break.end()
        done = match.start()
        text = LINE_BREAK.split(content[start : start + _LINE_CHARS], maxsplit=1)[0]
        yield WordPlace(line, done - start + 1, text)
