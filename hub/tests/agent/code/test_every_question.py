"""What holds for every question: nothing is only said when it is known, and nonsense becomes a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from codebuddy.tool import ToolError

pytestmark = pytest.mark.anyio


class Question(NamedTuple):
    """A question.

    Args:
        ask: the name of the method of the fixture.
        method: the first request of it.
        provider: the capability that it needs.
        listed: the field with what was found.
        more: arguments in addition to the place.
    """

    ask: str
    method: str
    provider: str
    listed: str
    more: dict[str, Any]


QUESTIONS = [
    Question("definition", "textDocument/definition", "definitionProvider", "locations", {}),
    Question("references", "textDocument/references", "referencesProvider", "locations", {}),
    Question("implementations", "textDocument/implementation", "implementationProvider", "locations", {}),
    Question("symbols", "textDocument/documentSymbol", "documentSymbolProvider", "symbols", {}),
    Question("find_symbols", "workspace/symbol", "workspaceSymbolProvider", "symbols", {"query": "x"}),
    Question("hover", "textDocument/hover", "hoverProvider", "contents", {}),
    Question("completions", "textDocument/completion", "completionProvider", "items", {}),
    Question("signature_help", "textDocument/signatureHelp", "signatureHelpProvider", "signatures", {}),
    Question("calls", "textDocument/prepareCallHierarchy", "callHierarchyProvider", "items", {}),
    Question("types", "textDocument/prepareTypeHierarchy", "typeHierarchyProvider", "items", {}),
]
each = pytest.mark.parametrize("question", QUESTIONS, ids=[one.ask for one in QUESTIONS])


async def asked(fake: Any, question: Question, **more: Any) -> Any:
    answer = await getattr(fake, question.ask)(**{**question.more, **more})
    assert answer.text()
    return answer


# But for references: with its declaration, a symbol has at least one.
@pytest.mark.parametrize("question", [one for one in QUESTIONS if one.ask != "references"], ids=lambda one: one.ask)
async def test_nothing_from_a_server_that_is_ready_is_nothing(question: Question, start: Any) -> None:
    async with start({"textDocument/definition": [[{"reply": None}]]}) as fake:
        answer = await asked(fake, question)
        assert (answer.complete, answer.reason, len(getattr(answer, question.listed))) == (True, None, 0)


@pytest.mark.parametrize("nothing", [None, []])
async def test_references_without_even_a_declaration_are_of_what_the_server_does_not_know(
    nothing: Any, start: Any
) -> None:
    async with start({"textDocument/references": [[{"reply": nothing}]]}) as fake:
        answer = await fake.references()
        assert (answer.complete, answer.reason, answer.locations) == (False, "unsupported", [])
        assert "knows no symbol at this place" in answer.message


async def test_a_named_symbol_of_which_the_server_finds_not_even_the_declaration_is_told(start: Any, wire: Any) -> None:
    declared = wire.symbol("open_shop", 0, 4)
    on = {
        "textDocument/documentSymbol": [[{"reply": [declared]}]],
        "textDocument/definition": [[{"reply": wire.place("shop.py", 0, 4, 13)}]],
    }
    async with start(on) as fake:
        answer = await fake.references(symbol="open_shop")
        assert (answer.complete, answer.reason) == (False, "unsupported")
        assert [one.name for one in answer.symbols] != []


@each
async def test_a_request_that_the_server_does_not_know_is_unsupported(question: Question, start: Any) -> None:
    async with start({question.method: [[{"error": [-32601, "method not found"]}]]}) as fake:
        answer = await asked(fake, question)
        assert (answer.complete, answer.reason) == (False, "unsupported")
        assert answer.message == f"fake does not know {question.method}."


@each
async def test_what_is_not_announced_is_unsupported_with_the_capability_as_the_reason(
    question: Question, start: Any
) -> None:
    async with start({}, {question.provider: None}) as fake:
        answer = await asked(fake, question)
        assert (answer.complete, answer.reason) == (False, "unsupported")
        assert answer.message == f"fake does not announce {question.provider}."
        assert fake.sent(question.method) == []


@each
@pytest.mark.parametrize("nonsense", [5, ["x"], [[]], "x"])
async def test_nonsense_is_told_as_such(question: Question, nonsense: Any, start: Any) -> None:
    if question.ask == "hover":
        nonsense = {"contents": nonsense} if nonsense == 5 else 5
    async with start({question.method: [[{"reply": nonsense}]]}) as fake:
        answer = await asked(fake, question)
        assert (answer.complete, answer.reason, len(getattr(answer, question.listed))) == (False, "server_error", 0)
        assert "malformed" in answer.message


@each
async def test_a_crash_is_told(question: Question, start: Any) -> None:
    async with start({question.method: [[{"exit": 3}]]}) as fake:
        assert (await asked(fake, question)).reason == "server_crashed"


@each
async def test_an_error_of_the_server_is_told(question: Question, start: Any) -> None:
    async with start({question.method: [[{"error": [-32603, "it broke"]}]]}) as fake:
        answer = await asked(fake, question)
        assert (answer.complete, answer.reason) == (False, "server_error")
        assert "it broke" in answer.message


@each
async def test_nothing_from_a_server_that_is_still_loading_is_not_nothing(question: Question, start: Any) -> None:
    begin = {"notify": ["$/progress", {"token": "t", "value": {"kind": "begin", "title": "Indexing"}}]}
    async with start({"initialized": [[begin]]}, ready="progress") as fake:
        answer = await asked(fake, question, timeout_seconds=0.7)
        assert (answer.complete, answer.reason) == (False, "indexing")
        assert any("indexing" in report for report in fake.reports)


@each
async def test_a_file_or_project_that_is_not_there_is_the_callers_mistake(question: Question, start: Any) -> None:
    async with start() as fake:
        wrong = {"projects": ["other"]} if question.ask == "find_symbols" else {"path": "p/none.py"}
        wrong |= {"line": 1, "column": 1} if question.ask == "references" else {}
        with pytest.raises(ToolError):
            await asked(fake, question, **wrong)


async def test_a_cursor_goes_on_and_each_item_comes_once(start: Any, root: Path, wire: Any) -> None:
    (root / "many.py").write_text("x\n" * 25)
    on = {"textDocument/references": [[{"reply": [wire.place("many.py", line, 0, 1) for line in range(25)]}]]}
    async with start(on) as fake:
        first = await fake.references(limit=10)
        assert (first.complete, first.reason, len(first.locations)) == (False, "truncated", 10)
        second = await fake.references(limit=100, cursor=first.cursor)
        assert (second.complete, second.cursor) == (True, None)
        assert [one.line for one in first.locations + second.locations] == list(range(1, 26))


async def test_a_cursor_for_a_text_that_changed_is_refused_and_skips_nothing(start: Any, root: Path, wire: Any) -> None:
    (root / "many.py").write_text("x\n" * 25)
    places = [wire.place("many.py", line, 0, 1) for line in range(25)]
    async with start({"textDocument/references": [[{"reply": places}], [{"reply": places[1:]}]]}) as fake:
        first = await fake.references(limit=10)
        with pytest.raises(ToolError) as refused:
            await fake.references(limit=10, cursor=first.cursor)
        assert refused.value.code == "stale_cursor"


async def test_a_cursor_survives_a_crash_of_the_server(start: Any, root: Path, wire: Any) -> None:
    (root / "many.py").write_text("x\n" * 25)
    places = [{"reply": [wire.place("many.py", line, 0, 1) for line in range(25)]}]
    async with start({"textDocument/references": [places, [{"exit": 3}], places]}) as fake:
        first = await fake.references(limit=10)
        broken = await fake.references(limit=10, cursor=first.cursor)
        assert (broken.reason, broken.cursor) == ("server_crashed", first.cursor)
        assert len((await fake.references(limit=100, cursor=broken.cursor)).locations) == 15


@pytest.mark.parametrize("cursor", ["", "x", "!!", "e30", "99999999"])
async def test_what_is_no_cursor_is_refused(cursor: str, start: Any) -> None:
    async with start() as fake:
        with pytest.raises(ToolError, match="cursor") as refused:
            await fake.references(cursor=cursor)
        assert refused.value.code == "invalid_cursor"


async def test_a_cursor_of_another_question_is_refused(start: Any, root: Path, wire: Any) -> None:
    (root / "many.py").write_text("x\n" * 25)
    on = {"textDocument/references": [[{"reply": [wire.place("many.py", line, 0, 1) for line in range(25)]}]]}
    async with start(on) as fake:
        first = await fake.references(limit=10)
        with pytest.raises(ToolError, match="other arguments"):
            await fake.references(line=1, column=1, path="p/main.py", cursor=first.cursor)


async def test_a_page_is_not_longer_than_what_is_passed_on(start: Any, root: Path, wire: Any) -> None:
    (root / "many.py").write_text(("x" * 1000 + "\n") * 1500)
    on = {"textDocument/references": [[{"reply": [wire.place("many.py", line, 0, 1) for line in range(1500)]}]]}
    async with start(on) as fake:
        answer = await fake.references(limit=5000)
        assert (answer.complete, answer.reason) == (False, "truncated")
        assert len(answer.model_dump_json()) < 300_000
        assert "of 1500" in (answer.message or "")
