"""Renames with real language servers: one edit over all projects, which one undo reverts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mcp.client.client import Client

from codebuddy_testing.clients import Connect, call, refused
from codebuddy_testing.deployment import Deployment

pytestmark = pytest.mark.anyio

DECLARED = {
    "project-a": ("src/utils.ts", "processData"),
    "project-b": ("src/service/processing.py", "process_data"),
    "project-c": ("src/lib.rs", "process_data"),
}
SHARED, RENAMED = "handleBatch", "summarizeAll"
SOURCES = (".ts", ".py", ".rs", ".md")


MADE = {"node_modules", "target", "dist", "scratch-e2e", ".pytest_cache"}
"""Directories of what tests and tools leave."""


def sources(fleet: Deployment) -> dict[str, str]:
    """Return the hash of every source file of all projects."""
    found = {}
    for project in DECLARED:
        for file in sorted(fleet.path(project).rglob("*")):
            if file.suffix in SOURCES and not {"node_modules", "target", "dist", "scratch-e2e", ".pytest_cache"} & set(
                file.parts
            ):
                found[f"{project}/{file.relative_to(fleet.path(project))}"] = hashlib.sha256(
                    file.read_bytes()
                ).hexdigest()
    return found


def uses(directory: Path, word: str) -> int:
    """Count where a name stands in the code of a project."""
    files = [file for file in directory.rglob("*") if file.suffix in (".ts", ".py", ".rs")]
    files = [file for file in files if not {"node_modules", "target", "dist"} & set(file.parts)]
    return sum(len(re.findall(rf'(?<!["\w]){word}(?!["\w])', file.read_text())) for file in files)


async def assert_tests_pass(client: Client) -> None:
    """Check that the tests of all projects pass, each in its own container."""
    results = (await call(client, "run_task", task="test", wait_seconds=300))["results"]
    assert {one["project"]: one["exit_code"] for one in results} == dict.fromkeys(DECLARED, 0), results


@pytest.fixture
async def shared(fleet: Deployment, client: Client) -> AsyncIterator[dict[str, str]]:
    """Gives the function of each project the same name, by a rename in each; yields the sources before that."""
    before = sources(fleet)
    edits = []
    for project, (path, name) in DECLARED.items():
        done = await call(client, "rename_symbol", path=f"{project}/{path}", symbol=name, new_name=SHARED)
        edits.append(done["edit_id"])
    yield before
    for edit in reversed(edits):
        await call(client, "undo_edit", edit_id=edit)
    assert sources(fleet) == before


async def test_a_rename_over_three_projects_is_one_edit_that_one_undo_reverts(
    fleet: Deployment, client: Client, shared: dict[str, str]
) -> None:
    before = sources(fleet)
    assert before != shared
    expected = {project: uses(fleet.path(project), SHARED) for project in DECLARED}
    assert min(expected.values()) >= 4
    where = {"path": "project-a/src/utils.ts", "symbol": SHARED, "new_name": RENAMED, "projects": sorted(DECLARED)}

    preview = await call(client, "rename_symbol", **where, preview=True)
    assert "edit_id" not in preview
    assert sources(fleet) == before
    assert {one["project"]: one["places"] for one in preview["renamed"]} == expected

    done = await call(client, "rename_symbol", **where)
    assert {file["path"].split("/")[0] for file in done["files"]} == set(DECLARED)
    assert {project: uses(fleet.path(project), RENAMED) for project in DECLARED} == expected
    assert sum(uses(fleet.path(project), SHARED) for project in DECLARED) == 0
    await assert_tests_pass(client)

    undone = await call(client, "undo_edit", edit_id=done["edit_id"])
    assert undone["undoes"] == done["edit_id"]
    assert sources(fleet) == before
    await assert_tests_pass(client)
    listed = (await call(client, "list_edits", limit=2))["edits"]
    assert [(one["tool"], one["state"]) for one in listed] == [("undo_edit", "applied"), ("rename_symbol", "undone")]
    assert listed[1]["undone_by"] == undone["edit_id"]


async def test_text_matches_are_listed_and_renamed_only_on_request(fleet: Deployment, client: Client) -> None:
    place = {"path": "project-a/src/utils.ts", "symbol": "processData", "new_name": RENAMED}
    before = sources(fleet)
    shown = await call(client, "rename_symbol", **place, preview=True)
    texts = {(at["path"], at["line"]) for at in shown["text_matches"]}
    assert any(path == "project-a/README.md" for path, _ in texts)
    assert not any(file["path"] == "project-a/README.md" for file in shown["files"])
    done = await call(client, "rename_symbol", **place, include_text_matches=True)
    try:
        readme = (fleet.path("project-a") / "README.md").read_text()
        assert RENAMED in readme
        assert "processData" not in readme
        assert uses(fleet.path("project-a"), "processData") == 0
    finally:
        await call(client, "undo_edit", edit_id=done["edit_id"])
    assert sources(fleet) == before


async def test_a_rename_without_access_to_all_projects_or_without_write_scope_changes_nothing(
    fleet: Deployment, connect: Connect
) -> None:
    before = sources(fleet)
    place = {"path": "project-a/src/utils.ts", "symbol": "processData", "new_name": RENAMED}
    async with connect(token=fleet.token("project-a")) as narrow:
        error = await refused(narrow, "rename_symbol", **place, projects=["project-a", "project-b"])
        assert error["code"] == "unknown_project"
    async with connect(token=fleet.token(scopes=("read",))) as reader:
        assert (await refused(reader, "rename_symbol", **place))["code"] == "forbidden"
    assert sources(fleet) == before


async def test_a_rename_fails_completely_if_one_project_is_offline(
    fleet: Deployment, client: Client, shared: dict[str, str]
) -> None:
    before = sources(fleet)
    container = fleet.container("project-b")
    container.stop()
    try:
        where = {"path": "project-a/src/utils.ts", "symbol": SHARED, "new_name": RENAMED, "projects": sorted(DECLARED)}
        error = await refused(client, "rename_symbol", **where)
        assert error["code"] == "spoke_offline"
        assert "project-b" in error["message"]
        assert sources(fleet) == before
    finally:
        container.start()


async def test_a_name_that_the_language_server_rejects_changes_nothing(fleet: Deployment, client: Client) -> None:
    before = sources(fleet)
    place = {"path": "project-c/src/lib.rs", "symbol": "process_data"}
    error = await refused(client, "rename_symbol", **place, new_name="not a name")
    assert error["code"] == "cannot_rename"
    assert sources(fleet) == before
