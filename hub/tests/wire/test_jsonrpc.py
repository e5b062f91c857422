"""JSON-RPC on a channel withstands a peer that floods it, reads nothing or sends nonsense."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from pydantic_core import from_json

from codebuddy.wire import jsonrpc
from codebuddy.wire.jsonrpc import (
    ANSWER_TOO_LONG,
    MAX_CONCURRENT_REQUESTS,
    MAX_ID_CHARACTERS,
    MAX_MESSAGE_BYTES,
    MAX_PROGRESS_CHARACTERS,
    ChannelClosed,
    ConnectionLost,
    Incoming,
    PendingRequest,
    RemoteError,
    RequestQuota,
    RpcConnection,
    is_id,
)

pytestmark = pytest.mark.anyio


class Flood:
    """A channel whose other side sends requests for ever, and reads answers only once ``reads`` is set."""

    def __init__(self, reads: bool) -> None:
        self.asked = 0
        self.sent: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        if reads:
            self.reads.set()

    async def receive(self) -> str:
        await asyncio.sleep(0)
        if self.asked == 10 * MAX_CONCURRENT_REQUESTS:
            raise ChannelClosed
        self.asked += 1
        return json.dumps({"jsonrpc": "2.0", "id": self.asked, "method": "ping"})

    async def send(self, text: str) -> None:
        await self.reads.wait()
        self.sent.append(json.loads(text))


async def test_a_peer_that_reads_no_answers_is_soon_not_read_from() -> None:
    channel = Flood(reads=False)
    running = asyncio.create_task(RpcConnection(channel).run())
    for _ in range(20 * MAX_CONCURRENT_REQUESTS):
        await asyncio.sleep(0)
    assert channel.asked == MAX_CONCURRENT_REQUESTS + 1
    channel.reads.set()
    await running
    assert channel.asked == 10 * MAX_CONCURRENT_REQUESTS


class Pair:
    """One end of two channels that are joined in memory."""

    def __init__(self, reads: asyncio.Queue[str], writes: asyncio.Queue[str]) -> None:
        self._reads, self._writes = reads, writes

    async def receive(self) -> str:
        return await self._reads.get()

    async def send(self, text: str) -> None:
        await self._writes.put(text)


@asynccontextmanager
async def joined(serve: Any, quota: RequestQuota | None = None) -> AsyncIterator[RpcConnection]:
    """Return the client's end of a connection whose other end serves."""
    there, back = asyncio.Queue[str](), asyncio.Queue[str]()
    server, client = RpcConnection(Pair(there, back), serve, quota=quota), RpcConnection(Pair(back, there))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run)
        tasks.start_soon(client.run)
        yield client
        tasks.cancel_scope.cancel()


async def test_an_answer_that_is_too_long_becomes_an_error_and_the_connection_survives() -> None:
    async def serve(incoming: Incoming) -> Any:
        return {"text": "x" * (MAX_MESSAGE_BYTES if incoming.method == "long" else 1)}

    async with joined(serve) as wire:
        with pytest.raises(RemoteError, match="too long to be sent") as raised:
            await wire.request("long", None)
        assert raised.value.code == ANSWER_TOO_LONG
        assert (await wire.request("short", None)).result == {"text": "x"}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_nan_and_infinity_are_sent_as_null(number: float) -> None:
    async def serve(_incoming: Incoming) -> Any:
        return {"seconds": number}

    async with joined(serve) as wire:
        with anyio.fail_after(5):
            assert (await wire.request("any", None)).result == {"seconds": None}


async def test_requests_beyond_the_quota_are_refused_until_some_are_answered() -> None:
    go_on, served = asyncio.Event(), 0

    async def serve(_incoming: Incoming) -> Any:
        nonlocal served
        served += 1
        await go_on.wait()
        return {}

    quota = RequestQuota(3 * 2**20)
    async with joined(serve, quota) as one, joined(serve, quota) as other, anyio.create_task_group() as tasks:
        large = {"text": "x" * 2**20}
        tasks.start_soon(one.request, "a", large)
        tasks.start_soon(other.request, "b", large)
        while served < 2:
            await asyncio.sleep(0)
        refused = pytest.raises(RemoteError, match="Requests of nearly 3 MiB are being answered; wait for one of them")
        with anyio.fail_after(20), refused:
            await other.request("c", large)
        go_on.set()
        await asyncio.sleep(0.05)
        assert (await other.request("c", large)).result == {}


