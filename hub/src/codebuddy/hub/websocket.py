"""MCP over WebSocket connections that clients and spokes open to the hub."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from codebuddy.tool import Principal
from codebuddy.wire.jsonrpc import SUBPROTOCOL, UNSUPPORTED_DATA, ChannelClosed, RequestQuota
from codebuddy.wire.mcp_server import PRINCIPAL_KEY, McpServer, serve_channel

# Close codes of RFC 6455, section 7.4.1.
GOING_AWAY = 1001
POLICY_VIOLATION = 1008


class AcceptedChannel:
    """Text messages on an accepted WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def receive(self) -> str:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise ChannelClosed
        text = message.get("text")
        if text is None:
            await self.close(UNSUPPORTED_DATA, "text frames only")
            raise ChannelClosed
        return str(text)

    async def send(self, text: str) -> None:
        try:
            await self._socket.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as error:  # RuntimeError: a send after the close frame
            raise ChannelClosed from error

    async def close(self, code: int, reason: str) -> None:
        """Close with a code and a reason, unless it is closed already."""
        if self._socket.application_state is WebSocketState.CONNECTED:
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.close(code, reason)


async def accept(socket: WebSocket) -> AcceptedChannel:
    """Accept an upgrade, with the subprotocol ``mcp`` if the client offers it and none otherwise."""
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    return AcceptedChannel(socket)


@asynccontextmanager
async def lifetime(channel: AcceptedChannel, principal: Principal, stopping: anyio.Event) -> AsyncIterator[None]:
    """Cancel the body and close the connection with the right code when the hub stops or the token expires."""

    async def close_after(wait: Callable[[], Awaitable[object]], code: int, reason: str) -> None:
        await wait()
        await channel.close(code, reason)
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close_after, stopping.wait, GOING_AWAY, "the hub is shutting down")
        if principal.expires_at is not None:
            until_expiry = partial(anyio.sleep, max(0.0, principal.expires_at - time.time()))
            tasks.start_soon(close_after, until_expiry, POLICY_VIOLATION, "the token has expired")
        yield
        tasks.cancel_scope.cancel()


async def serve_websocket(
    server: McpServer, socket: WebSocket, stopping: anyio.Event, quota: RequestQuota | None = None
) -> None:
    """Accept an upgrade that the guard let through, and serve MCP until the client leaves or the `lifetime` ends.

    ``quota`` bounds the bytes of the requests being answered; None means that of one client.
    """
    principal: Principal = socket.scope[PRINCIPAL_KEY]
    channel = await accept(socket)
    async with lifetime(channel, principal, stopping):
        await serve_channel(server, channel, principal, quota)
