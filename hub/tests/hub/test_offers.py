"""What clients are offered: the price of the definitions, the words that find them, scopes, hints, the lean profile."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from codebuddy.configuration import HubConfiguration, JournalLimits
from codebuddy.hub.app import INSTRUCTIONS, Hub
from codebuddy.hub.edits.journal import Journal
from codebuddy.tool import ALL_SCOPES, LOCAL, Principal, no_progress
from codebuddy.wire.calls import error_details
from codebuddy.wire.jsonrpc import RpcConnection
from codebuddy.wire.link import initialize
from codebuddy.wire.offers import rank
from codebuddy.wire.stdio import LineChannel

pytestmark = pytest.mark.anyio

ANYONE = Principal("tester", None, ALL_SCOPES)
LEAN = replace(ANYONE, tools="lean")
READER = Principal("reader", None, frozenset({"read"}))
DOCUMENT = Path(__file__).parents[3] / "docs/tools.md"

# `make bench-tokens` counts tokens; a token of these definitions has 4.27 characters or more (o200k).
CHARACTERS_A_TOKEN = 4.27


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    projects = {
        name: {"profile": "python", "host_path": "/srv", "listen": f"127.0.0.{number}", "has_egress": name == "open"}
        for number, name in enumerate(("closed", "open"), 1)
    }
    for name in projects:
        (tmp_path / name).mkdir()
    (tmp_path / "closed/a.txt").write_text("hello\n")
    client = {"address": "127.0.0.1", "port": 1, "published": 1}
    configuration = HubConfiguration.model_validate({"fleet": "test", "client": client, "projects": projects})
    limits = JournalLimits()
    journal = Journal(tmp_path / "journal", limits.max_bytes, limits.max_age_seconds)
    hub = Hub(configuration, journal, tmp_path)
    yield hub
    hub.engine.close()


def names(hub: Hub, principal: Principal) -> list[str]:
    return [entry["name"] for entry in hub.server.offers.tool_list(principal)]


def hints(hub: Hub, principal: Principal) -> dict[str, dict[str, bool]]:
    return {entry["name"]: entry["annotations"] for entry in hub.server.offers.tool_list(principal)}


async def called(hub: Hub, principal: Principal, tool: str, **arguments: Any) -> dict[str, Any]:
    return await hub.server.run_tool(hub.server.tools[tool], principal, no_progress, arguments)


# The price


@pytest.mark.parametrize(("principal", "tokens"), [(ANYONE, 5000), (LEAN, 1500)], ids=["all", "lean"])
def test_the_definitions_that_an_agent_sends_to_its_model_stay_within_their_price(
    hub: Hub, principal: Principal, tokens: int
) -> None:
    sent = [
        json.dumps({key: entry[key] for key in ("name", "description", "inputSchema")}, separators=(",", ":"))
        for entry in hub.server.offers.tool_list(principal)
    ]
    assert sum(map(len, sent)) / CHARACTERS_A_TOKEN <= tokens


def test_the_instructions_fit_into_what_clients_show_of_them() -> None:
    assert len(INSTRUCTIONS) < 2000  # Claude Code cuts them at 2 KB


def test_every_argument_that_is_not_explained_with_its_tool_is_explained_in_the_instructions(hub: Hub) -> None:
    plain = {"content", "new_name", "new_text", "start_line", "end_line", "direction", "position", "depth", "edit_id"}
    plain |= {"job_id", "regex", "case_sensitive", "context_lines", "pattern", "task", "stdin", "source", "edits"}
    plain |= {"update_imports"}
    unexplained = {
        argument
        for entry in hub.server.offers.tool_list(ANYONE)
        for argument, schema in entry["inputSchema"]["properties"].items()
        if "description" not in schema and argument not in plain and not re.search(rf"\b{argument}\b", INSTRUCTIONS)
    }
    assert unexplained == set()


# The words


QUERIES = [
    ("go to definition", "find_definition"),
    ("jump to where a symbol is declared", "find_definition"),
    ("find usages", "find_references"),
    ("where is this function used", "find_references"),
    ("find all references of a class", "find_references"),
    ("autocomplete", "completions"),
    ("code completion", "completions"),
    ("organize imports", "code_actions"),
    ("quick fix", "code_actions"),
    ("extract function refactoring", "code_actions"),
    ("rename function across repositories", "rename_symbol"),
    ("rename a variable", "rename_symbol"),
    ("outline of a file", "document_symbols"),
    ("list the functions in a file", "document_symbols"),
    ("who calls this function", "call_hierarchy"),
    ("find callers", "call_hierarchy"),
    ("find subclasses", "type_hierarchy"),
    ("base class of a type", "type_hierarchy"),
    ("implementations of an interface", "find_implementations"),
    ("find class by name", "find_symbols"),
    ("documentation of a function", "hover"),
    ("what type is this variable", "hover"),
    ("parameters of a function", "signature_help"),
    ("type errors", "diagnostics"),
    ("show errors and warnings", "diagnostics"),
    ("run the tests", "run_task"),
    ("build the project", "run_task"),
    ("install dependencies", "run_task"),
    ("execute a shell command", "run_command"),
    ("read the log of a background job", "job_output"),
    ("background jobs", "list_jobs"),
    ("kill a running job", "cancel_job"),
    ("undo my last change", "undo_edit"),
    ("history of changes", "list_edits"),
    ("search text in all projects", "search_text"),
    ("grep", "search_text"),
    ("find files by name", "find_files"),
    ("list files in a directory", "list_directory"),
    ("create a new file", "write_file"),
    ("replace text in a file", "edit_file"),
    ("atomic change of several files", "apply_workspace_edit"),
    ("move a file to another directory", "move_path"),
    ("remove a directory", "delete_path"),
    ("reformat code", "format_file"),
    ("add a method to a class", "insert_at_symbol"),
    ("list repositories", "list_projects"),
    ("language server is stuck", "restart_language_server"),
]


@pytest.mark.parametrize(("query", "tool"), QUERIES, ids=[query for query, _ in QUERIES])
def test_the_words_that_people_use_find_the_tool_first(hub: Hub, query: str, tool: str) -> None:
    found = [entry["name"] for entry in rank(query, hub.server.offers.tool_list(ANYONE))]
    assert found[:1] == [tool]


def test_no_word_of_a_query_is_no_match(hub: Hub) -> None:
    assert rank("zzznope", hub.server.offers.tool_list(ANYONE)) == []


# Scopes


def test_a_token_is_offered_what_it_may_call(hub: Hub) -> None:
    offered = names(hub, READER)
    assert {"read_file", "hover", "list_edits"} <= set(offered)
    assert {hub.server.tools[name].scope for name in offered} == {"read"}
    assert len(names(hub, ANYONE)) == len(hub.server.tools) - 3  # all but those that reach others
    assert "run_task" not in names(hub, replace(READER, tools="lean"))
    assert names(hub, replace(LEAN, scopes=frozenset({"run"}))) == ["run_command", "run_task", "job_output"]


def test_the_same_offer_is_the_same_list(hub: Hub) -> None:
    assert hub.server.offers.tool_list(READER) is hub.server.offers.tool_list(
        replace(READER, subject="other", expires_at=1.0)
    )


# Hints


def test_each_hint_is_the_one_that_the_guide_gives_a_reason_for(hub: Hub) -> None:
    marks = {"yes": True, "no": False, "egress": True, "": None}
    _, _, text = DOCUMENT.read_text().partition("\n## Hints\n")
    rows = [[cell.strip() for cell in line.split("|")[1:6]] for line in text.splitlines() if line.startswith("| `")]
    keys = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
    written = {
        name: {key: marks[cell] for key, cell in zip(keys, cells, strict=True) if marks[cell] is not None}
        for tools, *cells in rows
        for name in re.findall(r"\w+", tools)
    }
    assert written == hints(hub, ANYONE)


def test_only_a_token_for_a_project_with_egress_is_told_of_an_open_world(hub: Hub) -> None:
    def is_open(*projects: str) -> bool:
        return hints(hub, replace(ANYONE, projects=frozenset(projects)))["run_command"]["openWorldHint"]

    assert [is_open("closed"), is_open("open"), is_open("closed", "open")] == [False, True, True]


# The lean profile


async def test_the_lean_profile_reaches_every_tool_that_the_token_may_call(hub: Hub) -> None:
    lean = names(hub, LEAN)
    assert "hover" not in lean
    found = (await called(hub, LEAN, "find_tools", query="what type is this variable"))["structuredContent"]
    assert found["tools"][0]["name"] == "hover"
    assert found["tools"][0]["inputSchema"]["required"] == ["path"]
    reached = {*lean, *(entry["name"] for entry in found["tools"]), *found["others"]}
    assert reached >= set(names(hub, ANYONE))


async def test_find_tools_finds_nothing_that_the_token_may_not_call(hub: Hub) -> None:
    found = await called(hub, replace(READER, tools="lean"), "find_tools", query="rename run delete")
    assert "rename_symbol" not in json.dumps(found)
    for said in (found["content"][0]["text"], found["structuredContent"]["message"]):
        assert "No tool that this token may call fits" in said


async def test_a_local_connection_is_offered_the_profile_of_its_socket(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listener = await asyncio.start_unix_server(partial(hub.serve_local, replace(LOCAL, tools="lean")), path)
    reader, writer = await asyncio.open_unix_connection(path)
    connection = RpcConnection(LineChannel(reader, writer))
    running = asyncio.create_task(connection.run())
    await initialize(connection, "test")
    listed: Any = (await connection.request("tools/list", {})).result
    writer.close()
    await asyncio.wait([running])
    listener.close()
    assert [entry["name"] for entry in listed["tools"]] == names(hub, LEAN)


@pytest.mark.parametrize("way", ["call_read_only_tool", "call_tool"])
async def test_a_tool_that_is_called_by_another_answers_as_it_does_itself(hub: Hub, way: str) -> None:
    arguments = {"path": "closed", "depth": 2}
    itself = await called(hub, LEAN, "list_directory", **arguments)
    assert await called(hub, LEAN, way, name="list_directory", arguments=arguments) == itself


async def test_detail_counts_among_the_arguments_of_the_tool_that_is_called(hub: Hub) -> None:
    full = await called(hub, LEAN, "read_file", path="closed/a.txt", detail="full")
    arguments = {"path": "closed/a.txt", "detail": "full"}
    assert await called(hub, LEAN, "call_tool", name="read_file", arguments=arguments) == full


@pytest.mark.parametrize(
    ("principal", "way", "tool", "code"),
    [
        (LEAN, "call_read_only_tool", "delete_path", "invalid_arguments"),
        (LEAN, "call_tool", "nothing", "invalid_arguments"),
        (LEAN, "call_tool", "call_tool", "invalid_arguments"),
        (LEAN, "call_tool", "delete_path", "not_found"),
        (READER, "call_tool", "delete_path", "forbidden"),
    ],
)
async def test_a_call_by_another_tool_is_checked_as_any(
    hub: Hub, principal: Principal, way: str, tool: str, code: str
) -> None:
    failed = await called(hub, principal, way, name=tool, arguments={"path": "closed/nothing"})
    details = error_details(failed)
    assert details is not None
    assert details["code"] == code
    assert tool != "nothing" or "undo_edit" in details["message"]  # all that can be called, not only what is listed


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ({"read"}, None),
        ({"read", "write"}, {"destructiveHint": False, "openWorldHint": False}),
        ({"read", "write", "run"}, {"destructiveHint": True, "openWorldHint": True}),
    ],
)
def test_call_tool_has_the_hints_of_the_worst_that_the_token_may_call(
    hub: Hub, scopes: set[str], expected: dict[str, bool] | None
) -> None:
    offered = hints(hub, replace(LEAN, scopes=frozenset(scopes)))
    assert offered["call_read_only_tool"]["readOnlyHint"] is True
    whole = None if expected is None else {"readOnlyHint": False, "idempotentHint": False, **expected}
    assert offered.get("call_tool") == whole
