"""code_actions at the hub: a list, or one edit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.files.text import content_hash
from codebuddy.hub.spokes import Links
from codebuddy.hub.tools.code_edits import action_tools
from codebuddy.tool import ToolError
from codebuddy_testing.tool_client import ToolClient, snapshot

pytestmark = pytest.mark.anyio

PLACE = {"path": "p/a", "line": 1, "column": 1}
OFFER = {"id": "abc", "title": "Fix it", "kind": "quickfix", "server": "fake", "preferred": True}


class Spoke(Links):
    def __init__(self) -> None:
        super().__init__()
        self.says: Any = None
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def call(self, project: str, tool: str, arguments: dict[str, Any], answer: Any, **_: Any) -> Any:
        self.asked.append((tool, arguments))
        if isinstance(self.says, ToolError):
            raise self.says
        return answer.model_validate(self.says)


@pytest.fixture
def p(p: Path) -> Path:
    (p / "a").write_text("one\n")
    return p


@pytest.fixture
def spoke() -> Spoke:
    return Spoke()


@pytest.fixture
def client(client: ToolClient, spoke: Spoke) -> ToolClient:
    client.add(action_tools(spoke, client.editor))
    return client


def planned(path: str = "p/a", **more: Any) -> dict[str, Any]:
    edits = [{"line": 1, "column": 1, "end_line": 1, "end_column": 4, "new_text": "two"}]
    change = {"path": path, "expected_hash": content_hash(b"one\n"), "edits": edits}
    return {"complete": True, "changes": [change], "title": "Fix it", "notes": ["A note."], **more}


async def test_a_list_is_passed_on(client: ToolClient, spoke: Spoke) -> None:
    spoke.says = {"complete": True, "actions": [OFFER]}
    answer = await client("code_actions", **PLACE, kinds=["quickfix"])
    assert (answer["actions"], answer["complete"]) == ([OFFER], True)
    assert spoke.asked == [("code_actions", {**PLACE, "kinds": ["quickfix"], "timeout_seconds": 30.0})]
    assert "abc: Fix it (quickfix, fake, preferred)" in await client.text("code_actions", **PLACE)


async def test_an_incomplete_list_says_so(client: ToolClient, spoke: Spoke) -> None:
    spoke.says = ToolError("spoke_offline", "The spoke of p is not connected.")
    answer = await client("code_actions", **PLACE)
    assert (answer["actions"], answer["complete"], answer["reason"]) == ([], False, "spoke_offline")


async def test_an_action_is_one_edit_and_one_undo(client: ToolClient, spoke: Spoke, p: Path) -> None:
    spoke.says = planned()
    before = snapshot(p)
    preview = await client("code_actions", **PLACE, apply="abc", preview=True)
    assert "+two" in preview["files"][0]["diff"]
    assert snapshot(p) == before
    answer = await client("code_actions", **PLACE, apply="abc")
    assert (p / "a").read_text() == "two\n"
    assert (answer["title"], answer["notes"], "actions" in answer) == ("Fix it", ["A note."], False)
    assert spoke.asked[-1] == ("plan_action", {**PLACE, "action": "abc", "timeout_seconds": 30.0})
    (edit,) = (await client("list_edits"))["edits"]
    assert edit["tool"] == "code_actions"
    await client("undo_edit", edit_id=answer["edit_id"])
    assert snapshot(p) == before


@pytest.mark.parametrize(
    ("says", "code"),
    [
        (planned(complete=False, reason="indexing", message="It loads.", changes=[]), "not_complete"),
        (planned("q/a"), "bad_answer"),
        (ToolError("needs_editor", "It needs an editor."), "needs_editor"),
        (ToolError("spoke_offline", "The spoke of p is not connected."), "spoke_offline"),
    ],
)
async def test_an_incomplete_plan_changes_nothing(
    client: ToolClient, spoke: Spoke, p: Path, says: Any, code: str
) -> None:
    spoke.says = says
    before = snapshot(p.parent)
    assert (await client.refused("code_actions", **PLACE, apply="abc")).code == code
    assert snapshot(p.parent) == before


async def test_a_file_that_changed_is_a_conflict(client: ToolClient, spoke: Spoke, p: Path) -> None:
    spoke.says = planned()
    (p / "a").write_text("other\n")
    assert (await client.refused("code_actions", **PLACE, apply="abc")).code == "conflict"
    wanted = content_hash(b"one\n")
    assert (await client.refused("code_actions", **PLACE, apply="abc", expected_hash=wanted)).code == "conflict"


@pytest.mark.parametrize("given", [{"preview": True}, {"diagnostics": "files"}])
async def test_a_list_takes_no_preview(client: ToolClient, given: Any) -> None:
    assert (await client.refused("code_actions", **PLACE, **given)).code == "invalid_arguments"
