"""The MCP server for clients: the SDK's server, on channels of our own and under the SDK's Streamable HTTP.

A plain tool call goes past the SDK to the tool, and the list of the tools is rendered once; everything else the SDK
answers, in both eras of the protocol. The SDK is heavy, so the agent must not load this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from typing import Any, NamedTuple

import anyio
import mcp_types as types
from mcp.server import Server
from mcp.server.caching import CacheHint
from mcp.server.connection import Connection, NotifyOnlyOutbound
from mcp.server.context import ServerRequestContext
from mcp.server.runner import ServerRunner, aclose_shielded, serve_one
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.inbound import InboundLadderRejection, classify_inbound_request
from mcp.shared.transport_context import TransportContext
from mcp_types import methods
from mcp_types.version import LATEST_MODERN_VERSION
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from codebuddy import __version__
from codebuddy.tool import Call, Principal, Progress, Tool, ToolError, no_progress
from codebuddy.wire.calls import failure, input_schema, run_tool
from codebuddy.wire.heartbeat import Heartbeat
from codebuddy.wire.jsonrpc import (
    INVALID_PARAMS,
    ConnectionLost,
    Encoded,
    Incoming,
    MeteredChannel,
    OtherSide,
    RemoteError,
    RequestQuota,
    RpcConnection,
    is_id,
)
from codebuddy.wire.load import Load, reserve
from codebuddy.wire.offers import Offer, Offers

PRINCIPAL_KEY = "codebuddy.principal"
"""The key under which the access guard stores the principal in an ASGI scope."""

_ENVELOPE = frozenset({types.PROTOCOL_VERSION_META_KEY, types.CLIENT_INFO_META_KEY, types.CLIENT_CAPABILITIES_META_KEY})
_MAX_ENVELOPE_BYTES = 4096

_TOOL_LIST_MILLISECONDS = 60_000
"""How long a client of the era without a handshake may keep the list of the tools. Nothing but an upgrade changes it,
and whoever calls a tool that is gone is told which there are."""

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


class PlainCall(NamedTuple):
    """A ``tools/call`` that passes all that the SDK would check, and has nothing in it that only the SDK handles."""

    tool: Tool[Any]
    arguments: dict[str, Any] | None
    stateless: bool  # of the era without a handshake


class McpServer(Server[Any]):
    """The SDK's server with our tools, which it also runs for requests that do not go through the SDK.

    Args:
        tools: in the order in which they are listed.
        instructions: are shown to the client's model.
        log_name: tells callers where to find what the server logs.
        open_projects: the projects whose programs reach something outside.
    """

    def __init__(
        self,
        name: str,
        tools: Sequence[Tool[Any]],
        instructions: str,
        log_name: str,
        open_projects: Set[str] = frozenset(),
    ) -> None:
        self.offers = Offers(tools, open_projects)
        self.in_flight = InFlight()
        self.load = Load()
        self.listings: dict[tuple[str, Offer], Encoded] = {}  # answers to tools/list, by the version of the protocol
        self.tools = self.offers.tools
        self._log_name = log_name
        super().__init__(
            name,
            version=__version__,
            instructions=instructions,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            cache_hints={"tools/list": CacheHint(ttl_ms=_TOOL_LIST_MILLISECONDS)},
            get_tool_input_schema={tool.name: input_schema(tool.arguments) for tool in self.tools.values()}.get,
        )
        self.middleware.clear()  # OpenTelemetry is on by default and costs 13 to 38 µs a message

    def plain_call(self, method: str, params: Mapping[str, Any] | None) -> PlainCall | None:
        """Return the plain call that a request is, or None for what the SDK must answer."""
        if method != "tools/call" or params is None or not params.keys() <= {"name", "arguments", "_meta"}:
            return None
        name, arguments = params.get("name"), params.get("arguments", {})
        tool = self.tools.get(name) if isinstance(name, str) else None
        stateless = is_plain_and_stateless(params)
        if tool is None or stateless is None or not isinstance(arguments, dict):
            return None
        return PlainCall(tool, arguments, stateless)

    async def run_plain(self, call: PlainCall, principal: Principal, progress: Progress) -> dict[str, Any]:
        """Run a plain call and return its result."""
        result = await self.run_tool(call.tool, principal, progress, call.arguments)
        if not call.stateless:
            return {"isError": False, **result}
        meta = {**result.get("_meta", {}), types.SERVER_INFO_META_KEY: self.server_info_stamp}
        return {"resultType": "complete", "isError": False, **result, "_meta": meta}

    async def _list_tools(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        if params is not None and params.cursor is not None:
            raise MCPError(code=types.INVALID_PARAMS, message="There is no such cursor; all tools are in one list.")
        return types.ListToolsResult.model_validate({"tools": self.offers.tool_list(_principal(context))})

    async def _call_tool(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool, principal = self.tools.get(params.name), _principal(context)
        if tool is None:
            known = ", ".join(entry["name"] for entry in self.offers.tool_list(principal))
            raise MCPError(code=types.INVALID_PARAMS, message=f"There is no tool {params.name!r}; there are: {known}.")
        answer = await self.run_tool(tool, principal, context.session.report_progress, params.arguments)
        return types.CallToolResult.model_validate(answer)

    async def run_tool(
        self, tool: Tool[Any], principal: Principal, progress: Progress, arguments: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Run a tool and return the result of ``tools/call`` as it is for both eras."""
        with self.in_flight:
            try:
                await reserve(0)
            except ToolError as busy:
                return failure(busy)
            if progress is no_progress:
                return await run_tool(tool, Call(principal), arguments, self._log_name)
            async with Heartbeat(tool, arguments, progress) as heartbeat:
                return await run_tool(tool, Call(principal, heartbeat.report), arguments, self._log_name)


