"""Asking one server about one file: wait until it can know, ask, and ask again while it says that it was not ready."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from codebuddy.agent.code.decoding import Reader, StaleLocation, Unshown
from codebuddy.agent.code.places import Symbol, find_symbol, find_word, read_symbols
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document, StaleText
from codebuddy.agent.lsp.positions import INDEX_LATE, Encoding, Position, to_lsp
from codebuddy.agent.lsp.protocol import CAPABILITY, FEATURE
from codebuddy.agent.lsp.readiness import Report, remaining
from codebuddy.agent.lsp.server import LanguageServer
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.agent.lsp.transport import METHOD_NOT_FOUND, RequestTimedOut, ServerError, SessionClosed
from codebuddy.agent.lsp.tree import Tree
from codebuddy.files.search import search_word
from codebuddy.schemas.code import Location, Place, Reason
from codebuddy.tool import ToolError

_SYMBOLS: Final = "textDocument/documentSymbol"

Request = Callable[[Connection, str, dict[str, Any]], Awaitable[Any]]


async def have_read(connection: Connection, request: Request) -> None:
    """Wait until the server has read every open document that it was sent since the last time.

    Args:
        connection: to the server.
        request: sends a request and gives its result.

    Raises:
        RequestTimedOut, SessionClosed: it has not.
    """
    if connection.server_name not in INDEX_LATE or not connection.capabilities.covers(_SYMBOLS):
        return
    sent = {path: (document.uri, document.version) for path, document in connection.documents.copies().items()}

    async def read(path: Path) -> None:
        uri, version = sent[path]
        with contextlib.suppress(ServerError):
            await request(connection, _SYMBOLS, {"textDocument": {"uri": uri}})
        connection.read[path] = version

    unread = [path for path, (_, version) in sent.items() if connection.read.get(path) != version]
    failures: list[BaseException] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            for path in unread:
                tasks.create_task(read(path))
    except* (RequestTimedOut, SessionClosed) as failed:
        failures += failed.exceptions
    if failures:
        raise failures[0]
    for path in set(connection.read) - set(sent):
        del connection.read[path]


# ContentModified and ServerCancelled (LSP 3.17): the state changed while the server was computing; ask again.
_ASK_AGAIN: Final = (-32801, -32802)
_ATTEMPTS: Final = 6
_FIRST_PAUSE: Final = 0.05

# Of the caller's time, so much goes into waiting until a server can know; in the rest it says what it knows already.
_WAITING_SHARE: Final = 0.9

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What a server said.

    Args:
        result: as the protocol writes it; None when there is none.
        lines: the text of the open documents when it was asked, by file.
        encoding: what its positions count in.
        reason: why it may not be everything; None when it is.
        message: the reason in a sentence.
    """

    result: Any
    lines: dict[Path, list[str]] = field(default_factory=dict)
    encoding: Encoding = "utf-16"
    reason: Reason | None = None
    message: str | None = None


