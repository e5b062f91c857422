"""The program ``codebuddy``, the same in the hub's image and in the spokes'.

``health`` and ``start`` run often and must start fast: each command imports what it needs, those two only the standard
library.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog="codebuddy", description="One MCP hub for many sealed projects.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="run the hub (in the hub's container)")
    spoke = commands.add_parser("spoke", help="run the agent (in a project's container)")
    spoke.add_argument("--stdio", action="store_true", help="speak MCP for this project on standard input and output")
    start = commands.add_parser("start", help="speak MCP on standard input and output (in the hub's container)")
    start.add_argument("--tools", choices=["all", "lean"], default="all", help="which tools to offer; default: all")
    commands.add_parser("health", help="report the health of this container; exit status 0 when it is healthy")
    call = commands.add_parser("call", help="call one tool and print its answer as JSON")
    call.add_argument("tool", help="name of the tool, e.g. list_projects")
    call.add_argument("arguments", nargs="?", default="{}", help="its arguments as a JSON object")
    arguments = parser.parse_args(argv)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "start":
        from codebuddy.bridge import HUB_SOCKET, LEAN_SOCKET, bridge_stdio

        return bridge_stdio(LEAN_SOCKET if arguments.tools == "lean" else HUB_SOCKET)
    if arguments.command == "health":
        from codebuddy.health_check import check

        return check()

    import asyncio

    if arguments.command == "call":
        from codebuddy.client import call

        return asyncio.run(call(arguments.tool, arguments.arguments))

    _log_to_stderr()
    if arguments.command == "serve":
        from codebuddy.hub.app import serve

        asyncio.run(serve())
        return 0
    if arguments.stdio:
        from codebuddy.agent.stdio import serve_stdio

        return asyncio.run(serve_stdio())
    from codebuddy.agent.app import run_agent

    asyncio.run(run_agent())
    return 0


def _log_to_stderr() -> None:
    import logging

    from codebuddy.log_format import LogFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in ("mcp", "uvicorn", "websockets"):
        logging.getLogger(name).setLevel(logging.WARNING)
