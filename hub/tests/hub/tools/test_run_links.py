"""A run outlives the link on which it was asked for: real programs under a real agent, whose link to the hub breaks."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.run_tools import RunTools
from codebuddy.agent.run_tools import run_tools as agent_tools
from codebuddy.configuration import SpokeConfiguration
from codebuddy.hub.spokes import LinkLost
from codebuddy.hub.tools import runs as module
from codebuddy.hub.tools.runs import job_tools, run_tools
from codebuddy.schemas.runs import RunResult, RunResults
from codebuddy.tool import LOCAL, Call, ToolError, parse_arguments
from codebuddy_testing.fake_spokes import FakeSpokes
from codebuddy_testing.links import PROXY, Agent, HubSide, Proxy, hub_side, link_token, until_linked

pytestmark = pytest.mark.anyio

PROJECT = "project-a"
# Prints a line, waits for a file of that name, and prints another; appends its process id to a file at its start.
WAITS = 'echo $$ >> started; echo first; while [ ! -e "$0" ]; do sleep 0.02; done; echo last'


@dataclass
class Fleet:
    """A hub and an agent with a proxy between them."""

    hub: HubSide
    proxy: Proxy
    folder: Path
    told: list[tuple[float, str | None]] = field(default_factory=list)

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    async def call(self, name: str, **arguments: Any) -> Any:
        """Call a tool of the hub."""
        projects = frozenset({PROJECT})
        tools = {
            one.name: one for one in [*run_tools(self.hub.links, projects, 8), *job_tools(self.hub.links, projects)]
        }

        async def report(progress: float, _total: float | None = None, message: str | None = None, /) -> None:
            self.told.append((progress, message))

        return await tools[name].handler(Call(LOCAL, report), parse_arguments(tools[name], arguments))

    async def run(self, *argv: str, **arguments: Any) -> RunResult:
        (result,) = (await self.call("run_command", argv=list(argv), **arguments)).results
        return RunResult.model_validate(result.model_dump())

    async def until_printed(self, text: str) -> None:
        await until(lambda: text in self.printed)

    @property
    def printed(self) -> str:
        return "".join(message or "" for _, message in self.told)

    @property
    def started(self) -> list[int]:
        """The process ids of the runs of `WAITS`."""
        path = self.workspace / "started"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def let_go(self) -> None:
        """Let `WAITS` end."""
        (self.workspace / "go").touch()


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@asynccontextmanager
async def agent_running(hub: HubSide, folder: Path) -> AsyncIterator[RunTools]:
    """Run an agent's run tools with a link to the hub."""
    (folder / "workspace").mkdir(exist_ok=True)
    configuration = SpokeConfiguration.model_validate({"project": PROJECT, "profile": "python"})
    tools = RunTools(configuration, Tree(PROJECT, folder / "workspace"), folder / "runs")
    agent = Agent(PROJECT, folder, agent_tools(tools))
    async with tools.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(agent.dial, hub)
        yield tools
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def fleet_in(folder: Path, with_agent: bool = True, port: int = 0) -> AsyncIterator[Fleet]:
    async with hub_side(port) as hub:
        hub.proxy = PROXY
        proxy = Proxy(hub.port)
        async with proxy.running():
            fleet = Fleet(hub, proxy, folder)
            if not with_agent:
                yield fleet
                return
            async with agent_running(hub, folder):
                await until_linked(hub.links, PROJECT)
                yield fleet


@asynccontextmanager
async def in_background(work: Awaitable[RunResult]) -> AsyncIterator[asyncio.Future[RunResult]]:
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_run_whose_link_breaks_is_answered_as_if_nothing_had_happened(tmp_path: Path) -> None:
    async with fleet_in(tmp_path) as fleet, in_background(fleet.run("sh", "-c", WAITS, "go")) as running:
        await fleet.until_printed("first")
        for _ in range(3):
            link = fleet.hub.links.get(PROJECT)
            fleet.proxy.cut()
            await until_linked(fleet.hub.links, PROJECT, not_this=link)
        fleet.let_go()
        result = await asyncio.wait_for(running, 20)
    assert (result.reason, result.exit_code, result.output) == ("exited", 0, "first\nlast\n")
    assert len(fleet.started) == 1
    assert fleet.printed == "first\nlast\n"
    assert [value for value, _ in fleet.told] == sorted({value for value, _ in fleet.told})


