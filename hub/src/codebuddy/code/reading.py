"""Some servers take a changed document into their index a while later: before a question they are made to read it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from codebuddy.language.connection import Connection
from codebuddy.language.quirks import INDEX_LATE
from codebuddy.language.session import RequestTimedOut, ServerError, SessionClosed

__all__ = ["have_read"]

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
