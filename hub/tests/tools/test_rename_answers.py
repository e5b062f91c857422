"""The text of a rename says in which projects no symbol was renamed, and by which path it was looked for."""

from __future__ import annotations

import pytest

from codebuddy.tools.renames import RenamedProject, RenameResult


def told(*renamed: RenamedProject) -> list[str]:
    answer = RenameResult(files=[], old_name="run", renamed=[*renamed], text_matches=[], text_matches_included=False)
    return answer.text().splitlines()


@pytest.mark.parametrize(("symbol", "path"), [("Job/run", "'Job/run'"), (None, "'run'")])
def test_projects_without_such_a_symbol_are_told_with_its_path(symbol: str | None, path: str) -> None:
    first = RenamedProject(project="a", places=2, symbol=symbol)
    lines = told(first, RenamedProject(project="b", places=0), RenamedProject(project="c", places=0))
    assert lines[:2] == [
        "run: known to the language servers of a (2 places)",
        f"no symbol with the path {path} in b, c",
    ]


def test_where_all_have_it_nothing_lacks() -> None:
    assert "no symbol" not in "".join(told(RenamedProject(project="a", places=1, symbol="run")))
