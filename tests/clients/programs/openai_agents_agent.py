"""An agent of the OpenAI Agents SDK with an MCP server, as its documentation shows it.

The argument is the time-out of the MCP session in seconds; without it, the SDK's default holds.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from agents import Agent, Runner, set_tracing_disabled
from agents.mcp import MCPServerStreamableHttp
from agents.models.openai_chatcompletions import OpenAIChatCompletionsModel
from openai import AsyncOpenAI

HEADERS = {"Authorization": f"Bearer {os.environ['HUB_TOKEN']}"}


async def main() -> None:
    set_tracing_disabled(True)
    model = AsyncOpenAI(base_url=f"{os.environ['MODEL_URL']}/v1", api_key="none")
    options: dict[str, Any] = {"client_session_timeout_seconds": float(sys.argv[1])} if sys.argv[1:] else {}
    async with MCPServerStreamableHttp({"url": os.environ["HUB_URL"], "headers": HEADERS}, **options) as server:
        agent = Agent("agent", model=OpenAIChatCompletionsModel("scripted", model), mcp_servers=[server])
        await Runner.run(agent, "Do what the script says.")


asyncio.run(main())
