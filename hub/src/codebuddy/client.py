"""``codebuddy call``: calls one tool of the hub as an MCP client, from inside a container.

In the hub's container it uses the local socket, whose callers are trusted; in a spoke's container it uses the hub's
listener on the project's network, with the spoke's own token.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.exceptions import InvalidStatus, WebSocketException

from codebuddy.bridge import HUB_SOCKET
from codebuddy.configuration import SECRETS
from codebuddy.text_safety import json_text, one_line
from codebuddy.wire.calls import error_details
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES, Channel, ConnectionLost, RemoteError, RpcConnection
from codebuddy.wire.link import initialize, open_channel
from codebuddy.wire.stdio import LineChannel


async def call(tool: str, raw_arguments: str) -> int:
    """Call a tool and print its structured answer as JSON, or the code and message of its failure.

    Returns:
        The exit status: 0, 1 when the tool failed, 2 when the call could not be made.
    """
    try:
        arguments = json.loads(raw_arguments)
    except ValueError as error:
        return _cannot(f"the arguments are not JSON: {error}")
    if not isinstance(arguments, dict):
        return _cannot('the arguments are a JSON object, e.g. {"path": "project-a/README.md"}')
    try:
        async with _channel() as channel:
            result = await _call(channel, tool, arguments)
    except RemoteError as error:
        return _cannot(error.message)
    except ConnectionLost:
        return _cannot("the hub ended the connection before it answered.")
    except TimeoutError:
        return _cannot("the hub did not answer in time.")
    except (OSError, InvalidStatus, WebSocketException) as error:
        return _cannot(str(error))
    failed = bool(result.get("isError"))
    print(json_text(error_details(result) if failed else result.get("structuredContent")))
    return 1 if failed else 0


async def _call(channel: Channel, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    rpc = RpcConnection(channel)
    running = asyncio.create_task(rpc.run())
    try:
        await initialize(rpc, "codebuddy call")
        result = (await rpc.request("tools/call", {"name": tool, "arguments": arguments})).result
        return result if isinstance(result, dict) else {}
    finally:
        running.cancel()
        await asyncio.wait([running])


@asynccontextmanager
async def _channel() -> AsyncIterator[Channel]:
    if "PROJECT_ID" not in os.environ:
        reader, writer = await asyncio.open_unix_connection(HUB_SOCKET, limit=MAX_MESSAGE_BYTES)
        try:
            yield LineChannel(reader, writer)
        finally:
            writer.close()
        return
    async with open_channel(os.environ["CODEBUDDY_URL"], SECRETS / "token") as channel:
        yield channel


def _cannot(reason: str) -> int:
    print(f"codebuddy call: {one_line(reason)}", file=sys.stderr)
    return 2
