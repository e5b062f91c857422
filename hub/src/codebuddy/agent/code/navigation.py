"""The symbols of a project that have a name, and where they are used."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from codebuddy.agent.code.asking import (
    Answer,
    Asked,
    Pointer,
    Question,
    Unsettled,
    ask_at,
    beyond_limits,
    choose_of,
    file_symbols,
    look_for_word,
    malformed,
    point_at,
    request,
    settle,
)
from codebuddy.agent.code.decoding import MAX_LINE_TEXT, Reader, call_places, sorted_unique
from codebuddy.agent.code.pages import paged
from codebuddy.agent.code.places import Symbol, ends_with, kind_of
from codebuddy.agent.code.rename import word_at
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document
from codebuddy.agent.lsp.positions import clean
from codebuddy.agent.lsp.readiness import Report, remaining
from codebuddy.agent.lsp.server import LanguageServer
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.agent.lsp.transport import ServerError
from codebuddy.agent.lsp.tree import IGNORED_DIRECTORIES, Tree
from codebuddy.schemas.code import (
    CallHierarchyArguments,
    DocumentSymbolsArguments,
    FindSymbolsArguments,
    FoundSymbols,
    Hierarchy,
    HierarchyItem,
    Location,
    LocationsResult,
    Place,
    PlaceArguments,
    Reason,
    ReferencesArguments,
    ReferencesResult,
    SymbolLocation,
    SymbolsOfFile,
    TextRange,
    TypeHierarchyArguments,
)
from codebuddy.tool import ToolError

REFERENCES: Final = "textDocument/references"
_DEFINITION: Final = "textDocument/definition"
_WITH_DECLARATION: Final[Mapping[str, Any]] = MappingProxyType({"context": {"includeDeclaration": True}})

_NO_SYMBOL: Final = "The language server knows no symbol at this place: it finds not even a declaration."
_MAX_FILES: Final = 200
_MAX_SYMBOLS: Final = 20
_MAX_CANDIDATES: Final = 500
_AT_ONCE: Final = 8


@dataclass(frozen=True)
class Named:
    """What has a name.

    Args:
        symbols: all that have it, where they are declared.
        references: where they are used.
        answer: says whether that is all.
    """

    symbols: list[SymbolLocation]
    references: list[Location]
    answer: Answer


@dataclass(frozen=True)
class _Candidate:
    path: Path
    symbol: Symbol
    pointer: Pointer


async def find_named(question: Question, name: str) -> Named:
    """Give the symbols with a name, and their references.

    The files in which the name stands as a word are asked for their symbols: that is exact with every server, while
    ``workspace/symbol`` is cut, fuzzy or missing in most.

    Args:
        question: how long, and of whom.
        name: a symbol's name, or the end of its path, like ``Class/method``.

    Raises:
        StaleText, StaleLocation: a text changed meanwhile; asking anew may help.
        Unsettled: a server gave a malformed answer.
    """
    parts = tuple(part for part in name.split("/") if part)
    if not parts:
        raise ToolError("invalid_arguments", "symbol must be a name, like method or Class/method.")
    search = _Search(question, parts)
    found = await search.candidates()
    await search.use(found, declared=True)
    if not search.symbols:  # only other names for what is not in the project
        await search.use(found, declared=False)
    return Named(search.symbols, search.references, search.worth)


async def ask_references(asked: Asked, path: Path, pointer: Pointer) -> tuple[list[Location], Answer]:
    """Ask where the thing at a place is used, its declaration included.

    Raises:
        ToolError, Unsettled, StaleText, StaleLocation: see `ask_at`.
    """
    found, answer = await _ask_references(asked, path, pointer)
    if answer.reason is None and asked.server.config.limits:
        lines = answer.lines.get(path, [])
        word = word_at(lines, pointer.line, pointer.column_in(lines)) if lines else None
        answer = await beyond_limits(asked, word) or answer
    return found, answer


async def _ask_references(asked: Asked, path: Path, pointer: Pointer) -> tuple[list[Location], Answer]:
    """Ask for what the server finds.

    What is known has at least its declaration: a server that finds nothing knows no symbol there, which does not mean
    that there is none. rust-analyzer knows none in the body of a ``macro_rules!``.
    """
    found, answer = await ask_at(asked, path, pointer, REFERENCES, _WITH_DECLARATION)
    if not found and answer.reason is None:
        answer = Answer(None, answer.lines, answer.encoding, "unsupported", _NO_SYMBOL)
    return found, answer


def symbol_location(path: str, symbol: Symbol, lines: list[str]) -> SymbolLocation:
    """Give a symbol of a file as it is answered.

    Args:
        path: the file's workspace path.
        symbol: the symbol.
        lines: the text that it is of.
    """
    text = lines[symbol.line - 1] if symbol.line <= len(lines) else ""
    length = len(symbol.name) if text.startswith(symbol.name, symbol.column - 1) else 0
    return SymbolLocation(
        path=path,
        line=symbol.line,
        column=symbol.column,
        end_line=symbol.line,
        end_column=symbol.column + length,
        line_text=text[:MAX_LINE_TEXT],
        name=symbol.name,
        kind=symbol.kind,
        symbol="/".join(symbol.path),
        detail=symbol.detail,
        full_range=TextRange(**symbol.full._asdict()),
    )


class _Search:
    """A search for symbols in the files of a project.

    Args:
        question: how long, and of whom.
        parts: the name, the outermost part first.
    """

    def __init__(self, question: Question, parts: tuple[str, ...]) -> None:
        self._question = question
        self._parts = parts
        self.worth = Answer(None)
        self.symbols: list[SymbolLocation] = []
        self.references: list[Location] = []
        self._limits: dict[str, Answer] = {}

    def note(self, answer: Answer) -> None:
        """Remember the first reason why not all may be known."""
        if self.worth.reason is None and answer.reason is not None:
            self.worth = answer

    async def candidates(self) -> list[_Candidate]:
        """Give the symbols with the name: those that have no other path, or else all."""
        files = await self._files()
        found = await self._of_files(files)
        if not found:  # perhaps it is declared in generated code, which a .gitignore hides
            more = await self._files(include_ignored=True)
            found = await self._of_files([path for path in more if path not in files])
        exact = [one for one in found if len(one.symbol.path) == len(self._parts)]
        return exact or found

    async def _of_files(self, files: list[Path]) -> list[_Candidate]:
        found: list[_Candidate] = []
        for start in range(0, len(files), _AT_ONCE):
            for some in await asyncio.gather(*(self._of_file(path) for path in files[start : start + _AT_ONCE])):
                found += some
        return found

    async def use(self, candidates: list[_Candidate], declared: bool) -> None:
        """Add the references of some symbols, each once.

        Args:
            candidates: the symbols.
            declared: whether only those count that are declared where they stand.
        """
        for looked_at, candidate in enumerate(candidates):
            if any(_is_at(candidate, at) for at in self.references):
                continue
            if len(self.symbols) == _MAX_SYMBOLS or looked_at == _MAX_CANDIDATES:
                message = f"{len(candidates)} symbols have this name; not all were looked at. Give more of its path."
                self.note(Answer(None, reason="truncated", message=message))
                return
            if declared and not await self._is_declared_there(candidate):
                continue
            at, asked = candidate.pointer, await self._question.choose(candidate.path, REFERENCES)
            used, answer = await _ask_references(asked, candidate.path, at)
            self.note(answer)
            if answer.reason is None:
                self.note(await self._limits_at(candidate.path))
            self.references = sorted_unique([*self.references, *used])
            self.symbols.append(symbol_location(at.path, candidate.symbol, at.lines or [""]))

    async def _files(self, *, include_ignored: bool = False) -> list[Path]:
        """Give the files with the name in them, as many as are looked at: those that `search_text` sees, or all."""
        servers = self._question.servers
        if not servers.for_project("navigation"):
            self.note(Answer(None, reason="unsupported", message="No language server is declared for navigation."))
        root = servers.tree.root
        files: list[Path] = []
        async for looked in look_for_word(
            servers.tree,
            self._parts[-1],
            lambda path: servers.server_for(root / path) is not None,
            include_ignored=include_ignored,
            include_tool_directories=not include_ignored,
        ):
            files += looked.found
            if looked.cut is not None:
                self.note(Answer(None, reason="truncated", message=looked.cut))
            for path, error in looked.refused:
                message = f"{servers.tree.show(path)} was not looked at: {error.message}"
                self.note(Answer(None, reason="unsupported", message=message))
            if len(files) > _MAX_FILES or remaining(self._question.deadline) == 0:
                reason: Reason = "truncated" if len(files) > _MAX_FILES else "timed_out"
                told = f"the name stands in more than {_MAX_FILES} files" if reason == "truncated" else "time was over"
                self.note(Answer(None, reason=reason, message=f"Not all files were looked at: {told}."))
                return files[:_MAX_FILES]
        return files

    async def _limits_at(self, path: Path) -> Answer:
        """Say whether the server that finds references for a file may leave some out; looked up once for each."""
        asked = await self._question.choose(path, REFERENCES)
        name = asked.server.config.name
        if name not in self._limits:
            self._limits[name] = await beyond_limits(asked, self._parts[-1]) or Answer(None)
        return self._limits[name]

    async def _of_file(self, path: Path) -> list[_Candidate]:
        """Give the symbols of a file that have the name; what cannot be asked is noted."""
        try:
            symbols, answer = await file_symbols(self._question, path)
        except Unsettled as unsettled:
            self.note(unsettled.answer)
            return []
        except ToolError:
            return []  # it vanished on the way
        self.note(answer)
        shown, lines = self._question.servers.tree.show(path), answer.lines.get(path)
        return [
            _Candidate(path, symbol, Pointer(shown, symbol.line, symbol.column, lines=lines))
            for symbol in symbols
            if ends_with(symbol.path, self._parts)
        ]

    async def _is_declared_there(self, candidate: _Candidate) -> bool:
        """Say whether a symbol is not just another name for one elsewhere in the project, like that of an import."""
        with contextlib.suppress(Unsettled):
            asked = await self._question.choose(candidate.path, _DEFINITION)
            declared, answer = await ask_at(asked, candidate.path, candidate.pointer, _DEFINITION)
            if answer.reason is None:
                return not declared or any(at.external or _is_at(candidate, at) for at in declared)
        return True


def _is_at(candidate: _Candidate, at: Location) -> bool:
    return (candidate.pointer.path, candidate.symbol.line, candidate.symbol.column) == (at.path, at.line, at.column)


async def find_definition(servers: LanguageServers, place: PlaceArguments, report: Report) -> LocationsResult:
    """Give where the thing at a place is defined.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    return await _find(servers, place, report, "textDocument/definition")


