"""Each tool on each language server gives the right answer, or says that the server cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from codebuddy_testing.case_projects import PROFILES, cases_of, chosen_projects
from codebuddy_testing.clients import answer
from codebuddy_testing.language_cases import Case, arguments_of
from codebuddy_testing.matrix_table import Table
from codebuddy_testing.verdicts import Answer, judge

pytestmark = pytest.mark.anyio

TIMES = 3

CASES = [
    pytest.param(project, case, id=f"{project}-{case.tool}-{case.name}".replace(" ", "_"))
    for project in chosen_projects()
    for case in cases_of(PROFILES[project])
]


async def call(client: Client, tool: str, **arguments: Any) -> Answer:
    try:
        succeeded, content = await answer(client, tool, **arguments)
    except MCPError as error:  # the tool does not exist
        return Answer(failed=True, content={"code": "protocol", "message": str(error)})
    return Answer(not succeeded, content)


@asynccontextmanager
async def with_case_file(
    client: Client, project: str, case: Case, texts: dict[str, str]
) -> AsyncIterator[dict[str, str]]:
    """Write the case's file through the hub, and undo that; yields the project's files with it."""
    if case.file is None:
        yield texts
        return
    path = f"{project}/{case.file.path}"
    written = await call(client, "write_file", path=path, content=case.file.content)
    assert not written.failed, written.content
    try:
        yield {**texts, case.file.path: case.file.content}
    finally:
        undone = await call(client, "undo_edit", edit_id=written.content["edit_id"])
        assert not undone.failed, undone.content


@pytest.mark.parametrize(("project", "case"), CASES)
async def test_the_answer_of_each_case_is_as_expected(
    project: str, case: Case, client: Client, texts: dict[str, dict[str, str]], table: Table
) -> None:
    async with with_case_file(client, project, case, texts[PROFILES[project]]) as there:
        answer = await call(client, case.tool, **arguments_of(case, project, there))
        for _ in range(TIMES):
            # On a busy machine a server may need longer, and the answer says so.
            if answer.content.get("reason") not in ("indexing", "timed_out"):
                break
            answer = await call(client, case.tool, **arguments_of(case, project, there))
        verdict = judge(case, project, there, answer)
    table.add(case.tool, case.name, project, verdict)
    assert verdict.state != "WRONG", verdict.why
