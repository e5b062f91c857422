"""What becomes of a call over HTTP whose client is gone: it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import anyio
import mcp_types as types
from mcp.shared.exceptions import MCPError
from starlette.requests import Request

__all__ = ["cancel_on_disconnect"]

T = TypeVar("T")


async def cancel_on_disconnect(request: Request, answer: Awaitable[T]) -> T:
    """Give the answer to a request; when its connection goes, it is cancelled, as if the client had asked for that.

    The protocol of the handshake era does not take a lost connection for a cancellation, because the answer could be
    fetched on another one. Here it could not: no event is stored, so nobody would ever see it.

    Raises:
        MCPError: the connection is gone; nobody hears of it.
    """
    with anyio.CancelScope() as scope:
        watch = asyncio.create_task(_cancel_when_gone(request, scope))
        try:
            return await answer
        finally:
            watch.cancel()
    raise MCPError(code=types.INTERNAL_ERROR, message="The client closed its connection.")


async def _cancel_when_gone(request: Request, scope: anyio.CancelScope) -> None:
    # The body has been read, so all that is still to come is the end; it is told to everybody who asks for it.
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
