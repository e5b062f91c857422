"""Whether a server that let a request time out still answers anything."""

from __future__ import annotations

import asyncio

from codebuddy.language.connection import Connection
from codebuddy.language.session import RequestTimedOut, SessionClosed

__all__ = ["Pulse"]


class Pulse:
    """The pulse of one process, felt when it is doubted.

    Args:
        connection: to it.
        seconds: how long it may take to answer the simplest question before it counts as hanging.
        patience: how long whoever doubts waits to hear what came of it.
    """

    def __init__(self, connection: Connection, seconds: float, patience: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._patience = patience
        self._doubted = asyncio.Event()
        self._verdict: asyncio.Future[bool] | None = None

    async def watch(self) -> str:
        """Wait until the server was doubted and is found to hang; give that as the reason to end it."""
        try:
            while True:
                await self._doubted.wait()
                self._doubted.clear()
                await self._connection.probe(self._seconds)
                self._decide(True)
        except RequestTimedOut:
            return f"it answered nothing for {self._seconds:.0f} s after a time-out"
        except SessionClosed as closed:
            if not self._connection.session.is_open:
                # It ended while it was asked: why is found out by others. Not `await end`: who is cancelled in that
                # cancels the future too, and then nobody can say the reason any more.
                await asyncio.wait([self._connection.end])
            return str(closed)
        finally:
            self._decide(False)

    async def doubt(self) -> str:
        """Doubt the server after a request timed out; say what became of the request and of the server."""
        if self._verdict is None or self._verdict.done():
            self._verdict = asyncio.get_running_loop().create_future()
            self._doubted.set()
        verdict = self._verdict
        await asyncio.wait([verdict], timeout=self._patience)
        if not verdict.done():
            wait = f"it is restarted if that goes on for {self._seconds:.0f} s"
            return f"it was cancelled; the server has answered nothing since, and {wait}"
        if verdict.result():
            return "it was cancelled; the server still answers"
        return "the server answered nothing and is being restarted"

    def _decide(self, alive: bool) -> None:
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_result(alive)