async def test_a_run_that_ended_while_its_link_was_broken_is_answered(tmp_path: Path) -> None:
    async with fleet_in(tmp_path) as fleet, in_background(fleet.run("sh", "-c", WAITS, "go")) as running:
        await fleet.until_printed("first")
        fleet.proxy.cut(for_good=True)
        (pid,) = fleet.started
        fleet.let_go()
        await until(lambda: not is_alive(pid))
        fleet.proxy.mend()
        result = await asyncio.wait_for(running, 20)
    assert (result.reason, result.exit_code, result.output) == ("exited", 0, "first\nlast\n")


async def test_a_run_whose_link_does_not_come_back_is_told_with_its_output_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REATTACH_SECONDS", 0.3)
    async with fleet_in(tmp_path) as fleet:
        async with in_background(fleet.run("sh", "-c", WAITS, "go")) as running:
            await fleet.until_printed("first")
            fleet.proxy.cut(for_good=True)
            result = await asyncio.wait_for(running, 20)
        assert (result.reason, result.output) == ("no_answer", "first\n")
        assert result.job_id is not None
        assert result.duration_seconds >= 0.3
        assert result.job_id in (result.message or "")
        assert "list_jobs" in (result.message or "")
        fleet.proxy.mend()
        await until_linked(fleet.hub.links, PROJECT)
        (job,) = (await fleet.call("list_jobs")).jobs
        assert (job.job_id, job.reason) == (result.job_id, None)
        fleet.let_go()
        page = await fleet.call("job_output", job_id=result.job_id, pattern="last", wait_seconds=20)
        assert [match.line_text for match in page.matches] == ["last"]
        page = await fleet.call("job_output", job_id=result.job_id, offset=6, wait_seconds=20)
        while not page.complete:
            page = await fleet.call("job_output", job_id=result.job_id, cursor=page.cursor, wait_seconds=20)
        assert (page.reason, page.exit_code) == ("exited", 0)


async def test_a_run_whose_client_left_while_the_link_was_broken_ends_when_it_is_back(tmp_path: Path) -> None:
    async with fleet_in(tmp_path) as fleet:
        async with in_background(fleet.run("sh", "-c", WAITS, "go")):
            await fleet.until_printed("first")
            (pid,) = fleet.started
            fleet.proxy.cut(for_good=True)
            await until(lambda: fleet.hub.links.get(PROJECT) is None)
        assert is_alive(pid)
        fleet.proxy.mend()
        await until_linked(fleet.hub.links, PROJECT)
        await until(lambda: not is_alive(pid))


async def test_a_run_whose_client_leaves_ends(tmp_path: Path) -> None:
    async with fleet_in(tmp_path) as fleet:
        async with in_background(fleet.run("sh", "-c", WAITS, "go")):
            await fleet.until_printed("first")
        (pid,) = fleet.started
        await until(lambda: not is_alive(pid))
        assert (await fleet.call("list_jobs")).jobs == []


async def test_the_runs_of_a_hub_that_was_killed_end_when_the_next_one_is_there(tmp_path: Path) -> None:
    async with hub_side() as one:
        known = HubSide(one.links, one.port, one.stopping, PROXY)
    async with agent_running(known, tmp_path):
        async with fleet_in(tmp_path, with_agent=False, port=known.port) as fleet:
            await until_linked(fleet.hub.links, PROJECT)
            async with in_background(fleet.run("sh", "-c", WAITS, "go")):
                await fleet.until_printed("first")
                fleet.proxy.cut(for_good=True)
        (pid,) = fleet.started
        assert is_alive(pid)
        async with hub_side(known.port) as following, Proxy(following.port).running():
            await until(lambda: not is_alive(pid))


