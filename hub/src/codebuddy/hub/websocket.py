"""WebSockets that clients and spokes open to the hub: MCP for clients, and the hub's end of the links."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Scope
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from codebuddy.hub.access import AccessDenied, AccessGuard, AccessPolicy
from codebuddy.hub.spokes import Link, Links
from codebuddy.schemas.runs import Claimed
from codebuddy.tool import Principal, ToolError
from codebuddy.wire.jsonrpc import (
    SPOKE_BYTES,
    SUBPROTOCOL,
    UNSUPPORTED_DATA,
    ChannelClosed,
    ConnectionLost,
    RemoteError,
    RequestQuota,
    RpcConnection,
)
from codebuddy.wire.link import LINK_PATH, initialize
from codebuddy.wire.mcp_server import PRINCIPAL_KEY, McpServer, serve_channel

# Close codes of RFC 6455, section 7.4.1.
GOING_AWAY = 1001
POLICY_VIOLATION = 1008

CLOSE_SECONDS = 1.0
"""How long a spoke may take to read why its link is closed."""

log = logging.getLogger(__name__)


class AcceptedChannel:
    """Text messages on an accepted WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def receive(self) -> str:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise ChannelClosed
        text = message.get("text")
        if text is None:
            await self.close(UNSUPPORTED_DATA, "text frames only")
            raise ChannelClosed
        return str(text)

    async def send(self, text: str) -> None:
        try:
            await self._socket.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as error:  # RuntimeError: a send after the close frame
            raise ChannelClosed from error

    def unsent(self) -> int:
        return int(self._socket.state.transport.unsent())

    def abort(self) -> None:
        self._socket.state.transport.abort()

    async def drain(self) -> None:
        await self._socket.state.transport.drained.wait()

    async def close(self, code: int, reason: str) -> None:
        """Close with a code and a reason, unless it is closed already."""
        if self._socket.application_state is WebSocketState.CONNECTED:
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.close(code, reason)


async def accept(socket: WebSocket) -> AcceptedChannel:
    """Accept an upgrade, with the subprotocol ``mcp`` if the client offers it and none otherwise."""
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    return AcceptedChannel(socket)


@asynccontextmanager
async def lifetime(channel: AcceptedChannel, principal: Principal, stopping: anyio.Event) -> AsyncIterator[None]:
    """Cancel the body and close the connection with the right code when the hub stops or the token expires."""

    async def close_after(wait: Callable[[], Awaitable[object]], code: int, reason: str) -> None:
        await wait()
        await channel.close(code, reason)
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close_after, stopping.wait, GOING_AWAY, "the hub is shutting down")
        if principal.expires_at is not None:
            until_expiry = partial(anyio.sleep, max(0.0, principal.expires_at - time.time()))
            tasks.start_soon(close_after, until_expiry, POLICY_VIOLATION, "the token has expired")
        yield
        tasks.cancel_scope.cancel()


async def serve_websocket(server: McpServer, socket: WebSocket, stopping: anyio.Event, quota: RequestQuota) -> None:
    """Accept an upgrade that the guard let through, and serve MCP until the client leaves or the `lifetime` ends.

    ``quota`` bounds the bytes of the requests being answered.
    """
    principal: Principal = socket.scope[PRINCIPAL_KEY]
    channel = await accept(socket)
    async with lifetime(channel, principal, stopping):
        await serve_channel(server, channel, principal, quota)


def link_app(
    server: McpServer, links: Links, policy: AccessPolicy, projects: Mapping[str, str], stopping: anyio.Event
) -> ASGIApp:
    """Create the application behind the listeners on the projects' networks.

    Args:
        server: the hub's tools, for a program in a spoke that calls them with the spoke's own token.
        links: receives the links, and says when they end.
        policy: checks Host and token.
        projects: bound address of a listener → the project whose network it is on.
        stopping: set when the hub shuts down; ends the clients' connections.
    """
    quotas = {project: RequestQuota(SPOKE_BYTES) for project in projects.values()}

    async def serve_link(socket: WebSocket) -> None:
        await _serve_link(socket, links)

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


async def _serve_link(socket: WebSocket, links: Links) -> None:
    """Act as the MCP client of one agent until the link ends; the calls on it are made by others, through `Links`."""
    principal: Principal = socket.scope[PRINCIPAL_KEY]
    (project,) = principal.projects or frozenset()
    channel = await accept(socket)
    closed = anyio.Event()

    async def close(reason: str) -> None:
        with anyio.move_on_after(CLOSE_SECONDS):  # a spoke that does not read would hold up its next link
            await channel.close(POLICY_VIOLATION, reason)
        closed.set()

    async def read() -> None:
        await connection.run()
        closed.set()

    connection = RpcConnection(channel, peer=socket.state.peer)
    async with lifetime(channel, principal, links.stopping), anyio.create_task_group() as tasks:
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
        tasks.start_soon(_claim_runs, links, link)
        tasks.start_soon(_close_when_unresponsive, link)
        try:
            await closed.wait()
        finally:
            links.remove(link)
            tasks.cancel_scope.cancel()


async def _claim_runs(links: Links, link: Link) -> None:
    """Tell the spoke which runs of an earlier link go on. Nobody waits for the others: their clients are gone."""
    claimed = [job_id for job_id in links.claimed if job_id.startswith(f"{link.project}:")]
    with suppress(ToolError):
        ended = (await links.call(link.project, "claim_runs", {"job_ids": claimed}, Claimed)).ended
        if ended:
            log.info("link %s: %d runs for which nobody waits are ended", link.project, ended)


async def _close_when_unresponsive(link: Link) -> None:
    await link.connection.wait_until_unresponsive()
    log.warning("link %s: the spoke does not answer; closing it", link.project)
    await link.close("no answer")
