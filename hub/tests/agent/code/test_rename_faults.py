"""Whatever a server answers to a rename, half of it is never taken: it is refused, or said to be incomplete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.tool import ToolError

pytestmark = pytest.mark.anyio
RENAME, PREPARE, DEFINITION = "textDocument/rename", "textDocument/prepareRename", "textDocument/definition"
RENAMES = {"renameProvider": True}
PREPARES = {"renameProvider": {"prepareProvider": True}}
PYLSP = [
    [
        {
            "reply": {
                "capabilities": {**RENAMES, "definitionProvider": True, "documentSymbolProvider": True},
                "serverInfo": {"name": "pylsp"},
            }
        }
    ]
]
BEGIN = {"notify": ["$/progress", {"token": "t", "value": {"kind": "begin", "title": "Indexing"}}]}
END = {"notify": ["$/progress", {"token": "t", "value": {"kind": "end"}}]}


async def refusal(fake: Any, **given: Any) -> ToolError:
    with pytest.raises(ToolError) as refused:
        await fake.rename(**given)
    return refused.value


async def lacking(fake: Any, **given: Any) -> str:
    """Return the reason of an answer that is not complete; it must have no changes and say more."""
    planned = await fake.rename(**given)
    assert (planned.complete, planned.changes, bool(planned.message)) == (False, [], True)
    return str(planned.reason)


@pytest.mark.parametrize(
    ("prepared", "said"),
    [({"reply": None}, "nothing here that can be renamed"), ({"error": [-32602, "a keyword is no name"]}, "a keyword")],
)
async def test_a_place_that_the_server_does_not_rename_is_refused_with_its_words(
    prepared: Any, said: str, start: Any
) -> None:
    async with start({PREPARE: [[prepared]]}, PREPARES) as fake:
        refused = await refusal(fake)
        assert (refused.code, refused.path) == ("cannot_rename", "p/main.py")
        assert said in refused.message
        assert fake.sent(RENAME) == []


@pytest.mark.parametrize("code", [-32602, -32803, 0])
async def test_a_new_name_that_the_server_refuses_is_refused_with_its_words(code: int, start: Any) -> None:
    async with start({RENAME: [[{"error": [code, "the name is taken"]}]]}, RENAMES) as fake:
        refused = await refusal(fake)
        assert refused.code == "cannot_rename"
        assert "the name is taken" in refused.message


@pytest.mark.parametrize("new_name", ["1st", "a b", "a-b", "x;y", "r#"])
async def test_a_new_name_that_cannot_be_one_is_refused_even_if_the_server_would_take_it(
    new_name: str, start: Any, wire: Any
) -> None:
    async with start({RENAME: [[{"reply": wire.renamed()}]]}, RENAMES) as fake:
        assert "cannot be one" in (await refusal(fake, new_name=new_name)).message


@pytest.mark.parametrize("new_name", ["größe", "_x", "$x", "r#fn"])
async def test_names_of_all_languages_are_names(new_name: str, start: Any, wire: Any) -> None:
    async with start({RENAME: [[{"reply": wire.renamed()}]]}, RENAMES) as fake:
        assert (await fake.rename(new_name=new_name)).complete


@pytest.mark.parametrize("nothing", [None, [], {}, {"documentChanges": []}])
async def test_nothing_to_rename_is_no_success_but_for_the_name_that_is_there(nothing: Any, start: Any) -> None:
    async with start({RENAME: [[{"reply": nothing}]]}, RENAMES) as fake:
        assert (await refusal(fake)).code == "cannot_rename"
        planned = await fake.rename(new_name="open_shop")
        assert (planned.complete, planned.changes, planned.old_name) == (True, [], "open_shop")


@pytest.mark.parametrize("capabilities", [{}, {"renameProvider": False}, {"renameProvider": None}])
async def test_a_server_that_cannot_rename_is_unsupported_and_not_asked(capabilities: Any, start: Any) -> None:
    async with start({}, capabilities) as fake:
        assert await lacking(fake) == "unsupported"
        assert fake.sent(RENAME) == []


async def test_a_server_that_only_says_that_it_can_rename_is_unsupported(start: Any) -> None:
    async with start({RENAME: [[{"error": [-32601, "unknown method"]}]]}, RENAMES) as fake:
        assert await lacking(fake) == "unsupported"


async def test_a_file_that_no_server_serves_is_unsupported(start: Any, root: Path) -> None:
    (root / "notes.txt").write_text("open_shop\n")
    async with start({}, RENAMES) as fake:
        assert await lacking(fake, path="p/notes.txt", line=1, column=1) == "unsupported"


FAULTS = {"server_crashed": [{"exit": 3}], "server_error": [{"error": [-32603, "a stack trace"]}], "timed_out": []}


@pytest.mark.parametrize("reason", FAULTS)
@pytest.mark.parametrize("method", [PREPARE, RENAME])
async def test_an_answer_that_may_lack_something_has_no_changes(reason: str, method: str, start: Any) -> None:
    on = {PREPARE: [[{"reply": {"defaultBehavior": True}}]], method: [FAULTS[reason]]}
    async with start(on, PREPARES) as fake:
        assert await lacking(fake, timeout_seconds=0.7 if reason == "timed_out" else 10.0) == reason


@pytest.mark.parametrize(
    "malformed", [5, {"changes": 5}, {"documentChanges": [{"kind": "burn"}]}, {"changes": {"x": [1]}}]
)
async def test_a_malformed_answer_is_a_server_error(malformed: Any, start: Any) -> None:
    async with start({RENAME: [[{"reply": malformed}]]}, RENAMES) as fake:
        assert await lacking(fake) == "server_error"


@pytest.mark.parametrize("prepared", [5, [], {"range": 5}, {"range": {"start": 1}}, {"x": 1}])
async def test_a_malformed_range_is_no_reason_to_trust_the_answer_that_follows(
    prepared: Any, start: Any, wire: Any
) -> None:
    async with start({PREPARE: [[{"reply": prepared}]], RENAME: [[{"reply": wire.renamed()}]]}, PREPARES) as fake:
        assert await lacking(fake) == "server_error"


@pytest.mark.parametrize("said", ["edit", "error"])
@pytest.mark.parametrize("since", ["initialized", RENAME])
async def test_while_the_server_loads_neither_an_answer_nor_a_refusal_counts(
    said: str, since: str, start: Any, wire: Any
) -> None:
    step = {"reply": wire.renamed()} if said == "edit" else {"error": [-32602, "No references found"]}
    on = {"initialized": [[BEGIN, END]], RENAME: [[step]]}
    on[since] = [[BEGIN, *([step] if since == RENAME else [])]]
    async with start(on, RENAMES, "progress") as fake:
        assert await lacking(fake, timeout_seconds=1.0) == "indexing"


async def test_a_refusal_while_a_load_began_is_no_refusal(start: Any, wire: Any) -> None:
    refused = [BEGIN, {"error": [-32602, "No references found"]}, END]
    async with start({RENAME: [refused, [{"reply": wire.renamed()}]]}, RENAMES, "progress") as fake:
        assert len((await fake.rename()).changes) == 2


async def test_edits_that_overlap_are_refused(start: Any, wire: Any) -> None:
    overlapping = {"documentChanges": [wire.document("main.py", None, wire.edit(1, 0, 9), wire.edit(1, 4, 9))]}
    async with start({RENAME: [[{"reply": overlapping}]]}, RENAMES) as fake:
        refused = await refusal(fake)
        assert (refused.code, refused.path) == ("bad_answer", "p/main.py")


@pytest.mark.parametrize(
    ("name", "code"), [("../outside.py", "outside_project"), ("link.py", "outside_project"), ("dir.py", "not_a_file")]
)
async def test_an_edit_out_of_the_project_or_of_no_file_has_all_refused(
    name: str, code: str, start: Any, root: Path, wire: Any
) -> None:
    (root.parent / "outside.py").write_text("open_shop\n")
    (root / "link.py").symlink_to(root.parent / "outside.py")
    (root / "dir.py").mkdir()
    documents = [*wire.renamed()["documentChanges"], wire.document(name, None, wire.edit(0, 0, 9))]
    async with start({RENAME: [[{"reply": {"documentChanges": documents}}]]}, RENAMES) as fake:
        refused = await refusal(fake)
        assert refused.code == code
        assert name.removeprefix("../") in refused.message + (refused.path or "")


@pytest.mark.parametrize("data", ["x = 'é'\nopen_shop\n".encode("latin-1"), "\ufeffopen_shop\n".encode("utf-16-le")])
async def test_a_file_whose_bytes_the_server_takes_for_another_text_has_all_refused(
    data: bytes, start: Any, root: Path, wire: Any
) -> None:
    (root / "odd.py").write_bytes(data)
    documents = [*wire.renamed()["documentChanges"], wire.document("odd.py", None, wire.edit(0, 0, 1))]
    async with start({RENAME: [[{"reply": {"documentChanges": documents}}]]}, RENAMES) as fake:
        refused = await refusal(fake)
        assert (refused.code, refused.path) == ("unsupported_encoding", "p/odd.py")


def whole(wire: Any, name: str, text: str) -> dict[str, Any]:
    """Return the answer of a server that replaces the whole text of a file of two lines."""
    stretch = {"start": {"line": 0, "character": 0}, "end": {"line": 2, "character": 0}}
    return {"documentChanges": [wire.document(name, None, {"range": stretch, "newText": text})]}


async def test_a_whole_text_with_other_line_ends_changes_the_names_only(start: Any, root: Path, wire: Any) -> None:
    text = "def open_shop():\r\n    return open_shop\r\n"
    (root / "shop.py").write_bytes(text.encode())
    reply = whole(wire, "shop.py", text.replace("open_shop", "enter").replace("\r\n", "\n"))
    on = {"initialize": PYLSP, DEFINITION: [[{"reply": wire.place("shop.py", 0, 4, 13)}]], RENAME: [[{"reply": reply}]]}
    async with start(on) as fake:
        (change,) = (await fake.rename(path="p/shop.py", line=1, column=5)).changes
        assert [(at.line, at.column, at.end_column, at.new_text) for at in change.edits] == [
            (1, 5, 14, "enter"),
            (2, 12, 21, "enter"),
        ]


async def test_a_whole_text_of_an_older_file_never_takes_back_what_was_written_since(
    start: Any, root: Path, wire: Any
) -> None:
    text = (root / "shop.py").read_text()
    (root / "shop.py").write_text(text + "added = 1\n")
    reply = whole(wire, "shop.py", text.replace("open_shop", "enter"))
    on = {"initialize": PYLSP, DEFINITION: [[{"reply": wire.place("shop.py", 0, 4, 13)}]], RENAME: [[{"reply": reply}]]}
    async with start(on) as fake:
        assert await lacking(fake, path="p/shop.py", line=1, column=5) == "indexing"


@pytest.mark.parametrize("where", ["file:///usr/lib/python3/shop/__init__.py", "shop.py", ""])
async def test_a_module_whose_file_would_keep_its_name_is_not_renamed(
    where: str, start: Any, root: Path, wire: Any
) -> None:
    (root / "main.py").write_text("import shop\n")
    file = {"uri": where if where.startswith("file:") else wire.uri(where), "range": wire.span(0, 0, 4)}
    reply = whole(wire, "main.py", "import enter\n")
    on = {"initialize": PYLSP, DEFINITION: [[{"reply": [file] if where else []}]], RENAME: [[{"reply": reply}]]}
    async with start(on) as fake:
        refused = await refusal(fake, path="p/main.py", line=1, text="shop")
        assert refused.code == "cannot_rename"
        assert "'shop' is a module" in refused.message or not where
        assert fake.sent(RENAME) == []


async def test_another_name_for_something_is_not_renamed_where_its_import_would_be_left_behind(
    start: Any, root: Path, wire: Any
) -> None:
    (root / "main.py").write_text("from shop import open_shop as enter\n")
    on = {"initialize": PYLSP, DEFINITION: [[{"reply": wire.place("shop.py", 0, 4, 13)}]]}
    async with start(on) as fake:
        refused = await refusal(fake, path="p/main.py", line=1, text="enter", new_name="x")
        assert (refused.code, "another name for 'open_shop'" in refused.message) == ("cannot_rename", True)


async def test_another_name_for_a_module_is_only_a_name(start: Any, root: Path, wire: Any) -> None:
    text = "import json as j\nj.dumps(1)\n"
    (root / "main.py").write_text(text)
    module = {"uri": "file:///usr/lib/python3/json/__init__.py", "range": wire.span(0, 0, 4)}
    reply = whole(wire, "main.py", text.replace("j\n", "x\n").replace("j.", "x."))
    async with start({"initialize": PYLSP, DEFINITION: [[{"reply": module}]], RENAME: [[{"reply": reply}]]}) as fake:
        (change,) = (await fake.rename(path="p/main.py", line=2, column=1, new_name="x")).changes
        assert [(at.line, at.column, at.new_text) for at in change.edits] == [(1, 16, "x"), (2, 1, "x")]
