"""The MCP server for clients: the SDK's server, on channels of our own and under the SDK's Streamable HTTP.

A plain tool call of a client that finished the handshake goes past the SDK to the tool; everything else the SDK
answers, in both eras of the protocol. The SDK is heavy, so the agent must not load this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence, Set
from typing import Any, TypeGuard, TypeVar

import anyio
import mcp_types as types
from mcp.server import Server
from mcp.server.connection import Connection, NotifyOnlyOutbound
from mcp.server.context import ServerRequestContext
from mcp.server.runner import ServerRunner, aclose_shielded, serve_one
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.inbound import InboundLadderRejection, classify_inbound_request
from mcp.shared.transport_context import TransportContext
from pydantic import ValidationError
from starlette.requests import Request

from codebuddy import __version__
from codebuddy.tool import Call, Principal, Progress, Tool
from codebuddy.wire.calls import input_schema, run_tool
from codebuddy.wire.heartbeat import Heartbeat
from codebuddy.wire.jsonrpc import INVALID_PARAMS, Channel, Incoming, RemoteError, RequestQuota, RpcConnection, is_id
from codebuddy.wire.offers import Offers

PRINCIPAL_KEY = "codebuddy.principal"
"""The key under which the access guard stores the principal in an ASGI scope."""

T = TypeVar("T")
Context = ServerRequestContext[Any, Any]


class InFlight:
    """Counts the tool calls that are being answered, so that a stopping server can let them finish."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> None:
        self._idle.clear()
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if self._count == 0:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no call is being answered."""
        await self._idle.wait()


class McpServer(Server[Any]):
    """The SDK's server, which also runs its tools for requests that do not go through the SDK."""

    tools: Mapping[str, Tool[Any]]
    offers: Offers
    log_name: str
    in_flight: InFlight

    def tool_list(self, principal: Principal) -> list[dict[str, Any]]:
        """Return the definitions of the tools that a client is offered, see `Offers.tool_list`."""
        return self.offers.tool_list(principal)

    async def run_tool(
        self, tool: Tool[Any], principal: Principal, progress: Progress, arguments: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Run a tool and return the result of ``tools/call``."""
        with self.in_flight:
            async with Heartbeat(tool, arguments, progress) as heartbeat:
                return await run_tool(tool, Call(principal, heartbeat.report), arguments, self.log_name)


def build_server(
    name: str, tools: Sequence[Tool[Any]], instructions: str, log_name: str, open_projects: Set[str] = frozenset()
) -> McpServer:
    """Create the SDK server that offers these tools, in this order.

    Args:
        instructions: are shown to the client's model.
        log_name: tells callers where to find what the server logs.
        open_projects: the projects whose programs reach something outside.
    """
    offers = Offers(tools, open_projects)
    by_name = offers.tools
    input_schemas = {tool.name: input_schema(tool.arguments) for tool in by_name.values()}

    async def list_tools(context: Context, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult.model_validate({"tools": offers.tool_list(_principal(context))})

    async def call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = by_name.get(params.name)
        if tool is None:
            known = ", ".join(entry["name"] for entry in offers.tool_list(_principal(context)))
            raise MCPError(code=types.INVALID_PARAMS, message=f"There is no tool {params.name!r}; there are: {known}.")
        progress = context.session.report_progress
        answer = server.run_tool(tool, _principal(context), progress, params.arguments)
        if context.request is not None:
            answer = _cancel_on_disconnect(context.request, answer)
        return types.CallToolResult.model_validate(await answer)

    server = McpServer(
        name,
        version=__version__,
        instructions=instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=input_schemas.get,
    )
    server.tools, server.offers, server.log_name, server.in_flight = by_name, offers, log_name, InFlight()
    server.middleware.clear()  # OpenTelemetry is on by default and costs 13 to 38 µs a message
    return server


def _principal(context: Context) -> Principal:
    """Return who calls: the HTTP request says it, since one HTTP server serves many; else the connection does."""
    source = context.request.scope[PRINCIPAL_KEY] if context.request is not None else context.lifespan_context
    if not isinstance(source, Principal):
        raise TypeError("a request reached the server without a principal")
    return source


async def _cancel_on_disconnect(request: Request, answer: Awaitable[T]) -> T:
    """Return the answer to an HTTP request, or cancel it when the connection closes.

    The protocol's handshake era does not treat a lost connection as a cancellation, because the client could fetch the
    answer on another connection. Here it could not: no event is stored, so nobody would ever see the answer.

    Raises:
        MCPError: the connection is closed; nobody receives it.
    """
    with anyio.CancelScope() as scope:
        watch = asyncio.create_task(_cancel_when_closed(request, scope))
        try:
            return await answer
        finally:
            watch.cancel()
    raise MCPError(code=types.INTERNAL_ERROR, message="The client closed its connection.")


async def _cancel_when_closed(request: Request, scope: anyio.CancelScope) -> None:
    # The body has been read, so only the disconnect is still to come; every caller of `receive` is given it.
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def serve_channel(
    server: McpServer, channel: Channel, principal: Principal, quota: RequestQuota | None = None
) -> None:
    """Serve one connection, whose requests all come from this principal, until it ends; the caller closes the channel.

    ``quota`` bounds the bytes of the requests being answered; None means that of one client.
    """

    async def serve(incoming: Incoming) -> dict[str, Any]:
        try:
            if incoming.request_id is None:
                await runner.on_notify(_DispatchContext(incoming), incoming.method, incoming.params)
                return {}
            return await _serve(server, runner, outbound, incoming)
        except MCPError as error:
            raise RemoteError(error.error.code, error.error.message, error.error.data) from None
        except ValidationError:
            raise RemoteError(INVALID_PARAMS, "Invalid request parameters", "") from None

    rpc = RpcConnection(channel, serve, sequential=frozenset({"initialize"}), quota=quota)
    back_channel = _BackChannel(rpc)
    outbound = NotifyOnlyOutbound(back_channel)
    handshake = Connection.for_loop(back_channel)
    runner = ServerRunner(server, handshake, principal)
    try:
        await rpc.run()
    finally:
        await aclose_shielded(handshake)


async def _serve(
    server: McpServer, runner: ServerRunner[Any], outbound: NotifyOnlyOutbound, incoming: Incoming
) -> dict[str, Any]:
    method, params = incoming.method, incoming.params
    if method == "tools/list" and runner.connection.initialize_accepted and not params:
        return {"tools": server.tool_list(runner.lifespan_state)}
    if method == "tools/call" and runner.connection.initialize_accepted and _is_plain_call(params):
        tool = server.tools.get(params["name"])
        if tool is not None:
            result = await server.run_tool(tool, runner.lifespan_state, incoming.progress, params.get("arguments"))
            return {"isError": False, **result}
    context = _DispatchContext(incoming)
    if method == "initialize" or not _is_stateless(params):
        return await runner.on_request(context, method, params)
    route = classify_inbound_request({"method": method, "params": params})
    if isinstance(route, InboundLadderRejection):
        raise MCPError(code=route.code, message=route.message, data=route.data)
    connection = Connection.from_envelope(
        route.protocol_version, route.client_info, route.client_capabilities, outbound=outbound
    )
    return await serve_one(server, context, method, params, connection=connection, lifespan_state=runner.lifespan_state)


def _is_plain_call(params: Mapping[str, Any] | None) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a call passes all that the SDK would check, and has nothing in it that only the SDK handles."""
    if params is None or not params.keys() <= {"name", "arguments", "_meta"}:
        return False
    meta = params.get("_meta", {})
    return (
        isinstance(params.get("name"), str)
        and isinstance(params.get("arguments", {}), dict)
        and isinstance(meta, dict)
        and (not meta or (meta.keys() == {"progressToken"} and is_id(meta["progressToken"])))
    )


def _is_stateless(params: Mapping[str, Any] | None) -> bool:
    meta = (params or {}).get("_meta")
    return isinstance(meta, Mapping) and types.PROTOCOL_VERSION_META_KEY in meta


class _BackChannel:
    """The way back to the client, as the SDK expects it. Our tools send a client no requests, only notifications."""

    def __init__(self, rpc: RpcConnection) -> None:
        self._rpc = rpc

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        raise NoBackChannelError(method)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        await self._rpc.notify(method, None if params is None else dict(params))


class _DispatchContext(_BackChannel):
    """A message from the client, as the SDK expects it."""

    transport = TransportContext(kind="channel", can_send_request=False)
    can_send_request = False
    message_metadata = None

    def __init__(self, incoming: Incoming) -> None:
        super().__init__(incoming.connection)
        self.request_id = incoming.request_id
        self.progress = incoming.progress

    @property
    def cancel_requested(self) -> anyio.Event:
        """Never set: a cancelled request's task is cancelled instead."""
        return anyio.Event()
