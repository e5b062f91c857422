"""Arguments and answers of code actions: what hub and spoke agree on."""

from __future__ import annotations

from pydantic import Field, model_validator

from codebuddy.code.change_models import PlannedChanges
from codebuddy.code.models import CodeResult, PlaceFields
from codebuddy.readable import one_line
from codebuddy.tool import Result

__all__ = ["ActionPlace", "CodeAction", "CodeActions", "CodeActionsArguments", "PlanActionArguments", "PlannedAction"]


class ActionPlace(PlaceFields):
    """A place in code, or a stretch of it."""

    path: str = Field(description="Workspace path of the file, like project-a/src/utils.ts.")
    end_line: int | None = Field(
        default=None, ge=1, description="With line and column: where the stretch ends; left out: it is empty."
    )
    end_column: int | None = Field(default=None, ge=1, description="The column after its last character.")
    kinds: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Only actions of these kinds, like quickfix, refactor.extract or source.organizeImports.",
    )
    timeout_seconds: float = Field(
        default=30.0, gt=0, le=600, description="Seconds to wait for the language servers, their loading included."
    )

    @model_validator(mode="after")
    def _one_form(self) -> ActionPlace:
        ends = (self.end_line is None, self.end_column is None)
        if not self.is_place() or ends not in ((True, True), (False, False)):
            raise ValueError(
                "give line and column, with or without end_line and end_column; or symbol; or line and text"
            )
        if self.end_line is not None and self.column is None:
            raise ValueError("end_line and end_column go with line and column")
        if (self.end_line or 0, self.end_column or 0) < (self.line or 0, self.column or 0) and not all(ends):
            raise ValueError("the stretch ends before it begins")
        return self


class CodeActionsArguments(ActionPlace):
    """Where actions are wanted."""


class PlanActionArguments(ActionPlace):
    """Where an action was offered, and which one."""

    action: str = Field(min_length=1, max_length=100, description="Its id.")


class CodeAction(Result):
    """Something that a language server offers to do."""

    id: str = Field(description="For apply; good as long as the text stays as it is.")
    title: str
    kind: str | None = Field(default=None, description="Like quickfix or refactor.extract.")
    server: str = Field(description="The language server that offers it.")
    preferred: bool | None = Field(default=None, description="True: the server thinks that it is the right one.")
    disabled: str | None = Field(default=None, description="Why it cannot be applied here.")
    fixes: list[str] | None = Field(default=None, description="The diagnostics that it removes.")

    def line(self) -> str:
        """Give it as a readable line."""
        notes = [self.kind or "", self.server, "preferred" if self.preferred else ""]
        notes += [f"disabled: {self.disabled}"] if self.disabled else []
        return one_line(f"{self.id}  {self.title} ({', '.join(note for note in notes if note)})")


class CodeActions(CodeResult):
    """What the language servers of a file offer for a place."""

    actions: list[CodeAction]

    def text(self) -> str:
        """Give a line an action, and whether that is all."""
        return "\n".join([*(one.line() for one in self.actions), self._summary(len(self.actions), "action")])


class PlannedAction(PlannedChanges):
    """What an action would change."""

    title: str | None = None
    notes: list[str] = Field(default_factory=list, description="What else there is to say of it.")
