"""Links between the hub and agents that connect to it, on loopback addresses that stand for project networks."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from codebuddy.hub.access import LINK_AUDIENCE
from codebuddy.hub.http import MAX_SPOKE_CONNECTIONS
from codebuddy.hub.spokes import ask_each
from codebuddy.tool import ToolError
from codebuddy.wire import jsonrpc
from codebuddy.wire.calls import ERROR_KEY
from codebuddy.wire.link import LINK_PATH, reconnect_delays
from codebuddy_testing.links import Agent, hub_side, link_token, until_linked
from codebuddy_testing.listeners import Echo, token
from codebuddy_testing.socket_options import no_delay, option_of_each

pytestmark = pytest.mark.anyio


def initialized(asked: str | bytes) -> str:
    """Answer the hub's ``initialize`` as an agent would."""
    result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "a", "version": "1"}}
    return json.dumps({"jsonrpc": "2.0", "id": json.loads(asked)["id"], "result": result})


async def test_a_call_reaches_the_spoke_and_its_progress_comes_back(tmp_path: Path) -> None:
    agent = Agent("project-a", tmp_path)
    seen: list[str | None] = []

    async def progress(value: float, total: float | None = None, message: str | None = None) -> None:
        seen.append(message)

    async with hub_side() as hub, anyio.create_task_group() as tasks:
        tasks.start_soon(agent.dial, hub)
        await until_linked(hub.links, "project-a")
        answer = await hub.links.call("project-a", "echo", {"text": "hi"}, Echo, report=progress)
        tasks.cancel_scope.cancel()
    assert (answer.text_back, answer.subject, seen) == ("hi", "hub", ["half"])


async def test_neither_end_of_a_link_delays_small_messages(tmp_path: Path) -> None:
    agent = Agent("project-a", tmp_path)
    async with hub_side() as hub, anyio.create_task_group() as tasks:
        tasks.start_soon(agent.dial, hub)
        await until_linked(hub.links, "project-a")
        assert no_delay(hub.port) == [True, True]
        tasks.cancel_scope.cancel()


async def test_a_failure_in_the_spoke_keeps_its_code_and_path(tmp_path: Path) -> None:
    agent = Agent("project-a", tmp_path)
    async with hub_side() as hub, anyio.create_task_group() as tasks:
        tasks.start_soon(agent.dial, hub)
        await until_linked(hub.links, "project-a")
        with pytest.raises(ToolError) as failed:
            await hub.links.call("project-a", "echo", {"text": "x", "fail": True}, Echo)
        tasks.cancel_scope.cancel()
    assert (failed.value.code, failed.value.path) == ("asked_to_fail", "p/a.txt")


async def test_calling_a_spoke_that_is_not_connected_fails_at_once() -> None:
    async with hub_side() as hub:
        with anyio.fail_after(1), pytest.raises(ToolError) as failed:
            await hub.links.call("project-a", "echo", {"text": "x"}, Echo)
    assert failed.value.code == "spoke_offline"


async def test_a_spoke_that_goes_away_ends_its_calls(tmp_path: Path) -> None:
    agent = Agent("project-a", tmp_path)
    async with hub_side() as hub, anyio.create_task_group() as tasks:
        dialling = anyio.CancelScope()

        async def dial() -> None:
            with dialling:
                await agent.dial(hub)

        async def leave() -> None:
            await agent.probe.started.wait()
            dialling.cancel()

        tasks.start_soon(dial)
        await until_linked(hub.links, "project-a")
        tasks.start_soon(leave)
        with anyio.fail_after(5), pytest.raises(ToolError) as failed:
            await hub.links.call("project-a", "echo", {"text": "x", "wait": True}, Echo)
    assert failed.value.code == "spoke_offline"


