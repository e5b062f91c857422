"""``codebuddy call``: one tool call as an MCP client, from inside a container.

In the hub's container it goes through the local socket, as the trusted caller that it is; in a spoke through the hub's
door on the project's network, with the spoke's own token.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import mcp_types as types
from mcp import ClientSession
from mcp.shared.exceptions import MCPError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from codebuddy.configuration import SECRETS
from codebuddy.protocol.channel import MAX_MESSAGE_BYTES, Channel
from codebuddy.protocol.stdio import HUB_SOCKET, LineChannel
from codebuddy.protocol.streams import message_streams
from codebuddy.protocol.websocket import SUBPROTOCOL, DialledChannel

__all__ = ["call"]


async def call(tool: str, raw_arguments: str) -> int:
    """Call a tool, print its structured answer as JSON, and give the exit status: 0, 1 for a failure of the tool, 2 for
    a call that could not be made.
    """
    try:
        arguments = json.loads(raw_arguments)
    except ValueError as error:
        return _cannot(f"the arguments are not JSON: {error}")
    if not isinstance(arguments, dict):
        return _cannot('the arguments are a JSON object, e.g. {"path": "project-a/README.md"}')
    try:
        async with _channel() as channel, message_streams(channel) as streams, ClientSession(*streams) as session:
            await session.initialize()
            result = await session.send_request(
                types.CallToolRequest(params=types.CallToolRequestParams(name=tool, arguments=arguments)),
                types.CallToolResult,
            )
    except* (OSError, MCPError, InvalidStatus, WebSocketException) as group:
        return_code = _cannot("; ".join(str(error) for error in group.exceptions))
    else:
        print(json.dumps(result.structured_content, ensure_ascii=False, indent=2))
        return_code = 1 if result.is_error else 0
    return return_code


@asynccontextmanager
async def _channel() -> AsyncIterator[Channel]:
    if "PROJECT_ID" not in os.environ:
        reader, writer = await asyncio.open_unix_connection(HUB_SOCKET, limit=MAX_MESSAGE_BYTES)
        try:
            yield LineChannel(reader, writer)
        finally:
            writer.close()
        return
    token = (SECRETS / "token").read_text().strip()
    async with connect(
        os.environ["CODEBUDDY_URL"],
        additional_headers={"Authorization": f"Bearer {token}"},
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        max_size=MAX_MESSAGE_BYTES,
        compression=None,
        proxy=None,
    ) as connection:
        yield DialledChannel(connection)


def _cannot(why: str) -> int:
    print(f"codebuddy call: {why}", file=sys.stderr)
    return 2
