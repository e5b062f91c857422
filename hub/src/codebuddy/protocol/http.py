"""The hub's doors: the ASGI applications for clients (HTTP and WebSocket) and the guard in front of every door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
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

from codebuddy.access import AccessDenied, AccessPolicy
from codebuddy.protocol.kernel import PRINCIPAL_KEY, McpServer
from codebuddy.protocol.websocket import serve_websocket
from codebuddy.tool import Principal
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES

__all__ = ["AccessGuard", "HealthReport", "client_app", "http_sessions"]

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
