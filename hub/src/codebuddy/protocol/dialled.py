"""A channel on a WebSocket that we opened."""

from __future__ import annotations

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from codebuddy.protocol.channel import ChannelClosed

__all__ = ["LINK_PATH", "SUBPROTOCOL", "UNSUPPORTED_DATA", "DialledChannel"]

SUBPROTOCOL = "mcp"
LINK_PATH = "/link"
"""Where an agent dials in to *serve* MCP; on ``/`` the same token is a client's."""

UNSUPPORTED_DATA = 1003  # RFC 6455, section 7.4.1


class DialledChannel:
    """Text messages on a WebSocket that we opened."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> str:
        try:
            frame = await self._connection.recv()
        except ConnectionClosed as error:
            raise ChannelClosed from error
        if isinstance(frame, bytes):
            await self._connection.close(UNSUPPORTED_DATA, "text frames only")
            raise ChannelClosed
        return frame

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise ChannelClosed from error
