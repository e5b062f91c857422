#!/usr/bin/env bash
# mcp 2.3.0 (Python SDK): over Streamable HTTP the client refuses a server-sent event of more than 1 MiB: "SSE stream
# failed: Server-sent event exceeded the 1048576 byte limit." (code -32000). As application/json the same result of
# 1.5 MiB arrives. So a tool works or fails by how the server answers: this SDK's server sends events to a client of the
# initialize handshake, and to one of the newer protocol once the tool reports progress, but JSON otherwise.
# Client(URL) has no option for the limit; streamable_http_client(URL, max_sse_event_size=None) has. What to do in a
# server: answer with application/json what is long, or keep it below 1 MiB of JSON.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check mcp==2.3.0
cat > "$work/show.py" <<'END'
import asyncio
import logging
import socket

import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer

MIB = 1024 * 1024


async def big(size: int, progress: bool, context: Context) -> str:
    if progress:
        await context.report_progress(1, 2)
    return "x" * size


async def length(client, size, progress):
    async def heard(*_):
        pass

    try:
        async with client:
            answer = await client.call_tool(
                "big", {"size": size, "progress": progress}, progress_callback=heard if progress else None
            )
            return len(answer.content[0].text)
    except BaseExceptionGroup as group:
        error = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return f"{type(error).__name__}: {error}"


async def main():
    logging.disable()
    refused = "MCPError: SSE stream failed: Server-sent event exceeded the 1048576 byte limit."
    for json in (False, True):
        demo = MCPServer("demo")
        demo.tool(structured_output=False)(big)
        app = demo.streamable_http_app(json_response=json)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = "http://127.0.0.1:%d/mcp" % listener.getsockname()[1]
            server = uvicorn.Server(uvicorn.Config(app))
            served = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:
                await asyncio.sleep(0.01)
            cases = {
                "initialize, 0.9 MiB": (Client(url, mode="legacy"), 9 * MIB // 10, False),
                "initialize, 1.5 MiB": (Client(url, mode="legacy"), 3 * MIB // 2, False),
                "newer, 1.5 MiB": (Client(url), 3 * MIB // 2, False),
                "newer, 1.5 MiB, progress": (Client(url), 3 * MIB // 2, True),
                "newer, 1.5 MiB, progress, no limit": (
                    Client(streamable_http_client(url, max_sse_event_size=None)), 3 * MIB // 2, True
                ),
            }
            for name, (client, size, progress) in cases.items():
                seen = await length(client, size, progress)
                print(f"json_response={json}, {name}: {seen}")
                events = not json and name in ("initialize, 1.5 MiB", "newer, 1.5 MiB, progress")
                assert seen == (refused if events else size)
            server.should_exit = True
            await served


asyncio.run(main())
END
"$work/venv/bin/python" "$work/show.py"
