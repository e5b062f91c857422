"""A command-line client, started anew for each call: mcporter, the MCP Inspector or mcpc. The argument says which."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from script_driver import HEADERS, HUB, drive

AUTHORIZATION = f"Authorization: {HEADERS['Authorization']}"


async def run(*words: str) -> str:
    """Run a command; return what it prints. If this is cancelled, the command is interrupted, as by Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        printed, complained = await process.communicate()
    except asyncio.CancelledError:
        process.send_signal(signal.SIGINT)
        await process.wait()
        raise
    return printed.decode() or complained.decode()


def _write_mcporter_configuration() -> None:
    Path("config").mkdir()
    server = {"baseUrl": HUB, "headers": HEADERS}
    Path("config/mcporter.json").write_text(json.dumps({"mcpServers": {"codebuddy": server}, "imports": []}))


class Mcporter:
    async def tools(self) -> list[str]:
        _write_mcporter_configuration()
        listed = json.loads(await run("mcporter", "list", "codebuddy", "--json"))
        return [tool["name"] for tool in listed["tools"]]

    async def call(self, tool: str, arguments: dict[str, Any], _: Any) -> Any:
        words = ("--args", json.dumps(arguments), "--output", "json")
        return await run("mcporter", "call", f"codebuddy.{tool}", *words)


class Inspector:
    async def tools(self) -> list[str]:
        listed = json.loads(await self._ask("tools/list"))
        return [tool["name"] for tool in listed["tools"]]

    async def call(self, tool: str, arguments: dict[str, Any], _: Any) -> Any:
        pairs = [
            f"{name}={json.dumps(value) if not isinstance(value, str) else value}" for name, value in arguments.items()
        ]
        return await self._ask(
            "tools/call", "--tool-name", tool, *(word for pair in pairs for word in ("--tool-arg", pair))
        )

    async def _ask(self, method: str, *words: str) -> str:
        server = (HUB, "--transport", "http", "--header", AUTHORIZATION)
        return await run("mcp-inspector", "--cli", *server, "--method", method, *words)


class Mcpc:
    async def tools(self) -> list[str]:
        await run("mcpc", "connect", HUB, "@test", "--no-profile", "--header", AUTHORIZATION)
        return [tool["name"] for tool in json.loads(await run("mcpc", "--json", "@test", "tools-list"))]

    async def call(self, tool: str, arguments: dict[str, Any], _: Any) -> Any:
        return await run("mcpc", "--json", "@test", "tools-call", tool, json.dumps(arguments))


async def main() -> None:
    # The interrupt that ends a call ends this program's children only.
    client = {"mcporter": Mcporter, "mcp-inspector": Inspector, "mcpc": Mcpc}[sys.argv[1]]()
    os.environ["PATH"] = f"{os.environ['SDK']}/node_modules/.bin:{os.environ['PATH']}"
    await drive(await client.tools(), client.call)


asyncio.run(main())
