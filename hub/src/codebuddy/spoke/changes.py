"""The tools of a spoke that plan changes of code, for the hub to make."""

from __future__ import annotations

from typing import Any

from codebuddy.code.action_models import CodeActions, CodeActionsArguments, PlanActionArguments, PlannedAction
from codebuddy.code.actions import list_actions, plan_action
from codebuddy.code.change_models import (
    FormattedText,
    FormatTextArguments,
    PlanFormatArguments,
    PlannedChanges,
    SymbolEditArguments,
)
from codebuddy.code.formatting import format_text, plan_format
from codebuddy.code.symbol_edits import plan_symbol_edit
from codebuddy.language.servers import LanguageServers
from codebuddy.spoke.code import reporter
from codebuddy.tool import Call, Tool

__all__ = ["change_tools"]


def change_tools(servers: LanguageServers) -> list[Tool[Any]]:
    """Give what the hub asks for before it changes code; none of it changes anything."""

    async def format_plan(call: Call, arguments: PlanFormatArguments) -> PlannedChanges:
        return await plan_format(servers, arguments, reporter(call))

    async def format_content(call: Call, arguments: FormatTextArguments) -> FormattedText:
        return await format_text(servers, arguments, reporter(call))

    async def actions(call: Call, arguments: CodeActionsArguments) -> CodeActions:
        return await list_actions(servers, arguments, reporter(call))

    async def action_plan(call: Call, arguments: PlanActionArguments) -> PlannedAction:
        return await plan_action(servers, arguments, reporter(call))

    async def symbol_edit(call: Call, arguments: SymbolEditArguments) -> PlannedChanges:
        return await plan_symbol_edit(servers, arguments, reporter(call))

    return [
        Tool(
            name="plan_format",
            scope="write",
            description="Get the changes that format a file; they are not made.",
            arguments=PlanFormatArguments,
            result=PlannedChanges,
            handler=format_plan,
            for_hub=True,
        ),
        Tool(
            name="format_text",
            scope="write",
            description="Format a text as a file of the project; nothing is written.",
            arguments=FormatTextArguments,
            result=FormattedText,
            handler=format_content,
            for_hub=True,
        ),
        Tool(
            name="code_actions",
            scope="read",
            description="List the fixes and refactorings that the language servers offer for a place.",
            arguments=CodeActionsArguments,
            result=CodeActions,
            handler=actions,
        ),
        Tool(
            name="plan_action",
            scope="write",
            description="Get the changes that a fix or refactoring makes; they are not made.",
            arguments=PlanActionArguments,
            result=PlannedAction,
            handler=action_plan,
            for_hub=True,
        ),
        Tool(
            name="plan_symbol_edit",
            scope="write",
            description="Get the change that replaces a symbol or puts code beside it; it is not made.",
            arguments=SymbolEditArguments,
            result=PlannedChanges,
            handler=symbol_edit,
            for_hub=True,
        ),
    ]