class Unsettled(Exception):
    """What must be known first is not known yet.

    Args:
        answer: says why.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


@dataclass(frozen=True)
class Asked:
    """How a question is asked.

    Args:
        server: whom.
        deadline: when an answer must be there, in the running loop's time.
        report: told what is being waited for.
    """

    server: LanguageServer
    deadline: float
    report: Report


Exchange = Callable[[Connection, Document], Awaitable[Any]]


async def ask(
    asked: Asked,
    path: Path,
    method: str,
    params: Callable[[Document, Encoding], dict[str, Any]],
    local: bool = False,
) -> Answer:
    """Ask about a file; the server knows its present text, and that of all open documents, before it is asked.

    Args:
        asked: whom, and how long.
        path: the file.
        method: the request.
        params: gives its parameters but for ``textDocument``, from the text that the server has been sent.
        local: see `settle`.

    Raises:
        ToolError: the file cannot be read, or ``params`` finds no such place in it.
    """

    async def exchange(connection: Connection, document: Document) -> Any:
        full = {"textDocument": {"uri": document.uri}, **params(document, connection.encoding)}
        return await request(connection, method, full, asked.deadline)

    return await settle(asked, path, exchange, local)


async def settle(asked: Asked, path: Path, exchange: Exchange, local: bool = False) -> Answer:
    """Repeat an exchange with the server until no load began while it went on, or the time is over.

    Args:
        asked: whom, and how long.
        path: the file that it is about; the server knows its present text, and that of all open documents.
        exchange: asks and gives the result of the answer; it is called again for each try.
        local: whether the file by itself is enough for an answer (its symbols, its formatting): then one
            that is not empty is taken also from a server that is still loading, or is degraded.

    Raises:
        ToolError: the file cannot be read, or the exchange raised it.
    """
    with asked.server.asking():
        return await _settle(asked, path, exchange, local)


async def _settle(asked: Asked, path: Path, exchange: Exchange, local: bool) -> Answer:
    readiness = asked.server.readiness
    while True:
        ready = await readiness.wait(share_of(asked.deadline), asked.report, local)
        loads = readiness.loads
        try:
            answer = await _once(asked, path, exchange, local)
        except _Replaced:
            continue
        if answer.reason is not None:
            return answer
        if local and not _is_empty(answer.result):
            return answer
        if readiness.state == "degraded":
            return _but(answer, "indexing" if readiness.trouble is None else "server_error", readiness.sentence())
        if ready and readiness.state == "ready" and readiness.loads == loads:
            return answer
        if not ready or remaining(asked.deadline) == 0:
            return _but(answer, "indexing", readiness.sentence())
        local = False  # nothing, from a server that is still loading, is not "none"


async def _once(asked: Asked, path: Path, exchange: Exchange, local: bool) -> Answer:
    gap: str | None = None

    async def attempt(connection: Connection) -> Answer:
        nonlocal gap
        await _take_turn(connection, asked.deadline)
        try:
            gap = await _freshen(asked, connection, None if local else path)
            if connection.documents.sync_all():
                connection.checks.files_changed()
            document = connection.documents.sync(path)
            lines = connection.documents.texts()
            await have_read(connection, partial(request, deadline=asked.deadline))
            result = await exchange(connection, document)
            if _is_empty(result):
                # A server that loses what it works with may say nothing, and that it has loaded, just before it ends.
                await connection.probe(remaining(asked.deadline))
            return Answer(result, lines, connection.encoding)
        finally:
            connection.turns.end()

    answer = await _told(asked, attempt)
    return answer if gap is None or answer.reason is not None else _but(answer, "indexing", gap)


async def ask_of_text(asked: Asked, path: Path, text: str, exchange: Exchange) -> Answer:
    """Ask about a file as if it had another text than on the disk; what the file says by itself must be enough.

    Args:
        asked: whom, and how long.
        path: the file; it need not be there.
        text: the text, without byte order mark.
        exchange: asks and gives the result of the answer.

    Raises:
        ToolError: the file on the disk cannot be read, or the exchange raised it.
    """

    async def attempt(connection: Connection) -> Answer:
        await _freshen(asked, connection)
        async with connection.overlay(path, text, remaining(asked.deadline)) as document:
            return Answer(await exchange(connection, document), {path: document.lines}, connection.encoding)

    with asked.server.asking():
        try:
            return await _told(asked, attempt)
        except _Replaced:
            return absent(asked.server)


async def _told(asked: Asked, attempt: Callable[[Connection], Awaitable[Answer]]) -> Answer:
    """Give the answer of an attempt, or say why there is none.

    Raises:
        _Replaced: the process is being replaced by one that knows the files as they are.
    """
    connection = asked.server.connection
    if connection is None:
        return absent(asked.server)
    try:
        return await attempt(connection)
    except SessionClosed as closed:
        why = await asked.server.farewell(connection, closed)
        if why is None:
            raise _Replaced from None
        return Answer(None, reason="server_crashed", message=f"The language server went away: {why}.")
    except RequestTimedOut as error:
        outcome = await asked.server.suspect()
        return Answer(None, reason="timed_out", message=f"The language server gave {error}: {outcome}.")
    except ServerError as error:
        if error.code == METHOD_NOT_FOUND:  # announced or not
            name, method = asked.server.config.name, error.method or "this request"
            return Answer(None, reason="unsupported", message=f"{name} does not know {method}.")
        return Answer(None, reason="server_error", message=f"The language server answered: {error.message}")


async def _freshen(asked: Asked, connection: Connection, path: Path | None = None) -> str | None:
    """Have the server know all that changed on the disk so far; say why that may not be all, if so.

    Args:
        asked: whom, and how long.
        connection: to it.
        path: what the question is about, if other files count for its answer.
    """
    try:
        async with asyncio.timeout_at(asked.deadline):
            gap = await asked.server.freshen()
            if connection.showing.outdated and asked.server.connection is connection:
                asked.server.renew()
            if asked.server.connection is not connection:
                raise _Replaced
            return await connection.showing.catch_up(path) or gap
    except TimeoutError:
        raise RequestTimedOut("no look at the changed files in time") from None


class _Replaced(Exception):
    """The process is being replaced by one that knows the files as they are; that one is to be asked."""


async def _take_turn(connection: Connection, deadline: float) -> None:
    """Take the turn of a question: while the server sees a text that is not on the disk, none is asked."""
    if connection.turns.begin():
        return
    try:
        async with asyncio.timeout_at(deadline):
            await connection.turns.join()
    except TimeoutError:
        raise RequestTimedOut("no turn in time: a file is being formatted") from None


async def request(connection: Connection, method: str, params: dict[str, Any], deadline: float) -> Any:
    """Send one request of an exchange; again, a few times, while the server says that its state just changed.

    Raises:
        RequestTimedOut, ServerError, SessionClosed: there is no result.
    """
    pause = _FIRST_PAUSE
    for attempt in range(_ATTEMPTS):
        try:
            return await connection.session.request(method, params, remaining(deadline))
        except ServerError as error:
            if error.code not in _ASK_AGAIN or attempt == _ATTEMPTS - 1 or remaining(deadline) < pause:
                raise
        await asyncio.sleep(pause)  # the protocol has no notice for "ask me now"
        pause *= 2
    raise AssertionError("unreachable")


def absent(server: LanguageServer) -> Answer:
    """Give the answer of a server that is not there."""
    readiness = server.readiness
    crashed = readiness.state == "dead" or readiness.hopeless
    return Answer(None, reason="server_crashed" if crashed else "indexing", message=readiness.sentence())


def share_of(deadline: float) -> float:
    """Give until when to wait for a server to know; after that it says what it knows already."""
    return asyncio.get_running_loop().time() + remaining(deadline) * _WAITING_SHARE


def _is_empty(result: Any) -> bool:
    """Whether an answer says nothing, like a list of completions without items."""
    return not result or (isinstance(result, dict) and not any(value for value in result.values() if value is not True))


def _but(answer: Answer, reason: Reason, message: str) -> Answer:
    return Answer(answer.result, answer.lines, answer.encoding, reason, message)


async def choose(servers: LanguageServers, path: Path, method: str, deadline: float, report: Report) -> Asked:
    """Give the server that answers a request about a file: of those declared for it, the first that can.

    Args:
        servers: the project's.
        path: the file.
        method: a request of `CAPABILITY`.
        deadline: when an answer must be there, in the running loop's time.
        report: told what is being waited for.

    Raises:
        ToolError: there is no such file.
        Unsettled: no server can, or it is not known in time whether one can.
    """
    serving = servers.serving(path, FEATURE[method])
    if serving:
        return await choose_of(serving, method, deadline, report)
    servers.tree.read(path)  # a file that is not there is the caller's mistake, served or not
    if servers.is_served(path):
        message = f"No language server of this file is declared for {FEATURE[method]}."
    else:
        message = f"No language server serves this file; served are: {servers.served()}."
    raise Unsettled(Answer(None, reason="unsupported", message=message))


async def choose_of(serving: Sequence[LanguageServer], method: str, deadline: float, report: Report) -> Asked:
    """Give the first of some servers that can answer a request; one that still starts is waited for.

    Raises:
        Unsettled: see `choose`.
    """
    lacking, missing = [], list[LanguageServer]()
    for server in serving:
        if server.connection is None:
            with server.asking():
                await server.readiness.wait(share_of(deadline), report, local=True)
        connection = server.connection
        if connection is None:
            missing.append(server)
        elif connection.capabilities.covers(method):
            return Asked(server, deadline, report)
        else:
            lacking.append(f"{server.config.name} does not announce {CAPABILITY[method]}")
    if missing:
        raise Unsettled(absent(missing[0]))
    raise Unsettled(Answer(None, reason="unsupported", message=f"{', '.join(lacking)}."))


_READ_AT_ONCE: Final = 50
# Problems of a file that is gone, or that was searched though it is not UTF-8.
_HARMLESS: Final = ("not_found", "binary_file", "unsupported_encoding")


class Looked(NamedTuple):
    """Some of the files of a project.

    Args:
        files: how many.
        found: those with the word.
        refused: those that could not be read, but for what is gone, and why.
        cut: why these are the last though there are more, if so.
    """

    files: int
    found: list[Path]
    refused: list[tuple[Path, ToolError]]
    cut: str | None = None


async def look_for_word(
    tree: Tree,
    word: str,
    wanted: Callable[[str], bool],
    *,
    include_ignored: bool = False,
    include_tool_directories: bool = False,
) -> AsyncIterator[Looked]:
    """Look for a word in the files of a project, some at a time: whoever has enough stops.

    Args:
        tree: the project.
        word: the word; nothing that can belong to a word stands beside it.
        wanted: whether a file is looked at, by its path in the project.
        include_ignored: see `Tree.entries`.
        include_tool_directories: see `Tree.entries`.
    """
    cut: list[str] = []
    entries = tree.entries(
        wanted,
        cut=cut.append,
        include_ignored=include_ignored,
        include_tool_directories=include_tool_directories,
    )
    searched = search_word(tree.project, entries, word, most=1)
    while some := await asyncio.to_thread(lambda: list(islice(searched, _READ_AT_ONCE))):
        found, refused = list[Path](), list[tuple[Path, ToolError]]()
        for file in some:
            path = tree.root.joinpath(*file.path.parts)
            if file.places:
                found.append(path)
            elif file.problem is not None and file.problem.code not in _HARMLESS:
                refused.append((path, file.problem))
        yield Looked(len(some), found, refused)
    if cut:
        yield Looked(0, [], [], cut[0])


_MISSING = "so it may not have found all."


async def beyond_limits(asked: Asked, word: str | None) -> Answer | None:
    """Give why a server may not find all that has a name; None when it can, or has no limits.

    Args:
        asked: whom, and how long.
        word: the name; None when it is not known.
    """
    limits = asked.server.config.limits
    if not limits:
        return None
    name, most, parsed = asked.server.config.name, limits.get("searched_files"), limits.get("parsed_files")
    if word is not None and len(word) < limits.get("shortest_name", 0):
        parsed, why = 1, f"{name} looks for a name as short as {word!r} in one file only, {_MISSING}"
    else:
        why = f"{name} looks closely at {parsed} files only, and {word!r} stands in more, {_MISSING}"
    files = found = 0
    async for looked in look_for_word(
        asked.server.tree,
        word or "",
        lambda path: asked.server.config.language_of(path) is not None,
        include_ignored=True,  # servers know nothing of .gitignore
    ):
        files, found = files + looked.files, found + len(looked.found)
        if looked.cut is not None:
            return Answer(None, reason="truncated", message=looked.cut)
        if most is not None and files > most:
            message = f"{name} looks into {most} files only, and the project has more, {_MISSING}"
            return Answer(None, reason="truncated", message=message)
        if word is not None and parsed is not None and found > parsed:
            return Answer(None, reason="truncated", message=why)
        if remaining(asked.deadline) == 0:
            message = f"{name} looks into a limited number of files only; time was over before they were counted."
            return Answer(None, reason="timed_out", message=message)
    return None


_STALE_LONGEST_PAUSE: Final = 2.0
_STALE_PAUSE: Final = 0.05
# Fewer than the documents that are open at one time.
_MAX_SHOWN: Final = 100
MALFORMED: Final = "The language server gave a malformed answer"


@dataclass(frozen=True)
class Question:
    """A question to the language servers of a project.

    Args:
        servers: them.
        deadline: when an answer must be there, in the running loop's time.
        report: told what is being waited for.
    """

    servers: LanguageServers
    deadline: float
    report: Report

    @classmethod
    def begin(cls, servers: LanguageServers, seconds: float, report: Report) -> Question:
        """Give a question that has so many seconds from now on."""
        return cls(servers, asyncio.get_running_loop().time() + seconds, report)

    async def choose(self, path: Path, method: str) -> Asked:
        """Give the server that answers a request about a file; see `choose`.

        Raises:
            ToolError, Unsettled: none does.
        """
        return await choose(self.servers, path, method, self.deadline, self.report)

    def show(self, unshown: Unshown, shown: set[Path]) -> Answer | None:
        """Show files to the servers, so that the next answer is right in them; say why, if it will not be.

        Args:
            unshown: names the files.
            shown: those that were shown for this question; the new ones are added.
        """
        more = unshown.paths - shown
        shown |= more
        if not more or len(shown) > _MAX_SHOWN:
            some = self.servers.tree.show(min(unshown.paths))
            message = (
                "The answer is about the first lines of files with a byte order mark, which some language servers "
                f"count wrongly, and they cannot all be shown to it: {some}"
                f"{f' and {len(unshown.paths) - 1} more' if len(unshown.paths) > 1 else ''}."
            )
            return Answer(None, reason="unsupported", message=message)
        self.servers.show(sorted(more))
        return None

    async def persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until the texts that an answer is for are those on the disk.

        Raises:
            ToolError: the attempt's.
            Unsettled: the attempt's, or the texts keep changing.
        """
        pause, shown = _STALE_PAUSE, set[Path]()
        while True:
            try:
                return await attempt()
            except Unshown as unshown:
                if (hopeless := self.show(unshown, shown)) is not None:
                    raise Unsettled(hopeless) from None
                continue
            except StaleText as stale:
                message = f"The file keeps changing: {stale.path}."
            except StaleLocation as stale:
                # It has not heard of the deletion, or not acted on it yet.
                await self.servers.files_changed([stale.path])
                message = (
                    f"The language server still speaks of a file that is gone: {self.servers.tree.show(stale.path)}."
                )
            if pause > _STALE_LONGEST_PAUSE or remaining(self.deadline) < pause:
                raise Unsettled(Answer(None, reason="indexing", message=message))
            await asyncio.sleep(pause)
            pause *= 2

    async def found(self, attempt: Callable[[], Awaitable[tuple[list[T], Answer]]]) -> tuple[list[T], Answer]:
        """Try as `persist` does; where nothing can be known, give nothing and the answer that says why.

        Raises:
            ToolError: the attempt's.
        """
        try:
            return await self.persist(attempt)
        except Unsettled as unsettled:
            return [], unsettled.answer


