"""``codebuddy spoke --stdio`` beside a running agent, and alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

import codebuddy
from codebuddy.wire.calls import ERROR_KEY
from codebuddy_testing.clients import content_of

pytestmark = pytest.mark.anyio

SOURCE = {**os.environ, "PYTHONPATH": str(Path(codebuddy.__file__).parents[1])}
ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])

AGENT = """
import asyncio, sys
from pathlib import Path
from codebuddy.configuration import SpokeConfiguration
from codebuddy.agent.app import Agent
from codebuddy.agent.app import serve_local_socket
folder = Path(sys.argv[1])
agent = Agent(SpokeConfiguration.load(folder / "config.json"), folder)
print(flush=True)
asyncio.run(serve_local_socket(agent.server, "p", folder / "agent.sock"))
"""

STDIO = """
import asyncio, sys
from pathlib import Path
from codebuddy.agent.stdio import serve_stdio
folder = Path(sys.argv[1])
sys.exit(asyncio.run(serve_stdio(folder / "config.json", folder, folder / "agent.sock")))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"project": "p", "profile": "python"}))
    return tmp_path


@contextmanager
def agent(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """An agent's local socket, served by a process of its own."""
    command = [sys.executable, "-c", AGENT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=SOURCE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


async def listening(folder: Path) -> None:
    with anyio.fail_after(20):
        while not (folder / "agent.sock").exists():
            await anyio.sleep(0.01)


def client(folder: Path, mode: str) -> Client:
    return Client(StdioServerParameters(command=sys.executable, args=["-c", STDIO, str(folder)], env=SOURCE), mode=mode)


async def agent_of_a_command(connected: Client) -> int:
    """Run a command that tells for which agent it runs: its supervisor's parent's parent."""
    parent = "p = open(f'/proc/{p}/stat').read().rsplit(')', 1)[1].split()[1]"
    program = f"import os\np = os.getppid()\n{parent}\n{parent}\nprint(p)"
    argv = [sys.executable, "-c", program]
    result = await connected.call_tool("run_command", {"argv": argv})
    assert not result.is_error
    return int(result.structured_content["output"])


def started(folder: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", STDIO, str(folder)], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=SOURCE
    )


def message(ident: int, method: str, params: dict[str, Any]) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": params}) + "\n"


HANDSHAKE = message(
    1, "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
)


@ERAS
async def test_where_an_agent_runs_it_answers(folder: Path, mode: str) -> None:
    with agent(folder) as process:
        await listening(folder)
        assert (folder / "agent.sock").stat().st_mode & 0o777 == 0o600
        async with client(folder, mode) as connected:
            assert await agent_of_a_command(connected) == process.pid


@ERAS
async def test_where_no_agent_runs_it_answers_itself(folder: Path, mode: str) -> None:
    async with client(folder, mode) as connected:
        listed = (await connected.list_tools()).tools
        assert await agent_of_a_command(connected) != os.getpid()
    names = {tool.name for tool in listed}
    assert {"find_references", "diagnostics", "run_command"} <= names
    changing = {tool.name for tool in listed if tool.annotations is None or not tool.annotations.read_only_hint}
    assert changing == {"run_command", "run_task", "cancel_job", "restart_language_server"}
    assert not {"plan_rename", "files_changed", "spoke_status"} & names


async def test_what_a_program_prints_arrives_byte_for_byte_in_both_forms(folder: Path) -> None:
    makefile = "all: a  \n\tcc -o $@ \\\n\t\t$^\n\n" + "".join(f"# {number:05}\t\n" for number in range(3000))
    (folder / "Makefile").write_text(makefile)
    printed = 'printf "\\033[32mgreen\\033[0m\\r10 %%\\r100 %%\\n"; cat Makefile'
    async with client(folder, "legacy") as connected:
        result = await connected.call_tool("run_command", {"argv": ["sh", "-c", printed], "output_limit": 131_072})
        cut = await connected.call_tool("run_command", {"argv": ["cat", "Makefile"], "output_limit": 300})
    assert result.structured_content == {"exit_code": 0, "output": f"100 %\n{makefile}"}
    (content,) = result.content
    shown = content.text.removeprefix("exit_code: 0\noutput:\n").split("\n")
    assert "\n".join(line.removeprefix("  ") for line in shown) + "\n" == f"100 %\n{makefile}"
    assert len(cut.structured_content["output"]) < 400
    assert cut.structured_content["job_id"] in cut.content[0].text


async def test_a_refusal_of_the_agent_arrives_as_it_is(folder: Path) -> None:
    with agent(folder):
        await listening(folder)
        async with client(folder, "legacy") as connected:
            result = await connected.call_tool("find_references", {"path": "other/x.py", "line": 1, "column": 1})
    assert content_of(result)["code"] == "outside_project"


async def test_a_client_that_ends_its_input_still_gets_its_answers(folder: Path) -> None:
    process = started(folder)
    call = message(2, "tools/call", {"name": "run_command", "arguments": {"argv": ["echo", "hi"]}})
    out, _ = await anyio.to_thread.run_sync(lambda: process.communicate(HANDSHAKE + call, timeout=60))
    answers = {answer["id"]: answer for answer in map(json.loads, out.splitlines()) if "id" in answer}
    assert answers[2]["result"]["structuredContent"]["output"] == "hi\n"
    assert process.returncode == 0


async def test_when_the_agent_goes_it_ends_with_a_sentence(folder: Path) -> None:
    with agent(folder) as running:
        await listening(folder)
        process = started(folder)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(HANDSHAKE)
        process.stdin.write(message(2, "tools/call", {"name": "run_command", "arguments": {"argv": ["sleep", "600"]}}))
        process.stdin.flush()
        await anyio.to_thread.run_sync(process.stdout.readline)
        with anyio.fail_after(30):
            while not _sleeps(running.pid):
                await anyio.sleep(0.02)
        running.kill()
        out, err = await anyio.to_thread.run_sync(lambda: process.communicate(timeout=60))
    answer = json.loads(out.splitlines()[-1])
    assert answer["result"]["_meta"][ERROR_KEY]["code"] == "spoke_offline"
    assert "went away; connect again" in err
    assert process.returncode == 1


def _sleeps(agent: int) -> bool:
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    return bool(children)


async def test_without_a_configuration_it_says_what_is_missing(tmp_path: Path) -> None:
    process = started(tmp_path)
    _, err = await anyio.to_thread.run_sync(lambda: process.communicate("", timeout=60))
    assert f"{tmp_path}/config.json cannot be used" in err
    assert process.returncode == 1
