"""Asks a language server about a file: waits until it can know, asks, and asks again while it says "not now"."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from codebuddy.agent.code.answers import Answer, NoAnswer
from codebuddy.agent.code.decoding import Reader, StaleLocation, UnopenedFiles
from codebuddy.agent.code.places import Symbol, find_symbol, find_word, read_symbols
from codebuddy.agent.lsp.connection import CAPABILITY, FEATURE, Connection
from codebuddy.agent.lsp.documents import Document, StaleText
from codebuddy.agent.lsp.positions import INDEX_LATE, Encoding, Position, to_lsp
from codebuddy.agent.lsp.readiness import Report, remaining
from codebuddy.agent.lsp.servers import LanguageServer, LanguageServers
from codebuddy.agent.lsp.transport import METHOD_NOT_FOUND, RequestTimedOut, ServerError, SessionClosed
from codebuddy.agent.lsp.tree import Tree
from codebuddy.files.search import WITHOUT_TEXT, search_word
from codebuddy.schemas.code import Location, Place
from codebuddy.tool import ToolError

T = TypeVar("T")

_SYMBOLS: Final = "textDocument/documentSymbol"

# ContentModified and ServerCancelled (LSP 3.17): the state changed while the server was computing; ask again.
_ASK_AGAIN: Final = (-32801, -32802)

# Seconds. Pauses between attempts double from the first to the longest.
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_LONGEST_PAUSE_OF_REQUEST: Final = 1.0

# The share of the caller's time that goes into waiting for the server to load; in the rest it says what it knows.
_WAITING_SHARE: Final = 0.9

# Fewer than the documents that are open at one time.
_MAX_SHOWN: Final = 100
_READ_AT_ONCE: Final = 50


class Backoff:
    """Pauses between attempts, each twice as long as the one before."""

    def __init__(self, deadline: float, longest: float) -> None:
        self._deadline, self._longest, self._next = deadline, longest, _FIRST_PAUSE

    async def pause(self) -> bool:
        """Wait before the next attempt; give False, without waiting, when there were enough or the time is over."""
        if self._next > self._longest or remaining(self._deadline) < self._next:
            return False
        await asyncio.sleep(self._next)
        self._next *= 2
        return True


@dataclass(frozen=True)
class ServerQuestion:
    """Whom to ask, and how long."""

    server: LanguageServer
    deadline: float  # when an answer must be there, in the running loop's time
    report: Report  # called with what is being waited for


Exchange = Callable[[Connection, Document], Awaitable[Any]]
"""Asks the server, perhaps several times, and gives the result. It is called again for each attempt."""


async def ask(
    asked: ServerQuestion,
    path: Path,
    method: str,
    params: Callable[[Document, Encoding], dict[str, Any]],
    local: bool = False,
) -> Answer:
    """Send one request about a file, as `run_exchange` does.

    Args:
        params: gives its parameters, but for ``textDocument``, for the text that the server was sent.
    """

    async def exchange(connection: Connection, document: Document) -> Any:
        full = {"textDocument": {"uri": document.uri}, **params(document, connection.encoding)}
        return await request(connection, method, full, asked.deadline)

    return await run_exchange(asked, path, exchange, local)


async def run_exchange(asked: ServerQuestion, path: Path, exchange: Exchange, local: bool = False) -> Answer:
    """Repeat an exchange with the server until no loading began while it went on, or the time is over.

    Before each attempt the server is sent the present text of the file and of all open documents.

    Args:
        local: whether the file alone is enough for an answer (its symbols, its formatting): one that is not empty is
            then accepted also from a server that is still loading, or is degraded.
    """
    with asked.server.in_use():
        return await _repeat_until_loaded(asked, path, exchange, local)


async def _repeat_until_loaded(asked: ServerQuestion, path: Path, exchange: Exchange, local: bool) -> Answer:
    readiness = asked.server.readiness
    while True:
        ready = await readiness.wait(share_of(asked.deadline), asked.report, local)
        loads = readiness.loads
        try:
            answer = await _attempt(asked, path, exchange, local)
        except _Replaced:
            continue
        if answer.reason is not None or (local and not _is_empty(answer.result)):
            return answer
        if readiness.state == "degraded":
            return answer.but("indexing" if readiness.trouble is None else "server_error", readiness.sentence())
        if ready and readiness.state == "ready" and readiness.loads == loads:
            return answer
        if not ready or remaining(asked.deadline) == 0:
            return answer.but("indexing", readiness.sentence())
        local = False  # nothing, from a server that is still loading, is not "none"


async def _attempt(asked: ServerQuestion, path: Path, exchange: Exchange, local: bool) -> Answer:
    gap: str | None = None

    async def attempt(connection: Connection) -> Answer:
        nonlocal gap
        await _take_turn(connection, asked.deadline)
        try:
            gap = await _tell_changes(asked, connection, None if local else path)
            if connection.documents.sync_all():
                connection.flycheck.files_changed()
            document = connection.documents.sync(path)
            lines = connection.documents.texts()
            await wait_until_indexed(connection, partial(request, deadline=asked.deadline))
            result = await exchange(connection, document)
            if _is_empty(result):
                # A server that loses what it works with may say nothing, and that it has loaded, just before it ends.
                await connection.probe(remaining(asked.deadline))
            return Answer(result, lines, connection.encoding)
        finally:
            connection.read_write_lock.release()

    answer = await _or_failure(asked, attempt)
    return answer if gap is None else answer.but("indexing", gap)


async def ask_of_text(asked: ServerQuestion, path: Path, text: str, exchange: Exchange) -> Answer:
    """Ask about a file as if it had another text (without byte order mark) than on the disk; it need not exist.

    The answer must depend on that text only.
    """

    async def attempt(connection: Connection) -> Answer:
        await _tell_changes(asked, connection)
        async with connection.overlay(path, text, remaining(asked.deadline)) as document:
            return Answer(await exchange(connection, document), {path: document.lines}, connection.encoding)

    with asked.server.in_use():
        try:
            return await _or_failure(asked, attempt)
        except _Replaced:
            return not_running_answer(asked.server)


class _Replaced(Exception):
    """The server's process is being replaced by one that knows the files as they are; ask that one."""


