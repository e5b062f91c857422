"""Of a project that a language server knows in part, the answers are whole or say what they lack, in any order."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client

from codebuddy_testing.case_projects import PROFILES, case_directory, chosen_projects, reset_project
from codebuddy_testing.clients import answer, call, refused
from codebuddy_testing.deployment import Deployment
from codebuddy_testing.language_cases import Location, locations_of
from codebuddy_testing.partial_projects import PARTIAL_PROJECTS, PartialProject

pytestmark = pytest.mark.anyio

ORDERS = 3
TIMES = 5
NEW_NAME = "other_thing"

CASES = [
    pytest.param(project, case, id=f"{project}-{case.name}".replace(" ", "_"))
    for case in PARTIAL_PROJECTS
    for project in case.projects
    if project in chosen_projects()
]


@pytest.fixture
def filled(project: str, case: PartialProject, fleet: Deployment, tmp_path: Path) -> Iterator[Path]:
    """Put the case in the place of what the project holds."""
    for path, text in case.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    root = fleet.path(project)
    reset_project(root, tmp_path)
    for path, target in case.links.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)
    yield root
    for path in case.links:
        (root / path).unlink()
    for entry in os.scandir(root):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
    reset_project(root, case_directory(PROFILES[project]))


def places(content: Mapping[str, Any], field: str, project: str) -> list[Location]:
    return sorted(
        Location(one["path"].removeprefix(f"{project}/"), one["line"], one["column"], one["end_column"])
        for one in content.get(field) or ()
    )


def marked(case: PartialProject, texts: list[str] | Any) -> list[Location]:
    return sorted(at for one in texts for at in locations_of(case.files, one))


async def asked(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Ask until the server has loaded."""
    for _ in range(TIMES):
        succeeded, content = await answer(client, tool, **arguments)
        if content.get("reason", content.get("code")) not in ("indexing", "timed_out", "not_complete"):
            break
    return {"succeeded": succeeded, **content}


async def problems(client: Client, project: str) -> list[tuple[str, int, str]]:
    """Return the errors that the language server finds in the project's files."""
    content = await asked(client, "diagnostics", projects=[project])
    assert content["complete"], content
    found = [one for one in content["diagnostics"] if one["severity"] == "error"]
    return sorted((one["path"], one["line"], one["message"].replace(NEW_NAME, "thing")) for one in found)


async def restart(client: Client, project: str) -> None:
    await call(client, "restart_language_server", projects=[project])


def questions(project: str, case: PartialProject) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return every question about the whole project, and one about each file, which has the server load it."""
    (at, *_) = locations_of(case.files, case.declaration)
    place = {"path": f"{project}/{at.path}", "line": at.line, "column": at.column}
    found: dict[str, tuple[str, dict[str, Any]]] = {
        "references": ("find_references", place),
        "by name": ("find_references", {"symbol": "thing", "projects": [project]}),
        "symbols": ("find_symbols", {"query": "thing", "projects": [project]}),
        "implementations": ("find_implementations", place),
        "callers": ("call_hierarchy", {**place, "direction": "incoming"}),
        "rename": ("rename_symbol", {**place, "new_name": NEW_NAME, "preview": True}),
    }
    for path in case.files:
        if path.endswith((".ts", ".js", ".py", ".go", ".rs", ".cpp", ".hpp")):
            found[path] = ("document_symbols", {"path": f"{project}/{path}"})
    return found


@pytest.mark.parametrize(("project", "case"), CASES)
async def test_references_are_all_or_the_answer_says_what_it_lacks(
    project: str, case: PartialProject, client: Client, filled: Path
) -> None:
    await restart(client, project)
    wanted = questions(project, case)
    for name in ("references", "by name") if case.named else ("references",):
        tool, arguments = wanted[name]
        content = await asked(client, tool, **arguments)
        assert places(content, "locations", project) == marked(case, case.uses), (name, content)
        told = marked(case, [*case.told, *case.doubtful])
        assert places(content, "text_matches", project) == told, (name, content)
        assert (content["complete"], content.get("reason")) == ((False, "not_covered") if case.told else (True, None))


@pytest.mark.parametrize(("project", "case"), CASES)
async def test_answers_do_not_depend_on_what_was_asked_before(
    project: str, case: PartialProject, client: Client, filled: Path
) -> None:
    wanted = questions(project, case)
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
    for number in range(ORDERS):
        await restart(client, project)
        names = list(wanted)
        random.Random(number).shuffle(names)
        for name in names:
            tool, arguments = wanted[name]
            content = await asked(client, tool, **arguments)
            content.pop("edit_id", None)
            for item in content.get("items", []):
                # The server's own words, which are not there where it left out the caller.
                item.pop("detail", None)
                item.pop("full_range", None)
            answers[name].append(content)
    for name, given in answers.items():
        assert all(one == given[0] for one in given), (name, given)


@pytest.mark.parametrize(("project", "case"), CASES)
async def test_a_rename_is_whole_or_refused(project: str, case: PartialProject, client: Client, filled: Path) -> None:
    await restart(client, project)
    tool, arguments = questions(project, case)["rename"]
    preview = await asked(client, tool, **arguments)
    if not case.rename.get(project) and preview.get("code") == "cannot_rename":
        return
    assert preview["succeeded"], preview
    arguments = {**arguments, "preview": False}
    if not case.rename.get(project):
        error = await refused(client, tool, **arguments)
        assert error["code"] == "not_complete", error
        assert preview.get("left_out"), preview
        assert {path: (filled / path).read_text() for path in case.files} == case.files
        return
    assert not preview.get("left_out"), preview
    before = await problems(client, project)
    edit = await call(client, tool, **arguments)
    # Other names of the same thing stay.
    uses = marked(case, case.uses)
    uses = [at for at in uses if case.files[at.path].split("\n")[at.line - 1].startswith("thing", at.column - 1)]
    for path, text in case.files.items():
        lines = text.split("\n")
        for at in sorted((one for one in uses if one.path == path), reverse=True):
            line = lines[at.line - 1]
            lines[at.line - 1] = line[: at.column - 1] + NEW_NAME + line[at.end_column - 1 :]
        assert (filled / path).read_text() == "\n".join(lines)
    assert await problems(client, project) == before
    await call(client, "undo_edit", edit_id=edit["edit_id"])
