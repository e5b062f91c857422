"""Asking one server about one file: wait until it can know, ask, and ask again while it says that it was not ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from codebuddy.code.reading import have_read
from codebuddy.language.changes import remaining
from codebuddy.language.connection import Connection
from codebuddy.language.documents import Document
from codebuddy.language.positions import Encoding
from codebuddy.language.readiness import Report
from codebuddy.language.server import LanguageServer
from codebuddy.language.session import METHOD_NOT_FOUND, RequestTimedOut, ServerError, SessionClosed
from codebuddy.schemas.code import Reason

__all__ = [
    "Answer",
    "Asked",
    "Exchange",
    "Report",
    "Unsettled",
    "absent",
    "ask",
    "request",
    "settle",
    "share_of",
]

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
