#!/usr/bin/env bash
# openai-agents 0.24.0: MCPServerStdio and MCPServerStreamableHttp wait five seconds for the answer to a tool call unless
# client_session_timeout_seconds says otherwise, whatever progress the server reports meanwhile. The agent's model is
# then told of an error, and the server goes on with the call. What to do: set client_session_timeout_seconds.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check openai-agents==0.24.0 mcp==2.3.0
cd "$work"
cat > server.py <<'END'
import anyio
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("demo")


@server.tool()
async def slow(seconds: int, context: Context) -> str:
    for second in range(seconds):
        await context.report_progress(second + 1, seconds)
        await anyio.sleep(1)
    return "done"


server.run("stdio")
END
cat > client.py <<'END'
import asyncio
import sys

from agents.mcp import MCPServerStdio


async def main() -> None:
    for options in ({}, {"client_session_timeout_seconds": 30}):
        async with MCPServerStdio({"command": sys.executable, "args": ["server.py"]}, **options) as server:
            try:
                answer = (await server.call_tool("slow", {"seconds": 7})).content[0].text
            except Exception as error:
                answer = f"{type(error).__name__}: {error}"
            print(f"{options or 'as it is'}: {answer}")


asyncio.run(main())
END
seen=$(venv/bin/python client.py 2> errors || { cat errors; exit 1; })
echo "$seen"
grep -q "^as it is: .*[Tt]imed out" <<< "$seen"
grep -q "^{'client_session_timeout_seconds': 30}: done" <<< "$seen"
