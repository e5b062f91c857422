"""The agent's end of a link serves the official SDK's client, without loading the SDK itself."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import ClientSession
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage

import codebuddy
from codebuddy.tool import LOCAL
from codebuddy.wire import link as link_module
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES
from codebuddy.wire.link import LinkServer, TcpPeer, maintain_link
from codebuddy.wire.stdio import LineChannel
from codebuddy_testing.clients import content_of
from codebuddy_testing.listeners import Probe, echo_tool

pytestmark = pytest.mark.anyio

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

UNWANTED = {"mcp", "mcp_types", "starlette", "uvicorn", "httpx2", "opentelemetry", "jsonschema", "cryptography", "jwt"}


@asynccontextmanager
async def served(folder: Path, probe: Probe) -> AsyncIterator[Streams]:
    """Serve the fixture tool on a local socket; give a connection to it."""
    server = LinkServer("test", [echo_tool(probe)], "its log")

    ended = anyio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.serve(LineChannel(reader, writer), LOCAL)
        writer.close()
        ended.set()

    path = folder / "socket"
    listener = await asyncio.start_unix_server(serve, path, limit=MAX_MESSAGE_BYTES)
    reader, writer = await asyncio.open_unix_connection(path, limit=2 * MAX_MESSAGE_BYTES)
    try:
        yield reader, writer
    finally:
        writer.close()
        listener.close()
        await ended.wait()


@asynccontextmanager
async def sdk_session(streams: Streams) -> AsyncIterator[ClientSession]:
    """The official client on a pair of streams."""
    reader, writer = streams
    to_client, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, from_client = anyio.create_memory_object_stream[SessionMessage](0)

    async def receive() -> None:
        while line := await reader.readline():
            await to_client.send(SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False)))

    async def send() -> None:
        async for item in from_client:
            writer.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")

    async with to_client, read, write, from_client, anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        tasks.start_soon(send)
        async with ClientSession(read, write) as session:
            await session.initialize()
            yield session
        tasks.cancel_scope.cancel()


async def exchange(streams: Streams, *messages: dict[str, Any] | bytes) -> list[dict[str, Any]]:
    """Send messages, end the input, and give all that is answered."""
    reader, writer = streams
    for message in messages:
        writer.write((message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\n")
    writer.write_eof()
    with anyio.fail_after(20):
        return [json.loads(line) async for line in reader]


def call(ident: int | str, **arguments: Any) -> dict[str, Any]:
    params = {"name": "echo", "arguments": arguments}
    return {"jsonrpc": "2.0", "id": ident, "method": "tools/call", "params": params}


async def test_the_official_client_is_served(tmp_path: Path) -> None:
    seen: list[str | None] = []

    async def on_progress(value: float, total: float | None, message: str | None) -> None:
        seen.append(message)

    async with served(tmp_path, Probe()) as streams, sdk_session(streams) as session:
        listed = await session.list_tools()
        answered = await session.call_tool("echo", {"text": "grüße 🎉"}, progress_callback=on_progress)
        failed = await session.call_tool("echo", {"text": "x", "fail": True})
        await session.send_ping()
        with pytest.raises(MCPError, match="There is no tool 'nothing'; there are: echo"):
            await session.call_tool("nothing", {})
    assert [tool.name for tool in listed.tools] == ["echo"]
    assert answered.structured_content == {"text_back": "grüße 🎉", "subject": "local"}
    assert seen == ["half"]
    assert failed.is_error
    assert content_of(failed)["code"] == "asked_to_fail"


async def test_calls_are_cancelled_when_the_caller_does_not_answer_a_ping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codebuddy.wire.jsonrpc.TICK_SECONDS", 0.01)
    probe = Probe()
    async with served(tmp_path, probe) as (reader, writer):
        writer.write(json.dumps(call(1, text="x", wait=True)).encode() + b"\n")
        with anyio.fail_after(5):
            assert json.loads(await reader.readline())["method"] == "ping"
            await probe.cancelled.wait()
            while await reader.readline():
                continue  # what was under way; then the end


async def test_calls_continue_while_the_caller_answers_pings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codebuddy.wire.jsonrpc.TICK_SECONDS", 0.001)
    probe = Probe()
    async with served(tmp_path, probe) as (reader, writer):
        writer.write(json.dumps(call("mine", text="x", wait=True)).encode() + b"\n")
        with anyio.fail_after(5):
            for _ in range(5):
                ping = json.loads(await reader.readline())
                writer.write(json.dumps({"jsonrpc": "2.0", "id": ping["id"], "result": {}}).encode() + b"\n")
        assert not probe.cancelled.is_set()


def test_the_kernel_counts_what_has_arrived_and_says_whether_it_is_acknowledged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as one:
        other, _ = listener.accept()
        with other:
            peer = TcpPeer(other)
            one.sendall(b"x" * 1000)
            assert not peer.is_gone()
            deadline = time.monotonic() + 5
            while peer.bytes_received() < 1000 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert peer.bytes_received() == 1000
        assert (peer.bytes_received(), peer.is_gone()) == (0, False)  # it is closed


async def test_cancelling_a_call_cancels_its_work(tmp_path: Path) -> None:
    probe = Probe()
    async with served(tmp_path, probe) as streams, sdk_session(streams) as session:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.call_tool, "echo", {"text": "x", "wait": True})
            await probe.started.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await probe.cancelled.wait()


async def test_a_client_that_ends_its_input_still_gets_its_answers(tmp_path: Path) -> None:
    async with served(tmp_path, Probe()) as streams:
        answers = await exchange(streams, call(1, text="a"), call(2, text="b"))
    assert sorted(answer["id"] for answer in answers if "id" in answer) == [1, 2]


async def test_a_message_that_is_too_long_is_refused_with_its_id_and_the_next_is_served(tmp_path: Path) -> None:
    async with served(tmp_path, Probe()) as streams:
        answers = await exchange(streams, call(7, text="x" * MAX_MESSAGE_BYTES), call(8, text="short"))
    by_id = {answer["id"]: answer for answer in answers if "id" in answer}
    assert str(MAX_MESSAGE_BYTES) in by_id[7]["error"]["message"]
    assert by_id[8]["result"]["structuredContent"]["text_back"] == "short"


async def test_an_id_inside_the_params_of_a_message_that_is_too_long_is_not_taken_for_its_own(tmp_path: Path) -> None:
    long = {"jsonrpc": "2.0", "method": "x", "params": {"id": 9, "text": "x" * MAX_MESSAGE_BYTES}}
    async with served(tmp_path, Probe()) as streams:
        (answer,) = await exchange(streams, long)
    assert answer["id"] is None


async def test_an_id_that_is_in_use_is_refused(tmp_path: Path) -> None:
    probe = Probe()
    async with served(tmp_path, probe) as (reader, writer):
        writer.write(json.dumps(call(1, text="x", wait=True)).encode() + b"\n")
        await probe.started.wait()
        writer.write(json.dumps(call(1, text="y")).encode() + b"\n")
        with anyio.fail_after(5):
            answer = json.loads(await reader.readline())
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        writer.write(json.dumps(cancelled).encode() + b"\n")
        await probe.cancelled.wait()
    assert "give each its own" in answer["error"]["message"]


@pytest.mark.parametrize("text", [b"{not json", b"[]", b'{"jsonrpc": "1.0", "id": 1}', b'"hello"', b"[" * 10000])
async def test_text_that_is_not_a_message_is_answered_with_an_error(tmp_path: Path, text: bytes) -> None:
    async with served(tmp_path, Probe()) as streams:
        (answer,) = await exchange(streams, text)
    assert answer["error"]["code"] == -32700


def test_the_agent_loads_neither_the_sdk_nor_a_web_server_nor_cryptography() -> None:
    program = "import codebuddy.agent.app, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    source = {"PYTHONPATH": str(Path(codebuddy.__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=source)
    assert not UNWANTED & set(run.stdout.split())


async def dialled(
    folder: Path, port: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[float], list[tuple[str, str | None]]]:
    """Dial so often; give the waits between, and the states that were told."""
    waits: list[float] = []
    states: list[tuple[str, str | None]] = []
    token = folder / "token"
    token.write_text("x")
    with anyio.CancelScope() as scope:

        async def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == times:
                scope.cancel()
            await anyio.lowlevel.checkpoint()

        monkeypatch.setattr(link_module.anyio, "sleep", wait)
        server = LinkServer("test", [], "its log")
        await maintain_link(f"ws://127.0.0.1:{port}/link", token, server, "p", lambda *state: states.append(state))
    return waits, states


async def test_while_nobody_listens_an_agent_dials_every_second_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        waits, states = await dialled(tmp_path, silent.getsockname()[1], 12, monkeypatch)
    assert max(waits) <= 1
    assert min(waits[2:]) >= 0.5
    assert {state for state, _ in states} == {"disconnected"}
    assert all(reason and "ConnectionRefusedError" in reason for _, reason in states)
    assert len(caplog.records) == 1


async def test_after_refusals_an_agent_waits_longer_and_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with listener:
        waits, states = await dialled(tmp_path, listener.sockets[0].getsockname()[1], 8, monkeypatch)
    assert waits[-1] >= 7.5
    assert states[-1] == ("disconnected", "the hub refused it with 401: no")
