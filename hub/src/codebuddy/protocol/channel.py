"""What carries messages: the seam between transports and the kernel. It imports nothing, so ``start`` stays quick."""

from __future__ import annotations

from typing import Protocol

__all__ = ["MAX_MESSAGE_BYTES", "Channel", "ChannelClosed"]

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""The longest message that any transport takes, in bytes."""


class ChannelClosed(Exception):
    """The other side is gone; nothing more can be sent or received."""


class Channel(Protocol):
    """A carrier of whole text messages, one JSON-RPC message each."""

    async def receive(self) -> str:
        """Give the next message; raise ChannelClosed when there will be none."""

    async def send(self, text: str) -> None:
        """Send one message; raise ChannelClosed when nobody is there to take it."""