async def test_a_run_that_outlasts_the_wait_goes_on_as_a_job(tmp_path: Path) -> None:
    async with fleet_in(tmp_path) as fleet:
        result = await fleet.run("sh", "-c", WAITS, "go", wait_seconds=0.5)
        assert (result.reason, result.output, result.truncated) == (None, "first\n", False)
        assert result.job_id is not None
        shown = RunResults.of([result]).text()
        for word in (result.job_id, str(result.cursor), "cancel_job", "first"):
            assert word in shown
        told = list(fleet.told)
        link = fleet.hub.links.get(PROJECT)
        fleet.proxy.cut()  # what nobody waits for does not end with its link either
        await until_linked(fleet.hub.links, PROJECT, not_this=link)
        fleet.let_go()
        page = await fleet.call("job_output", job_id=result.job_id, cursor=result.cursor, wait_seconds=20)
        assert page.output == "last\n"
        assert fleet.told == told
        await until(lambda: not is_alive(fleet.started[0]))
        ended = await fleet.call("cancel_job", job_id=result.job_id)
        assert (ended.reason, ended.exit_code) == ("exited", 0)


async def test_the_time_out_of_a_run_that_goes_on_stays(tmp_path: Path) -> None:
    async with fleet_in(tmp_path) as fleet:
        result = await fleet.run("sleep", "600", wait_seconds=0, timeout_seconds=0.5)
        assert result.reason is None
        page = await fleet.call("job_output", job_id=result.job_id, wait_seconds=20)
        assert page.reason == "timeout"


async def test_a_spoke_that_was_restarted_during_a_run_says_so(tmp_path: Path) -> None:
    async with fleet_in(tmp_path, with_agent=False) as fleet:
        async with agent_running(fleet.hub, tmp_path) as tools:
            await until_linked(fleet.hub.links, PROJECT)
            running = asyncio.create_task(fleet.run("sh", "-c", WAITS, "go"))
            await fleet.until_printed("first")
            fleet.proxy.cut(for_good=True)  # as when it is killed: nothing is answered any more
            await until(lambda: fleet.hub.links.get(PROJECT) is None)
            assert tools.runs.all()
        fleet.proxy.mend()
        async with agent_running(fleet.hub, tmp_path):
            result = await asyncio.wait_for(running, 20)
    assert (result.reason, result.output) == ("agent_restart", "first\n")


async def test_a_spoke_that_stops_tells_of_its_runs_at_once(tmp_path: Path) -> None:
    async with fleet_in(tmp_path, with_agent=False) as fleet, agent_running(fleet.hub, tmp_path) as tools:
        await until_linked(fleet.hub.links, PROJECT)
        async with in_background(fleet.run("sh", "-c", WAITS, "go")) as running:
            await fleet.until_printed("first")
            await tools.end_all()
            result = await asyncio.wait_for(running, 1)
    assert (result.reason, result.output) == ("agent_restart", "first\n")


async def test_a_run_is_not_started_again_by_the_same_id(tmp_path: Path) -> None:
    async with fleet_in(tmp_path) as fleet:
        sent = {"argv": ["sh", "-c", WAITS, "go"], "job_id": f"{PROJECT}:0123456789ab", "wait_seconds": 0.3}
        for _ in range(2):
            again = await fleet.hub.links.call(PROJECT, "run_command", sent, RunResult)
            assert again.job_id == sent["job_id"]
        fleet.let_go()
        ended = await fleet.hub.links.call(PROJECT, "run_command", {**sent, "wait_seconds": 20}, RunResult)
        assert ended.job_id == sent["job_id"]
        assert len(fleet.started) == 1


