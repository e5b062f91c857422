"""apply_workspace_edit: any number of files and projects, in order, all or nothing, with a bounded answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.files.text import content_hash
from codebuddy_testing.tool_client import ToolClient, snapshot

pytestmark = pytest.mark.anyio


def at(line: int, column: int, new_text: str, end_line: int | None = None, end_column: int | None = None) -> Any:
    end = {"end_line": end_line or line, "end_column": end_column or column}
    return {"line": line, "column": column, **end, "new_text": new_text}


async def test_every_kind_of_change_in_several_projects_is_one_edit(p: Path, client: ToolClient) -> None:
    (p / "edited").write_bytes("\ufeff漢字\r\nzwei\r\n".encode())
    (p / "written").write_bytes(b"a\r\nb\r\n")
    (p / "old").write_text("moved\n")
    (p / "gone").write_text("gone\n")
    answer = await client(
        "apply_workspace_edit",
        changes=[
            {"path": "p/edited", "edits": [at(2, 1, "2", 2, 5), at(1, 3, "!\nnew")]},
            {"path": "p/written", "content": "1\n2\n"},
            {"path": "p/old", "move_to": "p/d/new"},
            {"path": "p/gone", "delete": True},
            {"path": "q/d/created", "content": "created\n"},
        ],
    )
    assert (p / "edited").read_bytes() == "\ufeff漢字!\r\nnew\r\n2\r\n".encode()
    assert (p / "written").read_bytes() == b"1\r\n2\r\n"
    assert (p / "d" / "new").read_text() == "moved\n"
    assert not (p / "gone").exists()
    assert (p.parent / "q" / "d" / "created").read_text() == "created\n"
    assert [(file["path"], file["action"]) for file in answer["files"]] == [
        ("p/d/new", "moved"),
        ("p/edited", "changed"),
        ("p/gone", "deleted"),
        ("p/written", "changed"),
        ("q/d/created", "created"),
    ]
    edited = answer["files"][1]
    assert edited["hash"] == content_hash((p / "edited").read_bytes())
    assert edited["before_hash"] == content_hash("\ufeff漢字\r\nzwei\r\n".encode())
    assert "+漢字!\r\n+new\r\n+2\r\n" in edited["diff"]
    assert len((await client("list_edits"))["edits"]) == 1


async def test_each_change_applies_to_the_result_of_the_previous_ones(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("one\n")
    answer = await client(
        "apply_workspace_edit",
        changes=[
            {"path": "p/a", "edits": [at(1, 1, "1", 1, 4)]},
            {"path": "p/a", "edits": [at(1, 2, "!")], "expected_hash": content_hash(b"1\n")},
            {"path": "p/b", "content": "x"},
            {"path": "p/b", "move_to": "p/c"},
            {"path": "p/c", "edits": [at(1, 2, "y")]},
            {"path": "p/d", "content": "never there"},
            {"path": "p/d", "delete": True},
        ],
    )
    assert snapshot(p) == {
        "a": ((p / "a").stat().st_mode, b"1!\n"),
        "c": ((p / "c").stat().st_mode, b"xy"),
    }
    assert [(file["path"], file["action"]) for file in answer["files"]] == [("p/a", "changed"), ("p/c", "created")]


async def test_a_moved_and_edited_file_is_reported_with_both(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("one\n")
    changes = [{"path": "p/a", "move_to": "p/b"}, {"path": "p/b", "edits": [at(1, 1, "1", 1, 4)]}]
    [file] = (await client("apply_workspace_edit", changes=changes))["files"]
    assert (file["action"], file["from"], file["path"]) == ("moved", "p/a", "p/b")
    assert file["diff"] == "--- a/p/a\n+++ b/p/b\n@@ -1 +1 @@\n-one\n+1\n"
    assert (p / "b").read_text() == "1\n"


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"path": "p/none", "edits": [at(1, 1, "x")]}, "not_found"),
        ({"path": "p/a", "edits": [at(9, 1, "x")]}, "invalid_range"),
        ({"path": "p/a", "edits": [at(0, 1, "x", 1, 1)]}, "invalid_arguments"),
        ({"path": "p/a", "edits": [at(1, 0, "x", 1, 1)]}, "invalid_arguments"),
        ({"path": "p/a", "edits": [at(1, 1, "x", 1, 3), at(1, 2, "y")]}, "overlapping_edits"),
        ({"path": "p/a", "content": "x", "expected_hash": content_hash(b"other")}, "conflict"),
        ({"path": "p/a", "content": "x", "expected_hash": "absent"}, "conflict"),
        ({"path": "p/a", "content": "nul\0"}, "invalid_text"),
        ({"path": "p/binary", "edits": [at(1, 1, "x")]}, "binary_file"),
        ({"path": "p/d", "content": "x"}, "is_a_directory"),
        ({"path": "p/d", "edits": [at(1, 1, "x")]}, "is_a_directory"),
        ({"path": "p/d", "delete": True}, "not_empty"),
        ({"path": "p/none", "delete": True}, "not_found"),
        ({"path": "p/a", "move_to": "p/d/f"}, "already_exists"),
        ({"path": "p/a/b", "content": "x"}, "not_a_directory"),
        ({"path": "p/../q/b", "content": "x"}, "outside_project"),
        ({"path": "r/b", "content": "x"}, "unknown_project"),
        ({"path": "p/a", "content": "x", "delete": True}, "invalid_arguments"),
        ({"path": "p/a"}, "invalid_arguments"),
    ],
)
async def test_when_one_change_cannot_be_made_none_is(
    p: Path, client: ToolClient, bad: dict[str, Any], code: str
) -> None:
    (p / "a").write_text("a1\n")
    (p / "binary").write_bytes(b"\0\xff")
    (p / "d").mkdir()
    (p / "d" / "f").write_text("f")
    before = snapshot(p.parent)
    first, last = {"path": "q/new/x", "content": "x"}, {"path": "q/y", "content": "y"}
    error = await client.refused("apply_workspace_edit", changes=[first, bad, last])
    assert error.code == code
    if code not in ("invalid_arguments", "unknown_project"):
        assert error.path is not None
    assert snapshot(p.parent) == before
    assert client.told == []


async def test_changes_with_an_ignore_flag_are_skipped(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("a")
    (p / "b").write_text("b")
    before = snapshot(p)
    answer = await client(
        "apply_workspace_edit",
        changes=[
            {"path": "p/a", "content": "x", "ignore_if_exists": True},
            {"path": "p/a", "move_to": "p/b", "ignore_if_exists": True},
            {"path": "p/none", "delete": True, "ignore_if_not_exists": True},
        ],
    )
    assert answer == {"files": []}
    assert snapshot(p) == before
    assert await client.text("list_edits") == "count: 0"


async def test_the_number_of_changes_is_limited(client: ToolClient) -> None:
    changes = [{"path": f"p/f{number}", "content": ""} for number in range(2001)]
    assert (await client.refused("apply_workspace_edit", changes=changes)).code == "invalid_arguments"
    assert (await client.refused("apply_workspace_edit", changes=[])).code == "invalid_arguments"


async def test_diffs_are_bounded_and_cuts_are_reported(p: Path, client: ToolClient) -> None:
    small = {"path": "p/a", "content": "small\n"}
    assert "diff_cut" not in await client("apply_workspace_edit", changes=[small])
    large = [{"path": f"p/f{number:02}", "content": "line\n" * 10_000} for number in range(20)]
    answer = await client("apply_workspace_edit", changes=[*large, {"path": "p/z", "content": "z\n"}])
    assert answer["diff_cut"]
    assert len(answer["files"]) == 21
    sizes = [len(file.get("diff", "").encode()) for file in answer["files"]]
    assert max(sizes) <= 32 * 1024
    assert 100 * 1024 < sum(sizes) <= 128 * 1024
    assert "diff cut after" in answer["files"][0]["diff"]
    assert "diff_cut: true" in await client.text("undo_edit", edit_id=answer["edit_id"], preview=True)


async def test_all_files_are_listed_and_a_lean_answer_counts_those_it_leaves_out(p: Path, client: ToolClient) -> None:
    changes = [{"path": f"p/d/f{number}", "content": "x"} for number in range(120)]
    answer = await client("apply_workspace_edit", changes=changes)
    assert len(answer["files"]) == 120
    assert "files_cut" not in answer
    text = await client.text("undo_edit", edit_id=answer["edit_id"], preview=True)
    assert text.count("deleted p/d/f") == 50
    assert "more_files: 70" in text


async def test_a_diff_in_one_file_is_cut_and_says_so(p: Path, client: ToolClient) -> None:
    answer = await client("write_file", path="p/a", content="line\n" * 10_000)
    assert answer["diff_cut"]
    assert len(answer["diff"].encode()) <= 32 * 1024
    assert "diff_cut" not in await client("write_file", path="p/b", content="... diff cut after 1 of 2 lines\n")
