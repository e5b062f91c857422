"""What dies comes back by itself, and whoever asks in the meantime is told so, at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import connect as websocket

from codebuddy_testing.clients import Connect
from codebuddy_testing.deployment import Deployment
from codebuddy_testing.processes import kill, running

pytestmark = pytest.mark.anyio

HEALTHY_AGAIN_SECONDS = 20


def health(fleet: Deployment) -> dict[str, Any]:
    try:
        return dict(fleet.get("/health", fleet.token()).json())
    except OSError:  # nobody answers
        return {"status": "down", "projects": {}}


def wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.05)


def started_at(fleet: Deployment, part: str) -> str:
    container = fleet.container(part)
    return str(container.attrs["State"]["StartedAt"])


@contextmanager
def paused(fleet: Deployment, project: str) -> Iterator[None]:
    """Freeze a spoke: its connection stands, and nobody answers on it."""
    container = fleet.container(project)
    container.pause()
    try:
        yield
    finally:
        container.unpause()
        wait(lambda: health(fleet)["status"] == "ok", HEALTHY_AGAIN_SECONDS)


@pytest.mark.parametrize(("part", "process"), [("project-a", "spoke"), ("project-c", "spoke"), ("hub", "serve")])
async def test_a_killed_process_is_back_and_the_next_call_works(
    fleet: Deployment, connect: Connect, part: str, process: str
) -> None:
    before = started_at(fleet, part)
    kill(fleet, part, process)
    wait(lambda: started_at(fleet, part) != before, HEALTHY_AGAIN_SECONDS)
    wait(lambda: health(fleet)["status"] == "ok", HEALTHY_AGAIN_SECONDS)
    async with connect() as client:
        run = await client.call_tool("run_command", {"argv": ["true"]})
        word = {"path": "project-a/src/index.ts", "symbol": "report"}
        code = await client.call_tool("find_references", word)
    assert run.structured_content is not None
    assert [one["exit_code"] for one in run.structured_content["results"]] == [0, 0, 0]
    assert code.structured_content is not None
    assert code.structured_content["complete"]


async def test_a_killed_language_server_is_back(fleet: Deployment, connect: Connect) -> None:
    killed = kill(fleet, "project-a", "--lsp")
    async with connect() as client:
        word = {"path": "project-a/src/index.ts", "symbol": "report"}
        with anyio.fail_after(HEALTHY_AGAIN_SECONDS):
            while True:
                answer = (await client.call_tool("find_references", word)).structured_content
                assert answer is not None
                if answer["complete"]:
                    break
                # While it is away, an answer never looks as if there were nothing.
                assert answer["reason"] in ("server_crashed", "indexing")
    assert len(answer["locations"]) >= 2
    successors = running(fleet, "project-a", "--lsp")
    assert successors
    assert not {one.identity for one in successors} & {one.identity for one in killed}


async def test_a_language_server_that_is_restarted_is_another_process_and_answers(
    fleet: Deployment, connect: Connect
) -> None:
    before = running(fleet, "project-a", "--lsp")
    assert before
    async with connect() as client:
        restarted = await client.call_tool("restart_language_server", {"projects": ["project-a"]})
        word = {"path": "project-a/src/index.ts", "symbol": "report"}
        answer = (await client.call_tool("find_references", word)).structured_content
        unknown = await client.call_tool("restart_language_server", {"name": "nobody"})
    assert restarted.structured_content is not None
    (part,) = restarted.structured_content["projects"]
    assert part["project"] == "project-a"
    assert {server["state"] for server in part["language_servers"]} == {"ready"}
    assert answer is not None
    assert answer["complete"]
    after = running(fleet, "project-a", "--lsp")
    assert not {one.identity for one in after} & {one.identity for one in before}
    assert unknown.structured_content is not None
    assert unknown.structured_content["code"] == "unknown_server"


async def test_a_stopped_spoke_is_told_within_a_second_and_delays_no_other(fleet: Deployment, connect: Connect) -> None:
    container = fleet.container("project-b")
    container.stop()
    try:
        async with connect() as client:
            with anyio.fail_after(1):
                one = await client.call_tool("run_command", {"argv": ["true"], "projects": ["project-b"]})
            with anyio.fail_after(1):
                code = await client.call_tool(
                    "find_references", {"path": "project-b/src/service/app.py", "line": 1, "column": 1}
                )
            both = await client.call_tool("run_command", {"argv": ["true"], "projects": ["project-a", "project-b"]})
        report = health(fleet)
    finally:
        container.start()
        wait(lambda: health(fleet)["status"] == "ok", HEALTHY_AGAIN_SECONDS)
    assert one.structured_content is not None
    assert one.structured_content["results"][0]["reason"] == "spoke_offline"
    assert code.structured_content is not None
    assert (code.structured_content["complete"], code.structured_content["reason"]) == (False, "spoke_offline")
    assert both.structured_content is not None
    reasons = {result["project"]: result["reason"] for result in both.structured_content["results"]}
    assert reasons == {"project-a": "exited", "project-b": "spoke_offline"}
    assert report["status"] == "degraded"
    assert not report["projects"]["project-b"]["ready"]
    assert report["projects"]["project-b"]["reason"]
    assert report["projects"]["project-a"]["ready"]


async def test_a_frozen_spoke_does_not_hang_its_callers(fleet: Deployment, connect: Connect) -> None:
    with paused(fleet, "project-b"):
        async with connect() as client:
            with anyio.fail_after(8):
                answer = await client.call_tool("run_command", {"argv": ["true"], "projects": ["project-b"]})
    assert answer.structured_content is not None
    assert answer.structured_content["results"][0]["reason"] == "spoke_offline"


async def test_cancelling_ends_the_program_in_the_spoke(fleet: Deployment, connect: Connect) -> None:
    async with connect() as client, anyio.create_task_group() as tasks:
        arguments = {"argv": ["sleep", "918273645"], "projects": ["project-a"]}
        tasks.start_soon(client.call_tool, "run_command", arguments)
        while not running(fleet, "project-a", "918273645"):
            await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()
    wait(lambda: not running(fleet, "project-a", "918273645"), 5)


async def test_a_hub_that_is_stopped_says_goodbye_ends_what_runs_and_is_gone_within_ten_seconds(
    fleet: Deployment,
) -> None:
    hub = fleet.container("hub")
    headers = {"Authorization": f"Bearer {fleet.token()}"}
    async with websocket(f"ws://127.0.0.1:{fleet.port}/", additional_headers=headers, proxy=None) as socket:
        await socket.send(json.dumps(_request(1, "initialize", INITIALIZE)))
        await socket.recv()
        await socket.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        call = {"name": "run_command", "arguments": {"argv": ["sleep", "817263549"], "projects": ["project-a"]}}
        await socket.send(json.dumps(_request(2, "tools/call", call)))
        while not running(fleet, "project-a", "817263549"):
            await anyio.sleep(0.05)
        before = time.monotonic()
        await anyio.to_thread.run_sync(lambda: hub.stop(timeout=10))
        took = time.monotonic() - before
        await socket.wait_closed()
    hub.reload()
    code = hub.attrs["State"]["ExitCode"]
    hub.start()
    wait(lambda: health(fleet)["status"] == "ok", HEALTHY_AGAIN_SECONDS)
    assert code == 0, "it was killed, for it did not end by itself"
    assert took < 10
    assert socket.close_code == 1001
    assert not running(fleet, "project-a", "817263549")


INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


def _request(number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
