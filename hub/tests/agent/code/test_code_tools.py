"""The tools take what the contract names, and say what is wrong with anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code_tools import code_tools
from codebuddy.agent.lsp.config import read_server_configs
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.tool import Call, Principal, Tool, ToolError, parse_arguments


@pytest.fixture
def tools(root: Path) -> dict[str, Tool[Any]]:
    servers = LanguageServers("p", root, [])
    return {tool.name: tool for tool in code_tools(servers)}


def test_the_tools_of_a_spoke_and_what_they_ask_of_a_token(tools: dict[str, Tool[Any]]) -> None:
    scopes = {name: tool.scope for name, tool in tools.items()}
    assert scopes == {
        "find_definition": "read",
        "find_references": "read",
        "find_implementations": "read",
        "find_symbols": "read",
        "document_symbols": "read",
        "hover": "read",
        "completions": "read",
        "signature_help": "read",
        "call_hierarchy": "read",
        "type_hierarchy": "read",
        "diagnostics": "read",
        "plan_rename": "write",
        "plan_move": "write",
        "plan_format": "write",
        "format_text": "write",
        "code_actions": "read",
        "plan_action": "write",
        "plan_symbol_edit": "write",
        "files_changed": "write",
    }


@pytest.mark.parametrize("place", [{"line": 1, "column": 2}, {"symbol": "Class/method"}, {"line": 1, "text": "word"}])
def test_a_place_has_three_forms(tools: dict[str, Tool[Any]], place: dict[str, Any]) -> None:
    parse_arguments(tools["find_definition"], {"path": "p/main.py", **place})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"path": "p/x"}, "Give the place as"),
        ({"path": "p/x", "line": 1}, "Give the place as"),
        ({"path": "p/x", "line": 1, "column": 1, "text": "x"}, "Give the place as"),
        ({"path": "p/x", "line": 0, "column": 1}, "line"),
        ({"path": "p/x", "symbol": ""}, "symbol"),
        ({"path": "p/x", "symbol": "x", "timeout_seconds": 0}, "timeout_seconds"),
        ({"path": "p/x", "symbol": "x", "where": 1}, "where is not an argument"),
        ({"text": "x"}, "Give the place as"),
        ({"symbol": "x", "line": 1}, "Give the place as"),
        ({"path": "p/x", "symbol": "x", "projects": ["p"]}, "without a path"),
    ],
)
def test_other_arguments_are_refused_in_words(tools: dict[str, Tool[Any]], arguments: Any, said: str) -> None:
    with pytest.raises(ToolError, match=said) as refused:
        parse_arguments(tools["find_references"], arguments)
    assert refused.value.code == "invalid_arguments"


@pytest.mark.anyio
async def test_a_changed_path_out_of_the_project_is_refused(tools: dict[str, Tool[Any]]) -> None:
    call = Call(Principal("hub", None, frozenset({"write"})))
    with pytest.raises(ToolError, match="leads out"):
        await tools["files_changed"].handler(call, parse_arguments(tools["files_changed"], {"paths": ["../x"]}))


GOOD = {"name": "x", "command": ["x"], "languages": {"*.py": "python"}}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "must be a list"),
        ([{}], "a mapping with a name"),
        ([{**GOOD, "command": "x --stdio"}], "'x': command must be"),
        ([{**GOOD, "languages": {}}], "'x': languages must map"),
        ([{**GOOD, "ready": "soon"}], "'x': ready must be one of immediate, progress, server_status, log"),
        ([{**GOOD, "ready": "log"}], "'x': ready: log and ready_log go together"),
        ([{**GOOD, "ready_log": "done"}], "'x': ready: log and ready_log go together"),
        ([{**GOOD, "ready": "log", "ready_log": "("}], "'x': ready_log must be a regular expression"),
        ([{**GOOD, "load_seconds": 0}], "'x': load_seconds must be a number over 0"),
        ([{**GOOD, "memory": "2g"}], "'x': memory must be a number over 0"),
        ([{**GOOD, "idle_seconds": True}], "'x': idle_seconds must be a number over 0"),
        ([{**GOOD, "settings": []}], "'x': settings must be"),
        ([{**GOOD, "environment": {"A": 1}}], "'x': environment must map"),
        ([{**GOOD, "limits": {"files": 1}}], "'x': limits must map some of searched_files, parsed_files"),
        ([{**GOOD, "limits": {"parsed_files": 1.5}}], "'x': limits must map some of searched_files, parsed_files"),
        ([{**GOOD, "colour": 1}], "'x': unknown colour; it accepts command"),
        ([GOOD, GOOD], "two servers are called 'x'"),
    ],
)
def test_a_wrong_declaration_of_a_server_is_refused_in_words(raw: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_server_configs(raw)


def test_a_servers_environment_is_laid_over_the_projects() -> None:
    (config,) = read_server_configs([{**GOOD, "environment": {"A": "server"}}], {"A": "project", "B": "project"})
    assert config.environment == {"A": "server", "B": "project"}


@pytest.mark.parametrize(
    ("path", "language"),
    [("a.py", "python"), ("src/a.py", "python"), ("gen/a.pyi", "stub"), ("a.pyi", None), ("a.txt", None)],
)
def test_patterns_match_names_or_with_a_slash_paths(path: str, language: str | None) -> None:
    (config,) = read_server_configs([{**GOOD, "languages": {"*.py": "python", "gen/*.pyi": "stub"}}])
    assert config.language_of(path) == language
