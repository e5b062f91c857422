"""A call of which nothing is heard says what it does, on every connection; and nothing comes after its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from codebuddy.tool import LOCAL, Arguments, Call, Result, Scope, Tool
from codebuddy.wire import heartbeat
from codebuddy.wire.jsonrpc import RpcConnection
from codebuddy.wire.link import initialize
from codebuddy.wire.mcp_server import McpServer, serve_channel

pytestmark = pytest.mark.anyio

Told = tuple[float, str | None]


class AskArguments(Arguments):
    path: str | None = None
    argv: list[str] | None = None
    projects: list[str] | None = None


class Script:
    """What the tool does: reports progress in answer to what it is sent, and ends."""

    def __init__(self) -> None:
        self.orders = asyncio.Queue[tuple[float, str | None] | None]()

    async def ask(self, call: Call, _arguments: AskArguments) -> Result:
        while (order := await self.orders.get()) is not None:
            await call.progress(order[0], None, order[1])
        return Result()


class Pair:
    """One end of two channels that are joined in memory."""

    def __init__(self, reads: asyncio.Queue[str], writes: asyncio.Queue[str], sent: list[str]) -> None:
        self._reads, self._writes, self._sent = reads, writes, sent

    async def receive(self) -> str:
        return await self._reads.get()

    async def send(self, text: str) -> None:
        self._sent.append(text)
        await self._writes.put(text)

    async def drain(self) -> None:
        pass

    def unsent(self) -> int:
        return 0

    def abort(self) -> None:
        raise AssertionError


@asynccontextmanager
async def client(script: Script, scope: Scope = "read", sent: list[str] | None = None) -> AsyncIterator[RpcConnection]:
    """A client of a server with the tool; ``sent`` receives what the server sends."""
    server = McpServer("test", [Tool("ask", scope, "Asks.", AskArguments, Result, script.ask)], "", "its log")
    there, back = asyncio.Queue[str](), asyncio.Queue[str]()
    connection = RpcConnection(Pair(back, there, []))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_channel, server, Pair(there, back, [] if sent is None else sent), LOCAL)
        tasks.start_soon(connection.run)
        await initialize(connection, "test")
        yield connection
        tasks.cancel_scope.cancel()


async def asked(script: Script, wanted: list[Any], scope: Scope = "read", **arguments: Any) -> list[Told]:
    """Call the tool; give it each order, or wait for a notification where an order is "heard". Return what was told."""
    told: list[Told] = []
    heard = asyncio.Event()

    async def on_progress(number: float, _total: float | None, message: str | None) -> None:
        told.append((number, message))
        heard.set()

    async with client(script, scope) as connection:
        params = {"name": "ask", "arguments": arguments}
        calling = asyncio.create_task(connection.request("tools/call", params, on_progress))
        with anyio.fail_after(20):
            for one in wanted:
                heard.clear()
                if one != "heard":
                    script.orders.put_nowait(one)
                if one is not None:
                    await heard.wait()
            await calling
        count = len(told)
        await connection.request("ping", None)
        assert len(told) == count
    return told


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.05)


async def test_a_silent_call_says_what_it_does_with_numbers_that_grow() -> None:
    told = await asked(Script(), ["heard", "heard", None], argv=["npm", "test"], projects=["a", "b"])
    assert [message for _, message in told[:2]] == ["ask npm test in a, b: 0 s"] * 2
    assert [number for number, _ in told] == sorted({number for number, _ in told})


async def test_real_progress_after_a_heartbeat_has_a_greater_number() -> None:
    told = await asked(Script(), [(7.0, "x"), "heard", (7.0, "y"), (8.0, "z"), None])
    assert [number for number, _ in told] == sorted({number for number, _ in told})
    assert [message for _, message in told if message in ("x", "y", "z")] == ["x", "y", "z"]


@pytest.mark.parametrize(("scope", "sentence"), [("read", "ask a/x.py: indexing (0 s)"), ("run", "ask a/x.py: 0 s")])
async def test_what_a_question_waits_for_is_repeated_but_no_output_of_a_program(scope: Scope, sentence: str) -> None:
    told = await asked(Script(), [(1.0, "indexing"), "heard", None], scope, path="a/x.py")
    assert told[1][1] == sentence


async def test_a_call_without_a_progress_token_is_told_nothing() -> None:
    script, sent = Script(), list[str]()
    async with client(script, sent=sent) as connection:
        calling = asyncio.create_task(connection.request("tools/call", {"name": "ask", "arguments": {}}))
        for _ in range(2):  # as long as it takes for one that is told
            await asked(Script(), ["heard", None])
        script.orders.put_nowait(None)
        await calling
    assert not [text for text in sent if "notifications/progress" in text]