async def test_a_spoke_that_is_frozen_ends_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paused container closes nothing: the connection stands and nobody answers."""
    monkeypatch.setattr(jsonrpc, "TICK_SECONDS", 0.01)
    headers = {"Authorization": f"Bearer {link_token('project-a')}"}
    async with hub_side() as hub, connect(hub.url("project-a"), additional_headers=headers, proxy=None) as frozen:
        asked = await frozen.recv()
        assert json.loads(asked)["method"] == "initialize"
        await frozen.send(initialized(asked))
        await until_linked(hub.links, "project-a")
        with anyio.fail_after(8), pytest.raises(ToolError) as failed:
            await hub.links.call("project-a", "echo", {"text": "x"}, Echo)
        assert hub.links.get("project-a") is None
    assert failed.value.code == "spoke_offline"


async def test_the_kernel_probes_the_peer_at_both_ends_of_a_link(tmp_path: Path) -> None:
    agent = Agent("project-a", tmp_path)
    async with hub_side() as hub, anyio.create_task_group() as tasks:
        tasks.start_soon(agent.dial, hub)
        await until_linked(hub.links, "project-a")
        assert option_of_each(hub.port, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == [1, 1]
        for option, most in ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 5)):
            assert all(value <= most for value in option_of_each(hub.port, socket.IPPROTO_TCP, option))
        # It would end a connection whose peer lives but is too slow to read.
        assert option_of_each(hub.port, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == [0, 0]
        tasks.cancel_scope.cancel()


async def test_cancelling_a_call_cancels_it_in_the_spoke(tmp_path: Path) -> None:
    agent = Agent("project-a", tmp_path)
    async with hub_side() as hub, anyio.create_task_group() as tasks:
        tasks.start_soon(agent.dial, hub)
        await until_linked(hub.links, "project-a")
        async with anyio.create_task_group() as calls:
            calls.start_soon(hub.links.call, "project-a", "echo", {"text": "x", "wait": True}, Echo)
            await agent.probe.started.wait()
            calls.cancel_scope.cancel()
        with anyio.fail_after(5):
            await agent.probe.cancelled.wait()
        tasks.cancel_scope.cancel()


async def test_a_spoke_reconnects_to_a_restarted_hub(tmp_path: Path) -> None:
    agent = Agent("project-a", tmp_path)
    async with anyio.create_task_group() as tasks:
        async with hub_side() as first:
            tasks.start_soon(agent.dial, first)
            await until_linked(first.links, "project-a")
        async with hub_side(first.port) as second:
            await until_linked(second.links, "project-a")
            answer = await second.links.call("project-a", "echo", {"text": "again"}, Echo)
        tasks.cancel_scope.cancel()
    assert answer.text_back == "again"
    assert ("disconnected", "the hub is shutting down") in agent.states


async def test_a_newer_link_of_a_project_replaces_the_older_one(tmp_path: Path) -> None:
    agent = Agent("project-a", tmp_path)
    headers = {"Authorization": f"Bearer {link_token('project-a')}"}
    async with hub_side() as hub, anyio.create_task_group() as tasks:
        tasks.start_soon(agent.dial, hub)
        older = await until_linked(hub.links, "project-a")
        async with connect(hub.url("project-a"), additional_headers=headers, proxy=None) as newer:
            asked = await newer.recv()
            await newer.send(initialized(asked))
            await until_linked(hub.links, "project-a", not_this=older)
            with anyio.fail_after(5):
                while ("disconnected", "another link of this project took its place") not in agent.states:
                    await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()


async def test_a_link_that_is_not_read_does_not_hold_up_the_next_one() -> None:
    headers = {"Authorization": f"Bearer {link_token('project-a')}"}
    async with hub_side() as hub, anyio.create_task_group() as tasks:
        address = hub.url("project-a")
        async with (
            connect(address, additional_headers=headers, proxy=None, ping_interval=None, close_timeout=0) as older,
            connect(address, additional_headers=headers, proxy=None) as newer,
        ):
            await older.send(initialized(await older.recv()))
            link = await until_linked(hub.links, "project-a")
            older.transport.pause_reading()

            async def call() -> None:
                with pytest.raises(ToolError):
                    await hub.links.call("project-a", "echo", {"text": "x" * 4_000_000}, Echo, timeout_seconds=60)

            for _ in range(4):  # more than the kernel takes
                tasks.start_soon(call)
            await newer.send(initialized(await newer.recv()))
            await until_linked(hub.links, "project-a", not_this=link)
            with anyio.fail_after(10):
                while "claim_runs" not in str(await newer.recv()):
                    pass
            older.transport.abort()


@pytest.mark.parametrize(
    ("claims", "address", "status"),
    [
        ({"projects": ["project-a"]}, "127.0.0.3", 403),
        ({"projects": ["*"]}, "127.0.0.2", 403),
        ({"projects": ["project-a", "project-b"]}, "127.0.0.2", 403),
        ({"projects": []}, "127.0.0.2", 403),
        ({"projects": ["project-a"], "aud": "codebuddy:client"}, "127.0.0.2", 401),
        ({"projects": ["project-a"], "iss": "codebuddy:other"}, "127.0.0.2", 401),
    ],
)
@pytest.mark.parametrize("path", [LINK_PATH, "/"])
async def test_a_network_takes_only_the_token_of_its_own_project(
    claims: dict[str, Any], address: str, status: int, path: str
) -> None:
    credential = token(**{"aud": LINK_AUDIENCE, **claims})
    async with hub_side() as hub:
        with pytest.raises(InvalidStatus) as refused:
            await connect(
                f"ws://{address}:{hub.port}{path}",
                additional_headers={"Authorization": f"Bearer {credential}"},
                proxy=None,
            )
    assert refused.value.response.status_code == status


async def test_a_link_without_an_mcp_handshake_is_closed_and_affects_no_other(tmp_path: Path) -> None:
    agent = Agent("project-b", tmp_path)
    headers = {"Authorization": f"Bearer {link_token('project-a')}"}
    async with hub_side() as hub, anyio.create_task_group() as tasks:
        tasks.start_soon(agent.dial, hub)
        async with connect(hub.url("project-a"), additional_headers=headers, proxy=None) as hostile:
            asked = await hostile.recv()
            refusal = {"jsonrpc": "2.0", "id": json.loads(asked)["id"], "error": {"code": -1, "message": "no"}}
            for text in ("{", "[]", "null", '{"jsonrpc":"2.0","id":99,"result":{}}'):
                await hostile.send(text)
            await hostile.send(json.dumps(refusal))
            with anyio.fail_after(5):
                await hostile.wait_closed()
        await until_linked(hub.links, "project-b")
        answer = await hub.links.call("project-b", "echo", {"text": "fine"}, Echo)
        tasks.cancel_scope.cancel()
    assert answer.text_back == "fine"


async def answering(socket: Any, answer: dict[str, Any]) -> None:
    """Be a hostile agent: finish the handshake, then give the same answer to every request."""
    await socket.send(initialized(await socket.recv()))
    async for text in socket:
        asked = json.loads(text)
        if "id" in asked:
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **answer}))


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"error": {"code": -32603, "message": "boom"}}, "bad_answer"),
        ({"result": {"content": "nonsense", "isError": "maybe"}}, "bad_answer"),
        ({"result": {"content": [], "structuredContent": {"text_back": 5}}}, "bad_answer"),
        ({"result": {"content": [], "isError": True, "_meta": {ERROR_KEY: {"code": 1}}}}, "bad_answer"),
        (
            {"result": {"content": [], "isError": True, "structuredContent": {"code": "x", "message": "y"}}},
            "bad_answer",
        ),
        ({"result": {"content": [], "isError": True, "_meta": "nonsense"}}, "bad_answer"),
        ({"result": {"content": [], "structuredContent": {"text_back": "x" * 2**21, "subject": "a"}}}, "too_large"),
    ],
)
async def test_bad_answers_of_a_hostile_agent_fail_its_own_project_only(
    tmp_path: Path, answer: dict[str, Any], code: str
) -> None:
    agent = Agent("project-b", tmp_path)
    headers = {"Authorization": f"Bearer {link_token('project-a')}"}
    async with hub_side() as hub, anyio.create_task_group() as tasks:
        tasks.start_soon(agent.dial, hub)
        async with connect(hub.url("project-a"), additional_headers=headers, proxy=None, max_size=None) as hostile:
            tasks.start_soon(answering, hostile, answer)
            await until_linked(hub.links, "project-a")
            await until_linked(hub.links, "project-b")

            async def ask(project: str) -> Echo:
                return await hub.links.call(project, "echo", {"text": "x"}, Echo)

            answers = await ask_each(["project-a", "project-b"], ask)
        tasks.cancel_scope.cancel()
    failed, fine = answers["project-a"], answers["project-b"]
    assert isinstance(failed, ToolError)
    assert failed.code == code
    assert isinstance(fine, Echo)


async def test_a_call_times_out_although_the_agent_answers_pings(tmp_path: Path) -> None:
    agent = Agent("project-a", tmp_path)
    async with hub_side() as hub, anyio.create_task_group() as tasks:
        tasks.start_soon(agent.dial, hub)
        await until_linked(hub.links, "project-a")
        with pytest.raises(ToolError) as failed:
            await hub.links.call("project-a", "echo", {"text": "x", "wait": True}, Echo, timeout_seconds=0.5)
        with anyio.fail_after(5):
            await agent.probe.cancelled.wait()
        tasks.cancel_scope.cancel()
    assert failed.value.code == "timed_out"


async def test_a_flood_of_connections_on_one_network_does_not_block_the_others() -> None:
    headers = {"Authorization": f"Bearer {link_token('project-b')}"}
    flood: list[socket.socket] = []

    def begin(port: int) -> None:
        flood.extend(
            socket.create_connection(("127.0.0.2", port), timeout=10) for _ in range(MAX_SPOKE_CONNECTIONS + 20)
        )

    def is_closed(one: socket.socket) -> bool:
        try:
            return one.recv(1) == b""
        except ConnectionResetError:
            return True

    async with hub_side() as hub:
        await anyio.to_thread.run_sync(begin, hub.port)
        try:
            async with connect(hub.url("project-b"), additional_headers=headers, proxy=None) as other:
                assert json.loads(await other.recv())["method"] == "initialize"
            assert await anyio.to_thread.run_sync(is_closed, flood[-1])
        finally:
            for one in flood:
                one.close()


async def test_one_failing_project_fails_no_other() -> None:
    async def ask(project: str) -> str:
        if project == "bad":
            raise ToolError("spoke_offline", "gone")
        return project

    answers = await ask_each(["b", "bad", "a"], ask)
    assert list(answers) == ["b", "bad", "a"]
    assert (answers["a"], answers["b"]) == ("a", "b")
    assert isinstance(answers["bad"], ToolError)


def test_waits_double_from_half_a_second_to_fifteen() -> None:
    def longest(low: float, high: float) -> float:
        assert low == high / 2
        return high

    pauses = reconnect_delays(uniform=longest)
    assert [next(pauses) for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]
    pauses = reconnect_delays(1, longest)
    assert [next(pauses) for _ in range(4)] == [0.5, 1.0, 1.0, 1.0]
