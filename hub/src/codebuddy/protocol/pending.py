"""A request of ours that is not answered yet."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from codebuddy.protocol.messages import Params, RemoteError, is_number

__all__ = ["Answered", "OnProgress", "Pending", "WireClosed"]

# What a caller that does not listen may make us keep.
_MAX_NOTICES: Final = 1000
_MAX_KEPT: Final = 1024 * 1024

MAX_PROGRESS_CHARACTERS: Final = 32 * 1024
"""The longest message of a progress that is told; more is cut."""

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
        self._progress: deque[tuple[float, float | None, str | None]] = deque()
        self._kept = 0

    def take_progress(self, params: Params) -> None:
        """Have the caller told how far it is; if there is too much to tell, the oldest is left out."""
        progress, total, message = params.get("progress"), params.get("total"), params.get("message")
        if self._on_progress is None or not is_number(progress):
            return
        try:
            done, whole = float(progress), float(total) if is_number(total) else None
        except OverflowError:
            return
        said = message[:MAX_PROGRESS_CHARACTERS] if isinstance(message, str) else None
        self._progress.append((done, whole, said))
        self._kept += len(said or "")
        while len(self._progress) > _MAX_NOTICES or self._kept > _MAX_KEPT:
            self._next()
        if self.telling is None or self.telling.done():
            self.telling = asyncio.create_task(self._tell(self._on_progress))

    async def _tell(self, on_progress: OnProgress) -> None:
        while self._progress:
            try:
                await on_progress(*self._next())
            except Exception:
                log.exception("progress could not be told")

    def _next(self) -> tuple[float, float | None, str | None]:
        notice = self._progress.popleft()
        self._kept -= len(notice[2] or "")
        return notice

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
