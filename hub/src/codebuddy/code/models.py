"""Arguments and answers of the code tools: what hub and spoke agree on. Importing this starts nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, model_validator

from codebuddy.errors import ToolError
from codebuddy.readable import one_line, paragraph
from codebuddy.tool import Arguments, Count, Result
from codebuddy.workspace.changes import FileChange

__all__ = [
    "CURSOR",
    "MAX_PATH_SHOWN",
    "PLACE_FORMS_TOLD",
    "TIMEOUT",
    "CodeResult",
    "Diagnostic",
    "DiagnosticsArguments",
    "DiagnosticsResult",
    "FilesChangedArguments",
    "FilesChangedResult",
    "Location",
    "LocationsResult",
    "NewName",
    "Place",
    "PlaceArguments",
    "PlaceFields",
    "PlannedRename",
    "Reason",
    "RenameArguments",
    "Severity",
    "TextRange",
    "grouped",
    "paths_in",
    "reason_of",
]

L = TypeVar("L", bound="Location")

Reason = Literal["indexing", "server_crashed", "timed_out", "truncated", "unsupported", "server_error", "spoke_offline"]
_REASONS: dict[str, Reason] = {"spoke_offline": "spoke_offline", "timed_out": "timed_out"}
Severity = Literal["error", "warning", "information", "hint"]

TIMEOUT = Field(
    default=30.0, gt=0, le=600, description="Seconds to wait for an answer, loading of the language server included."
)
CURSOR = Field(default=None, description="The cursor of the previous answer, to go on from there.")
_FORMS = ({"line", "column"}, {"symbol"}, {"line", "text"})
MAX_PATH_SHOWN = 4096  # characters
_MESSAGE_INDENT = 6
PLACE_FORMS_TOLD = "give the place as line and column, or as symbol, or as line and text"
_MAX_MESSAGE = 2000  # characters

# No language has a line break or another control character in a name.
NewName = Annotated[
    str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$", description="The new name.")
]


class PlaceFields(Arguments):
    """What a place in code is given by, in any of its forms."""

    path: str | None = Field(default=None, description="Workspace path of the file, like project-a/src/utils.ts.")
    line: int | None = Field(default=None, ge=1, description="Line, counted from 1.")
    column: int | None = Field(default=None, ge=1, description="Column, counted from 1 in Unicode code points.")
    symbol: str | None = Field(
        default=None, min_length=1, description="Name of a symbol in the file, like Class/method."
    )
    text: str | None = Field(default=None, min_length=1, description="The word on that line that is meant.")

    def given(self) -> set[str]:
        """Give the names of what is given of a place but for its path."""
        return {name for name in ("line", "column", "symbol", "text") if getattr(self, name) is not None}

    def is_place(self) -> bool:
        """Say whether this is a place in one of its three forms."""
        return self.path is not None and self.given() in _FORMS


class Place(PlaceFields):
    """A place in code: a file, and in it a line and column, or a symbol, or a word on a line."""

    path: str = Field(description="Workspace path of the file, like project-a/src/utils.ts.")

    @model_validator(mode="after")
    def _one_form(self) -> Place:
        if not self.is_place():
            raise ValueError(PLACE_FORMS_TOLD)
        return self


class PlaceArguments(Place):
    """A place in code, and how much of an answer is wanted."""

    timeout_seconds: float = TIMEOUT
    limit: int = Field(default=500, ge=1, le=5000, description="The most locations to give.")
    cursor: str | None = CURSOR


class RenameArguments(PlaceFields):
    """What to rename, by a place in a file or by the name of a symbol in any of some files; and its new name."""

    name: str | None = Field(
        default=None, min_length=1, description="In place of a place: the symbol's path, like Class/method, exactly."
    )
    paths: list[str] | None = Field(
        default=None, max_length=2000, description="With name: workspace paths of the files that may declare it."
    )
    new_name: NewName
    timeout_seconds: float = TIMEOUT

    @model_validator(mode="after")
    def _one_form(self) -> RenameArguments:
        by_place = self.is_place() and self.name is None and self.paths is None
        by_name = self.name is not None and self.paths is not None and self.path is None and not self.given()
        if not by_place and not by_name:
            raise ValueError(
                "give a place (path with line and column, symbol, or line and text), or name together with paths"
            )
        return self


class DiagnosticsArguments(Arguments):
    """What to check: a file, a directory, or the whole project."""

    path: str | None = Field(
        default=None, description="Workspace path of a file or directory; left out: the whole project."
    )
    projects: list[str] | None = Field(
        default=None, description="Ids of the projects; left out: all that the token covers."
    )
    timeout_seconds: float = TIMEOUT
    limit: int = Field(default=200, ge=1, le=5000, description="The most diagnostics to give.")
    cursor: str | None = CURSOR


class FilesChangedArguments(Arguments):
    """Files that were written, created, moved or deleted, by whomever."""

    paths: list[str] = Field(max_length=10_000, description="Paths relative to the project's directory.")


class TextRange(Result):
    """A stretch of text. Columns count Unicode code points; ``end_column`` is the one after the last character."""

    line: Count
    column: Count
    end_line: Count
    end_column: Count


class Location(TextRange):
    """A stretch of a file."""

    path: str = Field(description="Workspace path; with external, the server's name for a file outside the project.")
    line_text: str | None = Field(default=None, description="The text of the line; left out outside the project.")
    external: bool | None = Field(
        default=None, description="True for a place outside the project, like a standard library."
    )

    def shown_line(self) -> str:
        """Give the text of its line for a readable answer."""
        return one_line((self.line_text or "").strip())


class Diagnostic(Location):
    """A finding of a language server or compiler."""

    severity: Severity
    message: str
    code: str | None = None
    source: str | None = Field(default=None, description="Who found it: the tool, or else the language server.")

    def sentence(self) -> str:
        """Give it without its place; further lines of the message are further in than any place."""
        found_by = f" [{one_line(self.source)}]" if self.source else ""
        return f"{self.severity}: {paragraph(self.message, _MESSAGE_INDENT)}{found_by}"


def _cut(message: str) -> str:
    return message[:_MAX_MESSAGE]


class CodeResult(Result):
    """What every answer of a code tool says of itself; a spoke's answer that contradicts itself is none."""

    complete: bool = Field(
        strict=True,
        description="Whether this is everything. If not, an empty list does not mean that there is nothing.",
    )
    reason: Reason | None = Field(default=None, description="Why it is not complete.")
    message: Annotated[str, AfterValidator(_cut)] | None = Field(default=None, description="The reason in a sentence.")
    cursor: str | None = Field(default=None, description="Give this back to get more.")

    @model_validator(mode="after")
    def _agrees(self) -> CodeResult:
        if self.complete and (self.reason is not None or self.cursor is not None):
            raise ValueError("an answer that is complete has no reason and no cursor")
        return self

    def _summary(self, count: int, noun: str) -> str:
        shown = f"{count} {noun}{'' if count == 1 else 's'}"
        if self.complete:
            return f"{shown}."
        return f"{shown}; not complete ({self.reason}). {one_line(self.message or '')}".strip()


