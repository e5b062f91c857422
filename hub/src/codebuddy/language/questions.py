"""Questions about places: definition, references. Each answer says whether it is complete."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from codebuddy.errors import ToolError
from codebuddy.language.asking import Answer, Asked, Report, ask, ask_symbols
from codebuddy.language.changes import remaining
from codebuddy.language.documents import Document
from codebuddy.language.models import Location, LocationsResult, PlaceArguments, Reason
from codebuddy.language.places import find_symbol, find_word, read_symbols
from codebuddy.language.positions import Encoding, to_lsp
from codebuddy.language.results import Reader, StaleLocation
from codebuddy.language.servers import LanguageServers

__all__ = ["find_definition", "find_references", "offset_of"]

_STALE_LONGEST_PAUSE: Final = 2.0
_STALE_PAUSE: Final = 0.05
_MALFORMED: Final = "The language server gave a malformed answer"


class _Unsettled(Exception):
    """The place could not be found yet; carries the answer that says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


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
        return LocationsResult(complete=False, reason="unsupported", message=served, locations=[])
    asked = Asked(server, asyncio.get_running_loop().time() + place.timeout_seconds, report)
    try:
        params = await _params_at(asked, path, place)
    except _Unsettled as unsettled:
        answer = unsettled.answer
        return LocationsResult(complete=False, reason=answer.reason, message=answer.message, locations=[])
    pause = _STALE_PAUSE
    while True:
        answer = await ask(asked, path, method, lambda document, encoding: {**params(document, encoding), **extra})
        try:
            return _paged(*_read(servers, answer), start, place.limit)
        except StaleLocation as stale:
            # It has not heard of the deletion, or not acted on it yet.
            await servers.files_changed([stale.path])
            if pause > _STALE_LONGEST_PAUSE or remaining(asked.deadline) < pause:
                gone = f"The language server still speaks of a file that is gone: {servers.tree.show(stale.path)}."
                return LocationsResult(complete=False, reason="indexing", message=gone, locations=[])
        await asyncio.sleep(pause)
        pause *= 2


async def _params_at(asked: Asked, path: Path, place: PlaceArguments) -> Callable[[Document, Encoding], dict[str, Any]]:
    """Give what computes the position of the place in the text that the server knows when it is asked."""
    line, column, symbol = place.line or 1, place.column, place.symbol
    if symbol is not None:
        line, column = await _place_of_symbol(asked, path, symbol, place.path)

    def params(document: Document, encoding: Encoding) -> dict[str, Any]:
        at = column if place.text is None else find_word(document.lines, line, place.text, place.path)
        try:
            return {"position": to_lsp(document.lines, line, at or 1, encoding)}
        except ValueError as error:
            raise ToolError("no_such_place", f"{str(error).capitalize()}.", place.path) from None

    return params


async def _place_of_symbol(asked: Asked, path: Path, wanted: str, shown: str) -> tuple[int, int]:
    answer = await ask_symbols(asked, path)
    if answer.result is None and answer.reason is not None:
        raise _Unsettled(answer)
    try:
        symbols = read_symbols(answer.result, answer.lines.get(path, [""]), answer.encoding)
        found = find_symbol(symbols, wanted, shown)
    except ValueError as error:
        raise _Unsettled(Answer(None, reason="server_error", message=f"{_MALFORMED}: {error}.")) from None
    except ToolError:
        if answer.reason is not None:  # it may be there once the server has loaded
            raise _Unsettled(answer) from None
        raise
    return found.line, found.column


def _read(servers: LanguageServers, answer: Answer) -> tuple[list[Location], Reason | None, str | None]:
    reader = Reader(servers.tree, answer.encoding, answer.lines)
    try:
        return reader.locations(answer.result), answer.reason, answer.message
    except ValueError as error:
        return [], "server_error", f"{_MALFORMED}: {error}."


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
