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
import secrets
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any, Final, NamedTuple

import anyio
from mcp.server._streamable_http_modern import handle_modern_request
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION
from pydantic_core import from_json, to_json
from starlette.types import Message, Receive, Scope, Send

from codebuddy.tool import Principal, ToolError
from codebuddy.wire.calls import failure
from codebuddy.wire.jsonrpc import (
    CANCEL_SECONDS,
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
from codebuddy.wire.mcp_server import (
    PRINCIPAL_KEY,
    McpServer,
    answer_alone,
    is_plain_and_stateless,
    is_stateless,
)

WATCH_SECONDS: Final = 0.05
"""A call that takes longer is cancelled when its client closes the connection. Few do, and watching is not free."""

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
_STATELESS_VERSION: Final = LATEST_MODERN_VERSION.encode()
_JSON_HEADERS: Final = [(b"content-type", b"application/json")]
_EVENT_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]

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


Asked = dict[tuple[str, int | str], PendingRequest]
"""Requests that clients have not answered yet, by session and id."""


class _Exchange:
    """One HTTP request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, asked: Asked) -> None:
        self.session = ""  # set once it is known to be one
        self._asked = asked
        self.scope = scope
        self.bytes_read = 0
        self.principal: Principal = scope[PRINCIPAL_KEY]
        self.headers: dict[bytes, bytes] = {}
        self.repeats_headers = False
        for name, value in scope["headers"]:
            self.repeats_headers |= name in self.headers
            self.headers[name] = self.headers[name] + b", " + value if name in self.headers else value
        self.accepts_json, self.accepts_events = _accepted(self.headers.get(b"accept", b"*/*"))
        self.streaming = False
        self._ended = False
        self._writing = asyncio.Lock()
        self._receive = receive
        self._send = send

    async def read_body(self, quota: RequestQuota) -> bytes | None:
        """Read the body, and count it as ``bytes_read``; None when the client left before its end."""
        length = self.headers.get(b"content-length", b"")
        body = bytearray()
        more = True
        while more:
            if (length.isdigit() and int(length) > MAX_MESSAGE_BYTES) or len(body) > MAX_MESSAGE_BYTES:
                raise _Refused(413, f"A message may have {MAX_MESSAGE_BYTES} bytes; send less at once.")
            message = await self._receive()
            if message["type"] != "http.request":
                return None
            part = message.get("body", b"")
            if not quota.acquire(len(part)):
                raise _Refused(503, quota.refusal)
            self.bytes_read += len(part)
            body += part
            more = message.get("more_body", False)
        return bytes(body)

    async def respond(self, status: int, body: str = "", headers: list[tuple[bytes, bytes]] | None = None) -> None:
        """Send the whole answer, or the end of it when events were sent already."""
        async with self._writing:
            self._ended = True
            if self.streaming:
                await self._send({"type": "http.response.body", "body": _event(body) if body else b""})
                return
            encoded = body.encode()
            length = [(b"content-length", str(len(encoded)).encode())]
            fields = [*(_JSON_HEADERS if body else []), *length, *(headers or [])]
            await self._send({"type": "http.response.start", "status": status, "headers": fields})
            await self._send({"type": "http.response.body", "body": encoded})

    async def notify(self, method: str, params: dict[str, Any] | None = None) -> None:
        """Send a notification as an event, if the client takes events."""
        await self._stream(_event(encode_message(method=method, params=params or {})))

    @property
    def takes_requests(self) -> bool:
        return self.accepts_events and self.session != "" and not self._ended

    async def request(self, method: str, params: dict[str, Any] | None) -> Response:
        """Send a request as an event, and wait for the response, which the client posts in the same session.

        How many wait is bounded by the connections: each call that asks holds one. It ends when the client leaves.
        """
        request_id = new_request_id()
        pending = self._asked[self.session, request_id] = PendingRequest(None)
        try:
            await self._stream(_event(encode_message(id=request_id, method=method, params=params)))
            return await pending.response
        except asyncio.CancelledError:
            with anyio.move_on_after(CANCEL_SECONDS, shield=True):
                await self.notify("notifications/cancelled", {"requestId": request_id})
            raise
        finally:
            del self._asked[self.session, request_id]

    async def watch(self, call: anyio.CancelScope) -> None:
        """Cancel the call when the client leaves, and tell the client from time to time that the call goes on."""
        while not call.cancel_called:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    # The body has been read, so only the disconnect is still to come.
                    while (await self._receive())["type"] != "http.disconnect":
                        pass
                call.cancel()
            except TimeoutError:
                await self._stream(b": the call goes on\r\n\r\n")

    async def _stream(self, chunk: bytes) -> None:
        async with self._writing:
            if self._ended or not self.accepts_events:
                return
            if not self.streaming:
                await self._send({"type": "http.response.start", "status": 200, "headers": _EVENT_HEADERS})
                self.streaming = True  # not before: a client that does not read may cancel the call meanwhile
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})


class StreamableHttp:
    """The ASGI application at ``/mcp``; the access guard stands before it."""

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._calls: dict[object, anyio.CancelScope] = {}  # by session and request id, if there is a session
        self._asked: Asked = {}
        self._ended_sessions: OrderedDict[str, None] = OrderedDict()
        self._quotas: dict[str, RequestQuota] = {}
        self._stopped = False

    def quota_of(self, principal: Principal) -> RequestQuota:
        """Return the quota that all requests of a client share, on however many connections."""
        return self._quotas.setdefault(principal.subject, RequestQuota(CLIENT_BYTES))

    def stop(self) -> None:
        """Cancel what is still being answered, because the hub shuts down; the clients are told so."""
        self._stopped = True
        for call in list(self._calls.values()):
            call.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, receive, send, self._asked)
        try:
            version = exchange.headers.get(b"mcp-protocol-version")
            if scope["method"] == "POST":
                await self._post(exchange, receive, send)
            elif version is not None and version not in _HANDSHAKE_VERSIONS:
                await self._answer_by_sdk(exchange, receive, send)
            elif scope["method"] == "DELETE":
                session, _ = self._session(exchange)
                self._end(session)
                await exchange.respond(200)
            else:
                # A GET asks for a stream of what the server sends unasked. It sends nothing, and a connection that
                # stays open for it would count against those that do something.
                body = encode_error(None, INVALID_REQUEST, "Send messages by POST; nothing is sent unasked.")
                await exchange.respond(405, body, [(b"allow", b"POST, DELETE")])
        except _Refused as refused:
            await exchange.respond(refused.status, refused.body)

    async def _post(self, exchange: _Exchange, receive: Receive, send: Send) -> None:
        if not exchange.headers.get(b"content-type", b"").lower().startswith(b"application/json"):
            raise _Refused(415, "Send JSON: Content-Type: application/json.")
        quota = self.quota_of(exchange.principal)
        try:
            body = await exchange.read_body(quota)
            if body is not None:
                await self._serve(exchange, body, receive, send)
        finally:
            quota.release(exchange.bytes_read)

    async def _serve(self, exchange: _Exchange, body: bytes, receive: Receive, send: Send) -> None:
        try:
            message = from_json(body, allow_inf_nan=False)
        except ValueError:
            message = None
        incoming = _incoming(exchange, message)
        version = exchange.headers.get(b"mcp-protocol-version")
        if version in _HANDSHAKE_VERSIONS or (
            version is None and (incoming is None or not is_stateless(incoming.params))
        ):
            await self._post_in_session(exchange, message, incoming)
        elif (work := self._stateless_work(exchange, incoming)) is not None:
            assert incoming is not None
            await self._answer(exchange, incoming, work, key=incoming)
        else:
            await self._answer_by_sdk(exchange, _replay(body, receive), send)

    def _stateless_work(
        self, exchange: _Exchange, incoming: Incoming | None
    ) -> Coroutine[Any, Any, dict[str, Any] | Encoded] | None:
        """Return what answers a request whose headers and envelope are good; None for what the SDK must look at."""
        headers = exchange.headers
        if (
            incoming is None
            or incoming.request_id is None
            or exchange.repeats_headers
            or not (exchange.accepts_json and exchange.accepts_events)
            or headers.get(b"mcp-protocol-version") != _STATELESS_VERSION
            or headers.get(b"mcp-method") != incoming.method.encode()
        ):
            return None
        call = self._server.plain_call(incoming.method, incoming.params)
        if call is not None and call.stateless and headers.get(b"mcp-name") == call.tool.name.encode():
            return self._server.run_plain(call, exchange.principal, incoming.progress)
        if incoming.method == "tools/list" and is_plain_and_stateless(incoming.params):
            return answer_alone(self._server, exchange.principal, incoming, LATEST_MODERN_VERSION)
        return None

    async def _answer_by_sdk(self, exchange: _Exchange, receive: Receive, send: Send) -> None:
        await handle_modern_request(self._server, None, False, exchange.principal, exchange.scope, receive, send)

    async def _post_in_session(self, exchange: _Exchange, message: Any, incoming: Incoming | None) -> None:
        if not exchange.accepts_json:
            raise _Refused(406, "Accept application/json, and text/event-stream for progress.")
        if message is None:
            raise _Refused(400, "This is not JSON.", PARSE_ERROR)
        if incoming is None:
            raise _Refused(400, "Send one JSON-RPC 2.0 message at a time.")
        if incoming.method == "initialize" and incoming.request_id is not None:
            await self._open(exchange, incoming)
            return
        session, handshake = self._session(exchange)
        exchange.session = session
        if incoming.request_id is None:
            if is_response(message):
                self._take_response(session, message, exchange.bytes_read)
            elif incoming.method == "notifications/cancelled":
                self._cancel(session, incoming)
            await exchange.respond(202)
            return
        key = (session, incoming.request_id)
        if key in self._calls:
            sentence = "A request with this id is still being answered; give each its own."
            raise _Refused(400, sentence, request_id=incoming.request_id)
        await self._answer(
            exchange, incoming, answer_alone(self._server, exchange.principal, incoming, *handshake), key
        )

    async def _open(self, exchange: _Exchange, incoming: Incoming) -> None:
        headers = []

        async def opened() -> dict[str, Any] | Encoded:
            result = await answer_alone(self._server, exchange.principal, incoming, LATEST_HANDSHAKE_VERSION)
            assert not isinstance(result, Encoded)
            capabilities = (incoming.params or {})["capabilities"]
            session = open_session(
                exchange.headers[b"authorization"], Handshake(result["protocolVersion"], capabilities)
            )
            headers.append((b"mcp-session-id", session.encode()))
            return result

        await exchange.respond(200, await response_to(incoming, opened()), headers)

    def _session(self, exchange: _Exchange) -> tuple[str, Handshake]:
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
        """Give a response to whoever waits for it; one that comes too late, or was not asked for, has no effect."""
        response_id = message.get("id")
        if is_id(response_id) and (pending := self._asked.get((session, id_key(response_id)))) is not None:
            pending.resolve(message, size)

    async def _answer(
        self,
        exchange: _Exchange,
        incoming: Incoming,
        work: Coroutine[Any, Any, dict[str, Any] | Encoded],
        key: object,
    ) -> None:
        """Answer a request with the result of the work; with nothing when the client cancels it or leaves."""
        body = ""
        call, watching = anyio.CancelScope(), list[asyncio.Task[None]]()
        watch = asyncio.get_running_loop().call_later(
            WATCH_SECONDS, lambda: watching.append(asyncio.create_task(exchange.watch(call)))
        )

        async def fitted() -> dict[str, Any] | Encoded:
            result = await work
            return _fit_event(result) if exchange.streaming else result

        self._calls[key] = call
        try:
            with call:
                body = await response_to(incoming, fitted())
        finally:
            del self._calls[key]
            watch.cancel()
            for task in watching:
                task.cancel()
        if not body and self._stopped:
            sentence = "The hub was stopped before the call was over; look whether it did its work."
            body = encode_error(incoming.request_id, INTERNAL_ERROR, sentence)
        await exchange.respond(200 if body else 202, body)


@lru_cache(maxsize=64)  # a client sends the same with every request
def _accepted(accept: bytes) -> tuple[bool, bool]:
    """Return whether JSON and whether events are accepted (RFC 9110, section 12.5.1)."""
    kinds = {one.split(b";")[0].strip().lower() for one in accept.split(b",")}
    return (
        not kinds.isdisjoint({b"*/*", b"application/*", b"application/json"}),
        not kinds.isdisjoint({b"*/*", b"text/*", b"text/event-stream"}),
    )


def _incoming(exchange: _Exchange, message: Any) -> Incoming | None:
    """Return the request or notification that a message is; a response counts as a notification."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return None
    return Incoming(exchange, "", None, None) if is_response(message) else incoming_of(exchange, message)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a receiver that gives a body that was read already, and then what is still to come."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


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
