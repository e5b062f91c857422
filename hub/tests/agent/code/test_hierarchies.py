"""Hierarchies: every step in its place, no way round in circles, nothing followed out of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.anyio
PREPARE, INCOMING, OUTGOING = (
    "textDocument/prepareCallHierarchy",
    "callHierarchy/incomingCalls",
    "callHierarchy/outgoingCalls",
)
PREPARE_TYPES, SUBTYPES = "textDocument/prepareTypeHierarchy", "typeHierarchy/subtypes"


@pytest.fixture
def root(root: Path) -> Path:
    (root / "main.py").write_text('"👋"; open_shop()\ndef run():\n    open_shop()\n')
    return root


def thing(wire: Any, name: str, file: str, line: int, start: int, **more: Any) -> dict[str, Any]:
    whole = wire.span(line, start, start + len(name))
    return {"name": name, "kind": 12, "uri": wire.uri(file), "range": whole, "selectionRange": whole, **more}


def shop(wire: Any) -> dict[str, Any]:
    return thing(wire, "open_shop", "shop.py", 0, 4, data="kept")


async def test_callers_are_told_with_where_they_call(start: Any, wire: Any) -> None:
    run = thing(wire, "run", "main.py", 1, 4)
    module = {**thing(wire, "main", "main.py", 0, 0), "kind": 2}
    first = [
        {"from": run, "fromRanges": [wire.span(2, 4, 13)]},
        {"from": module, "fromRanges": [wire.span(0, 6, 15)]},
    ]
    on = {PREPARE: [[{"reply": [shop(wire)]}]], INCOMING: [[{"reply": first}], [{"reply": None}]]}
    async with start(on) as fake:
        answer = await fake.calls(depth=2)
        assert answer.complete
        assert [(one.id, one.parent, one.depth, one.name, one.kind) for one in answer.items] == [
            (0, None, 0, "open_shop", "function"),
            (1, 0, 1, "main", "module"),
            (2, 0, 1, "run", "function"),
        ]
        (call,) = answer.items[1].calls
        assert (call.path, call.line, call.column, call.end_column) == ("p/main.py", 1, 6, 15)
        assert call.line_text == '"👋"; open_shop()'
        assert fake.sent(INCOMING)[0]["params"] == {"item": shop(wire)}
        assert answer.lean()["items"][1] == "  module main p/main.py:1:1, calls at 1:6"


async def test_whom_a_function_calls_is_told_with_where_it_does(start: Any, wire: Any) -> None:
    run = thing(wire, "run", "main.py", 1, 4)
    called = [{"to": shop(wire), "fromRanges": [wire.span(2, 4, 13)]}]
    async with start({PREPARE: [[{"reply": [run]}]], OUTGOING: [[{"reply": called}]]}) as fake:
        answer = await fake.calls(direction="outgoing")
        assert [(one.name, one.path) for one in answer.items] == [("run", "p/main.py"), ("open_shop", "p/shop.py")]
        assert [(one.path, one.line) for one in answer.items[1].calls] == [("p/main.py", 3)]
        assert len(fake.sent(OUTGOING)) == 1


async def test_a_circle_is_gone_through_once(start: Any, wire: Any) -> None:
    itself = [{"from": shop(wire), "fromRanges": [wire.span(0, 4, 13)]}]
    async with start({PREPARE: [[{"reply": [shop(wire)]}]], INCOMING: [[{"reply": itself}]]}) as fake:
        answer = await fake.calls(depth=10)
        assert [(one.depth, one.repeated) for one in answer.items] == [(0, None), (1, True)]
        assert "(see above)" in answer.text()


async def test_what_is_outside_the_project_is_told_and_not_followed(start: Any, wire: Any) -> None:
    library = {**thing(wire, "print", "x.py", 9, 4), "uri": "file:///usr/lib/builtins.pyi"}
    called = [{"to": library, "fromRanges": []}]
    async with start({PREPARE: [[{"reply": [shop(wire)]}]], OUTGOING: [[{"reply": called}]]}) as fake:
        answer = await fake.calls(direction="outgoing", depth=5)
        assert (answer.items[1].external, answer.items[1].path) == (True, "/usr/lib/builtins.pyi")
        assert len(fake.sent(OUTGOING)) == 1


async def test_subtypes_are_told_step_by_step(start: Any, wire: Any) -> None:
    base, sub = (thing(wire, name, "main.py", 1, column) for name, column in (("B", 0), ("S", 4)))
    on = {PREPARE_TYPES: [[{"reply": [base]}]], SUBTYPES: [[{"reply": [sub]}], [{"reply": []}]]}
    async with start(on) as fake:
        answer = await fake.types(depth=3)
        assert [(one.name, one.depth, one.calls) for one in answer.items] == [("B", 0, None), ("S", 1, None)]


async def test_a_hierarchy_without_end_is_cut_and_says_so(start: Any, wire: Any) -> None:
    many = [{"from": thing(wire, f"f{n}", "main.py", 1, n), "fromRanges": []} for n in range(600)]
    async with start({PREPARE: [[{"reply": [shop(wire)]}]], INCOMING: [[{"reply": many}]]}) as fake:
        answer = await fake.calls(limit=1000)
        assert (answer.complete, answer.reason, len(answer.items)) == (False, "truncated", 500)
        assert "more than 500 items" in (answer.message or "")


@pytest.mark.parametrize(
    "broken", [{"from": 5}, {"from": {"name": "x"}, "fromRanges": []}, {"from": {}, "fromRanges": 5}]
)
async def test_a_malformed_step_is_told_as_such(broken: Any, start: Any, wire: Any) -> None:
    async with start({PREPARE: [[{"reply": [shop(wire)]}]], INCOMING: [[{"reply": [broken]}]]}) as fake:
        answer = await fake.calls()
        assert (answer.complete, answer.reason, answer.items) == (False, "server_error", [])


async def test_pages_of_a_hierarchy_follow_each_other(start: Any, wire: Any) -> None:
    many = [{"from": thing(wire, "f", "main.py", 1, n), "fromRanges": []} for n in range(9)]
    async with start({PREPARE: [[{"reply": [shop(wire)]}]], INCOMING: [[{"reply": many}]]}) as fake:
        first = await fake.calls(limit=4)
        rest = await fake.calls(limit=100, cursor=first.cursor)
        assert [one.id for one in first.items + rest.items] == list(range(10))


def calling(wire: Any, *spans: tuple[int, int, int], name: str = "open_shop") -> dict[str, Any]:
    """Return scripts for ``run``, which is lines 2 to 5 of busy.py and calls a thing of shop.py at some ranges."""
    run = {**thing(wire, "run", "busy.py", 1, 4), "range": {"start": {"line": 1, "character": 0}, "end": END}}
    called = {**shop(wire), "name": name}
    ranges = [wire.span(*span) for span in spans]
    return {PREPARE: [[{"reply": [run]}]], OUTGOING: [[{"reply": [{"to": called, "fromRanges": ranges}]}], []]}


BUSY = """from shop import open_shop as enter
def run():
    open_shop()
    enter(); shut()
    return None