async def test_too_many_concurrent_requests_are_refused_with_a_sentence() -> None:
    channel, done = Flood(reads=True), asyncio.Event()

    async def serve(_incoming: Any) -> dict[str, Any]:
        await done.wait()
        return {}

    running = asyncio.create_task(RpcConnection(channel, serve).run())
    while not channel.sent:
        await asyncio.sleep(0)
    assert "wait for one of them" in channel.sent[0]["error"]["message"]
    done.set()
    await running


async def test_progress_that_is_not_consumed_is_bounded() -> None:
    waits = asyncio.Event()
    told: list[str | None] = []

    async def report(_progress: float, _total: float | None, message: str | None) -> None:
        await waits.wait()
        told.append(message)

    pending = PendingRequest(report)
    for number in range(300):
        pending.add_progress({"progress": number, "message": "x" * 3 * MAX_PROGRESS_CHARACTERS})
        await asyncio.sleep(0)
    pending.add_progress({"progress": 10**400, "message": "too far"})
    waits.set()
    assert pending.reporting is not None
    await pending.reporting
    assert 1 < len(told) <= 34
    assert {len(message or "") for message in told} == {MAX_PROGRESS_CHARACTERS}


async def test_numbers_that_cannot_be_sent_on_are_no_progress() -> None:
    told: list[tuple[float, float | None]] = []

    async def report(progress: float, total: float | None, _message: str | None) -> None:
        told.append((progress, total))

    pending = PendingRequest(report)
    for number in ("1e999", "-1e999", "1.7e308", "9" * 400, "true", '"5"', "5"):
        pending.add_progress(from_json(f'{{"progress": {number}, "total": 1e999}}', allow_inf_nan=False))
    assert pending.reporting is not None
    await pending.reporting
    assert told == [(5, None)]


async def waits(incoming: Incoming) -> Any:
    if incoming.method != "ping":
        await anyio.sleep_forever()
    return {}


class FakePeer:
    """What the kernel says of the other end."""

    def __init__(self, *, gone: bool = False, grows: bool = False) -> None:
        self._received, self._gone, self._grows = 0, gone, grows

    def bytes_received(self) -> int:
        self._received += self._grows
        return self._received

    def is_gone(self) -> bool:
        return self._gone


async def hangs(peer: FakePeer | None, seconds: float) -> bool:
    """Say whether a peer that answers nothing counts as hung within a time, while a request is under way."""
    silent = RpcConnection(Pair(asyncio.Queue(), asyncio.Queue()), peer=peer)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(silent.run)
        tasks.start_soon(silent.request, "any", None)
        with anyio.move_on_after(seconds) as limit:
            await silent.wait_until_unresponsive()
        tasks.cancel_scope.cancel()
    return not limit.cancelled_caught


async def test_a_peer_is_gone_when_the_kernel_says_so_and_lives_while_parts_of_a_message_arrive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jsonrpc, "TICK_SECONDS", 0.005)
    assert await hangs(None, 20)
    assert await hangs(FakePeer(), 20)
    monkeypatch.setattr(jsonrpc, "SILENCE_TICKS", 10)
    monkeypatch.setattr(jsonrpc, "PING_TICKS", 10)
    assert not await hangs(FakePeer(grows=True), 1)
    monkeypatch.setattr(jsonrpc, "TICK_SECONDS", 60)
    assert await hangs(FakePeer(gone=True), 5)