def _principal(context: Context) -> Principal:
    """Return who calls: every request is served with its caller in the place of the SDK's lifespan."""
    if not isinstance(context.lifespan_context, Principal):
        raise TypeError("a request reached the server without a principal")
    return context.lifespan_context


async def serve_channel(
    server: McpServer, channel: MeteredChannel, principal: Principal, quota: RequestQuota | None = None
) -> None:
    """Serve one connection, whose requests all come from this principal, until it ends; the caller closes the channel.

    ``quota`` bounds the bytes of the requests being answered; None means that of one client.
    """

    async def serve(incoming: Incoming) -> dict[str, Any] | Encoded:
        if incoming.request_id is None:
            # A handler that asked the client would wait for an answer that is read only after it.
            await runner.on_notify(_DispatchContext(incoming, may_ask=False), incoming.method, incoming.params)
            return {}
        return await _answer(server, runner, outbound, incoming)

    rpc = RpcConnection(
        channel,
        serve,
        sequential=frozenset({"initialize"}),
        quota=quota,
        metered=(channel, server.load, principal.subject),
    )
    back_channel = _BackChannel(rpc)
    outbound = NotifyOnlyOutbound(back_channel)
    handshake = Connection.for_loop(back_channel)
    runner = ServerRunner(server, handshake, principal)
    try:
        await rpc.run()
    finally:
        await aclose_shielded(handshake)


async def answer_alone(
    server: McpServer,
    principal: Principal,
    incoming: Incoming,
    version: str,
    capabilities: dict[str, dict[str, Any]] | None = None,
) -> dict[str, Any] | Encoded:
    """Answer a request that comes without a connection.

    ``version`` and the client's ``capabilities`` were agreed on in its handshake, if it had one.

    Raises:
        RemoteError: what to answer in place of a result.
    """
    if (call := server.plain_call(incoming.method, incoming.params)) is not None:
        return await server.run_plain(call, principal, incoming.progress)  # a connection takes 30 µs
    back_channel = _BackChannel(incoming.connection)
    connection = Connection.from_envelope(version, None, capabilities, outbound=back_channel)
    try:
        runner = ServerRunner(server, connection, principal)
        return await _answer(server, runner, NotifyOnlyOutbound(back_channel), incoming)
    finally:
        await aclose_shielded(connection)


