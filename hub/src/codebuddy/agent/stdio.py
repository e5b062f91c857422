"""``codebuddy spoke --stdio``: MCP on standard input and output for the one project of this container.

If the container's agent runs, calls go to it through its local socket, so its language servers answer. If none runs
(the image used alone), this process runs the language servers itself until its input ends. Either way the SDK serves
the client in this process, in both protocol eras, and costs the agent nothing.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from codebuddy.agent.app import WORKSPACE, Agent, local_principal
from codebuddy.agent.preparation import prepare
from codebuddy.configuration import CONFIG_PATH, SpokeConfiguration
from codebuddy.schemas.spoke_tools import CODE_ARGUMENTS
from codebuddy.tool import Arguments, Call, Result, Tool, ToolError
from codebuddy.wire.calls import BadAnswer, call_tool
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES, ConnectionLost, RemoteError, RpcConnection
from codebuddy.wire.link import initialize
from codebuddy.wire.mcp_server import McpServer, serve_channel
from codebuddy.wire.stdio import AGENT_SOCKET, LineChannel, standard_streams

INSTRUCTIONS = (
    """\
Every path begins with the project's id: {project}/src/utils.ts. An answer with complete=false may lack something; its
reason says why.
"""
    + CODE_ARGUMENTS
)

log = logging.getLogger(__name__)


async def serve_stdio(
    config_path: Path = CONFIG_PATH, workspace: Path = WORKSPACE, socket_path: Path = AGENT_SOCKET
) -> int:
    """Serve until standard input ends, or the agent does.

    Returns:
        The exit status: 0, or 1 with a sentence on standard error.
    """
    try:
        configuration = SpokeConfiguration.load(config_path)
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not one that the provisioning wrote"
        return _failed(f"{config_path} cannot be used ({why}); it declares the project and its language servers.")
    agent = Agent(configuration, workspace)
    wire = await _connect(socket_path)
    async with standard_streams(MAX_MESSAGE_BYTES) as (reader, writer):
        channel = LineChannel(reader, writer)
        if wire is None:
            await prepare(workspace)
            async with agent.run_tools.running(), _background(agent.servers.run()):
                await _serve(agent.tools, configuration, channel)
            return 0
        return await _serve_through(wire, agent.tools, configuration, channel)


async def _serve(tools: list[Tool[Any]], configuration: SpokeConfiguration, channel: LineChannel) -> None:
    project, offered = configuration.project, [tool for tool in tools if not tool.hub_only]
    instructions = INSTRUCTIONS.format(project=project)
    open_projects = frozenset[str]() if configuration.egress == "none" else frozenset({project})
    server = McpServer(f"codebuddy-{project}", offered, instructions, "its standard error", open_projects)
    await serve_channel(server, channel, local_principal(project))


async def _serve_through(
    wire: RpcConnection, tools: list[Tool[Any]], configuration: SpokeConfiguration, channel: LineChannel
) -> int:
    """Serve with the agent's answers until the agent goes away; a client reaches the next agent by a new connection."""
    async with _background(wire.run()) as reading:
        try:
            await initialize(wire, "codebuddy spoke --stdio")
        except (RemoteError, ConnectionLost, TimeoutError):
            return _failed("the agent of this container does not answer; look at its log and try again.")
        forwarding = [_forwarded(tool, wire) for tool in tools]
        async with _background(_serve(forwarding, configuration, channel)) as serving:
            await asyncio.wait([reading, serving], return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
                return 0
            channel.end_input()  # pending calls are still answered with the reason
            await asyncio.wait([serving])
    return _failed("the agent of this container went away; connect again when it is back.")


def _forwarded(tool: Tool[Any], wire: RpcConnection) -> Tool[Any]:
    async def forward(call: Call, arguments: Arguments) -> Result:
        sent = arguments.model_dump(mode="json", exclude_unset=True)
        try:
            return await call_tool(wire, tool.name, sent, tool.result, call.progress)
        except ConnectionLost:
            raise ToolError("spoke_offline", "The agent of this container went away; connect again.") from None
        except (BadAnswer, RemoteError) as error:
            log.warning("%s: %s", tool.name, error)
            sentence = (
                f"The agent of this container gave an answer to {tool.name} that is not valid here; run: make up."
            )
            raise ToolError("bad_answer", sentence) from None

    return tool.bind(forward)


async def _connect(socket_path: Path) -> RpcConnection | None:
    """Connect to the agent; None if none runs here."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path, limit=MAX_MESSAGE_BYTES)
    except OSError:
        return None
    return RpcConnection(LineChannel(reader, writer))


@asynccontextmanager
async def _background(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run a coroutine beside the body, and cancel it at the end of the body."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def _failed(why: str) -> int:
    print(f"codebuddy spoke --stdio: {why}", file=sys.stderr)
    return 1
