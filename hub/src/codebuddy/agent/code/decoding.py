"""Turns the ranges in a server's answer into places in files, as the tools give them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar
from urllib.parse import unquote

from pydantic import TypeAdapter

from codebuddy.agent.code import answers
from codebuddy.agent.code.answers import Answer, Malformed, validated
from codebuddy.agent.code.notebooks import Cell, UnknownCell, cells_of
from codebuddy.agent.code.places import Span, name_at
from codebuddy.agent.lsp.positions import Encoding, clean, from_lsp
from codebuddy.agent.lsp.tree import Tree
from codebuddy.files.cursors import digest, question_of, seal, unseal
from codebuddy.schemas.code import Diagnostic, Location, Severity, TextRange
from codebuddy.tool import Result, ToolError

L = TypeVar("L", bound=Location)
T = TypeVar("T", bound=Result)

MAX_LINE_TEXT: Final = 1000
_CUT: Final = "\n[…]"
_MAX_MESSAGE: Final = 4000
_MAX_NUMBER: Final = 2**31 - 1  # of a position (LSP 3.17, "uinteger")
_SEVERITIES: Final[dict[int | None, Severity]] = {1: "error", 2: "warning", 3: "information", 4: "hint"}
_CURSOR: TypeAdapter[tuple[int, str]] = TypeAdapter(tuple[int, str])

PAGE_CHARACTERS: Final = 200_000
"""The most characters in the items of a page: what the hub passes on is limited, and a model reads it."""


class StaleLocation(Exception):
    """The server named a file of the project that does not exist, or not any more."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