async def test_a_spoke_that_is_late_with_its_answer_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RUN_GRACE_SECONDS", -0.5)  # the hub loses patience before the spoke answers
    async with fleet_in(tmp_path) as fleet:
        result = await fleet.run("sh", "-c", WAITS, "go", wait_seconds=2)
        assert (result.reason, result.output) == ("no_answer", "first\n")
        (job,) = (await fleet.call("list_jobs")).jobs
        with anyio.fail_after(20):
            while not job.background:  # it is a job as soon as the spoke is told
                (job,) = (await fleet.call("list_jobs")).jobs
        assert (job.job_id, job.reason) == (result.job_id, None)


async def test_a_run_that_the_spoke_was_never_asked_for_was_not_started() -> None:
    names: list[str] = []

    class Breaking(FakeSpokes):
        async def call(self, project: str, tool: str, arguments: Any, answer: Any, **more: Any) -> Any:
            names.append(tool)
            if tool == "run_command":
                raise LinkLost(project)
            raise ToolError("unknown_job", "No such job.")

        async def wait_for(self, project: str, seconds: float) -> bool:
            return True

    (tool,) = [one for one in run_tools(Breaking({"a": None}), frozenset({"a"}), 8) if one.name == "run_command"]
    told = await tool.handler(Call(LOCAL), parse_arguments(tool, {"argv": ["true"]}))
    (result,) = told.results  # type: ignore[attr-defined]
    assert (names, result.reason) == (["run_command", "attach_run"], "not_started")
    assert "nothing ran" in result.message


async def test_a_link_that_always_breaks_and_is_always_there_again_does_not_hold_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RUN_GRACE_SECONDS", 0.2)

    class Flapping(FakeSpokes):
        async def call(self, project: str, tool: str, arguments: Any, answer: Any, **more: Any) -> Any:
            await anyio.lowlevel.checkpoint()
            raise LinkLost(project)

        async def wait_for(self, project: str, seconds: float) -> bool:
            return True

    (tool,) = [one for one in run_tools(Flapping({"a": None}), frozenset({"a"}), 8) if one.name == "run_command"]
    with anyio.fail_after(10):
        told = await tool.handler(Call(LOCAL), parse_arguments(tool, {"argv": ["true"], "wait_seconds": 0.1}))
    (result,) = told.results  # type: ignore[attr-defined]
    assert result.reason == "no_answer"


AGENT = """
import asyncio, sys
from pathlib import Path
from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.run_tools import RunTools, run_tools
from codebuddy.configuration import SpokeConfiguration
from codebuddy.wire.link import LinkServer, maintain_link

async def main(url, token, folder):
    configuration = SpokeConfiguration.model_validate({"project": "project-a", "profile": "python"})
    tools = RunTools(configuration, Tree("project-a", Path(folder)), Path(folder, "runs"))
    async with tools.running():
        states = lambda state, reason: print(state, flush=True)
        await maintain_link(url, Path(token), LinkServer("a", run_tools(tools), "its log"), "project-a", states)

asyncio.run(main(*sys.argv[1:]))
"""


def child(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", program, *arguments], env=environment)


FROZEN_SECONDS = 5  # longer than it once took to close the link of an agent that did not answer: three


async def test_a_spoke_whose_process_stands_still_for_seconds_loses_neither_link_nor_run(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (tmp_path / "token").write_text(link_token(PROJECT))
    async with hub_side() as hub:
        fleet = Fleet(hub, Proxy(0), tmp_path)
        arguments = [hub.url(PROJECT), tmp_path / "token", workspace]
        with child(AGENT, *map(str, arguments)) as process:
            try:
                link = await until_linked(hub.links, PROJECT)
                async with in_background(fleet.run("sh", "-c", WAITS, "go")) as running:
                    await fleet.until_printed("first")
                    process.send_signal(signal.SIGSTOP)
                    await anyio.sleep(FROZEN_SECONDS)
                    process.send_signal(signal.SIGCONT)
                    fleet.let_go()
                    result = await asyncio.wait_for(running, 20)
                assert hub.links.get(PROJECT) is link
            finally:
                process.kill()
    assert (result.reason, result.exit_code, result.output) == ("exited", 0, "first\nlast\n")