@dataclass(frozen=True)
class Pointer:
    """A place in a file, looked up in the text that the server knows when it is asked.

    Args:
        path: the workspace path, for messages.
        line: the 1-based line.
        column: the 1-based column.
        text: the word on the line that is meant, in place of the column.
        lines: the text that line and column were taken from; None when the caller gave them.
        after: whether the place is behind the word, not at its beginning.
    """

    path: str
    line: int
    column: int = 1
    text: str | None = None
    lines: list[str] | None = None
    after: bool = False

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

    def params(self, more: Mapping[str, Any], document: Document, encoding: Encoding) -> dict[str, Any]:
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
        if self.text is None:
            return self.column
        return find_word(lines, self.line, self.text, self.path, self.after)


async def point_at(question: Question, path: Path, place: Place) -> Pointer:
    """Point at a place; a symbol is looked up in the symbols of the file.

    Raises:
        ToolError: the file cannot be read, or has no such symbol or more than one.
        Unsettled: the symbols of the file are not known yet.
    """
    if place.symbol is None:
        return Pointer(place.path, place.line or 1, place.column or 1, place.text)
    symbols, answer = await file_symbols(question, path)
    try:
        found = find_symbol(symbols, place.symbol, place.path)
    except ToolError:
        if answer.reason is not None:  # it may be there once the server has loaded
            raise Unsettled(answer) from None
        raise
    return Pointer(place.path, found.line, found.column, lines=answer.lines.get(path))