async def _or_failure(asked: ServerQuestion, attempt: Callable[[Connection], Awaitable[Answer]]) -> Answer:
    """Return the answer of an attempt, or say why there is none."""
    server = asked.server
    connection = server.connection
    if connection is None:
        return not_running_answer(server)
    try:
        return await attempt(connection)
    except SessionClosed as closed:
        why = await server.closing_reason(connection, closed)
        if why is None:
            raise _Replaced from None
        return Answer.lacking("server_crashed", f"The language server went away: {why}.")
    except RequestTimedOut as error:
        outcome = await server.check_after_timeout()
        return Answer.lacking("timed_out", f"The language server gave {error}: {outcome}.")
    except ServerError as error:
        if error.code == METHOD_NOT_FOUND:  # announced or not
            return Answer.lacking(
                "unsupported", f"{server.config.name} does not know {error.method or 'this request'}."
            )
        return Answer.lacking("server_error", f"The language server answered: {error.message}")


async def _tell_changes(asked: ServerQuestion, connection: Connection, path: Path | None = None) -> str | None:
    """Tell the server all that changed on the disk so far; say why that may not be all, if so.

    The path is of the file that the question is about, if other files count for its answer.
    """
    try:
        async with asyncio.timeout_at(asked.deadline):
            gap = await asked.server.flush_changes()
            if connection.refresher.outdated and asked.server.connection is connection:
                asked.server.renew()
            if asked.server.connection is not connection:
                raise _Replaced
            return await connection.refresher.catch_up(path) or gap
    except TimeoutError:
        raise RequestTimedOut("no look at the changed files in time") from None


async def _take_turn(connection: Connection, deadline: float) -> None:
    """Wait while the server sees a text that is not on the disk: nothing else can be asked then."""
    if connection.read_write_lock.try_acquire():
        return
    try:
        async with asyncio.timeout_at(deadline):
            await connection.read_write_lock.acquire()
    except TimeoutError:
        raise RequestTimedOut("no turn in time: a file is being formatted") from None


