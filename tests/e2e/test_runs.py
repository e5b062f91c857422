"""Commands, tasks and jobs in real spokes: whatever a run does, it is bounded, told as it was, and gone at its end."""

from __future__ import annotations

import fcntl
import json
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client

from codebuddy_testing.clients import Connect
from codebuddy_testing.deployment import Deployment
from codebuddy_testing.processes import kill

pytestmark = pytest.mark.anyio

GONE_SECONDS = 5

# Tells of every process that a run started: what ends with the spoke alone is in nobody's run.
MARKED = """
import os
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        if b"SCENARIO_MARK=1" in open(f"/proc/{name}/environ", "rb").read().split(b"\\0"):
            print(name)
    except OSError:
        pass
"""
RSS = """
import os
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{name}/cmdline").read().split(chr(0))
        if "codebuddy" in words and "spoke" in words and "-m" in words:
            print(next(line.split()[1] for line in open(f"/proc/{name}/status") if line.startswith("VmRSS")))
    except OSError:
        pass
"""


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert result.structured_content is not None
    assert not result.is_error, result.structured_content
    return dict(result.structured_content)


async def run(client: Client, *argv: str, project: str = "project-b", **options: Any) -> dict[str, Any]:
    environment = {"SCENARIO_MARK": "1", **options.pop("environment", {})}
    told = await call(client, "run_command", argv=list(argv), projects=[project], environment=environment, **options)
    (result,) = told["results"]
    return dict(result)


def python(program: str) -> tuple[str, ...]:
    return ("python3", "-c", program)


def marked(fleet: Deployment, project: str = "project-b") -> list[str]:
    return fleet.python(project, MARKED).output.split()


def rss(fleet: Deployment, project: str) -> int:
    return int(fleet.python(project, RSS).output.split()[0])


async def until(condition: Callable[[], bool], seconds: float = GONE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be in time"
        await anyio.sleep(0.1)


@pytest.fixture(scope="module", autouse=True)
def nothing_stays(fleet: Deployment) -> Iterator[None]:
    """After all of this no process of a run is left in any spoke, and the agent is as large as it was."""
    before = {}
    for project in fleet.projects:
        fleet.run(project, "true")
        before[project] = fleet.container(project).attrs["State"]["StartedAt"], rss(fleet, project)
    yield
    time.sleep(GONE_SECONDS)  # what is left by then stays
    for project, (started, size) in before.items():
        assert not marked(fleet, project)
        if fleet.container(project).attrs["State"]["StartedAt"] == started:
            assert rss(fleet, project) < 1.1 * size


@pytest.fixture
async def broken(client: Client) -> AsyncIterator[dict[str, str]]:
    """Put a failing test into each sample project."""
    added = {
        "project-a/tests/bug.test.ts": 'import { test } from "node:test";\nimport assert from "node:assert/strict";\n\n'
        'test("two 🎉 and two", () => {\n  assert.equal(2 + 2, 5);\n});\n',
        "project-b/tests/test_bug.py": 'def test_two_and_two():\n    text = "🎉"\n    assert (text, 4) == (text, 5)\n',
        "project-c/tests/bug.rs": "#[test]\nfn two_and_two() {\n    assert_eq!(2 + 2, 5);\n}\n",
    }
    try:
        for path, content in added.items():
            await call(client, "write_file", path=path, content=content)
        yield added
    finally:
        for path in added:
            await call(client, "delete_path", path=path)


async def test_the_tests_of_all_projects_are_counted_and_failures_lead_to_their_lines(
    client: Client, broken: dict[str, str]
) -> None:
    good = {"project-a": 5, "project-b": 7, "project-c": 3}
    answer = await client.call_tool("run_task", {"task": "test"})
    assert answer.structured_content is not None
    results = {one["project"]: one for one in answer.structured_content["results"]}
    assert {project: one["counts"] for project, one in results.items()} == {
        project: {"passed": count, "failed": 1, "skipped": 0} for project, count in good.items()
    }
    assert answer.structured_content["counts"] == {"passed": 15, "failed": 3, "skipped": 0}
    failed_lines = {
        "project-a": "assert.equal(2 + 2, 5);",
        "project-b": "assert (text",
        "project-c": "assert_eq!(2 + 2",
    }
    for project, one in results.items():
        (failure,) = one["failures"]
        assert failure["path"] in broken
        assert failure["path"].startswith(f"{project}/")
        read = await call(client, "read_file", path=failure["path"])
        assert read["content"].split("\n")[failure["line"] - 1].strip().startswith(failed_lines[project])
        assert failure["line_text"].strip().startswith(failed_lines[project])
        assert failure["message"]
    text = answer.content[0].text  # type: ignore[union-attr]
    assert text.startswith("PROJECT    TASK  RESULT")
    assert text.count("\n  FAILED ") == 3


async def test_a_compile_error_is_a_diagnostic_in_code_points(client: Client) -> None:
    path = "project-a/src/broken.ts"
    await call(client, "write_file", path=path, content='export const a = ["🎉", missing];\n')
    try:
        (result,) = (await call(client, "run_task", task="check", projects=["project-a"]))["results"]
    finally:
        await call(client, "delete_path", path=path)
    (found,) = result["diagnostics"]
    assert (found["path"], found["line"], found["column"], found["severity"]) == (path, 1, 24, "error")
    assert found["source"] == "tsc"


async def test_standard_output_and_error_are_told_apart_in_their_order(client: Client) -> None:
    script = "echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three"
    result = await run(client, "sh", "-c", script)
    assert result["output"] == "one\ntwo\nthree\n"
    assert [(part["stream"], part["characters"]) for part in result["streams"]] == [
        ("stdout", 4), ("stderr", 4), ("stdout", 6)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import os; os.write(1, bytes(range(256)))", "binary"),
        ("import os; os.write(1, b'x' * 5000)", "x" * 5000),
        ("import os; os.write(1, b'\\x1b[31mred\\x1b[0m')", "\x1b[31mred\x1b[0m"),
        ("import os; os.write(1, b'a\\xff\\xfe\\xe2\\x82b')", "a\ufffd\ufffd\ufffdb"),
        ("import os; os.write(2, b'only')", "only"),
    ],
)
async def test_whatever_is_printed_arrives(client: Client, program: str, expected: str) -> None:
    result = await run(client, *python(program))
    if expected == "binary":
        assert result["output"][:128] == "".join(map(chr, range(128)))
        assert set(result["output"][128:]) == {"\ufffd"}
    else:
        assert result["output"] == expected


