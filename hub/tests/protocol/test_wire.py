"""JSON-RPC on a channel withstands one that floods it and listens to nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from codebuddy.protocol.channel import ChannelClosed
from codebuddy.protocol.messages import MAX_ID_CHARACTERS, is_id
from codebuddy.protocol.pending import MAX_PROGRESS_CHARACTERS, Pending
from codebuddy.protocol.wire import MAX_SERVED, Wire

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Flood:
    """A channel whose other side asks for ever; what is sent to it is read only when that is let."""

    def __init__(self, reads: bool) -> None:
        self.asked = 0
        self.sent: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        if reads:
            self.reads.set()

    async def receive(self) -> str:
        await asyncio.sleep(0)
        if self.asked == 10 * MAX_SERVED:
            raise ChannelClosed
        self.asked += 1
        return json.dumps({"jsonrpc": "2.0", "id": self.asked, "method": "ping"})

    async def send(self, text: str) -> None:
        await self.reads.wait()
        self.sent.append(json.loads(text))

    async def close(self, code: int, reason: str) -> None:
        return None


async def test_who_asks_and_does_not_listen_is_soon_not_read_any_more() -> None:
    channel = Flood(reads=False)
    running = asyncio.create_task(Wire(channel).run())
    for _ in range(20 * MAX_SERVED):
        await asyncio.sleep(0)
    assert channel.asked == MAX_SERVED + 1
    channel.reads.set()
    await running
    assert channel.asked == 10 * MAX_SERVED


async def test_requests_beyond_the_most_are_refused_with_a_sentence() -> None:
    channel, done = Flood(reads=True), asyncio.Event()

    async def serve(_incoming: Any) -> dict[str, Any]:
        await done.wait()
        return {}

    running = asyncio.create_task(Wire(channel, serve).run())
    while not channel.sent:
        await asyncio.sleep(0)
    assert "wait for one of them" in channel.sent[0]["error"]["message"]
    done.set()
    await running


async def test_progress_that_nobody_takes_is_kept_within_bounds() -> None:
    waits = asyncio.Event()
    told: list[str | None] = []

    async def report(_progress: float, _total: float | None, message: str | None) -> None:
        await waits.wait()
        told.append(message)

    pending = Pending(report)
    for number in range(300):
        pending.take_progress({"progress": number, "message": "x" * 3 * MAX_PROGRESS_CHARACTERS})
        await asyncio.sleep(0)
    pending.take_progress({"progress": 10**400, "message": "too far"})
    waits.set()
    assert pending.telling is not None
    await pending.telling
    assert 1 < len(told) <= 34
    assert {len(message or "") for message in told} == {MAX_PROGRESS_CHARACTERS}


def test_an_id_is_short() -> None:
    assert is_id("x" * MAX_ID_CHARACTERS)
    assert not is_id("x" * (MAX_ID_CHARACTERS + 1))
