"""Arguments and answers of the code tools: what hub and spoke agree on. Importing this starts nothing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from codebuddy.tool import Arguments, Result

__all__ = [
    "Diagnostic",
    "DiagnosticsArguments",
    "DiagnosticsResult",
    "FilesChangedArguments",
    "FilesChangedResult",
    "Location",
    "LocationsResult",
    "PlaceArguments",
    "Reason",
    "Severity",
]

Reason = Literal["indexing", "server_crashed", "timed_out", "truncated", "unsupported", "server_error", "spoke_offline"]
Severity = Literal["error", "warning", "information", "hint"]

_TIMEOUT = Field(
    default=30.0, gt=0, le=600, description="Seconds to wait for an answer, loading of the language server included."
)
_CURSOR = Field(default=None, description="The cursor of the previous answer, to go on from there.")


class PlaceArguments(Arguments):
    """A place in code: a file, and in it a line and column, or a symbol, or a word on a line."""

    path: str = Field(description="Workspace path of the file, like project-a/src/utils.ts.")
    line: int | None = Field(default=None, ge=1, description="Line, counted from 1.")
    column: int | None = Field(default=None, ge=1, description="Column, counted from 1 in Unicode code points.")
    symbol: str | None = Field(
        default=None, min_length=1, description="Name of a symbol in the file, like Class/method."
    )
    text: str | None = Field(default=None, min_length=1, description="The word on that line that is meant.")
    timeout_seconds: float = _TIMEOUT
    limit: int = Field(default=500, ge=1, le=5000, description="The most locations to give.")
    cursor: str | None = _CURSOR

    @model_validator(mode="after")
    def _one_form(self) -> PlaceArguments:
        given = {name for name in ("line", "column", "symbol", "text") if getattr(self, name) is not None}
        if given not in ({"line", "column"}, {"symbol"}, {"line", "text"}):
            raise ValueError("give the place as line and column, or as symbol, or as line and text")
        return self


class DiagnosticsArguments(Arguments):
    """What to check: a file, a directory, or the whole project."""

    path: str | None = Field(
        default=None, description="Workspace path of a file or directory; left out: the whole project."
    )
    projects: list[str] | None = Field(
        default=None, description="Ids of the projects; left out: all that the token covers."
    )
    timeout_seconds: float = _TIMEOUT
    limit: int = Field(default=200, ge=1, le=5000, description="The most diagnostics to give.")
    cursor: str | None = _CURSOR


class FilesChangedArguments(Arguments):
    """Files that were written, created, moved or deleted, by whomever."""

    paths: list[str] = Field(max_length=10_000, description="Paths relative to the project's directory.")


class Location(Result):
    """A stretch of text. Columns count Unicode code points; ``end_column`` is the one after the last character."""

    path: str = Field(description="Workspace path; with external, the server's name for a file outside the project.")
    line: int
    column: int
    end_line: int
    end_column: int
    line_text: str | None = Field(default=None, description="The text of the line; left out outside the project.")
    external: bool | None = Field(
        default=None, description="True for a place outside the project, like a standard library."
    )


class Diagnostic(Location):
    """A finding of a language server or compiler."""

    severity: Severity
    message: str
    code: str | None = None
    source: str | None = None


class CodeResult(Result):
    """What every answer of a code tool says of itself."""

    complete: bool = Field(
        description="Whether this is everything. If not, an empty list does not mean that there is nothing."
    )
    reason: Reason | None = Field(default=None, description="Why it is not complete.")
    message: str | None = Field(default=None, description="The reason in a sentence.")
    cursor: str | None = Field(default=None, description="Give this back to get more.")

    def _summary(self, count: int, noun: str) -> str:
        shown = f"{count} {noun}{'' if count == 1 else 's'}"
        if self.complete:
            return f"{shown}."
        return f"{shown}; not complete ({self.reason}). {self.message or ''}".strip()


class LocationsResult(CodeResult):
    """Locations, sorted by path and place."""

    locations: list[Location]

    def text(self) -> str:
        """Give a line a location, and whether that is all."""
        lines = [f"{item.path}:{item.line}:{item.column}: {(item.line_text or '').strip()}" for item in self.locations]
        return "\n".join([*lines, self._summary(len(self.locations), "location")])


class DiagnosticsResult(CodeResult):
    """Diagnostics, sorted by path and place."""

    diagnostics: list[Diagnostic]
    checked_files: int = Field(description="How many files were checked for this answer.")

    def text(self) -> str:
        """Give a line a diagnostic, and whether that is all."""
        lines = [f"{item.path}:{item.line}:{item.column}: {item.severity}: {item.message}" for item in self.diagnostics]
        return "\n".join([*lines, self._summary(len(self.diagnostics), "diagnostic")])


class FilesChangedResult(Result):
    """The language servers were told."""

    told: int = Field(description="How many language servers were told.")