async def find_implementations(servers: LanguageServers, place: PlaceArguments, report: Report) -> LocationsResult:
    """Give what implements the thing at a place: types of an interface or trait, bodies of an abstract method.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    return await _find(servers, place, report, "textDocument/implementation")


async def find_references(servers: LanguageServers, wanted: ReferencesArguments, report: Report) -> ReferencesResult:
    """Give all places where something is used, its declaration included: what is at a place, or has a name.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous; the project is not this one.
    """
    servers.tree.require_own(wanted.projects)
    question, place, symbols = Question.begin(servers, wanted.timeout_seconds, report), wanted.place(), None
    try:
        if place is None:
            named = await question.persist(partial(find_named, question, wanted.symbol or ""))
            symbols, locations, answer = named.symbols, named.references, named.answer
        else:
            locations, answer = await question.persist(partial(_at, question, place, REFERENCES))
    except Unsettled as unsettled:
        locations, answer = [], unsettled.answer
    page = paged("find_references", wanted, locations, answer)
    return ReferencesResult(locations=page.items, symbols=symbols, **page.rest)


async def _find(servers: LanguageServers, place: PlaceArguments, report: Report, method: str) -> LocationsResult:
    question = Question.begin(servers, place.timeout_seconds, report)
    locations, answer = await question.found(partial(_at, question, place, method))
    page = paged(method, place, locations, answer)
    return LocationsResult(locations=page.items, **page.rest)


async def _at(question: Question, place: Place, method: str) -> tuple[list[Location], Answer]:
    path = question.servers.tree.locate(place.path)
    asked = await question.choose(path, method)  # before a symbol is looked up: perhaps no server can answer at all
    pointer = await point_at(question, path, place)
    if place.symbol is not None:
        asked = await question.choose(path, method)  # that may have taken long
    if method == REFERENCES:
        return await ask_references(asked, path, pointer)
    return await ask_at(asked, path, pointer, method)


async def document_symbols(
    servers: LanguageServers, arguments: DocumentSymbolsArguments, report: Report
) -> SymbolsOfFile:
    """Give the symbols of a file, each before those in it, with where its name and all of it is.

    Raises:
        ToolError: there is no such file.
    """
    path = servers.tree.locate(arguments.path)
    question = Question.begin(servers, arguments.timeout_seconds, report)
    symbols, answer = await question.found(partial(_symbols, question, path))
    page = paged("document_symbols", arguments, symbols, answer)
    return SymbolsOfFile(path=servers.tree.show(path), symbols=page.items, **page.rest)


async def _symbols(question: Question, path: Path) -> tuple[list[SymbolLocation], Answer]:
    symbols, answer = await file_symbols(question, path)
    lines, shown = answer.lines.get(path, [""]), question.servers.tree.show(path)
    return [symbol_location(shown, symbol, lines) for symbol in symbols], answer


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
    return server.tree.any_file(lambda path: server.config.language_of(path) is not None)


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


_MAX_NODES: Final = 500
_MAX_CALLS: Final = 200
_MAX_TEXT: Final = 500

_Wanted = CallHierarchyArguments | TypeHierarchyArguments


@dataclass(frozen=True)
class _Way:
    """One direction of a hierarchy, as the protocol has it.

    Args:
        prepare: the request for the thing at a place.
        method: the request for the next ones.
        item: where in an answer's item the next thing is; None if the item is the thing.
        calls_in_next: whether the ranges of calls are in the file of the next thing.
    """

    prepare: str
    method: str
    item: str | None = None
    calls_in_next: bool = False


_WAYS: Final[Mapping[str, _Way]] = {
    "incoming": _Way("textDocument/prepareCallHierarchy", "callHierarchy/incomingCalls", "from", True),
    "outgoing": _Way("textDocument/prepareCallHierarchy", "callHierarchy/outgoingCalls", "to"),
    "supertypes": _Way("textDocument/prepareTypeHierarchy", "typeHierarchy/supertypes"),
    "subtypes": _Way("textDocument/prepareTypeHierarchy", "typeHierarchy/subtypes"),
}


async def call_hierarchy(servers: LanguageServers, wanted: CallHierarchyArguments, report: Report) -> Hierarchy:
    """Give who calls the function at a place, or whom it calls.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    return await _hierarchy(servers, wanted, report, "call_hierarchy")


