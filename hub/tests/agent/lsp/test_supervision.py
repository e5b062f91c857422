"""A server that hangs, grows, idles or dies is ended with its children and reported, and the next one answers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from codebuddy.agent.app import server_tools
from codebuddy.agent.lsp.process import Process
from codebuddy.agent.lsp.servers import LanguageServers, Timeouts
from codebuddy.agent.lsp.tree import Tree, uri_of
from codebuddy.process_tree import MARK_VARIABLE, kill_orphans
from codebuddy.schemas.code import RestartArguments
from codebuddy.tool import LOCAL, Call, ToolError

pytestmark = pytest.mark.anyio
DEFINITION = "textDocument/definition"
CAN = {"capabilities": {"definitionProvider": True}}
QUICK = Timeouts(first_delay=0.01, longest_delay=0.05, probe=0.5, grace=0.2, memory_interval=0.05, shutdown=0.5)

PROGRESS = {"kind": "begin", "title": "Loading", "percentage": 40}
NEWS = {"notify": ["$/progress", {"token": "t", "value": PROGRESS}]}

WAYS = {
    "a child": [],
    "a child in a session of its own": ["setsid"],
    "a child of a child that is gone": ["setsid", "-f"],
}


@pytest.fixture
def found(root: Path) -> list[dict[str, Any]]:
    return [{"uri": uri_of(Tree("p", root).root / "shop.py"), "range": {"start": PLACE, "end": PLACE}}]


PLACE = {"line": 0, "character": 4}


def gone(pid: int) -> bool:
    """Say whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def state(fake: Any) -> tuple[str, str | None]:
    described = fake.servers.states()[0]
    return described["state"], described["reason"]


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def child_of(fake: Any) -> int:
    """Return the child that the server started last; 0 if there is none."""
    try:
        return int(fake.log.with_suffix(".child").read_text())
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("way", WAYS)
async def test_no_child_outlives_its_server_or_the_agent(way: str, start: Any) -> None:
    async with start({"initialized": [[{"child": WAYS[way]}]], DEFINITION: [[{"exit": 3}]]}) as fake:
        await fake.until(lambda: child_of(fake) > 0)
        first = child_of(fake)
        assert (await fake.definition()).reason == "server_crashed"
        await fake.until(lambda: gone(first))
        await fake.until(lambda: child_of(fake) != first)
        processes = [child_of(fake), *fake.processes()]
        assert not gone(processes[0])
    assert all(gone(pid) for pid in processes)


async def test_a_child_without_the_servers_environment_ends_with_it(start: Any) -> None:
    async with start({"initialized": [[{"child": ["env", "-i", "PATH=/usr/bin:/bin", "setsid"]}]]}) as fake:
        await fake.until(lambda: child_of(fake) > 0)
    assert gone(child_of(fake))


async def test_processes_of_a_killed_agent_are_ended_by_the_next_but_not_those_of_another_container() -> None:
    no_process, here = "4194304.1", os.stat("/proc/self/ns/pid").st_ino  # above the highest possible pid
    left = await asyncio.create_subprocess_exec(
        "sleep", "1000", env={**os.environ, MARK_VARIABLE: f"{here}.{no_process}.1"}
    )
    others = await asyncio.create_subprocess_exec(
        "sleep", "1000", env={**os.environ, MARK_VARIABLE: f"1.{no_process}.1"}
    )
    ours = await Process.start(["sleep", "1000"], Path("/"), dict(os.environ))
    try:
        await asyncio.to_thread(kill_orphans)
        assert await left.wait() == -signal.SIGKILL
        assert ours.exit_reason() is others.returncode is None
    finally:
        others.kill()
        await others.wait()
        await ours.kill()


async def test_the_kernel_prefers_to_kill_servers_when_memory_runs_out(start: Any) -> None:
    async with start() as fake:
        await fake.definition()
        (pid,) = fake.processes()
        assert oom_score(pid) > oom_score(os.getpid())


async def test_an_unexpected_kill_is_attributed_to_lack_of_memory(start: Any) -> None:
    async with start({"initialize": [[{"reply": CAN}], [{"deaf": True}]], DEFINITION: [[]]}) as fake:
        question = asyncio.create_task(fake.definition())
        await fake.until(lambda: bool(fake.sent(DEFINITION)))
        os.kill(fake.processes()[0], signal.SIGKILL)
        answer = await question
        assert answer.reason == "server_crashed"
        assert "signal 9" in (answer.message or "")
        assert "memory had run out" in (answer.message or "")


