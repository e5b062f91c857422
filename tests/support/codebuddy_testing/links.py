"""The hub's listener for spokes, on loopback addresses that stand for project networks, and agents that connect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from codebuddy.hub.access import LINK_AUDIENCE, AccessPolicy, TokenVerifier
from codebuddy.hub.http import bind, make_listener
from codebuddy.hub.spokes import Links
from codebuddy.hub.websocket import link_app
from codebuddy.tool import Tool
from codebuddy.wire.link import LINK_PATH, LinkServer, maintain_link
from codebuddy.wire.mcp_server import McpServer
from codebuddy_testing.listeners import PUBLIC, Probe, echo_tool, token

ADDRESSES = {"127.0.0.2": "project-a", "127.0.0.3": "project-b"}
PROXY = "127.0.0.4"
"""The address of a `Proxy`."""


def link_token(project: str, **changes: Any) -> str:
    return token(aud=LINK_AUDIENCE, sub=project, projects=[project], **changes)


@dataclass
class HubSide:
    links: Links
    port: int
    stopping: anyio.Event
    proxy: str | None = None

    def url(self, project: str) -> str:
        address = self.proxy or next(address for address, name in ADDRESSES.items() if name == project)
        return f"ws://{address}:{self.port}{LINK_PATH}"


@asynccontextmanager
async def hub_side(port: int = 0) -> AsyncIterator[HubSide]:
    sockets = []
    for address in ADDRESSES:
        sockets.append(bind(address, port))
        port = sockets[0].getsockname()[1]
    links, stopping = Links(), anyio.Event()
    server = McpServer("hub", [echo_tool(Probe())], "", "its log")
    policy = AccessPolicy(
        TokenVerifier(PUBLIC, "test"), LINK_AUDIENCE, [f"{address}:{port}" for address in (*ADDRESSES, PROXY)]
    )
    listener = make_listener(link_app(server, links, policy, ADDRESSES, stopping), for_spokes=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, sockets)
        try:
            yield HubSide(links, port, stopping)
        finally:
            stopping.set()
            links.stopping.set()
            listener.should_exit = True


class Agent:
    """An agent with these tools, or with the fixture tool alone."""

    def __init__(self, project: str, folder: Path, tools: list[Tool[Any]] | None = None) -> None:
        self.project = project
        self.probe = Probe()
        self.server = LinkServer(project, tools or [echo_tool(self.probe)], "its log")
        self.token_path = folder / f"{project}.token"
        self.token_path.write_text(link_token(project))
        self.states: list[tuple[str, str | None]] = []

    async def dial(self, hub: HubSide) -> None:
        await maintain_link(hub.url(self.project), self.token_path, self.server, self.project, self._on_state)

    def _on_state(self, state: str, reason: str | None) -> None:
        self.states.append((state, reason))


async def until_linked(links: Links, project: str, not_this: object = None) -> Any:
    with anyio.fail_after(20):
        while (link := links.get(project)) is None or link is not_this:
            await anyio.sleep(0.01)
    return link


class Proxy:
    """Lies between agents and the listener for the first project; what goes through it can be cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: set[asyncio.StreamWriter] = set()
        self._may_pass = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, PROXY, self._port)
        try:
            yield
        finally:
            server.close()
            self.cut()

    def cut(self, *, for_good: bool = False) -> None:
        """Break all connections; let no other through if it is for good, until `mend`."""
        self._may_pass = not for_good
        for writer in self._open:
            writer.transport.abort()

    def mend(self) -> None:
        self._may_pass = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._may_pass:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(next(iter(ADDRESSES)), self._port)
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
        finally:
            self._open -= {writer, back}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