async def test_a_gigabyte_is_bounded_and_its_ends_are_there_and_the_rest_can_be_searched(
    fleet: Deployment, client: Client
) -> None:
    before = rss(fleet, "project-b")
    program = "import sys\nw = sys.stdout.write\nfor n in range(10_000_000): w('%099d\\n' % n)"
    result = await run(client, *python(program), timeout_seconds=120)
    assert (result["reason"], result["exit_code"], result["truncated"]) == ("exited", 0, True)
    assert result["output"].startswith("0" * 99 + "\n")
    assert result["output"].endswith(f"{9_999_999:099d}\n")
    assert len(result["output"]) < 40_000
    assert rss(fleet, "project-b") - before < 64 * 1024
    page = await call(client, "job_output", job_id=result["job_id"], offset=-200)
    assert page["output"] == f"{9_999_998:099d}\n{9_999_999:099d}\n"
    assert page["complete"]
    early = await call(client, "job_output", job_id=result["job_id"], pattern="^0{90,}777$", regex=True)
    assert [match["line_text"] for match in early["matches"]] == [f"{777:099d}"]
    following = await call(client, "job_output", job_id=result["job_id"], offset=early["matches"][0]["offset"] + 100)
    assert following["output"].startswith(f"{778:099d}\n")


@pytest.mark.parametrize("number", [1, 2, 3, 6, 9, 11, 13, 15])
async def test_an_end_by_signal_is_told(client: Client, number: int) -> None:
    result = await run(client, *python(f"import os, signal; signal.signal({number}, 0) if {number} != 9 else 0; "
                                       f"os.kill(os.getpid(), {number})"))  # fmt: skip
    assert (result["reason"], result["signal"]) == ("signaled", signal.Signals(number).name)


DAEMON = (
    "import os, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork(): os._exit(0)\n"
    "    time.sleep(600)\n"
)


@pytest.mark.parametrize("end", ["exit", "timeout", "idle_timeout"])
async def test_a_daemon_that_ignores_sigterm_ends_with_its_run(fleet: Deployment, client: Client, end: str) -> None:
    limits: dict[str, Any] = {
        "exit": {},
        "timeout": {"timeout_seconds": 1},
        "idle_timeout": {"idle_timeout_seconds": 1},
    }
    result = await run(client, *python(DAEMON + ("" if end == "exit" else "time.sleep(600)\n")), **limits[end])
    assert result["reason"] == ("exited" if end == "exit" else end)
    assert not marked(fleet)


