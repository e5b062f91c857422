"""A server is ready when it has loaded the project, and not before, however it tells."""

from __future__ import annotations

import asyncio

import pytest

from codebuddy.language.readiness import Readiness

pytestmark = pytest.mark.anyio
BEGIN = {"kind": "begin", "title": "Loading"}
END = {"kind": "end"}


async def nothing(message: str) -> None:
    return None


def state(readiness: Readiness) -> str:
    return readiness.describe()["state"]


def soon() -> float:
    return asyncio.get_running_loop().time() + 10


async def test_immediate_is_ready_when_initialized_and_whatever_progress_says() -> None:
    readiness = Readiness("x", "immediate")
    assert state(readiness) == "starting"
    readiness.initialized()
    readiness.progressed("t", BEGIN)
    assert state(readiness) == "ready"


async def test_progress_is_ready_when_all_that_began_has_ended() -> None:
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


async def test_progress_is_ready_when_none_begins_at_all() -> None:
    readiness = Readiness("x", "progress", grace=0.01)
    readiness.initialized()
    assert state(readiness) == "indexing"
    assert await readiness.wait(soon(), nothing)


async def test_server_status_is_ready_when_quiescent_and_progress_shows_how_far_it_is() -> None:
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


async def test_a_server_that_reports_an_error_is_in_trouble_until_it_reports_none() -> None:
    readiness = Readiness("x", "server_status")
    readiness.initialized()
    readiness.server_status({"quiescent": True, "health": "error", "message": "no Cargo.toml"})
    assert readiness.trouble == "no Cargo.toml"
    readiness.server_status({"quiescent": True, "health": "ok"})
    assert readiness.trouble is None


async def test_waiting_ends_at_the_deadline_and_at_once_when_it_is_hopeless() -> None:
    readiness = Readiness("x", "immediate")
    assert not await readiness.wait(asyncio.get_running_loop().time() + 0.01, nothing)
    readiness.died("cannot start")
    readiness.hopeless = True
    assert not await readiness.wait(soon(), nothing)
    assert readiness.sentence() == "The language server x is dead: cannot start."
