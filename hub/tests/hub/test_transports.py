"""Both protocol eras on both network transports, with the official SDK's client."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import anyio
import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from codebuddy_testing.clients import connected, content_of
from codebuddy_testing.listeners import open_listener, token
from codebuddy_testing.socket_options import no_delay

pytestmark = pytest.mark.anyio

WAYS = ["find_tools", "call_read_only_tool", "call_tool"]
EACH = pytest.mark.parametrize(
    ("transport", "mode"),
    [(t, m) for t in ("websocket", "http") for m in ("legacy", "2026-07-28", "auto")],
)


@EACH
async def test_a_tool_answers_with_structure_and_text(transport: str, mode: str) -> None:
    async with open_listener() as listener, connected(transport, listener.port, token(), mode) as client:
        listed = await client.list_tools()
        result = await client.call_tool("echo", {"text": "grüße 🎉"})
    assert [tool.name for tool in listed.tools] == ["echo"]
    assert listed.tools[0].output_schema is not None
    assert result.structured_content == {"text_back": "grüße 🎉", "subject": "tester"}
    assert "grüße" in result.content[0].text


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_the_hub_does_not_delay_small_answers(transport: str) -> None:
    async with open_listener() as listener, connected(transport, listener.port, token(), "legacy") as client:
        await client.list_tools()
        options = no_delay(listener.port)
    assert options
    assert all(options)


@EACH
async def test_progress_reaches_the_caller(transport: str, mode: str) -> None:
    seen: list[tuple[float, float | None, str | None]] = []

    async def on_progress(value: float, total: float | None, message: str | None) -> None:
        seen.append((value, total, message))

    async with open_listener() as listener, connected(transport, listener.port, token(), mode) as client:
        await client.call_tool("echo", {"text": "x"}, progress_callback=on_progress)
    assert seen == [(1.0, 2.0, "half")]


@EACH
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ({"text": "x", "fail": True}, "asked_to_fail", "ask it not to"),
        ({"text": "x", "colour": "red"}, "invalid_arguments", "it accepts text, fail, crash, wait"),
        ({"text": 3}, "invalid_arguments", "text "),
        ({}, "invalid_arguments", "text "),
    ],
)
async def test_a_failure_is_a_tool_result_with_a_code_and_a_sentence(
    transport: str, mode: str, arguments: dict[str, Any], code: str, words: str
) -> None:
    async with open_listener() as listener, connected(transport, listener.port, token(), mode) as client:
        result = await client.call_tool("echo", arguments)
    assert result.is_error
    assert content_of(result)["code"] == code
    assert words in content_of(result)["message"]


@EACH
async def test_a_failure_has_no_structured_content_that_a_client_could_check_against_the_output_schema(
    transport: str, mode: str
) -> None:
    async with open_listener() as listener, connected(transport, listener.port, token(), mode) as client:
        result = await client.call_tool("echo", {"text": "x", "fail": True})
    assert result.structured_content is None
    assert result.content[0].text.startswith("asked_to_fail: ")
    assert result.meta["codebuddy/error"]["code"] == "asked_to_fail"


@EACH
async def test_every_tool_accepts_a_known_detail_and_no_other(transport: str, mode: str) -> None:
    async with open_listener() as listener, connected(transport, listener.port, token(), mode) as client:
        full = await client.call_tool("echo", {"text": "x", "detail": "full"})
        other = await client.call_tool("echo", {"text": "x", "detail": "much"})
    assert full.structured_content["text_back"] == "x"
    assert content_of(other) == {
        "code": "invalid_arguments",
        "message": "detail must be one of 'lean' or 'full'.",
    }


@EACH
async def test_an_internal_failure_tells_the_client_no_details(transport: str, mode: str) -> None:
    async with open_listener() as listener, connected(transport, listener.port, token(), mode) as client:
        result = await client.call_tool("echo", {"text": "x", "crash": True})
    assert content_of(result)["code"] == "internal_error"
    assert "the test's log has it as incident" in content_of(result)["message"]
    assert "secret" not in json.dumps(result.model_dump(mode="json"))


@EACH
async def test_a_token_without_the_scope_is_not_offered_the_tool_and_may_not_call_it(transport: str, mode: str) -> None:
    async with open_listener() as listener, connected(transport, listener.port, token(scopes=["read"]), mode) as client:
        assert (await client.list_tools()).tools == []
        result = await client.call_tool("echo", {"text": "x"})
    assert content_of(result)["code"] == "forbidden"
    assert content_of(result)["message"].endswith("make one with: make token SCOPES=read,write")


@EACH
@pytest.mark.parametrize(
    ("claim", "query", "offered"),
    [
        ({}, "", ["echo"]),
        ({}, "?tools=lean", WAYS),
        ({"tools": "lean"}, "", WAYS),
        ({"tools": "lean"}, "?tools=all", ["echo"]),
    ],
)
async def test_a_token_or_an_address_chooses_which_tools_are_offered(
    transport: str, mode: str, claim: dict[str, str], query: str, offered: list[str]
) -> None:
    async with open_listener() as listener, connected(transport, listener.port, token(**claim), mode, query) as client:
        listed = await client.list_tools()
        result = await client.call_tool("call_tool", {"name": "echo", "arguments": {"text": "x"}})
    assert [tool.name for tool in listed.tools] == offered
    assert result.structured_content == {"text_back": "x", "subject": "tester"}


@pytest.mark.parametrize("path", ["/mcp?tools=few", "/?tools="])
async def test_an_address_that_asks_for_unknown_tools_is_refused_with_a_sentence(path: str) -> None:
    async with open_listener() as listener:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{listener.port}{path}", additional_headers=_headers(), proxy=None)
    assert refused.value.response.status_code == 400
    assert b"write /mcp?tools=lean" in refused.value.response.body


@EACH
async def test_an_unknown_tool_is_a_protocol_error(transport: str, mode: str) -> None:
    async with open_listener() as listener, connected(transport, listener.port, token(), mode) as client:
        with pytest.raises(MCPError, match="There is no tool 'nothing'"):
            await client.call_tool("nothing", {})


@EACH
async def test_cancelling_a_call_cancels_its_work(transport: str, mode: str) -> None:
    async with open_listener() as listener, connected(transport, listener.port, token(), mode) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "echo", {"text": "x", "wait": True})
            await listener.probe.started.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await listener.probe.cancelled.wait()


async def test_a_dropped_connection_cancels_its_calls() -> None:
    async with open_listener() as listener:
        async with anyio.create_task_group() as tasks:

            async def call() -> None:
                async with connected("websocket", listener.port, token(), "legacy") as client:
                    await client.call_tool("echo", {"text": "x", "wait": True})

            tasks.start_soon(call)
            await listener.probe.started.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await listener.probe.cancelled.wait()


async def test_a_dropped_http_connection_cancels_its_call_and_leaves_the_session() -> None:
    async with (
        open_listener() as listener,
        httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{listener.port}",
            headers={**_headers(), "Accept": "application/json, text/event-stream"},
            trust_env=False,
        ) as client,
    ):
        opened = await client.post("/mcp", json=_request(1, "initialize", HANDSHAKE))
        client.headers["Mcp-Session-Id"] = opened.headers["Mcp-Session-Id"]
        await client.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_call_echo, client, {"text": "x", "wait": True})
            await listener.probe.started.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await listener.probe.cancelled.wait()
            await listener.in_flight.idle()
        assert "still here" in (await _call_echo(client, {"text": "still here"})).text


async def _call_echo(client: httpx2.AsyncClient, arguments: dict[str, Any]) -> httpx2.Response:
    return await client.post("/mcp", json=_request(2, "tools/call", {"name": "echo", "arguments": arguments}))


def _request(number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def _headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {token()}"}


HANDSHAKE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


STATELESS_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


async def test_one_connection_may_speak_both_eras() -> None:
    """As Copilot CLI does: server/discover first, then initialize, on the same connection."""
    async with (
        open_listener() as listener,
        connect(f"ws://127.0.0.1:{listener.port}/mcp", additional_headers=_headers(), proxy=None) as socket,
    ):
        await socket.send(json.dumps(_request(1, "server/discover", {"_meta": STATELESS_META})))
        discovered = json.loads(await socket.recv())
        await socket.send(json.dumps(_request(2, "initialize", HANDSHAKE)))
        initialized = json.loads(await socket.recv())
        await socket.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        await socket.send(json.dumps(_request(3, "tools/list", {})))
        handshake_era = json.loads(await socket.recv())
        await socket.send(json.dumps(_request(4, "tools/list", {"_meta": STATELESS_META})))
        stateless_era = json.loads(await socket.recv())
    assert discovered["result"]["supportedVersions"] == ["2026-07-28"]
    assert initialized["result"]["protocolVersion"] == "2025-11-25"
    assert "resultType" not in handshake_era["result"]
    assert stateless_era["result"]["resultType"] == "complete"


@pytest.mark.parametrize("text", ["{not json", "[]", '{"jsonrpc": "1.0", "id": 1}', '"hello"'])
async def test_text_that_is_not_a_message_is_answered_with_an_error(text: str) -> None:
    async with (
        open_listener() as listener,
        connect(f"ws://127.0.0.1:{listener.port}/", additional_headers=_headers(), proxy=None) as socket,
    ):
        await socket.send(text)
        answer = json.loads(await socket.recv())
    assert answer["error"]["code"] == -32700


@pytest.mark.parametrize(
    ("frame", "code"),
    [(b"binary", 1003), ("x" * (4 * 1024 * 1024 + 1), 1009)],
)
async def test_binary_and_oversized_frames_close_the_connection(frame: str | bytes, code: int) -> None:
    async with (
        open_listener() as listener,
        connect(f"ws://127.0.0.1:{listener.port}/", additional_headers=_headers(), proxy=None) as socket,
    ):
        with contextlib.suppress(ConnectionClosed):  # while it is still being sent
            await socket.send(frame)
        await socket.wait_closed()
    assert socket.close_code == code


async def test_a_stopping_hub_closes_connections_with_going_away() -> None:
    async with (
        open_listener() as listener,
        connect(f"ws://127.0.0.1:{listener.port}/", additional_headers=_headers(), proxy=None) as socket,
    ):
        listener.stopping.set()
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


async def test_a_connection_is_closed_when_its_token_expires() -> None:
    soon = {"Authorization": f"Bearer {token(exp=int(time.time()) + 1)}"}
    async with (
        open_listener() as listener,
        connect(f"ws://127.0.0.1:{listener.port}/", additional_headers=soon, proxy=None) as socket,
    ):
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
