"""Questions about places: definition, references. Each answer says whether it is complete."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from codebuddy.code.asking import Answer, Asked, Report, ask, ask_symbols
from codebuddy.code.models import Location, LocationsResult, Place, PlaceArguments, Reason
from codebuddy.code.places import Symbol, find_symbol, find_word, read_symbols
from codebuddy.code.results import Reader, StaleLocation
from codebuddy.errors import ToolError
from codebuddy.language.changes import remaining
from codebuddy.language.documents import Document, StaleText
from codebuddy.language.positions import Encoding, Position, to_lsp
from codebuddy.language.servers import LanguageServers

__all__ = [
    "MALFORMED",
    "Pointer",
    "Unsettled",
    "find_definition",
    "find_references",
    "offset_of",
    "point_at",
    "symbols_of",
]

_STALE_LONGEST_PAUSE: Final = 2.0
_STALE_PAUSE: Final = 0.05
MALFORMED: Final = "The language server gave a malformed answer"


class Unsettled(Exception):
    """What must be known first is not known yet.

    Args:
        answer: says why.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


@dataclass(frozen=True)
class Pointer:
    """A place in a file, looked up in the text that the server knows when it is asked.

    Args:
        path: the workspace path, for messages.
        line: the 1-based line.
        column: the 1-based column.
        text: the word on the line that is meant, in place of the column.
        lines: the text that line and column were taken from; None when the caller gave them.
    """

    path: str
    line: int
    column: int = 1
    text: str | None = None
    lines: list[str] | None = None

    def position(self, document: Document, encoding: Encoding) -> Position:
        """Give the position in a document.

        Raises:
            ToolError: there is no such place in it, or more than one.
            StaleText: line and column were taken from another text.
        """
        if self.lines is not None and self.lines != document.lines:
            raise StaleText(self.path)
        try:
            return to_lsp(document.lines, self.line, self.column_in(document.lines), encoding)
        except ValueError as error:
            raise ToolError("no_such_place", f"{str(error).capitalize()}.", self.path) from None

    def params(self, more: dict[str, Any], document: Document, encoding: Encoding) -> dict[str, Any]:
        """Give the parameters of a question about the place.

        Raises:
            ToolError, StaleText: see `position`.
        """
        return {"position": self.position(document, encoding), **more}

    def column_in(self, lines: list[str]) -> int:
        """Give the column in a text.

        Raises:
            ToolError: the word is not on the line, or more than once.
        """
        return self.column if self.text is None else find_word(lines, self.line, self.text, self.path)


async def find_definition(servers: LanguageServers, place: PlaceArguments, report: Report) -> LocationsResult:
    """Give where the thing at a place is defined.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    return await _find(servers, place, report, "textDocument/definition", {})


async def find_references(servers: LanguageServers, place: PlaceArguments, report: Report) -> LocationsResult:
    """Give all places where the thing at a place is used, its declaration included.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    return await _find(servers, place, report, "textDocument/references", {"context": {"includeDeclaration": True}})


async def _find(
    servers: LanguageServers, place: PlaceArguments, report: Report, method: str, extra: dict[str, Any]
) -> LocationsResult:
    start = offset_of(place.cursor)
    path = servers.tree.locate(place.path)
    server = servers.server_for(path)
    if server is None:
        servers.tree.read(path)  # a file that is not there is the caller's mistake, served or not
        served = f"No language server serves this file; served are: {servers.served()}."
        return _none("unsupported", served)
    asked = Asked(server, asyncio.get_running_loop().time() + place.timeout_seconds, report)
    pause = _STALE_PAUSE
    while True:
        try:
            pointer = await point_at(asked, path, place)
            answer = await ask(asked, path, method, partial(pointer.params, extra))
            return _paged(*_read(servers, answer), start, place.limit)
        except Unsettled as unsettled:
            return _none(unsettled.answer.reason, unsettled.answer.message)
        except StaleText as stale:
            message = f"The file keeps changing: {stale.path}."
        except StaleLocation as stale:
            # It has not heard of the deletion, or not acted on it yet.
            await servers.files_changed([stale.path])
            message = f"The language server still speaks of a file that is gone: {servers.tree.show(stale.path)}."
        if pause > _STALE_LONGEST_PAUSE or remaining(asked.deadline) < pause:
            return _none("indexing", message)
        await asyncio.sleep(pause)
        pause *= 2


def _none(reason: Reason | None, message: str | None) -> LocationsResult:
    return LocationsResult(complete=False, reason=reason, message=message, locations=[])


async def point_at(asked: Asked, path: Path, place: Place) -> Pointer:
    """Point at a place; a symbol is looked up in the symbols of the file.

    Raises:
        ToolError: the file cannot be read, or has no such symbol or more than one.
        Unsettled: the symbols of the file are not known yet.
    """
    if place.symbol is None:
        return Pointer(place.path, place.line or 1, place.column or 1, place.text)
    answer = await ask_symbols(asked, path)
    if answer.result is None and answer.reason is not None:
        raise Unsettled(answer)
    try:
        found = find_symbol(symbols_of(answer, path), place.symbol, place.path)
    except ToolError:
        if answer.reason is not None:  # it may be there once the server has loaded
            raise Unsettled(answer) from None
        raise
    return Pointer(place.path, found.line, found.column, lines=answer.lines.get(path))


def symbols_of(answer: Answer, path: Path) -> list[Symbol]:
    """Read the answer to a question for the symbols of a file.

    Raises:
        Unsettled: it is malformed.
    """
    try:
        return read_symbols(answer.result, answer.lines.get(path, [""]), answer.encoding)
    except ValueError as error:
        raise Unsettled(Answer(None, reason="server_error", message=f"{MALFORMED}: {error}.")) from None


def _read(servers: LanguageServers, answer: Answer) -> tuple[list[Location], Reason | None, str | None]:
    reader = Reader(servers.tree, answer.encoding, answer.lines)
    try:
        return reader.locations(answer.result), answer.reason, answer.message
    except ValueError as error:
        return [], "server_error", f"{MALFORMED}: {error}."


def _paged(
    locations: list[Location], reason: Reason | None, message: str | None, start: int, limit: int
) -> LocationsResult:
    page = locations[start : start + limit]
    if start + limit >= len(locations):
        return LocationsResult(complete=reason is None, reason=reason, message=message, locations=page)
    return LocationsResult(
        complete=False,
        reason=reason or "truncated",
        message=message or f"{len(locations)} in all; give the cursor back for more.",
        cursor=str(start + limit),
        locations=page,
    )


def offset_of(cursor: str | None) -> int:
    """Give the offset that a cursor stands for.

    Raises:
        ToolError: ``invalid_arguments``: it is none of ours.
    """
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 9:
        raise ToolError("invalid_arguments", "This is not a cursor that an earlier answer gave.")
    return int(cursor)
