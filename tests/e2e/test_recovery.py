"""Processes that die are restarted; a call in the meantime fails at once and says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import connect as websocket

from codebuddy_testing.clients import Connect, answer
from codebuddy_testing.deployment import Deployment
from codebuddy_testing.processes import kill, running
from codebuddy_testing.waiting import DEADLINE_SECONDS, ENDED_SECONDS, wait_until, wait_until_async

pytestmark = pytest.mark.anyio

FROZEN_SECONDS = 30  # a second of waiting, ten in which the spoke may be late, and some for a busy machine
REFERENCES = {"path": "project-a/src/index.ts", "symbol": "report"}


def wait_until_healthy(fleet: Deployment) -> None:
    wait_until(fleet.is_healthy, "the fleet is healthy again")


@contextmanager
def paused(fleet: Deployment, project: str) -> Iterator[None]:
    """Freeze a spoke: its connection stays open, and nothing answers on it."""
    container = fleet.container(project)
    container.pause()
    try:
        yield
    finally:
        container.unpause()
        wait_until_healthy(fleet)


@pytest.mark.parametrize(("part", "process"), [("project-a", "spoke"), ("project-c", "spoke"), ("hub", "serve")])
async def test_after_a_main_process_is_killed_it_is_restarted_and_calls_succeed(
    fleet: Deployment, connect: Connect, part: str, process: str
) -> None:
    before = fleet.started_at(part)
    kill(fleet, part, process)
    wait_until(lambda: fleet.started_at(part) != before, f"{part} is restarted")
    wait_until_healthy(fleet)
    async with connect() as client:
        _, run = await answer(client, "run_command", argv=["true"])
        _, references = await answer(client, "find_references", **REFERENCES)
    assert [one["exit_code"] for one in run["results"]] == [0, 0, 0]
    assert references["complete"]


async def test_a_killed_language_server_is_restarted(fleet: Deployment, connect: Connect) -> None:
    killed = kill(fleet, "project-a", "--lsp")
    async with connect() as client:
        with anyio.fail_after(DEADLINE_SECONDS):
            while True:
                _, references = await answer(client, "find_references", **REFERENCES)
                if references["complete"]:
                    break
                # Without the server, an answer never looks as if there were no references.
                assert references["reason"] in ("server_crashed", "indexing")
    assert len(references["locations"]) >= 2
    successors = running(fleet, "project-a", "--lsp")
    assert successors
    assert not {one.identity for one in successors} & {one.identity for one in killed}


async def test_restart_language_server_starts_a_new_process_that_answers(fleet: Deployment, connect: Connect) -> None:
    before = running(fleet, "project-a", "--lsp")
    assert before
    async with connect() as client:
        _, restarted = await answer(client, "restart_language_server", projects=["project-a"])
        _, references = await answer(client, "find_references", **REFERENCES)
        _, unknown = await answer(client, "restart_language_server", name="nobody")
    (part,) = restarted["projects"]
    assert part["project"] == "project-a"
    assert {server["state"] for server in part["language_servers"]} == {"ready"}
    assert references["complete"]
    after = running(fleet, "project-a", "--lsp")
    assert not {one.identity for one in after} & {one.identity for one in before}
    assert unknown["code"] == "unknown_server"


async def test_calls_to_a_stopped_spoke_fail_at_once_and_delay_no_other_spoke(
    fleet: Deployment, connect: Connect
) -> None:
    container = fleet.container("project-b")
    container.stop()
    answers: dict[str, dict[str, Any]] = {}  # in the order in which they arrive
    try:
        async with connect() as client:

            async def ask(name: str, tool: str, **arguments: Any) -> None:
                answers[name] = (await answer(client, tool, **arguments))[1]

            async def ask_the_stopped_spoke() -> None:
                await ask("run", "run_command", argv=["true"], projects=["project-b"])
                await ask("code", "find_references", path="project-b/src/service/app.py", line=1, column=1)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(ask, "other", "run_command", argv=["sleep", "2"], projects=["project-a"]))
                tasks.start_soon(ask_the_stopped_spoke)
            await ask("both", "run_command", argv=["true"], projects=["project-a", "project-b"])
        report = fleet.health()
    finally:
        container.start()
        wait_until_healthy(fleet)
    # A run of two seconds in another spoke is slower than two calls to the stopped one.
    assert list(answers) == ["run", "code", "other", "both"]
    assert answers["other"]["results"][0]["exit_code"] == 0
    assert answers["run"]["results"][0]["reason"] == "spoke_offline"
    assert (answers["code"]["complete"], answers["code"]["reason"]) == (False, "spoke_offline")
    reasons = {result["project"]: result["reason"] for result in answers["both"]["results"]}
    assert reasons == {"project-a": "exited", "project-b": "spoke_offline"}
    assert report["status"] == "degraded"
    assert not report["projects"]["project-b"]["ready"]
    assert report["projects"]["project-b"]["reason"]
    assert report["projects"]["project-a"]["ready"]


async def test_a_call_to_a_frozen_spoke_fails_instead_of_hanging(fleet: Deployment, connect: Connect) -> None:
    with paused(fleet, "project-b"):
        async with connect() as client:
            with anyio.fail_after(FROZEN_SECONDS):
                arguments = {"argv": ["true"], "projects": ["project-b"], "wait_seconds": 1}
                _, run = await answer(client, "run_command", **arguments)
    assert run["results"][0]["reason"] == "no_answer"
    assert run["results"][0]["job_id"]


async def test_cancelling_a_call_ends_its_program_in_the_spoke(fleet: Deployment, connect: Connect) -> None:
    async with connect() as client, anyio.create_task_group() as tasks:
        arguments = {"argv": ["sleep", "918273645"], "projects": ["project-a"]}
        tasks.start_soon(client.call_tool, "run_command", arguments)
        await wait_until_async(lambda: bool(running(fleet, "project-a", "918273645")), "the program runs")
        tasks.cancel_scope.cancel()
    wait_until(lambda: not running(fleet, "project-a", "918273645"), "the program has ended", ENDED_SECONDS)


async def test_a_stopped_hub_closes_its_connections_ends_its_runs_and_exits_by_itself(fleet: Deployment) -> None:
    hub = fleet.container("hub")
    headers = {"Authorization": f"Bearer {fleet.token()}"}
    async with websocket(f"ws://127.0.0.1:{fleet.port}/", additional_headers=headers, proxy=None) as socket:
        await socket.send(json.dumps(_request(1, "initialize", INITIALIZE)))
        await socket.recv()
        await socket.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        call = {"name": "run_command", "arguments": {"argv": ["sleep", "817263549"], "projects": ["project-a"]}}
        await socket.send(json.dumps(_request(2, "tools/call", call)))
        await wait_until_async(lambda: bool(running(fleet, "project-a", "817263549")), "the program runs")
        await anyio.to_thread.run_sync(lambda: hub.stop(timeout=10))
        await socket.wait_closed()
    hub.reload()
    code = hub.attrs["State"]["ExitCode"]
    hub.start()
    wait_until_healthy(fleet)
    assert code == 0, "the engine killed the hub, which did not exit within ten seconds"
    assert socket.close_code == 1001
    assert not running(fleet, "project-a", "817263549")


INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


def _request(number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
