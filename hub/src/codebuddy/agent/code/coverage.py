"""Compares what a language server says about a whole project with the places where the word stands in its files.

A server answers for the files that it has loaded. So it is first shown a file of each configuration in which the word
stands. Each place of the word in code that the answer lacks is then looked up: one that leads to the thing that was
asked about is a use like the others, one that leads elsewhere is another thing of the same name, and one that leads
nowhere is told, since nobody knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import keyword
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice, zip_longest
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from codebuddy.agent.code.answers import COMPLETE, Answer, NoAnswer
from codebuddy.agent.code.asking import (
    Pointer,
    Question,
    ServerQuestion,
    ask_at,
    file_symbols,
    request,
    run_exchange,
    search_limit_exceeded,
    wait_until_indexed,
)
from codebuddy.agent.code.code_text import code_places
from codebuddy.agent.code.decoding import Reader, location, sorted_unique
from codebuddy.agent.code.imports import imported_from, is_elsewhere
from codebuddy.agent.code.places import FUNCTIONS, Symbol, word_at
from codebuddy.agent.code.redeclared import Names, other_declarations, python_names
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document
from codebuddy.agent.lsp.positions import INDEX_LATE, READ_NOTEBOOKS, to_lsp
from codebuddy.agent.lsp.readiness import remaining
from codebuddy.agent.lsp.servers import LanguageServer
from codebuddy.agent.lsp.transport import ServerError
from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.lsp.words import RELATIVES, Occurrences
from codebuddy.files.search import WordPlace
from codebuddy.schemas.code import Location, SymbolLocation
from codebuddy.tool import ToolError

REFERENCES: Final = "textDocument/references"
_DEFINITION: Final = "textDocument/definition"
_WITH_DECLARATION: Final = {"context": {"includeDeclaration": True}}
_NO_SYMBOL: Final = "The language server knows no symbol at this place: it finds not even a declaration."

MAX_ROUNDS: Final = 3
"""How often a question is asked again because files were shown to the server."""

# Fewer than the documents that are open at one time.
_MAX_FILES: Final = 100
_MAX_COMPILED: Final = 20  # of a server that compiles each file that is opened
_MAX_LOOKED_UP: Final = 300
_AT_ONCE: Final = 16
_MAX_ALIASES: Final = 5
_MAX_DECLARATIONS: Final = 100  # of one thing, that a server takes for several
_MAX_ROUNDS_OF_USES: Final = 10  # each may find more declarations
_MAX_STEPS: Final = 30  # from one place to others
_INLINE: Final = 500  # with so few places, another thread costs more than the work
_INLINE_FILES: Final = 50
_LEAST_SECONDS: Final = 1.0  # with less time left, nothing more is looked up
_SHOWN: Final = 3

# A server of these languages loads a project only when a file of its configuration is open.
_CONFIGURATIONS: Final = {
    "typescript": ("tsconfig.json", "jsconfig.json"),
}

# Where a name can stand for something that no server can know without running the program.
_DYNAMIC: Final = ("python", "javascript", "javascriptreact", "typescript", "typescriptreact")

# Where a place leads to all declarations of one thing, as to a class and its constructor.
_MERGING: Final = ("javascript", "javascriptreact", "typescript", "typescriptreact")

# Words of a language that may also be the name of a member or a function.
_SCRIPT_KEYWORDS: Final = frozenset([
    "abstract", "as", "assert", "async", "await", "case", "catch", "class", "const", "continue", "debugger",
    "declare", "default", "delete", "do", "else", "enum", "export", "extends", "finally", "for", "from",
    "function", "get", "global", "if", "implements", "import", "in", "infer", "instanceof", "interface", "is",
    "keyof", "let", "namespace", "new", "null", "of", "out", "override", "package", "private", "protected",
    "public", "readonly", "return", "satisfies", "set", "static", "super", "switch", "this", "throw", "try",
    "type", "typeof", "unique", "using", "var", "void", "while", "with", "yield",
])  # fmt: skip
_KEYWORDS: Final = {"python": frozenset(keyword.softkwlist), **dict.fromkeys(_MERGING, _SCRIPT_KEYWORDS)}

# What is open before a parameter that a call can name.
_CALLS_NAME: Final = {
    **dict.fromkeys((".py", ".pyi"), "("),
    **dict.fromkeys((".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"), "{"),
}
_CLOSES: Final = {"(": ")", "{": "}"}
_MAX_HEADER: Final = 100  # lines
_MEMBERS: Final = ("method", "property", "field", "constructor", "class", "enum_member")

_DEFAULT: Final = re.compile(r"\bexport\s+default\b|\bas\s+default\b|\bexport\s*=|\bmodule\.exports\s*=")
_COMMONJS: Final = (".js", ".cjs", ".jsx")
_EXPORTED: Final = re.compile(r"\bexports\.([\w$]+)\s*=\s*(?=\1\s*(?:[;,]|$))")
_GO_CONSTRAINT: Final = re.compile(r"^//go:build (.+)$")
_GO_SYSTEMS: Final = "aix android darwin dragonfly freebsd illumos ios js netbsd openbsd plan9 solaris wasip1 windows"
_GO_SUFFIX: Final = re.compile(rf"_({_GO_SYSTEMS.replace(' ', '|')})(_[a-z0-9]+)?(_test)?\.go$")

_At = tuple[Path, int, int]
"""A place: file, line and column."""

_Start = tuple[str, int, int]
"""The same, with the workspace path."""


class Coverage(NamedTuple):
    """What is known of the places where a word stands, beside what a server reported.

    Args:
        uses: places that the server knows for uses of the thing, but left out of its answer.
        unknown: places of which it does not know what stands there.
        answer: says why there may be more, if so.
        opened: whether files were shown for the first time, so that the server may say more now.
        all_compared: whether each place was looked up.
        left: all places of the word in code that were not found, by file.
    """

    uses: Sequence[Location] = ()
    unknown: Sequence[Location] = ()
    answer: Answer = COMPLETE
    opened: bool = False
    all_compared: bool = True
    left: Mapping[Path, list[WordPlace]] = MappingProxyType({})


class Uses(NamedTuple):
    """Where something is used.

    Args:
        unknown: places of the name of which the server does not know what stands there.
        symbols: those that have the name, if one was asked for.
        opened: whether files were shown to the server for the first time.
        others: declarations of it that the server takes for those of something else.
        exported: strings in ``__all__`` that name it.
    """

    found: Sequence[Location] = ()
    unknown: Sequence[Location] = ()
    symbols: list[SymbolLocation] | None = None
    opened: bool = False
    others: Sequence[Location] = ()
    exported: Sequence[Location] = ()


async def all_uses(question: Question, asked: ServerQuestion, path: Path, pointer: Pointer) -> tuple[Uses, Answer]:
    """Ask where the thing at a place is used, its declaration included, and look up what the answer lacks.

    Raises:
        ToolError: there is no such place.
        NoAnswer: the answer is malformed.
        StaleText, StaleLocation, UnopenedFiles: asking again may help; see `Question.persist`.
    """
    path, pointer = await _exported_value(question, asked, path, pointer)
    lines = question.servers.tree.lines(path)
    word = word_at(lines, pointer.line, pointer.column_in(lines)) or ""
    opened = await show_configurations(question, asked, word or None)
    others = list[Location]()
    for _ in range(_MAX_ROUNDS_OF_USES):
        found, answer = await ask_at(asked, path, pointer, REFERENCES, _WITH_DECLARATION)
        for at in others:
            also_used, its_answer = await _used_at(question, asked, at)
            found, answer = sorted_unique([*found, *also_used]), answer.also(its_answer)
        if not found:
            # Which does not mean that there is none: rust-analyzer knows none in the body of a ``macro_rules!``.
            answer = answer.but("unsupported", _NO_SYMBOL)
        if answer.reason is None and asked.server.config.limits:
            answer = await search_limit_exceeded(asked, word or None) or answer
        if answer.reason is not None or not word:
            return Uses(found, opened=opened), answer
        rest = await compare(question, asked, path, word, found)
        shown = await _show_importers(question, asked, word, found)
        opened |= rest.opened or shown
        more_declared = await other_declarations(question, word, found, rest.left, _names(question, asked))
        again = more_declared.places
        others += again[: _MAX_DECLARATIONS - len(others)]
        # What CommonJS exports is often defined elsewhere than where it is declared: another place is no proof.
        known = rest.all_compared and not rest.uses and path.suffix not in _COMMONJS
        if not again and not shown and (not rest.opened or known):
            break
    unknown, answer = [*rest.unknown, *more_declared.unknown], rest.answer
    if more_declared.why is not None:
        answer = answer.also(Answer.lacking("not_covered", more_declared.why))
    if again:  # not all were followed
        message = f"{word!r} is declared in more places than were looked at."
        found, answer = [*found, *again], answer.also(Answer.lacking("truncated", message))
    for alias in _aliases(asked.server, word, found):
        more = await compare(question, asked, path, alias, found)
        found, unknown, answer = [*found, *more.uses], [*unknown, *more.unknown], answer.also(more.answer)
    exported_as = await _exported(question, asked, word, found)
    found = sorted_unique([*found, *rest.uses, *exported_as])
    return Uses(found, sorted_unique(unknown), opened=opened, others=others, exported=exported_as), answer


async def _used_at(question: Question, asked: ServerQuestion, at: Location) -> tuple[list[Location], Answer]:
    """Ask where what is declared at a place is used; the place is one of those."""
    pointer = Pointer(at.path, at.line, at.column)
    found, answer = await ask_at(asked, question.servers.tree.locate(at.path), pointer, REFERENCES, _WITH_DECLARATION)
    return [at, *found], answer


async def _exported_value(
    question: Question, asked: ServerQuestion, path: Path, pointer: Pointer
) -> tuple[Path, Pointer]:
    """Return where ``f`` of ``exports.f = f`` is defined.

    Asked at ``exports.f``, or where another module uses it, servers leave out most uses.
    """
    tree = question.servers.tree
    lines = tree.lines(path)
    if path.suffix not in _COMMONJS or pointer.line > len(lines):
        return path, pointer
    column = pointer.column_in(lines)
    if not any(one.start(1) < column <= one.end(1) + 1 for one in _EXPORTED.finditer(lines[pointer.line - 1])):
        uses, answer = await ask_at(asked, path, pointer, REFERENCES, _WITH_DECLARATION)
        shown = tree.show(path)
        is_here = any(
            at.path == shown and at.line == pointer.line and at.column <= column <= at.end_column for at in uses
        )
        if is_here or not uses or answer.reason is not None:
            return path, pointer
    found, answer = await ask_at(asked, path, pointer, _DEFINITION)
    if answer.reason is None and len(found) == 1 and not found[0].external:
        return tree.locate(found[0].path), Pointer(found[0].path, found[0].line, found[0].column)
    return path, pointer


async def _show_importers(question: Question, asked: ServerQuestion, word: str, found: Sequence[Location]) -> bool:
    """Open files that may import a thing by another name, of a server that does not know them otherwise.

    Returns:
        Whether a file was opened.
    """
    server, connection = asked.server, asked.server.connection
    if connection is None or not loads_by_configuration(server):
        return False
    alias, names = re.compile(rf"\b{re.escape(word)}\s+as\s+(\w+)"), list[str]()
    for at in found:
        text, path = at.line_text or "", PurePath(at.path)
        names += [name for name in alias.findall(text) if name != "default"]
        if _DEFAULT.search(text) and not at.external:
            names.append(path.parent.name if path.stem == "index" else path.stem)
    paths = list[Path]()
    for name in list(dict.fromkeys(names))[:_MAX_ALIASES]:
        paths += (await question.servers.words.find(name)).places
    is_open = set(connection.documents.paths())
    served = (path for path in dict.fromkeys(paths) if server.config.language_of(server.tree.relative(path)))
    missing = [path for path in islice(served, _MAX_FILES) if path not in is_open]
    server.open(missing)
    return bool(missing)


async def _exported(question: Question, asked: ServerQuestion, word: str, found: Sequence[Location]) -> list[Location]:
    """Return where Python modules name a thing in ``__all__``: not every server knows that for a use."""
    if not any(at.path.endswith((".py", ".pyi")) for at in found):
        return []
    tree, bound = question.servers.tree, dict[str, set[tuple[int, int]]]()
    for at in found:
        if not at.external:
            bound.setdefault(at.path, set()).add((at.line, at.column))
    places, remembered = list[Location](), _names(question, asked)
    for file in (await question.servers.words.find("__all__")).places:
        if (own := bound.get(shown := tree.show(file))) and file.suffix in (".py", ".pyi"):
            names = await python_names(tree, file, word, remembered)
            with contextlib.suppress(ToolError):
                lines = tree.lines(file)
                for line, column in names.exported(own) if names is not None else ():
                    places.append(location(shown, line, column, column + len(word), lines[line - 1]))
    return places


def _aliases(server: LanguageServer, word: str, found: Sequence[Location]) -> list[str]:
    """Return the other names that imports give to a thing: in Rust, unlike in Python, these are the same thing.

    rust-analyzer looks only for the name of the thing itself; TypeScript's servers follow aliases.
    """
    if "rust" not in server.config.languages.values():
        return []
    alias = re.compile(rf"\b{re.escape(word)}\s+as\s+(\w+)")
    names = [match[1] for at in found for match in alias.finditer(at.line_text or "") if match[1] != "_"]
    return list(dict.fromkeys(names))[:_MAX_ALIASES]


@dataclass
class _Memory:
    """What was looked up since a file changed, in one process of a server."""

    generation: int
    targets: dict[_At, list[Location]] = field(default_factory=dict)
    local: dict[tuple[_Start, ...], bool] = field(default_factory=dict)
    shown: dict[str, list[Path]] = field(default_factory=dict)
    names: Names = field(default_factory=dict)


def _memory(question: Question, connection: Connection) -> _Memory:
    generation = question.servers.generation
    memory = connection.memory
    if not isinstance(memory, _Memory) or memory.generation != generation:
        memory = connection.memory = _Memory(generation)
    return memory


def _names(question: Question, asked: ServerQuestion) -> Names:
    connection = asked.server.connection
    return {} if connection is None else _memory(question, connection).names


async def show_configurations(question: Question, asked: ServerQuestion, word: str | None) -> bool:
    """Open a file of each configuration of the project in which a word stands; without a word, of each there is.

    Whatever was asked before, the server then has loaded the same projects.

    Returns:
        Whether a file was opened.
    """
    server = asked.server
    names = _configuration_names(server)
    if not names:
        return False
    await question.servers.flush_changes()
    connection = server.connection
    if connection is None:
        return False
    memory = _memory(question, connection)
    key = word or ""
    if key not in memory.shown:
        places = (await question.servers.words.find(word)).places if word else None
        memory.shown[key] = await asyncio.to_thread(_representatives, server, names, places)
    missing = set(memory.shown[key]) - set(connection.documents.paths())
    server.open([path for path in memory.shown[key] if path in missing])
    return bool(missing)


def loads_by_configuration(server: LanguageServer) -> bool:
    """Say whether a server knows a project only while a file of its configuration is open."""
    return bool(_configuration_names(server))


def _configuration_names(server: LanguageServer) -> tuple[str, ...]:
    languages = set(server.config.languages.values())
    return next((names for language, names in _CONFIGURATIONS.items() if language in languages), ())


def _representatives(
    server: LanguageServer, names: Sequence[str], places: dict[Path, tuple[WordPlace, ...]] | None
) -> list[Path]:
    tree, config = server.tree, server.config
    paths: Iterable[Path] = places or ()
    if places is None:
        paths = tree.files(lambda path: config.language_of(path) is not None)
    of_directory: dict[Path, Path | None] = {}

    def configured(directory: Path) -> Path | None:
        if directory not in of_directory:
            if any((directory / name).is_file() for name in names):
                of_directory[directory] = directory
            else:
                of_directory[directory] = None if directory == tree.root else configured(directory.parent)
        return of_directory[directory]

    chosen: dict[Path | None, Path] = {}
    for path in paths:
        if config.language_of(tree.relative(path)) is not None:
            chosen.setdefault(configured(path.parent), path)
        if len(chosen) == _MAX_FILES:
            break
    return list(chosen.values())


async def compare(
    question: Question, asked: ServerQuestion, path: Path, word: str, found: Sequence[Location], *, local: bool = True
) -> Coverage:
    """Look up the places of a word that a server's answer lacks.

    Args:
        path: the file that the question is about.
        found: the places in the server's answer, the declarations among them.
        local: whether the answer is about one thing, which nothing else can use if it is within one function.

    Raises:
        StaleLocation, UnopenedFiles: asking again may help; see `Question.persist`.
    """
    server = asked.server
    occurrences = await question.servers.words.find(word)
    if occurrences.total <= _INLINE and len(occurrences.places) <= _INLINE_FILES:
        left = _left_over(server, occurrences, found, len(word))
    else:
        left = await asyncio.to_thread(_left_over, server, occurrences, found, len(word))
    connection = server.connection
    if not left or connection is None or not connection.capabilities.covers(_DEFINITION):
        return Coverage(answer=_cut(occurrences), left=left)
    memory = _memory(question, connection)
    if local and found and await _is_local(question, memory, found):
        return Coverage(left=left)
    served = {file: places for file, places in left.items() if server.config.language_of(server.tree.relative(file))}
    paths = {at.path for at in found}
    mentioned = {file for file in served if server.tree.show(file) in paths}
    chosen = _chosen(served, mentioned, _MAX_COMPILED if connection.server_name in INDEX_LATE else _MAX_FILES)
    new = [at for at in chosen if at not in memory.targets]
    opened = not {at[0] for at in new} <= set(connection.documents.paths())
    answer = await _look_up(asked, path, new, memory) if new else COMPLETE
    starts = {(at.path, at.line, at.column) for at in found}
    verdicts = _Verdicts(server, word, memory, mentioned, starts)
    verdicts.read(left, set(chosen))
    covered = verdicts.coverage(answer if answer.reason is not None else _cut(occurrences), opened)
    return covered._replace(left=left)


def _cut(occurrences: Occurrences) -> Answer:
    return COMPLETE if occurrences.gap is None else Answer.lacking("truncated", occurrences.gap)


def _left_over(
    server: LanguageServer, occurrences: Occurrences, found: Sequence[Location], length: int
) -> dict[Path, list[WordPlace]]:
    """Return the places of a word in code that no found place covers."""
    spans: dict[str, list[tuple[tuple[int, int], tuple[int, int]]]] = {}
    for at in found:
        if not at.external:
            spans.setdefault(at.path, []).append(((at.line, at.column), (at.end_line, at.end_column)))
    left: dict[Path, list[WordPlace]] = {}
    for file, places in occurrences.places.items():
        known = sorted(spans.get(server.tree.show(file), ()))
        begins = [begin for begin, _ in known]

        def is_found(place: WordPlace) -> bool:
            start, end = (place.line, place.column), (place.line, place.column + length)
            number = bisect_right(begins, start)  # noqa: B023 - it is used here only
            return number > 0 and (known[number - 1][0] == start or known[number - 1][1] >= end)  # noqa: B023

        missing = [place for place in places if not is_found(place)]
        if not missing:
            continue
        if (code := occurrences.code.get(file)) is None:
            code = occurrences.code[file] = frozenset(code_places(server.tree, file, places))
        if in_code := [place for place in missing if place in code]:
            left[file] = in_code
    return left


def _chosen(served: dict[Path, list[WordPlace]], here: set[Path], most: int) -> list[_At]:
    """Return the places to look up: the first one of each file before the second, unmentioned files first."""
    files = sorted(served, key=lambda file: (file in here, file))[:most]
    rows = zip_longest(*([(file, at.line, at.column) for at in served[file]] for file in files))
    return list(islice((at for at in chain.from_iterable(rows) if at is not None), _MAX_LOOKED_UP))


async def _look_up(asked: ServerQuestion, path: Path, places: list[_At], memory: _Memory) -> Answer:
    """Ask for the definition of what stands at each place, and remember it."""
    by_file: dict[Path, list[_At]] = {}
    for at in places:
        by_file.setdefault(at[0], []).append(at)

    async def exchange(connection: Connection, _document: Document) -> tuple[dict[_At, Any], dict[Path, list[str]]]:
        raw: dict[_At, Any] = {}
        for file, some in by_file.items():
            if remaining(asked.deadline) < _LEAST_SECONDS:
                break
            with contextlib.suppress(ToolError):  # it is gone, or cannot be read
                document = connection.documents.sync(file)
                await wait_until_indexed(connection, partial(request, deadline=asked.deadline))
                for start in range(0, len(some), _AT_ONCE):
                    part = some[start : start + _AT_ONCE]
                    asking = (_definition(asked, connection, document, at) for at in part)
                    raw |= zip(part, await asyncio.gather(*asking), strict=True)
        return raw, connection.documents.texts()

    answer = await run_exchange(asked, path, exchange)
    if answer.reason is not None:  # a later answer may say more, so this one is not remembered
        return answer
    found, texts = answer.result
    reader = Reader(asked.server.tree, answer.encoding, texts)
    memory.targets |= {at: reader.locations(raw) for at, raw in found.items()}
    if found.keys() != set(places):
        answer = answer.but("timed_out", "Not all places of the name were compared: time was over.")
    return answer


async def _definition(asked: ServerQuestion, connection: Connection, document: Document, at: _At) -> Any:
    """Return what a server says of a place; None if it refuses: some do for a file that they have not loaded."""
    try:
        position = to_lsp(document.lines, at[1], at[2], connection.encoding)
        params = {"textDocument": {"uri": document.uri}, "position": position}
        return await request(connection, _DEFINITION, params, asked.deadline)
    except (ServerError, ValueError):
        return None


async def _is_local(question: Question, memory: _Memory, found: Sequence[Location]) -> bool:
    """Say whether everything found is within one function, so that nothing else can use it."""
    first = found[0]
    key = tuple((at.path, at.line, at.column) for at in found)
    if key not in memory.local:
        one_file = all(at.path == first.path and not at.external for at in found)
        memory.local[key] = one_file and await _is_in_function(question, found)
    return memory.local[key]


async def _is_in_function(question: Question, found: Sequence[Location]) -> bool:
    if any((at.line_text or "")[: at.column - 1].rstrip().endswith(".") for at in found):
        return False  # a member, which others can reach
    tree = question.servers.tree
    file = tree.locate(found[0].path)
    try:
        symbols, _ = await file_symbols(question, file)
    except (NoAnswer, ToolError):
        return False
    places = {(at.line, at.column) for at in found}
    if any(symbol.kind in _MEMBERS and (symbol.line, symbol.column) in places for symbol in symbols):
        return False
    around = [
        symbol
        for symbol in symbols
        if symbol.kind in FUNCTIONS
        and (symbol.line, symbol.column) not in places
        and all(symbol.encloses(line, column) for line, column in places)
    ]
    return bool(around) and not any(_is_named_by_callers(tree, file, one, places) for one in around)


def _is_named_by_callers(tree: Tree, file: Path, function: Symbol, places: set[tuple[int, int]]) -> bool:
    """Say whether a place is a parameter that a call can name: one of Python, a property of one of TypeScript."""
    named = _CALLS_NAME.get(file.suffix)
    line, column = min(places)
    try:
        header = tree.lines(file)[function.line - 1 : line]
    except ToolError:
        return True
    if named is None or not header or len(header) > _MAX_HEADER:
        return False
    header[-1] = header[-1][: column - 1]
    header[0] = header[0][function.column - 1 :]
    text = "\n".join(header)
    opened = text.find("(")
    inside = text[opened:] if opened >= 0 else ""
    return inside.count("(") > inside.count(")") and inside.count(named) > inside.count(_CLOSES[named])


class _Verdicts:
    """Sorts places into uses, other things of the same name, and those of which nothing is known.

    Args:
        mentioned: files of which the server's answer named places: it has loaded them.
        starts: where the places of the server's answer begin.
    """

    def __init__(
        self,
        server: LanguageServer,
        word: str,
        memory: _Memory,
        mentioned: set[Path],
        starts: set[_Start],
    ) -> None:
        self._server, self._word, self._memory = server, word, memory
        self._mentioned, self._starts, self._known = mentioned, starts, {path for path, _, _ in starts}
        self._at = {(server.tree.show(at[0]), at[1], at[2]): at for at in memory.targets}
        self._uses: list[Location] = []
        self._unknown: list[Location] = []
        self._left_out: dict[Path, Location] = {}
        self._not_compared: dict[Path, int] = {}

    def read(self, left: dict[Path, list[WordPlace]], chosen: set[_At]) -> None:
        """Sort the places; of those that were not ``chosen`` nothing was asked."""
        tree, config = self._server.tree, self._server.config
        for file, places in left.items():
            language = config.language_of(tree.relative(file))
            if language is None and not _may_use(self._server, file):
                continue
            for place in places:
                at = (file, place.line, place.column)
                if language is not None and (at not in chosen or at not in self._memory.targets):
                    self._not_compared[file] = self._not_compared.get(file, 0) + 1
                else:
                    self._sort(at, place, language)

    def _sort(self, at: _At, place: WordPlace, language: str | None) -> None:
        file, length = at[0], len(self._word)
        is_guess = language in ("c", "cpp") and _is_in_macro(self._server, at)  # clangd goes by the name alone there
        verdict = self._leads_there(at) if language is not None and not is_guess else None
        if verdict is False or (not self._memory.targets.get(at) and _is_keyword(self._word, place, language)):
            return
        end = place.column + length
        told = location(self._server.tree.show(file), place.line, place.column, end, place.line_text)
        if verdict:
            self._uses.append(told)
            return
        self._unknown.append(told)
        if not self._is_unresolved(at) and not is_guess:
            return
        is_import = imported_from(self._server.tree, file, place.line) is not None
        if is_import or language not in _DYNAMIC or not _is_member(place, length):
            self._left_out.setdefault(file, told)

    def _is_unresolved(self, at: _At) -> bool:
        """Say whether a place leads nowhere, or, like an import that TypeScript cannot resolve, to itself."""
        targets = self._memory.targets.get(at, ())
        if not targets or self._server.config.language_of(self._server.tree.relative(at[0])) not in _MERGING:
            return not targets
        return all(self._at.get((to.path, to.line, to.column)) == at for to in targets)

    def _leads_there(self, at: _At) -> bool | None:
        """Say whether a place leads to those of the answer, perhaps by others; None: nowhere, or elsewhere too.

        clangd gives everything of a name where it does not know which one is meant, as in a template.
        """
        if self._is_unresolved(at):
            return self._names_other_module(at)
        leads = {self._end_of(at, target) for target in self._memory.targets[at]}
        if True in leads and self._server.config.language_of(self._server.tree.relative(at[0])) in _DYNAMIC:
            return True  # a value may be one of several things there, and a thing may have several declarations
        return leads.pop() if len(leads) == 1 else None

    def _end_of(self, at: _At, target: Location) -> bool | None:
        """Say whether one target of a place is a place of the answer, or leads to one.

        Each place is followed once: overloads may lead to all of them, clangd's declarations to definitions and back.
        """
        end: bool | None = False
        seen, left = {at}, [target]
        while left:
            here = left.pop()
            start = (here.path, here.line, here.column)
            if start in self._starts:
                return True
            following = self._at.get(start)
            if following is None or following in seen or len(seen) == _MAX_STEPS:
                continue
            seen.add(following)
            if not self._is_unresolved(following):
                left += self._memory.targets[following]
            elif self._names_other_module(following) is None:
                end = None
        return end

    def _names_other_module(self, at: _At) -> bool | None:
        """Return False if what stands at an unresolved place is surely another thing, None if nobody knows."""
        module = imported_from(self._server.tree, at[0], at[1])
        if module is None:
            return False if self._memory.targets.get(at) else None
        return False if is_elsewhere(self._server.tree, at[0], module, self._known) else None

    def coverage(self, answer: Answer, opened: bool) -> Coverage:
        """Return the result, with why there may be more."""
        not_compared = sum(count for file, count in self._not_compared.items() if file not in self._mentioned)
        if self._left_out:
            answer = answer.but("not_covered", _sentence(self._server, self._word, self._left_out))
        if not_compared:
            message = f"{not_compared} more places have the name {self._word!r} and were not compared."
            answer = answer.but("truncated", message)
        all_compared = not self._not_compared
        return Coverage(sorted_unique(self._uses), sorted_unique(self._unknown), answer, opened, all_compared)


def _is_member(place: WordPlace, length: int) -> bool:
    """Say whether a name is one of an object: ``x.name``, ``{name: …}``, ``call(name=…)``."""
    before = place.line_text[: place.column - 1].rstrip()
    after = place.line_text[place.column - 1 + length :].lstrip()
    return before.endswith(".") or after.startswith(":") or (after.startswith("=") and not after.startswith("=="))


def _is_in_macro(server: LanguageServer, at: _At) -> bool:
    """Say whether a place is in the body of a macro of C or C++."""
    file, line, _ = at
    try:
        lines = server.tree.lines(file)[:line]
    except ToolError:
        return False
    while len(lines) > 1 and lines[-2].endswith("\\"):
        lines.pop()
    return bool(lines) and re.match(r"\s*#\s*define\b", lines[-1]) is not None


def _is_keyword(word: str, place: WordPlace, language: str | None) -> bool:
    """Say whether a word of which a server knows nothing is one of the language, which may be a name elsewhere."""
    return word in _KEYWORDS.get(language or "", ()) and not place.line_text[: place.column - 1].rstrip().endswith(".")


def _may_use(server: LanguageServer, file: Path) -> bool:
    if file.suffix == ".ipynb" and server.connection is not None and server.connection.server_name in READ_NOTEBOOKS:
        return False  # its answers have all uses in them
    languages = set(server.config.languages.values())
    return any(file.name.endswith(ends) for language, ends in RELATIVES.items() if language in languages)


def _sentence(server: LanguageServer, word: str, doubtful: dict[Path, Location]) -> str:
    name = server.config.name
    shown = [f"{at.path}:{at.line} ({_why(server, file)})" for file, at in islice(doubtful.items(), _SHOWN)]
    more = f" and in {len(doubtful) - _SHOWN} more files" if len(doubtful) > _SHOWN else ""
    return f"{name} does not know what {word!r} is at {', '.join(shown)}{more}."


def _why(server: LanguageServer, file: Path) -> str:
    name, inside = server.config.name, server.tree.relative(file)
    language = server.config.language_of(inside)
    if language is None:
        return f"{name} does not read {file.suffix} files"
    if language == "go":
        return _go_reason(server, file)
    if language == "rust":
        return "in the body of a macro, behind a cfg that is off, or in no module"
    if language in ("c", "cpp"):
        return "in no compilation database, or in a part that the preprocessor or a template leaves open"
    return f"{name} finds nothing there"


def _go_reason(server: LanguageServer, file: Path) -> str:
    try:
        lines = server.tree.lines(file)
    except ToolError:
        lines = []
    for line in islice(lines, 50):
        if constraint := _GO_CONSTRAINT.match(line):
            return f"built only with: {constraint[1]}"
    if system := _GO_SUFFIX.search(file.name):
        return f"built only for {system[1]}"
    return "in no package that gopls has loaded"
