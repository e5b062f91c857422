"""Which compiler run of a server counts, told by the order of what the server says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from codebuddy.agent.lsp import connection as module
from codebuddy.agent.lsp.config import ServerConfig
from codebuddy.agent.lsp.connection import Checks

pytestmark = pytest.mark.anyio
CONFIG = ServerConfig("rust-analyzer", ["rust-analyzer"], {"*.rs": "rust"}, ready="server_status")
RUN, LOAD, CACHES = "rust-analyzer/flycheck/0", "rustAnalyzer/Fetching", "rustAnalyzer/Indexing"


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    """The runs of a server that has loaded the project, and made its run after that."""
    monkeypatch.setattr(module, "_LINGER", 0.1)
    checks = Checks(CONFIG)
    say(checks, LOAD, "begin", "end")
    say(checks, RUN, "begin", "end")
    return checks


def say(checks: Checks, token: str, *kinds: str) -> None:
    for kind in kinds:
        checks.progressed(token, {"kind": kind})


async def ended(checks: Checks, *later: Callable[[], Any]) -> list[bool]:
    """Say after each of several steps whether a wait has ended by then."""
    waiting = asyncio.create_task(checks.wait(asyncio.get_running_loop().time() + 10))
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


async def soon(checks: Checks) -> bool:
    return await checks.wait(asyncio.get_running_loop().time() + 10)


async def test_nothing_is_waited_for_when_all_runs_have_ended(checks: Checks) -> None:
    assert await soon(checks)
    assert await ended(checks) == [True]


async def test_what_was_found_before_a_load_is_dropped_so_the_run_after_it_is_waited_for(checks: Checks) -> None:
    assert await soon(checks)
    say(checks, LOAD, "begin", "end")
    say(checks, CACHES, "begin", "end")
    steps = [lambda: say(checks, RUN, "begin"), lambda: say(checks, RUN, "end")]
    assert await ended(checks, *steps) == [False, False, True]


async def test_each_step_of_a_load_counts_anew(checks: Checks) -> None:
    assert await soon(checks)
    say(checks, LOAD, "begin", "end")
    say(checks, RUN, "begin", "end")
    say(checks, "rustAnalyzer/Roots Scanned", "begin", "end")
    assert await ended(checks) == [False]


async def test_a_run_that_a_load_may_have_cut_off_is_not_yet_the_last(checks: Checks) -> None:
    assert await soon(checks)
    checks.files_changed()
    assert checks.take_stale()
    say(checks, LOAD, "end")
    # Which of the two is it? The other is there a moment after it, or there is none.
    steps = [lambda: say(checks, RUN, "begin", "end"), lambda: say(checks, RUN, "begin")]
    assert await ended(checks, *steps) == [False, False, False]
    say(checks, RUN, "end")
    assert await soon(checks)


async def test_a_run_that_begins_by_itself_is_let_begin_before_another_is_asked_for(checks: Checks) -> None:
    say(checks, LOAD, "begin", "end")
    checks.files_changed()
    assert checks.stale
    beginning = asyncio.create_task(checks.begun(asyncio.get_running_loop().time() + 10))
    await asyncio.sleep(0)
    assert not beginning.done()
    say(checks, RUN, "begin")
    await beginning
    assert checks.take_stale()
    assert not checks.take_stale()
    # The first is ended for the second.
    steps = [lambda: say(checks, RUN, "end"), lambda: say(checks, RUN, "begin"), lambda: say(checks, RUN, "end")]
    assert await ended(checks, *steps) == [False, False, False, True]


async def test_several_who_wait_all_see_the_run_that_was_cut_off_for_what_it_is(checks: Checks) -> None:
    assert await soon(checks)
    checks.files_changed()
    assert checks.take_stale()
    say(checks, LOAD, "end")
    say(checks, RUN, "begin", "end")
    steps = [lambda: say(checks, RUN, "begin"), lambda: say(checks, RUN, "end")]
    both = await asyncio.gather(ended(checks, *steps), ended(checks))
    assert both == [[False, False, False], [False]]
    assert await soon(checks)


async def test_a_load_while_another_run_may_begin_is_waited_for_too(checks: Checks) -> None:
    checks.files_changed()
    assert checks.take_stale()
    say(checks, LOAD, "end")
    say(checks, RUN, "begin", "end")
    steps = [lambda: say(checks, LOAD, "end"), lambda: say(checks, RUN, "begin"), lambda: say(checks, RUN, "end")]
    assert (await ended(checks, *steps))[:3] == [False, False, False]
    assert await soon(checks)


async def test_a_load_that_no_run_comes_after_holds_up_no_new_one(
    checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BEGINNING", 0.01)
    say(checks, LOAD, "end")
    await checks.begun(asyncio.get_running_loop().time() + 1000)


async def test_nobody_waits_for_a_server_that_is_gone(checks: Checks) -> None:
    say(checks, LOAD, "begin", "end")
    checks.close()
    assert not await soon(checks)
    await checks.begun(asyncio.get_running_loop().time() + 10)