async def ask_at(
    asked: Asked, path: Path, pointer: Pointer, method: str, more: Mapping[str, Any] = MappingProxyType({})
) -> tuple[list[Location], Answer]:
    """Ask a question that is answered with locations, about a place.

    Args:
        asked: whom, and how long.
        path: the file.
        pointer: the place in it.
        method: the request.
        more: its parameters besides document and position.

    Raises:
        ToolError: there is no such place.
        Unsettled: its answer is malformed.
        StaleText, StaleLocation, Unshown: asking anew may help; see `Question.persist`.
    """
    answer = await ask(asked, path, method, partial(pointer.params, more))
    try:
        return Reader(asked.server.tree, answer.encoding, answer.lines).locations(answer.result), answer
    except ValueError as error:
        raise malformed(error) from None


async def file_symbols(question: Question, path: Path) -> tuple[list[Symbol], Answer]:
    """Give the symbols of a file, outer ones before those in them; and the answer that they are from.

    Raises:
        ToolError: the file cannot be read.
        Unsettled: nothing is known yet.
    """
    answer = await ask_symbols(await question.choose(path, "textDocument/documentSymbol"), path)
    if answer.result is None and answer.reason is not None:
        raise Unsettled(answer)
    return symbols_of(answer, path), answer


async def ask_symbols(asked: Asked, path: Path) -> Answer:
    """Ask for the symbols of a file.

    Raises:
        ToolError: the file cannot be read.
    """
    return await ask(asked, path, "textDocument/documentSymbol", lambda document, encoding: {}, local=True)


def symbols_of(answer: Answer, path: Path) -> list[Symbol]:
    """Read the answer to a question for the symbols of a file.

    Raises:
        Unsettled: it is malformed.
    """
    try:
        return read_symbols(answer.result, answer.lines.get(path, [""]), answer.encoding)
    except ValueError as error:
        raise malformed(error) from None


def malformed(error: ValueError) -> Unsettled:
    """Give what to raise when a server's answer makes no sense."""
    return Unsettled(Answer(None, reason="server_error", message=f"{MALFORMED}: {error}."))
