"""A rename is all of it, for texts that are known for certain; and planning it writes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from codebuddy.files.text import content_hash
from codebuddy.schemas.code import PlannedRename
from codebuddy.tool import ToolError

pytestmark = pytest.mark.anyio
RENAME, PREPARE = "textDocument/rename", "textDocument/prepareRename"
DEFINITION, SYMBOLS = "textDocument/definition", "textDocument/documentSymbol"
RENAMES = {"renameProvider": True}
PREPARES = {"renameProvider": {"prepareProvider": True}}
SHOP = {"start": {"line": 0, "character": 5}, "end": {"line": 0, "character": 9}}
RIGHT = [
    ("p/main.py", [(1, 18, 1, 27, "enter"), (2, 1, 2, 10, "enter")]),
    ("p/shop.py", [(1, 5, 1, 14, "enter")]),
]


def contents(planned: PlannedRename) -> list[tuple[str, list[tuple[int, int, int, int, str]]]]:
    assert (planned.complete, planned.reason, planned.message) == (True, None, None)
    return [
        (one.path, [(at.line, at.column, at.end_line, at.end_column, at.new_text) for at in one.edits or []])
        for one in planned.changes
    ]


def unversioned(answer: dict[str, Any]) -> dict[str, Any]:
    return {"changes": {one["textDocument"]["uri"]: one["edits"] for one in answer["documentChanges"]}}


@pytest.mark.parametrize("form", [dict, unversioned])
async def test_all_that_the_server_would_change_is_given_with_the_bytes_it_is_for_and_not_made(
    form: Any, start: Any, root: Path, wire: Any
) -> None:
    before = {f"p/{name}": (root / name).read_bytes() for name in ("main.py", "shop.py")}
    on = {PREPARE: [[{"reply": wire.span(1, 0, 9)}]], RENAME: [[{"reply": form(wire.renamed())}]]}
    async with start(on, PREPARES) as fake:
        planned = await fake.rename()
        assert contents(planned) == RIGHT
        assert planned.old_name == "open_shop"
        assert {one.path: one.expected_hash for one in planned.changes} == {
            path: content_hash(data) for path, data in before.items()
        }
        assert {f"p/{name}": (root / name).read_bytes() for name in ("main.py", "shop.py")} == before


async def test_the_server_is_told_that_it_may_answer_in_any_form(start: Any, wire: Any) -> None:
    async with start({RENAME: [[{"reply": wire.renamed()}]]}, RENAMES) as fake:
        await fake.rename()
        (asked,) = fake.sent("initialize")
        offered = asked["params"]["capabilities"]
        assert offered["workspace"]["workspaceEdit"]["documentChanges"] is True
        assert offered["workspace"]["workspaceEdit"]["resourceOperations"] == ["create", "rename", "delete"]
        assert offered["workspace"]["workspaceEdit"]["failureHandling"] == "transactional"
        assert offered["textDocument"]["rename"]["prepareSupport"] is True
        assert fake.sent(PREPARE) == []  # which this one does not offer


async def test_a_file_that_the_server_may_know_in_another_state_is_shown_to_it_before_it_is_asked_again(
    start: Any, wire: Any
) -> None:
    stale = {"documentChanges": [wire.document("shop.py", None, wire.edit(7, 4, 13))]}
    async with start({RENAME: [[{"reply": stale}], [{"reply": wire.renamed(1, 2)}]]}, RENAMES) as fake:
        assert contents(await fake.rename()) == RIGHT
        shown = [one["params"]["textDocument"]["uri"] for one in fake.sent("textDocument/didOpen")]
        assert shown == [wire.uri("main.py"), wire.uri("shop.py")]
        assert len(fake.sent(RENAME)) == 2


async def test_an_answer_for_another_version_is_asked_for_again(start: Any, wire: Any) -> None:
    wrong, right = [{"reply": wire.renamed(0, 2)}], [{"reply": wire.renamed(1, 2)}]
    async with start({RENAME: [right, wrong, right]}, RENAMES) as fake:
        assert contents(await fake.rename()) == RIGHT
        assert len(fake.sent(RENAME)) == 3


async def test_a_server_that_stays_with_another_version_changes_nothing(start: Any, wire: Any) -> None:
    async with start({RENAME: [[{"reply": wire.renamed(9, 9)}]]}, RENAMES) as fake:
        planned = await fake.rename()
        assert (planned.complete, planned.reason, planned.changes) == (False, "indexing", [])
        assert "p/main.py" in (planned.message or "")


async def test_a_file_that_changes_while_the_server_answers_is_renamed_in_its_new_text_only(
    start: Any, root: Path, wire: Any
) -> None:
    new = "# first\nfrom shop import open_shop\nopen_shop()\n"
    old = {"documentChanges": [wire.document("main.py", None, wire.edit(0, 17, 26), wire.edit(1, 0, 9))]}
    moved = {"documentChanges": [wire.document("main.py", None, wire.edit(1, 17, 26), wire.edit(2, 0, 9))]}
    on = {RENAME: [[{"file": [str(root / "main.py"), new]}, {"reply": old}], [{"reply": moved}]]}
    async with start(on, RENAMES) as fake:
        planned = await fake.rename()
        assert contents(planned) == [("p/main.py", [(2, 18, 2, 27, "enter"), (3, 1, 3, 10, "enter")])]
        assert planned.changes[0].expected_hash == content_hash(new.encode())


def late(ident: int, result: Any) -> dict[str, Any]:
    """Return a step that answers an earlier request."""
    body = json.dumps({"jsonrpc": "2.0", "id": ident, "result": result})
    return {"write": f"Content-Length: {len(body)}\r\n\r\n{body}"}


@pytest.mark.parametrize("goes", [False, True])
async def test_an_answer_that_came_after_the_server_was_sent_another_text_does_not_count(
    goes: bool, start: Any, root: Path, wire: Any
) -> None:
    edits = wire.edit(1, 17, 26), wire.edit(2, 0, 9)
    shifted = {"documentChanges": [wire.document("main.py", None, *edits)]}
    wrong, right = (shifted, wire.renamed()) if goes else (wire.renamed(), shifted)
    on = {RENAME: [[], [{"reply": right}]], "textDocument/didChange": [[late(8, wrong)], []]}
    async with start(on, RENAMES) as fake:
        planning = asyncio.create_task(fake.rename())
        await fake.until(lambda: bool(fake.sent(RENAME)))
        assert fake.sent(RENAME)[0]["id"] == 8
        text = (root / "main.py").read_text()
        (root / "main.py").write_text("# came\n" + text)
        await fake.servers.files_changed([fake.servers.tree.root / "main.py"])
        if goes:
            (root / "main.py").write_text(text)
        planned = contents(await planning)
        assert planned[0] == (
            "p/main.py",
            [(2, 18, 2, 27, "enter"), (3, 1, 3, 10, "enter")] if not goes else RIGHT[0][1],
        )


async def test_a_symbol_whose_place_is_told_after_its_text_changed_is_looked_up_again(
    start: Any, root: Path, wire: Any
) -> None:
    on = {
        SYMBOLS: [[], [{"reply": [wire.symbol("open_shop", 2, 4)]}]],
        "textDocument/didChange": [[late(3, [wire.symbol("open_shop", 0, 4)])], []],
        RENAME: [[{"reply": {"documentChanges": [wire.document("shop.py", None, wire.edit(2, 4, 13))]}}]],
    }
    async with start(on, RENAMES) as fake:
        planning = asyncio.create_task(fake.rename(path="p/shop.py", symbol="open_shop"))
        await fake.until(lambda: bool(fake.sent(SYMBOLS)))
        (root / "shop.py").write_text("\n\n" + (root / "shop.py").read_text())
        await fake.servers.files_changed([fake.servers.tree.root / "shop.py"])
        assert contents(await planning) == [("p/shop.py", [(3, 5, 3, 14, "enter")])]
        assert [one["params"]["position"]["line"] for one in fake.sent(RENAME)] == [2]


async def test_the_uses_of_a_symbol_are_asked_for_where_it_is_now(start: Any, root: Path, wire: Any) -> None:
    on = {
        SYMBOLS: [[], [{"reply": [wire.symbol("open_shop", 2, 4)]}]],
        "textDocument/didChange": [[late(3, [wire.symbol("open_shop", 0, 4)])], []],
        "textDocument/references": [[{"reply": [wire.place("shop.py", 2, 4, 13)]}]],
        "textDocument/definition": [[{"reply": wire.place("shop.py", 2, 4, 13)}]],
    }
    async with start(on) as fake:
        asking = asyncio.create_task(fake.references(path="p/shop.py", line=None, column=None, symbol="open_shop"))
        await fake.until(lambda: bool(fake.sent(SYMBOLS)))
        (root / "shop.py").write_text("\n\n" + (root / "shop.py").read_text())
        await fake.servers.files_changed([fake.servers.tree.root / "shop.py"])
        assert (await asking).complete
        assert {one["params"]["position"]["line"] for one in fake.sent("textDocument/references")} == {2}


async def test_a_symbol_is_looked_up_again_in_a_text_that_changed_before_the_rename(
    start: Any, root: Path, wire: Any
) -> None:
    new = "\n\n" + (root / "shop.py").read_text()
    on = {
        SYMBOLS: [[{"reply": [wire.symbol("open_shop", 0, 4)]}], [{"reply": [wire.symbol("open_shop", 2, 4)]}]],
        DEFINITION: [[{"file": [str(root / "shop.py"), new]}, {"reply": None}], [{"reply": None}]],
        RENAME: [[{"reply": {"documentChanges": [wire.document("shop.py", None, wire.edit(2, 4, 13))]}}]],
    }
    async with start(on, RENAMES) as fake:
        planned = await fake.rename(path="p/shop.py", symbol="open_shop")
        assert contents(planned) == [("p/shop.py", [(3, 5, 3, 14, "enter")])]
        (asked,) = fake.sent(RENAME)
        assert asked["params"]["position"] == {"line": 2, "character": 4}


async def test_a_file_that_is_gone_makes_the_server_be_told_and_asked_again(start: Any, wire: Any) -> None:
    gone = [{"reply": {"documentChanges": [wire.document("gone.py", None, wire.edit(0, 0, 1))]}}]
    async with start({RENAME: [gone, gone, [{"reply": wire.renamed()}]]}, RENAMES) as fake:
        assert contents(await fake.rename()) == RIGHT
        events = [event for one in fake.sent("workspace/didChangeWatchedFiles") for event in one["params"]["changes"]]
        assert {"uri": wire.uri("gone.py"), "type": 3} in events


def many(wire: Any, age: float) -> dict[str, Any]:
    """Make more files than are opened for one rename, and give the answer that changes them all."""
    documents = []
    for number in range(101):
        path = wire.root / f"f{number:03}.py"
        path.write_text("open_shop\n")
        os.utime(path, (time.time() - age,) * 2)
        documents.append(wire.document(path.name, None, wire.edit(0, 0, 9)))
    return {"documentChanges": documents}


async def test_of_more_files_than_are_opened_the_server_is_told_before_its_answer_counts(start: Any, wire: Any) -> None:
    async with start({RENAME: [[{"reply": many(wire, age=60)}]]}, RENAMES) as fake:
        planned = await fake.rename()
        assert {one.expected_hash for one in planned.changes} == {content_hash(b"open_shop\n")}
        assert (planned.complete, len(planned.changes), len(fake.sent(RENAME))) == (True, 101, 2)
        assert len(fake.sent("textDocument/didOpen")) == 1
        assert len(fake.sent("workspace/didChangeWatchedFiles")[-1]["params"]["changes"]) == 101


async def test_of_files_that_are_not_open_those_written_after_the_question_do_not_count(start: Any, wire: Any) -> None:
    async with start({RENAME: [[{"reply": many(wire, age=-60)}]]}, RENAMES) as fake:
        planned = await fake.rename()
        assert (planned.complete, planned.reason, planned.changes) == (False, "indexing", [])


async def test_columns_go_out_and_come_back_in_the_units_of_the_server(start: Any, root: Path, wire: Any) -> None:
    (root / "main.py").write_text("s = '👋👋'; open_shop()\n")
    reply = {"documentChanges": [wire.document("main.py", None, wire.edit(0, 12, 21))]}
    async with start({RENAME: [[{"reply": reply}]]}, RENAMES) as fake:
        planned = await fake.rename(path="p/main.py", line=1, text="open_shop")
        assert contents(planned) == [("p/main.py", [(1, 11, 1, 20, "enter")])]
        assert fake.sent(RENAME)[0]["params"]["position"] == {"line": 0, "character": 12}


async def test_a_file_that_is_moved_is_moved_after_its_uses_are_renamed(start: Any, wire: Any) -> None:
    move = {"kind": "rename", "oldUri": wire.uri("shop.py"), "newUri": wire.uri("enter.py")}
    edit = wire.document("main.py", None, wire.edit(0, 5, 9))
    on = {PREPARE: [[{"reply": {"range": wire.span(0, 5, 9), "placeholder": "shop"}}]]}
    async with start({**on, RENAME: [[{"reply": {"documentChanges": [edit, move]}}]]}, PREPARES) as fake:
        planned = await fake.rename(path="p/main.py", line=1, text="shop")
        assert contents(planned) == [("p/main.py", [(1, 6, 1, 10, "enter")]), ("p/shop.py", [])]
        assert (planned.changes[1].move_to, planned.old_name) == ("p/enter.py", "shop")


@pytest.mark.parametrize(
    ("prepared", "old_name"),
    [
        ({"start": {"line": 0, "character": 5}, "end": {"line": 0, "character": 9}}, "shop"),
        (
            {"range": {"start": {"line": 0, "character": 6}, "end": {"line": 0, "character": 9}}, "placeholder": "x"},
            "x",
        ),
        ({"defaultBehavior": True}, "open_shop"),
    ],
)
async def test_the_old_name_is_what_the_server_says_it_is_or_else_the_word_at_the_place(
    prepared: Any, old_name: str, start: Any, wire: Any
) -> None:
    async with start({PREPARE: [[{"reply": prepared}]], RENAME: [[{"reply": wire.renamed()}]]}, PREPARES) as fake:
        assert (await fake.rename()).old_name == old_name


async def test_it_is_told_what_is_renamed_and_where_that_is_declared(start: Any, wire: Any) -> None:
    on = {
        DEFINITION: [[{"reply": [wire.place("shop.py", 0, 4, 13)]}]],
        SYMBOLS: [[{"reply": [wire.symbol("def", 0, 0, wire.symbol("open_shop", 0, 4))]}]],
        RENAME: [[{"reply": wire.renamed()}]],
    }
    async with start(on, RENAMES) as fake:
        planned = await fake.rename()
        assert (planned.old_name, planned.symbol) == ("open_shop", "def/open_shop")
        (at,) = planned.declarations
        assert (at.path, at.line, at.column, at.line_text) == ("p/shop.py", 1, 5, "def open_shop():")


async def test_where_only_another_name_changes_the_symbol_is_that_name_and_not_what_it_stands_for(
    start: Any, wire: Any
) -> None:
    on = {
        DEFINITION: [[{"reply": [wire.place("shop.py", 0, 4, 13)]}]],
        SYMBOLS: [[{"reply": [wire.symbol("open_shop", 0, 4)]}]],
        RENAME: [[{"reply": {"documentChanges": [wire.document("main.py", None, wire.edit(1, 0, 9))]}}]],
    }
    async with start(on, RENAMES) as fake:
        planned = await fake.rename(path="p/main.py", line=1, text="import")
        assert (planned.old_name, planned.symbol, planned.declarations) == ("import", "import", [])


@pytest.mark.parametrize("fault", [{"error": [-32601, "unknown"]}, {"reply": [5]}])
async def test_a_rename_is_not_refused_because_the_server_shows_no_symbols(fault: Any, start: Any, wire: Any) -> None:
    definition = [[{"reply": wire.place("shop.py", 0, 4, 13)}]]
    on = {DEFINITION: definition, SYMBOLS: [[fault]], RENAME: [[{"reply": wire.renamed()}]]}
    async with start(on, RENAMES) as fake:
        planned = await fake.rename()
        assert (planned.symbol, contents(planned)) == ("open_shop", RIGHT)


async def test_a_place_that_is_not_there_is_refused(start: Any) -> None:
    async with start({}, RENAMES) as fake:
        with pytest.raises(ToolError, match="no line 9"):
            await fake.rename(path="p/main.py", line=9, column=1)
