"""The hub's code tools: a spoke's answer is passed on only where it concerns the spoke's own project."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from codebuddy.hub.tools.code import code_tools
from codebuddy.schemas.code import DiagnosticsArguments, LocationsResult, PlaceArguments, ReferencesArguments
from codebuddy.tool import LOCAL, Call, Principal, ToolError, parse_arguments
from codebuddy_testing.fake_spokes import FakeSpokes

pytestmark = pytest.mark.anyio

PLACE: dict[str, Any] = {"line": 1, "column": 1, "end_line": 1, "end_column": 2}


async def ask(name: str, answers: dict[str, Any] | FakeSpokes, arguments: Any, call: Call | None = None) -> Any:
    spokes = answers if isinstance(answers, FakeSpokes) else FakeSpokes(answers)
    tools = {tool.name: tool for tool in code_tools(spokes, frozenset(spokes.answers))}
    given = parse_arguments(tools[name], arguments) if isinstance(arguments, dict) else arguments
    return await tools[name].handler(call or Call(LOCAL), given)


async def test_a_spoke_cannot_name_places_in_another_project() -> None:
    foreign = {"complete": True, "locations": [{"path": "project-b/src/owned.py", **PLACE}]}
    with pytest.raises(ToolError, match="another project"):
        await ask("find_references", {"project-a": foreign}, ReferencesArguments(path="project-a/x.py", symbol="x"))


async def test_a_place_outside_all_projects_is_passed_on_as_such() -> None:
    library = {"complete": True, "locations": [{"path": "/usr/lib/x.py", "external": True, **PLACE}]}
    found = await ask("find_definition", {"project-a": library}, PlaceArguments(path="project-a/x.py", symbol="x"))
    assert isinstance(found, LocationsResult)
    assert found.locations[0].external


async def test_one_invalid_answer_does_not_affect_the_diagnostics_of_other_projects() -> None:
    good = {"complete": True, "diagnostics": [], "checked_files": 3}
    bad = ToolError("bad_answer", "The spoke of project-b makes no sense.")
    away = ToolError("spoke_offline", "The spoke of project-c is not connected.")
    found = await ask("diagnostics", {"project-a": good, "project-b": bad, "project-c": away}, DiagnosticsArguments())
    assert not found.complete
    assert {part.project: (part.complete, part.reason) for part in found.projects} == {
        "project-a": (True, None),
        "project-b": (False, "server_error"),
        "project-c": (False, "spoke_offline"),
    }


@pytest.mark.parametrize(
    ("tool", "asked"), [("diagnostics", {}), ("find_symbols", {"query": "x"}), ("find_references", {"symbol": "x"})]
)
async def test_no_projects_at_all_are_not_found_to_be_without_errors(tool: str, asked: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match="projects must not be empty"):
        await ask(tool, {"project-a": {}}, {**asked, "projects": []})


HERE = {"path": "project-a/x.py", "line": 1, "column": 1}
CARET = {"path": "project-a/x.py", "line": 1, "text": "x."}
ROUTED: dict[str, tuple[dict[str, Any], str]] = {
    "find_definition": (HERE, "locations"),
    "find_references": (HERE, "locations"),
    "find_implementations": (HERE, "locations"),
    "document_symbols": ({"path": "project-a/x.py"}, "symbols"),
    "hover": (HERE, "contents"),
    "completions": (CARET, "items"),
    "signature_help": (CARET, "signatures"),
    "call_hierarchy": ({**HERE, "direction": "incoming"}, "items"),
    "type_hierarchy": ({**HERE, "direction": "subtypes"}, "items"),
    "diagnostics": ({"path": "project-a/x.py"}, "diagnostics"),
}


@pytest.mark.parametrize("tool", ROUTED)
async def test_an_offline_spoke_makes_the_answer_incomplete(tool: str) -> None:
    arguments, listed = ROUTED[tool]
    away = ToolError("spoke_offline", "The spoke of project-a is not connected.")
    found = await ask(tool, {"project-a": away, "project-b": away}, arguments)
    assert (found.complete, found.reason, len(getattr(found, listed))) == (False, "spoke_offline", 0)
    assert "not connected" in found.text()


@pytest.mark.parametrize("tool", ROUTED)
async def test_another_failure_of_one_spoke_is_a_failure(tool: str) -> None:
    broken = ToolError("not_found", "There is no such file.")
    with pytest.raises(ToolError, match="no such file"):
        await ask(tool, {"project-a": broken, "project-b": broken}, ROUTED[tool][0])


SYMBOL = {**PLACE, "name": "x", "kind": "class"}


@pytest.mark.parametrize(
    ("tool", "answer"),
    [
        ("document_symbols", {"path": "project-a/x.py", "symbols": [{"path": "project-b/x.py", **SYMBOL}]}),
        ("document_symbols", {"path": "project-b/x.py", "symbols": []}),
        ("find_definition", {"locations": [{"path": "project-a/../project-b/x.py", **PLACE}]}),
        ("find_definition", {"locations": [{"path": "project-b/x.py", "external": True, **PLACE}]}),
        (
            "call_hierarchy",
            {
                "direction": "incoming",
                "items": [
                    {
                        "path": "project-a/x.py",
                        **SYMBOL,
                        "id": 0,
                        "depth": 0,
                        "calls": [{"path": "project-b/x.py", **PLACE}],
                    }
                ],
            },
        ),
    ],
)
async def test_another_project_is_refused_wherever_it_stands_in_an_answer(tool: str, answer: Any) -> None:
    with pytest.raises(ToolError, match="another project") as refused:
        await ask(tool, {"project-a": {"complete": True, **answer}}, ROUTED[tool][0])
    assert refused.value.code == "bad_answer"


def pages(project: str, count: int) -> Any:
    """Return a spoke that has so many symbols, and gives as many as it is asked for."""

    async def answer(arguments: dict[str, Any], _more: Any) -> dict[str, Any]:
        start = int(arguments.get("cursor", "0"))
        end = min(count, start + arguments["limit"])
        symbols = [{"path": f"{project}/x.py", **SYMBOL, "line": line + 1} for line in range(start, end)]
        more = {"complete": False, "reason": "truncated", "message": "more", "cursor": str(end)}
        return {"symbols": symbols, **({"complete": True} if end == count else more)}

    return answer


async def test_a_cursor_continues_in_several_projects_and_returns_each_item_once() -> None:
    spokes = FakeSpokes({"a": pages("a", 7), "b": pages("b", 25), "c": pages("c", 0)})
    found, cursor, rounds = [], None, 0
    while rounds == 0 or cursor is not None:
        asked = {"query": "x", "limit": 9, **({"cursor": cursor} if cursor else {})}
        page = await ask("find_symbols", spokes, asked)
        assert len(page.symbols) <= 9
        assert page.complete == (page.cursor is None)
        found += [(one.path, one.line) for one in page.symbols]
        cursor, rounds = page.cursor, rounds + 1
    assert len(found) == len(set(found)) == 32
    assert [project for project, _ in spokes.asked].count("c") == 1


async def test_a_projects_own_cursor_continues_only_there() -> None:
    spokes = FakeSpokes({"a": pages("a", 7), "b": pages("b", 25)})
    first = await ask("find_symbols", spokes, {"query": "x", "limit": 4})
    own = {part.project: part.cursor for part in first.projects}
    rest = await ask("find_symbols", spokes, {"query": "x", "projects": ["a"], "cursor": own["a"]})
    assert [(one.path, one.line) for one in rest.symbols] == [("a/x.py", line) for line in range(3, 8)]


@pytest.mark.parametrize("more", [{"query": "y"}, {"projects": ["a"]}])
async def test_a_cursor_of_another_question_or_for_other_projects_is_refused(more: dict[str, Any]) -> None:
    spokes = FakeSpokes({"a": pages("a", 1), "b": pages("b", 25)})
    first = await ask("find_symbols", spokes, {"query": "x", "limit": 4})
    with pytest.raises(ToolError) as refused:
        await ask("find_symbols", spokes, {"query": "x", **more, "cursor": first.cursor})
    assert refused.value.code == "invalid_cursor"


async def test_a_cursor_does_not_lead_into_a_project_that_the_token_does_not_cover() -> None:
    spokes = FakeSpokes({"a": pages("a", 9), "b": pages("b", 25)})
    first = await ask("find_symbols", spokes, {"query": "x", "limit": 4})
    stranger = Call(Principal("other", frozenset({"a"}), frozenset({"read"})))
    with pytest.raises(ToolError):
        await ask("find_symbols", spokes, {"query": "x", "cursor": first.cursor}, stranger)


async def test_a_name_is_looked_up_in_each_project_and_its_symbols_are_returned() -> None:
    one = {"path": "a/x.py", **SYMBOL, "symbol": "x"}
    spokes = FakeSpokes(
        {
            "a": {"complete": True, "symbols": [one], "locations": [{"path": "a/x.py", **PLACE}]},
            "b": {"complete": False, "reason": "indexing", "message": "b loads.", "symbols": [], "locations": []},
            "c": ToolError("timed_out", "The spoke of c did not answer."),
        }
    )
    found = await ask("find_references", spokes, {"symbol": "x"})
    assert [sent for _, sent in spokes.asked] == [{"symbol": "x", "limit": 166}] * 3
    assert ([at.path for at in found.symbols], [at.path for at in found.locations]) == (["a/x.py"], ["a/x.py"])
    assert {part.project: part.reason for part in found.projects} == {"a": None, "b": "indexing", "c": "timed_out"}
    assert not found.complete
    assert found.lean()["incomplete_projects"] == {
        "b": "indexing: b loads.",
        "c": "timed_out: The spoke of c did not answer.",
    }


async def test_places_that_no_server_knows_are_in_the_answer() -> None:
    spokes = FakeSpokes(
        {
            name: {
                "complete": False,
                "reason": "not_covered",
                "message": f"{name} says why.",
                "symbols": [],
                "locations": [],
                "text_matches": [{"path": f"{name}/x.vue", **PLACE}],
                "text_matches_cut": 2,
            }
            for name in "ab"
        }
    )
    found = await ask("find_references", spokes, {"symbol": "x"})
    assert (found.reason, [at.path for at in found.text_matches]) == ("not_covered", ["a/x.vue", "b/x.vue"])
    assert list(found.lean()["text_matches"]) == ["a/x.vue", "b/x.vue"]
    assert found.lean()["text_matches_cut"] == 4


async def test_an_unknown_name_is_reported_with_the_projects_that_were_searched() -> None:
    nothing = {"complete": True, "symbols": [], "locations": []}
    found = await ask("find_references", FakeSpokes({"a": nothing, "b": nothing}), {"symbol": "x"})
    assert found.lean() == {"complete": True, "count": 0, "message": "No symbol has that name in a, b."}
    loading = {"complete": False, "reason": "indexing", "message": "b loads.", "symbols": [], "locations": []}
    found = await ask("find_references", FakeSpokes({"a": nothing, "b": loading}), {"symbol": "x"})
    assert found.lean()["message"] == "No symbol has that name in a."
    assert found.lean()["incomplete_projects"] == {"b": "indexing: b loads."}


async def test_projects_are_asked_concurrently_and_report_growing_progress() -> None:
    everyone_asked, told = anyio.Event(), list[tuple[float, str | None]]()
    waiting: list[str] = []

    def spoke(project: str) -> Any:
        async def answer(_arguments: Any, more: dict[str, Any]) -> dict[str, Any]:
            await more["report"](1.0, None, "loading")
            waiting.append(project)
            if len(waiting) == 2:
                everyone_asked.set()
            await everyone_asked.wait()
            return {"complete": True, "symbols": []}

        return answer

    async def report(progress: float, _total: float | None = None, message: str | None = None, /) -> None:
        told.append((progress, message))

    with anyio.fail_after(5):
        await ask("find_symbols", {"a": spoke("a"), "b": spoke("b")}, {"query": "x"}, Call(LOCAL, report))
    assert sorted(told) == [(1.0, "[a] loading"), (2.0, "[b] loading")]


async def test_items_that_would_make_an_answer_too_long_come_with_the_next_pages() -> None:
    def long(project: str) -> Any:
        async def answer(arguments: dict[str, Any], _more: Any) -> dict[str, Any]:
            assert "cursor" not in arguments
            many = [{"path": f"{project}/x.py", **SYMBOL, "line": n, "line_text": "x" * 1000} for n in range(1, 181)]
            return {"complete": True, "symbols": many}

        return answer

    spokes = FakeSpokes({name: long(name) for name in "abcde"})
    found, cursor, rounds = [], None, 0
    while rounds == 0 or cursor is not None:
        page = await ask("find_symbols", spokes, {"query": "x", **({"cursor": cursor} if cursor else {})})
        assert len(page.model_dump_json()) < 1_000_000
        found += [(one.path, one.line) for one in page.symbols]
        cursor, rounds = page.cursor, rounds + 1
    assert rounds == 3
    assert len(found) == len(set(found)) == 5 * 180
