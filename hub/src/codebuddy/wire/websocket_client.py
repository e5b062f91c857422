"""A channel on a WebSocket that this side opened. It does not import Starlette, so the agent can use it."""

from __future__ import annotations

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from codebuddy.wire.jsonrpc import UNSUPPORTED_DATA, ChannelClosed


class ClientChannel:
    """Text messages on a WebSocket connection."""

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
