"""What servers say in prose, in the three forms that the protocol has for it, as Markdown of bounded length."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from codebuddy.agent.code.places import Span, name_at
from codebuddy.agent.lsp.positions import Encoding, Position, clean, from_lsp
from codebuddy.agent.lsp.tree import Tree
from codebuddy.schemas.code import Diagnostic, Location, Severity
from codebuddy.tool import ToolError

CUT: Final = "\n[…]"
"""Stands at the end of a text that was cut."""


def markdown(value: Any) -> str:
    """Give MarkupContent, MarkedString or a list of these as Markdown (LSP 3.17, "Hover").

    Raises:
        ValueError: it is none of these.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return "\n\n".join(text for text in map(markdown, value) if text)
    text = value.get("value") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise ValueError("a text that is none")
    language = value.get("language")
    return f"```{clean(language)}\n{clean(text)}\n```" if isinstance(language, str) else clean(text)


def clipped(text: str, longest: int) -> str:
    """Cut a text that is too long, and say so at its end."""
    return text if len(text) <= longest else text[:longest] + CUT


def text_of(value: Any, longest: int) -> str | None:
    """Give a field of text or prose, cut; None if there is none or it is malformed."""
    try:
        return clipped(markdown(value), longest) or None
    except ValueError:
        return None


L = TypeVar("L", bound=Location)

MAX_LINE_TEXT: Final = 1000
_MAX_MESSAGE: Final = 4000
_SEVERITIES: Final[dict[int, Severity]] = {1: "error", 2: "warning", 3: "information", 4: "hint"}


class StaleLocation(Exception):
    """The server named a file of the project that is not there (any more).

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


class Unshown(Exception):
    """Files must be shown to the server first: it may count their byte order marks as columns.

    Some servers do in the first line of a file that they read from the disk; none does in an open document.

    Args:
        paths: the files.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        super().__init__()
        self.paths = frozenset(paths)


class Reader:
    """Turns items of one answer; each file is read once.

    Args:
        tree: the project. Text is read from its files only: a server that names ``/etc/passwd`` gets no line of it out.
        encoding: the encoding agreed with the server.
        known: texts that the server was sent, by file; they count before the disk.
    """

    def __init__(self, tree: Tree, encoding: Encoding, known: dict[Path, list[str]]) -> None:
        self._tree = tree
        self._encoding = encoding
        self._known = known
        self._marked: dict[Path, bool] = {}
        self._lines = dict(known)
        self._files: dict[str, Path | None] = {}
        self._shown: dict[Path, str] = {}

    def locations(self, result: Any) -> list[Location]:
        """Give the places of a definition's or references' answer: Location, Location[] or LocationLink[].

        Raises:
            ValueError: it is none of these.
            StaleLocation: a place is in a file that is gone.
            Unshown: see `require_shown`.
        """
        if result is None:
            return []
        items = result if isinstance(result, list) else [result]
        found = [self._location(item) for item in items]
        self.require_shown()
        return sorted_unique(found)

    def diagnostics(self, path: Path, items: list[Any]) -> list[Diagnostic]:
        """Give the diagnostics of a file, each once.

        Raises:
            ValueError: one is malformed.
            StaleLocation: the file is gone.
        """
        return sorted_unique([self._diagnostic(path, item) for item in items])

    def _location(self, item: Any) -> Location:
        item = _mapping(item)
        return self.place(item.get("targetUri", item.get("uri")), item.get("targetSelectionRange", item.get("range")))

    def place(self, uri: Any, span: Any) -> Location:
        """Give the place of a range in a document.

        Raises:
            ValueError: there is none.
            StaleLocation: the file is gone.
        """
        if not isinstance(uri, str):
            raise ValueError("a location without a URI")
        start, end = _range(span)
        if uri not in self._files:
            self._files[uri] = self._tree.path_of(uri)
        path = self._files[uri]
        return self._external(uri, start, end) if path is None else self._inside(path, start, end)

    def require_shown(self) -> None:
        """Check the places given so far; call it after the last `place` and `name_in` of an answer.

        Raises:
            Unshown: one is in the first line of a file with a byte order mark that the server was not shown.
        """
        if any(self._marked.values()):
            raise Unshown(path for path, marked in self._marked.items() if marked)

    def name_in(self, uri: Any, span: Any, name: str) -> Location:
        """Give the place of a name in a range; the range if the name is not in it, or in another project.

        Raises:
            ValueError, StaleLocation: see `place`.
        """
        whole, path = self.place(uri, span), self._tree.path_of(uri)
        if path is None:
            return whole
        lines = self._lines_of(path)
        line, column = name_at(name, Span(whole.line, whole.column, whole.end_line, whole.end_column), lines)
        if not name or not lines[line - 1].startswith(name, column - 1):
            return whole
        text, end = lines[line - 1][:MAX_LINE_TEXT], column + len(name)
        return Location(path=whole.path, line=line, column=column, end_line=line, end_column=end, line_text=text)

    def words_in(self, uri: Any, span: Any, name: str) -> list[Location]:
        """Give every place of a name as a whole word in a range; none outside the project.

        Raises:
            ValueError, StaleLocation: see `place`.
        """
        whole, path = self.place(uri, span), self._tree.path_of(uri)
        if path is None or not name:
            return []
        word, found = re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])"), list[Location]()
        for number, text in enumerate(self._lines_of(path)[whole.line - 1 : whole.end_line], whole.line):
            for match in word.finditer(text):
                at = Location(
                    path=whole.path,
                    line=number,
                    column=match.start() + 1,
                    end_line=number,
                    end_column=match.end() + 1,
                    line_text=text[:MAX_LINE_TEXT],
                )
                after_begin = (number, at.column) >= (whole.line, whole.column)
                if after_begin and (number, at.end_column) <= (whole.end_line, whole.end_column):
                    found.append(at)
        return found

    def _inside(self, path: Path, start: Position, end: Position) -> Location:
        lines = self._lines_of(path)
        if start["line"] == 0 and path not in self._known and path not in self._marked:
            self._marked[path] = self._tree.begins_with_mark(path)
        line, column = from_lsp(lines, start, self._encoding)
        end_line, end_column = from_lsp(lines, end, self._encoding)
        text = lines[line - 1][:MAX_LINE_TEXT]
        where = self._shown.get(path)
        if where is None:
            where = self._shown[path] = self._tree.show(path)
        return Location(path=where, line=line, column=column, end_line=end_line, end_column=end_column, line_text=text)

    def _external(self, uri: str, start: Position, end: Position) -> Location:
        # Columns stay as the server counts them: converting them would take reading a file outside the project.
        shown = clean(unquote(uri.removeprefix("file://")[:MAX_LINE_TEXT]))
        return Location(
            path=shown,
            line=start["line"] + 1,
            column=start["character"] + 1,
            end_line=end["line"] + 1,
            end_column=end["character"] + 1,
            external=True,
        )

    def _diagnostic(self, path: Path, item: Any) -> Diagnostic:
        item = _mapping(item)
        place = self._inside(path, *_range(item.get("range")))
        severity, code, source, message = (item.get(key) for key in ("severity", "code", "source", "message"))
        if not isinstance(message, str):
            raise ValueError("a diagnostic without a message")
        return Diagnostic(
            **place.model_dump(),
            severity=_SEVERITIES.get(severity, "error") if isinstance(severity, int) else "error",
            message=clipped(clean(message), _MAX_MESSAGE),
            code=clean(str(code)[:200]) if isinstance(code, (str, int)) else None,
            source=clean(source[:200]) if isinstance(source, str) else None,
        )

    def _lines_of(self, path: Path) -> list[str]:
        lines = self._lines.get(path)
        if lines is None:
            try:
                lines = self._lines[path] = self._tree.lines(path)
            except ToolError:
                raise StaleLocation(path) from None
        return lines


