"""How much of what was asked is held in memory: a request stays there until it is answered, however long that takes."""

from __future__ import annotations

from typing import Final

__all__ = ["CLIENT_BYTES", "SPOKE_BYTES", "Budget"]

CLIENT_BYTES: Final = 32 * 1024 * 1024
"""Of one connection of a client."""

SPOKE_BYTES: Final = 8 * 1024 * 1024
"""Of all connections from one spoke, whose programs may be hostile: two requests of the largest size."""


class Budget:
    """Counts the bytes of requests that are being answered, on one or several connections.

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken = 0

    def take(self, size: int) -> bool:
        """Count a request, unless it would be too much."""
        if self._taken + size > self.most:
            return False
        self._taken += size
        return True

    def give_back(self, size: int) -> None:
        """Take it that a request was answered."""
        self._taken -= size
