"""JSON-RPC 2.0 on any channel that carries text messages: both sides can send requests and answer them.

Nothing here knows MCP or a tool. The agent loads this module, so it must not import the MCP SDK or a web server.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, TypeGuard

import anyio
from pydantic_core import from_json, to_json

from codebuddy.tool import Departure, Progress, no_progress
from codebuddy.wire.load import ENCODINGS, Hold, Load, Outlet

Params = dict[str, Any]
OnProgress = Callable[[float, float | None, str | None], Awaitable[None]]

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""The longest message that any transport accepts, in bytes."""

MAX_ID_CHARACTERS: Final = 200
"""A request id is kept until the answer is sent, so its length is bounded."""

MAX_PROGRESS_CHARACTERS: Final = 32 * 1024
"""The message of a progress notification is cut to this length."""

MAX_CONCURRENT_REQUESTS: Final = 256
"""Requests of one connection that are served at a time. Further ones are refused, which stops a flood."""

CLIENT_BYTES: Final = 32 * 1024 * 1024
"""Request quota of one client."""

SPOKE_BYTES: Final = 8 * 1024 * 1024
"""Request quota of all client connections from one spoke, which may be hostile: two requests of the largest size."""

FINISH_SECONDS: Final = 3.0
"""How long a client that closed its input is still sent answers. After that its requests are cancelled."""

TICK_SECONDS: Final = 1.0
"""Silence is measured in ticks of this length. A tick that is late counts once, so that the time in which this process
itself was too busy to listen does not count."""

SILENCE_TICKS: Final = 30
"""After so many ticks in which nothing arrives while a request is under way, the other side is pinged."""

PING_TICKS: Final = 30
"""After so many more it counts as hung. That it is gone is found much earlier, see `wire.link.TcpPeer`."""

DETACHED: Final = "detached"
"""The reason of a cancellation that ends the waiting for an answer, and not the work that it would tell of."""

CANCEL_SECONDS: Final = 2.0
"""How long a caller that gives up waits for the other side to be told."""

REQUEST_BYTES: Final = 96 * 1024
"""What each request counts of a quota beside its own bytes, so that the number of requests is bounded too."""

_MAX_ID: Final = 2**63
_MAX_NUMBER: Final = 2**53

# Bounds on progress notifications that the caller has not taken yet.
_MAX_NOTICES: Final = 1000
_MAX_NOTICE_CHARACTERS: Final = 1024 * 1024

SUBPROTOCOL: Final = "mcp"
"""The WebSocket subprotocol of MCP."""

UNSUPPORTED_DATA: Final = 1003
"""WebSocket close code for a frame that is not text; RFC 6455, section 7.4.1."""

# JSON-RPC 2.0, section 5.1.
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
# Our own, from the range that the specification leaves to servers.
ANSWER_TOO_LONG: Final = -32050

log = logging.getLogger(__name__)


class RemoteError(Exception):
    """An error in place of a result: received from the other side, or raised by a handler to be sent to it."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class ConnectionLost(Exception):
    """The other side is gone, or went away before it answered."""


class ChannelClosed(Exception):
    """The other side is gone; nothing can be sent or received any more."""


class InputEnded(ChannelClosed):
    """Nothing more will be received, but the other side may still accept what is sent."""


class MessageTooLong(Exception):
    """A message exceeds ``MAX_MESSAGE_BYTES`` and was skipped; the next one can be received.

    Args:
        request_id: the id of the request that was skipped, if it could be seen.
    """

    def __init__(self, request_id: int | str | None) -> None:
        super().__init__(f"A message may have {MAX_MESSAGE_BYTES} bytes; send less at once.")
        self.request_id = request_id


class Channel(Protocol):
    """Carries whole text messages, one JSON-RPC message each."""

    async def receive(self) -> str:
        """Return the next message; raise ChannelClosed at the end, MessageTooLong for one that was skipped."""

    async def send(self, text: str) -> None:
        """Send one message; raise ChannelClosed when the other side is gone."""


class MeteredChannel(Channel, Outlet, Protocol):
    """A channel that knows what the other side has not taken yet."""

    async def drain(self) -> None:
        """Wait until the other side has taken nearly all, or is gone."""


class Peer(Protocol):
    """What is known of the other end of a connection without asking it."""

    def bytes_received(self) -> int:
        """Return how many bytes have arrived from it."""

    def is_gone(self) -> bool:
        """Say whether it can no longer be reached."""


def is_id(value: object) -> TypeGuard[int | str]:
    """Return whether a value can be the id of a request."""
    if isinstance(value, str):
        return len(value) <= MAX_ID_CHARACTERS
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_ID


def _is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number that can be added to others and sent on: 1e999 is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER


def id_key(value: int | str) -> int | str:
    """Return the key of a request of ours: some clients return its number as a string."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value


