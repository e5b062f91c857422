"""Clients that take no answers, or ask for much, hold little of the hub, and others are answered meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from codebuddy.hub import http, streamable_http
from codebuddy.tool import Arguments, Call, Principal, Result, Tool, ToolError
from codebuddy.wire import load
from codebuddy.wire.jsonrpc import MAX_CONCURRENT_REQUESTS
from codebuddy.wire.load import BUDGET, CALL_BYTES, ENCODINGS, LARGE_MESSAGE, SMALL_ROOM, Load, reserve
from codebuddy.wire.mcp_server import McpServer
from codebuddy_testing.listeners import RunningListener, open_listener, token
from codebuddy_testing.tool_client import ToolClient

pytestmark = pytest.mark.anyio

ANSWER = 2**20
HELD = 2 * ENCODINGS  # times as much as the text, which is in the answer twice


class BlobArguments(Arguments):
    size: int


class Blob(Result):
    content: str


class Blobs:
    """A server with a tool whose answer is as long as asked for."""

    def __init__(self) -> None:
        self.answered = 0
        self.server = McpServer("test", [self._tool()], "Test.", "the test's log")

    def _tool(self) -> Tool[Any]:
        async def blob(_call: Call, arguments: BlobArguments) -> Blob:
            if arguments.size > CALL_BYTES:
                await reserve(HELD * arguments.size)
            self.answered += 1
            return Blob(content="x" * arguments.size)

        return Tool("blob", "read", "Answers.", BlobArguments, Blob, blob)


def request(number: int, **arguments: Any) -> str:
    params = {"name": "blob", "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})


def opened(listener: RunningListener, subject: str) -> websockets.connect:
    return websockets.connect(
        f"ws://127.0.0.1:{listener.port}/", subprotocols=[websockets.Subprotocol("mcp")], max_size=None, max_queue=1,
        additional_headers={"Authorization": f"Bearer {token(sub=subject)}"}, ping_interval=None,
        close_timeout=0.1,
    )  # fmt: skip


async def initialize(socket: ClientConnection) -> None:
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    await socket.send(json.dumps({"jsonrpc": "2.0", "id": "first", "method": "initialize", "params": params}))
    assert "result" in json.loads(await socket.recv())


async def settled(blobs: Blobs) -> None:
    """Wait until nothing more is answered: the count is the same after many turns of the loop, with pauses."""
    before = -1
    while blobs.answered != before:
        before = blobs.answered
        await asyncio.sleep(0.2)


async def test_a_client_that_takes_no_answers_has_few_made_and_all_when_it_reads() -> None:
    blobs = Blobs()
    with anyio.fail_after(60):
        async with open_listener(blobs.server) as listener, opened(listener, "greedy") as greedy:
            await initialize(greedy)
            wanted = MAX_CONCURRENT_REQUESTS
            for number in range(wanted):
                await greedy.send(request(number, size=ANSWER))
            await settled(blobs)
            # What the kernel's buffers take is several answers; all others wait until those are taken.
            assert blobs.answered < wanted // 2
            assert blobs.server.load.used <= BUDGET + SMALL_ROOM
            async with opened(listener, "other") as other:
                await initialize(other)
                await other.send(request(1, size=10))
                assert "result" in json.loads(await other.recv())
            answers = [json.loads(await greedy.recv()) for _ in range(wanted)]
            assert {one["id"] for one in answers} == set(range(wanted))
            assert all("result" in one for one in answers)
            while blobs.server.load.used:
                await asyncio.sleep(0.01)


async def test_the_id_of_an_answer_may_be_used_again_while_later_answers_are_not_taken() -> None:
    blobs = Blobs()
    with anyio.fail_after(60):
        async with open_listener(blobs.server) as listener, opened(listener, "one") as one:
            await initialize(one)
            for number in range(MAX_CONCURRENT_REQUESTS - 1):
                await one.send(request(number, size=ANSWER))
            await settled(blobs)
            first = json.loads(await one.recv())["id"]
            await one.send(request(first, size=1))
            ids = [json.loads(await one.recv()) for _ in range(MAX_CONCURRENT_REQUESTS - 1)]
            assert [answer["id"] for answer in ids].count(first) == 1
            assert all("result" in answer for answer in ids)


async def test_those_that_never_read_are_cut_off_when_others_need_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "STALLED_SECONDS", 0.05)
    blobs = Blobs()
    blobs.server.load = Load(most=4 * HELD * ANSWER)
    with anyio.fail_after(60):
        async with open_listener(blobs.server) as listener, contextlib.AsyncExitStack() as stack:
            for _ in range(8):
                greedy = await stack.enter_async_context(opened(listener, "greedy"))
                with contextlib.suppress(websockets.ConnectionClosed):  # the next one needed its room
                    await initialize(greedy)
                    for number in range(16):
                        await greedy.send(request(number, size=ANSWER))
            await settled(blobs)
            other = await stack.enter_async_context(opened(listener, "other"))
            await initialize(other)
            await other.send(request(1, size=ANSWER))
            assert "result" in json.loads(await other.recv())
    assert blobs.server.load.used == 0


async def test_a_small_request_does_not_wait_for_a_large_one_that_waits_for_its_turn() -> None:
    blobs = Blobs()
    with anyio.fail_after(30):
        async with open_listener(blobs.server) as listener, opened(listener, "a") as one, opened(listener, "b") as two:
            await initialize(one)
            await initialize(two)
            async with blobs.server.load.turn(2 * LARGE_MESSAGE):
                await one.send(request(1, size=1, unknown="x" * 2 * LARGE_MESSAGE))
                await two.send(request(1, size=1))
                assert "result" in json.loads(await two.recv())
                assert blobs.answered == 1
            assert json.loads(await one.recv())["id"] == 1


async def test_a_connection_that_has_asked_for_nothing_makes_room() -> None:
    limit = http.MAX_CONNECTIONS
    with anyio.fail_after(30):
        async with open_listener(Blobs().server) as listener, contextlib.AsyncExitStack() as stack:
            idle = []
            for _ in range(limit):
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                stack.callback(writer.close)
                idle.append(reader)
            other = await stack.enter_async_context(opened(listener, "other"))
            await initialize(other)
            await asyncio.wait([asyncio.create_task(one.read()) for one in idle], return_when="FIRST_COMPLETED")


class Taken:
    """A connection whose client takes everything at once."""

    def unsent(self) -> int:
        return 0

    def abort(self) -> None:
        raise AssertionError


LARGE = "line\n" * 100_000
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("read_file", {"path": "p/large.txt"}),
    ("write_file", {"path": "p/new.txt", "content": "x"}),
    ("write_file", {"path": "p/large.txt", "content": "x", "preview": True}),
    ("edit_file", {"path": "p/large.txt", "edits": [{"old_text": LARGE, "new_text": "x"}]}),
    ("delete_path", {"path": "p/large.txt"}),
    ("move_path", {"source": "p/large.txt", "target": "p/new.txt", "update_imports": False}),
]


@pytest.mark.parametrize(("tool", "arguments"), CALLS, ids=[f"{tool} {len(more)}" for tool, more in CALLS])
async def test_reads_edits_and_previews_wait_for_room_and_do_nothing_without(
    tool: str, arguments: dict[str, Any], client: ToolClient, p: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "WAIT_SECONDS", 0.0)
    (p / "large.txt").write_text(LARGE)
    full = Load(most=2**20)
    with full.hold(Taken(), "other") as other:
        other.count(2**20)
        with full.hold(Taken(), "tester"), pytest.raises(ToolError) as caught:
            await client(tool, **arguments)
        assert caught.value.code == "busy"
        assert os.listdir(p) == ["large.txt"]
        assert (p / "large.txt").read_text() == LARGE
    with full.hold(Taken(), "tester"):
        await client(tool, **arguments)


async def test_what_an_edit_turned_out_to_hold_is_counted(client: ToolClient, p: Path) -> None:
    (p / "large.txt").write_text(LARGE)
    budget = Load()
    for size in (1, len(LARGE)):
        with budget.hold(Taken(), "tester") as hold:
            await client("write_file", path="p/large.txt", content="y" * size, preview=True)
            assert 2 * (len(LARGE) + size) <= hold.size <= 8 * (len(LARGE) + size)


async def test_a_client_leaves_connections_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_CLIENT_CONNECTIONS", 2)
    monkeypatch.setattr(streamable_http, "MAX_CLIENT_CONNECTIONS", 2)
    with anyio.fail_after(30):
        async with open_listener(Blobs().server) as listener:
            async with opened(listener, "greedy") as one, opened(listener, "greedy") as two:
                await initialize(one)
                await initialize(two)
                with pytest.raises(websockets.InvalidStatus) as refused:
                    await opened(listener, "greedy")
                assert refused.value.response.status_code == 503
                assert b"close one" in refused.value.response.body
                assert await status(listener, "greedy") == 503
                assert await status(listener, "other") == 200
            quota = listener.streamable_http.quota_of(Principal("greedy", None, frozenset()))
            while quota.connections:
                await asyncio.sleep(0.01)
            for _ in range(5):
                assert await status(listener, "greedy") == 200
            assert quota.connections == 0


async def status(listener: RunningListener, subject: str) -> int:
    """Return the status of the answer to a request over HTTP."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    headers = {"Authorization": f"Bearer {token(sub=subject)}", "Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{listener.port}/mcp", json=body, headers=headers)
    return int(answer.status_code)
