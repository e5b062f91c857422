"""Work that is finished although its task is cancelled; anyio's shields hold off only cancellations of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

__all__ = ["finish"]


async def finish(work: Awaitable[Any]) -> None:
    """Finish something although we are cancelled, however often."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