def sorted_unique(items: list[L]) -> list[L]:
    """Give each location once, by path and place, those outside the project last."""
    return sorted({_key(item): item for item in items}.values(), key=_order)


def _key(item: Location) -> object:
    # Most are plain, and many: writing each as JSON takes longer than all else.
    return (*_order(item), item.line_text) if type(item) is Location else item.model_dump_json()


def _order(item: Location) -> tuple[bool, str, int, int, int, int]:
    return bool(item.external), item.path, item.line, item.column, item.end_line, item.end_column


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("something that is not an object")
    return value


def _range(value: Any) -> tuple[Position, Position]:
    both = _mapping(value)
    return _position(both.get("start")), _position(both.get("end"))


def _position(value: Any) -> Position:
    place = _mapping(value)
    line, character = place.get("line"), place.get("character")
    if not isinstance(line, int) or not isinstance(character, int) or line < 0 or character < 0:
        raise ValueError("a position without line and character")
    return {"line": line, "character": character}


def call_places(
    reader: Reader, caller: Mapping[str, Any], callee: Mapping[str, Any], told: Sequence[tuple[Any, Any]]
) -> tuple[list[Location], bool]:
    """Give where a thing calls another, and whether that is all that the server told.

    Args:
        reader: of the answer.
        caller: the item of a hierarchy, as the protocol writes it.
        callee: the same.
        told: URI and range of the calls, as the server tells them.

    Raises:
        ValueError: something of it is malformed.
        StaleLocation: a place is in a file that is gone.
    """
    name = _bare(callee.get("name"))
    sure, unsure = list[Location](), list[Location]()
    for uri, span in told:
        place = reader.place(uri, span)
        (sure if place.external or reader.words_in(uri, span, name) else unsure).append(place)
    unsure = sorted_unique(unsure)
    if not unsure:
        return sorted_unique(sure), True
    own = reader.place(caller.get("uri"), caller.get("selectionRange"))
    body = reader.words_in(caller.get("uri"), caller.get("range"), name)
    named = [word for word in body if _start(word) != _start(own) and not any(_is_in(word, place) for place in sure)]
    possible = [place for place in unsure if _begins_a_name(place)]
    if not named:
        return sorted_unique([*sure, *possible]), len(possible) == len(unsure)
    whole = reader.place(caller.get("uri"), caller.get("range"))
    if len(named) == len(unsure) and not any(_is_in(place, whole) for place in possible):
        return sorted_unique([*sure, *named]), True
    return sorted_unique(sure), False


def _bare(name: Any) -> str:
    """Give the last word of a name without its arguments: servers show ``Cart.add(int)`` and ``Vec<T>::push``."""
    words = re.findall(r"[\w$]+", re.sub(r"<[^<>]*>|\(.*", "", name)) if isinstance(name, str) else []
    return words[-1] if words else ""


def _begins_a_name(place: Location) -> bool:
    """Say whether a call can be there: not within a word, and not where there is nothing."""
    text, start = place.line_text or "", place.column - 1
    here, before = text[start : start + 1], text[max(0, start - 1) : start]
    return bool(here) and not here.isspace() and not (_is_of_name(here) and _is_of_name(before))


def _is_of_name(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def _start(place: Location) -> tuple[int, int]:
    return place.line, place.column


def _is_in(inner: Location, outer: Location) -> bool:
    return _start(outer) <= _start(inner) and (inner.end_line, inner.end_column) <= (outer.end_line, outer.end_column)
