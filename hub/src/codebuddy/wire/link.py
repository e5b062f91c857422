"""The two ends of a link: MCP's handshake era, as much of it as hub and agent use, without the SDK.

The agent is the server, the hub its client; inside a spoke's container ``codebuddy spoke --stdio`` is a client too. The
SDK would do the same with 28 MB more in every spoke and half a millisecond more in every question. Clients of the hub,
and of a spoke over stdio, are served by the SDK.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

import anyio

from codebuddy import __version__
from codebuddy.tool import Call, Principal, Tool
from codebuddy.wire.calls import describe, run_tool
from codebuddy.wire.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, Channel, Incoming, RemoteError, Wire, until_silent

LINK_PATH: Final = "/link"
"""Where an agent dials in to *serve* MCP; on ``/`` the same token is a client's."""

HANDSHAKE_SECONDS: Final = 10.0

_VERSION: Final = "2025-11-25"
_VERSIONS: Final = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", _VERSION})

log = logging.getLogger(__name__)


class LinkServer:
    """Serves tools, in their order.

    Args:
        name: the server's name in the protocol.
        tools: what it offers.
        log_name: where what it logs is found, as a caller is told.
    """

    def __init__(self, name: str, tools: Sequence[Tool[Any]], log_name: str) -> None:
        self._name = name
        self._log_name = log_name
        self._tools = {tool.name: tool for tool in tools}

    async def serve(self, channel: Channel, principal: Principal) -> None:
        """Serve one connection until it ends.

        Args:
            channel: carries the messages.
            principal: whom every request on it is from.
        """

        async def answer(incoming: Incoming) -> dict[str, Any]:
            return await self._answer(incoming, principal)

        wire = Wire(channel, answer, most=None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_when_silent, wire, tasks.cancel_scope)
            await wire.run()
            tasks.cancel_scope.cancel()

    async def _answer(self, incoming: Incoming, principal: Principal) -> dict[str, Any]:
        params = incoming.params or {}
        match incoming.method:
            case "tools/call":
                return await self._call(incoming, params, principal)
            case "ping":
                return {}
            case "initialize":
                asked = params.get("protocolVersion")
                return {
                    "protocolVersion": asked if asked in _VERSIONS else _VERSION,
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": self._name, "version": __version__},
                }
            case "tools/list":
                return {"tools": [describe(tool) for tool in self._tools.values()]}
        if incoming.request_id is None:
            return {}  # notices need no answer
        raise RemoteError(METHOD_NOT_FOUND, "Method not found", incoming.method)

    async def _call(self, incoming: Incoming, params: dict[str, Any], principal: Principal) -> dict[str, Any]:
        name, arguments = params.get("name"), params.get("arguments")
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None:
            known = ", ".join(self._tools)
            raise RemoteError(INVALID_PARAMS, f"There is no tool {name!r}; there are: {known}.")
        if arguments is not None and not isinstance(arguments, dict):
            raise RemoteError(INVALID_PARAMS, "The arguments of a tool are an object.")
        # The readable form would be made for nobody: who calls here makes it from the structure.
        call = Call(principal, incoming.progress)
        return await run_tool(tool, call, arguments, self._log_name, with_text=False)


async def _end_when_silent(wire: Wire, serving: anyio.CancelScope) -> None:
    """End a connection whose other side waits for us and is gone: what runs for nobody is to end."""
    if await until_silent(wire):
        log.warning("the other side of a link does not answer; it is closed, and what ran for it ends")
    serving.cancel()


async def greet(wire: Wire, name: str) -> None:
    """Open a connection as its client.

    Args:
        wire: a connection that is being run.
        name: ours.

    Raises:
        RemoteError: the server refuses, or answers with what is no handshake.
        WireClosed: it went away.
        TimeoutError: it did not answer in time.
    """
    me = {"name": name, "version": __version__}
    asked = {"protocolVersion": _VERSION, "capabilities": {}, "clientInfo": me}
    async with asyncio.timeout(HANDSHAKE_SECONDS):
        result = (await wire.request("initialize", asked)).result
        if not isinstance(result, dict) or result.get("protocolVersion") not in _VERSIONS:
            raise RemoteError(INVALID_PARAMS, "the server speaks no version of MCP that is known here")
        await wire.notify("notifications/initialized")
