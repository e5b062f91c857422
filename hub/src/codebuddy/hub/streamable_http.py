"""MCP over Streamable HTTP, in both eras of the protocol.

What clients send all the time, tool calls and the list of the tools, is answered here; the rest by the SDK. An answer
is JSON, which costs least and has no limit of its length. It becomes a stream of events when there is something to say
before the result: progress, if the client asked for it, a request to the client, or that the call is still going on.

A session of the handshake era is nothing but its id, so that a restarted hub goes on with it, and any number of idle
ones cost nothing. An id is signed with the client's own token: whoever has the token may do all that the session may,
so nobody gains from a forged id, and there is no secret to keep, to share between hubs or to renew.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple, Protocol, cast

import anyio
from mcp.server._streamable_http_modern import handle_modern_request
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION
from pydantic_core import from_json, to_json
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from codebuddy.tool import Principal, ToolError
from codebuddy.wire.calls import failure
from codebuddy.wire.jsonrpc import (
    CLIENT_BYTES,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    MAX_MESSAGE_BYTES,
    PARSE_ERROR,
    Encoded,
    Incoming,
    PendingRequest,
    RequestQuota,
    Response,
    encode_error,
    encode_message,
    id_key,
    incoming_of,
    is_id,
    is_response,
    new_request_id,
    response_to,
)
from codebuddy.wire.load import ENCODINGS, LARGE_MESSAGE, Outlet
from codebuddy.wire.mcp_server import (
    McpServer,
    answer_alone,
    is_plain_and_stateless,
    is_stateless,
)

SILENCE_SECONDS: Final = 15.0
"""After this long without an answer a client is told that the call goes on: many give up after 30 to 300 s."""

MAX_EVENT_BYTES: Final = 1024 * 1024 - 1024
"""The longest event that is sent. The Python SDK (2.x) refuses one of more than 1 MiB; JSON it takes at any length."""

MAX_ENDED_SESSIONS: Final = 10_000
"""How many ids of ended sessions are refused; for older ones the client's word is enough, since it ended them."""

SESSION_NOT_FOUND: Final = -32001
"""The code with which the TypeScript SDK's servers refuse an id; some clients begin a new session only for it."""

# The letter in a session's id, for each capability of a client to answer requests, and for each mode of it.
_CAPABILITIES: Final = {
    "e": ("elicitation", ""),
    "f": ("elicitation", "form"),
    "u": ("elicitation", "url"),
    "s": ("sampling", ""),
    "t": ("sampling", "tools"),
    "c": ("sampling", "context"),
    "r": ("roots", ""),
}

_HANDSHAKE_VERSIONS: Final = frozenset(version.encode() for version in HANDSHAKE_PROTOCOL_VERSIONS)
_TOO_LONG: Final = f"A message may have {MAX_MESSAGE_BYTES} bytes; send less at once."
_STATELESS_VERSION: Final = LATEST_MODERN_VERSION.encode()
_JSON_HEADERS: Final = [(b"content-type", b"application/json")]
_EVENT_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"transfer-encoding", b"chunked"),
]

_LAST_CHUNK: Final = b"0\r\n\r\n"

log = logging.getLogger(__name__)

