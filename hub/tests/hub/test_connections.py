"""HTTP connections byte by byte: how a request may arrive at /mcp, and what is left of one that does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from codebuddy.hub import http
from codebuddy.hub.streamable_http import Handshake, open_session
from codebuddy.tool import LOCAL
from codebuddy_testing.listeners import RunningListener, open_listener, token

pytestmark = pytest.mark.anyio

AUTHORIZATION = f"Bearer {token(sub='local')}"
SESSION = open_session(AUTHORIZATION.encode(), Handshake("2025-11-25", {}))


def message(method: str = "ping", **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def call(**arguments: Any) -> bytes:
    return message("tools/call", name="echo", arguments={"text": "x", **arguments})


class Connection:
    def __init__(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._port, self._reader, self.writer = port, reader, writer

    def head(self, *fields: str, line: str = "POST /mcp HTTP/1.1", length: int | None = None) -> bytes:
        lines = [line, f"Host: 127.0.0.1:{self._port}", f"Authorization: {AUTHORIZATION}", *fields]
        lines += [f"Mcp-Session-Id: {SESSION}", "Content-Type: application/json"]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        return "\r\n".join([*lines, "", ""]).encode()

    def post(self, body: bytes, *fields: str, line: str = "POST /mcp HTTP/1.1") -> bytes:
        return self.head(*fields, line=line, length=len(body)) + body

    async def answer(self) -> tuple[str, bytes]:
        """Return the head and the body of the next answer, whose length is known."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line for line in head.splitlines() if line.startswith("content-length: "))
        return head, await self._reader.readexactly(int(length.removeprefix("content-length: ")))

    async def rest(self) -> bytes:
        with contextlib.suppress(ConnectionError):
            return await self._reader.read()
        return b""


@asynccontextmanager
async def connection(listener: RunningListener) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    with anyio.fail_after(20):
        yield Connection(listener.port, reader, writer)
    writer.close()


async def test_a_request_may_arrive_byte_by_byte_and_in_chunks() -> None:
    async with open_listener() as listener, connection(listener) as one:
        for byte in one.post(message()):
            one.writer.write(bytes([byte]))
            await one.writer.drain()
            await asyncio.sleep(0)
        head, body = await one.answer()
        assert head.startswith("http/1.1 200 ok\r\n")
        assert json.loads(body)["result"] == {}
        data = message()
        chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (len(part), part) for part in (data[:5], data[5:]))
        one.writer.write(one.head("Transfer-Encoding: chunked") + chunks + b"0\r\nAuthorization: x\r\n\r\n")
        assert json.loads((await one.answer())[1])["result"] == {}


@pytest.mark.parametrize(
    ("line", "fields", "stays"),
    [
        ("POST /mcp HTTP/1.1", (), True),
        ("POST /mcp HTTP/1.1", ("Connection: close",), False),
        ("POST /mcp HTTP/1.0", (), False),
        ("POST /mcp?tools=lean HTTP/1.1", (), True),
        ("POST /%6dcp HTTP/1.1", (), True),
        ("POST http://example.org/mcp HTTP/1.1", (), True),
    ],
)
async def test_a_connection_is_kept_if_the_client_wants_it(line: str, fields: tuple[str, ...], stays: bool) -> None:
    async with open_listener() as listener, connection(listener) as one:
        for _ in range(2 if stays else 1):
            one.writer.write(one.post(call(), *fields, line=line))
            head, body = await one.answer()
            assert json.loads(body)["result"]["isError"] is False
            assert ("connection: close" in head) is not stays
        if not stays:
            assert await one.rest() == b""


async def test_a_client_of_http_1_0_gets_no_events() -> None:
    async with open_listener() as listener, connection(listener) as one:
        body = message("tools/call", name="echo", arguments={"text": "x"}, _meta={"progressToken": 1})
        one.writer.write(one.post(body, line="POST /mcp HTTP/1.0"))
        assert json.loads((await one.answer())[1])["result"]["isError"] is False


async def test_the_last_answer_on_a_connection_may_be_events() -> None:
    async with open_listener() as listener, connection(listener) as one:
        body = message("tools/call", name="echo", arguments={"text": "x"}, _meta={"progressToken": 1})
        one.writer.write(one.post(body, "Connection: close"))
        answer = await one.rest()
        assert answer.count(b"data: ") == 2
        assert answer.endswith(b"\r\n0\r\n\r\n")


