"""Requests from the hub to a client, in the era with a handshake: a tool asks the user while its call goes on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types as types
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError
from websockets.asyncio.client import connect

import codebuddy
from codebuddy_testing import asking_server
from codebuddy_testing.asking_server import AskingServer
from codebuddy_testing.clients import connected
from codebuddy_testing.listeners import RunningListener, open_listener, token

pytestmark = pytest.mark.anyio

TOKEN = token()
HANDSHAKE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "t", "version": "1"},
}


async def on_elicitation(_context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": f"answer to {params.message}"})


@asynccontextmanager
async def sdk_client(transport: str, **options: Any) -> AsyncIterator[Client]:
    if transport == "stdio":
        paths = [str(Path(module.__file__).parents[1]) for module in (codebuddy, asking_server)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        command = StdioServerParameters(
            command=sys.executable, args=["-m", "codebuddy_testing.asking_server"], env=environment
        )
        async with Client(command, **options) as client:
            yield client
    else:
        async with (
            open_listener(AskingServer()) as listener,
            connected(transport, listener.port, TOKEN, **options) as client,
        ):
            yield client


async def said(client: Client, **arguments: Any) -> str:
    result = await client.call_tool("ask", arguments)
    return str(result.content[0].text)


TRANSPORTS = pytest.mark.parametrize("transport", ["http", "websocket", "stdio"])


@TRANSPORTS
async def test_a_tool_asks_the_user_of_the_official_client(transport: str) -> None:
    async with sdk_client(transport, mode="legacy", elicitation_callback=on_elicitation) as client:
        answers = dict[str, str]()

        async def ask(question: str) -> None:
            answers[question] = await said(client, question=question)

        async with anyio.create_task_group() as tasks:
            for question in "abc":
                tasks.start_soon(ask, question)
    assert answers == {question: f"accept answer to {question}" for question in "abc"}


@TRANSPORTS
async def test_a_tool_learns_whether_the_client_can_be_asked(transport: str) -> None:
    async with sdk_client(transport, mode="legacy") as client:
        assert await said(client, question="a", only_if_able=True) == "not able"
        assert await said(client, question="a") == f"error {types.INVALID_REQUEST} Elicitation not supported"
    async with sdk_client(transport, mode="legacy", elicitation_callback=on_elicitation) as client:
        assert await said(client, question="a", only_if_able=True) == "accept answer to a"


@TRANSPORTS
async def test_the_era_without_a_handshake_has_no_requests_to_clients(transport: str) -> None:
    async with sdk_client(transport, mode="2026-07-28", elicitation_callback=on_elicitation) as client:
        with pytest.raises(MCPError, match="no back-channel"):
            await said(client, question="a")


@TRANSPORTS
async def test_a_tool_need_not_wait_for_ever(transport: str) -> None:
    cancelled = anyio.Event()

    async def never(_context: Any, _params: Any) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async with sdk_client(transport, mode="legacy", elicitation_callback=never) as client:
        with anyio.fail_after(10):
            answer = await said(client, question="a", seconds=0.01)
            await cancelled.wait()
    assert answer.startswith(f"error {types.REQUEST_TIMEOUT} The client did not answer")


async def test_a_websocket_that_closes_ends_the_waiting() -> None:
    server = AskingServer()
    async with open_listener(server) as listener:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with connect(f"ws://127.0.0.1:{listener.port}/", additional_headers=headers, proxy=None) as socket:
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HANDSHAKE}))
            await socket.recv()
            params = {"name": "ask", "arguments": {"question": "a"}}
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}))
            assert json.loads(await socket.recv())["method"] == "elicitation/create"
        with anyio.fail_after(10):
            await server.cancelled.wait()


# Over HTTP, message by message ----------------------------------------------------------------------------------------


class Raw:
    """A client that sends what it wants, in a session of its own."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def post(self, **members: Any) -> httpx2.Response:
        return await self.http.post("/mcp", json={"jsonrpc": "2.0", **members})

    async def answer(self, number: Any, **members: Any) -> None:
        posted = await self.post(id=number, **members)
        assert (posted.status_code, posted.content) == (202, b"")

    @asynccontextmanager
    async def call(self, number: int, **arguments: Any) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        params = {"name": "ask", "arguments": {"question": "a", **arguments}}
        message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        async with self.http.stream("POST", "/mcp", json=message) as response:
            assert response.headers["content-type"] == "text/event-stream"
            yield (json.loads(line[6:]) async for line in response.aiter_lines() if line.startswith("data: "))


@asynccontextmanager
async def raw_client(listener: RunningListener, authorization: str = TOKEN) -> AsyncIterator[Raw]:
    headers = {"Authorization": f"Bearer {authorization}", "Accept": "application/json, text/event-stream"}
    base_url = f"http://127.0.0.1:{listener.port}"
    async with httpx2.AsyncClient(base_url=base_url, headers=headers, trust_env=False) as http:
        raw = Raw(http)
        opened = await raw.post(id=0, method="initialize", params=HANDSHAKE)
        http.headers["Mcp-Session-Id"] = opened.headers["mcp-session-id"]
        yield raw


