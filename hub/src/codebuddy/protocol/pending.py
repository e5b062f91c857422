"""A request of ours that is not answered yet."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from codebuddy.protocol.messages import Params, RemoteError, is_number

__all__ = ["Answered", "OnProgress", "Pending", "WireClosed"]

_MAX_PROGRESS: Final = 1000

log = logging.getLogger(__name__)

OnProgress = Callable[[float, float | None, str | None], Awaitable[None]]


class WireClosed(Exception):
    """The other side is gone, or went before it answered."""


class Answered(NamedTuple):
    """A result, and how long the message was that brought it, in characters."""

    result: Any
    characters: int


class Pending:
    """A request of ours that is not answered yet.

    Args:
        on_progress: is told what the other side tells, in order.
    """

    def __init__(self, on_progress: OnProgress | None) -> None:
        self.answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self.telling: asyncio.Task[None] | None = None
        self._on_progress = on_progress
        self._progress: deque[tuple[float, float | None, str | None]] = deque(maxlen=_MAX_PROGRESS)

    def take_progress(self, params: Params) -> None:
        """Have the caller told how far it is; if there is too much to tell, the oldest is left out."""
        progress, total, message = params.get("progress"), params.get("total"), params.get("message")
        if self._on_progress is None or not is_number(progress):
            return
        whole = float(total) if is_number(total) else None
        self._progress.append((float(progress), whole, message if isinstance(message, str) else None))
        if self.telling is None or self.telling.done():
            self.telling = asyncio.create_task(self._tell(self._on_progress))

    async def _tell(self, on_progress: OnProgress) -> None:
        while self._progress:
            try:
                await on_progress(*self._progress.popleft())
            except Exception:
                log.exception("progress could not be told")

    def settle(self, message: Params, characters: int) -> None:
        """Take the answer, as long as the message that it came in."""
        if self.answer.done():
            return
        error = message.get("error")
        if error is None:
            self.answer.set_result(Answered(message.get("result"), characters))
            return
        details = error if isinstance(error, dict) else {}
        code = details.get("code")
        text = str(details.get("message", "an error without a message"))[:2000]
        self.answer.set_exception(RemoteError(code if isinstance(code, int) else 0, text, details.get("data")))

    def fail(self) -> None:
        """Take it that there will be no answer."""
        if not self.answer.done():
            self.answer.set_exception(WireClosed("the other side is gone"))
            self.answer.exception()  # seen: a caller that was cancelled meanwhile leaves no "never retrieved" warning
