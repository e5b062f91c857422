"""Where things are: definitions, implementations, references, symbols, hierarchies of calls and types.

The tools raise `ToolError` for what is the caller's mistake: there is no such file or place, or it is ambiguous.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from codebuddy.agent.code import answers
from codebuddy.agent.code.answers import COMPLETE, Answer, NoAnswer, validated
from codebuddy.agent.code.asking import (
    Pointer,
    Question,
    ServerQuestion,
    ask_at,
    file_symbols,
    files_with_word,
    point_at,
    request,
    run_exchange,
)
from codebuddy.agent.code.callers import with_all_callers
from codebuddy.agent.code.coverage import (
    MAX_ROUNDS,
    REFERENCES,
    Uses,
    all_uses,
    compare,
    loads_by_configuration,
    show_configurations,
)
from codebuddy.agent.code.decoding import MAX_LINE_TEXT, Reader, paged, sorted_unique, text_range
from codebuddy.agent.code.places import FUNCTIONS, Symbol, kind_of
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document
from codebuddy.agent.lsp.positions import clean
from codebuddy.agent.lsp.readiness import Report, remaining
from codebuddy.agent.lsp.servers import LanguageServer, LanguageServers
from codebuddy.agent.lsp.transport import ServerError
from codebuddy.agent.lsp.tree import TOOL_DIRECTORIES, Tree
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
    ReferencesArguments,
    ReferencesResult,
    SymbolLocation,
    SymbolsOfFile,
    TextRange,
    TypeHierarchyArguments,
)
from codebuddy.symbol_names import bare_name, names_in
from codebuddy.tool import ToolError

T = TypeVar("T")

_DEFINITION: Final = "textDocument/definition"
_IMPLEMENTATION: Final = "textDocument/implementation"
_MAX_NAME: Final = 500

# Of references by name.
_MAX_FILES: Final = 200
_MAX_SYMBOLS: Final = 20
_MAX_CANDIDATES: Final = 500
_AT_ONCE: Final = 8

_MAX_TEXT_MATCHES: Final = 50

# Of the reasons why an answer about uses may lack some, those that hold for other answers about the whole project too.
_GAPS: Final = ("not_covered", "truncated")


# Of symbols by name.
_WORKSPACE_SYMBOL: Final = "workspace/symbol"
_MAX_ITEMS: Final = 20_000
_MAX_RESOLVED: Final = 500
_SMALLEST_CAP: Final = 50
_WORD: Final = re.compile(r"[\w$]+")
_QUALIFIED: Final = re.compile(r"[\w$]+(\.[\w$]+)+")
_BEGINNING: Final[answers.Range] = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}}

# Of hierarchies.
_MAX_NODES: Final = 500
_MAX_CALLS: Final = 200

_HierarchyArguments = CallHierarchyArguments | TypeHierarchyArguments

_Call = tuple[str, answers.Range]
"""URI and range of a call."""


async def find_definition(servers: LanguageServers, place: PlaceArguments, report: Report) -> LocationsResult:
    """Return where the thing at a place is defined."""
    return await _find(servers, place, report, _DEFINITION)


async def find_implementations(servers: LanguageServers, place: PlaceArguments, report: Report) -> LocationsResult:
    """Return what implements the thing at a place: types of an interface or trait, bodies of an abstract method."""
    return await _find(servers, place, report, _IMPLEMENTATION)


async def _find(servers: LanguageServers, place: PlaceArguments, report: Report, method: str) -> LocationsResult:
    question = Question.begin(servers, place.timeout_seconds, report)
    locations, answer = await question.found(partial(_locations_at, question, place, method))
    page = paged(method, place, locations, answer)
    return LocationsResult(locations=page.items, **page.rest)


async def find_references(servers: LanguageServers, arguments: ReferencesArguments, report: Report) -> ReferencesResult:
    """Return all places where something is used, its declaration included: what is at a place, or has a name."""
    servers.tree.require_own(arguments.projects)
    question, place = Question.begin(servers, arguments.timeout_seconds, report), arguments.place()
    if place is None:
        attempt = partial(_references_by_name, question, arguments.symbol or "")
    else:
        attempt = partial(_references_at, question, place)
    uses, answer = await question.answered(attempt, Uses())
    page = paged("find_references", arguments, uses.found, answer)
    return ReferencesResult(
        locations=page.items,
        symbols=uses.symbols,
        text_matches=list(uses.unknown[:_MAX_TEXT_MATCHES]) or None,
        text_matches_cut=max(0, len(uses.unknown) - _MAX_TEXT_MATCHES) or None,
        **page.rest,
    )


async def _locations_at(question: Question, place: Place, method: str) -> tuple[list[Location], Answer]:
    path = question.servers.tree.locate(place.path)
    asked = await question.choose(path, method)  # before a symbol is looked up: perhaps no server can answer at all
    pointer = await point_at(question, path, place)
    if place.symbol is not None:
        asked = await question.choose(path, method)  # that may have taken long
    attempt = partial(ask_at, asked, path, pointer, method)
    if method == _IMPLEMENTATION:
        found, uses, answer = await _with_all_uses_loaded(question, path, pointer, attempt)
        for at in uses.others:
            there = question.servers.tree.locate(at.path)
            more, _ = await ask_at(asked, there, Pointer(at.path, at.line, at.column), method)
            found = sorted_unique([*found, *more])
        return found, answer
    return await attempt()


async def _with_all_uses_loaded(
    question: Question, path: Path, pointer: Pointer, attempt: Callable[[], Awaitable[tuple[T, Answer]]]
) -> tuple[T, Uses, Answer]:
    """Ask, and again if the server had not loaded all files in which the thing is used.

    Returns:
        What was found, the uses, and the answer with what the server leaves out.
    """
    found, answer = await attempt()
    if answer.reason is not None:
        return found, Uses(), answer
    try:
        uses, known = await all_uses(question, await question.choose(path, REFERENCES), path, pointer)
    except NoAnswer:
        return found, Uses(), answer
    if uses.opened:
        found, answer = await attempt()
    return found, uses, answer.also(known) if known.reason in _GAPS else answer


async def _references_at(question: Question, place: Place) -> tuple[Uses, Answer]:
    path = question.servers.tree.locate(place.path)
    asked = await question.choose(path, REFERENCES)
    pointer = await point_at(question, path, place)
    if place.symbol is not None:
        asked = await question.choose(path, REFERENCES)
    return await all_uses(question, asked, path, pointer)


async def _references_by_name(question: Question, name: str) -> tuple[Uses, Answer]:
    """Return the symbols with a name, and their references.

    The files that contain the name as a word are asked for their symbols: that is exact with every server, while
    ``workspace/symbol`` is cut, fuzzy or missing in most.
    """
    parts = names_in(name.strip("/"))
    if not parts[-1]:
        raise ToolError("invalid_arguments", "symbol must be a name, like method or Class/method.")
    search = _ReferencesByName(question, parts)
    candidates = await search.candidates()
    await search.add_references(candidates, declared=True)
    await search.add_references(candidates, declared=False)  # of those that are no uses of the others
    return Uses(search.references, search.unknown, search.symbols), search.answer


@dataclass(frozen=True)
class _Candidate:
    path: Path
    symbol: Symbol
    pointer: Pointer

    def is_at(self, at: Location) -> bool:
        return (self.pointer.path, self.symbol.line, self.symbol.column) == (at.path, at.line, at.column)


class _ReferencesByName:
    def __init__(self, question: Question, parts: tuple[str, ...]) -> None:
        self._question = question
        self._parts = parts
        self._word = _word_in(parts[-1])
        self.answer = COMPLETE
        self.symbols: list[SymbolLocation] = []
        self.references: list[Location] = []
        self.unknown: list[Location] = []

    def _note(self, answer: Answer) -> None:
        """Remember the first reason why not all may be known."""
        self.answer = answer if self.answer.reason is None else self.answer

    async def candidates(self) -> list[_Candidate]:
        """Return the symbols with the name: those that have no longer path, or else all."""
        files = await self._files()
        found = await self._of_files(files)
        if not found:  # perhaps it is declared in generated code, which a .gitignore hides
            more = await self._files(include_ignored=True)
            found = await self._of_files([path for path in more if path not in files])
        exact = [one for one in found if len(one.symbol.names) == len(self._parts)]
        return exact or found

    async def _of_files(self, files: list[Path]) -> list[_Candidate]:
        found: list[_Candidate] = []
        for start in range(0, len(files), _AT_ONCE):
            for some in await asyncio.gather(*(self._of_file(path) for path in files[start : start + _AT_ONCE])):
                found += some
        return found

    async def add_references(self, candidates: list[_Candidate], declared: bool) -> None:
        """Add the references of some symbols, each once; if ``declared``, not of those declared elsewhere."""
        for index, candidate in enumerate(candidates):
            if any(candidate.is_at(at) for at in [*self.symbols, *self.references]):
                continue
            if len(self.symbols) == _MAX_SYMBOLS or index == _MAX_CANDIDATES:
                message = f"{len(candidates)} symbols have this name; not all were looked at. Give more of its path."
                self._note(Answer.lacking("truncated", message))
                return
            if declared and not await self._is_declared_there(candidate):
                continue
            at, asked = candidate.pointer, await self._question.choose(candidate.path, REFERENCES)
            used, answer = await all_uses(self._question, asked, candidate.path, at)
            self._note(answer)
            self.references = sorted_unique([*self.references, *used.found])
            self.unknown = sorted_unique([*self.unknown, *used.unknown])
            self.symbols.append(_symbol_location(at.path, candidate.symbol, at.lines or [""]))

    async def _files(self, *, include_ignored: bool = False) -> list[Path]:
        """Return the files that contain the name, as many as are looked at: those that `search_text` sees, or all."""
        servers = self._question.servers
        if not servers.for_project("navigation"):
            self._note(Answer.lacking("unsupported", "No language server is declared for navigation."))
        root = servers.tree.root
        files: list[Path] = []
        async for batch in files_with_word(
            servers.tree,
            self._word,
            lambda path: servers.may_serve(root / path),
            include_ignored=include_ignored,
            include_tool_directories=not include_ignored,
        ):
            files += batch.found
            if batch.cut is not None:
                self._note(Answer.lacking("truncated", batch.cut))
            for path, error in batch.refused:
                self._note(
                    Answer.lacking("unsupported", f"{servers.tree.show(path)} was not looked at: {error.message}")
                )
            if len(files) > _MAX_FILES:
                message = f"Not all files were looked at: more than {_MAX_FILES} contain the name."
                self._note(Answer.lacking("truncated", message))
                return files[:_MAX_FILES]
            if remaining(self._question.deadline) == 0:
                self._note(Answer.lacking("timed_out", "Not all files were looked at: time was over."))
                return files
        return files

    async def _of_file(self, path: Path) -> list[_Candidate]:
        """Return the symbols of a file that have the name; note what cannot be asked."""
        try:
            symbols, answer = await file_symbols(self._question, path)
        except NoAnswer as none:
            self._note(none.answer)
            return []
        except ToolError:
            return []  # it vanished on the way
        self._note(answer)
        shown, lines = self._question.servers.tree.show(path), answer.lines.get(path)
        return [
            _Candidate(path, symbol, Pointer(shown, symbol.line, symbol.column, lines=lines))
            for symbol in symbols
            if symbol.is_called(self._parts)
        ]

    async def _is_declared_there(self, candidate: _Candidate) -> bool:
        """Say whether a symbol is not just another name for one elsewhere in the project, like that of an import."""
        with contextlib.suppress(NoAnswer):
            asked = await self._question.choose(candidate.path, _DEFINITION)
            declared, answer = await ask_at(asked, candidate.path, candidate.pointer, _DEFINITION)
            if answer.reason is None:
                return not declared or any(at.external or candidate.is_at(at) for at in declared)
        return True


def _word_in(name: str) -> str:
    """Return the word by which files with a name are found: it is in ``~Box`` and ``"quoted"``."""
    word = re.search(r"[\w$]+", name)
    return word[0] if word else name


async def document_symbols(
    servers: LanguageServers, arguments: DocumentSymbolsArguments, report: Report
) -> SymbolsOfFile:
    """Return the symbols of a file, each before those in it, with the places of its name and of all of it."""
    path = servers.tree.locate(arguments.path)
    shown, question = servers.tree.show(path), Question.begin(servers, arguments.timeout_seconds, report)

    async def attempt() -> tuple[list[SymbolLocation], Answer]:
        symbols, answer = await file_symbols(question, path)
        lines = answer.lines.get(path, [""])
        return [_symbol_location(shown, symbol, lines) for symbol in symbols], answer

    symbols, answer = await question.found(attempt)
    page = paged("document_symbols", arguments, symbols, answer)
    return SymbolsOfFile(path=shown, symbols=page.items, **page.rest)


def _symbol_location(path: str, symbol: Symbol, lines: list[str]) -> SymbolLocation:
    text = lines[symbol.line - 1] if symbol.line <= len(lines) else ""
    own = bare_name(symbol.names[-1])  # of what servers call (*Box).Open or Box::open
    length = next((len(name) for name in (symbol.name, own) if text.startswith(name, symbol.column - 1)), 0)
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


async def find_symbols(servers: LanguageServers, arguments: FindSymbolsArguments, report: Report) -> FoundSymbols:
    """Return the symbols of the project whose name contains a text, the best match first."""
    servers.tree.require_own(arguments.projects)
    question = Question.begin(servers, arguments.timeout_seconds, report)
    found, answer = await question.found(partial(_search_symbols, question, arguments))
    page = paged("find_symbols", arguments, found, answer)
    return FoundSymbols(symbols=page.items, **page.rest)


async def _search_symbols(question: Question, arguments: FindSymbolsArguments) -> tuple[list[SymbolLocation], Answer]:
    """Ask a server for each kind of file; give the first reason why an answer may be incomplete."""
    worst, found = COMPLETE, dict[str, SymbolLocation]()
    groups = list(_groups(question.servers.for_project("navigation")))
    if not groups:
        raise NoAnswer.because("unsupported", "No language server is declared for navigation.")
    for serving in groups:
        try:
            symbols, answer = await _ask_symbols(question, serving, arguments)
        except NoAnswer as none:
            symbols, answer = [], none.answer
        found |= {one.model_dump_json(): one for one in symbols}
        worst = worst if worst.reason is not None else answer
    parts = _parts(arguments.query)
    if len(parts) > 1:
        worst = await _add_containers(question, found, parts, worst)
    kinds = set[str](arguments.kinds or ())
    matching = (one for one in found.values() if _matches(one, parts) and (not kinds or one.kind in kinds))
    return sorted(matching, key=partial(_rank, parts[-1])), worst


def _groups(servers: list[LanguageServer]) -> Iterator[list[LanguageServer]]:
    """Put servers together that serve the same files: one of them is enough."""
    left = list(servers)
    while left:
        patterns = set(left[0].config.languages)
        yield [server for server in left if patterns & set(server.config.languages)]
        left = [server for server in left if not patterns & set(server.config.languages)]


async def _ask_symbols(
    question: Question, serving: list[LanguageServer], arguments: FindSymbolsArguments
) -> tuple[list[SymbolLocation], Answer]:
    asked = await question.choose_from(serving, _WORKSPACE_SYMBOL)
    # Some servers know a project only while a file of it is open.
    await show_configurations(question, asked, None)
    path = _any_file(asked.server)
    if path is None:
        return [], COMPLETE
    word = _parts(arguments.query)[-1]
    for _ in range(MAX_ROUNDS):
        symbols, answer = await _ask_for_symbols(question, asked, path, arguments)
        if answer.reason is not None or not _WORD.fullmatch(word):
            break
        rest = await compare(question, asked, path, word, [one for one in symbols if one.name == word], local=False)
        answer = rest.answer
        if not rest.opened:
            break
    if loads_by_configuration(asked.server) and _WORD.fullmatch(word):
        symbols = await _with_symbols_of_files(question, asked, word, symbols)
    return symbols, answer


async def _with_symbols_of_files(
    question: Question, asked: ServerQuestion, word: str, symbols: list[SymbolLocation]
) -> list[SymbolLocation]:
    """Take the symbols with a whole name from the files in which it stands, in place of the server's.

    typescript-language-server searches the project of the file that was opened last, and not the others; members that
    are assigned to ``this`` it gives or not, by what was opened before.
    """
    tree, config, found = question.servers.tree, asked.server.config, {(at.path, at.line): at for at in symbols}
    places = (await question.servers.words.find(word)).places
    served = [path for path in places if config.language_of(tree.relative(path)) is not None]
    for path in served[:_MAX_FILES]:
        with contextlib.suppress(NoAnswer, ToolError):
            own, answer = await file_symbols(question, path)
            shown, lines = tree.show(path), answer.lines.get(path, [""])
            found = {key: at for key, at in found.items() if key[0] != shown or at.name != word}
            for symbol in own:
                if symbol.name == word and not _is_in_function(symbol, own):
                    found[shown, symbol.line] = _symbol_location(shown, symbol, lines)
    return list(found.values())


def _is_in_function(symbol: Symbol, symbols: Sequence[Symbol]) -> bool:
    above = {one.path for one in symbols if one.kind in FUNCTIONS}
    return any(symbol.path[:depth] in above for depth in range(1, len(symbol.path)))


async def _ask_for_symbols(
    question: Question, asked: ServerQuestion, path: Path, arguments: FindSymbolsArguments
) -> tuple[list[SymbolLocation], Answer]:
    answer = await run_exchange(asked, path, partial(_request_symbols, asked, _parts(arguments.query)[-1]))
    raw: list[dict[str, Any]] = answer.result or []
    tree = question.servers.tree
    reader = Reader(tree, answer.encoding, answer.lines)
    symbols = [
        _workspace_symbol(reader, item)
        for item in validated(answers.WORKSPACE_SYMBOLS, raw[:_MAX_ITEMS], "a symbol")
        if arguments.include_external or not _is_library(tree, item.location.uri)
    ]
    reader.require_shown()
    if len(raw) > _MAX_ITEMS or _looks_cut(len(raw)):
        told = f"{asked.server.config.name} gave {len(raw)} symbols, perhaps as many as it ever gives"
        answer = answer.but("truncated", f"{told}; ask for more of the name.")
    return symbols, answer


def _any_file(server: LanguageServer) -> Path | None:
    connection = server.connection
    for path in reversed(connection.documents.paths() if connection else []):
        if server.tree.stamp(path) is not None:
            return path
    return server.tree.any_file(lambda path: server.config.language_of(path) is not None)


async def _request_symbols(
    asked: ServerQuestion, query: str, connection: Connection, document: Document
) -> list[dict[str, Any]]:
    """Ask, and have those without a range completed."""
    answered = await request(connection, _WORKSPACE_SYMBOL, {"query": query}, asked.deadline)
    items = validated(answers.OBJECTS, answered, "symbols") or []
    if connection.capabilities.options(_WORKSPACE_SYMBOL).get("resolveProvider") is not True:
        return items
    left = _MAX_RESOLVED
    for index, item in enumerate(items):
        at = item.get("location")
        if isinstance(at, dict) and "range" not in at and left > 0 and remaining(asked.deadline) > 0:
            left -= 1
            with contextlib.suppress(ServerError):
                full = await request(connection, "workspaceSymbol/resolve", item, asked.deadline)
                items[index] = full if isinstance(full, dict) else item
    return items


def _looks_cut(count: int) -> bool:
    """Say whether so many may be the most that a server gives: that is a round number, like 100, 128 or 256."""
    return count >= _SMALLEST_CAP and (count % 50 == 0 or count & (count - 1) == 0)


def _workspace_symbol(reader: Reader, item: answers.WorkspaceSymbol) -> SymbolLocation:
    name, container, at = item.name, item.container_name or "", item.location
    if _QUALIFIED.fullmatch(name):  # Go's are: Cart.Add
        qualifier, _, name = name.rpartition(".")
        container = f"{container}.{qualifier}" if container else qualifier
    words = re.findall(r"[\w$]+", re.sub(r"[<(].*", "", name))
    span = at.range or _BEGINNING
    full = text_range(reader.place(at.uri, span))
    return SymbolLocation(
        **vars(reader.name_in(at.uri, span, words[-1] if words else "")),
        name=clean(name[:_MAX_NAME]),
        kind=kind_of(item.kind),
        container=clean(container[:_MAX_NAME]) or None,
        full_range=full if full.end_line > full.line else None,
    )


def _parts(query: str) -> tuple[str, ...]:
    return names_in(query.strip("/") or query)


def _matches(symbol: SymbolLocation, parts: tuple[str, ...]) -> bool:
    """Say whether a symbol has the name; servers also give what is only similar."""
    around = f"{symbol.container or ''} {symbol.name}".lower()
    return parts[-1].lower() in symbol.name.lower() and all(part.lower() in around for part in parts[:-1])


async def _add_containers(
    question: Question, found: dict[str, SymbolLocation], parts: tuple[str, ...], answer: Answer
) -> Answer:
    """Look up what symbols with the last name are in: many servers do not say it, or only the innermost.

    Returns:
        The answer, with why some may not be found.
    """
    unclear = [one for one in found.values() if parts[-1].lower() in one.name.lower() and not _matches(one, parts)]
    paths = sorted({one.path for one in unclear if not one.external})
    if len(paths) > _MAX_FILES:
        message = f"{len(paths)} files have symbols with the last name; {_MAX_FILES} were looked at."
        answer = answer.but("truncated", message)
    around: dict[tuple[str, int, int], str] = {}
    for path in paths[:_MAX_FILES]:
        try:
            symbols, told = await file_symbols(question, question.servers.tree.locate(path))
        except NoAnswer as none:
            symbols, told = [], none.answer
        except ToolError:
            continue  # it is gone
        if told.reason is not None:
            answer = answer.but(told.reason, told.message or "")
        around |= {(path, one.line, one.column): "/".join(one.names[:-1]) for one in symbols}
    for one in unclear:
        one.container = around.get((one.path, one.line, one.column)) or one.container
    return answer


def _is_library(tree: Tree, uri: str) -> bool:
    """Say whether a document is outside the project, or in a directory of the project that tools fill."""
    path = tree.path_of(uri.partition("#")[0]) if tree.has(uri) else None
    return path is None or not TOOL_DIRECTORIES.isdisjoint(path.relative_to(tree.root).parts)


def _rank(wanted: str, symbol: SymbolLocation) -> tuple[int, bool, str, int, int]:
    name, lower = symbol.name, symbol.name.lower()
    match = [name == wanted, lower == wanted.lower(), lower.startswith(wanted.lower()), True].index(True)
    return match, bool(symbol.external), symbol.path, symbol.line, symbol.column


@dataclass(frozen=True)
class _Direction:
    """One direction of a hierarchy, as the protocol has it."""

    prepare: str  # the request for the thing at a place
    method: str  # the request for the next ones
    item: str | None = None  # the field of an answer's item with the next thing; None if the item is the thing
    calls_in_next: bool = False  # whether the ranges of calls are in the file of the next thing


_DIRECTIONS: Final[Mapping[str, _Direction]] = {
    "incoming": _Direction("textDocument/prepareCallHierarchy", "callHierarchy/incomingCalls", "from", True),
    "outgoing": _Direction("textDocument/prepareCallHierarchy", "callHierarchy/outgoingCalls", "to"),
    "supertypes": _Direction("textDocument/prepareTypeHierarchy", "typeHierarchy/supertypes"),
    "subtypes": _Direction("textDocument/prepareTypeHierarchy", "typeHierarchy/subtypes"),
}


async def call_hierarchy(servers: LanguageServers, arguments: CallHierarchyArguments, report: Report) -> Hierarchy:
    """Return who calls the function at a place, or whom it calls."""
    return await _hierarchy(servers, arguments, report, "call_hierarchy")


async def type_hierarchy(servers: LanguageServers, arguments: TypeHierarchyArguments, report: Report) -> Hierarchy:
    """Return what the type at a place derives from, or what derives from it."""
    return await _hierarchy(servers, arguments, report, "type_hierarchy")


async def _hierarchy(servers: LanguageServers, arguments: _HierarchyArguments, report: Report, tool: str) -> Hierarchy:
    question, path = Question.begin(servers, arguments.timeout_seconds, report), servers.tree.locate(arguments.path)
    items, answer = await question.found(partial(_walk_hierarchy, question, path, arguments))
    page = paged(tool, arguments, items, answer)
    return Hierarchy(direction=arguments.direction, items=page.items, **page.rest)


async def _walk_hierarchy(
    question: Question, path: Path, arguments: _HierarchyArguments
) -> tuple[list[HierarchyItem], Answer]:
    direction = _DIRECTIONS[arguments.direction]
    asked = await question.choose(path, direction.prepare)
    pointer = await point_at(question, path, arguments)
    walk = _Walk(asked, direction, pointer, arguments.depth)

    async def attempt() -> tuple[None, Answer]:
        return None, await run_exchange(asked, path, walk.run)

    uses = Uses()
    if arguments.direction in ("incoming", "subtypes"):
        _, uses, answer = await _with_all_uses_loaded(question, path, pointer, attempt)
    else:
        _, answer = await attempt()
    if walk.cut:
        answer = answer.but("truncated", f"Not followed further: {walk.cut}.")
    reader = Reader(question.servers.tree, answer.encoding, answer.lines)
    calls = [_call_locations(reader, direction, node, walk.nodes) for node in walk.nodes]
    items = [_hierarchy_item(reader, number, node, calls[number][0]) for number, node in enumerate(walk.nodes)]
    reader.require_shown()
    if not all(all_right for _, all_right in calls):
        message = f"{asked.server.config.name} reports calls at places where nothing is called; these are left out."
        answer = answer.but("server_error", message)
    if arguments.direction == "incoming" and walk.nodes:
        whole = await with_all_callers(question, items, uses.found)
        if len(whole) > len(items) and arguments.depth > 1:
            name = asked.server.config.name
            answer = answer.but("not_covered", f"What calls the last items was not followed: {name} leaves them out.")
        items = whole
    return items, answer


@dataclass(frozen=True)
class _Node:
    """A thing in a hierarchy: as the server wrote it, which is how it must be given back, and as it is read."""

    raw: dict[str, Any]
    item: answers.HierarchyItem
    depth: int
    parent: int | None = None
    calls: list[_Call] = field(default_factory=list)
    repeated: bool = False

    @property
    def key(self) -> tuple[str, int, int, str]:
        """Distinguishes things, and sorts them in an order that is the same each time."""
        start = self.item.selection_range["start"]
        return self.item.uri, start["line"], start["character"], self.item.name


class _Walk:
    """A walk from the thing at a place, depth first."""

    def __init__(self, asked: ServerQuestion, direction: _Direction, pointer: Pointer, depth: int) -> None:
        self._asked, self._direction, self._pointer, self._depth = asked, direction, pointer, depth
        self._seen: set[object] = set()
        self.nodes: list[_Node] = []
        self.cut = ""

    async def run(self, connection: Connection, document: Document) -> None:
        """Walk from the start, also when called again."""
        self.nodes, self.cut = [], ""
        self._seen.clear()
        params = self._pointer.params({}, document, connection.encoding)
        prepare = {"textDocument": {"uri": document.uri}, **params}
        for raw in await self._request(connection, self._direction.prepare, prepare):
            await self._follow(connection, _Node(raw, validated(answers.HIERARCHY_ITEM, raw, "an item"), 0))

    async def _request(self, connection: Connection, method: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        return (
            validated(answers.OBJECTS, await request(connection, method, params, self._asked.deadline), "a hierarchy")
            or []
        )

    async def _follow(self, connection: Connection, node: _Node) -> None:
        if len(self.nodes) >= _MAX_NODES:
            self.cut = f"there are more than {_MAX_NODES} items"
            return
        number = len(self.nodes)
        if node.key in self._seen:
            self.nodes.append(replace(node, repeated=True))
            return
        self.nodes.append(node)
        # What is outside the project leads ever further from it.
        if node.depth == self._depth or not self._asked.server.tree.has(node.item.uri):
            return
        self._seen.add(node.key)
        answered = await self._request(connection, self._direction.method, {"item": node.raw})
        for following in sorted((self._next(number, node, item) for item in answered), key=lambda one: one.key):
            await self._follow(connection, following)

    def _next(self, parent: int, before: _Node, answered: dict[str, Any]) -> _Node:
        name = self._direction.item
        if name is None:
            return _Node(answered, validated(answers.HIERARCHY_ITEM, answered, "an item"), before.depth + 1, parent)
        raw = answered.get(name)
        item = validated(answers.HIERARCHY_ITEM, raw, "an item")
        ranges = validated(answers.RANGES, answered.get("fromRanges", []), "ranges of calls")
        if len(ranges) > _MAX_CALLS:
            self.cut = f"{len(ranges)} calls in one function, of which {_MAX_CALLS} are listed"
        uri = (item if self._direction.calls_in_next else before.item).uri
        return _Node(raw or {}, item, before.depth + 1, parent, [(uri, span) for span in ranges[:_MAX_CALLS]])


def _call_locations(
    reader: Reader, direction: _Direction, node: _Node, nodes: Sequence[_Node]
) -> tuple[list[Location], bool]:
    """Return where one thing calls the one before it, or the other way round; see `_call_places`."""
    if node.parent is None or not node.calls:
        return [], True
    before = nodes[node.parent].item
    caller, callee = (node.item, before) if direction.calls_in_next else (before, node.item)
    return _call_places(reader, caller, callee, node.calls)


def _call_places(
    reader: Reader, caller: answers.HierarchyItem, callee: answers.HierarchyItem, told: Sequence[_Call]
) -> tuple[list[Location], bool]:
    """Return where a thing calls another, and whether these are all the calls that the server reported.

    Not every server reports the right places. Those where the name of the callee stands are certain. The others are
    replaced by the places of that name in the caller's body if there are as many.
    """
    name = _bare(callee.name)
    sure, unsure = list[Location](), list[Location]()
    for uri, span in told:
        place = reader.place(uri, span)
        (sure if place.external or reader.words_in(uri, span, name) else unsure).append(place)
    unsure = sorted_unique(unsure)
    if not unsure or kind_of(callee.kind) == "constructor":  # which may be called without being named
        return sorted_unique([*sure, *unsure]), True
    own = reader.place(caller.uri, caller.selection_range)
    body = reader.words_in(caller.uri, caller.range, name)
    named = [word for word in body if _start(word) != _start(own) and not any(_is_in(word, place) for place in sure)]
    possible = [place for place in unsure if _begins_a_name(place)]
    if not named:
        return sorted_unique([*sure, *possible]), len(possible) == len(unsure)
    whole = reader.place(caller.uri, caller.range)
    if len(named) == len(unsure) and not any(_is_in(place, whole) for place in possible):
        return sorted_unique([*sure, *named]), True
    return sorted_unique(sure), False


def _bare(name: str) -> str:
    """Return the last word of a name without its arguments: servers show ``Cart.add(int)`` and ``Vec<T>::push``."""
    words = re.findall(r"[\w$]+", re.sub(r"<[^<>]*>|\(.*", "", name))
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


def _hierarchy_item(reader: Reader, number: int, node: _Node, calls: list[Location]) -> HierarchyItem:
    item = node.item
    return HierarchyItem(
        **vars(reader.place(item.uri, item.selection_range)),
        name=clean(item.name[:_MAX_NAME]),
        kind=kind_of(item.kind),
        detail=clean(item.detail[:_MAX_NAME]) if item.detail else None,
        full_range=text_range(reader.place(item.uri, item.range)),
        id=number,
        parent=node.parent,
        depth=node.depth,
        calls=calls or None,
        repeated=node.repeated or None,
    )
