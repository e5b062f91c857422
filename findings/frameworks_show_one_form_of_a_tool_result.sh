#!/usr/bin/env bash
# An MCP tool's result may have a text and structuredContent. What a framework shows its model of it differs, with the
# same server: pydantic-ai 2.68.0 shows the structuredContent alone, langchain-mcp-adapters 0.3.2 and openai-agents
# 0.24.0 the text alone. So a server cannot say one thing in the text and another in structuredContent: each form has to
# be whole. (Seen likewise with agents: Claude Code 2.1 and Codex 0.171 show structuredContent alone, Gemini CLI 0.61
# and opencode 1.18 the text alone, Copilot CLI 1.0.102 and Cline 3.0.65 both.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in pydantic-ai-slim[mcp]==2.68.0 langchain-mcp-adapters==0.3.2 openai-agents==0.24.0; do
    name=${package%%==*}
    python3 -m venv "$work/${name%[*}"
    "$work/${name%[*}/bin/pip" install --quiet --disable-pip-version-check "$package"
done
cd "$work"
cat > server.py <<'END'
import asyncio

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
import mcp.types as types

TOOL = {"name": "ask", "description": "Ask.", "inputSchema": {"type": "object"}}
ANSWER = {"content": [{"type": "text", "text": "words"}], "structuredContent": {"form": "json"}, "isError": False}


async def tools(*_):
    return types.ListToolsResult.model_validate({"tools": [TOOL]})


async def call(*_):
    return types.CallToolResult.model_validate(ANSWER)


async def main():
    try:
        server = Server("demo", on_list_tools=tools, on_call_tool=call)  # SDK 2
    except TypeError:
        server = Server("demo")  # SDK 1
        server.list_tools()(tools)
        server.call_tool(validate_input=False)(call)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


asyncio.run(main())
END
cat > client.py <<'END'
import asyncio
import sys

SERVER = [sys.executable, ["server.py"]]


async def pydantic_ai():
    from fastmcp.client.transports import StdioTransport
    from pydantic_ai import Agent
    from pydantic_ai.mcp import MCPToolset
    from pydantic_ai.messages import ToolReturnPart
    from pydantic_ai.models.test import TestModel

    async with Agent(TestModel(), toolsets=[MCPToolset(StdioTransport(*SERVER))]) as agent:
        messages = (await agent.run("ask")).all_messages()
    return [part.model_response_str() for one in messages for part in one.parts if isinstance(part, ToolReturnPart)]


async def langchain():
    from langchain_mcp_adapters.client import MultiServerMCPClient

    server = {"transport": "stdio", "command": SERVER[0], "args": SERVER[1]}
    (tool,) = await MultiServerMCPClient({"demo": server}).get_tools()
    return (await tool.ainvoke({"type": "tool_call", "id": "1", "name": "ask", "args": {}})).content


async def openai_agents():
    from agents.mcp import MCPServerStdio, MCPUtil

    async with MCPServerStdio({"command": SERVER[0], "args": SERVER[1]}) as server:
        (tool,) = await server.list_tools()
        return await MCPUtil.invoke_mcp_tool(server, tool, None, "{}")


print(sys.argv[1], asyncio.run({"pydantic-ai-slim": pydantic_ai, "langchain-mcp-adapters": langchain,
                                "openai-agents": openai_agents}[sys.argv[1]]()))
END
seen=$(for one in pydantic-ai-slim langchain-mcp-adapters openai-agents; do
    "$one/bin/python" client.py "$one" 2> errors || { cat errors >&2; exit 1; }
done)
echo "$seen"
grep -q '^pydantic-ai-slim .*"form":"json"' <<< "$seen"
grep -q '^langchain-mcp-adapters .*words' <<< "$seen"
grep -q '^openai-agents .*words' <<< "$seen"
[ "$(grep -c words <<< "$seen")" = 2 ] && [ "$(grep -c json <<< "$seen")" = 1 ]
