"""One budget of bytes for all clients: who waits for it, who is next, and who must make room."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from codebuddy.tool import ToolError
from codebuddy.wire import load as module
from codebuddy.wire.load import CALL_BYTES, SMALL_ROOM, Load, count, reserve

pytestmark = pytest.mark.anyio

MOST = 64 * 2**20
PART = MOST // 4


class Outlet:
    def __init__(self, unsent: int = 0) -> None:
        self._unsent, self.aborted = unsent, asyncio.Event()

    def unsent(self) -> int:
        return self._unsent

    def abort(self) -> None:
        self.aborted.set()


class Caller:
    """A call that holds some bytes until it may end."""

    def __init__(self, load: Load, client: str, size: int, outlet: Outlet | None = None) -> None:
        self._load, self._client, self._size, self._outlet = load, client, size, outlet or Outlet()
        self.holds, self.may_end = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        with self._load.hold(self._outlet, self._client):
            await reserve(self._size)
            self.holds.set()
            await self.may_end.wait()


async def settled() -> None:
    """Let all others go on as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_client_that_holds_least_is_next() -> None:
    load = Load(MOST)
    greedy = [Caller(load, "greedy", PART) for _ in range(8)]
    other = Caller(load, "other", PART)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for one in [*greedy, other]:
                tasks.start_soon(one.run)
                await settled()
            assert [one.holds.is_set() for one in greedy] == [True] * 3 + [False] * 5
            assert not other.holds.is_set()
            greedy[0].may_end.set()
            await other.holds.wait()
            assert sum(one.holds.is_set() for one in greedy) == 3
            assert load.used <= MOST
            for one in [*greedy, other]:
                one.may_end.set()
    assert load.used == 0


async def test_a_small_call_does_not_wait_behind_large_ones() -> None:
    load = Load(MOST)
    large = [Caller(load, "greedy", PART) for _ in range(8)]
    small = Caller(load, "greedy", 0)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for one in [*large, small]:
                tasks.start_soon(one.run)
            await small.holds.wait()
            assert load.used <= MOST + SMALL_ROOM
            for one in [*large, small]:
                one.may_end.set()


async def test_what_is_there_already_is_counted_without_waiting() -> None:
    load = Load(MOST)
    with load.hold(Outlet(), "one"):
        count(2 * MOST)
        assert load.used == 2 * MOST + CALL_BYTES
        count(PART)
        assert load.used == PART + CALL_BYTES
    assert load.used == 0


async def test_a_call_for_more_than_the_budget_gets_its_turn() -> None:
    load = Load(MOST)
    with anyio.fail_after(10), load.hold(Outlet(), "one"):
        await reserve(10 * MOST)
        assert load.used == MOST // 2


async def test_who_waits_too_long_is_told_so_and_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.001)
    load = Load(MOST)
    with load.hold(Outlet(), "one"):
        count(2 * MOST)
        held = load.used
        with load.hold(Outlet(), "two"), pytest.raises(ToolError, match="try again") as caught:
            await reserve(PART)
        assert caught.value.code == "busy"
        assert load.used == held


async def test_who_gives_up_waiting_holds_nothing() -> None:
    load = Load(MOST)
    waiting = asyncio.create_task(Caller(load, "two", PART).run())
    with load.hold(Outlet(), "one"):
        count(2 * MOST)
        held = load.used
        await settled()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert load.used == held
    assert load.used == 0


async def test_who_takes_no_answers_makes_room_when_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALLED_SECONDS", 0.0)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.001)
    load, stalled, reading = Load(MOST), Outlet(unsent=1), Outlet()
    holder, reader = Caller(load, "one", PART, stalled), Caller(load, "one", PART, reading)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(holder.run)
            tasks.start_soon(reader.run)
            await settled()
            assert not stalled.aborted.is_set()  # nobody waits yet
            more = [Caller(load, "two", PART) for _ in range(2)]
            for one in more:
                tasks.start_soon(one.run)
            await stalled.aborted.wait()
            assert not reading.aborted.is_set()
            for one in [holder, reader, *more]:
                one.may_end.set()


async def test_large_messages_are_parsed_one_at_a_time_and_small_ones_meanwhile() -> None:
    load, second = Load(), asyncio.Event()

    async def other() -> None:
        async with load.turn(2**20):
            second.set()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            async with load.turn(2**20):
                tasks.start_soon(other)
                await settled()
                async with load.turn(1000):
                    assert not second.is_set()
            await second.wait()


async def test_without_bounds_nothing_waits() -> None:
    await reserve(10 * MOST)
    count(10 * MOST)
