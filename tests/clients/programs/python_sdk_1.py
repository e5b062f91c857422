"""The Python SDK 1.x as a client."""

from __future__ import annotations

import asyncio
from typing import Any

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from script_driver import HEADERS, HUB, drive, plain


async def main() -> None:
    async with streamablehttp_client(HUB, HEADERS) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()

        async def call(tool: str, arguments: dict[str, Any], note: Any) -> Any:
            return plain(await session.call_tool(tool, arguments, progress_callback=note))

        await drive([tool.name for tool in (await session.list_tools()).tools], call)


asyncio.run(main())
