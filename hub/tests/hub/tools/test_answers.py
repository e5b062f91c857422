"""Both forms of an answer say the same, since a client shows a model only one of them; and each says all that is needed
to go on: cursors, hashes, why something is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from codebuddy.hub.tools.code import code_tools
from codebuddy.hub.tools.code_edits import action_tools, code_edit_tools, rename_tools
from codebuddy.hub.tools.projects import server_tools
from codebuddy.hub.tools.runs import job_tools, run_tools
from codebuddy.tool import LOCAL, Call
from codebuddy.wire.calls import describe_tool, run_tool
from codebuddy_testing.fake_spokes import FakeSpokes
from codebuddy_testing.tool_client import ToolClient

pytestmark = pytest.mark.anyio

SPAN = {"line": 3, "column": 5, "end_line": 3, "end_column": 9}
PLACE = {"path": "p/a.py", **SPAN, "line_text": "\tcall(x)  # why"}
SYMBOL = {**PLACE, "name": "call", "kind": "function", "symbol": "Shop/call", "detail": "(x)", "full_range": {**SPAN}}
SYMBOL["full_range"] |= {"end_line": 9}
FINDING = {**PLACE, "severity": "error", "message": "two\nlines", "code": "E7", "source": "lint"}
HERE = {"path": "p/a.py", "line": 3, "column": 5}
MORE = {"complete": False, "reason": "truncated", "message": "Shown: 1 of 9.", "cursor": "Zm9yd2FyZA"}
JOB_ID = "p:0123456789ab"
JOB = {
    "job_id": JOB_ID,
    "project": "p",
    "argv": ["make", "all"],
    "background": True,
    "started_at": "2026-01-31T12:00:00Z",
    "duration_seconds": 7.25,
    "output_bytes": 4096,
}
REPORT = {
    "counts": {"passed": 3, "failed": 1, "skipped": 0},
    "failures": [{"name": "sums up", "message": "1 != 2\n  at x", "path": "p/t.py", "line": 4}],
    "more_failures": 2,
    "diagnostics": [FINDING],
    "report_problem": "It is cut.",
}
RUN = {"project": "p", "reason": "exited", "exit_code": 1, "output": "\tone  \ntwo\n", "duration_seconds": 2.5}
ITEM = {**SYMBOL, "id": 0, "depth": 1, "parent": None, "calls": [PLACE]}


class Case(NamedTuple):
    """A tool, its arguments, what the spokes answer, and what must stand in both forms of the lean answer."""

    name: str
    arguments: dict[str, Any]
    said: dict[str, Any]
    facts: list[str]


ANSWERS: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("find_definition", HERE, {"complete": True, "locations": [PLACE]}, ["p/a.py", "3:5 call(x)  # why"]),
    ("find_definition", HERE, {"complete": True, "locations": []}, ["count"]),
    ("find_implementations", HERE, {**MORE, "locations": [PLACE]}, ["Zm9yd2FyZA", "truncated", "1 of 9"]),
    ("find_references", HERE, {**MORE, "locations": [PLACE]}, ["cursor", "truncated", "1 of 9"]),
    (
        "find_references",
        {"symbol": "zzznope"},
        {"complete": True, "locations": [], "symbols": []},
        ["No symbol", "p, q"],
    ),
    (
        "find_references",
        {"symbol": "call", "projects": ["p"]},
        {"complete": True, "locations": [PLACE], "symbols": [SYMBOL]},
        ["function Shop/call: (x)", "3:5 call(x)"],
    ),
    (
        "find_symbols",
        {"query": "c", "projects": ["p"]},
        {**MORE, "symbols": [SYMBOL]},
        ["function Shop/call", "cursor"],
    ),
    (
        "document_symbols",
        {"path": "p/a.py"},
        {**MORE, "path": "p/a.py", "symbols": [SYMBOL]},
        ["lines 3-9", "Zm9yd2FyZA", "3:5 function Shop/call"],
    ),
    ("hover", HERE, {"complete": True, "contents": "```py\ncall(x)\n```"}, ["call(x)"]),
    ("hover", HERE, {"complete": True, "contents": ""}, ["Nothing is known"]),
    (
        "completions",
        {"path": "p/a.py", "line": 3, "column": 5},
        {**MORE, "items": [{"label": "call", "kind": "method", "insert_text": "call()"}], "is_incomplete": True},
        ["call (method) → call()", "is_incomplete", "Zm9yd2FyZA"],
    ),
    (
        "signature_help",
        {"path": "p/a.py", "line": 3, "column": 5},
        {"complete": True, "signatures": [{"label": "call(x)", "parameters": [{"label": "x"}], "active_parameter": 0}]},
        ["call(x)", "active_parameter"],
    ),
    (
        "call_hierarchy",
        {**HERE, "direction": "incoming"},
        {**MORE, "direction": "incoming", "items": [ITEM]},
        ["  function Shop/call: (x) p/a.py:3:5, calls at 3:5", "Zm9yd2FyZA"],
    ),
    (
        "type_hierarchy",
        {**HERE, "direction": "subtypes"},
        {"complete": True, "direction": "subtypes", "items": [{**ITEM, "repeated": True}]},
        ["see above"],
    ),
    (
        "diagnostics",
        {"path": "p/a.py"},
        {**MORE, "diagnostics": [FINDING], "checked_files": 12},
        ["3:5 error: two", "lines [lint E7]", "12", "cursor"],
    ),
    (
        "code_actions",
        HERE,
        {"complete": True, "actions": [{"id": "a1", "title": "Fix", "server": "ty"}]},
        ["a1", "Fix"],
    ),
    (
        "rename_symbol",
        {**HERE, "new_name": "go", "preview": True},
        {
            "complete": True,
            "old_name": "call",
            "symbol": "call",
            "declarations": [],
            "changes": [{"path": "p/a.py", "edits": [{**SPAN, "new_text": "go"}]}],
        },
        ["nothing was written", "old_name", "+    go = 3", "include_text_matches", "2:10 #     to call"],
    ),
    (
        "restart_language_server",
        {"projects": ["p"]},
        {"language_servers": [{"name": "ty", "state": "indexing", "percent": 40, "reason": "It loads."}]},
        ["ty: indexing, 40 %, It loads."],
    ),
    ("run_command", {"argv": ["x"], "projects": ["p"]}, RUN, ["exit_code", "\tone  ", "two", "2.5"]),
    (
        "run_task",
        {"task": "test", "projects": ["p"]},
        {**RUN, **REPORT, "truncated": True, "job_id": JOB_ID},
        [
            "sums up",
            "p/t.py:4",
            "1 != 2",
            "more_failures",
            "It is cut.",
            "lint E7",
            JOB_ID,
            "job_output reads the rest",
        ],
    ),
    (
        "run_command",
        {"argv": ["x"], "projects": ["p"]},
        {"project": "p", "job_id": JOB_ID, "cursor": "bmV4dA", "output": "so far\n"},
        [JOB_ID, "job_output", "running", "bmV4dA", "so far"],
    ),
    (
        "run_command",
        {"argv": ["x"], "projects": ["p"]},
        {**RUN, "reason": "timeout", "message": "Too long."},
        ["Too long", "timeout"],
    ),
    ("list_jobs", {"projects": ["p"]}, {"jobs": [JOB]}, [JOB_ID, "running, 7 s, 4096 bytes", "make all"]),
    (
        "job_output",
        {"job_id": JOB_ID},
        {**JOB, "complete": False, "cursor": "bmV4dA", "output": "\tone  \n", "omitted_bytes": 77},
        ["bmV4dA", "\tone  ", "77", "running"],
    ),
    (
        "job_output",
        {"job_id": JOB_ID, "pattern": "on"},
        {
            **JOB,
            "complete": True,
            "reason": "oom",
            "matches": [{"offset": 123, "stream": "stdout", "line_text": "one"}],
        },
        ["123", "one", "oom"],
    ),
    (
        "cancel_job",
        {"job_id": JOB_ID},
        {**JOB, "reason": "cancelled", "signal": "SIGTERM"},
        ["cancelled", "SIGTERM", "4096"],
    ),
]


@pytest.fixture
def all_tools(client: ToolClient, p: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSpokes:
    """The tools of a hub, in `client`, and the spokes that they ask; each run gets the same id."""
    monkeypatch.setattr("codebuddy.hub.tools.runs.secrets.token_hex", lambda _size: JOB_ID.partition(":")[2])
    (p / "a.py").write_text("# a\n#     to call\n    call = 3\n")
    spokes, projects = FakeSpokes({}), frozenset({"p", "q"})
    client.add(
        [
            *code_tools(spokes, projects),
            *rename_tools(spokes, client.editor),
            *code_edit_tools(spokes, client.editor),
            *action_tools(spokes, client.editor),
            *run_tools(spokes, projects, 8),
            *job_tools(spokes, projects),
            *server_tools(spokes, projects),
        ]
    )
    return spokes


async def both_forms(client: ToolClient, name: str, **arguments: Any) -> tuple[str, str]:
    """Call a tool; return the text and the JSON of its answer, after a check that both say the same."""
    result = await run_tool(client.tools[name], Call(LOCAL), arguments, "its log")
    assert "isError" not in result, result
    text, structured = result["content"][0]["text"], result["structuredContent"]
    require_same(text, structured)
    return text, json.dumps(structured, ensure_ascii=False)


def require_same(text: str, structured: dict[str, Any]) -> None:
    """Check that each word of one form stands in the other, as often as there."""
    words = sorted(word for said in said_in(structured) for word in re.findall(r"\w+", said))
    assert sorted(re.findall(r"\w+", text)) == words


def said_in(value: Any) -> Iterator[str]:
    if value in ({}, []):
        yield "none"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from said_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from said_in(inner)
    else:
        yield value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize("case", [Case(*one) for one in ANSWERS], ids=lambda case: case.name)
async def test_both_forms_of_what_a_spoke_answers_say_the_same_and_enough(
    case: Case, client: ToolClient, all_tools: FakeSpokes
) -> None:
    all_tools.answers = {"p": case.said, "q": case.said}
    text, structured = await both_forms(client, case.name, **case.arguments)
    assert [fact for fact in case.facts if fact not in text] == []
    assert [fact for fact in case.facts if json.dumps(fact, ensure_ascii=False)[1:-1] not in structured] == []


@pytest.mark.parametrize("case", [Case(*one) for one in ANSWERS], ids=lambda case: case.name)
async def test_in_full_an_answer_has_every_field_in_both_forms(
    case: Case, client: ToolClient, all_tools: FakeSpokes
) -> None:
    all_tools.answers = {"p": case.said, "q": case.said}
    arguments = {**case.arguments, "detail": "full"}
    result = await run_tool(client.tools[case.name], Call(LOCAL), arguments, "its log")
    assert result["structuredContent"] == await client(case.name, **case.arguments)
    require_same(result["content"][0]["text"], result["structuredContent"])


async def test_several_projects_of_which_one_is_away_are_told_apart_in_both_forms(
    client: ToolClient, all_tools: FakeSpokes
) -> None:
    empty = {"complete": True, "diagnostics": [], "checked_files": 3}
    all_tools.answers = {"p": empty, "q": {**MORE, "diagnostics": [], "checked_files": 1}}
    for form in await both_forms(client, "diagnostics"):
        assert "Shown: 1 of 9." in form
        assert "cursor" in form
        assert "checked_files" in form


async def test_a_file_that_is_read_comes_with_its_hash_and_exactly_as_it_is(client: ToolClient, p: Path) -> None:
    content = "all:\n\tcc  \n\n path: forged\r\n\x1b[1mx\n"
    (p / "Makefile").write_bytes(content.encode())
    result = await run_tool(client.tools["read_file"], Call(LOCAL), {"path": "p/Makefile"}, "its log")
    text, structured = result["content"][0]["text"], result["structuredContent"]
    head, _, shown = text.partition("content:\n")
    assert structured["content"] == shown == content
    assert head == f"path: p/Makefile\nhash: {structured['hash']}\ntotal_lines: 5\nline_ending: mixed\n"


async def test_a_part_of_a_file_says_which_and_how_to_go_on(client: ToolClient, p: Path) -> None:
    (p / "long").write_text("".join(f"{number:099}\n" for number in range(5000)))
    for form in await both_forms(client, "read_file", path="p/long"):
        assert "start_line=2622" in form
        assert "2621" in form
    assert "end_line" in (await both_forms(client, "read_file", path="p/long", start_line=2, end_line=3))[0]
    (p / "windows").write_bytes("a\r\n".encode("utf-16"))
    for form in await both_forms(client, "read_file", path="p/windows"):
        assert "utf-16-le" in form
        assert "crlf" in form


@pytest.mark.parametrize(
    ("name", "arguments", "facts"),
    [
        ("list_directory", {"path": "p", "depth": 2}, ["d/f1"]),
        ("find_files", {"pattern": "f*"}, ["p/d/f1"]),
        ("search_text", {"pattern": "x", "context_lines": 1}, ["p/d/f1", "2:1 x", "1 before"]),
    ],
)
async def test_a_cut_list_can_be_continued_from_either_form(
    name: str, arguments: Any, facts: list[str], client: ToolClient, p: Path
) -> None:
    (p / "d").mkdir()
    for number in range(1, 9):
        (p / "d" / f"f{number}").write_text("before\nx\n")
    (p / "d" / "binary").write_bytes(b"\0")
    answer = await client(name, **arguments, limit=4)
    for form in await both_forms(client, name, **arguments, limit=4):
        assert answer["cursor"] in form
        assert "limit" in form
        assert [fact for fact in facts if fact not in form] == []
        assert ("binary_file" in form) == (name == "search_text")
    for form in await both_forms(client, name, **{**arguments, "cursor": answer["cursor"]}):
        assert "cursor" not in form


async def test_edits_say_what_the_next_call_needs(client: ToolClient, p: Path) -> None:
    written = await client("write_file", path="p/a", content="one\n")
    for form in await both_forms(client, "write_file", path="p/new", content="one\n", preview=True):
        assert "created" in form
        assert "+one" not in form, "the caller has sent it"
    edit = {"path": "p/a", "edits": [{"old_text": "one", "new_text": "two"}]}
    for form in await both_forms(client, "edit_file", **edit, preview=True):
        assert "nothing was written" in form
        assert "sha256" not in form, "no file has that content"
        assert "+two" in form
    for form in await both_forms(client, "edit_file", **edit, expected_hash=written["hash"]):
        assert re.search("sha256:[0-9a-f]{64}", form)
        assert "edit_id" in form
    for form in await both_forms(client, "write_file", path="p/a", content="two\n"):
        assert "Nothing had to change." in form
    await client("move_path", source="p/a", target="p/d/b")
    moved, written_again = await both_forms(client, "list_edits", limit=1)
    listed = await client("list_edits", limit=1)
    assert f"cursor: {listed['cursor']}" in moved
    assert "move_path by local: moved p/a -> p/d/b" not in written_again
    assert "move_path by tester: moved p/a -> p/d/b" in written_again
    for form in await both_forms(client, "undo_edit", edit_id=listed["edits"][0]["edit_id"]):
        assert listed["edits"][0]["edit_id"] in form
        assert "moved p/d/b -> p/a sha256:" in form
    for form in await both_forms(client, "create_directory", path="p/d"):
        assert "created" in form
    for form in await both_forms(client, "delete_path", path="p/d", recursive=True):
        assert "deleted p/d/" in form


async def test_the_output_of_a_call_is_shared_over_its_projects(client: ToolClient, all_tools: FakeSpokes) -> None:
    all_tools.answers = {"p": {**RUN, "project": "p"}, "q": {**RUN, "project": "q"}}
    await both_forms(client, "run_command", argv=["x"], output_limit=1001)
    assert [sent["output_limit"] for _, sent in all_tools.asked] == [500, 500]


def test_what_may_be_long_says_how_much_of_it_to_show(client: ToolClient, all_tools: FakeSpokes) -> None:
    told = {name: describe_tool(tool).get("_meta") for name, tool in client.tools.items()}
    long = {"read_file", "search_text", "run_command", "run_task", "job_output", "find_references", "diagnostics"}
    assert long <= {name for name, meta in told.items() if meta == {"anthropic/maxResultSizeChars": 100_000}}
    assert {told["cancel_job"], told["create_directory"], told["restart_language_server"]} == {None}
