"""The MCP handshake and tool calls of a link, for both ends, without the MCP SDK.

The agent is the server and the hub its client; in a spoke's container ``codebuddy spoke --stdio`` is a client too. With
the SDK every spoke would take 28 MB more and every question half a millisecond more. The SDK serves the clients of the
hub, and of a spoke over stdio.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

import anyio

from codebuddy import __version__
from codebuddy.tool import Call, Principal, Tool
from codebuddy.wire.calls import describe_tool, run_tool
from codebuddy.wire.jsonrpc import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Channel,
    Incoming,
    RemoteError,
    RpcConnection,
)

LINK_PATH: Final = "/link"
"""The path on which an agent connects to *serve* MCP; on ``/`` the same token is a client's."""

HANDSHAKE_SECONDS: Final = 10.0

_VERSION: Final = "2025-11-25"
_VERSIONS: Final = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", _VERSION})

log = logging.getLogger(__name__)


class LinkServer:
    """Serves tools on links, listed in their order; ``log_name`` tells callers where to find what it logs."""

    def __init__(self, name: str, tools: Sequence[Tool[Any]], log_name: str) -> None:
        self._name = name
        self._log_name = log_name
        self._tools = {tool.name: tool for tool in tools}

    async def serve(self, channel: Channel, principal: Principal) -> None:
        """Serve one connection, whose requests all come from this principal, until it ends."""

        async def answer(incoming: Incoming) -> dict[str, Any]:
            return await self._answer(incoming, principal)

        connection = RpcConnection(channel, answer, max_requests=None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_when_unresponsive, connection, tasks.cancel_scope)
            await connection.run()
            tasks.cancel_scope.cancel()

    async def _answer(self, incoming: Incoming, principal: Principal) -> dict[str, Any]:
        params = incoming.params or {}
        match incoming.method:
            case "tools/call":
                return await self._call(incoming, params, principal)
            case "ping":
                return {}
            case "initialize":
                requested = params.get("protocolVersion")
                return {
                    "protocolVersion": requested if requested in _VERSIONS else _VERSION,
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": self._name, "version": __version__},
                }
            case "tools/list":
                return {"tools": [describe_tool(tool) for tool in self._tools.values()]}
        if incoming.request_id is None:
            return {}  # notifications need no answer
        raise RemoteError(METHOD_NOT_FOUND, "Method not found", incoming.method)

    async def _call(self, incoming: Incoming, params: dict[str, Any], principal: Principal) -> dict[str, Any]:
        name, arguments = params.get("name"), params.get("arguments")
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None:
            known = ", ".join(self._tools)
            raise RemoteError(INVALID_PARAMS, f"There is no tool {name!r}; there are: {known}.")
        if arguments is not None and not isinstance(arguments, dict):
            raise RemoteError(INVALID_PARAMS, "The arguments of a tool are an object.")
        # No readable text: the hub makes its own from the structured answer.
        return await run_tool(tool, Call(principal, incoming.progress), arguments, self._log_name, with_text=False)


async def _cancel_when_unresponsive(connection: RpcConnection, serving: anyio.CancelScope) -> None:
    """End a connection whose other side has gone without closing it, so that nothing runs for nobody."""
    if await connection.wait_until_unresponsive():
        log.warning("the other side of a link does not answer; the link is closed and its calls are cancelled")
    serving.cancel()


async def initialize(connection: RpcConnection, name: str) -> None:
    """Do the MCP handshake as the client ``name``, on a connection whose `RpcConnection.run` is running.

    Raises:
        RemoteError: the server refuses, or its answer is not a handshake.
        ConnectionLost: the server went away.
        TimeoutError: the server did not answer within ``HANDSHAKE_SECONDS``.
    """
    params = {
        "protocolVersion": _VERSION,
        "capabilities": {},
        "clientInfo": {"name": name, "version": __version__},
    }
    async with asyncio.timeout(HANDSHAKE_SECONDS):
        result = (await connection.request("initialize", params)).result
        if not isinstance(result, dict) or result.get("protocolVersion") not in _VERSIONS:
            raise RemoteError(INVALID_PARAMS, "the server speaks no version of MCP that is known here")
        await connection.notify("notifications/initialized")
