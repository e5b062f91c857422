"""Whatever a server does, a question gets an answer in time that says what it is worth, and the next one works."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code.asking import ServerQuestion, ask_symbols
from codebuddy.agent.lsp.transport import encode
from codebuddy.agent.lsp.tree import Tree, uri_of
from codebuddy.tool import ToolError

pytestmark = pytest.mark.anyio
DEFINITION = "textDocument/definition"
BEGIN = {"notify": ["$/progress", {"token": "t", "value": {"kind": "begin", "title": "Indexing"}}]}
END = {"notify": ["$/progress", {"token": "t", "value": {"kind": "end"}}]}


def place(root: Path) -> dict[str, Any]:
    uri = uri_of(Tree("p", root).root / "shop.py")
    return {"uri": uri, "range": {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 13}}}


CRASHES = {
    "exits": [{"exit": 3}],
    "exits in the middle of a frame": [{"write": 'Content-Length: 500\r\n\r\n{"id":'}, {"exit": 0}],
    "announces a giant message": [{"write": "Content-Length: 99999999999\r\n\r\n"}],
    "sends a header without end": [{"write": "x" * 20_000}],
}


@pytest.mark.parametrize("crash", CRASHES)
async def test_a_crash_is_told_and_the_next_question_is_answered_by_a_new_process(
    crash: str, start: Any, root: Path
) -> None:
    async with start({DEFINITION: [CRASHES[crash], [{"reply": [place(root)]}]]}) as fake:
        answer = await fake.definition()
        assert (answer.complete, answer.reason, answer.locations) == (False, "server_crashed", [])
        answer = await fake.definition()
        assert (answer.complete, answer.reason) == (True, None)
        assert [one.line_text for one in answer.locations] == ["def open_shop():"]
        assert len(fake.processes()) == 2


async def test_a_new_process_is_shown_the_documents_that_the_old_one_had_open(start: Any, root: Path) -> None:
    async with start({DEFINITION: [[{"exit": 3}]]}) as fake:
        await fake.definition()
        (root / "main.py").write_text("changed meanwhile\n")
        await fake.until(lambda: len(fake.sent("textDocument/didOpen")) == 2)
        assert fake.sent("textDocument/didOpen")[1]["params"]["textDocument"]["text"] == "changed meanwhile\n"


async def test_a_document_that_a_server_dies_of_is_not_shown_to_it_for_ever(start: Any) -> None:
    on = {"textDocument/didOpen": [[{"exit": 3}], [{"exit": 3}], []]}
    async with start(on) as fake:
        assert (await fake.definition()).reason == "server_crashed"
        await fake.until(lambda: len(fake.processes()) == 3 and fake.servers.states()[0]["state"] == "ready")
        assert len(fake.sent("textDocument/didOpen")) == 2


async def test_a_server_that_cannot_even_start_is_told_at_once_and_not_waited_for(start: Any) -> None:
    async with start({"initialize": [[{"exit": 1}]]}) as fake:
        await fake.until(lambda: len(fake.processes()) >= 4)
        async with asyncio.timeout(60):
            answer = await fake.definition(timeout_seconds=300.0)
        assert (answer.complete, answer.reason) == (False, "server_crashed")
        assert "last words" in (answer.message or "")


async def test_a_missing_program_is_named(start: Any) -> None:
    async with start(command=["no-such-server"]) as fake:
        answer = await fake.definition(timeout_seconds=60.0)
        assert answer.reason == "server_crashed"
        assert "no program 'no-such-server'" in (answer.message or "")


async def test_a_cancelled_question_is_cancelled_at_the_server(start: Any) -> None:
    async with start({DEFINITION: [[]]}) as fake:
        question = asyncio.create_task(fake.definition())
        await fake.until(lambda: bool(fake.sent(DEFINITION)))
        question.cancel()
        await fake.until(lambda: bool(fake.sent("$/cancelRequest")))


async def test_a_message_that_is_no_json_costs_only_itself(start: Any, root: Path) -> None:
    noise = {"write": "Content-Length: 5\r\n\r\n{bad}"}
    async with start({DEFINITION: [[noise, {"reply": [place(root)]}]]}) as fake:
        assert (await fake.definition()).complete


async def test_while_a_server_loads_the_answer_says_that_it_is_not_complete(start: Any) -> None:
    async with start({"initialized": [[BEGIN]]}, ready="progress") as fake:
        answer = await fake.references(timeout_seconds=1.0)
        assert (answer.complete, answer.reason, answer.locations) == (False, "indexing", [])
        assert any("indexing" in report for report in fake.reports)


async def test_what_a_file_tells_by_itself_is_asked_while_the_server_loads_but_nothing_is_not_taken_for_none(
    start: Any, wire: Any
) -> None:
    symbols = {"textDocument/documentSymbol": [[{"reply": [wire.symbol("open_shop", 0, 4)]}], [{"reply": []}]]}
    async with start({"initialized": [[BEGIN]], **symbols}, ready="progress") as fake:
        server = fake.servers.server_for(fake.servers.tree.root / "shop.py")
        asked = ServerQuestion(server, asyncio.get_running_loop().time() + 10, fake.report)
        answer = await ask_symbols(asked, fake.servers.tree.root / "shop.py")
        assert (answer.reason, len(answer.result)) == (None, 1)
        asked = ServerQuestion(server, asyncio.get_running_loop().time() + 0.5, fake.report)
        answer = await ask_symbols(asked, fake.servers.tree.root / "shop.py")
        assert (answer.reason, answer.result) == ("indexing", [])


async def test_a_server_that_never_ends_loading_answers_what_it_can_and_the_answer_says_so(
    start: Any, root: Path
) -> None:
    on = {"initialized": [[BEGIN]], DEFINITION: [[{"reply": [place(root)]}]]}
    async with start(on, ready="progress", load_seconds=0.2) as fake:
        answer = await fake.definition(timeout_seconds=600.0)
        assert (answer.complete, answer.reason, len(answer.locations)) == (False, "indexing", 1)
        assert "loading has not ended" in (answer.message or "")


async def test_a_server_that_tells_by_its_log_is_waited_for(start: Any, root: Path) -> None:
    on = {
        "initialized": [[{"stderr": "reading"}]],
        "textDocument/didOpen": [[{"stderr": "all read"}]],
        DEFINITION: [[{"reply": [place(root)]}]],
    }
    async with start(on, ready="log", ready_log="^all read$") as fake:
        assert not (await fake.definition(timeout_seconds=0.5)).complete
        assert (await fake.definition()).complete


async def test_a_question_waits_for_the_end_of_loading(start: Any, root: Path) -> None:
    on = {"initialized": [[BEGIN]], "textDocument/didOpen": [[END]], DEFINITION: [[{"reply": [place(root)]}]]}
    async with start(on, ready="progress") as fake:
        answer = await fake.definition()
        assert answer.complete
        assert len(answer.locations) == 1


async def test_an_answer_given_while_loading_began_is_asked_for_again(start: Any, root: Path) -> None:
    on = {DEFINITION: [[BEGIN, {"reply": []}, END], [{"reply": [place(root)]}]]}
    async with start(on, ready="progress") as fake:
        answer = await fake.definition()
        assert answer.complete
        assert len(answer.locations) == 1


async def test_endless_progress_ends_no_wait_but_at_its_time(start: Any) -> None:
    flood = {"endless": ["$/progress", {"token": "t", "value": {"kind": "report", "percentage": 1}}]}
    async with start({"initialized": [[BEGIN, flood]]}, ready="progress") as fake:
        async with asyncio.timeout(60):
            answer = await fake.definition(timeout_seconds=2.0)
        assert not answer.complete
        assert len(fake.reports) < 10


@pytest.mark.parametrize("code", [-32801, -32802])
async def test_a_question_that_came_at_a_bad_moment_is_repeated(code: int, start: Any, root: Path) -> None:
    on = {DEFINITION: [[{"error": [code, "content modified"]}], [{"reply": [place(root)]}]]}
    async with start(on) as fake:
        assert (await fake.definition()).complete


async def test_a_question_is_not_repeated_for_ever(start: Any) -> None:
    async with start({DEFINITION: [[{"error": [-32801, "content modified"]}]]}) as fake:
        answer = await fake.definition()
        assert (answer.complete, answer.reason) == (False, "server_error")
        assert 2 <= len(fake.sent(DEFINITION)) <= 10


@pytest.mark.parametrize("reply", [5, [5], [{}], [{"uri": 1}], "x"])
async def test_a_malformed_answer_is_told_and_nothing_breaks(reply: Any, start: Any) -> None:
    async with start({DEFINITION: [[{"reply": reply}], [{"reply": []}]]}) as fake:
        assert (await fake.definition()).reason == "server_error"
        assert (await fake.definition()).complete


async def test_a_place_in_a_file_that_is_gone_is_never_given(start: Any, root: Path) -> None:
    (root / "shop.py").unlink()
    async with start({DEFINITION: [[{"reply": [place(root)]}], [{"reply": []}]]}) as fake:
        answer = await fake.definition()
        assert (answer.complete, answer.locations) == (True, [])
        changes = [one["params"]["changes"] for one in fake.sent("workspace/didChangeWatchedFiles")]
        assert [{"uri": place(root)["uri"], "type": 3}] in changes


async def test_a_server_that_asks_before_it_answers_initialize_is_answered(start: Any, root: Path) -> None:
    question = {"ask": [7, "window/showMessageRequest", {"type": 1, "message": "Trust it?", "actions": []}]}
    result = {"jsonrpc": "2.0", "id": 1, "result": {"capabilities": {"definitionProvider": True}}}
    initialized = {"write": encode(result).decode()}
    on = {"initialize": [[question]], "answer": [[initialized]], DEFINITION: [[{"reply": [place(root)]}]]}
    async with start(on) as fake:
        assert (await fake.definition()).complete
        assert fake.sent(None)[0] == {"jsonrpc": "2.0", "id": 7, "result": None}


NULLS: list[Any] = [None, {}, {"items": None}, {"items": [None, 5, {"section": None}, {"section": 5}]}]


@pytest.mark.parametrize("params", NULLS)
async def test_a_question_for_configuration_with_null_in_it_is_answered_with_a_list_without_null(
    params: Any, start: Any
) -> None:
    async with start({"initialized": [[{"ask": [7, "workspace/configuration", params]}]]}, settings={"a": 1}) as fake:
        await fake.until(lambda: bool(fake.sent(None)))
        assert fake.sent(None)[0]["result"] == ([{"a": 1}] * 4 if params and params.get("items") else [])


async def test_every_request_of_the_server_is_answered(start: Any, root: Path) -> None:
    items = [{"section": "fake.a"}, {"section": "fake.b"}, {"section": "none"}, {}]
    asked: list[list[Any]] = [
        ["c", "workspace/configuration", {"items": items}],
        [1, "client/registerCapability", {"registrations": []}],
        [2, "window/workDoneProgress/create", {"token": "t"}],
        [3, "window/showMessageRequest", {"type": 1, "message": "?", "actions": []}],
        [4, "workspace/applyEdit", {"edit": {"changes": {"file:///etc/passwd": []}}}],
        [5, "workspace/workspaceFolders", None],
        [6, "workspace/diagnostic/refresh", None],
        [7, "made/up", None],
    ]
    steps = [{"ask": one} for one in asked]
    settings = {"fake": {"a": {"x": 1}, "b": 2}}
    async with start({"initialized": [steps]}, settings=settings) as fake:
        await fake.until(lambda: len(fake.sent(None)) == len(asked))
        answers = {one["id"]: one for one in fake.sent(None)}
        assert answers["c"]["result"] == [{"x": 1}, 2, {}, settings]
        assert [answers[ident]["result"] for ident in (1, 2, 3, 6)] == [None] * 4
        assert answers[4]["result"]["applied"] is False
        assert answers[5]["result"] == [{"uri": uri_of(Tree("p", root).root), "name": "p"}]
        assert answers[7]["error"]["code"] == -32601


async def test_a_file_without_a_server_is_told_from_one_without_answers(start: Any, root: Path) -> None:
    (root / "notes.md").write_text("text\n")
    async with start() as fake:
        answer = await fake.definition(path="p/notes.md", line=1)
        assert (answer.complete, answer.reason) == (False, "unsupported")
        assert "fake (*.py)" in (answer.message or "")
        with pytest.raises(ToolError, match="no such file"):
            await fake.definition(path="p/missing.md", line=1)


async def test_a_place_that_is_not_there_is_refused_before_the_server_is_asked(start: Any) -> None:
    async with start() as fake:
        with pytest.raises(ToolError, match="no column 99") as refused:
            await fake.definition(line=1, column=99)
        assert refused.value.code == "no_such_place"
        assert fake.sent(DEFINITION) == []


async def test_many_locations_are_given_page_by_page_each_once(start: Any, root: Path) -> None:
    uri = place(root)["uri"]
    many = [
        {"uri": uri, "range": {"start": {"line": 0, "character": i}, "end": {"line": 0, "character": i}}}
        for i in range(7)
    ]
    async with start({"textDocument/references": [[{"reply": many}]]}) as fake:
        columns, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            answer = await fake.references(limit=3, cursor=cursor)
            columns += [one.column for one in answer.locations]
            cursor, pages = answer.cursor, pages + 1
            assert (answer.reason == "truncated") == (cursor is not None) == (not answer.complete)
    assert (columns, pages) == ([1, 2, 3, 4, 5, 6, 7], 3)


@pytest.mark.parametrize("cursor", ["x", "-1", "1e9", "9" * 30, "²"])
async def test_a_made_up_cursor_is_refused(cursor: str, start: Any) -> None:
    async with start() as fake:
        with pytest.raises(ToolError, match="not a cursor"):
            await fake.definition(cursor=cursor)