Request = Callable[[Connection, str, dict[str, Any]], Awaitable[Any]]


async def wait_until_indexed(connection: Connection, request: Request) -> None:
    """Wait until a server that indexes late has read every open document that it was sent since the last time.

    Raises:
        RequestTimedOut, SessionClosed: a document was not read in time, or the server is gone.
    """
    if connection.server_name not in INDEX_LATE or not connection.capabilities.covers(_SYMBOLS):
        return
    sent = {path: (document.uri, document.version) for path, document in connection.documents.copies().items()}

    async def read(path: Path) -> None:
        uri, version = sent[path]
        with contextlib.suppress(ServerError):
            await request(connection, _SYMBOLS, {"textDocument": {"uri": uri}})
        connection.read_versions[path] = version

    unread = [path for path, (_, version) in sent.items() if connection.read_versions.get(path) != version]
    failures: list[BaseException] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            for path in unread:
                tasks.create_task(read(path))
    except* (RequestTimedOut, SessionClosed) as failed:
        failures += failed.exceptions
    if failures:
        raise failures[0]
    for path in set(connection.read_versions) - set(sent):
        del connection.read_versions[path]


async def request(connection: Connection, method: str, params: dict[str, Any], deadline: float) -> Any:
    """Send one request of an exchange; again, a few times, while the server says that its state just changed.

    Raises:
        RequestTimedOut, ServerError, SessionClosed: there is no result.
    """
    backoff = Backoff(deadline, _LONGEST_PAUSE_OF_REQUEST)
    while True:
        try:
            return await connection.session.request(method, params, remaining(deadline))
        except ServerError as error:
            # The protocol has no notice for "ask me now".
            if error.code not in _ASK_AGAIN or not await backoff.pause():
                raise


def not_running_answer(server: LanguageServer) -> Answer:
    """Return the answer of a server that does not run."""
    readiness = server.readiness
    crashed = readiness.state == "dead" or readiness.hopeless
    return Answer.lacking("server_crashed" if crashed else "indexing", readiness.sentence())


def not_served_answer(servers: LanguageServers) -> Answer:
    """Return the answer about a file that no declared server is for."""
    return Answer.lacking("unsupported", f"No language server serves this file; served are: {servers.served()}.")


def share_of(deadline: float) -> float:
    """Return until when to wait for a server to load; after that it says what it knows already."""
    return asyncio.get_running_loop().time() + remaining(deadline) * _WAITING_SHARE


def _is_empty(result: Any) -> bool:
    """Whether an answer says nothing, like a list of completions without items."""
    return not result or (isinstance(result, dict) and not any(value for value in result.values() if value is not True))