async def _answer(
    server: McpServer, runner: ServerRunner[Any], outbound: NotifyOnlyOutbound, incoming: Incoming
) -> dict[str, Any] | Encoded:
    method, params, principal = incoming.method, incoming.params, runner.lifespan_state
    is_ready = runner.connection.initialize_accepted
    call = server.plain_call(method, params)
    if call is not None and (call.stateless or is_ready):
        return await server.run_plain(call, principal, incoming.progress)
    try:
        stateless = is_plain_and_stateless(params)
        if method != "tools/list" or stateless is None or "cursor" in (params or {}) or not (stateless or is_ready):
            return await _answer_by_sdk(server, runner, outbound, incoming)
        version = LATEST_MODERN_VERSION if stateless else runner.connection.protocol_version
        key = version, server.offers.offer(principal)
        if (listing := server.listings.get(key)) is None:
            listing = Encoded(to_json(await _answer_by_sdk(server, runner, outbound, incoming)).decode())
            server.listings[key] = listing
        return listing
    except MCPError as error:
        raise RemoteError(error.error.code, error.error.message, error.error.data) from None
    except ValidationError:
        raise RemoteError(INVALID_PARAMS, "Invalid request parameters", "") from None


async def _answer_by_sdk(
    server: McpServer, runner: ServerRunner[Any], outbound: NotifyOnlyOutbound, incoming: Incoming
) -> dict[str, Any]:
    method, params = incoming.method, incoming.params
    if method == "initialize" or not is_stateless(params):
        return await runner.on_request(_DispatchContext(incoming), method, params)
    route = classify_inbound_request({"method": method, "params": params})
    if isinstance(route, InboundLadderRejection):
        raise MCPError(code=route.code, message=route.message, data=route.data)
    connection = Connection.from_envelope(
        route.protocol_version, route.client_info, route.client_capabilities, outbound=outbound
    )
    context = _DispatchContext(incoming, may_ask=False)  # this era asks by its answers
    return await serve_one(server, context, method, params, connection=connection, lifespan_state=runner.lifespan_state)


def is_stateless(params: Mapping[str, Any] | None) -> bool:
    """Return whether a request is of the era without a handshake."""
    meta = (params or {}).get("_meta")
    return isinstance(meta, Mapping) and types.PROTOCOL_VERSION_META_KEY in meta


def is_plain_and_stateless(params: Mapping[str, Any] | None) -> bool | None:
    """Return `is_stateless` for a request whose ``_meta`` is certainly good; None when the SDK has to look at it."""
    meta = (params or {}).get("_meta", {})
    if not isinstance(meta, dict):
        return None
    envelope = dict(meta)
    if not is_id(envelope.pop("progressToken", 0)):
        return None
    if not envelope:
        return False
    if not envelope.keys() <= _ENVELOPE:
        return None
    encoded = to_json(envelope)
    return True if len(encoded) <= _MAX_ENVELOPE_BYTES and _is_valid_envelope(encoded) else None


@lru_cache(maxsize=64)  # a client sends the same with every request
def _is_valid_envelope(encoded: bytes) -> bool:
    meta = from_json(encoded)
    if meta.get(types.PROTOCOL_VERSION_META_KEY) != LATEST_MODERN_VERSION:
        return False
    try:
        methods.validate_client_request("tools/list", LATEST_MODERN_VERSION, {"_meta": meta})
    except ValidationError:
        return False
    return True


class _BackChannel:
    """The way back to the client, as the SDK expects it."""

    def __init__(self, client: OtherSide, may_ask: bool = True) -> None:
        self._client = client
        self._may_ask = may_ask

    @property
    def can_send_request(self) -> bool:
        return self._may_ask and self._client.takes_requests

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        if not self.can_send_request:
            raise NoBackChannelError(method)
        seconds = (opts or {}).get("timeout")
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.request(method, None if params is None else dict(params))
        except RemoteError as error:
            raise MCPError(error.code, error.message, error.data) from None
        except ConnectionLost as error:
            raise MCPError(types.CONNECTION_CLOSED, str(error)) from None
        except TimeoutError:
            raise MCPError(types.REQUEST_TIMEOUT, f"The client did not answer {method} within {seconds} s.") from None
        result: dict[str, Any] = response.result  # the SDK validates it
        return result

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        await self._client.notify(method, None if params is None else dict(params))


class _DispatchContext(_BackChannel):
    """A message from the client, as the SDK expects it."""

    message_metadata = None

    def __init__(self, incoming: Incoming, may_ask: bool = True) -> None:
        super().__init__(incoming.connection, may_ask)
        self.request_id = incoming.request_id
        self.progress = incoming.progress

    @property
    def transport(self) -> TransportContext:
        return TransportContext(kind="channel", can_send_request=self.can_send_request)

    @property
    def cancel_requested(self) -> anyio.Event:
        """Never set: a cancelled request's task is cancelled instead."""
        return anyio.Event()
