"""The code tools of a spoke: questions that its language servers answer, and changes that they plan for the hub."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from codebuddy.agent.code.actions import list_actions, plan_action
from codebuddy.agent.code.diagnostics import diagnose
from codebuddy.agent.code.formatting import format_text, plan_format
from codebuddy.agent.code.hover import completions, hover, signature_help
from codebuddy.agent.code.moves import plan_move
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
from codebuddy.schemas.code import FilesChangedArguments, FilesChangedResult
from codebuddy.schemas.spoke_tools import SPOKE_TOOLS
from codebuddy.tool import Call, Handler, Result, Tool

_Ask = Callable[[LanguageServers, Any, Report], Awaitable[Result]]

_ASK: Final[dict[str, _Ask]] = {
    "find_definition": find_definition,
    "find_references": find_references,
    "find_implementations": find_implementations,
    "find_symbols": find_symbols,
    "document_symbols": document_symbols,
    "hover": hover,
    "completions": completions,
    "signature_help": signature_help,
    "call_hierarchy": call_hierarchy,
    "type_hierarchy": type_hierarchy,
    "diagnostics": diagnose,
    "code_actions": list_actions,
    "plan_rename": plan_rename,
    "plan_move": plan_move,
    "plan_format": plan_format,
    "format_text": format_text,
    "plan_action": plan_action,
    "plan_symbol_edit": plan_symbol_edit,
}


def code_tools(servers: LanguageServers) -> list[Tool[Any]]:
    """Make the code tools of a project; none of them changes a file."""

    def asking(ask: _Ask) -> Handler[Any]:
        async def handler(call: Call, arguments: Any) -> Result:
            return await ask(servers, arguments, reporter(call))

        return handler

    async def files_changed(_call: Call, arguments: FilesChangedArguments) -> FilesChangedResult:
        paths = [servers.tree.locate_inside(path) for path in arguments.paths]
        return FilesChangedResult(told=await servers.files_changed(paths))

    tools = [SPOKE_TOOLS[name].bind(asking(ask)) for name, ask in _ASK.items()]
    return [*tools, SPOKE_TOOLS["files_changed"].bind(files_changed)]


def reporter(call: Call) -> Report:
    """Make a function that reports messages as progress; it numbers them, since MCP wants progress that grows."""
    count = 0

    async def report(message: str) -> None:
        nonlocal count
        count += 1
        await call.progress(float(count), None, message)

    return report
