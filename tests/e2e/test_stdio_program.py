"""A client over stdio keeps its connection when the hub's container is restarted under it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest
from anyio.to_thread import run_sync
from mcp.client.client import Client

from codebuddy_testing.clients import answer, connected_over_stdio_program, content_of
from codebuddy_testing.deployment import Deployment
from codebuddy_testing.waiting import DEADLINE_SECONDS, wait_until

pytestmark = pytest.mark.anyio

FILE = "project-a/src/index.ts"
Open = Callable[[str], AbstractAsyncContextManager[Client]]
ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])


@pytest.fixture
def open_client(fleet: Deployment) -> Open:
    return lambda mode: connected_over_stdio_program(fleet.state / "codebuddy-stdio.py", f"{fleet.name}-hub", mode)


async def restart_hub(fleet: Deployment) -> None:
    await run_sync(fleet.container("hub").restart)
    await run_sync(wait_until, fleet.is_healthy, "the fleet is healthy again")


@ERAS
async def test_an_idle_client_notices_nothing_of_a_restart(fleet: Deployment, open_client: Open, mode: str) -> None:
    async with open_client(mode) as client:
        before = await client.list_tools()
        await restart_hub(fleet)
        assert await client.list_tools() == before
        assert (await answer(client, "read_file", path=FILE))[0]
        assert (await answer(client, "run_command", argv=["true"], projects=["project-a"]))[0]


@ERAS
async def test_calls_during_a_restart_are_answered(fleet: Deployment, open_client: Open, mode: str) -> None:
    started = anyio.Event()
    run: list[Any] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        if "started" in (message or ""):
            started.set()

    async with open_client(mode) as client:
        await client.list_tools()

        async def run_for_long() -> None:
            arguments = {"argv": ["sh", "-c", "echo started; sleep 600"], "projects": ["project-a"]}
            run.append(await client.call_tool("run_command", arguments, progress_callback=on_progress))

        with anyio.fail_after(2 * DEADLINE_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run_for_long)
                await started.wait()
                tasks.start_soon(restart_hub, fleet)
                while not run:  # each read reaches the old hub, the new one, or both
                    assert (await answer(client, "read_file", path=FILE))[0]
    assert content_of(run[0])["code"] == "hub_restarted"
