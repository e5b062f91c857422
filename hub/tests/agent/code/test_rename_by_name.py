"""By its name, a symbol is renamed wherever it is declared among the files given; what only looks like it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code_tools import code_tools
from codebuddy.agent.lsp.config import read_server_configs
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.tool import Tool, ToolError, parse_arguments

pytestmark = pytest.mark.anyio
RENAME, DEFINITION, SYMBOLS = "textDocument/rename", "textDocument/definition", "textDocument/documentSymbol"
RENAMES = {"renameProvider": True}
BOTH = {"name": "open_shop", "paths": ["p/main.py", "p/shop.py"]}


@pytest.fixture
def root(root: Path) -> Path:
    (root / "main.py").write_text("def open_shop(): ...\nopen_shop()\n")
    return root


def lines(planned: Any) -> dict[str, list[int]]:
    assert (planned.complete, planned.reason, planned.message) == (True, None, None)
    return {one.path: [at.line for at in one.edits] for one in planned.changes}


def declared(planned: Any) -> list[tuple[str, int, int, int, str | None]]:
    return [(at.path, at.line, at.column, at.end_column, at.line_text) for at in planned.declarations]


async def test_each_declaration_is_renamed_and_the_changes_are_put_together(start: Any, wire: Any) -> None:
    main, shop = (
        wire.document("main.py", None, wire.edit(0, 4, 13)),
        wire.document("shop.py", None, wire.edit(0, 4, 13)),
    )
    use = wire.document("main.py", None, wire.edit(1, 0, 9))
    on = {
        SYMBOLS: [[{"reply": [wire.symbol("open_shop", 0, 4)]}]],
        DEFINITION: [[{"reply": wire.place("main.py", 0, 4, 13)}], [{"reply": wire.place("shop.py", 0, 4, 13)}]],
        RENAME: [[{"reply": {"documentChanges": [main]}}], [{"reply": {"documentChanges": [shop, use]}}]],
    }
    async with start(on, RENAMES) as fake:
        planned = await fake.rename(**BOTH)
        assert lines(planned) == {"p/main.py": [1, 2], "p/shop.py": [1]}
        assert declared(planned) == [
            ("p/main.py", 1, 5, 14, "def open_shop(): ..."),
            ("p/shop.py", 1, 5, 14, "def open_shop():"),
        ]
        assert (planned.old_name, planned.symbol) == ("open_shop", "open_shop")


async def test_what_a_rename_covers_already_is_not_asked_for_and_an_import_is_no_declaration(
    start: Any, wire: Any
) -> None:
    symbols, definition = [wire.symbol("open_shop", 0, 4)], wire.place("shop.py", 0, 4, 13)
    documents = [wire.document(name, None, wire.edit(0, 4, 13)) for name in ("main.py", "shop.py")]
    on = {
        SYMBOLS: [[{"reply": symbols}]],
        DEFINITION: [[{"reply": definition}]],
        RENAME: [[{"reply": {"documentChanges": documents}}]],
    }
    async with start(on, RENAMES) as fake:
        planned = await fake.rename(**BOTH)
        assert lines(planned) == {"p/main.py": [1], "p/shop.py": [1]}
        assert [at.path for at in planned.declarations] == ["p/shop.py"]
        assert [one["params"]["textDocument"]["uri"] for one in fake.sent(RENAME)] == [wire.uri("shop.py")]


@pytest.mark.parametrize("wanted", ["Shop/open_shop", "open", "shop", "x/open_shop", "open_shop/"])
async def test_only_a_symbol_of_exactly_this_path_is_renamed(wanted: str, start: Any, wire: Any) -> None:
    symbols = [wire.symbol("open_shop", 0, 4), wire.symbol("Other", 0, 0, wire.symbol("open_shop", 0, 4))]
    async with start({SYMBOLS: [[{"reply": symbols}]]}, RENAMES) as fake:
        planned = await fake.rename(name=wanted, paths=["p/main.py"])
        assert (lines(planned), planned.declarations, planned.symbol) == ({}, [], None)
        assert fake.sent(RENAME) == []


async def test_a_symbol_in_another_is_found_by_its_path(start: Any, wire: Any) -> None:
    document = wire.document("main.py", None, wire.edit(0, 4, 13))
    on = {
        SYMBOLS: [[{"reply": [wire.symbol("Shop", 0, 0, wire.symbol("open_shop", 0, 4))]}]],
        RENAME: [[{"reply": {"documentChanges": [document]}}]],
    }
    async with start(on, RENAMES) as fake:
        planned = await fake.rename(name="Shop/open_shop", paths=["p/main.py"])
        assert (lines(planned), planned.symbol) == ({"p/main.py": [1]}, "Shop/open_shop")


async def test_what_is_imported_from_outside_the_project_is_not_its_to_rename(start: Any, wire: Any) -> None:
    on = {
        SYMBOLS: [[{"reply": [wire.symbol("open_shop", 0, 4)]}]],
        DEFINITION: [[{"reply": {"uri": "file:///usr/lib/python3/shop.py", "range": wire.span(3, 4, 13)}}]],
    }
    async with start(on, RENAMES) as fake:
        planned = await fake.rename(**BOTH)
        assert (lines(planned), planned.declarations) == ({}, [])
        assert fake.sent(RENAME) == []


async def test_an_import_that_leads_nowhere_is_not_the_projects_to_rename(start: Any, wire: Any) -> None:
    pylsp = {
        "capabilities": {**RENAMES, "definitionProvider": True, "documentSymbolProvider": True},
        "serverInfo": {"name": "pylsp"},
    }
    on = {"initialize": [[{"reply": pylsp}]], SYMBOLS: [[{"reply": [wire.symbol("open_shop", 0, 4)]}]]}
    on["textDocument/definition"] = [[{"reply": None}]]
    async with start(on) as fake:
        assert lines(await fake.rename(**BOTH)) == {}
        assert fake.sent(RENAME) == []


async def test_what_overrides_another_is_a_declaration_where_the_other_keeps_its_name(start: Any, wire: Any) -> None:
    on = {
        SYMBOLS: [[{"reply": [wire.symbol("open_shop", 0, 4)]}]],
        DEFINITION: [[{"reply": wire.place("shop.py", 0, 4, 13)}]],
        RENAME: [[{"reply": {"documentChanges": [wire.document("main.py", None, wire.edit(0, 4, 13))]}}]],
    }
    async with start(on, RENAMES) as fake:
        planned = await fake.rename(name="open_shop", paths=["p/main.py"])
        assert lines(planned) == {"p/main.py": [1]}
        assert [at.path for at in planned.declarations] == ["p/main.py"]


async def test_files_that_are_gone_or_of_no_server_declare_nothing(start: Any, root: Path) -> None:
    (root / "notes.txt").write_text("open_shop\n")
    async with start({SYMBOLS: [[{"reply": []}]]}, RENAMES) as fake:
        planned = await fake.rename(name="open_shop", paths=["p/notes.txt", "p/gone.py", "p/shop.py", "p/shop.py"])
        assert lines(planned) == {}
        assert len(fake.sent(SYMBOLS)) == 1


async def test_a_file_whose_name_is_no_utf_8_is_not_passed_over(start: Any, root: Path, wire: Any) -> None:
    (root / "caf\udce9.py").write_text("def open_shop(): ...\n")
    document = wire.document("caf\udce9.py", None, wire.edit(0, 4, 13))
    on = {
        SYMBOLS: [[{"reply": [wire.symbol("open_shop", 0, 4)]}]],
        RENAME: [[{"reply": {"documentChanges": [document]}}]],
    }
    async with start(on, RENAMES) as fake:
        assert lines(await fake.rename(name="open_shop", paths=["p/caf\\xe9.py"])) == {"p/caf\\xe9.py": [1]}


async def test_each_file_is_asked_of_the_server_that_serves_it(start: Any, wire: Any) -> None:
    async with start({}, RENAMES, languages={"shop.py": "python"}) as fake:
        await fake.rename(**BOTH)
        assert [one["params"]["textDocument"]["uri"] for one in fake.sent(SYMBOLS)] == [wire.uri("shop.py")]


@pytest.mark.parametrize(
    ("symbols", "reason"),
    [
        ([{"error": [-32603, "broken"]}], "server_error"),
        ([{"reply": 5}], "server_error"),
        ([{"exit": 3}], "server_crashed"),
    ],
)
async def test_a_file_whose_symbols_are_not_known_makes_the_answer_incomplete(
    symbols: Any, reason: str, start: Any, wire: Any
) -> None:
    one = [{"reply": [wire.symbol("open_shop", 0, 4)]}]
    document = wire.document("main.py", None, wire.edit(0, 4, 13))
    on = {SYMBOLS: [one, symbols], RENAME: [[{"reply": {"documentChanges": [document]}}]]}
    async with start(on, RENAMES) as fake:
        planned = await fake.rename(**BOTH)
        assert (planned.complete, planned.reason, planned.changes) == (False, reason, [])


async def test_declarations_whose_renames_contradict_each_other_have_all_refused(start: Any, wire: Any) -> None:
    answers = [wire.document("main.py", None, wire.edit(1, 0, 9)), wire.document("main.py", None, wire.edit(1, 0, 4))]
    on = {
        SYMBOLS: [[{"reply": [wire.symbol("open_shop", 0, 4)]}]],
        RENAME: [[{"reply": {"documentChanges": [one]}}] for one in answers],
    }
    async with start(on, RENAMES) as fake:
        with pytest.raises(ToolError) as refused:
            await fake.rename(**BOTH)
        assert (refused.value.code, refused.value.path) == ("bad_answer", "p/main.py")


async def test_a_file_that_changes_between_two_renames_has_both_planned_again(
    start: Any, root: Path, wire: Any
) -> None:
    main, shop = (
        wire.document("main.py", None, wire.edit(0, 4, 13)),
        wire.document("shop.py", None, wire.edit(0, 4, 13)),
    )
    new = {"file": [str(root / "main.py"), (root / "main.py").read_text() + "# more\n"]}
    use = wire.document("main.py", None, wire.edit(1, 0, 9))
    on = {
        SYMBOLS: [[{"reply": [wire.symbol("open_shop", 0, 4)]}]],
        RENAME: [
            [{"reply": {"documentChanges": [main]}}],
            [new, {"reply": {"documentChanges": [shop, use]}}],
            [{"reply": {"documentChanges": [main]}}],
            [{"reply": {"documentChanges": [shop, use]}}],
        ],
    }
    async with start(on, RENAMES) as fake:
        planned = await fake.rename(**BOTH)
        assert lines(planned) == {"p/main.py": [1, 2], "p/shop.py": [1]}
        assert len({one.expected_hash for one in planned.changes}) == 2
        assert len(fake.sent(RENAME)) == 4


@pytest.fixture
def tool(root: Path) -> Tool[Any]:
    servers = LanguageServers("p", root, read_server_configs([]))
    return next(tool for tool in code_tools(servers) if tool.name == "plan_rename")


PLACE = {"path": "p/x", "symbol": "x", "new_name": "y"}


@pytest.mark.parametrize(
    "given", [PLACE, {**PLACE, "timeout_seconds": 5.0}, {"name": "x", "paths": [], "new_name": "y"}]
)
def test_a_rename_is_asked_for_by_a_place_or_by_a_name(given: dict[str, Any], tool: Tool[Any]) -> None:
    assert tool.scope == "write"
    parse_arguments(tool, given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"new_name": "y"}, "Give a place"),
        ({**PLACE, "name": "x", "paths": []}, "Give a place"),
        ({**PLACE, "line": 1}, "Give a place"),
        ({"path": "p/x", "line": 1, "new_name": "y"}, "Give a place"),
        ({"name": "x", "new_name": "y"}, "Give a place"),
        ({"paths": [], "new_name": "y"}, "Give a place"),
        ({"name": "x", "paths": ["p/x"] * 2001, "new_name": "y"}, "paths"),
        ({**PLACE, "new_name": ""}, "new_name"),
        ({**PLACE, "new_name": "a\nb"}, "new_name"),
        ({**PLACE, "new_name": "a\n"}, "new_name"),
        ({"path": "p/x", "symbol": "x"}, "new_name"),
        ({**PLACE, "preview": True}, "preview is not an argument"),
    ],
)
def test_other_arguments_are_refused_in_words(given: dict[str, Any], said: str, tool: Tool[Any]) -> None:
    with pytest.raises(ToolError, match=said) as refused:
        parse_arguments(tool, given)
    assert refused.value.code == "invalid_arguments"
