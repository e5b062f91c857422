"""A rename's answer lists the projects without the symbol; its errors say why it was refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.hub.spokes import Links
from codebuddy.hub.tools.code_edits import RenamedProject, RenameResult, rename_tools
from codebuddy_testing.tool_client import ToolClient


def told(*renamed: RenamedProject) -> dict[str, Any]:
    answer = RenameResult(files=[], old_name="run", renamed=[*renamed], text_matches=[], text_matches_included=False)
    return answer.lean()


@pytest.mark.parametrize(("symbol", "path"), [("Job/run", "'Job/run'"), (None, "'run'")])
def test_projects_without_the_symbol_are_listed_with_its_path(symbol: str | None, path: str) -> None:
    first = RenamedProject(project="a", places=2, symbol=symbol)
    answer = told(first, RenamedProject(project="b", places=0), RenamedProject(project="c", places=0))
    assert answer["renamed_places"] == {"a": 2}
    assert answer["not_found"] == f"no symbol with the path {path} in b, c"


def test_no_project_is_listed_if_all_have_the_symbol() -> None:
    assert "not_found" not in told(RenamedProject(project="a", places=1, symbol="run"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("reason", "code", "said"),
    [
        ("unsupported", "unsupported", "p: No language server serves this file. Nothing was changed."),
        ("indexing", "not_complete", "The language server of p cannot give all changes (indexing): "),
    ],
)
async def test_an_incomplete_rename_changes_nothing_and_says_why(
    tmp_path: Path, reason: str, code: str, said: str
) -> None:
    class Spoke(Links):
        async def call(self, project: str, tool: str, arguments: dict[str, Any], answer: Any, **_: Any) -> Any:
            why = {"complete": False, "reason": reason, "message": "No language server serves this file."}
            return answer.model_validate({**why, "changes": [], "declarations": []})

    (tmp_path / "fleet" / "p").mkdir(parents=True)
    (tmp_path / "fleet" / "p" / "a").write_text("run\n")
    client = ToolClient(tmp_path / "fleet", tmp_path / "journal", ["p"])
    client.add(rename_tools(Spoke(), client.editor))
    error = await client.refused("rename_symbol", path="p/a", line=1, column=1, new_name="go")
    client.close()
    assert (error.code, error.message[: len(said)]) == (code, said)
    assert (tmp_path / "fleet" / "p" / "a").read_text() == "run\n"
