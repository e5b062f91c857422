"""The MCP kernel: one server object for a set of tools, serving both protocol eras on any stream pair.

Clients of the handshake era (``initialize``, up to 2025-11-25) and of the stateless era (2026-07-28, version and
capabilities in each request) are told apart message by message: some clients send ``server/discover`` and then
``initialize`` on one connection, so an era that is locked by the first message would refuse them.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import mcp_types as types
from mcp.server import Server
from mcp.server.connection import Connection, NotifyOnlyOutbound
from mcp.server.context import ServerRequestContext
from mcp.server.runner import ServerRunner, aclose_shielded, serve_one
from mcp.shared.dispatcher import DispatchContext
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import InboundLadderRejection, classify_inbound_request
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.transport_context import TransportContext
from pydantic import ValidationError

from codebuddy import __version__
from codebuddy.access import Principal
from codebuddy.errors import ToolError
from codebuddy.protocol.streams import Streams
from codebuddy.tool import Call, Tool, parse_arguments

__all__ = ["PRINCIPAL_KEY", "InFlight", "build_server", "serve_streams"]

PRINCIPAL_KEY = "codebuddy.principal"
"""Where the access layer leaves the principal in an ASGI scope."""

log = logging.getLogger(__name__)

Context = ServerRequestContext[Any, Any]


class InFlight:
    """Counts the tool calls that are being answered, so that a server that stops can let them finish."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = anyio.Event()
        self._idle.set()

    def __enter__(self) -> None:
        if self._count == 0:
            self._idle = anyio.Event()
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if self._count == 0:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no call is being answered."""
        await self._idle.wait()


def build_server(name: str, tools: Sequence[Tool[Any]], instructions: str, in_flight: InFlight) -> Server[Any]:
    """Make the SDK server that offers these tools, in this order.

    Args:
        name: the server's name in the protocol.
        tools: what it offers.
        instructions: told to the client's model.
        in_flight: counts the calls.
    """
    by_name = {tool.name: tool for tool in tools}
    listing = types.ListToolsResult(tools=[_describe(tool) for tool in tools])
    input_schemas = {tool.name: tool.input_schema for tool in listing.tools}

    async def list_tools(_context: Context, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return listing

    async def call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = by_name.get(params.name)
        if tool is None:
            known = ", ".join(by_name)
            raise MCPError(code=types.INVALID_PARAMS, message=f"There is no tool {params.name!r}; there are: {known}.")
        call = Call(_principal(context), context.session.report_progress)
        with in_flight:
            return await _run(tool, call, params.arguments)

    server: Server[Any] = Server(
        name,
        version=__version__,
        instructions=instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=input_schemas.get,
    )
    server.middleware.clear()  # OpenTelemetry is on by default and costs 13 to 38 µs a message
    return server


async def serve_streams(server: Server[Any], streams: Streams, principal: Principal) -> None:
    """Serve one connection until its read stream ends.

    Args:
        server: what ``build_server`` made.
        streams: the pair from ``message_streams``; closed on return.
        principal: whom every request on this connection is from.
    """
    read, write = streams
    dispatcher: JSONRPCDispatcher[TransportContext] = JSONRPCDispatcher(
        read, write, inline_methods=frozenset({"initialize"})
    )
    handshake = Connection.for_loop(dispatcher)
    runner = ServerRunner(server, handshake, principal)
    outbound = NotifyOnlyOutbound(dispatcher)

    async def on_request(
        context: DispatchContext[TransportContext], method: str, params: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        try:
            if method == "initialize" or not _is_stateless(params):
                return await runner.on_request(context, method, params)
            route = classify_inbound_request({"method": method, "params": params})
            if isinstance(route, InboundLadderRejection):
                raise MCPError(code=route.code, message=route.message, data=route.data)
            connection = Connection.from_envelope(
                route.protocol_version, route.client_info, route.client_capabilities, outbound=outbound
            )
            return await serve_one(server, context, method, params, connection=connection, lifespan_state=principal)
        except (MCPError, ValidationError):
            raise
        except Exception:
            # The handshake era's dispatcher would send the text of the exception to the client.
            log.exception("serving %s failed", method)
            raise MCPError(code=types.INTERNAL_ERROR, message="Internal server error") from None

    try:
        await dispatcher.run(on_request, runner.on_notify)
    finally:
        await aclose_shielded(handshake)


def _is_stateless(params: Mapping[str, Any] | None) -> bool:
    meta = (params or {}).get("_meta")
    return isinstance(meta, Mapping) and types.PROTOCOL_VERSION_META_KEY in meta


def _principal(context: Context) -> Principal:
    """Find who asks: in the HTTP request when there is one, for one HTTP server serves many; else on the connection."""
    source = context.request.scope[PRINCIPAL_KEY] if context.request is not None else context.lifespan_context
    if not isinstance(source, Principal):
        raise TypeError("a request reached the kernel without a principal")
    return source


def _describe(tool: Tool[Any]) -> types.Tool:
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.arguments.model_json_schema(),
        output_schema=tool.result.model_json_schema(mode="serialization"),
        annotations=types.ToolAnnotations(read_only_hint=tool.scope == "read"),
    )


async def _run(tool: Tool[Any], call: Call, raw: dict[str, Any] | None) -> types.CallToolResult:
    try:
        if tool.scope not in call.principal.scopes:
            raise ToolError(
                "forbidden", f"{tool.name} needs a token with the scope {tool.scope!r}; make one with: make token."
            )
        result = await tool.handler(call, parse_arguments(tool, raw))
    except ToolError as error:
        return _failure(error)
    except Exception:
        incident = uuid.uuid4().hex[:8]
        log.exception("tool %s failed (incident %s)", tool.name, incident)
        return _failure(
            ToolError("internal_error", f"{tool.name} failed inside; the hub's log has it as incident {incident}.")
        )
    return types.CallToolResult(
        content=[types.TextContent(text=result.text())],
        structured_content=result.model_dump(mode="json", exclude_none=True),
    )


def _with_path(error: ToolError) -> str:
    """Say what it is about, unless the message does."""
    if error.path is None or error.path in error.message:
        return error.message
    return f"{error.path}: {error.message}"


def _failure(error: ToolError) -> types.CallToolResult:
    structured = {"code": error.code, "message": error.message}
    if error.path is not None:
        structured["path"] = error.path
    return types.CallToolResult(
        content=[types.TextContent(text=f"{error.code}: {_with_path(error)}")],
        structured_content=structured,
        is_error=True,
    )
