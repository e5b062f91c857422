"""A server whose only tool asks the user of its client; as a program it serves standard input and output."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError, NoBackChannelError

from codebuddy.tool import LOCAL
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES
from codebuddy.wire.mcp_server import McpServer, serve_channel
from codebuddy.wire.stdio import LineChannel, standard_streams

QUESTION: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}}


class AskingServer(McpServer):
    """The hub's server, with a handler of the SDK in the place of the hub's tools."""

    def __init__(self) -> None:
        super().__init__("asking", [], "Test.", "the test's log")
        self.answered, self.cancelled = anyio.Event(), anyio.Event()
        self.add_request_handler("tools/call", types.CallToolRequestParams, self._ask)

    async def _ask(
        self, context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        with self.in_flight:
            text = await self._answer(context, params.arguments or {})
        return types.CallToolResult(content=[types.TextContent(text=text)])

    async def _answer(self, context: ServerRequestContext[Any, Any], arguments: dict[str, Any]) -> str:
        able = types.ClientCapabilities(elicitation=types.ElicitationCapability())
        if arguments.get("only_if_able") and not context.session.check_client_capability(able):
            return "not able"
        request = types.ElicitRequest(
            params=types.ElicitRequestFormParams(message=arguments["question"], requested_schema=QUESTION)
        )
        try:
            answer = await context.session.send_request(request, types.ElicitResult, arguments.get("seconds"))
        except NoBackChannelError:
            assert not context.session.can_send_request
            raise
        except MCPError as error:
            return f"error {error.code} {error.message}"
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.answered.set()
        return " ".join([answer.action, *map(str, (answer.content or {}).values())])


async def main() -> None:
    async with standard_streams(MAX_MESSAGE_BYTES) as streams:
        await serve_channel(AskingServer(), LineChannel(*streams), LOCAL)


if __name__ == "__main__":
    asyncio.run(main())
