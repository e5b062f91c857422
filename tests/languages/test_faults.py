"""After a kill, a hang or a lack of memory, answers become right again, and no process from before is left."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp.client.client import Client

from codebuddy_testing import clients
from codebuddy_testing.case_projects import PROFILES, cases_of, chosen_projects
from codebuddy_testing.deployment import Deployment
from codebuddy_testing.language_cases import Case, arguments_of
from codebuddy_testing.processes import Process, processes, send
from codebuddy_testing.verdicts import Answer, judge
from codebuddy_testing.waiting import wait_until_async

pytestmark = pytest.mark.anyio

RECOVERY_SECONDS = 150.0
SERVERS = pytest.mark.parametrize("project", chosen_projects())

# The reasons that an answer may give during a recovery.
RECOVERING = {"indexing", "server_crashed", "timed_out", "spoke_offline", "server_error"}

# Allocates memory until the given process is gone, which it makes the one that the kernel kills first.
HOG = """
import os, sys, time
pid, most = sys.argv[1], int(sys.argv[2])
with open(f"/proc/{pid}/oom_score_adj", "w") as file:
    file.write("1000")
with open("/proc/self/oom_score_adj", "w") as file:
    file.write("0")
kept = []
def there():
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
while there() and len(kept) < most:
    block = bytearray(2**20)
    block[::4096] = b"x" * len(block[::4096])
    kept.append(block)
    if len(kept) > most * 0.75:
        time.sleep(0.01)  # a killed process frees its memory with a delay, in which this one would be the next
print("there" if there() else "gone")
"""


def agent_in(found: list[Process]) -> Process:
    return next(one for one in found if one.parent == 1 and "codebuddy" in one.words)


def servers_in(found: list[Process]) -> list[Process]:
    """Return the language servers: the agent's own child processes."""
    return [one for one in found if one.parent == agent_in(found).pid]


def families_in(found: list[Process]) -> list[Process]:
    """Return the language servers and their descendants, which include short-lived compilers."""
    family = {agent_in(found).pid}
    while len(grown := family | {one.pid for one in found if one.parent in family}) > len(family):
        family = grown
    return [one for one in found if one.pid in family and one != agent_in(found)]


def references_case(project: str) -> Case:
    wanted = ("find_references", "workspace package")
    return next(case for case in cases_of(PROFILES[project]) if (case.tool, case.name) == wanted)


async def ask(client: Client, project: str, texts: dict[str, str], **more: Any) -> tuple[Answer, str]:
    """Find the references across a project's packages; return the answer, and what is wrong with it."""
    case = references_case(project)
    asked = {**arguments_of(case, project, texts), **more}
    succeeded, content = await clients.answer(client, case.tool, **asked)
    given = Answer(not succeeded, content)
    verdict = judge(case, project, texts, given)
    return given, "" if verdict.state == "ok" else verdict.why


