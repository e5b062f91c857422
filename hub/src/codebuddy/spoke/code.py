"""The code tools of a spoke: questions that its language servers answer."""

from __future__ import annotations

from typing import Any

from codebuddy.code.asking import Report
from codebuddy.code.diagnosing import diagnose
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
from codebuddy.code.symbol_models import DocumentSymbolsArguments, ReferencesArguments, ReferencesResult, SymbolsOfFile
from codebuddy.language.servers import LanguageServers
from codebuddy.tool import Call, Tool

__all__ = ["code_tools", "reporter"]


def code_tools(servers: LanguageServers) -> list[Tool[Any]]:
    """Give the code tools of a project, and ``plan_rename`` and ``files_changed``, which only the hub calls."""

    async def definition(call: Call, arguments: PlaceArguments) -> LocationsResult:
        return await find_definition(servers, arguments, reporter(call))

    async def references(call: Call, arguments: ReferencesArguments) -> ReferencesResult:
        return await find_references(servers, arguments, reporter(call))

    async def implementations(call: Call, arguments: PlaceArguments) -> LocationsResult:
        return await find_implementations(servers, arguments, reporter(call))

    async def symbols(call: Call, arguments: DocumentSymbolsArguments) -> SymbolsOfFile:
        return await document_symbols(servers, arguments, reporter(call))

    async def diagnostics(call: Call, arguments: DiagnosticsArguments) -> DiagnosticsResult:
        return await diagnose(servers, arguments, reporter(call))

    async def rename(call: Call, arguments: RenameArguments) -> PlannedRename:
        return await plan_rename(servers, arguments, reporter(call))

    async def files_changed(call: Call, arguments: FilesChangedArguments) -> FilesChangedResult:
        paths = [servers.tree.locate_inside(path) for path in arguments.paths]
        return FilesChangedResult(told=await servers.files_changed(paths))

    return [
        Tool(
            name="find_definition",
            scope="read",
            description="Find where the thing at a place in the code is defined.",
            arguments=PlaceArguments,
            result=LocationsResult,
            handler=definition,
        ),
        Tool(
            name="find_references",
            scope="read",
            description="Find all uses of the thing at a place in the code, its declaration included.",
            arguments=ReferencesArguments,
            result=ReferencesResult,
            handler=references,
        ),
        Tool(
            name="find_implementations",
            scope="read",
            description="Find what implements the interface, trait or abstract method at a place in the code.",
            arguments=PlaceArguments,
            result=LocationsResult,
            handler=implementations,
        ),
        Tool(
            name="document_symbols",
            scope="read",
            description="List the symbols of a file.",
            arguments=DocumentSymbolsArguments,
            result=SymbolsOfFile,
            handler=symbols,
        ),
        Tool(
            name="diagnostics",
            scope="read",
            description="Get the errors and warnings of a file, a directory or the project, from its language servers.",
            arguments=DiagnosticsArguments,
            result=DiagnosticsResult,
            handler=diagnostics,
        ),
        Tool(
            name="plan_rename",
            scope="write",
            description="Get the changes that rename a symbol everywhere in the project; they are not made.",
            arguments=RenameArguments,
            result=PlannedRename,
            handler=rename,
        ),
        Tool(
            name="files_changed",
            scope="write",
            description="Tell the language servers that files were written, created or deleted.",
            arguments=FilesChangedArguments,
            result=FilesChangedResult,
            handler=files_changed,
        ),
    ]


def reporter(call: Call) -> Report:
    """Count the reports up, for MCP wants progress that grows; how far a server is stands in the message."""
    count = 0

    async def report(message: str) -> None:
        nonlocal count
        count += 1
        await call.progress(float(count), None, message)

    return report