class LocationsResult(CodeResult):
    """Locations, sorted by path and place."""

    locations: list[Location]

    def text(self) -> str:
        """Give the locations by file, and whether that is all."""
        lines = grouped(self.locations, Location.shown_line)
        return "\n".join([*lines, self._summary(len(self.locations), "location")])


class DiagnosticsResult(CodeResult):
    """Diagnostics, sorted by path and place."""

    diagnostics: list[Diagnostic]
    checked_files: Count = Field(description="How many files were checked for this answer.")

    def text(self) -> str:
        """Give the diagnostics by file, and whether that is all."""
        lines = grouped(self.diagnostics, Diagnostic.sentence)
        return "\n".join([*lines, self._summary(len(self.diagnostics), "diagnostic")])


class PlannedRename(CodeResult):
    """What a rename would change; nothing was written. An answer that is not complete has no changes."""

    changes: list[FileChange] = Field(description="In the order in which they apply.")
    old_name: str | None = Field(default=None, description="The name that is replaced.")
    symbol: str | None = Field(default=None, description="The path of the renamed symbol, like Class/method.")
    declarations: list[Location] = Field(description="Where the renamed things are declared.")

    def text(self) -> str:
        """Give a line a changed path, and whether that is all."""
        return "\n".join(
            [*(one_line(change.path) for change in self.changes), self._summary(len(self.changes), "change")]
        )


def grouped(items: Iterable[L], shown: Callable[[L], str]) -> list[str]:
    """Write locations for a model to read: each file once, below it a line a place.

    Args:
        items: sorted by path.
        shown: gives what stands beside a place, as `one_line` or `paragraph` give it.
    """
    lines, path = [], None
    for item in items:
        if item.path != path:
            path = item.path
            lines.append(one_line(path, MAX_PATH_SHOWN))
        lines.append(f"  {item.line}:{item.column}  {shown(item)}".rstrip())
    return lines


def reason_of(error: ToolError) -> Reason:
    """Give why an answer lacks the part of a project that could not be asked."""
    return _REASONS.get(error.code, "server_error")


def paths_in(answer: Any) -> Iterator[str]:
    """Give every workspace path that an answer names as a place, however deep; those outside of all projects not.

    What only says that it is outside counts as inside when it looks like a workspace path.
    """
    if isinstance(answer, Location) and not (answer.external and re.match(r"/|[A-Za-z][\w.+-]*:", answer.path)):
        yield answer.path
    if type(answer) is Location:
        return
    if isinstance(answer, CodeResult) and isinstance(path := getattr(answer, "path", None), str):
        yield path
    if isinstance(answer, BaseModel):
        for _, inner in answer:
            yield from paths_in(inner)
    elif isinstance(answer, list):
        for inner in answer:
            yield from paths_in(inner)


class FilesChangedResult(Result):
    """The language servers were told."""

    told: Count = Field(description="How many language servers were told.")
