"""The code tools that read: the hub's side, which routes to the spokes and combines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from codebuddy.files.paths import WorkspacePath
from codebuddy.links.fanout import ask_spoke
from codebuddy.links.registry import Links
from codebuddy.schemas.code import (
    CallHierarchyArguments,
    CaretArguments,
    CodeResult,
    CompletionArguments,
    Completions,
    DiagnosticsArguments,
    DocumentSymbolsArguments,
    FindSymbolsArguments,
    Hierarchy,
    HoverArguments,
    HoverResult,
    LocationsResult,
    PlaceArguments,
    ReferencesArguments,
    SignatureHelp,
    SymbolsOfFile,
    TypeHierarchyArguments,
    paths_in,
)
from codebuddy.tool import Call, Tool, ToolError
from codebuddy.tools.projects_code import Diagnostics, FoundIn, Many, References

__all__ = ["code_tools"]

C = TypeVar("C", bound=CodeResult)

_PLACE: Final = "Give the place as line and column, as symbol (Class/method), or as line and text (the word meant). "
_CARET: Final = "Give the place as line and column, or as line and the text before it. "

# Questions about one file: name, what it does, arguments, answer, and what of the answer is empty when there is none.
_ROUTED: Final[list[tuple[str, str, type[Any], type[Any], dict[str, Any]]]] = [
    (
        "find_definition",
        f"Find where a symbol is defined, as the project's own language server knows it. {_PLACE}",
        PlaceArguments,
        LocationsResult,
        {"locations": []},
    ),
    (
        "find_implementations",
        f"Find what implements an interface, a trait or an abstract method. {_PLACE}",
        PlaceArguments,
        LocationsResult,
        {"locations": []},
    ),
    (
        "document_symbols",
        "List the symbols of a file: kind, name, path (Class/method), and where the name and all of it is.",
        DocumentSymbolsArguments,
        SymbolsOfFile,
        {"symbols": []},
    ),
    (
        "hover",
        f"Get what is known of a symbol: its type, signature and documentation. {_PLACE}",
        HoverArguments,
        HoverResult,
        {"contents": ""},
    ),
    (
        "completions",
        f"Get how the word that ends at a place can be completed, like the members after a dot. {_CARET}",
        CompletionArguments,
        Completions,
        {"items": [], "is_incomplete": False},
    ),
    (
        "signature_help",
        f"Get the signatures of the function whose call's parentheses are around a place. {_CARET}",
        CaretArguments,
        SignatureHelp,
        {"signatures": []},
    ),
    (
        "call_hierarchy",
        f"Get who calls a function (incoming), or whom it calls (outgoing), over several steps. {_PLACE}",
        CallHierarchyArguments,
        Hierarchy,
        {"items": []},
    ),
    (
        "type_hierarchy",
        f"Get what a type derives from (supertypes), or what derives from it (subtypes), over several steps. {_PLACE}",
        TypeHierarchyArguments,
        Hierarchy,
        {"items": []},
    ),
]


def code_tools(links: Links, projects: frozenset[str]) -> list[Tool[Any]]:
    """Give the hub's code tools that read.

    Args:
        links: the links to the spokes.
        projects: ids of all configured projects.
    """
    many = Many(links, projects)
    routed = [
        Tool(name, "read", description, arguments, result, _route(links, projects, name, result, empty))
        for name, description, arguments, result, empty in _ROUTED
    ]
    return [
        *routed,
        Tool(
            "find_references",
            "read",
            f"Find every use of a symbol in its project, its declaration included. {_PLACE}Or give symbol "
            "without path: then every symbol of that name is looked up in all projects, or in those given.",
            ReferencesArguments,
            References,
            many.find_references,
        ),
        Tool(
            "find_symbols",
            "read",
            "Find symbols by a part of their name in one or many projects, as the language servers know them.",
            FindSymbolsArguments,
            FoundIn,
            many.find_symbols,
        ),
        Tool(
            "diagnostics",
            "read",
            "Errors and warnings of a file, a directory, or whole projects, for the text as it is on disk now.",
            DiagnosticsArguments,
            Diagnostics,
            many.diagnostics,
        ),
    ]


def _route(
    links: Links, projects: frozenset[str], tool: str, result: type[C], empty: dict[str, Any]
) -> Callable[[Call, Any], Awaitable[C]]:
    """Give what sends a question to the spoke of the project that its path names."""

    async def handler(call: Call, arguments: Any) -> C:
        project = WorkspacePath.parse(arguments.path).project
        call.principal.require_project(project, projects)
        sent, seconds = arguments.model_dump(exclude_unset=True), arguments.timeout_seconds
        try:
            return await ask_spoke(
                links, project, tool, sent, result, seconds=seconds, paths=paths_in, report=call.progress
            )
        except ToolError as error:
            if error.code != "spoke_offline":
                raise
            told = {"path", "direction"} & set(result.model_fields)
            asked = {name: getattr(arguments, name) for name in told}
            return result(complete=False, reason="spoke_offline", message=error.message, **empty, **asked)

    return handler
