"""An agent of Pydantic AI with an MCP toolset, as its documentation shows it."""

from __future__ import annotations

import asyncio
import os

from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

HEADERS = {"Authorization": f"Bearer {os.environ['HUB_TOKEN']}"}


async def main() -> None:
    provider = OpenAIProvider(base_url=f"{os.environ['MODEL_URL']}/v1", api_key="none")
    toolset = MCPToolset(os.environ["HUB_URL"], headers=HEADERS)
    agent = Agent(OpenAIChatModel("scripted", provider=provider), toolsets=[toolset])
    async with agent:
        await agent.run("Do what the script says.")


asyncio.run(main())
