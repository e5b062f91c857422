"""code_actions: what the language servers offer for a place, listed; and one of them, made as an edit."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import Field, model_validator

from codebuddy.editor.editor import Editor
from codebuddy.links.fanout import ask_spoke
from codebuddy.links.registry import Links
from codebuddy.schemas.code import ActionPlace, CodeAction, CodeActions, PlannedAction, Reason, paths_in
from codebuddy.schemas.edits import Diagnosed, EditResult, Extent
from codebuddy.schemas.files import EXPECTED, HASH
from codebuddy.text_safety import one_line
from codebuddy.tool import Call, Tool, ToolError
from codebuddy.tools.code_edits import CodeEdits, paths_planned, require_whole

__all__ = ["CodeActionsResult", "CodeActionsToolArguments", "action_tools"]


class CodeActionsToolArguments(Diagnosed, ActionPlace):
    """A place in code or a stretch of it; and, to make an action, its id."""

    apply: str | None = Field(
        default=None, min_length=1, max_length=100, description="The id of an action from the list for this place."
    )
    expected_hash: str | None = Field(default=None, pattern=HASH, description=EXPECTED)
    preview: bool = Field(default=False, description="With apply: only tell what would be done; nothing is written.")
    diagnostics: Extent | None = Field(
        default=None,
        description="With apply: also tell which errors and warnings the edit introduced and cured: in the edited "
        "files, or in all of their projects. Not with preview.",
    )

    @model_validator(mode="after")
    def _of_an_edit(self) -> CodeActionsToolArguments:
        if self.apply is None and (self.preview or self.diagnostics or self.expected_hash):
            raise ValueError("preview, diagnostics and expected_hash go with apply")
        return self


class CodeActionsResult(EditResult):
    """What is offered; or, with apply, the edit that was made."""

    actions: list[CodeAction] | None = Field(default=None, description="Without apply: what is offered.")
    complete: bool = Field(description="Whether this is everything that the language servers offer.")
    reason: Reason | None = Field(default=None, description="Why it is not complete.")
    message: str | None = Field(default=None, description="The reason in a sentence.")
    title: str | None = Field(default=None, description="With apply: the action.")
    notes: list[str] | None = Field(default=None, description="With apply: what else there is to say.")

    def text(self) -> str:
        """Give a line an action, or the edit."""
        if self.actions is None:
            return "\n".join([f"{one_line(self.title or '')}:", *map(one_line, self.notes or []), super().text()])
        listed = CodeActions(complete=self.complete, reason=self.reason, message=self.message, actions=self.actions)
        return listed.text()


class _Actions:
    def __init__(self, links: Links, editor: Editor) -> None:
        self._links, self._editor, self._edits = links, editor, CodeEdits(links, editor)

    async def code_actions(self, call: Call, arguments: CodeActionsToolArguments) -> CodeActionsResult:
        project = self._editor.path(call, arguments.path).project
        place = arguments.model_dump(include=set(ActionPlace.model_fields), exclude_none=True)
        if arguments.apply is None:
            found = await self._listed(call, project, place, arguments.timeout_seconds)
            return CodeActionsResult(
                files=[],
                actions=found.actions,
                complete=found.complete,
                reason=found.reason,
                message=found.message,
            )
        planned = await ask_spoke(
            self._links,
            project,
            "plan_action",
            {**place, "action": arguments.apply},
            PlannedAction,
            seconds=arguments.timeout_seconds,
            paths=paths_planned,
            report=call.progress,
        )
        require_whole(planned)
        edit = await self._edits.make(call, "code_actions", arguments, planned)
        return CodeActionsResult(**dict(edit), complete=True, title=planned.title, notes=planned.notes or None)

    async def _listed(self, call: Call, project: str, place: dict[str, Any], seconds: float) -> CodeActions:
        ask = partial(ask_spoke, self._links, project, "code_actions", place, CodeActions)
        try:
            return await ask(seconds=seconds, paths=paths_in, report=call.progress)
        except ToolError as error:
            if error.code != "spoke_offline":
                raise
            return CodeActions(complete=False, reason="spoke_offline", message=error.message, actions=[])


_DESCRIPTION = (
    "List the fixes and refactorings that the language servers offer for a place or a stretch of code; with apply, "
    "make one of them, as one edit. Give the place as line and column (with end_line and end_column for a stretch), as "
    "symbol (Class/method), or as line and text (the word meant)."
)


def action_tools(links: Links, editor: Editor) -> list[Tool[Any]]:
    """Give ``code_actions``.

    Args:
        links: the links to the spokes.
        editor: makes the edits.
    """
    handler = _Actions(links, editor).code_actions
    return [Tool("code_actions", "write", _DESCRIPTION, CodeActionsToolArguments, CodeActionsResult, handler)]
