"""JSON-RPC 2.0 on a channel, both ways: requests with progress and cancellation, as MCP uses them.

It stands below the MCP SDK's server (``kernel``) and below our own two ends of a link, and imports neither the SDK nor
anything else that is large: the agent in each spoke is to stay small.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
from pydantic_core import from_json, to_json

from codebuddy.protocol.budget import CLIENT_BYTES, Budget
from codebuddy.protocol.channel import MAX_MESSAGE_BYTES, Channel, ChannelClosed, InputEnded, MessageTooLong
from codebuddy.protocol.messages import (
    ANSWER_TOO_LONG,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NOT_A_MESSAGE,
    Params,
    RemoteError,
    error_of,
    is_id,
    key_of,
    message_of,
)
from codebuddy.protocol.pending import Answered, OnProgress, Pending, WireClosed

__all__ = ["Incoming", "Wire"]

FINISH_SECONDS: Final = 3.0
"""A client that has ended its input gets the answers that are ready by then; what runs for it still is ended."""

MAX_SERVED: Final = 256
"""So many requests of one connection are answered at a time; more are refused, which stops a flood."""

_CANCEL_SECONDS: Final = 2.0

log = logging.getLogger(__name__)


class Incoming:
    """A request or notification of the other side.

    Args:
        wire: what it came on.
        method: its method.
        params: its parameters; None when it has none.
        request_id: its id; None for a notification.
    """

    __slots__ = ("cancelled", "method", "params", "request_id", "wire")

    def __init__(self, wire: Wire, method: str, params: Params | None, request_id: int | str | None) -> None:
        self.wire = wire
        self.method = method
        self.params = params
        self.request_id = request_id
        self.cancelled = False

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Tell how far the request is; nothing happens when the other side did not ask to be told."""
        meta = (self.params or {}).get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        if not is_id(token):
            return
        params: Params = {"progressToken": token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        await self.wire.notify("notifications/progress", params)


Serve = Callable[[Incoming], Awaitable[Any]]


class Wire:
    """One connection: serves what the other side asks, and asks it.

    Args:
        channel: carries the messages; it is left to the caller to close.
        serve: gives the result of a request, or takes a notification; raises RemoteError for what it refuses. None: the
            other side may only ask whether we are there.
        in_order: methods that are answered before the next message is looked at.
        most: how many requests are answered at a time; None: any number, for one that is trusted.
        budget: how many bytes of requests are; None: those of one client.
    """

    def __init__(
        self,
        channel: Channel,
        serve: Serve | None = None,
        in_order: frozenset[str] = frozenset(),
        most: int | None = MAX_SERVED,
        budget: Budget | None = None,
    ) -> None:
        self._channel = channel
        self._serve = serve or _serve_ping
        self._in_order = in_order
        self._most = most
        self._budget = Budget(CLIENT_BYTES) if budget is None else budget
        self._pending: dict[int | str, Pending] = {}
        self._last_id = 0
        self._serving: dict[int | str, tuple[Incoming, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.heard_at = 0.0
        """When the other side was last heard, in the loop's time."""
        self._busy_since = 0.0
        self._busy = asyncio.Event()

    async def run(self) -> None:
        """Read until the channel closes. What is being served is cancelled then, and what we asked fails.

        When only its input ended, the other side gets the answers that are ready soon.
        """
        loop = asyncio.get_running_loop()
        try:
            while True:
                text = await self._receive()
                if text is not None:
                    self.heard_at = loop.time()
                    await self._take(text)
        except InputEnded:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=FINISH_SECONDS)
        except ChannelClosed:
            pass
        finally:
            await self._close()

    async def request(self, method: str, params: Params | None, on_progress: OnProgress | None = None) -> Answered:
        """Ask, and wait for the answer for ever; cancelling this cancels it on the other side.

        Args:
            method: what to ask.
            params: with what.
            on_progress: is told what the other side tells, in order, all of it before this returns.

        Raises:
            RemoteError: the other side answered with an error.
            WireClosed: it is gone.
        """
        if self._closed:
            raise WireClosed("the other side is gone")
        self._last_id += 1
        ident = self._last_id
        if on_progress is not None:
            params = {**(params or {}), "_meta": {"progressToken": ident}}
        pending = Pending(on_progress)
        self._begin()
        self._pending[ident] = pending
        try:
            await self._send(message_of(ident, method=method, params=params))
            answered = await pending.answer
            if pending.telling is not None:
                await pending.telling
        except ChannelClosed:
            raise WireClosed("the other side is gone") from None
        except asyncio.CancelledError:
            with anyio.move_on_after(_CANCEL_SECONDS, shield=True):
                await self.notify("notifications/cancelled", {"requestId": ident})
            raise
        finally:
            del self._pending[ident]
            self._done()
            if pending.telling is not None:
                pending.telling.cancel()
        return answered

    async def notify(self, method: str, params: Params | None = None) -> None:
        """Send a notification; it is dropped when the other side is gone."""
        try:
            await self._send(message_of(method=method, params=params))
        except ChannelClosed:
            return

    async def silent(self, seconds: float) -> None:
        """Return when one side has waited for the other, and nothing was heard, for so long."""
        loop = asyncio.get_running_loop()
        while True:
            await self._busy.wait()
            quiet = loop.time() - max(self.heard_at, self._busy_since)
            if quiet >= seconds:
                return
            await asyncio.sleep(seconds - quiet)

    def _begin(self) -> None:
        if not self._busy.is_set():
            self._busy_since = asyncio.get_running_loop().time()
            self._busy.set()

    def _done(self) -> None:
        if not self._pending and not self._serving:
            self._busy.clear()

    async def _receive(self) -> str | None:
        try:
            return await self._channel.receive()
        except MessageTooLong as error:
            await self._send(message_of(error.request_id, error=error_of(INVALID_REQUEST, str(error))))
            return None

    async def _send(self, message: Params) -> None:
        await self._channel.send(_text_of(message))

    async def _take(self, text: str) -> None:
        try:
            message = from_json(text, allow_inf_nan=False)
        except ValueError:
            message = None
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            await self._send(NOT_A_MESSAGE)
            return
        method, params, ident = message.get("method"), message.get("params"), message.get("id")
        if isinstance(method, str) and (params is None or isinstance(params, dict)):
            if "id" not in message:
                await self._notified(method, params)
                return
            if is_id(ident):
                await self._asked(Incoming(self, method, params, ident), len(text))
                return
        elif method is None and ("result" in message or "error" in message):
            pending = self._pending.get(key_of(ident)) if is_id(ident) else None
            if pending is not None:
                pending.settle(message, len(text))
            return
        await self._send(NOT_A_MESSAGE)

    async def _notified(self, method: str, params: Params | None) -> None:
        if method == "notifications/progress":
            token = (params or {}).get("progressToken")
            pending = self._pending.get(key_of(token)) if is_id(token) else None
            if pending is not None:
                pending.take_progress(params or {})
        elif method == "notifications/cancelled":
            ident = (params or {}).get("requestId")
            found = self._serving.get(key_of(ident)) if is_id(ident) else None
            if found is not None:
                found[0].cancelled = True
                found[1].cancel()
        else:
            try:
                await self._serve(Incoming(self, method, params, None))
            except Exception:
                log.exception("taking %s failed", method)

    async def _asked(self, incoming: Incoming, size: int) -> None:
        assert incoming.request_id is not None
        key = key_of(incoming.request_id)
        problem = self._refusal(key, size)
        if problem is not None:
            # Sent before more is read: who does not read answers is not read either.
            await self._send(message_of(incoming.request_id, error=error_of(INVALID_REQUEST, problem)))
            return
        self._begin()
        task = asyncio.create_task(self._answer(incoming))
        self._serving[key] = incoming, task
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(key, done, size))
        if incoming.method in self._in_order:
            await asyncio.wait([task])

    def _refusal(self, key: int | str, size: int) -> str | None:
        """Say why a request is not served now; None: it is, and counts until `_ended`."""
        if key in self._serving:
            return "A request with this id is still being answered; give each its own."
        if self._most is None:
            return None
        if len(self._serving) >= self._most:
            return f"{self._most} requests are being answered; wait for one of them."
        if not self._budget.take(size):
            return f"Requests of nearly {self._budget.most // 2**20} MiB are being answered; wait for one of them."
        return None

    def _ended(self, key: int | str, task: asyncio.Task[None], size: int) -> None:
        self._tasks.discard(task)
        if self._most is not None:
            self._budget.give_back(size)
        del self._serving[key]
        self._done()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("answering failed", exc_info=error)

    async def _answer(self, incoming: Incoming) -> None:
        try:
            message = message_of(incoming.request_id, result=await self._serve(incoming))
        except RemoteError as error:
            message = message_of(incoming.request_id, error=error_of(error.code, error.message, error.data))
        except Exception:
            log.exception("serving %s failed", incoming.method)
            message = message_of(incoming.request_id, error=error_of(INTERNAL_ERROR, "Internal server error"))
        if incoming.cancelled:
            return  # nobody waits for it
        try:
            text = _text_of(message)
        except ValueError:
            log.exception("the answer to %s cannot be written as JSON", incoming.method)
            text = _text_of(message_of(incoming.request_id, error=error_of(INTERNAL_ERROR, "Internal server error")))
        if len(text) > MAX_MESSAGE_BYTES // 4 and len(text.encode()) > MAX_MESSAGE_BYTES:
            # The other side would not take it, and would close the connection for it, with all that runs on it.
            problem = error_of(ANSWER_TOO_LONG, "The answer is too long to be sent; ask for less at once.")
            text = _text_of(message_of(incoming.request_id, error=problem))
        with contextlib.suppress(ChannelClosed):
            await self._channel.send(text)

    async def _close(self) -> None:
        self._closed = True
        for pending in self._pending.values():
            pending.fail()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            with anyio.CancelScope(shield=True):
                await asyncio.wait(tasks)


async def _serve_ping(incoming: Incoming) -> dict[str, Any]:
    if incoming.request_id is not None and incoming.method != "ping":
        raise RemoteError(METHOD_NOT_FOUND, f"Nothing here answers {incoming.method[:100]}.")
    return {}


def _text_of(message: Params) -> str:
    # What is no number in JSON is null, which no model takes for a number: an answer that cannot be read would be
    # waited for.
    return to_json(message, inf_nan_mode="null").decode()
