"""Waiting for a condition to become true, without polling."""

from __future__ import annotations

import asyncio

__all__ = ["Changes", "remaining"]


def remaining(deadline: float) -> float:
    """Give the seconds until the deadline, a time of the running loop's clock; never negative."""
    return max(0.0, deadline - asyncio.get_running_loop().time())


class Changes:
    """Wakes everyone who waits whenever something changed; whoever wakes looks again at what it waits for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Wake all who wait now."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Wait for the next change for at most so long; say whether there was one."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True