def encode_message(**members: Any) -> str:
    """Return a message with these members; ``params`` of None are left out."""
    if members.get("params", ...) is None:
        del members["params"]
    # NaN and infinity become null, which no model accepts as a number: otherwise the caller would wait for an answer
    # that it cannot parse.
    return to_json({"jsonrpc": "2.0", **members}, inf_nan_mode="null").decode()


class Encoded(str):
    """A result that is JSON already."""


def encode_result(request_id: int | str | None, result: Any) -> str:
    """Return the response with a result."""
    text = result if isinstance(result, Encoded) else to_json(result, inf_nan_mode="null").decode()
    return f'{{"jsonrpc":"2.0","id":{to_json(request_id).decode()},"result":{text}}}'


def encode_error(request_id: int | str | None, code: int, message: str, data: Any = None) -> str:
    """Return the response with an error."""
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return encode_message(id=request_id, error=error)


_NOT_A_MESSAGE: Final = encode_error(None, PARSE_ERROR, "This is not a JSON-RPC 2.0 message.")


class RequestQuota:
    """Bounds the bytes of requests that are being answered, on one connection or several.

    ``connections`` is how many of them are in use, where that is bounded as well.
    """

    def __init__(self, max_bytes: int) -> None:
        self.connections = 0
        self._max_bytes = max_bytes
        self._used = 0
        self.refusal = f"Requests of nearly {max_bytes // 2**20} MiB are being answered; wait for one of them."

    def acquire(self, size: int) -> bool:
        """Count a request of this size; return False, and count nothing, when it exceeds the quota."""
        if self._used + size > self._max_bytes:
            return False
        self._used += size
        return True

    def release(self, size: int) -> None:
        """Stop counting a request."""
        self._used -= size


class Response(NamedTuple):
    """A result, and the length of the message that carried it, in characters."""

    result: Any
    characters: int


class OtherSide(Protocol):
    """Takes messages for the other side."""

    @property
    def takes_requests(self) -> bool:
        """Whether a request can reach it, and its answer us."""

    async def notify(self, method: str, params: Params | None = None) -> None:
        """Send a notification; it is dropped when the other side is gone."""

    async def request(self, method: str, params: Params | None) -> Response:
        """Send a request and wait for its response, see `RpcConnection.request`."""


_request_ids: Final = itertools.count(secrets.randbelow(2**40))


def new_request_id() -> int:
    """Return an id for a request of ours.

    It differs from all others of this process, and most likely from those of the last one, to which a client that did
    not notice a restart may still answer.
    """
    return next(_request_ids)


