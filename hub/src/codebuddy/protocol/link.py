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
from codebuddy.principal import Principal
from codebuddy.protocol.calling import describe, run_tool
from codebuddy.protocol.channel import Channel
from codebuddy.protocol.messages import INVALID_PARAMS, METHOD_NOT_FOUND, RemoteError
from codebuddy.protocol.pending import WireClosed
from codebuddy.protocol.wire import Incoming, Wire
from codebuddy.tool import Call, Tool

__all__ = ["HANDSHAKE_SECONDS", "ToolServer", "greet"]

HANDSHAKE_SECONDS: Final = 10.0

_LOOK_SECONDS: Final = 0.25
_SILENCE_SECONDS: Final = 1.0
_PING_SECONDS: Final = 2.0

_VERSION: Final = "2025-11-25"
_VERSIONS: Final = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", _VERSION})


log = logging.getLogger(__name__)


class ToolServer:
    """Serves tools, in their order.

    Args:
        name: the server's name in the protocol.
        tools: what it offers.
    """

    def __init__(self, name: str, tools: Sequence[Tool[Any]]) -> None:
        self._name = name
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
            tasks.start_soon(_end_when_gone, wire, tasks.cancel_scope)
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
        return await run_tool(tool, Call(principal, incoming.progress), arguments, with_text=False)


async def _end_when_gone(wire: Wire, serving: anyio.CancelScope) -> None:
    """End a connection whose other side no longer answers although it waits for us: a network that is cut closes
    nothing, and what runs for nobody is to end.
    """
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if not wire.serving or loop.time() - wire.heard_at < _SILENCE_SECONDS:
            continue
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await wire.request("ping", None)
        except RemoteError:
            continue  # an answer all the same
        except (TimeoutError, WireClosed):
            log.warning("the other side of a link does not answer; it is closed, and what ran for it ends")
            serving.cancel()
            return


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
