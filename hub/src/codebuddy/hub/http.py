"""The hub's HTTP listeners, their connection limits, and the application for clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import anyio
import uvicorn
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from codebuddy.hub.access import AccessGuard, AccessPolicy
from codebuddy.hub.websocket import serve_websocket
from codebuddy.tool import Principal
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES
from codebuddy.wire.link import TcpPeer
from codebuddy.wire.mcp_server import PRINCIPAL_KEY, McpServer

DRAIN_SECONDS = 3
"""How long requests may still run after SIGTERM before they are cancelled."""

MAX_CONNECTIONS = 128
"""Connections per bound address; further ones are aborted so that they cannot exhaust descriptors."""

MAX_SPOKE_CONNECTIONS = 16
"""The same for spokes: each connection may hold an unfinished message of the largest size."""

CLIENT_PING_SECONDS = 120.0
"""How long a client may take to answer a ping. One that is gone closes its connection at once, if it can."""

FIRST_REQUEST_SECONDS = 10.0
"""A connection that has not sent a whole request by then is closed."""

HealthReport = Callable[[Principal | None], Awaitable[dict[str, Any]]]
"""Returns the health document for a principal, or only the overall ``status`` (``ok`` or not) for None."""


class _LimitedConnection(H11Protocol):
    """An HTTP connection that must send its first request soon, one of a limited number at its bound address."""

    limit = MAX_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        address = transport.get_extra_info("sockname")
        others = sum(
            getattr(other, "transport", None) is not None and other.transport.get_extra_info("sockname") == address
            for other in self.connections
        )
        super().connection_made(transport)
        # asyncio does this only for sockets made with IPPROTO_TCP. Without it, the second of two writes waits 40 ms
        # for the client's delayed acknowledgement, and an answer is at least two.
        accepted: socket.socket = transport.get_extra_info("socket")
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if others >= self.limit:
            transport.abort()
        else:
            asyncio.get_running_loop().call_later(FIRST_REQUEST_SECONDS, self._abort_without_request)

    def _abort_without_request(self) -> None:
        # After an upgrade another protocol owns the transport, and a whole request was received.
        if self.cycle is None and self.transport.get_protocol() is self:
            cast(asyncio.Transport, self.transport).abort()


class _SpokeConnection(_LimitedConnection):
    limit = MAX_SPOKE_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Applications find it in the state of their requests and connections.
        self.app_state = {**self.app_state, "peer": TcpPeer(transport.get_extra_info("socket"))}


class _WebSocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket connection whose refusal is not logged as an error."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # uvicorn forgets this after a denial response, and complains of it


class Listener(uvicorn.Server):
    """A uvicorn server that leaves signals alone: the hub has two and closes both on one signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def make_listener(app: ASGIApp, for_spokes: bool = False) -> Listener:
    """Create the server of an application; ``serve(sockets)`` runs it. Spokes may be hostile and get lower limits."""
    return Listener(
        uvicorn.Config(
            app,
            http=_SpokeConnection if for_spokes else _LimitedConnection,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws=_WebSocketConnection,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_ping_interval=None if for_spokes else 20.0,  # for spokes see `TcpPeer`
            ws_ping_timeout=CLIENT_PING_SECONDS,
            ws_per_message_deflate=False,
            server_header=False,
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


def http_sessions(server: Server[Any]) -> StreamableHTTPSessionManager:
    """Create the Streamable HTTP side of a server; its ``run()`` must surround the application's life.

    The SDK's own check of Host and Origin stays off, since the guard has made a stricter one. No event is stored: an
    answer whose connection is lost cannot be fetched on another, so its call is cancelled.
    """
    return StreamableHTTPSessionManager(server, max_request_body_size=MAX_MESSAGE_BYTES, max_sessions=1000)


def client_app(
    server: McpServer,
    sessions: StreamableHTTPSessionManager,
    health: HealthReport,
    policy: AccessPolicy,
    stopping: anyio.Event,
) -> ASGIApp:
    """Create the application for clients: ``/`` and ``/mcp`` (WebSocket), ``/mcp`` (HTTP), ``/health``."""

    async def websocket(socket: WebSocket) -> None:
        await serve_websocket(server, socket, stopping)

    async def report_health(request: Request) -> Response:
        report = await health(request.scope[PRINCIPAL_KEY])
        return JSONResponse(report, 200 if report["status"] == "ok" else 503)

    app = Starlette(
        routes=[
            WebSocketRoute("/", websocket),
            WebSocketRoute("/mcp", websocket),
            Route("/mcp", StreamableHTTPASGIApp(sessions)),
            Route("/health", report_health),
        ]
    )
    # Where clients look for an authorization server; on a 401 there they would ask the user to log in, on a 404 not.
    return AccessGuard(app, policy, open_paths=frozenset({"/health", "/.well-known/", "/register"}))