async def test_a_server_over_its_memory_limit_is_restarted_and_the_message_has_the_numbers(
    start: Any, found: Any
) -> None:
    on = {DEFINITION: [[{"eat": 200}], [{"reply": found}]]}
    async with start(on, timeouts=QUICK, memory=150 << 20) as fake:
        answer = await fake.definition()
        assert answer.reason == "server_crashed"
        assert "MB of memory, its limit is 150 MB" in (answer.message or "")
        assert (await fake.definition()).complete
        assert len(fake.processes()) == 2


async def test_the_memory_limit_includes_children(start: Any) -> None:
    hog = [sys.executable, "-c", "x = bytearray(b'x') * (200 << 20); import time; time.sleep(1000)"]
    on = {"initialized": [[{"child": hog}], []]}
    async with start(on, timeouts=QUICK, memory=150 << 20) as fake:
        await fake.until(lambda: len(fake.processes()) == 2)
        await fake.until(lambda: state(fake)[0] == "ready")


async def test_an_idle_server_is_stopped_and_the_next_request_starts_it(start: Any, found: Any) -> None:
    async with start({DEFINITION: [[{"reply": found}]]}, timeouts=QUICK, idle_seconds=0.2) as fake:
        assert (await fake.definition()).complete
        await fake.until(lambda: state(fake) == ("stopped", "idle; the next request starts it"))
        await fake.until(lambda: gone(fake.processes()[0]))
        assert len(fake.sent("shutdown")) == 1
        assert len(fake.processes()) == 1
        assert (await fake.definition()).complete
        assert len(fake.processes()) == 2


async def test_a_server_with_a_pending_request_is_not_idle(start: Any) -> None:
    async with start({DEFINITION: [[]]}, timeouts=QUICK, idle_seconds=0.1) as fake:
        answer = await fake.definition(timeout_seconds=2.0)
        assert answer.reason == "timed_out"  # and not server_crashed


async def test_a_hanging_server_is_replaced_after_a_timeout(start: Any, found: Any) -> None:
    async with start({DEFINITION: [[{"deaf": True}], [{"reply": found}]]}) as fake:
        await fake.until(lambda: state(fake)[0] == "ready")
        answer = await fake.definition(timeout_seconds=0.5)
        assert (answer.complete, answer.reason, answer.locations) == (False, "timed_out", [])
        assert (answer.message or "").endswith("the server answered nothing and is being restarted.")
        await fake.until(lambda: len(fake.processes()) == 2)
        assert (await fake.definition()).complete


async def test_a_slow_server_that_still_answers_is_not_replaced(start: Any, found: Any) -> None:
    async with start({DEFINITION: [[], [{"reply": found}]]}, timeouts=Timeouts()) as fake:
        await fake.until(lambda: state(fake)[0] == "ready")
        answer = await fake.definition(timeout_seconds=0.3)
        assert answer.reason == "timed_out"
        assert (answer.message or "").endswith("it was cancelled; the server still answers.")
        (cancelled,) = fake.sent("$/cancelRequest")
        assert cancelled["params"] == {"id": fake.sent(DEFINITION)[0]["id"]}
        assert (await fake.definition()).complete
        assert len(fake.processes()) == 1


async def test_after_a_timeout_the_answer_does_not_wait_for_the_whole_probe(start: Any) -> None:
    timeouts = Timeouts(first_delay=0.01, probe=60.0, verdict=0.1)
    async with start({DEFINITION: [[{"deaf": True}]]}, timeouts=timeouts) as fake:
        await fake.until(lambda: state(fake)[0] == "ready")
        answer = await fake.definition(timeout_seconds=0.3)
        assert "has answered nothing since, and it is restarted if that goes on for 60 s" in (answer.message or "")


async def test_a_server_that_closes_its_input_is_replaced(start: Any, found: Any) -> None:
    async with start({DEFINITION: [[{"close": 0}], [{"reply": found}]]}) as fake:
        assert not (await fake.definition(timeout_seconds=1.0)).complete
        await fake.until(lambda: len(fake.processes()) == 2)
        assert (await fake.definition()).complete


async def test_a_crash_at_the_start_is_noticed_while_a_child_holds_the_output(start: Any, found: Any) -> None:
    on = {"initialize": [[{"child": []}, {"exit": 3}], [{"reply": CAN}]], DEFINITION: [[{"reply": found}]]}
    async with start(on) as fake:
        assert (await fake.definition(timeout_seconds=10.0)).complete
        assert len(fake.processes()) == 2


async def test_an_empty_answer_of_a_server_that_then_exits_does_not_count(start: Any) -> None:
    async with start({DEFINITION: [[{"reply": []}, {"exit": 1}]]}) as fake:
        answer = await fake.definition()
        assert (answer.complete, answer.reason) == (False, "server_crashed")


