"""Asking one server about one file: wait until it can know, ask, and ask again while it says that it was not ready."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from codebuddy.code.models import Reason
from codebuddy.language.changes import remaining
from codebuddy.language.connection import Connection
from codebuddy.language.documents import Document, StaleText
from codebuddy.language.positions import Encoding
from codebuddy.language.server import LanguageServer
from codebuddy.language.session import RequestTimedOut, ServerError, SessionClosed

__all__ = ["Answer", "Asked", "Exchange", "Report", "ask", "ask_diagnostics", "ask_symbols", "request", "settle"]

# ContentModified and ServerCancelled (LSP 3.17): the state changed while the server was computing; ask again.
_ASK_AGAIN: Final = (-32801, -32802)
_ATTEMPTS: Final = 6
_FIRST_PAUSE: Final = 0.05

# Of the caller's time, so much goes into waiting until a server can know; in the rest it says what it knows already.
_WAITING_SHARE: Final = 0.9

T = TypeVar("T")

Report = Callable[[str], Awaitable[None]]


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


async def ask_symbols(asked: Asked, path: Path) -> Answer:
    """Ask for the symbols of a file.

    Raises:
        ToolError: the file cannot be read.
    """
    return await ask(asked, path, "textDocument/documentSymbol", lambda document, encoding: {}, local=True)


async def ask_diagnostics(asked: Asked, path: Path) -> Answer:
    """Ask for the diagnostics of a file: pulled if the server offers that, or else those that it publishes for the
    present version; with what a compiler run found, if the server makes such runs.

    Raises:
        ToolError: the file cannot be read.
    """
    late: list[str] = []

    async def exchange(connection: Connection, document: Document) -> Any:
        late.clear()
        checks = connection.checks
        if connection.wants_saves and asked.server.readiness.state == "ready" and checks.take_stale():
            connection.session.notify("textDocument/didSave", {"textDocument": {"uri": document.uri}})
        if not connection.pulls_diagnostics:
            items = await _aside(connection, document, connection.published.wait(document, asked.deadline))
            if items is None:
                late.append("The server published nothing for this version of the file in time.")
            return items
        # First the compiler run, then the request: what the run found is published at the latest before its answer.
        if checks.used and not await _aside(connection, document, checks.wait(_share(asked.deadline))):
            late.append("The compiler run of the language server has not ended in time.")
        params = {"textDocument": {"uri": document.uri}}
        report = await request(connection, "textDocument/diagnostic", params, asked.deadline)
        pulled = report.get("items") if isinstance(report, dict) else None
        return [*(pulled if isinstance(pulled, list) else []), *connection.published.besides(document)]

    while True:
        with contextlib.suppress(StaleText):
            answer = await settle(asked, path, exchange)
            break
    if late and answer.reason is None:
        return Answer(answer.result, answer.lines, answer.encoding, "timed_out", late[0])
    return answer


async def settle(asked: Asked, path: Path, exchange: Exchange, local: bool = False) -> Answer:
    """Repeat an exchange with the server until no load began while it went on, or the time is over.

    Args:
        asked: whom, and how long.
        path: the file that it is about; the server knows its present text, and that of all open documents.
        exchange: asks and gives the result of the answer; it is called again for each try.
        local: whether the file by itself is enough for an answer (its symbols, its formatting, a completion): then one
            that is not empty is taken also from a server that is still loading, or is degraded.

    Raises:
        ToolError: the file cannot be read, or the exchange raised it.
    """
    readiness = asked.server.readiness
    while True:
        ready = await readiness.wait(_share(asked.deadline), asked.report, local)
        loads = readiness.loads
        answer = await _once(asked, path, exchange)
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


async def _once(asked: Asked, path: Path, exchange: Exchange) -> Answer:
    connection, readiness = asked.server.connection, asked.server.readiness
    if connection is None:
        crashed = readiness.state == "dead" or readiness.hopeless
        return Answer(None, reason="server_crashed" if crashed else "indexing", message=readiness.sentence())
    try:
        async with contextlib.AsyncExitStack() as stack:
            await _enter(stack, connection, asked.deadline)
            if connection.documents.sync_all():
                connection.checks.files_changed()
            document = connection.documents.sync(path)
            lines = connection.documents.texts()
            result = await exchange(connection, document)
    except SessionClosed as closed:
        return Answer(None, reason="server_crashed", message=f"The language server went away: {closed}.")
    except RequestTimedOut as error:
        asked.server.suspect()
        return Answer(None, reason="timed_out", message=f"The language server gave {error}.")
    except ServerError as error:
        return Answer(None, reason="server_error", message=f"The language server answered: {error.message}")
    return Answer(result, lines, connection.encoding)


async def _enter(stack: contextlib.AsyncExitStack, connection: Connection, deadline: float) -> None:
    """Take the turn of a question: while the server sees a text that is not on the disk, none is asked."""
    try:
        async with asyncio.timeout_at(deadline):
            await stack.enter_async_context(connection.turns.together())
    except TimeoutError:
        raise RequestTimedOut("no turn in time: a file is being formatted") from None


async def _aside(connection: Connection, document: Document, waiting: Awaitable[T]) -> T:
    """Wait for something that may take long, without a turn.

    Raises:
        SessionClosed: the server is gone.
        StaleText: the document has another text now.
    """
    since = document.since
    async with connection.turns.aside():
        result = await waiting
    connection.session.require_open()
    if document.since != since:
        raise StaleText(str(document.path))
    return result


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


def _share(deadline: float) -> float:
    return asyncio.get_running_loop().time() + remaining(deadline) * _WAITING_SHARE


def _is_empty(result: Any) -> bool:
    """Whether an answer says nothing, like a list of completions without items."""
    return not result or (isinstance(result, dict) and not any(value for value in result.values() if value is not True))


def _but(answer: Answer, reason: Reason, message: str) -> Answer:
    return Answer(answer.result, answer.lines, answer.encoding, reason, message)
