"""FastMCP as a client."""

from __future__ import annotations

import asyncio
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from script_driver import HEADERS, HUB, drive, plain


async def main() -> None:
    async with Client(StreamableHttpTransport(HUB, HEADERS)) as client:

        async def call(tool: str, arguments: dict[str, Any], note: Any) -> Any:
            return plain(await client.call_tool_mcp(tool, arguments, progress_handler=note))

        await drive([tool.name for tool in await client.list_tools()], call)


asyncio.run(main())
