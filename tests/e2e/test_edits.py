"""Edits on the running fleet: races between clients, diagnostics of an edit, and a hub that is killed meanwhile."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client

from codebuddy_testing.clients import Connect, answer, call, refused
from codebuddy_testing.deployment import ROOT, SPOKE_PYTHON, Deployment
from codebuddy_testing.waiting import wait_until

pytestmark = pytest.mark.anyio

CRASHES = 1000
KILLS = 12
FILES = 20


async def test_if_two_clients_write_a_file_at_once_one_succeeds_and_the_other_gets_a_conflict(
    connect: Connect, scratch: Callable[[str], Path]
) -> None:
    file = scratch("project-a") / "raced.txt"
    path = "project-a/scratch-e2e/raced.txt"
    async with connect() as one, connect("http") as other:
        seen = (await call(one, "write_file", path=path, content="start\n"))["hash"]
        outcomes: dict[str, tuple[bool, dict[str, Any]]] = {}

        async def write(name: str, client: Client, number: int, seen: str) -> None:
            text = f"{name} {number}\n" * 50
            outcomes[name] = await answer(client, "write_file", path=path, content=text, expected_hash=seen)

        for number in range(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write, "one", one, number, seen)
                tasks.start_soon(write, "other", other, number, seen)
            winner = [name for name, (succeeded, _) in outcomes.items() if succeeded]
            loser = [content for succeeded, content in outcomes.values() if not succeeded]
            assert len(winner) == 1
            assert loser[0]["code"] == "conflict"
            assert file.read_text() == f"{winner[0]} {number}\n" * 50
            seen = outcomes[winner[0]][1]["hash"]


async def test_an_edit_reports_the_diagnostics_that_it_introduced_and_cured(
    client: Client, scratch: Callable[[str], Path]
) -> None:
    scratch("project-a")
    path = "project-a/src/scratch_e2e.ts"
    made = await call(client, "write_file", path=path, content="export const one: number = 1;\n", diagnostics="files")
    try:
        assert made["diagnostics"] == {"introduced": [], "cured": [], "complete": True}
        edits = [{"old_text": "= 1", "new_text": '= "one"'}]
        broken = (await call(client, "edit_file", path=path, edits=edits, diagnostics="files"))["diagnostics"]
        assert broken["complete"]
        assert [(one["path"], one["line"], one["code"]) for one in broken["introduced"]] == [(path, 1, "2322")]
        edits = [{"old_text": '= "one"', "new_text": "= 2"}]
        mended = (await call(client, "edit_file", path=path, edits=edits, diagnostics="files"))["diagnostics"]
        assert mended["introduced"] == []
        assert [one["code"] for one in mended["cured"]] == ["2322"]
    finally:
        await call(client, "delete_path", path=path)


async def test_a_workspace_edit_over_several_projects_is_applied_completely_or_refused(
    client: Client, scratch: Callable[[str], Path]
) -> None:
    roots = {project: scratch(project) for project in ("project-a", "project-b", "project-c")}
    paths = {project: f"{project}/scratch-e2e/shared.txt" for project in roots}
    changes = [{"path": path, "content": f"in {project}\n"} for project, path in paths.items()]
    first = await call(client, "apply_workspace_edit", changes=changes)
    assert {root.joinpath("shared.txt").read_text() for root in roots.values()} == {
        "in project-a\n",
        "in project-b\n",
        "in project-c\n",
    }
    (roots["project-c"] / "shared.txt").write_text("changed by somebody else\n")
    edits = [{"line": 1, "column": 1, "end_line": 1, "end_column": 3, "new_text": "within"}]
    hashes = {file["path"]: file["hash"] for file in first["files"]}
    wanted = [{"path": path, "edits": edits, "expected_hash": hashes[path]} for path in paths.values()]
    error = await refused(client, "apply_workspace_edit", changes=wanted)
    assert error["code"] == "conflict"
    assert paths["project-c"] in error["message"] or error["path"] == paths["project-c"]
    assert hashes[paths["project-c"]] in error["message"]
    assert (roots["project-a"] / "shared.txt").read_text() == "in project-a\n"
    error = await refused(client, "undo_edit", edit_id=first["edit_id"])
    assert error["code"] == "conflict"
    assert (roots["project-b"] / "shared.txt").read_text() == "in project-b\n"


async def test_a_kill_never_leaves_an_edit_half_applied(
    fleet: Deployment, scratch: Callable[[str], Path], record_property: Callable[[str, object], None]
) -> None:
    """The edit engine runs in the hub's container, on the mounted projects, and is killed a thousand times."""
    for project in ("project-a", "project-b"):
        scratch(project)
    script = (ROOT / "tests/support/codebuddy_testing/crash_rounds.py").read_bytes()
    roots = [f"/workspaces/{project}/scratch-e2e" for project in ("project-a", "project-b")]
    arguments = ["--rounds", str(CRASHES), "--journal", "/var/lib/codebuddy/journal", "--root", *roots]
    done = fleet.run("hub", SPOKE_PYTHON, "-", *arguments, text=script)
    assert done.code == 0, done.output
    figures = json.loads(next(line for line in done.output.splitlines() if line.startswith("{")))
    print(f"\n{CRASHES} kills: {figures}")
    record_property("crashes", figures)
    assert figures["rounds"] == CRASHES
    assert figures["half_applied"] == figures["lost_files"] == figures["stray_temporaries"] == 0
    assert figures["kills_in_an_edit"] > CRASHES / 10  # otherwise the kills prove nothing


async def test_after_a_hub_is_killed_during_edits_each_edit_is_complete_or_absent(
    fleet: Deployment, connect: Connect, scratch: Callable[[str], Path]
) -> None:
    roots = [scratch("project-a"), scratch("project-c")]
    names = [f"file{number}.txt" for number in range(FILES)]
    hub = fleet.container("hub")
    chance = random.Random(7)
    interrupted = 0
    for number in range(KILLS):
        applied: list[int] = []

        async def write(number: int = number, applied: list[int] = applied) -> None:
            async with connect("http") as client:
                for version in range(1000):
                    changes = [
                        {"path": f"{project}/scratch-e2e/{name}", "content": f"{number}.{version}\n" * 100}
                        for project in ("project-a", "project-c")
                        for name in names
                    ]
                    await call(client, "apply_workspace_edit", changes=changes)
                    applied.append(version)

        with anyio.move_on_after(60) as limit:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(write)
                    while len(applied) < 2:
                        await anyio.sleep(0.001)
                    await anyio.sleep(chance.random() * 0.1)
                    await anyio.to_thread.run_sync(hub.kill)
                    tasks.cancel_scope.cancel()
            except* Exception:
                pass
        assert not limit.cancelled_caught
        hub.start()
        wait_until(fleet.is_healthy, "the fleet is healthy again")
        contents = {(root / name).read_text() for root in roots for name in names}
        assert len(contents) == 1, "an edit is half applied"
        version = int(contents.pop().splitlines()[0].split(".")[1])
        assert version >= applied[-1], "an edit that was answered as applied is lost"
        interrupted += version > applied[-1]
        assert not [file for root in roots for file in root.iterdir() if file.name.startswith(".codebuddy")]
    async with connect() as client:
        last = (await call(client, "list_edits", limit=1))["edits"][0]
        await call(client, "undo_edit", edit_id=last["edit_id"])
        assert len({(root / name).read_text() for root in roots for name in names}) == 1