class PendingRequest:
    """A request that we sent and that is not answered yet."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self.response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.reporting: asyncio.Task[None] | None = None
        self._on_progress = on_progress
        self._notices: deque[tuple[float, float | None, str | None]] = deque()
        self._notice_characters = 0

    def add_progress(self, params: Params) -> None:
        """Queue a progress notification for the caller; the oldest ones are dropped when there are too many."""
        progress, total, message = params.get("progress"), params.get("total"), params.get("message")
        if self._on_progress is None or not _is_number(progress):
            return
        done, whole = float(progress), float(total) if _is_number(total) else None
        text = message[:MAX_PROGRESS_CHARACTERS] if isinstance(message, str) else None
        self._notices.append((done, whole, text))
        self._notice_characters += len(text or "")
        while len(self._notices) > _MAX_NOTICES or self._notice_characters > _MAX_NOTICE_CHARACTERS:
            self._next_notice()
        if self.reporting is None or self.reporting.done():
            self.reporting = asyncio.create_task(self._report(self._on_progress))

    async def _report(self, on_progress: OnProgress) -> None:
        while self._notices:
            try:
                await on_progress(*self._next_notice())
            except Exception:
                log.exception("progress could not be reported")

    def _next_notice(self) -> tuple[float, float | None, str | None]:
        notice = self._notices.popleft()
        self._notice_characters -= len(notice[2] or "")
        return notice

    def resolve(self, message: Params, characters: int) -> None:
        """Finish with the response in a message of this length."""
        if self.response.done():
            return
        error = message.get("error")
        if error is None:
            self.response.set_result(Response(message.get("result"), characters))
            return
        details = error if isinstance(error, dict) else {}
        code = details.get("code")
        text = str(details.get("message", "an error without a message"))[:2000]
        self.response.set_exception(RemoteError(code if isinstance(code, int) else 0, text, details.get("data")))

    def fail(self) -> None:
        """Finish without a response: the other side is gone."""
        if not self.response.done():
            self.response.set_exception(ConnectionLost("the other side is gone"))
            self.response.exception()  # retrieved, so a caller cancelled meanwhile causes no "never retrieved" warning


@dataclass(slots=True, eq=False)
class Incoming:
    """A request or notification from the other side; ``request_id`` is None for a notification.

    ``departure`` says why serving it is cancelled, by its ``scope``: what is shielded is completed, which would not be
    so if the task were cancelled.
    """

    connection: OtherSide
    method: str
    params: Params | None
    request_id: int | str | None
    departure: Departure = "lost"
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    @property
    def progress(self) -> Progress:
        """What reports progress to the other side; `no_progress` if it did not ask for it."""
        meta = (self.params or {}).get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        if not is_id(token):
            return no_progress

        async def report(progress: float, total: float | None = None, message: str | None = None, /) -> None:
            params = {"progressToken": token, "progress": progress, "total": total, "message": message}
            await self.connection.notify("notifications/progress", {k: v for k, v in params.items() if v is not None})

        return report


def incoming_of(connection: OtherSide, message: Params) -> Incoming | None:
    """Return the request or notification that a message is; None if it is neither, or a wrong one."""
    method, params, request_id = message.get("method"), message.get("params"), message.get("id")
    if not isinstance(method, str) or not (params is None or isinstance(params, dict)):
        return None
    if "id" in message and not is_id(request_id):
        return None
    return Incoming(connection, method, params, request_id)


def is_response(message: Params) -> bool:
    """Return whether a message is an answer to a request."""
    return message.get("method") is None and ("result" in message or "error" in message)


async def response_to(incoming: Incoming, work: Awaitable[Any]) -> str:
    """Return the response with the result of the work, or with the error that it raised."""
    try:
        return encode_result(incoming.request_id, await work)
    except RemoteError as error:
        return encode_error(incoming.request_id, error.code, error.message, error.data)
    except Exception:  # also when the result cannot be written as JSON
        log.exception("serving %s failed", incoming.method)
        return encode_error(incoming.request_id, INTERNAL_ERROR, "Internal server error")


Handler = Callable[[Incoming], Awaitable[Any]]


async def _answer_pings(incoming: Incoming) -> dict[str, Any]:
    if incoming.request_id is not None and incoming.method != "ping":
        raise RemoteError(METHOD_NOT_FOUND, f"Nothing here answers {incoming.method[:100]}.")
    return {}


class RpcConnection:
    """One connection: answers the other side's requests and sends requests to it.

    Args:
        channel: carries the messages; the caller closes it.
        handler: returns the result of a request, or takes a notification; it raises RemoteError to refuse. None
            answers pings only.
        sequential: methods that are answered before the next message is read.
        max_requests: how many requests are served at a time; None means no bound, and no quota, for a trusted peer.
        quota: bounds the bytes of the requests being served; None means a quota of ``CLIENT_BYTES``.
        peer: what is known of the other end of a network connection.
        metered: the channel, the bounds that its calls are held to, and the client: no call begins while the other side
            has answers to take, and each counts until its own is taken. None means no bound, for a trusted peer.
    """

    def __init__(
        self,
        channel: Channel,
        handler: Handler | None = None,
        sequential: frozenset[str] = frozenset(),
        max_requests: int | None = MAX_CONCURRENT_REQUESTS,
        quota: RequestQuota | None = None,
        *,
        peer: Peer | None = None,
        metered: tuple[MeteredChannel, Load, str] | None = None,
    ) -> None:
        self._channel = channel
        self._handler = handler or _answer_pings
        self._sequential = sequential
        self._max_requests = max_requests
        self._quota = quota or RequestQuota(CLIENT_BYTES)
        self._pending: dict[int | str, PendingRequest] = {}
        self._serving: dict[int | str, tuple[Incoming, asyncio.Task[None]]] = {}
        self._closed = False
        self._sending: set[asyncio.Task[None]] = set()  # answers and cancellations that the other side has not taken
        self._peer = peer
        self._metered = metered
        self._messages_received = 0
        self._busy = asyncio.Event()  # set while a request is under way, in either direction

    async def run(self) -> None:
        """Read until the channel closes; then cancel what is being served and fail what we asked.

        When only the other side's input ended, it still gets the answers that are ready within ``FINISH_SECONDS``.
        """
        try:
            while True:
                text = await self._receive()
                self._messages_received += 1
                if text is not None:
                    await self._dispatch(text)
        except InputEnded:
            if self._serving:
                await asyncio.wait(self._tasks(), timeout=FINISH_SECONDS)
        except ChannelClosed:
            pass
        finally:
            await self._close()

    @property
    def takes_requests(self) -> bool:
        return not self._closed

    async def request(
        self,
        method: str,
        params: Params | None,
        on_progress: OnProgress | None = None,
        detach_after: float | None = None,
    ) -> Response:
        """Send a request and wait for its response; cancelling cancels it on the other side.

        Args:
            on_progress: called in order, and for the last time before this returns.
            detach_after: how many seconds to wait; then the other side is told that nobody waits any more, and that its
                work may go on. None: however long it takes.

        Raises:
            RemoteError: the other side answered with an error.
            ConnectionLost: the other side is gone.
            TimeoutError: no answer came within ``detach_after``.
        """
        if self._closed:
            raise ConnectionLost("the other side is gone")
        request_id = new_request_id()
        if on_progress is not None:
            params = {**(params or {}), "_meta": {"progressToken": request_id}}
        pending = PendingRequest(on_progress)
        self._busy.set()
        self._pending[request_id] = pending
        try:
            async with asyncio.timeout(detach_after):
                await self._send(id=request_id, method=method, params=params)
                response = await pending.response
            if pending.reporting is not None:
                await pending.reporting
        except ChannelClosed:
            raise ConnectionLost("the other side is gone") from None
        except (asyncio.CancelledError, TimeoutError) as error:
            why = {"reason": DETACHED} if isinstance(error, TimeoutError) else {}
            await self._tell_cancelled({"requestId": request_id, **why})
            raise
        finally:
            del self._pending[request_id]
            self._mark_idle_when_done()
            if pending.reporting is not None:
                pending.reporting.cancel()
        return response

    async def notify(self, method: str, params: Params | None = None) -> None:
        """Send a notification; it is dropped when the other side is gone."""
        with contextlib.suppress(ChannelClosed):
            await self._send(method=method, params=params)

    async def _tell_cancelled(self, params: Params) -> None:
        """Send a cancellation, and do not wait long for it: a slow peer may take it later."""
        sending = asyncio.create_task(self.notify("notifications/cancelled", params))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        with anyio.CancelScope(shield=True):
            await asyncio.wait([sending], timeout=CANCEL_SECONDS)

    async def wait_until_unresponsive(self) -> None:
        """Return when the other side is gone, or hangs: during a request nothing arrives, not even after a ping.

        Parts of a message count as well as the answer to the ping: whoever sends anything is alive.
        """
        silent, received = 0, self._received()
        while silent < SILENCE_TICKS + PING_TICKS and not (self._peer and self._peer.is_gone()):
            await self._busy.wait()
            await asyncio.sleep(TICK_SECONDS)
            before, received = received, self._received()
            silent = silent + 1 if received == before and self._busy.is_set() else 0
            if silent == SILENCE_TICKS:
                # A peer that has hung may not read either. Nobody waits for the answer: it counts because it arrives.
                with anyio.move_on_after(TICK_SECONDS), contextlib.suppress(ChannelClosed):
                    await self._send(id=new_request_id(), method="ping", params=None)

    def _received(self) -> int:
        return self._messages_received if self._peer is None else self._peer.bytes_received()

    def _mark_idle_when_done(self) -> None:
        if not self._pending and not self._serving:
            self._busy.clear()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for _, task in self._serving.values()]

    async def _receive(self) -> str | None:
        try:
            return await self._channel.receive()
        except MessageTooLong as error:
            await self._channel.send(encode_error(error.request_id, INVALID_REQUEST, str(error)))
            return None

    async def _send(self, **members: Any) -> None:
        await self._channel.send(encode_message(**members))

    async def _dispatch(self, text: str) -> None:
        try:
            if self._metered is None:
                message = from_json(text, allow_inf_nan=False)
            else:
                async with self._metered[1].turn(len(text)):
                    message = from_json(text, allow_inf_nan=False)
        except ValueError:
            message = None
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            await self._channel.send(_NOT_A_MESSAGE)
            return
        if is_response(message):
            if (pending := self._pending_of(message.get("id"))) is not None:
                pending.resolve(message, len(text))
        elif (incoming := incoming_of(self, message)) is None:
            await self._channel.send(_NOT_A_MESSAGE)
        elif incoming.request_id is None:
            await self._on_notification(incoming)
        else:
            await self._on_request(incoming, incoming.request_id, len(text))

    def _pending_of(self, request_id: object) -> PendingRequest | None:
        return self._pending.get(id_key(request_id)) if is_id(request_id) else None

    async def _on_notification(self, notification: Incoming) -> None:
        members = notification.params or {}
        if notification.method == "notifications/progress":
            if (pending := self._pending_of(members.get("progressToken"))) is not None:
                pending.add_progress(members)
        elif notification.method == "notifications/cancelled":
            request_id = members.get("requestId")
            if is_id(request_id) and (found := self._serving.get(request_id)) is not None:
                incoming, _ = found
                incoming.departure = "detached" if members.get("reason") == DETACHED else "cancelled"
                incoming.scope.cancel()
        else:
            try:
                await self._handler(notification)
            except Exception:
                log.exception("handling the notification %s failed", notification.method)

    async def _on_request(self, incoming: Incoming, key: int | str, size: int) -> None:
        if (refusal := self._refusal(key, size)) is not None:
            # Awaited before the next message is read: a peer that does not read answers is not read from either.
            await self._channel.send(encode_error(incoming.request_id, INVALID_REQUEST, refusal))
            return
        self._busy.set()
        task = asyncio.create_task(self._serve(incoming, key))
        self._serving[key] = incoming, task
        task.add_done_callback(lambda done: self._on_served(incoming, key, done, size))
        if incoming.method in self._sequential:
            await asyncio.wait([task])

    def _refusal(self, key: int | str, size: int) -> str | None:
        """Return why a request is not served now, or None and count it until `_on_served`."""
        if key in self._serving:
            return "A request with this id is still being answered; give each its own."
        if self._max_requests is None:
            return None
        if len(self._serving) >= self._max_requests:
            return f"{self._max_requests} requests are being answered; wait for one of them."
        if not self._quota.acquire(size + REQUEST_BYTES):
            return self._quota.refusal
        return None

    def _on_served(self, incoming: Incoming, key: int | str, task: asyncio.Task[None], size: int) -> None:
        if self._max_requests is not None:
            self._quota.release(size + REQUEST_BYTES)
        self._sending.discard(task)
        self._on_answered(incoming, key)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("answering failed", exc_info=error)

    def _on_answered(self, incoming: Incoming, key: int | str) -> None:
        """Forget a request: the other side may use the id again as soon as it has the answer."""
        if key in self._serving and self._serving[key][0] is incoming:
            del self._serving[key]
            self._mark_idle_when_done()

    async def _serve(self, incoming: Incoming, key: int | str) -> None:
        with incoming.scope:
            if self._metered is None:
                await self._respond(incoming)
                return
            channel, load, client = self._metered
            with load.hold(channel, client) as hold:
                await channel.drain()
                await self._respond(incoming, hold)
                if (task := asyncio.current_task()) is not None:
                    self._sending.add(task)
                self._on_answered(incoming, key)
                await channel.drain()

    async def _respond(self, incoming: Incoming, hold: Hold | None = None) -> None:
        text = await response_to(incoming, self._handler(incoming))
        if incoming.departure != "lost":
            return  # nobody waits for the answer
        if hold is not None:
            hold.count(ENCODINGS * len(text))
        if len(text) > MAX_MESSAGE_BYTES // 4 and len(text.encode()) > MAX_MESSAGE_BYTES:
            # The other side would refuse it by closing the connection, with everything that runs on it.
            sentence = "The answer is too long to be sent; ask for less at once."
            text = encode_error(incoming.request_id, ANSWER_TOO_LONG, sentence)
        with contextlib.suppress(ChannelClosed):
            await self._channel.send(text)

    async def _close(self) -> None:
        self._closed = True
        for sending in self._sending:
            sending.cancel()
        for incoming, _ in self._serving.values():  # first: they might take the failure of their requests for an answer
            incoming.scope.cancel()
        for pending in self._pending.values():
            pending.fail()
        if tasks := self._tasks():
            with anyio.CancelScope(shield=True):
                await asyncio.wait(tasks)
