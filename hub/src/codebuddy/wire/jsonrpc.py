"""JSON-RPC 2.0 messages: what they are made of. Nothing here sends or waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol, TypeGuard

import anyio
from pydantic_core import from_json, to_json

Params = dict[str, Any]

MAX_ID_CHARACTERS: Final = 200
"""An id is given back with the answer: a longer one would have us keep what it holds."""

_MAX_ID: Final = 2**63

# JSON-RPC 2.0, section 5.1.
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
# Ours, of those that are left to servers.
ANSWER_TOO_LONG: Final = -32050


class RemoteError(Exception):
    """An error in place of a result; what the other side answered, or what it is to be answered.

    Args:
        code: of JSON-RPC or MCP.
        message: a sentence.
        data: more, if there is more.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def message_of(request_id: int | str | None = None, **members: Any) -> Params:
    """Give a message with an id (an error has one in any case) and members, of which absent ``params`` are left out."""
    message: Params = {"jsonrpc": "2.0"}
    if request_id is not None or "error" in members:
        message["id"] = request_id
    if members.get("params", ...) is None:
        del members["params"]
    return message | members


def error_of(code: int, message: str, data: Any = None) -> Params:
    """Give the ``error`` member of a message."""
    return {"code": code, "message": message} | ({} if data is None else {"data": data})


NOT_A_MESSAGE: Final = message_of(error=error_of(PARSE_ERROR, "This is not a JSON-RPC 2.0 message."))


def is_id(value: object) -> TypeGuard[int | str]:
    """Say whether a value can be the id of a request."""
    if isinstance(value, str):
        return len(value) <= MAX_ID_CHARACTERS
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_ID


def is_number(value: object) -> TypeGuard[int | float]:
    """Say whether a value is a number; in Python, true and false are too."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def key_of(value: int | str) -> int | str:
    """Give what an id is known by: some clients give a number back as a string."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value


MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""The longest message that any transport takes, in bytes."""

SUBPROTOCOL = "mcp"
"""What a WebSocket that carries MCP is opened for."""

UNSUPPORTED_DATA = 1003
"""Close code of a WebSocket for a frame that is no text; RFC 6455, section 7.4.1."""


class ChannelClosed(Exception):
    """The other side is gone; nothing more can be sent or received."""


class InputEnded(ChannelClosed):
    """Nothing more will be received, but the other side may still take what is sent."""


class MessageTooLong(Exception):
    """A message was left out, for it is longer than any transport takes; the next one can be received.

    Args:
        request_id: the id of the request that it is, where that can be seen.
    """

    def __init__(self, request_id: int | str | None) -> None:
        super().__init__(f"A message may have {MAX_MESSAGE_BYTES} bytes; send less at once.")
        self.request_id = request_id


class Channel(Protocol):
    """A carrier of whole text messages, one JSON-RPC message each."""

    async def receive(self) -> str:
        """Give the next message; raise ChannelClosed when there is none to come, MessageTooLong for one left out."""

    async def send(self, text: str) -> None:
        """Send one message; raise ChannelClosed when nobody is there to take it."""


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


FINISH_SECONDS: Final = 3.0
"""A client that has ended its input gets the answers that are ready by then; what runs for it still is ended."""

MAX_SERVED: Final = 256
"""So many requests of one connection are answered at a time; more are refused, which stops a flood."""

_CANCEL_SECONDS: Final = 2.0


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
