"""The Python SDK 2.x as a client, in the protocol era that the argument names."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import httpx2
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from script_driver import HEADERS, HUB, PROCESS, drive, plain


def _process() -> StdioServerParameters | None:
    if not PROCESS:
        return None
    return StdioServerParameters(command=PROCESS[0], args=PROCESS[1:], env=dict(os.environ))


async def main() -> None:
    # The SDK's own time-outs, which a client of one's own does not have.
    timeout = httpx2.Timeout(30, read=300)
    async with (
        httpx2.AsyncClient(headers=HEADERS, timeout=timeout) as http,
        Client(_process() or streamable_http_client(HUB, http_client=http), mode=sys.argv[1]) as client,
    ):

        async def call(tool: str, arguments: dict[str, Any], note: Any) -> Any:
            return plain(await client.call_tool(tool, arguments, progress_callback=note))

        await drive([tool.name for tool in (await client.list_tools()).tools], call)


asyncio.run(main())