@dataclass(frozen=True)
class Question:
    """A question to the language servers of a project."""

    servers: LanguageServers
    deadline: float  # when an answer must be there, in the running loop's time
    report: Report  # called with what is being waited for

    @classmethod
    def begin(cls, servers: LanguageServers, seconds: float, report: Report) -> Question:
        """Return a question that may take so many seconds from now on."""
        return cls(servers, asyncio.get_running_loop().time() + seconds, report)

    async def choose(self, path: Path, method: str) -> ServerQuestion:
        """Return the server that answers a request of `CAPABILITY`: of those declared for the file, the first that can.

        Raises:
            ToolError: there is no such file.
            NoAnswer: no server can, or it is not known in time whether one can.
        """
        servers = self.servers
        if serving := servers.serving(path, FEATURE[method]):
            return await self.choose_from(serving, method)
        servers.tree.read(path)  # a file that does not exist is the caller's mistake, served or not
        if servers.is_served(path):
            message = f"No language server of this file is declared for {FEATURE[method]}."
            raise NoAnswer.because("unsupported", message)
        raise NoAnswer(not_served_answer(servers))

    async def choose_from(self, serving: Sequence[LanguageServer], method: str) -> ServerQuestion:
        """Return the first of some servers that can answer a request; wait for one that is still starting."""
        lacking, missing = [], list[LanguageServer]()
        for server in serving:
            if server.connection is None:
                with server.in_use():
                    await server.readiness.wait(share_of(self.deadline), self.report, local=True)
            connection = server.connection
            if connection is None:
                missing.append(server)
            elif connection.capabilities.covers(method):
                return ServerQuestion(server, self.deadline, self.report)
            else:
                lacking.append(f"{server.config.name} does not announce {CAPABILITY[method]}")
        if missing:
            raise NoAnswer(not_running_answer(missing[0]))
        raise NoAnswer.because("unsupported", f"{', '.join(lacking)}.")

    async def persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat an attempt until the texts that its answer is for are those on the disk, or keep changing."""
        backoff, shown = Backoff(self.deadline, _LONGEST_PAUSE), set[Path]()
        while True:
            try:
                return await attempt()
            except UnopenedFiles as unshown:
                self._show(unshown, shown)
                continue
            except StaleText as stale:
                message = f"The answer does not fit the present text of {stale.path}, which keeps changing; try again."
            except StaleLocation as stale:
                # It has not heard of the deletion, or not acted on it yet.
                await self.servers.files_changed([stale.path])
                where = self.servers.tree.show(stale.path)
                message = f"The language server still speaks of a file that is gone: {where}."
            if not await backoff.pause():
                raise NoAnswer.because("indexing", message)

    async def answered(self, attempt: Callable[[], Awaitable[tuple[T, Answer]]], nothing: T) -> tuple[T, Answer]:
        """Do as `persist`; where there is no answer, give ``nothing`` and the answer that says why."""
        try:
            return await self.persist(attempt)
        except NoAnswer as none:
            return nothing, none.answer

    async def found(self, attempt: Callable[[], Awaitable[tuple[list[T], Answer]]]) -> tuple[list[T], Answer]:
        """Do as `answered`, with an empty list for nothing."""
        return await self.answered(attempt, [])

    def _show(self, unshown: UnopenedFiles, shown: set[Path]) -> None:
        """Open files in the servers, so that the next answer is right in them; add them to those that are open."""
        more = unshown.paths - shown
        shown |= more
        if not more or len(shown) > _MAX_SHOWN:
            some, others = self.servers.tree.show(min(unshown.paths)), len(unshown.paths) - 1
            message = (
                "The answer is about the first lines of files with a byte order mark, or files in a declared encoding, "
                "which some language servers count wrongly, and they cannot all be shown to it: "
                f"{some}{f' and {others} more' if others else ''}."
            )
            raise NoAnswer.because("unsupported", message)
        self.servers.show(sorted(more))


@dataclass(frozen=True)
class Pointer:
    """A place in a file, looked up in the text that the server knows when it is asked."""

    path: str  # the workspace path, for messages
    line: int
    column: int = 1
    text: str | None = None  # the word on the line that is meant, instead of the column
    lines: list[str] | None = None  # the text that line and column were taken from; None when the caller gave them
    after: bool = False  # whether the place is behind the word, not at its beginning

    def position(self, document: Document, encoding: Encoding) -> Position:
        """Return the position in a document.

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
        """Return the parameters of a request about the place; raises what `position` raises."""
        return {"position": self.position(document, encoding), **more}

    def column_in(self, lines: list[str]) -> int:
        """Return the column in a text; raises `ToolError` if the word is not on the line, or more than once."""
        if self.text is None:
            return self.column
        return find_word(lines, self.line, self.text, self.path, self.after)


async def point_at(question: Question, path: Path, place: Place) -> Pointer:
    """Point at a place; a symbol is looked up in the symbols of the file.

    Raises:
        ToolError: the file cannot be read, or has no such symbol or more than one.
        NoAnswer: the symbols of the file are not known yet.
    """
    if place.symbol is None:
        return Pointer(place.path, place.line or 1, place.column or 1, place.text)
    symbols, answer = await file_symbols(question, path)
    try:
        found = find_symbol(symbols, place.symbol, place.path)
    except ToolError:
        if answer.reason is not None:  # it may be there once the server has loaded
            raise NoAnswer(answer) from None
        raise
    return Pointer(place.path, found.line, found.column, lines=answer.lines.get(path))


