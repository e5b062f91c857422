"""The application for spokes, behind one listener on each project's network: links, and clients inside a spoke."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import anyio
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from codebuddy.hub.access import AccessPolicy
from codebuddy.hub.http import AccessGuard, send_refusal
from codebuddy.hub.spokes import Link, Links
from codebuddy.hub.websocket import POLICY_VIOLATION, accept, lifetime, serve_websocket
from codebuddy.tool import Principal
from codebuddy.wire.jsonrpc import SPOKE_BYTES, RemoteError, RequestQuota, Wire, WireClosed, wait_until_unresponsive
from codebuddy.wire.link import LINK_PATH, greet
from codebuddy.wire.mcp_server import PRINCIPAL_KEY, McpServer

log = logging.getLogger(__name__)


def link_app(
    server: McpServer, links: Links, policy: AccessPolicy, projects: Mapping[str, str], stopping: anyio.Event
) -> ASGIApp:
    """Create the application behind the link listeners.

    Args:
        server: the hub's tools, for a program in a spoke that calls them with the spoke's own token.
        links: receives the links.
        policy: checks Host and token.
        projects: bound address of a listener → the project whose network it is on.
        stopping: set when the hub shuts down.
    """
    quotas = {project: RequestQuota(SPOKE_BYTES) for project in projects.values()}

    async def serve_link(socket: WebSocket) -> None:
        await _serve_link(socket, links, stopping)

    async def serve_client(socket: WebSocket) -> None:
        project = projects[socket.scope["server"][0]]
        await serve_websocket(server, socket, stopping, quotas[project])

    app = Starlette(routes=[WebSocketRoute(LINK_PATH, serve_link), WebSocketRoute("/", serve_client)])
    return AccessGuard(_OwnNetworkOnly(app, projects), policy)


class _OwnNetworkOnly:
    """Refuses a token on another project's network: a stolen token can be used only where it was stolen."""

    def __init__(self, app: ASGIApp, projects: Mapping[str, str]) -> None:
        self._app = app
        self._projects = projects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            principal: Principal = scope[PRINCIPAL_KEY]
            project = self._projects.get(scope["server"][0])
            if project is None or principal.projects != frozenset({project}):
                refusal = JSONResponse({"error": "This token belongs to another project's network."}, 403)
                await send_refusal(refusal, scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _serve_link(socket: WebSocket, links: Links, stopping: anyio.Event) -> None:
    """Act as the MCP client of one agent until the link ends; the calls on it are made by others, through `Links`."""
    principal: Principal = socket.scope[PRINCIPAL_KEY]
    (project,) = principal.projects or frozenset()
    channel = await accept(socket)
    closed = anyio.Event()

    async def close(reason: str) -> None:
        await channel.close(POLICY_VIOLATION, reason)
        closed.set()

    async def read() -> None:
        await wire.run()
        closed.set()

    wire = Wire(channel)
    async with lifetime(channel, principal, stopping), anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        try:
            await greet(wire, "codebuddy-hub")
        except (RemoteError, WireClosed, TimeoutError) as error:
            log.warning("link %s: the agent did not finish the MCP handshake: %r", project, error)
            await close("the MCP handshake was not finished in time")
            tasks.cancel_scope.cancel()
            return
        link = Link(project, wire, close)
        await links.add(link)
        tasks.start_soon(_close_when_unresponsive, link)
        try:
            await closed.wait()
        finally:
            links.remove(link)
            tasks.cancel_scope.cancel()


async def _close_when_unresponsive(link: Link) -> None:
    if await wait_until_unresponsive(link.wire):
        log.warning("link %s: no answer to a ping; closing it", link.project)
        await link.close("no answer to a ping")
