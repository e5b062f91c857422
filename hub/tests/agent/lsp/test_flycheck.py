"""Which compiler run of a server counts follows from the order of its progress notifications."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from codebuddy.agent.lsp import connection
from codebuddy.agent.lsp.config import ServerConfig
from codebuddy.agent.lsp.connection import Flycheck

pytestmark = pytest.mark.anyio
CONFIG = ServerConfig("rust-analyzer", ["rust-analyzer"], {"*.rs": "rust"}, ready="server_status")
RUN, LOAD, CACHES = "rust-analyzer/flycheck/0", "rustAnalyzer/Fetching", "rustAnalyzer/Indexing"


@pytest.fixture
def flycheck(monkeypatch: pytest.MonkeyPatch) -> Flycheck:
    """The runs of a server that has loaded the project and run its compiler after that."""
    monkeypatch.setattr(connection, "_LINGER", 0.1)
    flycheck = Flycheck(CONFIG)
    say(flycheck, LOAD, "begin", "end")
    say(flycheck, RUN, "begin", "end")
    return flycheck


def say(flycheck: Flycheck, token: str, *kinds: str) -> None:
    for kind in kinds:
        flycheck.progressed(token, {"kind": kind})


async def ended(flycheck: Flycheck, *later: Callable[[], Any]) -> list[bool]:
    """Say after each step whether a wait has ended by then."""
    waiting = asyncio.create_task(flycheck.wait(asyncio.get_running_loop().time() + 10))
    found = []
    try:
        for step in (lambda: None, *later):
            step()
            for _ in range(10):
                await asyncio.sleep(0)
            found.append(waiting.done())
    finally:
        waiting.cancel()
    return found


async def soon(flycheck: Flycheck) -> bool:
    return await flycheck.wait(asyncio.get_running_loop().time() + 10)


async def test_no_wait_when_all_runs_have_ended(flycheck: Flycheck) -> None:
    assert await soon(flycheck)
    assert await ended(flycheck) == [True]


async def test_the_run_after_a_load_is_waited_for_because_earlier_results_are_dropped(flycheck: Flycheck) -> None:
    assert await soon(flycheck)
    say(flycheck, LOAD, "begin", "end")
    say(flycheck, CACHES, "begin", "end")
    steps = [lambda: say(flycheck, RUN, "begin"), lambda: say(flycheck, RUN, "end")]
    assert await ended(flycheck, *steps) == [False, False, True]


async def test_every_step_of_a_load_is_followed_by_a_run(flycheck: Flycheck) -> None:
    assert await soon(flycheck)
    say(flycheck, LOAD, "begin", "end")
    say(flycheck, RUN, "begin", "end")
    say(flycheck, "rustAnalyzer/Roots Scanned", "begin", "end")
    assert await ended(flycheck) == [False]


async def test_a_run_that_a_load_may_have_cancelled_is_not_the_last(flycheck: Flycheck) -> None:
    assert await soon(flycheck)
    flycheck.files_changed()
    assert flycheck.take_stale()
    say(flycheck, LOAD, "end")
    # Which of the two runs is it? The other begins a moment later, or there is none.
    steps = [lambda: say(flycheck, RUN, "begin", "end"), lambda: say(flycheck, RUN, "begin")]
    assert await ended(flycheck, *steps) == [False, False, False]
    say(flycheck, RUN, "end")
    assert await soon(flycheck)


async def test_an_automatic_run_begins_before_another_is_requested(flycheck: Flycheck) -> None:
    say(flycheck, LOAD, "begin", "end")
    flycheck.files_changed()
    assert flycheck.stale
    beginning = asyncio.create_task(flycheck.begun(asyncio.get_running_loop().time() + 10))
    await asyncio.sleep(0)
    assert not beginning.done()
    say(flycheck, RUN, "begin")
    await beginning
    assert flycheck.take_stale()
    assert not flycheck.take_stale()
    # The second cancels the first.
    steps = [lambda: say(flycheck, RUN, "end"), lambda: say(flycheck, RUN, "begin"), lambda: say(flycheck, RUN, "end")]
    assert await ended(flycheck, *steps) == [False, False, False, True]


async def test_concurrent_waits_all_recognize_a_cancelled_run(flycheck: Flycheck) -> None:
    assert await soon(flycheck)
    flycheck.files_changed()
    assert flycheck.take_stale()
    say(flycheck, LOAD, "end")
    say(flycheck, RUN, "begin", "end")
    steps = [lambda: say(flycheck, RUN, "begin"), lambda: say(flycheck, RUN, "end")]
    both = await asyncio.gather(ended(flycheck, *steps), ended(flycheck))
    assert both == [[False, False, False], [False]]
    assert await soon(flycheck)


async def test_a_load_while_another_run_may_begin_is_waited_for(flycheck: Flycheck) -> None:
    flycheck.files_changed()
    assert flycheck.take_stale()
    say(flycheck, LOAD, "end")
    say(flycheck, RUN, "begin", "end")
    steps = [lambda: say(flycheck, LOAD, "end"), lambda: say(flycheck, RUN, "begin"), lambda: say(flycheck, RUN, "end")]
    assert (await ended(flycheck, *steps))[:3] == [False, False, False]
    assert await soon(flycheck)


async def test_a_load_without_a_run_does_not_block_a_new_run(
    flycheck: Flycheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_BEGINNING", 0.01)
    say(flycheck, LOAD, "end")
    await flycheck.begun(asyncio.get_running_loop().time() + 1000)


async def test_no_wait_for_a_server_that_is_gone(flycheck: Flycheck) -> None:
    say(flycheck, LOAD, "begin", "end")
    flycheck.close()
    assert not await soon(flycheck)
    await flycheck.begun(asyncio.get_running_loop().time() + 10)
