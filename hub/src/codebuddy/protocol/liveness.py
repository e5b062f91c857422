"""Whether the other side of a wire is still there: a paused container or a cut network closes nothing."""

from __future__ import annotations

import asyncio
from typing import Final

from codebuddy.protocol.messages import RemoteError
from codebuddy.protocol.pending import WireClosed
from codebuddy.protocol.wire import Wire

__all__ = ["until_silent"]

SILENCE_SECONDS: Final = 1.0
"""After so long without a word, while one side waits for the other, it is asked whether it is still there."""

PING_SECONDS: Final = 2.0
"""So long it may take to say so; an agent answers between two lines of output, however busy its project is."""


async def until_silent(wire: Wire) -> bool:
    """Return when the other side does not answer a ping while something is under way; False when the wire closed."""
    while True:
        await wire.silent(SILENCE_SECONDS)
        try:
            async with asyncio.timeout(PING_SECONDS):
                await wire.request("ping", None)
        except RemoteError:
            continue  # nonsense is an answer too
        except WireClosed:
            return False
        except TimeoutError:
            return True
