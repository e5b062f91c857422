"""The hub's doors: the ASGI applications for clients (HTTP and WebSocket) and the guard in front of every door."""

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
"""After SIGTERM, requests that are being answered have so long to finish; then they are cancelled."""


MAX_CONNECTIONS = 128
"""Connections on one listener: who opens more gets no further, and takes no descriptor from the others."""

MAX_SPOKE_CONNECTIONS = 16
"""The same where spokes come in: each connection may hold a message that is never finished, as long as one may be."""

FIRST_REQUEST_SECONDS = 10.0
"""A connection that has not sent a whole request by then is closed."""


class _BoundedConnection(H11Protocol):
    """An HTTP connection that must say soon what it wants, one of a limited number on its listener."""

    limit = MAX_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        listener = transport.get_extra_info("sockname")
        others = sum(
            getattr(other, "transport", None) is not None and other.transport.get_extra_info("sockname") == listener
            for other in self.connections
        )
        super().connection_made(transport)
        if others >= self.limit:
            transport.abort()
        else:
            asyncio.get_running_loop().call_later(FIRST_REQUEST_SECONDS, self._end_if_silent)

    def _end_if_silent(self) -> None:
        # After an upgrade another protocol has the transport, and has seen a whole request.
        if self.cycle is None and self.transport.get_protocol() is self:
            cast(asyncio.Transport, self.transport).abort()


class _SpokeConnection(_BoundedConnection):
    limit = MAX_SPOKE_CONNECTIONS


class Door(uvicorn.Server):
    """A uvicorn server that leaves signals alone: the hub has two doors, and closes both on one signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def open_door(app: ASGIApp, for_spokes: bool = False) -> Door:
    """Make the server of an application; ``serve(sockets)`` runs it.

    Args:
        app: the application.
        for_spokes: whether spokes come in here, which may be hostile: of each fewer connections are taken.
    """
    return Door(
        uvicorn.Config(
            app,
            http=_SpokeConnection if for_spokes else _BoundedConnection,
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


def listen(address: str, port: int) -> socket.socket:
    """Bind one address and no other: what is not bound cannot be reached from the wrong network."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(256)
    return listener


HealthReport = Callable[[Principal | None], Awaitable[dict[str, Any]]]
"""Gives the health document for a principal; for None only the overall status. Its ``status`` is ``ok`` or not."""


class AccessGuard:
    """ASGI middleware: nothing reaches the application, upgrade or request, before Host, Origin and token are checked.

    Args:
        app: the application behind it; it finds the principal in the scope.
        policy: decides.
        open_paths: paths that may be asked without a token; their principal is then None.
    """

    def __init__(self, app: ASGIApp, policy: AccessPolicy, open_paths: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._policy = policy
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._policy.check_source(headers)
            if scope["path"] in self._open_paths and "authorization" not in headers:
                scope[PRINCIPAL_KEY] = None
            else:
                principal = self._policy.authenticate(headers)
                scope[PRINCIPAL_KEY] = principal
                scope["user"] = _as_sdk_user(principal)
        except AccessDenied as denied:
            await _refuse(denied, scope, receive, send)
            return
        await self._app(scope, receive, send)


def http_sessions(server: Server[Any]) -> StreamableHTTPSessionManager:
    """Make the Streamable HTTP side of a server; run it around the application's life.

    The guard has checked Host and Origin already, so the SDK's own check, which knows fewer cases, stays off. No event
    is stored: an answer that its connection did not take cannot be fetched on another, so its call is cancelled.
    """
    return StreamableHTTPSessionManager(server, max_request_body_size=MAX_MESSAGE_BYTES, max_sessions=1000)


def client_app(
    server: McpServer,
    sessions: StreamableHTTPSessionManager,
    health: HealthReport,
    policy: AccessPolicy,
    stopping: anyio.Event,
) -> ASGIApp:
    """Make the application behind the client endpoint: ``/`` and ``/mcp`` (WebSocket), ``/mcp`` (HTTP), ``/health``."""

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


def _as_sdk_user(principal: Principal) -> AuthenticatedUser:
    """Tell the SDK who asks: it binds an HTTP session to the credential that opened it."""
    return AuthenticatedUser(
        AccessToken(token="", client_id=principal.subject, subject=principal.subject, scopes=sorted(principal.scopes))
    )


async def _refuse(denied: AccessDenied, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"WWW-Authenticate": "Bearer"} if denied.status == 401 else {}
    response = JSONResponse({"error": denied.message}, denied.status, headers)
    if scope["type"] == "websocket":
        # The denial response extension of ASGI: an HTTP answer in place of the upgrade.
        await WebSocket(scope, receive, send).send_denial_response(response)
    else:
        await response(scope, receive, send)
