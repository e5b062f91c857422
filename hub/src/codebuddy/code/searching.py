"""The symbols of a project by a part of their name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from codebuddy.code.asking import Answer, Asked, Unsettled, request, settle
from codebuddy.code.choosing import choose_of
from codebuddy.code.pages import paged
from codebuddy.code.places import kind_of
from codebuddy.code.questions import Question, malformed
from codebuddy.code.results import Reader
from codebuddy.language.changes import remaining
from codebuddy.language.connection import Connection
from codebuddy.language.documents import Document
from codebuddy.language.positions import clean
from codebuddy.language.readiness import Report
from codebuddy.language.server import LanguageServer
from codebuddy.language.servers import LanguageServers
from codebuddy.language.session import ServerError
from codebuddy.language.tree import IGNORED_DIRECTORIES, Tree
from codebuddy.schemas.code import FindSymbolsArguments, FoundSymbols, SymbolLocation, TextRange

__all__ = ["find_symbols"]

_METHOD: Final = "workspace/symbol"
_MAX_ITEMS: Final = 20_000
_MAX_RESOLVED: Final = 500
_MAX_NAME: Final = 500
_SMALLEST_CAP: Final = 50
_QUALIFIED: Final = re.compile(r"[\w$]+(\.[\w$]+)+")
_BEGINNING: Final = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}}


async def find_symbols(servers: LanguageServers, wanted: FindSymbolsArguments, report: Report) -> FoundSymbols:
    """Give the symbols whose name has a text in it, the best match first.

    Raises:
        ToolError: the project is not this one.
    """
    servers.tree.require_own(wanted.projects)
    question = Question.begin(servers, wanted.timeout_seconds, report)
    found, answer = await question.found(partial(_search, question, wanted))
    page = paged("find_symbols", wanted, found, answer)
    return FoundSymbols(symbols=page.items, **page.rest)


async def _search(question: Question, wanted: FindSymbolsArguments) -> tuple[list[SymbolLocation], Answer]:
    """Ask a server for each kind of file; the first reason why one may lack something is told."""
    worth, found = Answer(None), dict[str, SymbolLocation]()
    groups = list(_groups(question.servers.for_project("navigation")))
    if not groups:
        raise Unsettled(Answer(None, reason="unsupported", message="No language server is declared for navigation."))
    for serving in groups:
        try:
            symbols, answer = await _ask(question, serving, wanted)
        except Unsettled as unsettled:
            symbols, answer = [], unsettled.answer
        found |= {one.model_dump_json(): one for one in symbols}
        worth = worth if worth.reason is not None else answer
    parts = _parts(wanted.query)
    kinds = set[str](wanted.kinds or ())
    matching = (one for one in found.values() if _matches(one, parts) and (not kinds or one.kind in kinds))
    return sorted(matching, key=partial(_rank, parts[-1])), worth


def _groups(servers: list[LanguageServer]) -> Iterator[list[LanguageServer]]:
    """Put servers together that serve the same files: one of them is enough."""
    left = list(servers)
    while left:
        patterns = set(left[0].config.languages)
        yield [server for server in left if patterns & set(server.config.languages)]
        left = [server for server in left if not patterns & set(server.config.languages)]


async def _ask(
    question: Question, serving: list[LanguageServer], wanted: FindSymbolsArguments
) -> tuple[list[SymbolLocation], Answer]:
    asked = await choose_of(serving, _METHOD, question.deadline, question.report)
    # Some servers know a project only while a file of it is open.
    path = _any_file(asked.server)
    if path is None:
        return [], Answer(None)
    answer = await settle(asked, path, partial(_exchange, asked, _parts(wanted.query)[-1]))
    raw: list[dict[str, Any]] = answer.result or []
    tree = question.servers.tree
    reader = Reader(tree, answer.encoding, answer.lines)
    try:
        shown = [item for item in raw[:_MAX_ITEMS] if wanted.include_external or not _is_library(tree, item)]
        symbols = [_symbol(reader, item) for item in shown]
    except ValueError as error:
        raise malformed(error) from None
    reader.require_shown()
    if answer.reason is None and (len(raw) > _MAX_ITEMS or _looks_cut(len(raw))):
        told = f"{asked.server.config.name} gave {len(raw)} symbols, perhaps as many as it ever gives"
        answer = Answer(None, reason="truncated", message=f"{told}; ask for more of the name.")
    return symbols, answer


def _any_file(server: LanguageServer) -> Path | None:
    connection = server.connection
    for path in reversed(connection.documents.paths() if connection else []):
        if server.tree.stamp(path) is not None:
            return path
    return next(server.tree.files(lambda path: server.config.language_of(path) is not None), None)


async def _exchange(asked: Asked, query: str, connection: Connection, document: Document) -> list[dict[str, Any]]:
    """Ask, and have those without a range completed.

    Raises:
        Unsettled: the server's answer is malformed.
    """
    items = await request(connection, _METHOD, {"query": query}, asked.deadline) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise malformed(ValueError("symbols that are not a list of objects"))
    if connection.capabilities.options(_METHOD).get("resolveProvider") is not True:
        return items
    left = _MAX_RESOLVED
    for index, item in enumerate(items):
        at = item.get("location")
        if isinstance(at, dict) and "range" not in at and left > 0 and remaining(asked.deadline) > 0:
            left -= 1
            try:
                full = await request(connection, "workspaceSymbol/resolve", item, asked.deadline)
            except ServerError:
                continue
            items[index] = full if isinstance(full, dict) else item
    return items


def _looks_cut(count: int) -> bool:
    """Say whether so many may be the most that a server gives: that is a round number, like 100, 128 or 256."""
    return count >= _SMALLEST_CAP and (count % 50 == 0 or count & (count - 1) == 0)


def _symbol(reader: Reader, item: dict[str, Any]) -> SymbolLocation:
    name, container, at = item.get("name"), item.get("containerName"), item.get("location")
    if not isinstance(name, str) or not isinstance(at, dict):
        raise ValueError("a symbol without name and location")
    uri, span = at.get("uri"), at.get("range", _BEGINNING)
    around = container if isinstance(container, str) else ""
    if _QUALIFIED.fullmatch(name):  # Go's are: Cart.Add
        qualifier, _, name = name.rpartition(".")
        around = f"{around}.{qualifier}" if around else qualifier
    words = re.findall(r"[\w$]+", re.sub(r"[<(].*", "", name))
    whole = reader.place(uri, span)
    full = TextRange(**{key: getattr(whole, key) for key in TextRange.model_fields})
    return SymbolLocation(
        **reader.name_in(uri, span, words[-1] if words else "").model_dump(),
        name=clean(name[:_MAX_NAME]),
        kind=kind_of(item.get("kind")),
        container=clean(around[:_MAX_NAME]) or None,
        full_range=full if full.end_line > full.line else None,
    )


def _parts(query: str) -> list[str]:
    return [part for part in query.split("/") if part] or [query]


def _matches(symbol: SymbolLocation, parts: list[str]) -> bool:
    """Say whether a symbol has the name; servers give also what is only like it."""
    around = f"{symbol.container or ''} {symbol.name}".lower()
    return parts[-1].lower() in symbol.name.lower() and all(part.lower() in around for part in parts[:-1])


def _is_library(tree: Tree, item: dict[str, Any]) -> bool:
    """Say whether a symbol is outside the project, or in a directory of the project that tools fill."""
    at = item.get("location")
    uri = at.get("uri") if isinstance(at, dict) else None
    if not isinstance(uri, str):
        return False
    path = tree.path_of(uri)
    return path is None or not IGNORED_DIRECTORIES.isdisjoint(path.relative_to(tree.root).parts)


def _rank(wanted: str, symbol: SymbolLocation) -> tuple[int, bool, str, int, int]:
    name, lower = symbol.name, symbol.name.lower()
    match = [name == wanted, lower == wanted.lower(), lower.startswith(wanted.lower()), True].index(True)
    return match, bool(symbol.external), symbol.path, symbol.line, symbol.column
