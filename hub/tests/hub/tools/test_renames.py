"""rename_symbol: a spoke that reports a wrong name learns nothing about other projects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codebuddy.hub.spokes import Links
from codebuddy.hub.tools import code_edits as renames
from codebuddy.hub.tools.code_edits import rename_tools
from codebuddy.schemas.code import DiagnosticsResult
from codebuddy_testing.tool_client import ToolClient, snapshot

pytestmark = pytest.mark.anyio


class Spoke(Links):
    """A link to a spoke that gives a name for whatever stands at a place, and renames its first use."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "open_shop"
        self.left_out: dict[str, Any] = {}

    async def call(self, project: str, tool: str, arguments: dict[str, Any], answer: Any, **_: Any) -> Any:
        assert tool == "plan_rename"
        edit = {"line": 1, "column": 1, "end_line": 1, "end_column": 10, "new_text": arguments["new_name"]}
        changes = [{"path": f"{project}/a", "edits": [edit]}]
        named = {"old_name": self.name, "symbol": self.name}
        return answer.model_validate(
            {"complete": True, "changes": changes, "declarations": [], **named, **self.left_out}
        )


@pytest.fixture
def spoke() -> Spoke:
    return Spoke()


@pytest.fixture
def client(tmp_path: Path, spoke: Spoke) -> Iterator[ToolClient]:
    for name in "pq":
        (tmp_path / "fleet" / name).mkdir(parents=True)
        (tmp_path / "fleet" / name / "a").write_text("open_shop secret\nopen_shop\n")
    client = ToolClient(tmp_path / "fleet", tmp_path / "journal", ["p", "q"])
    client.add(rename_tools(spoke, client.editor))
    yield client
    client.close()


async def test_a_name_that_is_not_at_the_place_is_not_searched_in_other_projects(
    client: ToolClient, spoke: Spoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoke.name, searched, find_word = "secret", list[str](), renames.find_word

    def find(root: Any, word: str, *more: Any) -> Any:
        searched.append(root.project)
        return find_word(root, word, *more)

    monkeypatch.setattr(renames, "find_word", find)
    before = snapshot(tmp_path / "fleet")
    refused = await client.refused("rename_symbol", path="p/a", line=1, column=1, new_name="x", projects=["p", "q"])
    assert (refused.code, searched) == ("bad_answer", ["p"])
    assert snapshot(tmp_path / "fleet") == before


async def test_matches_are_computed_outside_the_event_loop(
    client: ToolClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set[int]()

    def watched(reckon: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            threads.add(threading.get_ident())
            return reckon(*arguments)

        return run

    monkeypatch.setattr(renames, "without_renamed", watched(renames.without_renamed))
    monkeypatch.setattr(renames, "with_matches", watched(renames.with_matches))
    await client("rename_symbol", path="p/a", line=1, column=1, new_name="x", include_text_matches=True)
    assert (tmp_path / "fleet" / "p" / "a").read_text() == "x secret\nx\n"
    assert threads
    assert threading.get_ident() not in threads


LEFT = {"path": "p/a", "line": 2, "column": 1, "end_line": 2, "end_column": 10, "line_text": "open_shop"}
PLACE = {"path": "p/a", "line": 1, "column": 1, "new_name": "x"}


async def test_a_rename_that_leaves_uses_behind_is_refused_and_a_preview_lists_them(
    client: ToolClient, spoke: Spoke, tmp_path: Path
) -> None:
    spoke.left_out = {"left_out": [LEFT], "why_left_out": "It is used there too."}
    before = snapshot(tmp_path / "fleet")
    error = await client.refused("rename_symbol", **PLACE)
    assert error.code == "not_complete"
    assert error.message.startswith("It is used there too. Nothing was changed.")
    preview = await client("rename_symbol", **PLACE, preview=True)
    assert ([at["line"] for at in preview["left_out"]], preview["why_left_out"]) == ([2], "It is used there too.")
    assert preview["refused"] == "Without accept_partial: true it would be refused (not_complete)."
    assert "accept_partial: true it would be refused" in await client.text("rename_symbol", **PLACE, preview=True)
    assert "refused" not in await client("rename_symbol", **PLACE, preview=True, accept_partial=True)
    assert snapshot(tmp_path / "fleet") == before


async def test_a_part_is_renamed_when_the_caller_accepts_that(client: ToolClient, spoke: Spoke, tmp_path: Path) -> None:
    spoke.left_out = {"left_out": [LEFT], "why_left_out": "It is used there too."}
    renamed = await client("rename_symbol", **PLACE, accept_partial=True)
    assert (len(renamed["left_out"]), (tmp_path / "fleet/p/a").read_text()) == (1, "x secret\nopen_shop\n")


async def test_a_place_that_is_renamed_for_its_text_is_not_left_out(
    client: ToolClient, spoke: Spoke, tmp_path: Path
) -> None:
    spoke.left_out = {"left_out": [LEFT], "why_left_out": "It is used there too."}
    renamed = await client("rename_symbol", **PLACE, include_text_matches=True)
    assert "left_out" not in renamed
    assert (tmp_path / "fleet/p/a").read_text() == "x secret\nx\n"


async def test_a_spoke_cannot_name_places_of_another_project(client: ToolClient, spoke: Spoke) -> None:
    spoke.left_out = {"left_out": [{**LEFT, "path": "q/a"}], "why_left_out": "It is used there too."}
    assert (await client.refused("rename_symbol", **PLACE, preview=True)).code == "bad_answer"


async def test_a_file_that_cannot_be_decoded_is_told_and_blocks_nothing(client: ToolClient, tmp_path: Path) -> None:
    fleet = tmp_path / "fleet"
    for path, data in {"p/notes.txt": b"caf\xe9 open_shop\n", "p/image.bin": b"\0\xe9 open_shop\n"}.items():
        (fleet / path).write_bytes(data)
    arguments = {"path": "p/a", "line": 1, "column": 1, "new_name": "enter"}
    for more in (False, True):
        (fleet / "p" / "a").write_text("open_shop\n")
        answer = await client("rename_symbol", **arguments, include_text_matches=more)
        assert answer["undecoded"] == ["p/notes.txt"]
        assert (fleet / "p/a").read_text() == "enter\n"
        assert (fleet / "p/notes.txt").read_bytes() == b"caf\xe9 open_shop\n"


async def test_a_finding_whose_message_has_the_old_name_is_not_new(client: ToolClient, tmp_path: Path) -> None:
    async def check(_project: str, _paths: list[str] | None) -> DiagnosticsResult:
        name, _, rest = (tmp_path / "fleet/p/a").read_text().partition("\n")[0].partition(" ")
        items = [
            {"path": "p/a", "line": 1, "column": 1, "end_line": 1, "end_column": 2, "line_text": f"{name} {rest}"}
            | {"severity": "hint", "message": f"`{one}` is not accessed"}
            for one in (name, f"{name}_x")
        ]
        return DiagnosticsResult(complete=True, diagnostics=items, checked_files=1)  # type: ignore[arg-type]

    client.answer_check = check
    renamed = await client("rename_symbol", **PLACE, diagnostics="projects")
    messages = {side: [one["message"] for one in renamed["diagnostics"][side]] for side in ("introduced", "cured")}
    assert messages == {"introduced": ["`x_x` is not accessed"], "cured": ["`open_shop_x` is not accessed"]}