# Hides from everything by which it could be found, then kills what would end it: its supervisor and the fork server.
ESCAPES = (
    "import os, signal, sys, time\n"
    "supervisor = os.getppid()\n"
    "forks = int(open(f'/proc/{supervisor}/stat').read().rpartition(')')[2].split()[1])\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork(): os._exit(0)\n"
    "    os.write(1, b'%d ' % os.getpid())\n"
    "    os.execve(sys.executable, [sys.executable, '-c', 'import time; time.sleep(600)'], {})\n"
    "os.wait()\n"
    "time.sleep(0.2)\n"
    "os.kill(forks, signal.SIGKILL)\n"
    "os.kill(supervisor, signal.SIGKILL)\n"
    "time.sleep(600)\n"
)


async def test_what_hides_and_kills_all_that_looks_after_runs_ends_too(fleet: Deployment, client: Client) -> None:
    result = await run(client, *python(ESCAPES), project="project-a")
    assert (result["reason"], result["signal"]) == ("signaled", "SIGKILL")
    process = f"/proc/{int(result['output'])}"
    await until(lambda: fleet.run("project-a", "test", "-e", process).code != 0)
    assert (await run(client, "true", project="project-a"))["exit_code"] == 0


async def test_a_fork_bomb_ends_and_the_link_stays_up(fleet: Deployment, client: Client) -> None:
    bomb = (
        "import os, time\nend = time.time() + 20\nwhile time.time() < end:\n  try: os.fork()\n  except OSError: pass\n"
    )
    result = await run(client, *python(bomb), timeout_seconds=3)
    assert result["reason"] == "timeout"
    await until(lambda: not marked(fleet))
    assert (await run(client, "true"))["exit_code"] == 0


async def test_what_takes_too_much_memory_is_told_with_the_limit(fleet: Deployment, client: Client) -> None:
    before = fleet.container("project-b").attrs["State"]["StartedAt"]
    result = await run(client, *python("x = []\nwhile True: x.append(bytearray(50_000_000))"))
    assert result["reason"] == "oom"
    assert "1024 MiB" in result["message"]
    assert fleet.container("project-b").attrs["State"]["StartedAt"] == before


async def test_a_hundred_runs_at_once(client: Client) -> None:
    ended: list[tuple[int, str]] = []

    async def one(number: int) -> None:
        result = await run(client, "sh", "-c", f"echo {number}; exit {number}")
        ended.append((result["exit_code"], result["output"]))

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(one, number)
    assert sorted(ended) == [(number, f"{number}\n") for number in range(100)]


async def test_a_run_for_a_client_that_goes_away_ends(fleet: Deployment, connect: Connect) -> None:
    for transport in ("websocket", "stdio", "http"):
        with anyio.move_on_after(60) as scope:
            async with connect(transport) as client, anyio.create_task_group() as tasks:

                async def leave() -> None:
                    await until(lambda: bool(marked(fleet)), 20)
                    scope.cancel()

                tasks.start_soon(leave)
                await run(client, *python(DAEMON + "time.sleep(600)\n"))
        await until(lambda: not marked(fleet), GONE_SECONDS)


@contextmanager
def cut(fleet: Deployment, project: str) -> Iterator[None]:
    """Cut a spoke's cable: its end on the host is down, and nobody is told."""
    number = fleet.run(project, "cat", "/sys/class/net/eth0/iflink").output.strip()
    (name,) = (one.parent.name for one in Path("/sys/class/net").glob("*/ifindex") if one.read_text().strip() == number)
    _set_up(name, up=False)
    try:
        yield
    finally:
        _set_up(name, up=True)


