"""The application for spokes, behind one listener on each project's network: links, and clients inside a spoke."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import anyio
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Scope
from starlette.websockets import WebSocket

from codebuddy.hub.access import AccessDenied, AccessPolicy
from codebuddy.hub.http import AccessGuard
from codebuddy.hub.spokes import Link, Links
from codebuddy.hub.websocket import POLICY_VIOLATION, accept, lifetime, serve_websocket
from codebuddy.tool import Principal
from codebuddy.wire.jsonrpc import SPOKE_BYTES, ConnectionLost, RemoteError, RequestQuota, RpcConnection
from codebuddy.wire.link import LINK_PATH, initialize
from codebuddy.wire.mcp_server import PRINCIPAL_KEY, McpServer

log = logging.getLogger(__name__)


def link_app(
    server: McpServer, links: Links, policy: AccessPolicy, projects: Mapping[str, str], stopping: anyio.Event
) -> ASGIApp:
    """Create the application behind the listeners on the projects' networks.

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

    def own_network_only(scope: Scope, principal: Principal) -> None:
        """Refuse a token on another project's network, so that a stolen token can be used only where it was stolen."""
        project = projects.get(scope["server"][0])
        if project is None or principal.projects != frozenset({project}):
            raise AccessDenied(403, "This token belongs to another project's network.")

    app = Starlette(routes=[WebSocketRoute(LINK_PATH, serve_link), WebSocketRoute("/", serve_client)])
    return AccessGuard(app, policy, check=own_network_only)


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
        await connection.run()
        closed.set()

    connection = RpcConnection(channel)
    async with lifetime(channel, principal, stopping), anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        try:
            await initialize(connection, "codebuddy-hub")
        except (RemoteError, ConnectionLost, TimeoutError) as error:
            log.warning("link %s: the agent did not finish the MCP handshake: %r", project, error)
            await close("the MCP handshake was not finished in time")
            tasks.cancel_scope.cancel()
            return
        link = Link(project, connection, close)
        await links.add(link)
        tasks.start_soon(_close_when_unresponsive, link)
        try:
            await closed.wait()
        finally:
            links.remove(link)
            tasks.cancel_scope.cancel()


async def _close_when_unresponsive(link: Link) -> None:
    if await link.connection.wait_until_unresponsive():
        log.warning("link %s: no answer to a ping; closing it", link.project)
        await link.close("no answer to a ping")
