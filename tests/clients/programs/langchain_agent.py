"""An agent of LangChain with langchain-mcp-adapters, as its documentation shows it."""

from __future__ import annotations

import asyncio
import os

from langchain.agents import create_agent
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_openai import ChatOpenAI

HEADERS = {"Authorization": f"Bearer {os.environ['HUB_TOKEN']}"}


async def main() -> None:
    client = MultiServerMCPClient(
        {"codebuddy": {"transport": "streamable_http", "url": os.environ["HUB_URL"], "headers": HEADERS}}
    )
    model = ChatOpenAI(model="scripted", base_url=f"{os.environ['MODEL_URL']}/v1", api_key="none")
    agent = create_agent(model, await client.get_tools())
    await agent.ainvoke({"messages": [{"role": "user", "content": "Do what the script says."}]})


asyncio.run(main())