async def type_hierarchy(servers: LanguageServers, wanted: TypeHierarchyArguments, report: Report) -> Hierarchy:
    """Give what the type at a place derives from, or what derives from it.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    return await _hierarchy(servers, wanted, report, "type_hierarchy")


async def _hierarchy(servers: LanguageServers, wanted: _Wanted, report: Report, tool: str) -> Hierarchy:
    question, path = Question.begin(servers, wanted.timeout_seconds, report), servers.tree.locate(wanted.path)
    items, answer = await question.found(partial(_attempt, question, path, wanted))
    page = paged(tool, wanted, items, answer)
    return Hierarchy(direction=wanted.direction, items=page.items, **page.rest)


async def _attempt(question: Question, path: Path, wanted: _Wanted) -> tuple[list[HierarchyItem], Answer]:
    way = _WAYS[wanted.direction]
    asked = await question.choose(path, way.prepare)
    walk = _Walk(asked, way, await point_at(question, path, wanted), wanted.depth)
    answer = await settle(asked, path, walk.run)
    if answer.reason is None and walk.cut:
        answer = Answer(None, answer.lines, answer.encoding, "truncated", f"Not followed further: {walk.cut}.")
    try:
        reader = Reader(question.servers.tree, answer.encoding, answer.lines)
        calls = [_calls(reader, way, node, walk.nodes) for node in walk.nodes]
        items = [_item(reader, number, node, calls[number][0]) for number, node in enumerate(walk.nodes)]
    except ValueError as error:
        raise malformed(error) from None
    reader.require_shown()
    if answer.reason is None and not all(all_right for _, all_right in calls):
        message = f"{asked.server.config.name} tells places of calls where nothing is called; these are left out."
        answer = Answer(None, answer.lines, answer.encoding, "server_error", message)
    return items, answer


@dataclass(frozen=True)
class _Node:
    """A thing on the way; what the server says of it is not checked yet but for its being an object."""

    raw: Mapping[str, Any]
    depth: int
    parent: int | None = None
    calls: list[tuple[Any, Any]] = field(default_factory=list)
    repeated: bool = False


class _Walk:
    """A walk from the thing at a place.

    Args:
        asked: whom, and how long.
        way: which way.
        pointer: the place.
        depth: how many steps.
    """

    def __init__(self, asked: Asked, way: _Way, pointer: Pointer, depth: int) -> None:
        self._asked, self._way, self._pointer, self._depth = asked, way, pointer, depth
        self._seen: set[str] = set()
        self.nodes: list[_Node] = []
        self.cut = ""

    async def run(self, connection: Connection, document: Document) -> None:
        """Walk; anew each time.

        Raises:
            Unsettled: the server's answer is malformed.
        """
        self.nodes, self.cut = [], ""
        self._seen.clear()
        params = self._pointer.params({}, document, connection.encoding)
        prepare = {"textDocument": {"uri": document.uri}, **params}
        try:
            for raw in _objects(await request(connection, self._way.prepare, prepare, self._asked.deadline)):
                await self._follow(connection, _Node(raw, 0))
        except ValueError as error:
            raise malformed(error) from None

    async def _follow(self, connection: Connection, node: _Node) -> None:
        if len(self.nodes) >= _MAX_NODES:
            self.cut = f"there are more than {_MAX_NODES} items"
            return
        number, key = len(self.nodes), _key(node.raw)
        if key in self._seen:
            self.nodes.append(_Node(node.raw, node.depth, node.parent, node.calls, repeated=True))
            return
        self.nodes.append(node)
        # What is outside the project leads ever further from it.
        inside = self._asked.server.tree.path_of(str(node.raw.get("uri"))) is not None
        if node.depth == self._depth or not inside:
            return
        self._seen.add(key)
        answer = await request(connection, self._way.method, {"item": node.raw}, self._asked.deadline)
        for item in sorted(_objects(answer), key=lambda one: _key(self._thing(one))):
            await self._follow(connection, self._next(number, node, item))

    def _thing(self, item: dict[str, Any]) -> dict[str, Any]:
        thing = item if self._way.item is None else item.get(self._way.item)
        if not isinstance(thing, dict):
            raise ValueError("an item that is no object")
        return thing

    def _next(self, parent: int, before: _Node, item: dict[str, Any]) -> _Node:
        thing, ranges = self._thing(item), item.get("fromRanges", [])
        if self._way.item is None:
            return _Node(thing, before.depth + 1, parent)
        if not isinstance(ranges, list):
            raise ValueError("ranges of calls that are no list")
        if len(ranges) > _MAX_CALLS:
            self.cut = f"{len(ranges)} calls in one function, of which {_MAX_CALLS} are told"
        uri = (thing if self._way.calls_in_next else before.raw).get("uri")
        return _Node(thing, before.depth + 1, parent, [(uri, span) for span in ranges[:_MAX_CALLS]])


def _objects(answer: Any) -> list[dict[str, Any]]:
    items = [] if answer is None else answer
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("a hierarchy that is not a list of objects")
    return items


def _key(raw: Mapping[str, Any]) -> str:
    """Give what tells two things apart, and puts them in an order that is the same each time."""
    span = raw.get("selectionRange")
    start = span.get("start") if isinstance(span, dict) else None
    line, character = (start.get("line"), start.get("character")) if isinstance(start, dict) else (None, None)
    numbers = [f"{one:09}" if isinstance(one, int) else "" for one in (line, character)]
    return "\n".join([str(raw.get("uri")), *numbers, str(raw.get("name"))])


def _calls(reader: Reader, way: _Way, node: _Node, nodes: list[_Node]) -> tuple[list[Location], bool]:
    """Give where one thing calls the one before it, or the other way round; see `call_places`."""
    if node.parent is None or not node.calls:
        return [], True
    before = nodes[node.parent]
    caller, callee = (node, before) if way.calls_in_next else (before, node)
    return call_places(reader, caller.raw, callee.raw, node.calls)


def _item(reader: Reader, number: int, node: _Node, calls: list[Location]) -> HierarchyItem:
    raw, name, detail = node.raw, node.raw.get("name"), node.raw.get("detail")
    if not isinstance(name, str):
        raise ValueError("an item without a name")
    full = reader.place(raw.get("uri"), raw.get("range"))
    return HierarchyItem(
        **reader.place(raw.get("uri"), raw.get("selectionRange")).model_dump(),
        name=clean(name[:_MAX_TEXT]),
        kind=kind_of(raw.get("kind")),
        detail=clean(detail[:_MAX_TEXT]) if isinstance(detail, str) and detail else None,
        full_range=TextRange(**full.model_dump(include=set(TextRange.model_fields))),
        id=number,
        parent=node.parent,
        depth=node.depth,
        calls=calls or None,
        repeated=node.repeated or None,
    )
