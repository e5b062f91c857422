"""Arguments and answers of the tools that help while code is written: hover, completions, signature help."""

from __future__ import annotations

from pydantic import Field, model_validator

from codebuddy.code.models import CURSOR, TIMEOUT, CodeResult, Place, TextRange
from codebuddy.readable import one_line, paragraph
from codebuddy.tool import Arguments, Count, Result

__all__ = [
    "CaretArguments",
    "Completion",
    "CompletionArguments",
    "Completions",
    "HoverArguments",
    "HoverResult",
    "Parameter",
    "Signature",
    "SignatureHelp",
]

_MAX_CONTENTS = 25_000  # characters; more than a spoke gives


class HoverArguments(Place):
    """A place in code that something is to be known of."""

    timeout_seconds: float = TIMEOUT


class CaretArguments(Arguments):
    """A place between two characters, where somebody would be typing."""

    path: str = Field(description="Workspace path of the file, like project-a/src/utils.ts.")
    line: int = Field(ge=1, description="Line, counted from 1.")
    column: int | None = Field(
        default=None, ge=1, description="Column of the character behind the place, counted from 1 in code points."
    )
    text: str | None = Field(default=None, min_length=1, description="The text on that line that ends at the place.")
    timeout_seconds: float = TIMEOUT

    @model_validator(mode="after")
    def _one_form(self) -> CaretArguments:
        if (self.column is None) == (self.text is None):
            raise ValueError("give the place as line and column, or as line and the text before it")
        return self


class CompletionArguments(CaretArguments):
    """A place at which something is to be completed, and how much of an answer is wanted."""

    limit: int = Field(default=50, ge=1, le=1000, description="The most completions to give.")
    cursor: str | None = CURSOR


class HoverResult(CodeResult):
    """What is known of the thing at a place."""

    contents: str = Field(description="As Markdown; empty if nothing is known.")
    range: TextRange | None = Field(default=None, description="What it is about.")

    def text(self) -> str:
        """Give the contents, and whether that is all."""
        shown = paragraph(self.contents, longest=_MAX_CONTENTS)
        return shown if self.complete and shown else f"{shown}\n{self._told()}".strip()

    def _told(self) -> str:
        if self.complete:
            return "Nothing is known of this place."
        return f"Not complete ({self.reason}). {one_line(self.message or '')}".strip()


class Completion(Result):
    """One way to go on."""

    label: str
    kind: str | None = None
    detail: str | None = None
    documentation: str | None = Field(default=None, description="As Markdown; only of the first ones on a page.")
    insert_text: str = Field(description="What to write in place of the word that ends at the place.")


class Completions(CodeResult):
    """Ways to go on, the likeliest first."""

    items: list[Completion]
    is_incomplete: bool = Field(description="Whether the server may know of more when more of the word is there.")

    def text(self) -> str:
        """Give a line a completion, and whether that is all."""
        lines = [
            one_line(f"{item.label}  ({item.kind})" + (f"  {item.detail}" if item.detail else ""))
            for item in self.items
        ]
        lines += ["More may be known when more of the word is written."] if self.is_incomplete else []
        return "\n".join([*lines, self._summary(len(self.items), "completion")])


class Parameter(Result):
    """A parameter of a signature."""

    label: str
    documentation: str | None = None


class Signature(Result):
    """One way to call something."""

    label: str
    documentation: str | None = None
    parameters: list[Parameter]
    active_parameter: Count | None = Field(default=None, description="Index of the parameter at the place.")


class SignatureHelp(CodeResult):
    """The ways to call what is being called at a place."""

    signatures: list[Signature]
    active_signature: Count | None = Field(default=None, description="Index of the one that fits so far.")

    def text(self) -> str:
        """Give a line a signature, the active one marked, and whether that is all."""
        lines = []
        for index, one in enumerate(self.signatures):
            at = one.active_parameter
            now = f"  (at {one.parameters[at].label})" if at is not None and at < len(one.parameters) else ""
            lines.append(f"{'>' if index == self.active_signature else ' '} {one_line(one.label + now)}")
        return "\n".join([*lines, self._summary(len(self.signatures), "signature")])
