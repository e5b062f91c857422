"""list_edits and undo_edit: who sees which edits, and that undo restores exactly or says why it cannot."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from codebuddy.files.text import content_hash
from codebuddy.tool import ALL_SCOPES, Principal, ToolError
from codebuddy_testing.tool_client import ToolClient, snapshot

pytestmark = pytest.mark.anyio


@pytest.fixture
def p(tmp_path: Path) -> Path:
    """The root of the project `p`; beside it lie those of `q` and `r`."""
    for name in "pqr":
        (tmp_path / "fleet" / name).mkdir(parents=True)
    return tmp_path / "fleet" / "p"


@pytest.fixture
def client(p: Path, tmp_path: Path) -> Iterator[ToolClient]:
    client = ToolClient(p.parent, tmp_path / "journal", ["p", "q", "r"])
    yield client
    client.close()


def limited(*projects: str) -> Principal:
    return Principal("limited", frozenset(projects), ALL_SCOPES)


async def write(client: ToolClient, *paths: str, content: str = "x\n") -> str:
    changes = [{"path": path, "content": content} for path in paths]
    answer = await client("apply_workspace_edit", changes=changes)
    return str(answer["edit_id"])


# list_edits


async def test_edits_are_listed_in_detail_the_newest_first(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("a")
    first = (await client("write_file", path="p/a", content="b"))["edit_id"]
    second = (await client("move_path", source="p/a", target="p/d/b"))["edit_id"]
    third = (await client("undo_edit", edit_id=second))["edit_id"]
    listed = (await client("list_edits"))["edits"]
    at = [one.pop("at") for one in listed]
    assert listed == [
        {
            "edit_id": third,
            "who": "tester",
            "tool": "undo_edit",
            "projects": ["p"],
            "files": [{"path": "p/a", "action": "moved", "from": "p/d/b"}],
            "state": "applied",
            "undoes": second,
        },
        {
            "edit_id": second,
            "who": "tester",
            "tool": "move_path",
            "projects": ["p"],
            "files": [{"path": "p/d/b", "action": "moved", "from": "p/a"}],
            "state": "undone",
            "undone_by": third,
        },
        {
            "edit_id": first,
            "who": "tester",
            "tool": "write_file",
            "projects": ["p"],
            "files": [{"path": "p/a", "action": "changed"}],
            "state": "applied",
        },
    ]
    for moment in at:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment)
        assert abs((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()) < 100
    assert third in await client.text("list_edits")


async def test_failed_edits_and_previews_are_not_listed(p: Path, client: ToolClient) -> None:
    await client("write_file", path="p/a", content="x", preview=True)
    await client.refused("edit_file", path="p/a", edits=[{"old_text": "a", "new_text": "b"}])
    (p / "a").write_text("a")
    (p / "a").chmod(0o400)
    await client.refused("write_file", path="p/a", content="x")
    assert (await client("list_edits")) == {"edits": [], "truncated": False}


async def test_pages_follow_one_another_and_a_new_edit_disturbs_none(client: ToolClient) -> None:
    made = [await write(client, "p/a" if number % 3 else "q/a", content=str(number)) for number in range(7)]
    first = await client("list_edits", limit=3)
    await write(client, "p/new")
    second = await client("list_edits", limit=3, cursor=first["cursor"])
    third = await client("list_edits", limit=3, cursor=second["cursor"])
    pages = [first, second, third]
    assert [one["edit_id"] for page in pages for one in page["edits"]] == made[::-1]
    assert [page["truncated"] for page in pages] == [True, True, False]
    assert "cursor" not in third
    only = await client("list_edits", projects=["q"], limit=2)
    assert [one["edit_id"] for one in only["edits"]] == [made[6], made[3]]
    rest = await client("list_edits", projects=["q"], limit=2, cursor=only["cursor"])
    assert [one["edit_id"] for one in rest["edits"]] == [made[0]]
    gone = await client("list_edits", cursor="20000101T000000-00000000")
    assert gone == {"edits": [], "truncated": False}


async def test_a_token_sees_only_its_own_projects_part_of_an_edit(client: ToolClient) -> None:
    both = await write(client, "p/mine", "q/theirs-1", "q/theirs-2")
    theirs = await write(client, "q/theirs-3")
    across = (await client("move_path", source="q/theirs-1", target="p/taken"))["edit_id"]
    client.principal = limited("p", "r")
    answer = await client("list_edits")
    assert [(one["edit_id"], one["projects"], one.get("partial")) for one in answer["edits"]] == [
        (across, ["p"], True),
        (both, ["p"], True),
    ]
    assert [one["files"] for one in answer["edits"]] == [
        [{"path": "p/taken", "action": "created"}],
        [{"path": "p/mine", "action": "created"}],
    ]
    told = json.dumps(answer) + await client.text("list_edits")
    assert "theirs" not in told
    assert '"q"' not in told
    assert theirs not in told
    assert (await client.refused("list_edits", projects=["q"])).code == "unknown_project"
    assert (await client("list_edits", projects=["r"]))["edits"] == []


@pytest.mark.parametrize("cursor", ["", "x", "20000101T000000-0000000Z", "../../etc/passwd"])
async def test_an_invalid_edit_id_is_refused(client: ToolClient, cursor: str) -> None:
    assert (await client.refused("list_edits", cursor=cursor)).code == "invalid_arguments"
    error = await client.refused("undo_edit", edit_id=cursor)
    assert error.code == "invalid_arguments"
    assert error.message.startswith("edit_id: this must be an edit_id of an answer, or of list_edits, like 2026")


async def test_a_damaged_record_hides_no_other_edit(p: Path, client: ToolClient, tmp_path: Path) -> None:
    first = await write(client, "p/needle-one")
    second = await write(client, "p/two")
    [segment] = (tmp_path / "journal").glob("*.journal")
    with segment.open("r+b") as file:
        file.seek(segment.read_bytes().index(b"needle-one"))
        file.write(b"NEEDLE")
    listed = (await client("list_edits"))["edits"]
    assert [(one["edit_id"], one.get("damaged"), len(one["files"])) for one in listed] == [
        (second, None, 1),
        (first, True, 0),
    ]
    assert (await client.refused("undo_edit", edit_id=first)).code == "journal_damaged"
    assert (p / "needle-one").exists()


# undo_edit


async def test_undo_restores_exactly_and_can_itself_be_undone(p: Path, client: ToolClient) -> None:
    (p / "run.sh").write_bytes(b"\xef\xbb\xbf#!\r\nold\r\n")
    (p / "run.sh").chmod(0o755)
    (p / "gone").write_bytes(b"\0binary")
    before = snapshot(p.parent)
    answer = await client(
        "apply_workspace_edit",
        changes=[
            {"path": "p/run.sh", "content": "#!\nnew\n"},
            {"path": "p/gone", "delete": True},
            {"path": "q/new/file", "content": "x"},
            {"path": "p/run.sh", "move_to": "r/run.sh"},
        ],
    )
    after = snapshot(p.parent)
    undone = await client("undo_edit", edit_id=answer["edit_id"])
    assert snapshot(p.parent) == before
    assert undone["undoes"] == answer["edit_id"]
    assert {(file["path"], file["action"]) for file in undone["files"]} == {
        ("p/run.sh", "created"),
        ("p/gone", "created"),
        ("q/new/file", "deleted"),
        ("r/run.sh", "deleted"),
    }
    again = await client("undo_edit", edit_id=undone["edit_id"])
    assert snapshot(p.parent) == after
    once_more = await client("undo_edit", edit_id=answer["edit_id"])
    assert snapshot(p.parent) == before
    states = {one["edit_id"]: (one["state"], one.get("undone_by")) for one in (await client("list_edits"))["edits"]}
    assert states == {
        answer["edit_id"]: ("undone", once_more["edit_id"]),
        undone["edit_id"]: ("undone", again["edit_id"]),
        again["edit_id"]: ("applied", None),
        once_more["edit_id"]: ("applied", None),
    }


async def test_undo_says_which_files_changed_since_and_changes_nothing(p: Path, client: ToolClient) -> None:
    edit = await write(client, "p/a", "p/b", "p/c")
    (p / "a").write_text("mine\n")
    (p / "b").unlink()
    before = snapshot(p)
    error = await client.refused("undo_edit", edit_id=edit)
    assert error.code == "conflict"
    for told in ("p/a", "p/b", content_hash(b"x\n"), content_hash(b"mine\n"), "absent"):
        assert told in error.message
    assert "p/c" not in error.message
    assert snapshot(p) == before
    assert (await client.refused("undo_edit", edit_id=edit, preview=True)).code == "conflict"


async def test_an_edit_is_undone_once(p: Path, client: ToolClient) -> None:
    edit = await write(client, "p/a")
    undone = await client("undo_edit", edit_id=edit)
    error = await client.refused("undo_edit", edit_id=edit)
    assert error.code == "already_undone"
    assert undone["edit_id"] in error.message


async def test_of_concurrent_undos_exactly_one_succeeds(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("old")
    edit = await write(client, "p/a")
    outcomes: list[str] = []

    async def undo() -> None:
        try:
            await client("undo_edit", edit_id=edit)
            outcomes.append("undone")
        except ToolError as error:
            outcomes.append(error.code)

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(undo)
    assert sorted(outcomes) == ["already_undone"] * 5 + ["undone"]
    assert (p / "a").read_text() == "old"


async def test_the_error_for_an_unknown_edit_says_how_long_edits_are_kept(client: ToolClient) -> None:
    error = await client.refused("undo_edit", edit_id="20200101T000000-0123abcd")
    assert error.code == "unknown_edit"
    assert "30 days" in error.message
    assert "256 MiB" in error.message


async def test_a_token_can_undo_only_edits_within_its_projects(p: Path, client: ToolClient) -> None:
    both, theirs = await write(client, "p/a", "q/b"), await write(client, "q/c")
    before = snapshot(p.parent)
    client.principal = limited("p")
    unknown = await client.refused("undo_edit", edit_id=theirs)
    never = await client.refused("undo_edit", edit_id="20200101T000000-0123abcd")
    assert unknown.code == never.code == "unknown_edit"
    assert unknown.message.replace(theirs, "") == never.message.replace("20200101T000000-0123abcd", "")
    error = await client.refused("undo_edit", edit_id=both)
    assert error.code == "forbidden"
    assert "q" not in re.findall(r"\w+", error.message)
    assert snapshot(p.parent) == before
    client.principal = limited("p", "q")
    await client("undo_edit", edit_id=both)
    assert not (p / "a").exists()


async def test_undo_notifies_the_spokes_of_every_path(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("a")
    changes: list[dict[str, Any]] = [{"path": "p/a", "move_to": "p/b"}, {"path": "q/c", "content": ""}]
    edit = (await client("apply_workspace_edit", changes=changes))["edit_id"]
    client.told.clear()
    await client("undo_edit", edit_id=edit)
    assert [(project, sorted(paths)) for project, paths in sorted(client.told)] == [("p", ["a", "b"]), ("q", ["c"])]


async def test_undo_keeps_foreign_files_in_a_directory_that_the_edit_created(p: Path, client: ToolClient) -> None:
    edit = await write(client, "p/d/e/a")
    (p / "d" / "theirs").write_text("theirs")
    await client("undo_edit", edit_id=edit)
    assert os.listdir(p / "d") == ["theirs"]


async def test_edits_survive_a_restart(p: Path, client: ToolClient, tmp_path: Path) -> None:
    edit = await write(client, "p/a")
    client.close()
    again = ToolClient(p.parent, tmp_path / "journal", ["p", "q", "r"])
    try:
        assert [one["edit_id"] for one in (await again("list_edits"))["edits"]] == [edit]
        await again("undo_edit", edit_id=edit)
        assert not (p / "a").exists()
    finally:
        again.close()