async def ask_at(
    asked: ServerQuestion,
    path: Path,
    pointer: Pointer,
    method: str,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[list[Location], Answer]:
    """Send a request about a place that is answered with locations; ``more`` are further parameters.

    Raises:
        ToolError: there is no such place.
        NoAnswer: the answer is malformed.
        StaleText, StaleLocation, UnopenedFiles: asking again may help; see `Question.persist`.
    """
    answer = await ask(asked, path, method, partial(pointer.params, more))
    return Reader(asked.server.tree, answer.encoding, answer.lines).locations(answer.result), answer


async def file_symbols(question: Question, path: Path) -> tuple[list[Symbol], Answer]:
    """Return the symbols of a file, outer ones before those in them; and the answer that they are from."""
    answer = await ask_symbols(await question.choose(path, _SYMBOLS), path)
    if answer.result is None and answer.reason is not None:
        raise NoAnswer(answer)
    return read_symbols(answer.result, answer.lines.get(path, [""]), answer.encoding), answer


async def ask_symbols(asked: ServerQuestion, path: Path) -> Answer:
    """Ask for the symbols of a file."""
    return await ask(asked, path, _SYMBOLS, lambda document, encoding: {}, local=True)


class WordBatch(NamedTuple):
    """Some files of a project that were searched for a word."""

    files: int
    found: list[Path]
    refused: list[tuple[Path, ToolError]]
    """Those that could not be read, but for what is gone."""
    cut: str | None = None
    """Why these are the last though there are more, if so."""


async def files_with_word(
    tree: Tree,
    word: str,
    wanted: Callable[[str], bool],
    *,
    include_ignored: bool = False,
    include_tool_directories: bool = False,
) -> AsyncIterator[WordBatch]:
    """Search the wanted files (paths in the project) for a whole word, batch by batch; a caller can stop early.

    What is ignored, and what a tool directory is, `Tree.entries` says.
    """
    cut: list[str] = []
    entries = tree.entries(
        wanted, cut=cut.append, include_ignored=include_ignored, include_tool_directories=include_tool_directories
    )
    searched = search_word(tree.project, entries, word, most=1)
    while some := await asyncio.to_thread(lambda: list(islice(searched, _READ_AT_ONCE))):
        found, refused = list[Path](), list[tuple[Path, ToolError]]()
        for file in some:
            path = tree.root.joinpath(*file.path.parts)
            if file.places:
                found.append(path)
            elif file.problem is not None and file.problem.code not in WITHOUT_TEXT:
                refused.append((path, file.problem))
        yield WordBatch(len(some), found, refused)
    if cut:
        yield WordBatch(0, [], [], cut[0])


async def search_limit_exceeded(asked: ServerQuestion, word: str | None) -> Answer | None:
    """Return why a server may not find all that has a name, if it is known; None when it can, or declares no limits."""
    config = asked.server.config
    limits, name = config.limits, config.name
    if not limits:
        return None
    most, parsed, incomplete = limits.get("searched_files"), limits.get("parsed_files"), "so it may not have found all."
    if word is not None and len(word) < limits.get("shortest_name", 0):
        parsed, why = 1, f"{name} looks for a name as short as {word!r} in one file only, {incomplete}"
    else:
        why = f"{name} looks closely at {parsed} files only, and {word!r} stands in more, {incomplete}"
    files = found = 0
    async for batch in files_with_word(
        asked.server.tree,
        word or "",
        lambda path: config.language_of(path) is not None,
        include_ignored=True,  # servers know nothing of .gitignore
    ):
        files, found = files + batch.files, found + len(batch.found)
        if batch.cut is not None:
            return Answer.lacking("truncated", batch.cut)
        if most is not None and files > most:
            message = f"{name} looks into {most} files only, and the project has more, {incomplete}"
            return Answer.lacking("truncated", message)
        if word is not None and parsed is not None and found > parsed:
            return Answer.lacking("truncated", why)
        if remaining(asked.deadline) == 0:
            message = f"{name} looks into a limited number of files only; time was over before they were counted."
            return Answer.lacking("timed_out", message)
    return None