async def test_time_in_which_the_own_loop_does_nothing_is_no_silence_of_the_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jsonrpc, "TICK_SECONDS", 0.01)
    async with joined(waits) as wire, anyio.create_task_group() as tasks:
        tasks.start_soon(wire.request, "any", None)
        watching = asyncio.create_task(wire.wait_until_unresponsive())
        for _ in range(4):
            time.sleep((jsonrpc.SILENCE_TICKS + jsonrpc.PING_TICKS) * jsonrpc.TICK_SECONDS)  # noqa: ASYNC251
            await asyncio.sleep(jsonrpc.TICK_SECONDS)
        assert not watching.done()
        watching.cancel()
        tasks.cancel_scope.cancel()


async def test_work_that_is_detached_goes_on_and_work_that_is_cancelled_does_not() -> None:
    departures: list[str] = []

    async def serve(incoming: Incoming) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            departures.append(incoming.departure)

    async with joined(serve) as wire:
        with pytest.raises(TimeoutError):
            await wire.request("any", None, detach_after=0.05)
        with anyio.move_on_after(0.05):
            await wire.request("any", None)
        with anyio.fail_after(5):
            while len(departures) < 2:
                await anyio.sleep(0.01)
        calling = asyncio.create_task(wire.request("any", None))
        await anyio.sleep(0.05)
    await asyncio.wait([calling])
    assert departures == ["detached", "cancelled", "lost"]
    assert isinstance(calling.exception(), ConnectionLost)


@pytest.mark.parametrize("leaves", [False, True], ids=["cancelled", "gone"])
async def test_work_that_is_shielded_is_completed_when_nobody_waits_any_more(leaves: bool) -> None:
    done, begun, may_end = list[str](), asyncio.Event(), asyncio.Event()

    async def serve(_incoming: Incoming) -> Any:
        with anyio.CancelScope(shield=True):
            begun.set()
            await may_end.wait()
            done.append("shielded")
        await anyio.lowlevel.checkpoint()
        done.append("the rest")

    async with joined(serve) as wire:
        calling = asyncio.create_task(wire.request("any", None))
        await begun.wait()
        if not leaves:
            calling.cancel()
            await asyncio.wait([calling])
        asyncio.get_running_loop().call_later(0.01, may_end.set)
    await asyncio.gather(calling, return_exceptions=True)
    assert done == ["shielded"]


async def test_a_cancellation_reaches_a_peer_that_reads_nothing_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonrpc, "CANCEL_SECONDS", 0.01)
    sent: list[str] = []
    may_send = asyncio.Event()
    may_send.set()

    class Slow(Pair):
        async def send(self, text: str) -> None:
            await may_send.wait()
            sent.append(json.loads(text)["method"])

    wire = RpcConnection(Slow(asyncio.Queue(), asyncio.Queue()))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wire.run)
        calling = asyncio.create_task(wire.request("any", None))
        while not sent:
            await asyncio.sleep(0)
        may_send.clear()
        calling.cancel()
        await asyncio.wait([calling])
        assert sent == ["any"]
        may_send.set()
        with anyio.fail_after(5):
            while sent != ["any", "notifications/cancelled"]:
                await asyncio.sleep(0.01)
        tasks.cancel_scope.cancel()


def test_the_length_of_an_id_is_bounded() -> None:
    assert is_id("x" * MAX_ID_CHARACTERS)
    assert not is_id("x" * (MAX_ID_CHARACTERS + 1))


async def test_requests_with_the_ids_1_and_one_as_a_string_are_two_requests() -> None:
    cancelled = list[Any]()

    async def serve(incoming: Incoming) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(incoming.request_id)

    sent, answered = asyncio.Queue[str](), asyncio.Queue[str]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(RpcConnection(Pair(sent, answered), serve).run)
        for request_id in (1, "1"):
            await sent.put(json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "wait"}))
        await anyio.wait_all_tasks_blocked()
        for request_id in ("1", 1):
            params = {"requestId": request_id}
            await sent.put(json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
        await anyio.wait_all_tasks_blocked()
        assert cancelled == ["1", 1]
        assert answered.empty()
        tasks.cancel_scope.cancel()
