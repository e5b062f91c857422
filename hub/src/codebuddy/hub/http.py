"""The hub's HTTP listeners: connection limits, the access guard, and the application for clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import anyio
import uvicorn
from mcp.server import Server
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.protocols.http.h11_impl import H11Protocol

from codebuddy.hub.access import AccessDenied, AccessPolicy
from codebuddy.hub.websocket import serve_websocket
from codebuddy.tool import Principal
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES
from codebuddy.wire.mcp_server import PRINCIPAL_KEY, McpServer

DRAIN_SECONDS = 3
"""How long requests may still run after SIGTERM before they are cancelled."""

MAX_CONNECTIONS = 128
"""Connections per bound address; further ones are aborted so that they cannot exhaust descriptors."""

MAX_SPOKE_CONNECTIONS = 16
"""The same for spokes: each connection may hold an unfinished message of the largest size."""

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
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
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


class AccessGuard:
    """ASGI middleware that checks Host, Origin and token before any request or upgrade reaches the application.

    Args:
        app: the application; it finds the principal in the scope.
        policy: decides.
        open_paths: paths that may be requested without a token; the principal is None then.
        check: raises AccessDenied for a principal that must not use this listener.
    """

    def __init__(
        self,
        app: ASGIApp,
        policy: AccessPolicy,
        open_paths: frozenset[str] = frozenset(),
        check: Callable[[Scope, Principal], None] = lambda _scope, _principal: None,
    ) -> None:
        self._app = app
        self._policy = policy
        self._open_paths = open_paths
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                self._admit(scope)
            except AccessDenied as denied:
                headers = {"WWW-Authenticate": "Bearer"} if denied.status == 401 else {}
                response = JSONResponse({"error": denied.message}, denied.status, headers)
                if scope["type"] == "websocket":
                    # ASGI's denial response extension: an HTTP answer in place of the upgrade
                    await WebSocket(scope, receive, send).send_denial_response(response)
                else:
                    await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._policy.check_source(headers)
        if scope["path"] in self._open_paths and "authorization" not in headers:
            scope[PRINCIPAL_KEY] = None
            return
        principal = scope[PRINCIPAL_KEY] = self._policy.authenticate(headers)
        self._check(scope, principal)
        # The SDK binds an HTTP session to the user that opened it.
        scope["user"] = AuthenticatedUser(
            AccessToken(
                token="", client_id=principal.subject, subject=principal.subject, scopes=sorted(principal.scopes)
            )
        )


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
    return AccessGuard(app, policy, open_paths=frozenset({"/health"}))