async def test_the_line_of_stderr_with_the_error_is_the_reason(start: Any) -> None:
    said = [{"stderr": line} for line in ("starting", "Error: no tsserver", "    at main.js:5", "", "Node.js v24")]
    async with start({DEFINITION: [[*said, {"exit": 1}]]}) as fake:
        answer = await fake.definition()
        assert (answer.message or "").endswith("it ended with status 1: Error: no tsserver.")


async def test_a_requested_restart_ends_a_hanging_server_without_delay(start: Any, found: Any) -> None:
    on = {DEFINITION: [[{"deaf": True}], [{"reply": found}]]}
    async with start(on, timeouts=Timeouts(first_delay=60.0)) as fake:
        question = asyncio.create_task(fake.definition(timeout_seconds=60.0))
        await fake.until(lambda: bool(fake.sent(DEFINITION)))
        fake.server.restart()
        answer = await question
        assert answer.reason == "server_crashed"
        assert "it is being restarted on request" in (answer.message or "")
        assert (await fake.definition()).complete
        assert gone(fake.processes()[0])


async def test_a_request_is_repeated_if_its_server_is_renewed_because_files_changed(
    start: Any, root: Path, found: Any
) -> None:
    (root / "old.py").write_text("x = 1\n")
    async with start({DEFINITION: [[], [{"reply": found}]]}, refresh="restart") as fake:
        question = asyncio.create_task(fake.definition(timeout_seconds=30.0))
        await fake.until(lambda: bool(fake.sent(DEFINITION)))
        (root / "old.py").unlink()
        assert (await fake.definition()).complete  # this request renews the server
        assert (await question).complete
        assert len(fake.processes()) == 2


async def test_a_requested_restart_waits_for_neither_the_delay_nor_a_request(start: Any) -> None:
    async with start({"initialize": [[{"exit": 1}], [{"reply": CAN}]]}, timeouts=Timeouts(first_delay=60.0)) as fake:
        await fake.until(lambda: state(fake)[0] == "dead")
        fake.server.restart()
        await fake.until(lambda: state(fake)[0] == "ready")
    async with start({}, timeouts=QUICK, idle_seconds=0.2) as fake:
        await fake.until(lambda: state(fake)[0] == "stopped")
        fake.server.config = replace(fake.server.config, idle_seconds=None)  # or it may stop again before it is ready
        fake.server.restart()
        await fake.until(lambda: state(fake)[0] == "ready")


async def test_the_tool_restarts_the_named_server_and_reports_its_state_after_loading(start: Any) -> None:
    async with start({"initialized": [[], [NEWS]]}, ready="progress", timeouts=QUICK) as fake:
        tool = {tool.name: tool for tool in server_tools(fake.servers)}["restart_language_server"]
        with pytest.raises(ToolError, match="p has no language server 'nobody'; it has: fake") as refused:
            await tool.handler(Call(LOCAL), RestartArguments(name="nobody"))
        assert refused.value.code == "unknown_server"
        await fake.until(lambda: state(fake)[0] == "ready")
        answer = await tool.handler(Call(LOCAL), RestartArguments(name="fake", timeout_seconds=1.0))
        assert [(one.name, one.state, one.percent) for one in answer.language_servers] == [("fake", "indexing", 40)]
        answer = await tool.handler(Call(LOCAL), RestartArguments(timeout_seconds=0.5))
        assert len(answer.language_servers) == 1
        assert len(fake.processes()) == 3


async def test_the_exit_status_and_the_last_line_of_stderr_are_the_reason(start: Any) -> None:
    async with start({DEFINITION: [[{"exit": 3}]], "initialize": [[{"reply": CAN}], [{"deaf": True}]]}) as fake:
        await fake.definition()
        await fake.until(lambda: fake.servers.states()[0]["reason"] == "it ended with status 3: last words")


async def test_a_cancelled_agent_shuts_its_servers_down(start: Any) -> None:
    async with start() as fake:
        await fake.definition()
        other = LanguageServers(
            "p", fake.servers.tree.root, [fake.servers.server_for(fake.servers.tree.root / "main.py").config]
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other.run)
            await fake.until(lambda: other.states()[0]["state"] == "ready")
            tasks.cancel_scope.cancel()
        assert len(fake.processes()) == 2
        assert gone(fake.processes()[1])
        assert len(fake.sent("shutdown")) == len(fake.sent("exit")) == 1
        await fake.until(lambda: not [task for task in asyncio.all_tasks() if "Connection" in repr(task)][1:])
