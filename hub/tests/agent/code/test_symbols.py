"""Symbols: of a file with where all of each is, of a project by a part of their name, and by name with their uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.anyio
SYMBOLS, WORKSPACE = "textDocument/documentSymbol", "workspace/symbol"
REFERENCES, DEFINITION = "textDocument/references", "textDocument/definition"
RESOLVES = {"workspaceSymbolProvider": {"resolveProvider": True}}
CART = '"👋";class Cart:\n    """👋"""\n    def add(self): ...\n'


@pytest.fixture
def root(root: Path) -> Path:
    (root / "main.py").write_text(CART)
    return root


def cart(wire: Any) -> dict[str, Any]:
    """Return the class as the protocol writes it, in UTF-16."""
    method = {
        "name": "add",
        "kind": 6,
        "detail": "(self)",
        "range": {"start": {"line": 2, "character": 4}, "end": {"line": 2, "character": 22}},
        "selectionRange": wire.span(2, 8, 11),
    }
    whole = {"start": {"line": 0, "character": 5}, "end": {"line": 2, "character": 22}}
    return {"name": "Cart", "kind": 5, "range": whole, "selectionRange": wire.span(0, 11, 15), "children": [method]}


async def test_a_file_s_symbols_come_with_their_path_kind_name_and_whole_range(start: Any, wire: Any) -> None:
    async with start({SYMBOLS: [[{"reply": [cart(wire)]}]]}) as fake:
        answer = await fake.symbols()
        cls, method = answer.symbols
        assert (cls.kind, cls.symbol, cls.line, cls.column, cls.end_column) == ("class", "Cart", 1, 11, 15)
        assert cls.full_range.model_dump() == {"line": 1, "column": 5, "end_line": 3, "end_column": 23}
        assert (method.kind, method.symbol, method.detail) == ("method", "Cart/add", "(self)")
        assert (method.line, method.column, method.line_text) == (3, 9, "    def add(self): ...")
        assert answer.lean()["symbols"] == ["1:11 class Cart, lines 1-3", "3:9 method Cart/add: (self)"]


async def test_halves_of_surrogate_pairs_and_kinds_that_are_none_do_no_harm(start: Any, wire: Any) -> None:
    odd = {**cart(wire), "name": "a\ud83d", "detail": "\ude00", "kind": 99, "children": None}
    async with start({SYMBOLS: [[{"reply": [odd]}]]}) as fake:
        (found,) = (await fake.symbols()).symbols
        assert (found.name, found.detail, found.kind) == ("a?", "?", "unknown")


def information(wire: Any, name: str, file: str = "shop.py", **more: Any) -> dict[str, Any]:
    whole = {"start": {"line": 0, "character": 0}, "end": {"line": 1, "character": 12}}
    return {"name": name, "kind": 12, "location": {"uri": wire.uri(file), "range": whole}, **more}


async def test_a_project_s_symbols_are_pointed_at_by_their_name_the_best_match_first(start: Any, wire: Any) -> None:
    found = [
        information(wire, "open_shop", containerName="shop"),
        information(wire, "shop"),
        information(wire, "sh_op"),
    ]
    async with start({WORKSPACE: [[{"reply": found}]]}) as fake:
        answer = await fake.find_symbols("SHOP")
        assert [(one.name, one.line, one.kind) for one in answer.symbols] == [
            ("shop", 1, "function"),
            ("open_shop", 1, "function"),
        ]
        other = answer.symbols[1]
        assert (other.column, other.end_column, other.container, other.full_range.end_line) == (5, 14, "shop", 2)
        assert answer.complete


async def test_a_path_and_kinds_narrow_the_search(start: Any, wire: Any) -> None:
    found = [
        information(wire, "add", containerName="Cart"),
        information(wire, "Order.add"),
        information(wire, "add", containerName="Cart", kind=5),
    ]
    async with start({WORKSPACE: [[{"reply": found}]]}) as fake:
        answer = await fake.find_symbols("Cart/add", kinds=["function"])
        assert [(one.container, one.kind) for one in answer.symbols] == [("Cart", "function")]
        (other,) = (await fake.find_symbols("Order/add")).symbols
        assert (other.name, other.container) == ("add", "Order")
        assert fake.sent(WORKSPACE)[0]["params"] == {"query": "add"}


@pytest.mark.parametrize("uri", ["file:///usr/lib/shop.py", None])
async def test_libraries_are_told_only_on_request(uri: str | None, start: Any, root: Path, wire: Any) -> None:
    (root / ".venv").mkdir()
    (root / ".venv/shop.py").write_text("def open_shop(): ...\n")
    library = information(wire, "open_shop", ".venv/shop.py")
    library["location"]["uri"] = uri or library["location"]["uri"]
    async with start({WORKSPACE: [[{"reply": [library]}]]}) as fake:
        assert (await fake.find_symbols("shop")).symbols == []
        (found,) = (await fake.find_symbols("shop", include_external=True)).symbols
        assert (found.external, found.line_text is None) == ((True, True) if uri else (None, False))


async def test_a_symbol_without_a_range_is_resolved(start: Any, wire: Any) -> None:
    bare = information(wire, "open_shop")
    bare["location"] = {"uri": bare["location"]["uri"]}
    on = {WORKSPACE: [[{"reply": [bare]}]], "workspaceSymbol/resolve": [[{"reply": information(wire, "open_shop")}]]}
    async with start(on, RESOLVES) as fake:
        (found,) = (await fake.find_symbols("shop")).symbols
        assert (found.line, found.column, found.full_range.end_line) == (1, 5, 2)


@pytest.mark.parametrize(("count", "cut"), [(99, False), (100, True), (128, True), (256, True), (255, False)])
async def test_as_many_as_a_server_may_give_at_most_are_not_said_to_be_all(
    count: int, cut: bool, start: Any, wire: Any
) -> None:
    found = [information(wire, f"shop{number}") for number in range(count)]
    async with start({WORKSPACE: [[{"reply": found}]]}) as fake:
        answer = await fake.find_symbols("shop", limit=1000)
        assert (answer.complete, answer.reason) == ((False, "truncated") if cut else (True, None))
        assert len(answer.symbols) == count


async def test_servers_of_other_files_are_asked_too_and_of_the_same_files_one_is_enough(start: Any, wire: Any) -> None:
    there = {WORKSPACE: [[{"reply": [information(wire, "open_shop")]}]]}
    async with start({}, {"workspaceSymbolProvider": None}, second=(there, {})) as fake:
        answer = await fake.find_symbols("shop")
        assert (answer.complete, len(answer.symbols)) == (True, 1)


async def test_a_name_is_found_where_it_is_declared_and_its_uses_are_given(start: Any, root: Path, wire: Any) -> None:
    (root / "main.py").write_text("from shop import open_shop\nopen_shop()\n")
    (root / "other.py").write_text("def close_shop(): ...\n")
    uses = [wire.place("main.py", 0, 17, 26), wire.place("main.py", 1, 0, 9), wire.place("shop.py", 0, 4, 13)]
    on = {
        SYMBOLS: [[{"reply": [wire.symbol("open_shop", 0, 17)]}], [{"reply": [wire.symbol("open_shop", 0, 4)]}]],
        DEFINITION: [[{"reply": wire.place("shop.py", 0, 4, 13)}]],
        REFERENCES: [[{"reply": uses}]],
    }
    async with start(on) as fake:
        answer = await fake.references(symbol="open_shop")
        assert answer.complete
        assert [(one.path, one.line, one.symbol) for one in answer.symbols] == [("p/shop.py", 1, "open_shop")]
        assert [(one.path, one.line) for one in answer.locations] == [
            ("p/main.py", 1),
            ("p/main.py", 2),
            ("p/shop.py", 1),
        ]
        assert {one["params"]["textDocument"]["uri"] for one in fake.sent(SYMBOLS)} == {
            wire.uri("main.py"),
            wire.uri("shop.py"),
        }


async def test_an_unknown_name_gives_nothing_and_an_answer_without_some_file_says_so(start: Any, root: Path) -> None:
    async with start() as fake:
        answer = await fake.references(symbol="missing")
        assert (answer.complete, answer.symbols, answer.locations) == (True, [], [])
        with (root / "huge.py").open("wb") as file:
            file.truncate(10_000_000)
        assert (await fake.references(symbol="missing")).complete
        with (root / "huge.py").open("ab") as file:
            file.write(b"missing()")
        answer = await fake.references(symbol="missing")
        assert (answer.complete, answer.reason) == (False, "unsupported")
        assert "p/huge.py" in (answer.message or "")


async def test_two_symbols_of_one_name_are_both_meant_unless_a_path_says_which(start: Any, wire: Any) -> None:
    cart_, order = wire.symbol("add", 2, 8), wire.symbol("add", 0, 5)
    tree = [{**wire.symbol("Cart", 0, 11), "children": [cart_]}, {**wire.symbol("Order", 0, 5), "children": [order]}]
    on = {SYMBOLS: [[{"reply": tree}]], REFERENCES: [[{"reply": [wire.place("main.py", 2, 8, 11)]}], [{"reply": []}]]}
    async with start(on) as fake:
        both = await fake.references(symbol="add")
        assert sorted(one.symbol for one in both.symbols) == ["Cart/add", "Order/add"]
    async with start(on) as fake:
        one = await fake.references(symbol="Cart/add")
        assert [symbol.symbol for symbol in one.symbols] == ["Cart/add"]


async def test_more_symbols_of_a_name_than_are_looked_at_are_told(start: Any, root: Path, wire: Any) -> None:
    (root / "main.py").write_text("add = 1\n" * 30)
    many = [wire.symbol("add", line, 0) for line in range(30)]
    used = [wire.place("shop.py", 0, 4, 13)]
    async with start({SYMBOLS: [[{"reply": many}]], REFERENCES: [[{"reply": used}]]}) as fake:
        answer = await fake.references(symbol="add")
        assert (answer.complete, answer.reason, len(answer.symbols)) == (False, "truncated", 20)
        assert "30 symbols" in (answer.message or "")


async def test_of_declarations_that_name_each_other_one_is_used_beside_another_symbol(start: Any, wire: Any) -> None:
    """A server may call the declaration of a definition its definition, and the other way round, as clangd does."""
    tree = [wire.symbol("add", 0, 11), wire.symbol("add", 2, 8), wire.symbol("add", 0, 5)]
    here = [wire.place("main.py", 2, 8, 11), wire.place("main.py", 0, 11, 14), wire.place("main.py", 0, 5, 8)]
    on = {
        SYMBOLS: [[{"reply": tree}]],
        DEFINITION: [[{"reply": one}] for one in here],
        REFERENCES: [[{"reply": here[2:]}], [{"reply": here[:2]}]],
    }
    async with start(on) as fake:
        answer = await fake.references(symbol="add")
        assert (answer.complete, len(answer.symbols), len(answer.locations)) == (True, 2, 3)


@pytest.mark.parametrize("container", [{}, {"containerName": "add"}], ids=["none", "another"])
@pytest.mark.parametrize("query", ["Cart/add", "Cart.add"])
async def test_a_method_is_found_by_its_class_where_the_server_does_not_name_that(
    start: Any, wire: Any, container: dict[str, str], query: str
) -> None:
    method = {"name": "add", "kind": 6, "location": {"uri": wire.uri("main.py"), "range": wire.span(2, 8, 11)}}
    on = {WORKSPACE: [[{"reply": [{**method, **container}]}]], SYMBOLS: [[{"reply": [cart(wire)]}]]}
    async with start(on) as fake:
        answer = await fake.find_symbols(query)
        assert answer.complete
        assert [(one.container, one.name, one.line) for one in answer.symbols] == [("Cart", "add", 3)]
        assert (await fake.find_symbols("Order/add")).symbols == []
        asked = len(fake.sent(SYMBOLS))
        await fake.find_symbols("add")
        assert len(fake.sent(SYMBOLS)) == asked


async def test_a_method_is_not_said_to_be_missing_where_the_symbols_of_its_file_are_not_known(
    start: Any, wire: Any
) -> None:
    on = {WORKSPACE: [[{"reply": [information(wire, "add")]}]], SYMBOLS: [[{"error": [-32603, "broken"]}]]}
    async with start(on) as fake:
        answer = await fake.find_symbols("Cart/add")
        assert (answer.complete, answer.reason, answer.symbols) == (False, "server_error", [])
