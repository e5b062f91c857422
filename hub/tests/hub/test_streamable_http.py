"""Streamable HTTP as plain messages: sessions, how an answer is sent, cancelling, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import anyio
import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from codebuddy.hub import access, http, streamable_http
from codebuddy.hub.streamable_http import Exchange, Handshake, handshake_of, open_session
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES
from codebuddy_testing.clients import connected
from codebuddy_testing.listeners import RunningListener, open_listener, token

pytestmark = pytest.mark.anyio

BOTH = "application/json, text/event-stream"
HANDSHAKE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
STATELESS = {"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "echo"}
TOKEN = token()


def request(number: Any, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}


def call(number: Any, *, meta: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"name": "echo", "arguments": {"text": "x", **arguments}}
    return request(number, "tools/call", params if meta is None else {**params, "_meta": meta})


def cancelled(number: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}


def events(answer: httpx2.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"] == "text/event-stream"
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


@asynccontextmanager
async def client_of(listener: RunningListener, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{listener.port}",
        headers={"Authorization": f"Bearer {TOKEN}", "Accept": BOTH, **headers},
        trust_env=False,
    ) as client:
        yield client


async def begin(client: httpx2.AsyncClient) -> str:
    opened = await client.post("/mcp", json=request(0, "initialize", HANDSHAKE))
    session = client.headers["Mcp-Session-Id"] = opened.headers["mcp-session-id"]
    assert opened.headers["content-type"] == "application/json"
    assert opened.json()["result"]["protocolVersion"] == "2025-11-25"
    noted = await client.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (noted.status_code, noted.text) == (202, "")
    return str(session)


async def test_a_session_lives_on_in_a_restarted_hub() -> None:
    async with open_listener() as first, client_of(first) as client:
        session = await begin(client)
    async with open_listener() as second, client_of(second, **{"Mcp-Session-Id": session}) as client:
        answer = await client.post("/mcp", json=call(1))
        listed = await client.post("/mcp", json=request(2, "tools/list"))
    assert answer.json()["result"]["structuredContent"]["text_back"] == "x"
    assert [tool["name"] for tool in listed.json()["result"]["tools"]] == ["echo"]


def test_an_id_says_what_was_agreed_on_only_with_the_token_that_it_was_made_with() -> None:
    asked = {"elicitation": {"form": {}, "other": {}}, "sampling": {}, "roots": None, "experimental": {"x": {}}}
    session = open_session(b"Bearer a", Handshake("2025-06-18", asked))
    agreed = Handshake("2025-06-18", {"elicitation": {"form": {}}, "sampling": {}})
    assert handshake_of(b"Bearer a", session) == agreed
    assert handshake_of(b"Bearer b", session) is None
    assert handshake_of(b"Bearer a", session.replace("2025-06-18", "2025-11-25")) is None
    assert handshake_of(b"Bearer a", session.replace(".efs.", ".efus.")) is None
    assert handshake_of(b"Bearer a", "") is None
    assert open_session(b"Bearer a", agreed) != session
    assert handshake_of(b"Bearer a", open_session(b"Bearer a", Handshake("2025-06-18", {}))) == ("2025-06-18", {})
    assert all(0x21 <= ord(character) <= 0x7E for character in session)


@pytest.mark.parametrize("session", ["abc", "2025-11-25.x.y", "ümlaut", "x" * 5000])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_an_id_that_is_not_ours_is_answered_404_so_that_the_client_begins_anew(method: str, session: str) -> None:
    async with open_listener() as listener, client_of(listener) as client:
        answer = await client.request(
            method, "/mcp", json=call(1), headers={"Mcp-Session-Id": session.encode("latin-1")}
        )
        notified = await client.post("/mcp", json=cancelled(1), headers={"Mcp-Session-Id": session.encode("latin-1")})
    assert (answer.status_code, notified.status_code) == (404, 404)
    assert answer.json()["error"] == {
        "code": -32001,
        "message": "Session not found; begin a new one with initialize.",
    }


async def test_without_a_session_only_initialize_is_served() -> None:
    async with open_listener() as listener, client_of(listener) as client:
        answer = await client.post("/mcp", json=call(1))
    assert answer.status_code == 400
    assert "initialize" in answer.json()["error"]["message"]


async def test_deleting_a_session_cancels_its_calls_and_ends_it() -> None:
    async with open_listener() as listener, client_of(listener) as client:
        session = await begin(client)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.post("/mcp", json=call(1, wait=True)))
            await listener.probe.started.wait()
            ended = await client.delete("/mcp")
            with anyio.fail_after(5):
                await listener.probe.cancelled.wait()
        after = await client.post("/mcp", json=call(2))
        again = await client.delete("/mcp")
        assert await begin(client) != session
    assert (ended.status_code, after.status_code, again.status_code) == (200, 404, 404)


async def test_thousands_of_idle_sessions_keep_nobody_out() -> None:
    async with open_listener() as listener, client_of(listener) as client:
        for _ in range(1100):
            opened = await client.post("/mcp", json=request(0, "initialize", HANDSHAKE))
            assert opened.status_code == 200
        async with connected("http", listener.port, TOKEN, "legacy") as other:
            assert (await other.call_tool("echo", {"text": "x"})).structured_content is not None


async def test_an_idle_connection_makes_room_for_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http._LimitedConnection, "limit", 3)
    async with open_listener() as listener:
        clients = [client_of(listener) for _ in range(5)]
        for one in clients:
            assert (await (await one.__aenter__()).get("/health")).status_code == 503
        for one in clients:
            await one.__aexit__(None, None, None)


async def test_a_connection_with_half_a_request_makes_room_for_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http._LimitedConnection, "limit", 2)
    monkeypatch.setattr(http, "SLOW_REQUEST_SECONDS", 0.0)
    async with open_listener() as listener, client_of(listener) as client:
        head = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{listener.port}\r\n"
        writers = list[asyncio.StreamWriter]()
        for rest, later in (("\r\n", b"G"), ("Content-Length: 5\r\n\r\n", b"body")):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write((head + rest).encode())
            assert (await reader.readuntil(b'ok"}')).startswith(b"HTTP/1.1 200 OK\r\n")
            writer.write(later)
            writers.append(writer)
        assert (await client.get("/health")).status_code == 503
        for writer in writers:
            writer.close()


async def test_requests_before_the_answer_to_the_last_one_are_not_kept() -> None:
    """Nor would it be noticed that the client of the first one leaves."""
    async with open_listener() as listener, client_of(listener) as client:
        await begin(client)
        body = json.dumps(call(1, wait=True)).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in client.headers.items())
        head += f"Content-Type: application/json\r\nHost: 127.0.0.1:{listener.port}\r\nContent-Length: {len(body)}"
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(f"POST /mcp HTTP/1.1\r\n{head}\r\n\r\n".encode() + body)
        await listener.probe.started.wait()
        writer.write(b"GET /health HTTP/1.1\r\n\r\n")
        with anyio.fail_after(10):
            await listener.probe.cancelled.wait()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


async def test_the_requests_of_a_client_have_a_quota_on_all_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamable_http, "CLIENT_BYTES", 3 * 2**20)
    long = "x" * 2**21
    async with open_listener() as listener, client_of(listener) as client, client_of(listener) as other:
        other.headers["Authorization"] = f"Bearer {token(sub='other')}"
        await begin(client)
        await begin(other)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.post("/mcp", json=call(1, wait=True, text=long)))
            await listener.probe.started.wait()
            refused = await client.post("/mcp", json=call(2, text=long))
            assert (await other.post("/mcp", json=call(2, text=long))).status_code == 200
            async with connected("websocket", listener.port, TOKEN, "legacy") as third:
                with pytest.raises(MCPError, match="Requests of nearly 3 MiB are being answered; wait for one of them"):
                    await third.call_tool("echo", {"text": long})
            assert (await client.post("/mcp", json=cancelled(1))).status_code == 202
        assert (await client.post("/mcp", json=call(3, text=long))).status_code == 200
    assert (refused.status_code, refused.json()["error"]["message"][:26]) == (503, "Requests of nearly 3 MiB a")


@pytest.mark.parametrize("accept", [BOTH, "application/json", "*/*"])
async def test_an_answer_is_json_when_there_is_nothing_to_say_before(accept: str) -> None:
    async with open_listener() as listener, client_of(listener, Accept=accept) as client:
        await begin(client)
        answer = await client.post("/mcp", json=call("a"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["id"] == "a"
    assert answer.json()["result"]["isError"] is False


async def test_progress_makes_an_answer_a_stream_of_events() -> None:
    async with open_listener() as listener, client_of(listener) as client:
        await begin(client)
        streamed = events(await client.post("/mcp", json=call(1, meta={"progressToken": "p"})))
        failed = await client.post("/mcp", json=call(2, meta={"progressToken": "p"}, fail=True))
        client.headers["Accept"] = "application/json"
        without = await client.post("/mcp", json=call(3, meta={"progressToken": "p"}))
    progress = {"progressToken": "p", "progress": 1.0, "total": 2.0, "message": "half"}
    assert streamed[0] == {"jsonrpc": "2.0", "method": "notifications/progress", "params": progress}
    assert streamed[1]["id"] == 1
    assert len(streamed) == 2
    assert failed.json()["result"]["isError"] is True  # it failed before any progress
    assert without.json()["result"]["isError"] is False


async def test_events_hold_characters_that_some_clients_take_for_the_end_of_a_line() -> None:
    text = "a\u2028b\u2029c\u0085d"
    async with open_listener() as listener, client_of(listener) as client:
        await begin(client)
        answer = await client.post("/mcp", json=call(1, meta={"progressToken": 1}, text=text))
    assert events(answer)[1]["result"]["structuredContent"]["text_back"] == text


async def test_a_silent_call_tells_its_client_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamable_http, "SILENCE_SECONDS", 0.01)
    async with open_listener() as listener, client_of(listener) as client:
        await begin(client)
        async with client.stream("POST", "/mcp", json=call(1, wait=True)) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            lines = answer.aiter_lines()
            assert (await anext(lines)).startswith(":")
            assert (await client.post("/mcp", json=cancelled(1))).status_code == 202
            rest = [line async for line in lines]
    assert not any(line.startswith("data:") for line in rest)  # a cancelled call is not answered


async def test_a_cancelled_call_is_not_answered() -> None:
    async with open_listener() as listener, client_of(listener) as client:
        await begin(client)
        answers: list[httpx2.Response] = []

        async def ask() -> None:
            answers.append(await client.post("/mcp", json=call(1, wait=True)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await listener.probe.started.wait()
            await client.post("/mcp", json=cancelled("1"))  # another id
            assert not listener.probe.cancelled.is_set()
            noted = await client.post("/mcp", json=cancelled(1))
    assert noted.status_code == 202
    assert (answers[0].status_code, answers[0].text) == (202, "")
    assert listener.probe.cancelled.is_set()


async def test_a_call_that_is_cancelled_before_its_first_event_was_sent_has_an_end() -> None:
    written: list[bytes] = []
    flow = FlowControl(cast(asyncio.Transport, SimpleNamespace(write_at_once=written.append, close=lambda: None)))
    scope = {"method": "POST", "query_string": b"", "http_version": "1.1", "headers": []}
    cycle = SimpleNamespace(
        scope=scope,
        transport=flow._transport,
        flow=flow,
        default_headers=[],
        keep_alive=True,
        response_complete=False,
        disconnected=False,
        on_response=lambda: None,
    )
    exchange = Exchange(cast(RequestResponseCycle, cycle), set(), lambda _app: None)
    flow.pause_writing()
    with anyio.move_on_after(0):
        await exchange.notify("notifications/progress")
    exchange.respond(202)
    assert written == [b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"]


async def test_a_call_is_cancelled_in_its_own_session_only() -> None:
    async with open_listener() as listener, client_of(listener) as client, client_of(listener) as other:
        await begin(client)
        await begin(other)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.post("/mcp", json=call(1, wait=True)))
            await listener.probe.started.wait()
            await other.post("/mcp", json=cancelled(1))
            assert (await other.post("/mcp", json=call(1))).status_code == 200
            assert not listener.probe.cancelled.is_set()
            await client.post("/mcp", json=cancelled(1))


async def test_an_id_in_use_is_refused_and_the_first_call_goes_on() -> None:
    async with open_listener() as listener, client_of(listener) as client:
        await begin(client)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.post("/mcp", json=call(1, wait=True)))
            await listener.probe.started.wait()
            with anyio.fail_after(5):
                second = await client.post("/mcp", json=call(1))
            assert not listener.probe.cancelled.is_set()
            await client.post("/mcp", json=cancelled(1))
        third = await client.post("/mcp", json=call(1))
    assert second.json()["id"] == 1
    assert "A request with this id is still being answered" in second.json()["error"]["message"]
    assert "result" in third.json()


async def test_a_stopping_hub_says_so_to_those_who_wait() -> None:
    async with open_listener() as listener, client_of(listener) as client:
        await begin(client)
        answers: list[httpx2.Response] = []

        async def ask() -> None:
            answers.append(await client.post("/mcp", json=call(1, wait=True)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await listener.probe.started.wait()
            listener.streamable_http.stop()
    assert "The hub was stopped before the call was over" in answers[0].json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{not json", 400, -32700),
        (b"[]", 400, -32600),
        (json.dumps([request(1, "ping")]).encode(), 400, -32600),
        (b'"hello"', 400, -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "nothing"}', 200, -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 1}}', 200, -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "nothing"}}', 200, -32602),
        (b" " * (MAX_MESSAGE_BYTES + 1), 413, -32600),
    ],
)
async def test_what_cannot_be_served_is_refused_with_an_error(body: bytes, status: int, code: int) -> None:
    async with open_listener() as listener, client_of(listener) as client:
        await begin(client)
        answer = await client.post("/mcp", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Accept": "text/event-stream"}, 406), ({"Content-Type": "text/plain"}, 415), ({"Content-Type": ""}, 415)],
)
async def test_other_formats_than_json_are_refused(headers: dict[str, str], status: int) -> None:
    async with open_listener() as listener, client_of(listener) as client:
        await begin(client)
        answer = await client.post(
            "/mcp", content=json.dumps(call(1)), headers={"Content-Type": "application/json", **headers}
        )
    assert answer.status_code == status


async def test_a_body_in_chunks_is_bounded_too() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 1024 * 1024

    async with open_listener() as listener, client_of(listener) as client:
        answer = await client.post("/mcp", content=body(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize("flood", ["head", "body"])
async def test_an_endless_request_is_cut_off(flood: str) -> None:
    head = b"POST /mcp HTTP/1.1\r\nHost: x\r\n"
    start = head if flood == "head" else head + b"Transfer-Encoding: chunked\r\n\r\n"
    piece = b"X-A: " + b"a" * 1000 + b"\r\n" if flood == "head" else b"1\r\nx\r\n" * 1000

    def send_for_ever(port: int) -> int:
        sent = 0
        with socket.create_connection(("127.0.0.1", port), timeout=20) as one:
            one.sendall(start)
            try:
                while sent < 2**28:
                    one.sendall(piece)
                    sent += len(piece)
            except OSError:
                pass
        return sent

    async with open_listener() as listener:
        sent = await anyio.to_thread.run_sync(send_for_ever, listener.port)
    assert sent < 2**26


@pytest.mark.parametrize("headers", [{}, {"Mcp-Protocol-Version": "2026-07-28"}])
async def test_there_is_no_stream_of_unasked_messages(headers: dict[str, str]) -> None:
    async with open_listener() as listener, client_of(listener, **headers) as client:
        answers = [await client.request(method, "/mcp") for method in ("GET", "PUT", "OPTIONS", "HEAD")]
    assert {answer.status_code for answer in answers} == {405}
    assert all("POST" in answer.headers["allow"] for answer in answers)


async def test_a_stateless_call_is_answered_as_the_sdk_answers_it() -> None:
    async with open_listener() as listener, client_of(listener, **STATELESS) as client:
        ours = await client.post("/mcp", json=call(1, meta=META))
        failed = await client.post("/mcp", json=call(1, meta=META, fail=True))
        # A trace in the envelope is for the SDK.
        by_sdk = await client.post("/mcp", json=call(1, meta={**META, "traceparent": "00-0-0-00"}))
        failed_by_sdk = await client.post("/mcp", json=call(1, meta={**META, "traceparent": "00-0-0-00"}, fail=True))
    assert ours.json() == by_sdk.json()
    assert failed.json() == failed_by_sdk.json()
    assert ours.json()["result"]["resultType"] == "complete"
    assert "mcp-session-id" not in ours.headers


async def test_the_list_of_the_tools_is_as_the_sdk_makes_it() -> None:
    headers = {**STATELESS, "Mcp-Method": "tools/list"}
    async with open_listener() as listener, client_of(listener, **headers) as client:
        answers = [await client.post("/mcp", json=request(n, "tools/list", {"_meta": META})) for n in (1, 2)]
        traced = {**META, "traceparent": "00-0-0-00"}
        by_sdk = await client.post("/mcp", json=request(3, "tools/list", {"_meta": traced}))
    assert [answer.json()["id"] for answer in answers] == [1, 2]
    assert answers[0].json()["result"] == answers[1].json()["result"] == by_sdk.json()["result"]
    assert (by_sdk.json()["result"]["ttlMs"], by_sdk.json()["result"]["cacheScope"]) == (60_000, "private")


@pytest.mark.parametrize(
    ("headers", "meta", "code"),
    [
        ({"Mcp-Method": "tools/list"}, META, -32020),
        ({"Mcp-Name": "other"}, META, -32020),
        ({"Mcp-Protocol-Version": "2099-01-01"}, META, -32020),
        ({}, {**META, "io.modelcontextprotocol/protocolVersion": "2099-01-01"}, -32020),
        (
            {"Mcp-Protocol-Version": "2099-01-01"},
            {**META, "io.modelcontextprotocol/protocolVersion": "2099-01-01"},
            -32022,
        ),
        ({}, {**META, "io.modelcontextprotocol/clientInfo": 5}, -32602),
        ({}, {}, -32602),
        ({"Mcp-Protocol-Version": None}, META, -32020),
    ],
)
async def test_stateless_headers_that_differ_from_the_message_are_refused(
    headers: dict[str, str | None], meta: dict[str, Any], code: int
) -> None:
    sent = {name: value for name, value in {**STATELESS, **headers}.items() if value is not None}
    async with open_listener() as listener, client_of(listener, **sent) as client:
        answer = await client.post("/mcp", json=call(1, meta=meta))
        repeated = await client.post(
            "/mcp", json=call(1, meta=META), headers=[*STATELESS.items(), ("Mcp-Name", "other")]
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert repeated.status_code == 400


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_large_answers_reach_the_python_sdk(mode: str) -> None:
    """Its newest version takes events of at most 1 MiB; JSON it takes at any length."""

    async def on_progress(_done: float, _total: float | None, _message: str | None) -> None: ...

    async with open_listener() as listener, connected("http", listener.port, TOKEN, mode) as client:
        whole = await client.call_tool("echo", {"text": "é" * 600_000})
        shortened = await client.call_tool("echo", {"text": "x" * 700_000}, progress_callback=on_progress)
        refused = await client.call_tool("echo", {"text": "x" * 1_100_000}, progress_callback=on_progress)
    assert whole.content[0].text.count("é") == len(whole.structured_content["text_back"]) == 600_000
    assert len(shortened.structured_content["text_back"]) == 700_000
    assert shortened.content[0].text.endswith("structuredContent is whole)")
    assert refused.is_error
    assert refused.content[0].text.startswith("too_large: ")


async def test_a_token_that_expires_ends_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature is checked once; the end of its time again with each request."""
    monkeypatch.setattr(access, "LEEWAY_SECONDS", 600)
    async with open_listener() as listener, client_of(listener) as client:
        client.headers["Authorization"] = f"Bearer {token(exp=int(time.time()) - 60)}"
        await begin(client)
        assert (await client.post("/mcp", json=call(1))).status_code == 200
        monkeypatch.setattr(access, "LEEWAY_SECONDS", 5)
        answers = [await client.post("/mcp", json=call(1)) for _ in range(2)]
    assert [(one.status_code, one.json()["error"][:21]) for one in answers] == [(401, "The token has expired")] * 2


async def test_a_method_that_is_not_served_is_an_error_of_the_protocol() -> None:
    async with open_listener() as listener, connected("http", listener.port, TOKEN, "legacy") as client:
        with pytest.raises(MCPError, match="Method not found"):
            await client.list_prompts()