class UnopenedFiles(Exception):
    """The server must first be sent these files as open documents: it may count their byte order marks as columns.

    Some servers do in the first line of a file that they read from the disk; none does in an open document. A file in a
    declared encoding they read as UTF-8, too.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        super().__init__()
        self.paths = frozenset(paths)


class Reader:
    """Reads one answer; each file that it names is read once.

    Only text of the project's files is read: a server that names ``/etc/passwd`` gets no line of it out.

    Args:
        encoding: the encoding agreed with the server.
        known: texts that the server was sent, by file; they count before the disk.
    """

    def __init__(self, tree: Tree, encoding: Encoding, known: dict[Path, list[str]]) -> None:
        self._tree = tree
        self._encoding = encoding
        self._known = known
        self._marked: dict[Path, bool] = {}
        self._recoded: dict[Path, bool] = {}
        self._lines = dict(known)
        self._texts: dict[str, _Text | None] = {}
        self._cells: dict[Path, list[Cell]] = {}
        self._shown: dict[Path, str] = {}

    def locations(self, result: Any) -> list[Location]:
        """Return the places of an answer that is a Location, Location[], LocationLink[] or null.

        Raises:
            Malformed: it is none of these.
            StaleLocation: a place is in a file that is gone.
            UnopenedFiles: see `require_shown`.
        """
        if result is None:
            return []
        found = [self._location(item) for item in (result if isinstance(result, list) else [result])]
        self.require_shown()
        return sorted_unique(found)

    def diagnostics(self, path: Path, items: list[Any]) -> list[Diagnostic]:
        """Return the diagnostics of a file, each once."""
        found = [
            Diagnostic(
                **vars(self._in_project(path, item.range)),
                severity=_SEVERITIES.get(item.severity, "error"),
                message=clipped(clean(item.message), _MAX_MESSAGE),
                code=None if item.code is None else clean(str(item.code)[:200]),
                source=None if item.source is None else clean(item.source[:200]),
            )
            for item in validated(answers.DIAGNOSTICS, items, "a diagnostic")
        ]
        return sorted_unique(found)

    def _location(self, item: Any) -> Location:
        # One by one: tens of thousands of validated dictionaries at the same time keep the garbage collector busy.
        either = validated(answers.LOCATION, item, "a location")
        if "uri" in either:
            return self.place(either["uri"], either["range"])
        return self.place(either["targetUri"], either["targetSelectionRange"])

    def place(self, uri: str, span: answers.Range) -> Location:
        """Return the place of a range in a document; in a cell, that in the notebook."""
        text = self._text_of(uri)
        return _external(uri, span) if text is None else self._located(text, self._span(text, span))

    def require_shown(self) -> None:
        """Check the places given so far; call it after the last `place` and `name_in` of an answer.

        Raises:
            UnopenedFiles: one is in the first line of a file with a byte order mark that is not an open document.
        """
        if any(self._marked.values()):
            raise UnopenedFiles(path for path, marked in self._marked.items() if marked)

    def name_in(self, uri: str, span: answers.Range, name: str) -> Location:
        """Return the place of a name in a range; the range if the name is not in it, or outside the project."""
        text = self._text_of(uri)
        if text is None:
            return _external(uri, span)
        whole = self._span(text, span)
        line, column = name_at(name, whole, text.lines)
        if not name or not text.lines[line - 1].startswith(name, column - 1):
            return self._located(text, whole)
        return self._located(text, Span(line, column, line, column + len(name)))

    def words_in(self, uri: str, span: answers.Range, name: str) -> list[Location]:
        """Return every place of a name as a whole word in a range; none outside the project."""
        text = self._text_of(uri)
        if text is None or not name:
            return []
        whole, word = self._span(text, span), re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])")
        return [
            self._located(text, Span(number, match.start() + 1, number, match.end() + 1))
            for number, line in enumerate(text.lines[whole.line - 1 : whole.end_line], whole.line)
            for match in word.finditer(line)
            if (number, match.start() + 1) >= (whole.line, whole.column)
            and (number, match.end() + 1) <= (whole.end_line, whole.end_column)
        ]

    def _text_of(self, uri: str) -> _Text | None:
        """Return the text that a URI names; None outside the project, or if it is a cell that cannot be read."""
        if uri not in self._texts:
            if not _is_unicode(uri):  # a lone surrogate, which JSON can carry and an answer cannot
                raise Malformed("a location whose URI is not Unicode text")
            self._texts[uri] = self._read(uri)
        return self._texts[uri]

    def _read(self, uri: str) -> _Text | None:
        path, named = self._tree.path_of(uri), self._tree.cell_of(uri)
        if path is not None:
            return _Text(path, self._lines_of(path))
        if named is None:
            return None
        path, number = named
        try:
            if path not in self._cells:
                self._cells[path] = cells_of(self._tree.lines(path))
            cell = self._cells[path][number]
        except (IndexError, UnknownCell):
            return None
        except ToolError as error:
            if error.code == "not_found":
                raise StaleLocation(path) from None
            return None  # a notebook may well be too large
        return _Text(path, cell.lines, cell)

    def _in_project(self, path: Path, span: answers.Range) -> Location:
        text = _Text(path, self._lines_of(path))
        return self._located(text, self._span(text, span))

    def _span(self, text: _Text, span: answers.Range) -> Span:
        start, path = span["start"], text.path
        if text.cell is None and path not in self._known:
            if path not in self._recoded:
                self._recoded[path] = self._tree.encoding_of(path) is not None
            if self._recoded[path] or (start["line"] == 0 and path not in self._marked):
                self._marked[path] = self._recoded[path] or self._tree.begins_with_mark(path)
        return Span(*from_lsp(text.lines, start, self._encoding), *from_lsp(text.lines, span["end"], self._encoding))

    def _located(self, text: _Text, at: Span) -> Location:
        path, lines = text.path, text.lines
        if text.cell is not None:
            at, lines = text.cell.in_notebook(at), self._lines_of(path)
        shown = self._shown.get(path)
        if shown is None:
            shown = self._shown[path] = self._tree.show(path)
        return Location(path=shown, **at._asdict(), line_text=lines[at.line - 1][:MAX_LINE_TEXT])

    def _lines_of(self, path: Path) -> list[str]:
        lines = self._lines.get(path)
        if lines is None:
            try:
                lines = self._lines[path] = self._tree.lines(path)
            except ToolError:
                raise StaleLocation(path) from None
        return lines


class _Text(NamedTuple):
    """A text that a server names: a file of the project, or a cell of a notebook."""

    path: Path
    lines: list[str]
    cell: Cell | None = None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _external(uri: str, span: answers.Range) -> Location:
    """Return a place outside the project. Columns stay as the server counts them: converting would take reading it."""
    start, end = span["start"], span["end"]
    numbers = (start["line"], start["character"], end["line"], end["character"])
    line, column, end_line, end_column = (min(number, _MAX_NUMBER) + 1 for number in numbers)
    # Not of "file://host/…", which would look like a path of the project "host".
    name = uri.removeprefix("file://") if uri.startswith("file:///") else uri
    shown = clean(unquote(name[:MAX_LINE_TEXT]))
    return Location(path=shown, line=line, column=column, end_line=end_line, end_column=end_column, external=True)


def location(path: str, line: int, column: int, end_column: int, text: str) -> Location:
    """Return the location of a part of a line, whose text is given."""
    shown = text[:MAX_LINE_TEXT]
    return Location(path=path, line=line, column=column, end_line=line, end_column=end_column, line_text=shown)


def text_range(at: Location) -> TextRange:
    """Return the range of a location."""
    return TextRange(line=at.line, column=at.column, end_line=at.end_line, end_column=at.end_column)


def clipped(text: str, longest: int) -> str:
    """Cut a text that is too long, and say so at its end."""
    return text if len(text) <= longest else text[:longest] + _CUT


def sorted_unique(items: Iterable[L]) -> list[L]:
    """Return each location once, by path and place, those outside the project last."""
    return sorted({_key(item): item for item in items}.values(), key=_order)


def _key(item: Location) -> object:
    # Most are plain locations, and many: to write each as JSON would take longer than everything else.
    return (*_order(item), item.line_text) if type(item) is Location else item.model_dump_json()


def _order(item: Location) -> tuple[bool, str, int, int, int, int]:
    return bool(item.external), item.path, item.line, item.column, item.end_line, item.end_column


def _json_of(item: Result) -> str:
    return item.model_dump_json()


class Page(NamedTuple, Generic[T]):
    """A page: its items, and the fields of `CodeResult` that say whether they are everything."""

    items: list[T]
    rest: dict[str, Any]


def offset_of(tool: str, arguments: Any) -> int:
    """Return the number of items on the pages before the one that is asked for.

    Raises:
        ToolError: ``invalid_cursor``.
    """
    return 0 if arguments.cursor is None else unseal(question_of(tool, arguments), arguments.cursor, _CURSOR)[0]


def paged(
    tool: str,
    arguments: Any,
    items: Sequence[T],
    answer: Answer,
    key: Callable[[T], object] = _json_of,
    *,
    total: int | None = None,
) -> Page[T]:
    """Return the page of an answer that is asked for.

    Args:
        tool: what was asked.
        arguments: how, with ``limit`` and ``cursor``.
        items: the whole answer, in the same order each time; with ``total`` its beginning, at least to the page's end.
        answer: says whether it is everything.
        key: what of an item must have stayed the same for the next page to follow.
        total: how many items the whole answer has; left out: these.

    Raises:
        ToolError: ``invalid_cursor``: it belongs to another question; ``stale_cursor``: what the earlier pages said is
            no longer so, and going on might skip something.
    """
    start, rest = 0, answer.completeness()
    total = len(items) if total is None else total
    if arguments.cursor is not None:
        start, before = unseal(question_of(tool, arguments), arguments.cursor, _CURSOR)
        follows = 0 <= start <= len(items) and before == digest_of(items[:start], key)
        if not follows and answer.reason is not None:  # not all is known again yet: the cursor may be right
            return Page([], {**rest, "cursor": arguments.cursor})
        if not follows:
            raise ToolError("stale_cursor", "What the earlier pages said changed since; begin again without a cursor.")
    end = start + count_fitting(items[start : start + arguments.limit], PAGE_CHARACTERS)[0]
    if end < total:
        more = f"{end - start} of {total}; give the cursor back for more."
        rest = {
            "complete": False,
            "reason": answer.reason or "truncated",
            "message": f"{answer.message} {more}" if answer.message else more,
            "cursor": seal(question_of(tool, arguments), [end, digest_of(items[:end], key)]),
        }
    return Page(list(items[start:end]), rest)


def count_fitting(items: Sequence[Result], room: int, at_least: int = 1) -> tuple[int, int]:
    """Return how many items fit into so many characters, `at_least` so many in any case; and the room that is left."""
    for count, item in enumerate(items):
        length = _length(item)
        if length > room and count >= at_least:
            return count, room
        room -= length
    return len(items), room


def _length(item: Result) -> int:
    """Return how long an item is as JSON; for a plain location, quickly, a number that is not smaller."""
    if type(item) is Location and (item.line_text or "").isascii() and item.path.isascii():
        return 200 + 2 * len(item.path) + 2 * len(item.line_text or "")
    return len(item.model_dump_json())


def digest_of(items: Sequence[T], key: Callable[[T], object] = _json_of) -> str:
    """Return a digest by which the next page sees whether the items before it are still the same."""
    return digest([key(item) for item in items])
