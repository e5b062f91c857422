"""Arguments and answers of the tools that list symbols."""

from __future__ import annotations

from pydantic import Field, model_validator

from codebuddy.code.models import (
    CURSOR,
    MAX_PATH_SHOWN,
    PLACE_FORMS_TOLD,
    TIMEOUT,
    CodeResult,
    Location,
    LocationsResult,
    Place,
    PlaceFields,
    TextRange,
    grouped,
)
from codebuddy.code.places import SymbolKind
from codebuddy.readable import one_line
from codebuddy.tool import Arguments

__all__ = [
    "MAX_DEPTH_SHOWN",
    "DocumentSymbolsArguments",
    "FindSymbolsArguments",
    "FoundSymbols",
    "ReferencesArguments",
    "ReferencesResult",
    "SymbolLocation",
    "SymbolsOfFile",
]

MAX_DEPTH_SHOWN = 50
"""What is deeper than this is not further in; a spoke may say any depth."""


class SymbolLocation(Location):
    """A symbol; the place is that of its name."""

    name: str
    kind: str = Field(description="What it is, like function or class; see find_symbols.")
    symbol: str | None = Field(default=None, description="Its path in the file, like Class/method.")
    container: str | None = Field(default=None, description="What it is in, as the language server puts it.")
    detail: str | None = Field(default=None, description="More of it, like its signature.")
    full_range: TextRange | None = Field(default=None, description="All of it, with its body.")

    def sentence(self) -> str:
        """Give it in a line, without its place."""
        inside = f" in {self.container}" if self.container else ""
        return one_line(f"{self.kind} {self.symbol or self.name}{inside}" + (f": {self.detail}" if self.detail else ""))


class ReferencesResult(LocationsResult):
    """Locations, and the symbols that are meant if a name was given: all that have it."""

    symbols: list[SymbolLocation] | None = Field(default=None, description="Which symbols are meant by the name.")

    def text(self) -> str:
        """Give the symbols that are meant, then the locations."""
        if self.symbols is None:
            return super().text()
        if self.complete and not self.symbols and not self.locations:
            return "no symbol of that name"
        meant = grouped(self.symbols, SymbolLocation.sentence) or ["  none"]
        return "\n".join(["meant:", *meant, "used:", super().text()])


class ReferencesArguments(PlaceFields):
    """A place in code; or a symbol's name alone, which is looked up in every file of the projects."""

    symbol: str | None = Field(
        default=None,
        min_length=1,
        description="Name of a symbol in the file, like Class/method; without a path, of any symbol of the projects.",
    )
    projects: list[str] | None = Field(
        default=None, min_length=1, description="With symbol and no path: ids of projects; left out: all."
    )
    timeout_seconds: float = TIMEOUT
    limit: int = Field(default=500, ge=1, le=5000, description="The most locations to give.")
    cursor: str | None = CURSOR

    @model_validator(mode="after")
    def _one_form(self) -> ReferencesArguments:
        by_name = self.path is None and self.given() == {"symbol"}
        if not by_name and not (self.is_place() and self.projects is None):
            raise ValueError(f"{PLACE_FORMS_TOLD}, with its path; or symbol without a path, with or without projects")
        return self

    def place(self) -> Place | None:
        """Give the place; None when a name is given in its stead."""
        if self.path is None:
            return None
        return Place(path=self.path, line=self.line, column=self.column, symbol=self.symbol, text=self.text)


class DocumentSymbolsArguments(Arguments):
    """A file whose symbols are wanted."""

    path: str = Field(description="Workspace path of the file, like project-a/src/utils.ts.")
    timeout_seconds: float = TIMEOUT
    limit: int = Field(default=500, ge=1, le=5000, description="The most symbols to give.")
    cursor: str | None = CURSOR


class FindSymbolsArguments(Arguments):
    """A name, or a part of one, that symbols of the projects have."""

    query: str = Field(
        min_length=1, max_length=500, description="A part of the name, upper or lower case; or a path, Class/method."
    )
    kinds: list[SymbolKind] | None = Field(default=None, min_length=1, description="Only symbols of these kinds.")
    projects: list[str] | None = Field(
        default=None, min_length=1, description="Ids of the projects; left out: all that the token covers."
    )
    include_external: bool = Field(default=False, description="Also symbols of libraries outside the projects.")
    timeout_seconds: float = TIMEOUT
    limit: int = Field(default=200, ge=1, le=5000, description="The most symbols to give.")
    cursor: str | None = CURSOR


class SymbolsOfFile(CodeResult):
    """The symbols of a file, each before those in it."""

    path: str
    symbols: list[SymbolLocation]

    def text(self) -> str:
        """Give a line a symbol, further in the deeper it is."""
        lines = [one_line(self.path, MAX_PATH_SHOWN)]
        for item in self.symbols:
            lines_of = item.full_range
            span = f"{lines_of.line}-{lines_of.end_line}" if lines_of else str(item.line)
            depth = min((item.symbol or "").count("/"), MAX_DEPTH_SHOWN)
            detail = f": {item.detail}" if item.detail else ""
            what = one_line(f"{item.kind} {item.name}{detail}")
            lines.append(f"  {'  ' * depth}{what}  [{item.line}:{item.column}, lines {span}]")
        return "\n".join([*lines, self._summary(len(self.symbols), "symbol")])


class FoundSymbols(CodeResult):
    """Symbols of a project, the best match first."""

    symbols: list[SymbolLocation]

    def text(self) -> str:
        """Give the symbols by file, and whether that is all."""
        return "\n".join([*grouped(self.symbols, SymbolLocation.sentence), self._summary(len(self.symbols), "symbol")])
