"""A server is ready once it has loaded the project and not before, whatever announces it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from codebuddy.agent.lsp.readiness import Readiness

pytestmark = pytest.mark.anyio
BEGIN = {"kind": "begin", "title": "Loading"}
END = {"kind": "end"}


async def nothing(message: str) -> None:
    return None


def state(readiness: Readiness) -> str:
    return readiness.describe()["state"]


def soon() -> float:
    return asyncio.get_running_loop().time() + 10


async def test_immediate_is_ready_when_initialized_regardless_of_progress() -> None:
    readiness = Readiness("x", "immediate")
    assert state(readiness) == "starting"
    readiness.initialized()
    readiness.progressed("t", BEGIN)
    assert state(readiness) == "ready"


async def test_progress_is_ready_when_every_progress_has_ended() -> None:
    readiness = Readiness("x", "progress", grace=100)
    readiness.initialized()
    readiness.progressed("a", BEGIN)
    readiness.progressed("b", BEGIN)
    readiness.progressed("a", {"kind": "report", "percentage": 40})
    readiness.progressed("a", END)
    assert readiness.describe() == {"name": "x", "state": "indexing", "reason": "Loading", "percent": 40}
    readiness.progressed("b", END)
    assert state(readiness) == "ready"
    readiness.progressed("c", BEGIN)
    assert state(readiness) == "indexing"
    readiness.starting()


async def test_progress_is_ready_when_no_progress_begins() -> None:
    readiness = Readiness("x", "progress", grace=0.01)
    readiness.initialized()
    readiness.answered()
    assert state(readiness) == "indexing"
    assert await readiness.wait(soon(), nothing)


async def test_a_server_that_does_not_answer_yet_is_not_ready() -> None:
    readiness = Readiness("x", "progress", grace=0.01)
    readiness.initialized()
    assert not await readiness.wait(asyncio.get_running_loop().time() + 0.1, nothing)
    readiness.answered()
    assert await readiness.wait(soon(), nothing)


async def test_server_status_is_ready_when_quiescent_and_progress_gives_the_percentage() -> None:
    readiness = Readiness("x", "server_status")
    readiness.initialized()
    readiness.progressed("a", BEGIN)
    readiness.progressed("a", {"kind": "report", "percentage": 40})
    readiness.progressed("a", END)
    assert readiness.describe()["percent"] == 40
    assert "40 %" in readiness.sentence()
    readiness.server_status({"quiescent": True, "health": "ok"})
    assert state(readiness) == "ready"
    loads = readiness.loads
    readiness.server_status({"quiescent": False, "health": "ok"})
    assert state(readiness) == "indexing"
    assert readiness.loads == loads + 1


async def test_a_server_is_degraded_while_it_reports_an_error_but_not_a_warning() -> None:
    readiness = Readiness("x", "server_status")
    readiness.initialized()
    readiness.server_status({"quiescent": True, "health": "error", "message": "no Cargo.toml"})
    assert (state(readiness), readiness.sentence()) == (
        "degraded",
        "The language server x is degraded: no Cargo.toml.",
    )
    assert await readiness.wait(soon(), nothing)  # waiting does not help
    readiness.server_status({"quiescent": True, "health": "warning", "message": "a crate is old"})
    assert (state(readiness), readiness.describe()["reason"]) == ("ready", "a crate is old")
    readiness.server_status({"quiescent": True, "health": "ok"})
    assert (state(readiness), readiness.trouble) == ("ready", None)


async def test_a_late_load_is_degraded_and_not_waited_for_until_it_ends() -> None:
    readiness = Readiness("x", "progress", load_seconds=0.02)
    readiness.initialized()
    readiness.progressed("a", BEGIN)
    assert not await readiness.wait(soon(), nothing)
    assert state(readiness) == "degraded"
    assert readiness.describe()["reason"] == "loading has not ended in 0 s (Loading)"
    readiness.progressed("b", {"kind": "begin", "title": "Still loading"})
    readiness.progressed("a", END)
    assert state(readiness) == "degraded"
    readiness.progressed("b", END)
    assert state(readiness) == "ready"


async def test_the_steps_of_a_load_share_its_time_limit() -> None:
    readiness = Readiness("x", "progress", load_seconds=0.05)
    readiness.initialized()
    for step in range(1000):
        readiness.progressed(step, BEGIN)
        if state(readiness) == "degraded":
            break
        await asyncio.sleep(0.001)
    assert state(readiness) == "degraded"


async def test_log_is_ready_when_ready_log_matches() -> None:
    readiness = Readiness("x", "log", ready_log=r"loaded \d+ files")
    readiness.initialized()
    readiness.logged("loaded some files")
    readiness.progressed("t", END)
    assert state(readiness) == "indexing"
    readiness.logged("[info] loaded 7 files in 2 s")
    assert state(readiness) == "ready"
    readiness.starting()
    readiness.logged("[info] loaded 7 files in 2 s")  # before it has answered: counts as soon as it has
    assert state(readiness) == "starting"
    readiness.initialized()
    assert state(readiness) == "ready"


async def test_a_local_request_needs_only_a_server_that_answers() -> None:
    readiness = Readiness("x", "progress", grace=100)
    assert not await readiness.wait(asyncio.get_running_loop().time() + 0.01, nothing, local=True)
    readiness.initialized()
    assert await readiness.wait(soon(), nothing, local=True)
    assert state(readiness) == "indexing"


async def test_a_stopped_server_is_waited_for() -> None:
    readiness = Readiness("x", "immediate")
    readiness.stopped("idle")
    waiting = asyncio.create_task(readiness.wait(soon(), nothing))
    await asyncio.sleep(0)
    readiness.starting()
    readiness.initialized()
    assert await waiting


@pytest.mark.parametrize("hostile", [{"title": [[]]}, {"kind": []}, {"kind": "report", "percentage": "1"}])
async def test_invalid_progress_changes_nothing(hostile: dict[str, Any]) -> None:
    readiness = Readiness("x", "progress", grace=100)
    readiness.initialized()
    readiness.progressed("t", hostile)
    assert readiness.describe() == {"name": "x", "state": "indexing", "reason": "loading the project", "percent": None}


async def test_waiting_ends_at_the_deadline_and_immediately_if_hopeless() -> None:
    readiness = Readiness("x", "immediate")
    assert not await readiness.wait(asyncio.get_running_loop().time() + 0.01, nothing)
    readiness.died("cannot start")
    readiness.hopeless = True
    assert not await readiness.wait(soon(), nothing)
    assert readiness.sentence() == "The language server x is dead: cannot start."
