"""The code tools of a spoke: questions that its language servers answer, and changes that they plan for the hub."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from codebuddy.agent.code.actions import list_actions, plan_action
from codebuddy.agent.code.diagnostics import diagnose
from codebuddy.agent.code.formatting import format_text, plan_format
from codebuddy.agent.code.hover import completions, hover, signature_help
from codebuddy.agent.code.navigation import (
    call_hierarchy,
    document_symbols,
    find_definition,
    find_implementations,
    find_references,
    find_symbols,
    type_hierarchy,
)
from codebuddy.agent.code.rename import plan_rename
from codebuddy.agent.code.symbol_edits import plan_symbol_edit
from codebuddy.agent.lsp.readiness import Report
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.schemas.code import (
    CallHierarchyArguments,
    CaretArguments,
    CodeActions,
    CodeActionsArguments,
    CompletionArguments,
    Completions,
    DiagnosticsArguments,
    DiagnosticsResult,
    DocumentSymbolsArguments,
    FilesChangedArguments,
    FilesChangedResult,
    FindSymbolsArguments,
    FormattedText,
    FormatTextArguments,
    FoundSymbols,
    Hierarchy,
    HoverArguments,
    HoverResult,
    LocationsResult,
    PlaceArguments,
    PlanActionArguments,
    PlanFormatArguments,
    PlannedAction,
    PlannedChanges,
    PlannedRename,
    ReferencesArguments,
    ReferencesResult,
    RenameArguments,
    SignatureHelp,
    SymbolEditArguments,
    SymbolsOfFile,
    TypeHierarchyArguments,
)
from codebuddy.tool import Call, Result, Scope, Tool


def code_tools(servers: LanguageServers) -> list[Tool[Any]]:
    """Give the code tools of a project, and those that only the hub calls; none of them changes a file."""
    told = Tool(
        name="files_changed",
        scope="write",
        description="Tell the language servers that files were written, created or deleted.",
        arguments=FilesChangedArguments,
        result=FilesChangedResult,
        handler=_files_changed(servers),
        for_hub=True,
    )
    return [
        *(
            Tool(name, scope, description, arguments, result, _handler(servers, ask), for_hub=for_hub)
            for rows, for_hub in ((_QUESTIONS, False), (_PLANS, True))
            for name, scope, description, arguments, result, ask in rows
        ),
        told,
    ]


_Ask = Callable[[LanguageServers, Any, Report], Awaitable[Result]]

_Row = tuple[str, Scope, str, type[Any], type[Result], _Ask]
"""A tool: its name, scope and description, its arguments and answer, and what answers."""

_QUESTIONS: Final[list[_Row]] = [
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
    (
        "code_actions",
        "read",
        "List the fixes and refactorings that the language servers offer for a place.",
        CodeActionsArguments,
        CodeActions,
        list_actions,
    ),
]

# What only the hub asks, before it changes code.
_PLANS: Final[list[_Row]] = [
    (
        "plan_rename",
        "write",
        "Get the changes that rename a symbol everywhere in the project; they are not made.",
        RenameArguments,
        PlannedRename,
        plan_rename,
    ),
    (
        "plan_format",
        "write",
        "Get the changes that format a file; they are not made.",
        PlanFormatArguments,
        PlannedChanges,
        plan_format,
    ),
    (
        "format_text",
        "write",
        "Format a text as a file of the project; nothing is written.",
        FormatTextArguments,
        FormattedText,
        format_text,
    ),
    (
        "plan_action",
        "write",
        "Get the changes that a fix or refactoring makes; they are not made.",
        PlanActionArguments,
        PlannedAction,
        plan_action,
    ),
    (
        "plan_symbol_edit",
        "write",
        "Get the change that replaces a symbol or puts code beside it; it is not made.",
        SymbolEditArguments,
        PlannedChanges,
        plan_symbol_edit,
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
