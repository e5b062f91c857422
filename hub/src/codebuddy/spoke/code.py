"""The code tools of a spoke: questions that its language servers answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from codebuddy.code.asking import Report
from codebuddy.code.completing import completions
from codebuddy.code.diagnosing import diagnose
from codebuddy.code.hierarchies import call_hierarchy, type_hierarchy
from codebuddy.code.hierarchy_models import CallHierarchyArguments, Hierarchy, TypeHierarchyArguments
from codebuddy.code.hint_models import (
    CaretArguments,
    CompletionArguments,
    Completions,
    HoverArguments,
    HoverResult,
    SignatureHelp,
)
from codebuddy.code.hinting import hover, signature_help
from codebuddy.code.locating import find_definition, find_implementations, find_references
from codebuddy.code.models import (
    DiagnosticsArguments,
    DiagnosticsResult,
    FilesChangedArguments,
    FilesChangedResult,
    LocationsResult,
    PlaceArguments,
    PlannedRename,
    RenameArguments,
)
from codebuddy.code.outlining import document_symbols
from codebuddy.code.renaming import plan_rename
from codebuddy.code.searching import find_symbols
from codebuddy.code.symbol_models import (
    DocumentSymbolsArguments,
    FindSymbolsArguments,
    FoundSymbols,
    ReferencesArguments,
    ReferencesResult,
    SymbolsOfFile,
)
from codebuddy.language.servers import LanguageServers
from codebuddy.tool import Call, Result, Scope, Tool

__all__ = ["code_tools", "reporter"]


def code_tools(servers: LanguageServers) -> list[Tool[Any]]:
    """Give the code tools of a project, and ``plan_rename`` and ``files_changed``, which only the hub calls."""
    return [
        *(
            Tool(name, scope, description, arguments, result, _handler(servers, ask))
            for name, scope, description, arguments, result, ask in _QUESTIONS
        ),
        Tool(
            name="plan_rename",
            scope="write",
            description="Get the changes that rename a symbol everywhere in the project; they are not made.",
            arguments=RenameArguments,
            result=PlannedRename,
            handler=_handler(servers, plan_rename),
            for_hub=True,
        ),
        Tool(
            name="files_changed",
            scope="write",
            description="Tell the language servers that files were written, created or deleted.",
            arguments=FilesChangedArguments,
            result=FilesChangedResult,
            handler=_files_changed(servers),
            for_hub=True,
        ),
    ]


_Ask = Callable[[LanguageServers, Any, Report], Awaitable[Result]]

_QUESTIONS: Final[list[tuple[str, Scope, str, type[Any], type[Result], _Ask]]] = [
    (
        "find_definition",
        "read",
        "Find where the thing at a place in the code is defined.",
        PlaceArguments,
        LocationsResult,
        find_definition,
    ),
    (
        "find_references",
        "read",
        "Find all uses of the thing at a place in the code, or of all symbols of a name, declarations included.",
        ReferencesArguments,
        ReferencesResult,
        find_references,
    ),
    (
        "find_implementations",
        "read",
        "Find what implements the interface, trait or abstract method at a place in the code.",
        PlaceArguments,
        LocationsResult,
        find_implementations,
    ),
    (
        "find_symbols",
        "read",
        "Find the symbols of the project by a part of their name.",
        FindSymbolsArguments,
        FoundSymbols,
        find_symbols,
    ),
    (
        "document_symbols",
        "read",
        "List the symbols of a file, with where their names and all of them are.",
        DocumentSymbolsArguments,
        SymbolsOfFile,
        document_symbols,
    ),
    ("hover", "read", "Get type and documentation of the thing at a place.", HoverArguments, HoverResult, hover),
    ("completions", "read", "Get how a word can be completed.", CompletionArguments, Completions, completions),
    (
        "signature_help",
        "read",
        "Get the signatures of what is being called at a place, between its parentheses.",
        CaretArguments,
        SignatureHelp,
        signature_help,
    ),
    (
        "call_hierarchy",
        "read",
        "Get who calls a function, or whom it calls.",
        CallHierarchyArguments,
        Hierarchy,
        call_hierarchy,
    ),
    (
        "type_hierarchy",
        "read",
        "Get what a type derives from, or what derives from it.",
        TypeHierarchyArguments,
        Hierarchy,
        type_hierarchy,
    ),
    (
        "diagnostics",
        "read",
        "Get the errors and warnings of a file, a directory or the project, from its language servers.",
        DiagnosticsArguments,
        DiagnosticsResult,
        diagnose,
    ),
]


def _handler(servers: LanguageServers, ask: _Ask) -> Callable[[Call, Any], Awaitable[Result]]:
    async def handler(call: Call, given: Any) -> Result:
        return await ask(servers, given, reporter(call))

    return handler


def _files_changed(servers: LanguageServers) -> Callable[[Call, Any], Awaitable[Result]]:
    async def handler(call: Call, arguments: FilesChangedArguments) -> FilesChangedResult:
        paths = [servers.tree.locate_inside(path) for path in arguments.paths]
        return FilesChangedResult(told=await servers.files_changed(paths))

    return handler


def reporter(call: Call) -> Report:
    """Count the reports up, for MCP wants progress that grows; how far a server is stands in the message."""
    count = 0

    async def report(message: str) -> None:
        nonlocal count
        count += 1
        await call.progress(float(count), None, message)

    return report