ACCEPT = {"action": "accept", "content": {"name": "x"}}


def text_of(message: dict[str, Any]) -> str:
    return str(message["result"]["content"][0]["text"])


async def test_the_first_answer_in_the_same_session_counts() -> None:
    server = AskingServer()
    async with (
        open_listener(server) as listener,
        raw_client(listener) as one,
        raw_client(listener) as same_token,
        raw_client(listener, token(sub="other")) as other_token,
        one.call(1) as events,
    ):
        asked = await anext(events)
        assert (asked["method"], asked["params"]["message"]) == ("elicitation/create", "a")
        await same_token.answer(asked["id"], result=ACCEPT)
        await other_token.answer(asked["id"], result=ACCEPT)
        other_token.http.headers["Mcp-Session-Id"] = one.http.headers["Mcp-Session-Id"]
        stolen = await other_token.post(id=asked["id"], result=ACCEPT)
        assert stolen.status_code == 404
        for wrong in (asked["id"] + 1, "x", None, True, [1], 1.5):
            await one.answer(wrong, result=ACCEPT)
        assert not server.answered.is_set()
        await one.answer(str(asked["id"]), result={"action": "decline"})  # some clients return a number as a string
        await one.answer(asked["id"], result=ACCEPT)
        answer = await anext(events)
        assert [event async for event in events] == []
        await one.answer(asked["id"], result=ACCEPT)
    assert (answer["id"], text_of(answer)) == (1, "decline")


async def test_calls_of_a_session_ask_with_different_ids() -> None:
    async with (
        open_listener(AskingServer()) as listener,
        raw_client(listener) as raw,
        raw.call(1) as first,
        raw.call(2) as second,
    ):
        ids = [(await anext(events))["id"] for events in (first, second)]
        assert ids[0] != ids[1]
        await raw.answer(ids[1], result=ACCEPT)
        assert (await anext(second))["id"] == 2
        await raw.answer(ids[0], result=ACCEPT)
        assert (await anext(first))["id"] == 1


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"error": {"code": -1, "message": "The user is away."}}, "error -1 The user is away."),
        ({"error": "no object"}, "error 0 an error without a message"),
        ({"error": {"code": "no number", "message": ["?"]}}, "error 0 ['?']"),
    ],
)
async def test_an_error_of_the_client_reaches_the_tool(members: dict[str, Any], said: str) -> None:
    async with open_listener(AskingServer()) as listener, raw_client(listener) as raw, raw.call(1) as events:
        await raw.answer((await anext(events))["id"], **members)
        assert text_of(await anext(events)) == said


@pytest.mark.parametrize("result", [None, 1, [], "x", {}, {"action": "other"}])
async def test_an_answer_of_the_wrong_form_fails_the_call_only(result: Any) -> None:
    async with open_listener(AskingServer()) as listener, raw_client(listener) as raw:
        async with raw.call(1) as events:
            await raw.answer((await anext(events))["id"], result=result)
            assert "error" in await anext(events)
        async with raw.call(2) as events:
            await raw.answer((await anext(events))["id"], result=ACCEPT)
            assert text_of(await anext(events)) == "accept x"


@pytest.mark.parametrize("how", ["cancelled", "deleted", "stopped"])
async def test_a_call_that_is_cancelled_takes_its_question_back(how: str) -> None:
    server = AskingServer()
    async with open_listener(server) as listener, raw_client(listener) as raw, raw.call(1) as events:
        asked = await anext(events)
        if how == "cancelled":
            await raw.post(method="notifications/cancelled", params={"requestId": 1})
        elif how == "deleted":
            await raw.http.delete("/mcp")
        else:
            listener.streamable_http.stop()
        with anyio.fail_after(10):
            await server.cancelled.wait()
            taken_back, *rest = [event async for event in events]
        assert taken_back["method"] == "notifications/cancelled"
        assert taken_back["params"] == {"requestId": asked["id"]}
        assert len(rest) == (1 if how == "stopped" else 0)
        late = await raw.post(id=asked["id"], result=ACCEPT)
        assert late.status_code == (404 if how == "deleted" else 202)


async def test_a_client_that_leaves_ends_the_waiting() -> None:
    server = AskingServer()
    async with open_listener(server) as listener, raw_client(listener) as raw:
        async with raw.call(1) as events:
            asked = await anext(events)
        with anyio.fail_after(10):
            await server.cancelled.wait()
        await raw.answer(asked["id"], result=ACCEPT)
        async with raw.call(1) as events:
            assert (await anext(events))["id"] != asked["id"]


async def test_a_client_that_takes_no_events_cannot_be_asked() -> None:
    async with open_listener(AskingServer()) as listener, raw_client(listener) as raw:
        raw.http.headers["Accept"] = "application/json"
        params = {"name": "ask", "arguments": {"question": "a"}}
        answer = await raw.post(id=1, method="tools/call", params=params)
    assert "no back-channel" in answer.json()["error"]["message"]