async def wait_for_right_answer(client: Client, project: str, texts: dict[str, str]) -> None:
    """Ask until the answer is complete, and check that it is right; until then it must say why it is not complete."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while True:
        answer, wrong = await ask(client, project, texts, timeout_seconds=30)
        if answer.content.get("complete"):
            assert not wrong
            return
        assert answer.content.get("reason") in RECOVERING, answer.content
        assert time.monotonic() < deadline, answer.content
        await anyio.sleep(0.1)


def all_gone(fleet: Deployment, project: str, before: list[Process]) -> bool:
    """Say whether none of the processes runs any more."""
    return not {one.identity for one in before} & {one.identity for one in processes(fleet, project)}


async def wait_until_gone(fleet: Deployment, project: str, before: list[Process]) -> None:
    await wait_until_async(
        lambda: all_gone(fleet, project, before), f"the processes of {project} from before have ended"
    )


@asynccontextmanager
async def reconnected(fleet: Deployment) -> AsyncIterator[Client]:
    """A client, as soon as the hub answers again."""
    await wait_until_async(lambda: hub_answers(fleet), "the hub answers again", RECOVERY_SECONDS)
    async with clients.connected("websocket", fleet.port, fleet.token(), "legacy") as client:
        yield client


def hub_answers(fleet: Deployment) -> bool:
    try:
        return fleet.get("/health").status_code in (200, 503)
    except OSError:
        return False


@SERVERS
async def test_after_a_language_server_is_killed_answers_become_right_again(
    project: str, fleet: Deployment, client: Client, texts: dict[str, dict[str, str]]
) -> None:
    await wait_for_right_answer(client, project, texts[PROFILES[project]])
    before = processes(fleet, project)
    send(fleet, project, signal.SIGKILL, *servers_in(before))
    await wait_for_right_answer(client, project, texts[PROFILES[project]])
    await wait_until_gone(fleet, project, families_in(before))
    assert agent_in(processes(fleet, project)).identity == agent_in(before).identity


async def test_after_all_agents_are_killed_answers_become_right_again(
    fleet: Deployment, client: Client, texts: dict[str, dict[str, str]]
) -> None:
    before = {project: processes(fleet, project) for project in chosen_projects()}
    for project, found in before.items():
        send(fleet, project, signal.SIGKILL, agent_in(found))
    for project, found in before.items():
        await wait_for_right_answer(client, project, texts[PROFILES[project]])
        assert all_gone(fleet, project, found)


async def test_after_the_hub_is_killed_answers_are_right_and_no_language_server_was_restarted(
    fleet: Deployment, texts: dict[str, dict[str, str]]
) -> None:
    before = {project: processes(fleet, project) for project in chosen_projects()}
    started = fleet.started_at("hub")
    send(fleet, "hub", signal.SIGKILL, *(one for one in processes(fleet, "hub") if one.parent == 1))
    await wait_until_async(lambda: fleet.started_at("hub") != started, "the hub is restarted", RECOVERY_SECONDS)
    async with reconnected(fleet) as client:
        for project, found in before.items():
            await wait_for_right_answer(client, project, texts[PROFILES[project]])
            # A restarted hub leaves the agents and their servers running.
            assert {one.identity for one in servers_in(found)} <= {one.identity for one in processes(fleet, project)}


async def test_language_servers_that_hang_are_reported_and_replaced(
    fleet: Deployment, client: Client, texts: dict[str, dict[str, str]]
) -> None:
    async def hang(project: str) -> None:
        await wait_for_right_answer(client, project, texts[PROFILES[project]])
        before = processes(fleet, project)
        send(fleet, project, signal.SIGSTOP, *families_in(before))
        answer, _ = await ask(client, project, texts[PROFILES[project]], timeout_seconds=2)
        assert (project, answer.content["complete"], answer.content["reason"]) == (project, False, "timed_out")
        await wait_for_right_answer(client, project, texts[PROFILES[project]])
        after = processes(fleet, project)
        left = {one.identity for one in after}
        assert any(one.identity not in left for one in servers_in(before)), (
            f"{project}: no server that hung was replaced"
        )
        send(fleet, project, signal.SIGCONT, *(one for one in after if one in families_in(before)))

    # All at once: each wait for a server that hangs is long, and nine in a row would take minutes.
    async with anyio.create_task_group() as tasks:
        for project in chosen_projects():
            tasks.start_soon(hang, project)


@pytest.mark.parametrize("project", [name for name in ("py-ty", "go") if name in chosen_projects()])
async def test_after_the_kernel_kills_a_server_for_memory_answers_become_right_again(
    project: str, fleet: Deployment, client: Client, texts: dict[str, dict[str, str]]
) -> None:
    await wait_for_right_answer(client, project, texts[PROFILES[project]])
    before = families_in(processes(fleet, project))
    largest = before[0]
    megabytes = fleet.container(project).attrs["HostConfig"]["Memory"] // 2**20
    # A killed process frees its memory with a delay, in which the kernel may kill the allocating program, too.
    await anyio.to_thread.run_sync(
        lambda: fleet.python(project, HOG, str(largest.pid), str(megabytes)), abandon_on_cancel=False
    )
    await wait_until_gone(fleet, project, [largest])
    await wait_for_right_answer(client, project, texts[PROFILES[project]])
    await wait_until_gone(fleet, project, before)


# By profile, a file with one more use of the function; the text is appended to a file that exists.
MORE = {
    "typescript": ("src/added.ts", 'import { shout } from "@shop/text";\nexport const again = ["👋漢", shout("a")];\n'),
    "python": ("shop/added.py", 'from words import shout\n\nagain = ["👋漢", shout("a")]\n'),
    "rust": ("src/app.rs", "\npub fn again() -> (char, String) {\n    ('👋', shout(\"a\"))\n}\n"),
    "go": ("app/added.go", 'package app\n\nimport "example.com/words"\n\nvar again = "👋漢" + words.Shout("a")\n'),
    "cpp": ("src/app.cpp", '\nstd::string again() { return "👋漢" + words::shout("a"); }\n'),
}


@SERVERS
async def test_an_edit_through_the_hub_is_in_the_next_answer(
    project: str, fleet: Deployment, client: Client, texts: dict[str, dict[str, str]]
) -> None:
    profile = PROFILES[project]
    path, added = MORE[profile]
    await wait_for_right_answer(client, project, texts[profile])
    old = texts[profile].get(path, "")
    call = {"path": f"{project}/{path}", "content": old + added}
    written = await clients.call(client, "write_file", **call)
    try:
        answer, _ = await ask(client, project, {**texts[profile], path: old + added})
        assert answer.content["complete"], answer.content
        found = {(at["path"], at["line"], at["column"]) for at in answer.content["locations"]}
        lines = (old + added).split("\n")
        word = "Shout" if profile == "go" else "shout"
        uses = [number for number, line in enumerate(lines, 1) if number > old.count("\n") and f'{word}("a")' in line]
        assert len(uses) == 1
        assert (f"{project}/{path}", uses[0], lines[uses[0] - 1].index(f'{word}("a")') + 1) in found
    finally:
        undone = await client.call_tool("undo_edit", {"edit_id": written["edit_id"]})
    assert not undone.is_error
    answer, wrong = await ask(client, project, texts[profile])
    assert answer.content["complete"], answer.content
    assert not wrong
