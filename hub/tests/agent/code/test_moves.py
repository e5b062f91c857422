"""Imports and moves: whom a move is asked of, and that no edit is taken that is not for the files as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.lsp.connection import Capabilities
from codebuddy.files.text import content_hash
from codebuddy.schemas.code import PlannedMove

pytestmark = pytest.mark.anyio
MOVE = "workspace/willRenameFiles"


def moves(*globs: str, **more: Any) -> dict[str, Any]:
    """Return the capabilities of a server that wants to be asked about moves."""
    filters = [{"scheme": "file", "pattern": {"glob": glob, **more}} for glob in globs or ["**/*.py"]]
    return {"workspace": {"fileOperations": {"willRename": {"filters": filters}}}}


def named(name: str) -> dict[str, Any]:
    """Return the script of a server that calls itself so."""
    return {"initialize": [[{"reply": {"capabilities": moves(), "serverInfo": {"name": name}}}]]}


def texts(planned: PlannedMove) -> dict[str, list[tuple[int, int, int, str]]]:
    return {
        change.path: [(one.line, one.column, one.end_column, one.new_text) for one in change.edits or []]
        for change in planned.changes
    }


async def test_a_server_is_asked_before_the_move_and_its_edits_are_for_the_files_where_they_are(
    start: Any, root: Path, wire: Any
) -> None:
    edits = [wire.document("main.py", None, wire.edit(0, 5, 9, "store")), wire.document("shop.py", None)]
    async with start({MOVE: [[{"reply": {"documentChanges": edits}}]]}, moves()) as fake:
        planned = await fake.move("p/shop.py", "p/store.py")
        assert (planned.complete, planned.served, planned.covered) == (True, True, ["*.py"])
        assert texts(planned) == {"p/main.py": [(1, 6, 10, "store")]}  # without the file that has no edits
        assert planned.changes[0].expected_hash == content_hash((root / "main.py").read_bytes())
        files = [{"oldUri": wire.uri("shop.py"), "newUri": wire.uri("store.py")}]
        assert {str(message["params"]["files"]) for message in fake.sent(MOVE)} == {str(files)}
        (asked,) = fake.sent("initialize")
        announced = asked["params"]["capabilities"]["workspace"]["fileOperations"]
        assert announced == {"dynamicRegistration": True, "willRename": True}


async def test_nothing_to_mend_is_complete(start: Any) -> None:
    async with start({}, moves()) as fake:
        planned = await fake.move("p/shop.py", "p/store.py")
        assert (planned.complete, planned.changes, planned.covered) == (True, [], ["*.py"])


async def test_nobody_is_asked_about_what_no_server_serves(start: Any, root: Path) -> None:
    (root / "notes.md").write_text("shop\n")
    (root / "docs").mkdir()
    (root / "docs" / "a.md").write_text("shop\n")
    async with start({}, moves("**/*")) as fake:
        for source in ("notes.md", "docs", "none"):
            planned = await fake.move(f"p/{source}", "p/other")
            assert (planned.complete, planned.served, planned.changes) == (True, False, [])
        assert fake.sent(MOVE) == []


async def test_a_file_that_a_server_asks_for_by_its_suffix_need_not_be_served(
    start: Any, root: Path, wire: Any
) -> None:
    (root / "data.json").write_text("{}")
    edits = {"changes": {wire.uri("main.py"): [wire.edit(0, 5, 9, "x")]}}
    async with start({MOVE: [[{"reply": edits}]]}, moves("**/*.{py,json}")) as fake:
        await fake.symbols()
        assert list(texts(await fake.move("p/data.json", "p/d/data.json"))) == ["p/main.py"]


@pytest.mark.parametrize("capabilities", [{}, moves("**/*.rs"), moves(matches="folder"), {"workspace": 5}])
async def test_a_server_that_does_not_want_it_is_not_asked_and_that_is_said(capabilities: Any, start: Any) -> None:
    async with start({}, capabilities) as fake:
        planned = await fake.move("p/shop.py", "p/store.py")
        assert (planned.complete, planned.reason, planned.covered) == (False, "unsupported", [])
        assert "fake does not" in planned.message
        assert fake.sent(MOVE) == []


@pytest.mark.parametrize(
    ("pattern", "file", "folder"),
    [
        ({"glob": "**/*.{py,pyi}"}, True, False),
        ({"glob": "**/*"}, True, True),
        ({"glob": "**", "matches": "folder"}, False, True),
        ({"glob": "**/*.PY", "options": {"ignoreCase": True}}, True, False),
        ({"glob": "**/*.PY"}, False, False),
        ({"glob": "**/sh?p.py"}, True, False),
        ({"glob": "{" * 9}, False, False),
        ({"glob": 5}, False, False),
        (None, False, False),
    ],
)
def test_filters_say_which_files_and_directories_a_server_wants(pattern: Any, file: bool, folder: bool) -> None:
    capabilities = Capabilities({"workspace": {"fileOperations": {"willRename": {"filters": [{"pattern": pattern}]}}}})
    assert capabilities.wants_move("/w/shop.py", is_directory=False) is file
    assert capabilities.wants_move("/w/shop", is_directory=True) is folder


@pytest.mark.parametrize("filters", [None, 5, [5], [{"scheme": "untitled", "pattern": {"glob": "**/*"}}]])
def test_filters_that_make_no_sense_or_are_for_no_files_fit_nothing(filters: Any) -> None:
    capabilities = Capabilities({"workspace": {"fileOperations": {"willRename": {"filters": filters}}}})
    assert not capabilities.wants_move("/w/shop.py", is_directory=False)


def test_a_server_can_register_for_moves_later() -> None:
    capabilities = Capabilities({})
    item = {"id": "1", "method": MOVE, "registerOptions": {"filters": [{"pattern": {"glob": "**/*.py"}}]}}
    capabilities.register({"registrations": [item]})
    assert capabilities.covers(MOVE)
    assert capabilities.wants_move("/w/shop.py", is_directory=False)
    capabilities.unregister({"unregisterations": [item]})
    assert not capabilities.covers(MOVE)
    assert not capabilities.wants_move("/w/shop.py", is_directory=False)


async def test_a_directory_is_asked_about_for_the_sake_of_a_file_in_it(start: Any, root: Path, wire: Any) -> None:
    (root / "pkg" / "deep").mkdir(parents=True)
    (root / "pkg" / "deep" / "one.py").write_text("from shop import open_shop\n")
    (root / "pkg" / "notes.json").write_text("shop = 1\n")
    edits = {
        "changes": {
            wire.uri("pkg/deep/one.py"): [wire.edit(0, 5, 9, "x")],
            wire.uri("pkg/notes.json"): [wire.edit(0, 0, 4, "x")],  # it moves along, so its paths are right
        }
    }
    async with start({MOVE: [[{"reply": edits}]]}, moves("**/*.py")) as fake:
        assert texts(await fake.move("p/pkg", "p/lib")) == {"p/pkg/deep/one.py": [(1, 6, 10, "x")]}
        (params, *_) = [message["params"] for message in fake.sent(MOVE)]
        assert params == {"files": [{"oldUri": wire.uri("pkg"), "newUri": wire.uri("lib")}]}


async def test_files_that_may_import_it_are_open_when_the_server_is_asked(start: Any, root: Path, wire: Any) -> None:
    (root / "far").mkdir()
    (root / "far" / "user.py").write_text("import shop\n")
    (root / "far" / "other.py").write_text("import workshop\n")
    async with start({}, moves()) as fake:
        await fake.move("p/shop.py", "p/store.py")
        opened = {message["params"]["textDocument"]["uri"] for message in fake.sent("textDocument/didOpen")}
        assert opened == {wire.uri(name) for name in ("shop.py", "main.py", "far/user.py")}
        asked = [message["params"]["textDocument"]["uri"] for message in fake.sent("textDocument/documentSymbol")]
        assert wire.uri("far/user.py") in asked  # so that the server looks into the project of that file


@pytest.mark.parametrize("name", ["ty", "basedpyright", "rust-analyzer"])
@pytest.mark.parametrize("target", ["p/lib/store.py", "p/my-store.py", "p/class.py", "p/__init__.py"])
async def test_a_server_that_mends_names_only_is_asked_about_no_other_move(
    name: str, target: str, start: Any, wire: Any
) -> None:
    edits = {"changes": {wire.uri("main.py"): [wire.edit(0, 5, 9, "store")]}}
    async with start({**named(name), MOVE: [[{"reply": edits}]]}) as fake:
        planned = await fake.move("p/shop.py", target)
        assert (planned.complete, planned.reason, planned.changes) == (False, "unsupported", [])
        assert "fake updates imports" in planned.message
        assert fake.sent(MOVE) == []
        planned = await fake.move("p/shop.py", "p/store.py")
        assert (planned.complete, list(texts(planned)), planned.covered) == (True, ["p/main.py"], [])


@pytest.mark.parametrize(
    ("source", "target"), [("link.py", "p/x.py"), ("shop.py", "q/shop.py"), ("shop.py", "p/shop.txt")]
)
async def test_links_and_what_leaves_the_server_s_sight_are_not_asked_about(
    source: str, target: str, start: Any, root: Path
) -> None:
    (root / "link.py").symlink_to("shop.py")
    async with start({}, moves()) as fake:
        planned = await fake.move(f"p/{source}", target)
        assert (planned.complete, planned.reason, bool(planned.message)) == (False, "unsupported", True)
        assert fake.sent(MOVE) == []


FAULTS: dict[str, tuple[list[Any], str]] = {
    "crash": ([{"exit": 3}], "server_crashed"),
    "error": ([{"error": [-32603, "a stack trace"]}], "server_error"),
    "unknown": ([{"error": [-32601, "unknown method"]}], "unsupported"),
    "silence": ([], "timed_out"),
    "nonsense": ([{"reply": {"changes": 5}}], "server_error"),
    "creates": ([{"reply": {"documentChanges": [{"kind": "create", "uri": "file:///w/x"}]}}], "server_error"),
    "outside": ([{"reply": {"changes": {"file:///etc/passwd": []}}}], "server_error"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_a_server_does_no_part_of_its_edit_is_taken_and_it_is_said(fault: str, start: Any) -> None:
    steps, reason = FAULTS[fault]
    async with start({MOVE: [steps]}, moves()) as fake:
        planned = await fake.move("p/shop.py", "p/store.py", timeout_seconds=1.0 if fault == "silence" else 10.0)
        assert (planned.complete, planned.reason, planned.changes) == (False, reason, [])
        assert planned.message


async def test_an_edit_that_would_move_files_itself_is_refused(start: Any, wire: Any) -> None:
    rename = {"kind": "rename", "oldUri": wire.uri("main.py"), "newUri": wire.uri("x.py")}
    async with start({MOVE: [[{"reply": {"documentChanges": [rename]}}]]}, moves()) as fake:
        planned = await fake.move("p/shop.py", "p/store.py")
        assert (planned.complete, planned.changes) == (False, [])
        assert "create, move or delete" in planned.message


async def test_edits_of_a_file_that_does_not_exist_are_not_taken(start: Any, wire: Any) -> None:
    edits = {"changes": {wire.uri("gone.py"): [wire.edit(0, 0, 0, "x")]}}
    async with start({MOVE: [[{"reply": edits}]]}, moves()) as fake:
        planned = await fake.move("p/shop.py", "p/store.py", timeout_seconds=1.0)
        assert (planned.complete, planned.reason, planned.changes) == (False, "indexing", [])
        assert "p/gone.py" in planned.message


async def test_edits_for_a_text_that_changes_while_the_server_answers_are_asked_for_again(
    start: Any, root: Path, wire: Any
) -> None:
    def answer(line: int) -> dict[str, Any]:
        return {"reply": {"changes": {wire.uri("main.py"): [wire.edit(line, 5, 9, "store")]}}}

    changed = "# new\nfrom shop import open_shop\n"
    first = [{"file": [str(root / "main.py"), changed]}, answer(0)]
    async with start({MOVE: [first, [answer(1)]]}, moves()) as fake:
        planned = await fake.move("p/shop.py", "p/store.py")
        assert texts(planned) == {"p/main.py": [(2, 6, 10, "store")]}
        assert planned.changes[0].expected_hash == content_hash(changed.encode())


async def test_edits_of_the_file_that_is_replaced_are_left_out(start: Any, wire: Any) -> None:
    edits = {"changes": {wire.uri("main.py"): [wire.edit(0, 5, 9, "x")]}}
    async with start({MOVE: [[{"reply": edits}]]}, moves()) as fake:
        planned = await fake.move("p/shop.py", "p/main.py")
        assert (planned.complete, planned.changes) == (True, [])


async def test_a_path_in_a_configuration_keeps_its_dot(start: Any, root: Path, wire: Any) -> None:
    (root / "tsconfig.json").write_text('{"paths": ["./lib/x", "lib"]}\n')
    edits = [wire.edit(0, 12, 19, "src/x"), wire.edit(0, 23, 26, "src")]
    async with start({MOVE: [[{"reply": {"changes": {wire.uri("tsconfig.json"): edits}}}]]}, moves()) as fake:
        planned = await fake.move("p/shop.py", "p/store.py")
        assert texts(planned) == {"p/tsconfig.json": [(1, 13, 20, "./src/x"), (1, 24, 27, "src")]}


async def test_what_one_server_cannot_say_does_not_keep_what_another_says(start: Any, root: Path, wire: Any) -> None:
    (root / "pkg").mkdir()
    (root / "pkg" / "a.py").write_text("import shop\n")
    (root / "pkg" / "a.rs").write_text("use shop;\n")
    edits = {"changes": {wire.uri("main.py"): [wire.edit(0, 5, 9, "x")]}}
    on = {MOVE: [[{"reply": edits}]]}
    async with start({MOVE: [[{"exit": 1}]]}, moves("**/*"), languages={"*.rs": "rust"}, second=(on, moves())) as fake:
        planned = await fake.move("p/pkg", "p/lib")
        assert (planned.complete, planned.reason, planned.covered) == (False, "server_crashed", ["*.py"])
        assert texts(planned) == {"p/main.py": [(1, 6, 10, "x")]}


async def test_of_two_servers_for_the_same_files_the_first_is_asked(start: Any, wire: Any) -> None:
    edits = {"changes": {wire.uri("main.py"): [wire.edit(0, 5, 9, "x")]}}
    second = ({MOVE: [[{"reply": {"changes": {wire.uri("main.py"): [wire.edit(0, 5, 9, "y")]}}}]]}, moves())
    async with start({MOVE: [[{"reply": edits}]]}, moves(), second=second) as fake:
        assert texts(await fake.move("p/shop.py", "p/store.py")) == {"p/main.py": [(1, 6, 10, "x")]}
