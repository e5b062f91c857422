#!/usr/bin/env bash
# fastmcp 4.2.3 (Python): Client.call_tool(...).data is built from the tool's outputSchema. Fields of structuredContent
# that the schema does not name are silently missing in it, in nested objects too, although JSON Schema allows them
# unless the schema says additionalProperties: false. They are there if that object says additionalProperties: true, if
# there is no outputSchema, and in .structured_content always. What to do in a server: name every field, or say
# additionalProperties: true; in a client: read .structured_content.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check fastmcp==4.2.3 mcp==2.3.0
cd "$work"
cat > server.py <<'END'
import asyncio

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import CallToolResult, ListToolsResult

FILE = {"type": "object", "properties": {"path": {"type": "string"}}}
SHUT = {"type": "object", "properties": {"size": {"type": "integer"}, "file": FILE}}
OPEN = SHUT | {"additionalProperties": True, "properties": {"size": {"type": "integer"},
                                                            "file": FILE | {"additionalProperties": True}}}
ANSWER = {"size": 1, "note": "cut", "file": {"path": "a.txt", "lines": 3}}


async def tools(*_):
    made = [{"name": name, "inputSchema": {"type": "object"}, "outputSchema": schema}
            for name, schema in {"unsaid": SHUT, "open": OPEN, "none": None}.items()]
    return ListToolsResult.model_validate({"tools": made})


async def call(*_):
    return CallToolResult.model_validate({"content": [], "structuredContent": ANSWER})


async def main():
    server = Server("demo", on_list_tools=tools, on_call_tool=call)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


asyncio.run(main())
END
cat > client.py <<'END'
import asyncio
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport


async def main():
    async with Client(StdioTransport(sys.executable, ["server.py"])) as client:
        for name in ("unsaid", "open", "none"):
            answer = await client.call_tool(name, {})
            print(f"{name}: {answer.data}")
            print(f"{name}, as sent: {answer.structured_content}")


asyncio.run(main())
END
seen=$(venv/bin/python client.py 2> errors || { cat errors >&2; exit 1; })
echo "$seen"
[ "$(grep -c '^[a-z]*, as sent: .*note.*lines' <<< "$seen")" = 3 ]
grep -q '^unsaid: .*size=1' <<< "$seen"
[ "$(grep -c '^unsaid: .*\(note\|lines\)' <<< "$seen")" = 0 ]
for name in open none; do
    grep "^$name: " <<< "$seen" | grep note | grep -q lines
done
