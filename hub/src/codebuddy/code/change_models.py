"""Arguments and answers of the tools that change code: what hub and spoke agree on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from codebuddy.code.models import CodeResult
from codebuddy.readable import one_line
from codebuddy.tool import Arguments
from codebuddy.workspace.changes import FileChange
from codebuddy.workspace.models import PATH

__all__ = ["FormatTextArguments", "FormattedText", "PlanFormatArguments", "PlannedChanges", "SymbolEditArguments"]

_TIMEOUT = Field(default=30.0, gt=0, le=600, description="Seconds to wait for the language server.")


class PlanFormatArguments(Arguments):
    """A file to format."""

    path: str = Field(description=PATH)
    timeout_seconds: float = _TIMEOUT


class FormatTextArguments(Arguments):
    """A text to format as a file; the file need not be there, nor have this text."""

    path: str = Field(description=PATH)
    content: str = Field(description="The text, with its real line breaks and without byte order mark.")
    timeout_seconds: float = _TIMEOUT


class SymbolEditArguments(Arguments):
    """A symbol, and code to put in its place or beside it."""

    path: str = Field(description=PATH)
    symbol: str = Field(min_length=1, description="Name of the symbol in the file, like Class/method.")
    line: int | None = Field(
        default=None, ge=1, description="The line of its name, where several symbols have the same name."
    )
    action: Literal["replace", "before", "after"]
    content: str = Field(description="The code.")
    timeout_seconds: float = _TIMEOUT


class PlannedChanges(CodeResult):
    """What an edit of code would change; nothing was written. An answer that is not complete has no changes."""

    changes: list[FileChange] = Field(description="In the order in which they apply; empty when all is so already.")
    server: str | None = Field(default=None, description="The language server that was asked.")

    def text(self) -> str:
        """Give a line a changed path, and whether that is all."""
        return "\n".join(
            [*(one_line(change.path) for change in self.changes), self._summary(len(self.changes), "change")]
        )


class FormattedText(CodeResult):
    """A formatted text. Without ``content`` the text stays as it is: formatted already, or not complete."""

    served: bool = Field(description="Whether any language server serves such a file.")
    content: str | None = Field(default=None, description="The new text, if it differs.")
    server: str | None = Field(default=None, description="The language server that was asked.")

    def text(self) -> str:
        """Say whether there is a new text, or why not."""
        if not self.complete:
            return f"not formatted ({self.reason}): {one_line(self.message or '')}"
        return "formatted" if self.content is not None else "nothing had to change"
