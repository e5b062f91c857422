"""The hub's HTTP listeners, their connection limits, and the application for clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, cast

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from codebuddy.hub.access import AccessDenied, AccessGuard, AccessPolicy
from codebuddy.hub.streamable_http import MAX_CLIENT_CONNECTIONS, TOO_MANY_CONNECTIONS, Exchange, StreamableHttp
from codebuddy.hub.websocket import serve_websocket
from codebuddy.tool import Principal
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES
from codebuddy.wire.link import TcpPeer
from codebuddy.wire.mcp_server import PRINCIPAL_KEY, McpServer

DRAIN_SECONDS = 3
"""How long requests may still run after SIGTERM before they are cancelled."""

MAX_CONNECTIONS = 128
"""Connections per bound address, so that they cannot exhaust descriptors. A further one takes the place of one that is
idle or slow; if all are in use, it is aborted."""

MAX_SPOKE_CONNECTIONS = 16
"""The same for spokes: each connection may hold an unfinished message of the largest size."""

CLIENT_PING_SECONDS = 120.0
"""How long a client may take to answer a ping. One that is gone closes its connection at once, if it can."""

MAX_HEAD_BYTES = 64 * 1024
"""A connection that sends a longer head of a request is aborted."""

MAX_REQUEST_BYTES = 2 * MAX_MESSAGE_BYTES
"""The same for a whole request, with what stands between its chunks. A message that is too long is answered first."""

FIRST_REQUEST_SECONDS = 10.0
"""A connection that has not sent a whole request by then is closed."""

SLOW_REQUEST_SECONDS = 10.0
"""A connection on which a later request takes longer to arrive must make room when there are too many."""

LATE_REQUEST_SECONDS = 1.0
"""The same for the first request. One of which nothing has arrived makes room at once, the oldest first."""

_GATHERED_BYTES = 64 * 1024  # written in one turn; more is sent at once

KEEP_ALIVE_SECONDS = 15
"""An idle connection is closed then: later than most clients do, so that none sends on one that is being closed."""

HealthReport = Callable[[Principal | None], Awaitable[dict[str, Any]]]
"""Returns the health document for a principal, or only the overall ``status`` (``ok`` or not) for None."""


class _GatheringTransport:
    """A transport that sends together what is written in one turn of the event loop.

    That is the head and the body of an answer, and the messages of several calls on a WebSocket.

    uvicorn stops reading with each message until it is taken; here only if that is not done in the next turn, because
    to stop and go on takes as long as to read it.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._written: list[bytes] = []
        self._written_bytes = 0
        self.drained = asyncio.Event()
        self.drained.set()
        self._pausing: asyncio.Handle | None = None

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._flush)
        self._written.append(data)
        self._written_bytes += len(data)
        if self._written_bytes > _GATHERED_BYTES:
            self._flush()  # so that the protocol is told to pause before more is written

    def unsent(self) -> int:
        """Return how many bytes wait to be sent."""
        return self._written_bytes + self._transport.get_write_buffer_size()

    def abort(self) -> None:
        self._transport.abort()

    def write_at_once(self, data: bytes) -> None:
        """Send what is written now, and before it what waits."""
        self._written.append(data)
        self._flush()

    def pause_reading(self) -> None:
        self._pausing = self._loop.call_soon(self._pause)

    def resume_reading(self) -> None:
        if self._pausing is None:
            self._transport.resume_reading()
        else:
            self._pausing.cancel()
            self._pausing = None

    def _pause(self) -> None:
        self._pausing = None
        self._transport.pause_reading()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._written:
            self._transport.write(b"".join(self._written))
            self._written.clear()
            self._written_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _drained(transport: asyncio.Transport) -> asyncio.Event:
    return cast(_GatheringTransport, transport).drained


class _LimitedConnection(HttpToolsProtocol):
    """An HTTP connection that must send its first request soon, one of a limited number at its bound address."""

    limit = MAX_CONNECTIONS
    _in_head = True
    _request_bytes = 0  # of a request that has not arrived whole
    since = 0.0  # it was opened, or the last request began

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        address = transport.get_extra_info("sockname")
        others = [
            other
            for other in self.connections
            if getattr(other, "transport", None) is not None and other.transport.get_extra_info("sockname") == address
        ]
        super().connection_made(cast(asyncio.Transport, _GatheringTransport(transport)))
        self.since = self.loop.time()
        # Applications find it in the state of their requests and connections.
        self.app_state = {**self.app_state, "transport": self.transport}
        # asyncio does this only for sockets made with IPPROTO_TCP. Without it, the second of two writes waits 40 ms
        # for the client's delayed acknowledgement: an event after another, the second message on a WebSocket.
        accepted: socket.socket = transport.get_extra_info("socket")
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(others) >= self.limit:
            spare = [other for other in others if isinstance(other, _LimitedConnection) and other.is_spare]
            if not spare:
                transport.abort()
                return
            victim = min(spare, key=lambda other: (other.cycle is not None, other.since))
            victim.transport.abort()  # closing would wait for a client that does not read
        asyncio.get_running_loop().call_later(FIRST_REQUEST_SECONDS, self._abort_without_request)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        _drained(self.transport).set()

    def pause_writing(self) -> None:
        super().pause_writing()
        _drained(self.transport).clear()

    def resume_writing(self) -> None:
        super().resume_writing()
        _drained(self.transport).set()

    @property
    def is_spare(self) -> bool:
        """Whether the client has been sent all that it asked for, or does not get on with what it asks for."""
        if self.cycle is None:
            return self._request_bytes == 0 or self.loop.time() > self.since + LATE_REQUEST_SECONDS
        if self._request_bytes > 0:
            return self.loop.time() > self.since + SLOW_REQUEST_SECONDS
        return bool(self.cycle.response_complete)

    def data_received(self, data: bytes) -> None:
        self._request_bytes += len(data)
        super().data_received(data)
        # httptools itself has no limits.
        if self._request_bytes > (MAX_HEAD_BYTES if self._in_head else MAX_REQUEST_BYTES):
            self.transport.abort()

    def on_message_begin(self) -> None:
        if (self.cycle is not None and not self.cycle.response_complete) or self.flow.write_paused:
            # uvicorn would queue any number of requests, and not notice that the client of the first one leaves. No
            # client of MCP sends a request before it has the answer to the last one on the connection.
            self.transport.abort()
            raise ValueError("a request before the answer to the last one")  # ends the parsing of what was received
        self._in_head, self.since = True, self.loop.time()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.strip(b" \t")  # httptools leaves the white space behind it (RFC 9110, 5.5)
        self.headers.append((name, value))
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._request_bytes = True, 0
        super().on_message_complete()

    def _abort_without_request(self) -> None:
        # After an upgrade another protocol owns the transport, and a whole request was received.
        if self.cycle is None and self.transport.get_protocol() is self:
            cast(asyncio.Transport, self.transport).abort()