# JSON may contain them as they are, but some readers of events take them for the end of a line.
_LINE_ENDS: Final = (("\u0085", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


class Handshake(NamedTuple):
    """What a session agreed on: the version of the protocol, and which requests its client answers."""

    version: str
    capabilities: dict[str, dict[str, Any]]


def open_session(authorization: bytes, handshake: Handshake) -> str:
    """Return the id of a new session, which can be used with the same ``Authorization`` only."""
    able = (
        letter
        for letter, (name, mode) in _CAPABILITIES.items()
        if isinstance(modes := handshake.capabilities.get(name), dict) and (not mode or mode in modes)
    )
    claims = f"{handshake.version}.{''.join(able)}.{secrets.token_urlsafe(12)}"
    return f"{claims}.{_signature(authorization, claims)}"


@lru_cache(maxsize=64)
def handshake_of(authorization: bytes, session: str) -> Handshake | None:
    """Return what a session agreed on, or None for an id that is not ours."""
    claims, _, signature = session.rpartition(".")
    if not hmac.compare_digest(_signature(authorization, claims).encode(), signature.encode()):
        return None
    version, able, _ = claims.split(".")
    capabilities: dict[str, dict[str, Any]] = {}
    for name, mode in (_CAPABILITIES[letter] for letter in able):
        capabilities.setdefault(name, {}).update({mode: {}} if mode else {})
    return Handshake(version, capabilities)


def _signature(authorization: bytes, claims: str) -> str:
    mac = hmac.digest(authorization, b"codebuddy session 2 " + claims.encode(), "sha256")
    return urlsafe_b64encode(mac).decode().rstrip("=")


class _Refused(Exception):
    """A request that is refused with an HTTP status and a JSON-RPC error."""

    def __init__(self, status: int, message: str, code: int = INVALID_REQUEST, request_id: int | str | None = None):
        super().__init__(message)
        self.status = status
        self.body = encode_error(request_id, code, message)


Fields = Sequence[tuple[bytes, bytes]]
"""Header fields."""

Work = Callable[[], Awaitable[dict[str, Any] | Encoded]]
"""Returns the result of a request."""

MAX_CLIENT_CONNECTIONS: Final = 96
"""WebSockets and requests being answered of one token: fewer than there may be connections, so that others get some."""

TOO_MANY_CONNECTIONS: Final = (
    f"This token has {MAX_CLIENT_CONNECTIONS} connections in use; close one, or wait for an answer."
)

Asked = dict[tuple[str, int | str], PendingRequest]
"""Requests that clients have not answered yet, by session and id."""


class GatheringTransport(Outlet, Protocol):
    """A connection's transport, which may send later what is written, together with more."""

    def write_at_once(self, data: bytes) -> None:
        """Send what is written now, and before it what waits."""


class Exchange:
    """One HTTP request and its answer, without ASGI, which would take longer than the rest of the way to a tool.

    Args:
        cycle: what uvicorn's connection knows of the request, and asks about its answer.
        tasks: those for which a stopping server waits.
        to_asgi: has an ASGI application give the answer.
    """

    principal: Principal  # both are set before the body is read
    quota: RequestQuota

    def __init__(
        self, cycle: RequestResponseCycle, tasks: set[asyncio.Task[None]], to_asgi: Callable[[ASGIApp], None]
    ) -> None:
        self.to_asgi = to_asgi
        self.session = ""  # empty outside a session
        self.asked: Asked = {}
        self.method: str = cycle.scope["method"]
        self.query: bytes = cycle.scope["query_string"]
        self.headers: dict[bytes, bytes] = {}
        self.repeats_headers = False
        for name, value in cycle.scope["headers"]:
            self.repeats_headers |= name in self.headers
            self.headers[name] = self.headers[name] + b", " + value if name in self.headers else value
        self.accepts_json, self.accepts_events = _accepted(self.headers.get(b"accept", b"*/*"))
        if cycle.scope["http_version"] == "1.0":
            self.accepts_events = False  # their length is not known before, and HTTP/1.0 has no chunks
        self.streaming = False
        self.bytes_read = 0
        self._cycle = cycle
        self._tasks = tasks
        self._call: anyio.CancelScope | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._in_use = False  # the connection counts as one of the client's

    @property
    def body(self) -> bytearray:
        """What has arrived of the body."""
        return self._cycle.body

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent: the request was answered, or the client has left."""
        return self._cycle.response_complete or self._cycle.disconnected

    def admit(self, principal: Principal, quota: RequestQuota) -> None:
        """Let the client send the body, whose bytes are counted."""
        self.principal, self.quota = principal, quota
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > MAX_MESSAGE_BYTES:
            self._refuse(413, _TOO_LONG)
        elif quota.connections >= MAX_CLIENT_CONNECTIONS:
            self._refuse(503, TOO_MANY_CONNECTIONS)
        else:
            self._in_use = True
            quota.connections += 1
            if self._cycle.waiting_for_100_continue:
                self._cycle.waiting_for_100_continue = False
                self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def count(self, size: int) -> None:
        """Count a part of the body that has arrived."""
        if self.is_over:
            return
        if len(self.body) > MAX_MESSAGE_BYTES:
            self._refuse(413, _TOO_LONG)
        elif not self.quota.acquire(size):
            self._refuse(503, self.quota.refusal)
        else:
            self.bytes_read += size

    def run(self, work: Coroutine[Any, Any, None], call: anyio.CancelScope) -> None:
        """Run what will answer, until the client leaves.

        Tell the client from time to time that it goes on.
        """
        loop = asyncio.get_running_loop()
        self._call = call
        self._silence = loop.call_later(SILENCE_SECONDS, self._break_silence)
        self.start(work)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task for which a stopping server waits."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def leave(self) -> None:
        """Take notice that the client has left."""
        if self._call is not None:
            self._call.cancel()
        else:
            self.close()

    def close(self) -> None:
        """Give back what the request holds, because nothing is done for it any more."""
        if self._silence is not None:
            self._silence.cancel()
        if self.bytes_read:
            self.quota.release(self.bytes_read)
            self.bytes_read = 0
        if self._in_use:
            self._in_use = False
            self.quota.connections -= 1
        self._cycle.body = bytearray()  # the connection keeps the rest until its next request

    def respond(self, status: int, body: str = "", headers: Fields = ()) -> None:
        """Send the whole answer, or the end of it when events were sent already; nothing when it is over."""
        if self.is_over:
            return
        if self.streaming:
            self._write(_chunk(_event(body)) + _LAST_CHUNK if body else _LAST_CHUNK)
        else:
            encoded = body.encode()
            length = (b"content-length", b"%d" % len(encoded))
            head = self._head(status, [*(_JSON_HEADERS if body else ()), length, *headers])
            self._write(head if self.method == "HEAD" else head + encoded)
        cycle = self._cycle
        cycle.response_complete = True
        self.close()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()

    @property
    def outlet(self) -> Outlet:
        """The connection, on which the answer is sent."""
        return cast(GatheringTransport, self._cycle.transport)

    async def drain(self) -> None:
        """Wait until the client has taken nearly all, or is gone."""
        await self._cycle.flow.drain()

    async def notify(self, method: str, params: dict[str, Any] | None = None) -> None:
        """Send a notification as an event, if the client takes events."""
        await self._stream(_event(encode_message(method=method, params=params or {})))

    @property
    def takes_requests(self) -> bool:
        return self.accepts_events and self.session != "" and not self.is_over

    async def request(self, method: str, params: dict[str, Any] | None) -> Response:
        """Send a request as an event, and wait for the response, which the client posts in the same session.

        How many wait is bounded by the connections: each call that asks holds one. It ends when the client leaves.
        """
        request_id = new_request_id()
        pending = self.asked[self.session, request_id] = PendingRequest(None)
        try:
            await self._stream(_event(encode_message(id=request_id, method=method, params=params)))
            return await pending.response
        except asyncio.CancelledError:
            withdrawn = encode_message(method="notifications/cancelled", params={"requestId": request_id})
            self._send_event(_event(withdrawn))
            raise
        finally:
            del self.asked[self.session, request_id]

    async def _stream(self, event: bytes) -> None:
        await self._cycle.flow.drain()
        self._send_event(event)

    def _break_silence(self) -> None:
        if not self._cycle.flow.write_paused:
            self._send_event(b": the call goes on\r\n\r\n")
        self._silence = asyncio.get_running_loop().call_later(SILENCE_SECONDS, self._break_silence)

    def _send_event(self, event: bytes) -> None:
        if self.is_over or not self.accepts_events:
            return
        head = b"" if self.streaming else self._head(200, _EVENT_HEADERS)
        self.streaming = True
        self._write(head + _chunk(event))

    def _refuse(self, status: int, message: str) -> None:
        self.respond(status, encode_error(None, INVALID_REQUEST, message))

    def _head(self, status: int, headers: Fields) -> bytes:
        cycle = self._cycle
        fields = [*cycle.default_headers, *headers]
        if not cycle.keep_alive:
            fields.append((b"connection", b"close"))
        return b"".join([STATUS_LINE[status], *(b"%b: %b\r\n" % field for field in fields), b"\r\n"])

    def _write(self, data: bytes) -> None:
        cast(GatheringTransport, self._cycle.transport).write_at_once(data)


class StreamableHttp:
    """Answers what is sent to ``/mcp``, see `Exchange`."""

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._calls: dict[object, anyio.CancelScope] = {}  # by session and request id, if there is a session
        self._asked: Asked = {}
        self._ended_sessions: OrderedDict[str, None] = OrderedDict()
        self._quotas: dict[str, RequestQuota] = {}
        self._stopped = False

    def quota_of(self, principal: Principal) -> RequestQuota:
        """Return the quota that all requests of a client share, on however many connections."""
        quota = self._quotas.get(principal.subject)
        if quota is None:
            quota = self._quotas[principal.subject] = RequestQuota(CLIENT_BYTES)
        return quota

    def stop(self) -> None:
        """Cancel what is still being answered, because the hub shuts down; the clients are told so."""
        self._stopped = True
        for call in list(self._calls.values()):
            call.cancel()

    def serve(self, exchange: Exchange) -> None:
        """Answer a request that has arrived whole."""
        with _refusing(exchange):
            version = exchange.headers.get(b"mcp-protocol-version")
            if exchange.method == "POST" and len(exchange.body) > LARGE_MESSAGE:
                exchange.start(self._post_in_turn(exchange, version))
            elif exchange.method == "POST":
                self._post(exchange, version, _parsed(exchange))
            elif version is not None and version not in _HANDSHAKE_VERSIONS:
                self._answer_by_sdk(exchange)
            elif exchange.method == "DELETE":
                session, _ = self._session(exchange)
                self._end(session)
                exchange.respond(200)
            else:
                # A GET asks for a stream of what the server sends unasked. It sends nothing, and a connection that
                # stays open for it would count against those that do something.
                body = encode_error(None, INVALID_REQUEST, "Send messages by POST; nothing is sent unasked.")
                exchange.respond(405, body, [(b"allow", b"POST, DELETE")])

    async def _post_in_turn(self, exchange: Exchange, version: bytes | None) -> None:
        async with self._server.load.turn(len(exchange.body)):
            if exchange.is_over:
                return  # the client has left meanwhile
            message = _parsed(exchange)
        if not exchange.is_over:
            with _refusing(exchange):
                self._post(exchange, version, message)

    def _post(self, exchange: Exchange, version: bytes | None, message: Any) -> None:
        if not exchange.headers.get(b"content-type", b"").lower().startswith(b"application/json"):
            raise _Refused(415, "Send JSON: Content-Type: application/json.")
        incoming = _incoming(exchange, message)
        if version in _HANDSHAKE_VERSIONS or (
            version is None and (incoming is None or not is_stateless(incoming.params))
        ):
            self._post_in_session(exchange, message, incoming)
        elif incoming is not None and (work := self._stateless_work(exchange, incoming)) is not None:
            self._answer(exchange, incoming, work, key=incoming)
        else:
            self._answer_by_sdk(exchange)

    def _stateless_work(self, exchange: Exchange, incoming: Incoming) -> Work | None:
        """Return what answers a request whose headers and envelope are good; None for what the SDK must look at."""
        headers = exchange.headers
        if (
            incoming.request_id is None
            or exchange.repeats_headers
            or not (exchange.accepts_json and exchange.accepts_events)
            or headers.get(b"mcp-protocol-version") != _STATELESS_VERSION
            or headers.get(b"mcp-method") != incoming.method.encode()
        ):
            return None
        call = self._server.plain_call(incoming.method, incoming.params)
        if call is not None and call.stateless and headers.get(b"mcp-name") == call.tool.name.encode():
            return partial(self._server.run_plain, call, exchange.principal, incoming.progress)
        if incoming.method == "tools/list" and is_plain_and_stateless(incoming.params):
            return partial(answer_alone, self._server, exchange.principal, incoming, LATEST_MODERN_VERSION)
        return None

    def _answer_by_sdk(self, exchange: Exchange) -> None:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                with self._server.load.hold(exchange.outlet, exchange.principal.subject):
                    await handle_modern_request(self._server, None, False, exchange.principal, scope, receive, send)
            finally:
                exchange.close()

        exchange.to_asgi(answer)

    def _post_in_session(self, exchange: Exchange, message: Any, incoming: Incoming | None) -> None:
        if not exchange.accepts_json:
            raise _Refused(406, "Accept application/json, and text/event-stream for progress.")
        if message is None:
            raise _Refused(400, "This is not JSON.", PARSE_ERROR)
        if incoming is None:
            raise _Refused(400, "Send one JSON-RPC 2.0 message at a time.")
        if incoming.method == "initialize" and incoming.request_id is not None:
            self._open(exchange, incoming)
            return
        session, handshake = self._session(exchange)
        if incoming.request_id is None:
            if is_response(message):
                self._take_response(session, message, exchange.bytes_read)
            elif incoming.method == "notifications/cancelled":
                self._cancel(session, incoming)
            exchange.respond(202)
            return
        key = (session, incoming.request_id)
        if key in self._calls:
            sentence = "A request with this id is still being answered; give each its own."
            raise _Refused(400, sentence, request_id=incoming.request_id)
        exchange.session, exchange.asked = session, self._asked
        work = partial(answer_alone, self._server, exchange.principal, incoming, *handshake)
        self._answer(exchange, incoming, work, key)

    def _open(self, exchange: Exchange, incoming: Incoming) -> None:
        headers = list[tuple[bytes, bytes]]()

        async def opened() -> dict[str, Any] | Encoded:
            result = await answer_alone(self._server, exchange.principal, incoming, LATEST_HANDSHAKE_VERSION)
            assert not isinstance(result, Encoded)
            capabilities = (incoming.params or {})["capabilities"]
            handshake = Handshake(result["protocolVersion"], capabilities)
            headers.append((b"mcp-session-id", open_session(exchange.headers[b"authorization"], handshake).encode()))
            return result

        self._answer(exchange, incoming, opened, incoming, headers)

    def _session(self, exchange: Exchange) -> tuple[str, Handshake]:
        """Return the id of the request's session and what was agreed on in it."""
        session = exchange.headers.get(b"mcp-session-id", b"").decode("latin-1")
        if not session:
            raise _Refused(400, "Send initialize first, and with all that follows the Mcp-Session-Id of its answer.")
        handshake = handshake_of(exchange.headers[b"authorization"], session)
        if handshake is None or session in self._ended_sessions:
            raise _Refused(404, "Session not found; begin a new one with initialize.", SESSION_NOT_FOUND)
        return session, handshake

    def _end(self, session: str) -> None:
        self._ended_sessions[session] = None
        if len(self._ended_sessions) > MAX_ENDED_SESSIONS:
            self._ended_sessions.popitem(last=False)
        for key, call in list(self._calls.items()):
            if isinstance(key, tuple) and key[0] == session:
                call.cancel()

    def _cancel(self, session: str, incoming: Incoming) -> None:
        request_id = (incoming.params or {}).get("requestId")
        if is_id(request_id) and (call := self._calls.get((session, request_id))) is not None:
            call.cancel()

    def _take_response(self, session: str, message: dict[str, Any], size: int) -> None:
        """Give a response to whoever waits for it; one that is late, or was not asked for, has no effect."""
        response_id = message.get("id")
        if is_id(response_id) and (pending := self._asked.get((session, id_key(response_id)))) is not None:
            pending.resolve(message, size)

    def _answer(self, exchange: Exchange, incoming: Incoming, work: Work, key: object, headers: Fields = ()) -> None:
        """Answer a request with the result of the work; with nothing when the client cancels it or leaves."""
        call = self._calls[key] = anyio.CancelScope()

        async def fitted() -> dict[str, Any] | Encoded:
            result = await work()
            return _fit_event(result) if exchange.streaming else result

        async def answer() -> None:
            try:
                with call, self._server.load.hold(exchange.outlet, exchange.principal.subject) as hold:
                    body = await response_to(incoming, fitted())
                    hold.count(ENCODINGS * len(body))
                    exchange.respond(200, body, headers)
                    del body, self._calls[key]  # the client may use the id again as soon as it has the answer
                    await exchange.drain()
                    return
            finally:
                if self._calls.get(key) is call:
                    del self._calls[key]
                exchange.close()
            if self._stopped:
                sentence = "The hub was stopped before the call was over; look whether it did its work."
                exchange.respond(200, encode_error(incoming.request_id, INTERNAL_ERROR, sentence))
            else:
                exchange.respond(202)

        exchange.run(answer(), call)


@lru_cache(maxsize=64)  # a client sends the same with every request
def _accepted(accept: bytes) -> tuple[bool, bool]:
    """Return whether JSON and whether events are accepted (RFC 9110, section 12.5.1)."""
    kinds = {one.split(b";")[0].strip().lower() for one in accept.split(b",")}
    return (
        not kinds.isdisjoint({b"*/*", b"application/*", b"application/json"}),
        not kinds.isdisjoint({b"*/*", b"text/*", b"text/event-stream"}),
    )


@contextmanager
def _refusing(exchange: Exchange) -> Iterator[None]:
    try:
        yield
    except _Refused as refused:
        exchange.respond(refused.status, refused.body)
    except Exception:
        log.exception("a request to /mcp could not be served")
        exchange.respond(500, encode_error(None, INTERNAL_ERROR, "Internal server error"))


def _parsed(exchange: Exchange) -> Any:
    try:
        return from_json(exchange.body, allow_inf_nan=False)
    except ValueError:
        return None


def _incoming(exchange: Exchange, message: Any) -> Incoming | None:
    """Return the request or notification that a message is; a response counts as a notification."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return None
    return Incoming(exchange, "", None, None) if is_response(message) else incoming_of(exchange, message)


def _chunk(data: bytes) -> bytes:
    """Return a chunk of a body whose length is not known before; RFC 9112, section 7.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(body: str) -> bytes:
    for character, escaped in _LINE_ENDS:
        body = body.replace(character, escaped)
    return b"event: message\r\ndata: " + body.encode() + b"\r\n\r\n"


def _fit_event(result: dict[str, Any] | Encoded) -> dict[str, Any] | Encoded:
    """Shorten the text of a tool's result, which says the same as its structure, so that it fits into an event."""
    if isinstance(result, Encoded) or len(to_json(result, inf_nan_mode="null")) <= MAX_EVENT_BYTES:
        return result
    content = result.get("content") or [{}]
    note = "\n... (cut here: the answer is too long for an event; structuredContent is whole)"
    rest = {**result, "content": [{"type": "text", "text": note}]}
    room = MAX_EVENT_BYTES - len(to_json(rest, inf_nan_mode="null"))
    if room > 0 and "structuredContent" in result:
        rest["content"][0]["text"] = str(content[0].get("text", ""))[: room // 6] + note  # \u0001 takes 6 bytes
        return rest
    rest.pop("structuredContent", None)
    sentence = f"The answer is longer than {MAX_EVENT_BYTES} bytes, the most that is sent after progress; ask for less."
    failed = failure(ToolError("too_large", sentence))
    return {**rest, **failed, "_meta": {**result.get("_meta", {}), **failed["_meta"]}}