def _set_up(name: str, up: bool) -> None:
    """Set an interface up or down (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", name.encode(), 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(control, 0x8913, request))
        fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", name.encode(), flags | 1 if up else flags & ~1))


async def test_a_run_ends_when_the_network_is_cut_and_a_job_goes_on(fleet: Deployment, connect: Connect) -> None:
    async with connect() as client:
        job = await run(client, "sleep", "600", background=True, environment={"SCENARIO_MARK": "0"})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "run_command", {
                "argv": ["sleep", "600"], "projects": ["project-b"], "environment": {"SCENARIO_MARK": "1"},
            })  # fmt: skip
            await until(lambda: bool(marked(fleet)), 20)
            with cut(fleet, "project-b"):
                await until(lambda: not marked(fleet))
            tasks.cancel_scope.cancel()
        await _healthy(fleet)
        listed = await call(client, "list_jobs", projects=["project-b"])
        (there,) = [one for one in listed["jobs"] if one["job_id"] == job["job_id"]]
        assert "reason" not in there
        ended = await call(client, "cancel_job", job_id=job["job_id"])
        assert ended["reason"] == "cancelled"


@pytest.mark.parametrize("part", ["hub", "project-b"])
async def test_a_run_ends_when_hub_or_agent_is_killed(fleet: Deployment, part: str) -> None:
    arguments = {"argv": python(DAEMON + "time.sleep(600)\n"), "projects": ["project-b"]}
    asked = json.dumps({**arguments, "environment": {"SCENARIO_MARK": "1"}})
    fleet.container("hub").exec_run(["codebuddy", "call", "run_command", asked], detach=True)
    await until(lambda: len(marked(fleet)) >= 2, 20)
    before = fleet.container(part).attrs["State"]["StartedAt"]
    kill(fleet, part, "serve" if part == "hub" else "spoke")
    await until(lambda: fleet.container(part).attrs["State"]["StartedAt"] != before, 30)
    await until(lambda: not marked(fleet))
    await _healthy(fleet)


async def test_a_job_outlives_its_client_and_the_hub_and_is_read_in_pages(fleet: Deployment, connect: Connect) -> None:
    script = "for i in $(seq 1000); do echo line $i; done; echo ready >&2; sleep 600"
    async with connect() as client:
        job = await run(client, "sh", "-c", script, background=True)
        assert "reason" not in job
    fleet.container("hub").restart()
    await _healthy(fleet)
    async with connect() as client:
        lines, cursor = "", None
        while "ready" not in lines:
            page = await call(
                client, "job_output", job_id=job["job_id"], limit=4000, wait_seconds=10,
                **({"cursor": cursor} if cursor else {}),
            )  # fmt: skip
            lines, cursor = lines + page["output"], page["cursor"]
            assert not page["complete"]
        assert lines == "".join(f"line {n}\n" for n in range(1, 1001)) + "ready\n"
        found = await call(client, "job_output", job_id=job["job_id"], pattern=r"^line 99\d$", regex=True)
        assert [one["line_text"] for one in found["matches"]] == [f"line {n}" for n in range(990, 1000)]
        ended = await call(client, "cancel_job", job_id=job["job_id"])
        assert ended["reason"] == "cancelled"
        assert not marked(fleet)
        page = await call(client, "job_output", job_id=job["job_id"], offset=-6)
        assert (page["output"], page["complete"]) == ("ready\n", True)


async def _healthy(fleet: Deployment) -> None:
    def ok() -> bool:
        try:
            return bool(fleet.get("/health", fleet.token()).json()["status"] == "ok")
        except OSError:
            return False

    await until(ok, 40)


async def test_a_job_ends_with_its_spoke_and_is_told_so(fleet: Deployment, connect: Connect) -> None:
    async with connect() as client:
        job = await run(client, "sh", "-c", "echo kept; sleep 600", project="project-a", background=True)
        page = await call(client, "job_output", job_id=job["job_id"], wait_seconds=10)
        assert page["output"] == "kept\n"
    fleet.container("project-a").kill()
    fleet.container("project-a").start()
    await _healthy(fleet)
    async with connect() as client:
        told = await call(client, "job_output", job_id=job["job_id"])
        assert told["reason"] == "agent_restart"
        assert told["complete"]
    assert not marked(fleet, "project-a")


async def test_what_a_job_puts_in_the_way_of_its_own_output_keeps_nobody_waiting(
    fleet: Deployment, client: Client
) -> None:
    spoils = (
        "directory=$(ls -dt ~/.cache/codebuddy/runs/* | head -1); mkfifo $directory/000000000000000.out; "
        "head -c 3000000 /dev/zero; sleep 600"
    )
    job = await run(client, "sh", "-c", spoils, project="project-a", background=True, timeout_seconds=3)
    told = await call(client, "job_output", job_id=job["job_id"], pattern="no such line", wait_seconds=30)
    assert told["reason"] == "timeout"
    assert "Not all of its output could be kept" in (await call(client, "job_output", job_id=job["job_id"]))["message"]
    # What is left of it does not keep the next agent from starting.
    fleet.container("project-a").restart(timeout=5)
    await _healthy(fleet)


async def test_streams_that_take_turns_with_each_byte_end_no_link(client: Client, connect: Connect) -> None:
    turns = "import os, time\nfor _ in range(20000): os.write(1, b'o'); time.sleep(1e-4); os.write(2, b'e')"
    async with connect() as other, anyio.create_task_group() as tasks:
        others = dict[str, Any]()

        async def sleeps() -> None:
            others.update(await run(other, "sleep", "5"))

        tasks.start_soon(sleeps)
        result = await run(client, *python(turns), output_limit=131_072)
    assert (result["exit_code"], others["exit_code"]) == (0, 0)
    assert result["output"].count("o") == result["output"].count("e") == 20_000
    assert len(result["streams"]) <= 501


async def test_jobs_with_long_command_lines_are_listed(client: Client) -> None:
    long = ["true", *["x" * 100_000] * 8]
    for _ in range(8):
        job = await call(client, "run_command", argv=long, projects=["project-c"], background=True)
        await call(client, "job_output", job_id=job["results"][0]["job_id"], wait_seconds=10)
    listed = await call(client, "list_jobs", projects=["project-c"])
    assert listed["complete"]
    assert [job["argv"][0] for job in listed["jobs"]].count("true") >= 8


async def test_more_jobs_than_declared_are_refused(client: Client) -> None:
    jobs = [await run(client, "sleep", "600", background=True, project="project-c") for _ in range(8)]
    arguments = {"argv": ["sleep", "600"], "projects": ["project-c"], "background": True}
    refused = await client.call_tool("run_command", arguments)
    assert refused.structured_content is not None
    assert refused.structured_content["code"] == "too_many_jobs"
    for job in jobs:
        await call(client, "cancel_job", job_id=job["job_id"])


async def test_a_longer_time_out_than_declared_is_refused_with_what_to_do(client: Client) -> None:
    arguments = {"argv": ["true"], "projects": ["project-b"], "timeout_seconds": 7200}
    refused = await client.call_tool("run_command", arguments)
    assert refused.structured_content is not None
    assert refused.structured_content["code"] == "invalid_arguments"
    assert "background: true" in refused.structured_content["message"]


async def test_what_lacks_the_network_is_told_so(client: Client) -> None:
    result = await run(client, *python("import socket, sys\ntry: socket.getaddrinfo('example.invalid', 80)\n"
                                       "except OSError as e: sys.exit(f'{e}')"))  # fmt: skip
    assert result["exit_code"] == 1
    assert "which is the only way out of project-b" in result["message"]
    failed = await run(client, "npm", "install", "no-such-package-a", project="project-a")
    assert "egress is none for project-a" in failed["message"]
    job = await run(client, "npm", "install", "no-such-package-a", project="project-a", background=True)
    told = await call(client, "job_output", job_id=job["job_id"], wait_seconds=30)
    while told.get("reason") is None:
        told = await call(client, "job_output", job_id=job["job_id"], wait_seconds=5, cursor=told["cursor"])
    assert "egress is none for project-a" in told["message"]


async def test_an_install_fetches_what_is_declared_and_keeps_it_on_the_volume(
    client: Client, fleet: Deployment
) -> None:
    async def install(*arguments: str, code: int = 0) -> dict[str, Any]:
        told = await call(client, "run_task", task="install", projects=["project-b"], arguments=list(arguments))
        assert told["results"][0]["exit_code"] == code, told
        return dict(told["results"][0])

    forget = ("rm", "-rf", "/home/codebuddy/.venv")
    fleet.run("project-b", *forget)
    try:
        assert "Downloading six" in (await install("six"))["output"]
        assert "Requirement already satisfied: six" in (await install("six"))["output"]
        origin = (await run(client, *python("import six, pytest; print(six.__file__, pytest.__file__)")))["output"]
        assert origin.split()[0].startswith("/home/codebuddy/.venv/")
        assert origin.split()[1].startswith("/opt/python/")
        refused = await install("--index-url", "https://packages.example.org/simple", "--retries", "1", "x", code=1)
        assert "The proxy of project-b refused what it asked for" in refused["message"]
    finally:
        fleet.run("project-b", *forget)


async def test_no_program_can_forge_another_projects_line(client: Client) -> None:
    forged = "project-a: ok (0.1 s)"
    answer = await client.call_tool(
        "run_command", {"argv": ["sh", "-c", f"echo; echo '{forged}'; exit 1"], "projects": ["project-a", "project-b"]}
    )
    text = answer.content[0].text  # type: ignore[union-attr]
    assert forged in text
    assert not any(line.startswith(forged) for line in text.split("\n"))