open_shop
"""
END = {"line": 4, "character": 15}


@pytest.mark.parametrize(
    "case",
    [
        ([(2, 4, 13)], "open_shop", [(3, 5, 14)], True),  # right
        ([(2, 4, 15)], "open_shop()", [(3, 5, 16)], True),  # the whole call
        ([(2, 6, 15)], "open_shop", [(3, 5, 14)], True),  # within a word: found by the name
        ([(5, 0, 9)], "shut", [(4, 14, 18)], True),  # outside of the caller: the same
        ([(3, 4, 9)], "greet", [(4, 5, 10)], True),  # by another name
        ([(3, 14, 15)], "greet", [], False),  # by no name
        ([(2, 6, 15), (4, 5, 7)], "open_shop", [], False),  # two, and the name is there once
        ([(3, 4, 9)], "shut", [], False),  # another name where its own is elsewhere
        ([(2, 4, 13), (2, 6, 15)], "open_shop", [(3, 5, 14)], False),  # one right, one wrong
    ],
)
async def test_no_place_is_told_as_a_call_that_cannot_be_one(
    case: tuple[list[Any], str, list[Any], bool], start: Any, wire: Any, root: Path
) -> None:
    spans, name, places, complete = case
    (root / "busy.py").write_text(BUSY)
    async with start(calling(wire, *spans, name=name)) as fake:
        answer = await fake.calls(direction="outgoing")
        assert [(one.line, one.column, one.end_column) for one in answer.items[1].calls or []] == places
        assert (answer.complete, answer.reason) == (complete, None if complete else "server_error")
        assert complete or "fake reports calls at places where nothing is called" in (answer.message or "")
