"""The official SDK's client over each transport, and calls of tools with it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types as types
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from codebuddy.wire.calls import ERROR_KEY

Connect = Callable[..., AbstractAsyncContextManager[Client]]
"""Connects a client; ``transport``, ``mode`` (the protocol era) and ``token`` have defaults."""


@asynccontextmanager
async def websocket_transport(url: str, token: str) -> AsyncIterator[Any]:
    """A client transport over WebSocket, independent of the hub's own; the SDK has none."""
    async with connect(
        url, additional_headers={"Authorization": f"Bearer {token}"}, subprotocols=[Subprotocol("mcp")], proxy=None
    ) as socket:
        assert socket.subprotocol == "mcp"
        to_client, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, from_client = anyio.create_memory_object_stream[SessionMessage](0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_receive, socket, to_client)
            tasks.start_soon(_send, socket, from_client)
            yield read, write
            tasks.cancel_scope.cancel()


async def _receive(socket: ClientConnection, to_client: Any) -> None:
    async with to_client:
        try:
            async for text in socket:
                await to_client.send(SessionMessage(types.jsonrpc_message_adapter.validate_json(text, by_name=False)))
        except (ConnectionClosed, anyio.BrokenResourceError):
            return


async def _send(socket: ClientConnection, from_client: Any) -> None:
    async with from_client:
        async for item in from_client:
            await socket.send(item.message.model_dump_json(by_alias=True, exclude_unset=True))


@asynccontextmanager
async def http_transport(url: str, token: str) -> AsyncIterator[Any]:
    """The SDK's Streamable HTTP transport, with a token."""
    async with (
        httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {token}"}, timeout=httpx2.Timeout(30, read=300), trust_env=False
        ) as http,
        streamable_http_client(url, http_client=http) as streams,
    ):
        yield streams


@asynccontextmanager
async def connected(
    transport: str, port: int, token: str, mode: str, query: str = "", **options: Any
) -> AsyncIterator[Client]:
    """A client connected to a port of loopback.

    Args:
        transport: ``websocket`` or ``http``.
        mode: the protocol era: ``legacy``, ``2026-07-28`` or ``auto``.
        query: what the address ends in, like ``?tools=lean``.
        options: of the client, like ``elicitation_callback``.
    """
    if transport == "websocket":
        streams = websocket_transport(f"ws://127.0.0.1:{port}/{query}", token)
    else:
        streams = http_transport(f"http://127.0.0.1:{port}/mcp{query}", token)
    async with Client(streams, mode=mode, **options) as client:
        yield client


@asynccontextmanager
async def connected_over_stdio(hub: str, mode: str) -> AsyncIterator[Client]:
    """A client that starts ``codebuddy start`` in the hub's container."""
    command = StdioServerParameters(command="docker", args=["exec", "-i", hub, "codebuddy", "start"])
    async with Client(command, mode=mode) as client:
        yield client


@asynccontextmanager
async def connected_over_stdio_program(program: Path, hub: str, mode: str) -> AsyncIterator[Client]:
    """A client that starts the program which outlives the hub, as Claude Desktop does."""
    command = StdioServerParameters(command=sys.executable, args=["-I", str(program), hub])
    async with Client(command, mode=mode) as client:
        yield client


def content_of(result: types.CallToolResult) -> dict[str, Any]:
    """Return the structured content of a result; of a failure, its code, message and path."""
    if result.is_error:
        assert result.structured_content is None, "clients check it against the output schema"
        return dict((result.meta or {})[ERROR_KEY])
    assert result.structured_content is not None
    return dict(result.structured_content)


async def answer(client: Client, tool: str, /, **arguments: Any) -> tuple[bool, dict[str, Any]]:
    """Call a tool for all fields of its answer; return whether it succeeded, and its structured content."""
    result = await client.call_tool(tool, {"detail": "full", **arguments})
    return not result.is_error, content_of(result)


async def call(client: Client, tool: str, /, **arguments: Any) -> dict[str, Any]:
    """Call a tool, which must succeed."""
    succeeded, content = await answer(client, tool, **arguments)
    assert succeeded, content
    return content


async def refused(client: Client, tool: str, /, **arguments: Any) -> dict[str, Any]:
    """Call a tool, which must fail; return the error."""
    succeeded, content = await answer(client, tool, **arguments)
    assert not succeeded, content
    return content