class _ClientConnection(_LimitedConnection):
    """A connection on which requests for ``/mcp`` are answered without ASGI."""

    _exchange: Exchange | None = None

    def __init__(self, streamable_http: StreamableHttp, policy: AccessPolicy, **others: Any) -> None:
        super().__init__(**others)
        self._streamable_http = streamable_http
        self._policy = policy

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._exchange is not None:
            self._exchange.leave()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._exchange = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        answer_by = partial(super()._start_asgi_task, cycle)
        if cycle.scope["path"] != "/mcp":
            answer_by(app)
            return
        self._exchange = exchange = Exchange(cycle, self.tasks, answer_by)
        try:
            principal = self._policy.admit(exchange.headers, exchange.query)
        except AccessDenied as denied:
            fields = [(name.encode(), value.encode()) for name, value in denied.headers.items()]
            exchange.respond(denied.status, denied.body, fields)
        else:
            exchange.admit(principal, self._streamable_http.quota_of(principal))

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self._exchange is not None:
            self.flow.resume_reading()  # uvicorn stops when an application does not take it; here it is limited
            self._exchange.count(len(body))

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._exchange is not None and not self._exchange.is_over:
            self._streamable_http.serve(self._exchange)


class _SpokeConnection(_LimitedConnection):
    limit = MAX_SPOKE_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Applications find it in the state of their requests and connections.
        self.app_state = {**self.app_state, "peer": TcpPeer(transport.get_extra_info("socket"))}


class _WebSocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket connection whose refusal is not logged as an error."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        _drained(self.transport).set()

    def pause_writing(self) -> None:
        super().pause_writing()
        _drained(self.transport).clear()

    def resume_writing(self) -> None:
        super().resume_writing()
        _drained(self.transport).set()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # uvicorn forgets this after a denial response, and complains of it


class Listener(uvicorn.Server):
    """A uvicorn server that leaves signals alone: the hub has two and closes both on one signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):  # those that wait for the rest of a request
            connection.transport.abort()


def make_listener(app: ASGIApp, for_spokes: bool = False, connection: Any = _LimitedConnection) -> Listener:
    """Create the server of an application; ``serve(sockets)`` runs it. Spokes may be hostile and get lower limits."""
    return Listener(
        uvicorn.Config(
            app,
            http=_SpokeConnection if for_spokes else connection,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws=_WebSocketConnection,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_ping_interval=None if for_spokes else 20.0,  # for spokes see `TcpPeer`
            ws_ping_timeout=CLIENT_PING_SECONDS,
            ws_per_message_deflate=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )


def bind(address: str, port: int) -> socket.socket:
    """Listen on one address only, so that it cannot be reached from any other network."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(256)
    return listener


def make_client_listener(
    server: McpServer,
    streamable_http: StreamableHttp,
    health: HealthReport,
    policy: AccessPolicy,
    stopping: anyio.Event,
) -> Listener:
    """Create the server for clients: ``/`` and ``/mcp`` (WebSocket), ``/mcp`` (HTTP), ``/health``."""

    async def websocket(socket: WebSocket) -> None:
        quota = streamable_http.quota_of(socket.scope[PRINCIPAL_KEY])
        if quota.connections >= MAX_CLIENT_CONNECTIONS:
            await socket.send_denial_response(PlainTextResponse(TOO_MANY_CONNECTIONS, 503))
            return
        quota.connections += 1
        try:
            await serve_websocket(server, socket, stopping, quota)
        finally:
            quota.connections -= 1

    async def report_health(request: Request) -> Response:
        report = await health(request.scope[PRINCIPAL_KEY])
        return JSONResponse(report, 200 if report["status"] == "ok" else 503)

    app = Starlette(
        routes=[
            WebSocketRoute("/", websocket),
            WebSocketRoute("/mcp", websocket),
            Route("/health", report_health),
        ]
    )

    # Where clients look for an authorization server; on a 401 there they would ask the user to log in, on a 404 not.
    guarded = AccessGuard(app, policy, open_paths=frozenset({"/health", "/.well-known/", "/register"}))
    return make_listener(guarded, connection=partial(_ClientConnection, streamable_http, policy))
