"""Asking one server for the diagnostics of one file."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from codebuddy.code.asking import Answer, Asked, request, settle, share_of
from codebuddy.code.asking_tsserver import ask_tsserver, passes_on
from codebuddy.code.questions import malformed
from codebuddy.language.changes import remaining
from codebuddy.language.connection import Connection
from codebuddy.language.documents import Document, StaleText
from codebuddy.schemas.code import Reason

__all__ = ["aside", "ask_diagnostics", "published_for"]

T = TypeVar("T")


async def ask_diagnostics(asked: Asked, path: Path) -> Answer:
    """Ask for the diagnostics of a file: pulled if the server offers that, or else those that it publishes for the
    present version; with what a compiler run found, if the server makes such runs.

    Raises:
        ToolError: the file cannot be read.
        Unsettled: the answer is malformed.
    """
    lacks: list[tuple[Reason, str]] = []

    async def exchange(connection: Connection, document: Document) -> Any:
        lacks.clear()
        checks = connection.checks
        items: list[Any] | None = None
        await _save(asked, connection, document)
        if passes_on(connection):
            return await ask_tsserver(asked, connection, document)
        if not connection.pulls_diagnostics:
            items = await aside(
                connection, document, published_for(connection, document, asked.deadline, asked.deadline)
            )
        if connection.pulls_diagnostics:
            # First the compiler run, then the request: what the run found is published at the latest before its answer.
            if checks.used and not await aside(connection, document, checks.wait(share_of(asked.deadline))):
                lacks.append(("timed_out", "The compiler run of the language server has not ended in time."))
            items = [*await _pull(asked, connection, document), *connection.published.besides(document)]
        elif items is None:
            lacks.append(("timed_out", "The server published nothing for this version of the file in time."))
        if connection.published.is_cut(document):
            lacks.append(("truncated", "The server published more for this file than is kept."))
        return items

    while True:
        with contextlib.suppress(StaleText):
            answer = await settle(asked, path, exchange)
            break
    if lacks and answer.reason is None:
        return Answer(answer.result, answer.lines, answer.encoding, *lacks[0])
    return answer


async def published_for(
    connection: Connection,
    document: Document,
    until: float,
    deadline: float,
    enough: Callable[[list[Any]], bool] = lambda items: True,
) -> list[Any] | None:
    """Wait for what a server publishes, or until it offers to be asked: some do only after they have begun.

    Such a one may have published a mere first glance before: nothing counts only after it had the time to offer it.

    Args:
        connection: to the server.
        document: what for.
        until: how long to wait, in the running loop's time; None is given then.
        deadline: when the server must have answered that it still answers.
        enough: whether what was published is all of it.

    Raises:
        RequestTimedOut, SessionClosed: it did not.
    """
    items = await connection.published.wait(document, until, lambda: connection.pulls_diagnostics, enough)
    if items == [] and not connection.pulls_diagnostics:
        await connection.probe(remaining(deadline))
    return items


async def _save(asked: Asked, connection: Connection, document: Document) -> None:
    """Have a server that wants to know of saved files make a compiler run, if files changed since the last one.

    Raises:
        SessionClosed, StaleText: as `aside`.
    """
    checks = connection.checks
    if not connection.wants_saves or asked.server.readiness.state != "ready":
        return
    if checks.used and checks.stale:
        await aside(connection, document, checks.begun(share_of(asked.deadline)))
    if checks.take_stale():
        connection.session.notify("textDocument/didSave", {"textDocument": {"uri": document.uri}})


async def _pull(asked: Asked, connection: Connection, document: Document) -> list[Any]:
    """Ask for the diagnostics of a document.

    Raises:
        Unsettled: the answer is malformed.
    """
    params = {"textDocument": {"uri": document.uri}}
    report = await request(connection, "textDocument/diagnostic", params, asked.deadline)
    items = report.get("items") if isinstance(report, dict) else None
    if not isinstance(items, list):
        raise malformed(ValueError("diagnostics that are not a list"))
    return items


async def aside(connection: Connection, document: Document, waiting: Awaitable[T]) -> T:
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
