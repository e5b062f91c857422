"""Waiting for a condition to become true, without polling; or for the first of several."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Changes", "first_of", "remaining"]

T = TypeVar("T")


def remaining(deadline: float) -> float:
    """Give the seconds until the deadline, a time of the running loop's clock; never negative."""
    return max(0.0, deadline - asyncio.get_running_loop().time())


async def first_of(*waits: Coroutine[Any, Any, T]) -> T:
    """Give the result of the first that ends, in the given order if several do; the others are cancelled."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Changes:
    """Wakes everyone who waits whenever something changed; whoever wakes looks again at what it waits for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._waiting = 0

    def tell(self) -> None:
        """Wake all who wait now."""
        if self._waiting:
            self._event.set()
            self._event = asyncio.Event()

    async def wait(self, seconds: float | None) -> bool:
        """Wait for the next change for at most so long (None: for ever); say whether there was one."""
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True