async def test_a_client_that_asks_first_whether_to_send_the_body_is_answered() -> None:
    async with open_listener() as listener, connection(listener) as one:
        body = message()
        one.writer.write(one.head("Expect: 100-continue", length=len(body)))
        assert await one._reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.writer.write(body)
        assert json.loads((await one.answer())[1])["result"] == {}
        one.writer.write(one.head("Expect: 100-continue", length=2**30))
        head, _ = await one.answer()
        assert head.startswith("http/1.1 413 ")


async def test_the_answer_to_head_has_no_body() -> None:
    async with open_listener() as listener, connection(listener) as one:
        one.writer.write(one.head(line="HEAD /mcp HTTP/1.1"))
        head = await one._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 405 ")
        one.writer.write(one.post(message()))
        assert (await one.answer())[0].startswith("http/1.1 200 ")


@pytest.mark.parametrize("name", ["Host", "Authorization", "Origin", "Mcp-Session-Id"])
async def test_a_header_that_is_repeated_opens_nothing(name: str) -> None:
    async with open_listener() as listener, connection(listener) as one:
        one.writer.write(one.post(message(), f"{name}: x", f"{name}: y"))
        head, _ = await one.answer()
        assert head[:12] in ("http/1.1 401", "http/1.1 403", "http/1.1 404")


async def test_a_client_that_leaves_before_the_end_of_its_request_uses_no_quota() -> None:
    async with open_listener() as listener:
        quota = listener.streamable_http.quota_of(LOCAL)
        async with connection(listener) as one:
            one.writer.write(one.head(length=2**20) + b"x" * 1000)
            with anyio.fail_after(10):
                while quota._used != 1000:
                    await anyio.sleep(0.01)
        with anyio.fail_after(10):
            while quota._used != 0:
                await anyio.sleep(0.01)


async def test_each_way_to_end_a_request_gives_its_quota_back() -> None:
    async with open_listener() as listener, connection(listener) as one:
        quota = listener.streamable_http.quota_of(LOCAL)
        notification = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
        for body in (message(), call(), call(fail=True), notification, b"{", b"[]", message("none")):
            one.writer.write(one.post(body))
            await one.answer()
        stateless = "Mcp-Protocol-Version: 2026-07-28"
        one.writer.write(one.post(message(), stateless))  # the SDK answers
        await one.answer()
        one.writer.write(one.post(message("initialize")))
        await one.answer()
        with anyio.fail_after(10):
            while quota._used != 0:
                await anyio.sleep(0.01)
        assert listener.streamable_http._calls == {}


async def test_a_client_that_does_not_read_its_answer_is_not_answered_again() -> None:
    async with open_listener() as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1)
        one = Connection(listener.port, reader, writer)
        long = call(text="x" * 2**20)
        with anyio.fail_after(20), contextlib.suppress(ConnectionError):
            for _ in range(100):
                writer.write(one.post(long))
                await writer.drain()
                with anyio.move_on_after(0.05):
                    await listener.probe.cancelled.wait()
            raise AssertionError
        writer.close()


async def test_a_stopping_server_answers_what_it_works_on_and_closes_the_connection() -> None:
    async with open_listener() as listener, connection(listener) as one, connection(listener) as idle:
        idle.writer.write(idle.post(message()))
        await idle.answer()
        one.writer.write(one.post(call(wait=True)))
        await listener.probe.started.wait()
        listener.server.should_exit = True
        assert await idle.rest() == b""
        listener.streamable_http.stop()
        head, body = await one.answer()
        assert "connection: close" in head
        assert "The hub was stopped" in json.loads(body)["error"]["message"]
        assert await one.rest() == b""


async def test_a_stopping_server_does_not_wait_for_the_rest_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DRAIN_SECONDS", 0.1)
    async with open_listener() as listener, connection(listener) as one:
        one.writer.write(one.head("Expect: 100-continue", length=10))
        await one._reader.readuntil(b"\r\n\r\n")
        listener.server.should_exit = True
        assert await one.rest() == b""
