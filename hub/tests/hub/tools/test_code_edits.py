"""format_file, replace_symbol and insert_at_symbol: which plans of a spoke become an edit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.files.text import content_hash
from codebuddy.hub.spokes import Links
from codebuddy.hub.tools.code_edits import code_edit_tools
from codebuddy.schemas.code import FormattedText
from codebuddy.tool import ToolError
from codebuddy_testing.tool_client import ToolClient, snapshot

pytestmark = pytest.mark.anyio

DATA = "\ufeffone 😀\r\ntwo\r\nthree".encode()
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("format_file", {"path": "p/a"}),
    ("replace_symbol", {"path": "p/a", "symbol": "A/b", "content": "TWO"}),
    ("insert_at_symbol", {"path": "p/a", "symbol": "A/b", "content": "TWO", "position": "after"}),
]


class Spoke(Links):
    """A link to a spoke that answers what the test gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.says: Any = None
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    async def call(self, project: str, tool: str, arguments: dict[str, Any], answer: Any, **_: Any) -> Any:
        self.asked.append((project, tool, arguments))
        if isinstance(self.says, ToolError):
            raise self.says
        return answer.model_validate(self.says)


@pytest.fixture
def p(p: Path) -> Path:
    (p / "a").write_bytes(DATA)
    return p


@pytest.fixture
def spoke() -> Spoke:
    spoke = Spoke()
    spoke.says = planned()
    return spoke


@pytest.fixture
def client(client: ToolClient, spoke: Spoke) -> ToolClient:
    client.add(code_edit_tools(spoke, client.editor))
    return client


def planned(path: str = "p/a", data: bytes = DATA) -> dict[str, Any]:
    edit = {"line": 2, "column": 1, "end_line": 2, "end_column": 4, "new_text": "TWO\nand"}
    return {"complete": True, "changes": [{"path": path, "expected_hash": content_hash(data), "edits": [edit]}]}


@pytest.mark.parametrize(("tool", "arguments"), CALLS)
async def test_it_is_one_edit_that_is_undone_byte_for_byte(
    p: Path, client: ToolClient, spoke: Spoke, tool: str, arguments: dict[str, Any]
) -> None:
    before = snapshot(p)
    preview = await client(tool, **arguments, preview=True)
    assert (preview["preview"], "edit_id" in preview, snapshot(p)) == (True, False, before)
    answer = await client(tool, **arguments)
    assert (p / "a").read_bytes() == "\ufeffone 😀\r\nTWO\r\nand\r\nthree".encode()
    assert answer["files"][0]["diff"] == preview["files"][0]["diff"]
    (edit,) = (await client("list_edits"))["edits"]
    assert (edit["tool"], edit["edit_id"]) == (tool, answer["edit_id"])
    await client("undo_edit", edit_id=answer["edit_id"])
    assert snapshot(p) == before
    project, _, sent = spoke.asked[0]
    assert (project, sent["path"]) == ("p", "p/a")


async def test_what_the_spoke_is_asked(client: ToolClient, spoke: Spoke) -> None:
    for tool, arguments in CALLS:
        await client(tool, **arguments, timeout_seconds=7.0, preview=True)
    common = {"path": "p/a", "timeout_seconds": 7.0}
    what = {"symbol": "A/b", "content": "TWO"}
    assert spoke.asked == [
        ("p", "plan_format", common),
        ("p", "plan_symbol_edit", {**common, **what, "action": "replace"}),
        ("p", "plan_symbol_edit", {**common, **what, "action": "after"}),
    ]


async def test_no_changes_are_reported(client: ToolClient, spoke: Spoke, p: Path) -> None:
    spoke.says = {"complete": True, "changes": []}
    answer = await client("format_file", path="p/a")
    assert answer == {"files": []}
    assert await client.text("format_file", path="p/a") == "message: Nothing had to change."


@pytest.mark.parametrize(("tool", "arguments"), CALLS)
async def test_a_file_that_changed_since_the_plan_is_a_conflict(
    p: Path, client: ToolClient, spoke: Spoke, tool: str, arguments: dict[str, Any]
) -> None:
    spoke.says = planned(data=b"other")
    assert (await client.refused(tool, **arguments)).code == "conflict"
    spoke.says = planned()
    error = await client.refused(tool, **arguments, expected_hash=content_hash(b"other"))
    assert error.code == "conflict"
    assert (p / "a").read_bytes() == DATA


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ({"complete": False, "reason": "indexing", "message": "It loads.", "changes": []}, "not_complete"),
        ({"complete": False, "reason": "unsupported", "message": "None formats.", "changes": []}, "unsupported"),
        (planned("q/a"), "bad_answer"),
        (ToolError("spoke_offline", "The spoke of p is not connected."), "spoke_offline"),
        (ToolError("no_such_symbol", "There is no symbol A/b."), "no_such_symbol"),
    ],
)
async def test_an_incomplete_plan_or_one_for_another_project_changes_nothing(
    p: Path, client: ToolClient, spoke: Spoke, says: Any, code: str
) -> None:
    spoke.says = says
    before = snapshot(p.parent)
    for tool, arguments in CALLS:
        assert (await client.refused(tool, **arguments)).code == code
    assert snapshot(p.parent) == before


async def test_a_preview_has_no_diagnostics(client: ToolClient) -> None:
    error = await client.refused("format_file", path="p/a", preview=True, diagnostics="files")
    assert error.code == "invalid_arguments"


async def test_symbol_edits_are_formatted_on_write_and_format_file_is_not(p: Path, client: ToolClient) -> None:
    async def shout(_path: str, content: str) -> FormattedText:
        return FormattedText(complete=True, served=True, content=content.replace("and", "AND"))

    client.answer_format = shout
    for tool, arguments in CALLS:
        answer = await client(tool, **arguments)
        assert (b"AND" in (p / "a").read_bytes()) == (tool != "format_file")
        await client("undo_edit", edit_id=answer["edit_id"])
