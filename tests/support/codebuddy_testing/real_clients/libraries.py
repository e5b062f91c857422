"""SDKs, frameworks and command-line clients: each is driven by a program of tests/clients/programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from codebuddy_testing.deployment import ROOT
from codebuddy_testing.real_clients.client import Client, Command, Deviation, Place, node_path
from codebuddy_testing.real_clients.packages import install

PROGRAMS = ROOT / "tests/clients/programs"


def program(name: str, *arguments: str) -> Callable[[Client, Place], Command]:
    """Return how a program is started, with what its client was installed into."""

    def start(client: Client, place: Place) -> Command:
        environment = {
            "HUB_URL": place.hub,
            "HUB_TOKEN": place.token,
            "HUB_PROCESS": json.dumps(place.process if client.over_stdio else []),
            "MODEL_URL": place.model,
            "PATH": node_path(),
            "SDK": str(install(client.package)),
        }
        if name.endswith(".mjs"):
            interpreter = "node"
        elif (python := install(client.package) / "bin/python").exists():
            interpreter = str(python)
        else:
            interpreter = sys.executable
        return Command([interpreter, str(PROGRAMS / name), *arguments], environment)

    return start


def _library(name: str, package: str, start: Callable[[Client, Place], Command], **options: Any) -> Client:
    return Client(name, package, start, prefixed=False, **options)


def _sdk(name: str, package: str, start: Callable[[Client, Place], Command], **options: Any) -> Client:
    return _library(name, package, start, progress=True, cancels=True, **options)


SDKS = [
    _sdk("TypeScript SDK 1", "typescript-sdk-1", program("typescript_sdk_1.mjs"), in_ci=True),
    _sdk("TypeScript SDK 1, stdio", "typescript-sdk-1", program("typescript_sdk_1.mjs"), over_stdio=True),
    _sdk("TypeScript SDK 2, 2026-07-28", "typescript-sdk-2", program("typescript_sdk_2.mjs", "auto")),
    _sdk("TypeScript SDK 2, handshake", "typescript-sdk-2", program("typescript_sdk_2.mjs", "legacy")),
    _sdk("Python SDK 1", "python-sdk-1", program("python_sdk_1.py"), in_ci=True),
    _sdk("Python SDK 2, 2026-07-28", "python-sdk-2", program("python_sdk_2.py", "auto"), in_ci=True),
    _sdk("Python SDK 2, handshake", "python-sdk-2", program("python_sdk_2.py", "legacy")),
    _sdk("Python SDK 2, stdio", "python-sdk-2", program("python_sdk_2.py", "auto"), over_stdio=True),
    _sdk("FastMCP", "fastmcp", program("fastmcp_client.py")),
]

FRAMEWORKS = [
    _library("LangChain", "langchain", program("langchain_agent.py")),
    _library("Pydantic AI", "pydantic-ai", program("pydantic_ai_agent.py")),
    _library("OpenAI Agents", "openai-agents", program("openai_agents_agent.py", "60")),
    _library(
        "OpenAI Agents, as it is",
        "openai-agents",
        program("openai_agents_agent.py"),
        deviations={
            "silent": Deviation(
                "gives up after five seconds unless client_session_timeout_seconds says otherwise",
                "An error occurred while running the tool",
            )
        },
    ),
]

COMMAND_LINES = [
    _library("mcporter", "mcporter", program("command_line.py", "mcporter")),
    _library("MCP Inspector", "inspector", program("command_line.py", "mcp-inspector")),
    _library(
        "mcpc",
        "mcpc",
        program("command_line.py", "mcpc"),
        deviations={
            "interrupted": Deviation("a call goes on in the process that holds the session, whatever ends its command")
        },
    ),
]
