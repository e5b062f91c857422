"""What carries messages: the seam between transports and the kernel. It imports nothing, so ``start`` stays quick."""

from __future__ import annotations

from typing import Protocol

__all__ = [
    "MAX_MESSAGE_BYTES",
    "SUBPROTOCOL",
    "UNSUPPORTED_DATA",
    "Channel",
    "ChannelClosed",
    "InputEnded",
    "MessageTooLong",
]

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""The longest message that any transport takes, in bytes."""

SUBPROTOCOL = "mcp"
"""What a WebSocket that carries MCP is opened for."""

UNSUPPORTED_DATA = 1003
"""Close code of a WebSocket for a frame that is no text; RFC 6455, section 7.4.1."""


class ChannelClosed(Exception):
    """The other side is gone; nothing more can be sent or received."""


class InputEnded(ChannelClosed):
    """Nothing more will be received, but the other side may still take what is sent."""


class MessageTooLong(Exception):
    """A message was left out, for it is longer than any transport takes; the next one can be received.

    Args:
        request_id: the id of the request that it is, where that can be seen.
    """

    def __init__(self, request_id: int | str | None) -> None:
        super().__init__(f"A message may have {MAX_MESSAGE_BYTES} bytes; send less at once.")
        self.request_id = request_id


class Channel(Protocol):
    """A carrier of whole text messages, one JSON-RPC message each."""

    async def receive(self) -> str:
        """Give the next message; raise ChannelClosed when there is none to come, MessageTooLong for one left out."""

    async def send(self, text: str) -> None:
        """Send one message; raise ChannelClosed when nobody is there to take it."""
