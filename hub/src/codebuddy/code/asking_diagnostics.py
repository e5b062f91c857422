"""Asking one server for the diagnostics of one file."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

from codebuddy.code.asking import Answer, Asked, request, settle, share_of
from codebuddy.language.connection import Connection
from codebuddy.language.documents import Document, StaleText

__all__ = ["aside", "ask_diagnostics"]

T = TypeVar("T")


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
            items = await aside(connection, document, connection.published.wait(document, asked.deadline))
            if items is None:
                late.append("The server published nothing for this version of the file in time.")
            return items
        # First the compiler run, then the request: what the run found is published at the latest before its answer.
        if checks.used and not await aside(connection, document, checks.wait(share_of(asked.deadline))):
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
