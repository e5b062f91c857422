"""CodeBuddy's three uses (edit, ask about code, run tests), over every transport and in both protocol eras."""

from __future__ import annotations

import re
from typing import Any

import pytest
from mcp.client.client import Client

from codebuddy_testing.clients import Connect, call
from codebuddy_testing.deployment import Deployment

pytestmark = pytest.mark.anyio

CONNECTIONS = [
    (transport, mode) for transport in ("websocket", "http", "stdio") for mode in ("legacy", "2026-07-28", "auto")
]
EVERY_CONNECTION = pytest.mark.parametrize(("transport", "mode"), CONNECTIONS)

# The function of each project: its name, a file that uses it, the file that defines it, and the pattern of the sources.
FUNCTIONS = {
    "project-a": ("processData", "src/index.ts", "src/utils.ts", "*.ts"),
    "project-b": ("process_data", "src/service/app.py", "src/service/processing.py", "*.py"),
    "project-c": ("process_data", "src/main.rs", "src/lib.rs", "*.rs"),
}


def uses(fleet: Deployment, project: str) -> set[tuple[str, int, int]]:
    """Find the uses of a project's function in the text: (path, line, column), not in strings."""
    word, _, _, pattern = FUNCTIONS[project]
    root = fleet.path(project)
    found = set()
    for file in root.rglob(pattern):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            code = re.sub(r'"[^"]*"', lambda match: " " * len(match[0]), line)
            columns = [match.start() + 1 for match in re.finditer(rf"\b{word}\b", code)]
            found |= {(f"{project}/{file.relative_to(root)}", number, column) for column in columns}
    return found


@EVERY_CONNECTION
async def test_hub_and_spoke_see_each_others_edits_of_a_file_at_once(
    fleet: Deployment, connect: Connect, transport: str, mode: str
) -> None:
    path = "project-a/src/utils.ts"
    async with connect(transport, mode) as client:
        before = await call(client, "read_file", path=path)
        inode = fleet.run("project-a", "stat", "-c", "%d:%i", "/workspace/src/main.ts").output
        assert inode == fleet.run("hub", "stat", "-c", "%d:%i", "/workspaces/project-a/src/main.ts").output
        edit = {"old_text": "/** One number", "new_text": "/** One grüner 🎉 number"}
        edited = await call(client, "edit_file", path=path, edits=[edit], expected_hash=before["hash"])
        try:
            seen = fleet.run("project-a", "head", "-n1", "/workspace/src/utils.ts").output
            assert seen.startswith("/** One grüner 🎉 number")
            assert edited["diff"].count("🎉") == 1

            undo = "import pathlib,sys; p = pathlib.Path('/workspace/src/utils.ts'); "
            undo += "p.write_text(p.read_text().replace('grüner 🎉 ', ''))"
            assert fleet.python("project-a", undo).code == 0
            after = await call(client, "read_file", path=path)
            assert (after["content"], after["hash"]) == (before["content"], before["hash"])
        finally:
            await call(client, "write_file", path=path, content=before["content"])


@EVERY_CONNECTION
@pytest.mark.parametrize("project", FUNCTIONS)
async def test_find_definition_and_find_references_are_right(
    fleet: Deployment, connect: Connect, transport: str, mode: str, project: str
) -> None:
    word, used_in, defined_in, _ = FUNCTIONS[project]
    expected = uses(fleet, project)
    assert len(expected) >= 4
    line = next(number for path, number, _ in sorted(expected) if path == f"{project}/{used_in}")
    place: dict[str, Any] = {"path": f"{project}/{used_in}", "line": line, "text": word}
    async with connect(transport, mode) as client:
        definition = await call(client, "find_definition", **place)
        references = await call(client, "find_references", **place)
    assert definition["complete"]
    assert [location["path"] for location in definition["locations"]] == [f"{project}/{defined_in}"]
    assert f"{word}(" in definition["locations"][0]["line_text"]
    assert references["complete"]
    assert {(one["path"], one["line"], one["column"]) for one in references["locations"]} == expected


@EVERY_CONNECTION
async def test_run_task_runs_the_tests_of_each_project_in_its_own_container(
    connect: Connect, transport: str, mode: str
) -> None:
    messages: list[str] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        messages.append(message or "")

    async with connect(transport, mode) as client:
        answer = await client.call_tool(
            "run_task", {"task": "test", "wait_seconds": 300, "detail": "full"}, progress_callback=on_progress
        )
    assert answer.structured_content is not None
    results = {result["project"]: result for result in answer.structured_content["results"]}
    assert {project: (one["reason"], one["exit_code"]) for project, one in results.items()} == dict.fromkeys(
        FUNCTIONS, ("exited", 0)
    )
    assert "pass 5" in results["project-a"]["output"]
    assert "7 passed" in results["project-b"]["output"]
    assert "2 passed" in results["project-c"]["output"]
    assert any(message.startswith("[project-a]") for message in messages)


async def test_an_error_written_through_the_hub_is_found_by_diagnostics_and_by_the_tests(
    fleet: Deployment, client: Client
) -> None:
    path = "project-b/src/service/processing.py"
    before = await call(client, "read_file", path=path)
    edit = {"old_text": "return Summary(count=len(measurements)", "new_text": "return Summary(count=undefined_name"}
    try:
        await call(client, "edit_file", path=path, edits=[edit])
        found = await call(client, "diagnostics", path=path)
        run = await call(client, "run_task", task="test", projects=["project-b"], wait_seconds=300)
    finally:
        await call(client, "write_file", path=path, content=before["content"])
    cured = await call(client, "diagnostics", path=path)
    assert any("undefined_name" in item["message"] for item in found["diagnostics"])
    assert not any("undefined_name" in item["message"] for item in cured["diagnostics"])
    assert run["results"][0]["exit_code"] == 1
    assert "NameError" in run["results"][0]["output"]


@pytest.mark.parametrize("project", FUNCTIONS)
async def test_a_use_written_through_the_hub_is_in_the_next_answer(
    fleet: Deployment, client: Client, project: str
) -> None:
    word, used_in, _, _ = FUNCTIONS[project]
    path = f"{project}/{used_in}"
    before = await call(client, "read_file", path=path)
    line = next(n for n, text in enumerate(before["content"].splitlines(), 1) if re.search(rf"\b{word}\b", text))
    addition = {
        "project-a": "export const again = processData;\n",
        "project-b": "again = process_data\n",
        "project-c": "#[allow(dead_code)]\nconst AGAIN: fn(&[measurements::Measurement]) -> "
        "Option<measurements::Summary> = process_data;\n",
    }[project]
    try:
        await call(client, "write_file", path=path, content=before["content"] + addition)
        expected = uses(fleet, project)
        references = await call(client, "find_references", path=path, line=line, text=word)
    finally:
        await call(client, "write_file", path=path, content=before["content"])
    assert references["complete"]
    assert {(one["path"], one["line"], one["column"]) for one in references["locations"]} == expected
