"""Questions about code that go to several projects at once; each project's part says for itself what it is worth."""

from __future__ import annotations

from pydantic import Field

from codebuddy.links.registry import Links
from codebuddy.schemas.code import (
    CodeResult,
    Diagnostic,
    DiagnosticsArguments,
    DiagnosticsResult,
    FindSymbolsArguments,
    FoundSymbols,
    Location,
    ReferencesArguments,
    ReferencesResult,
    SymbolLocation,
    grouped,
)
from codebuddy.text_safety import one_line
from codebuddy.tool import Call
from codebuddy.tools.combining import Combining, ProjectPart

__all__ = ["Diagnostics", "FoundIn", "Many", "References"]


class InProjects(CodeResult):
    """An answer of one or many projects."""

    projects: list[ProjectPart] = Field(description="How complete each project's part is.")

    def lacking(self) -> list[str]:
        """Give a line for each project whose part is not complete, if there are several."""
        parts = self.projects if len(self.projects) > 1 else []
        return [f"{part.project}: not complete: {one_line(part.message or '')}" for part in parts if not part.complete]


class Diagnostics(InProjects):
    """Diagnostics of one or many projects."""

    diagnostics: list[Diagnostic]

    def text(self) -> str:
        """Give the diagnostics by file, and whether that is all."""
        lines = grouped(self.diagnostics, Diagnostic.sentence)
        return "\n".join([*lines, *self.lacking(), self._summary(len(self.diagnostics), "diagnostic")])


class FoundIn(InProjects):
    """Symbols of one or many projects; of each, the best match first."""

    symbols: list[SymbolLocation]

    def text(self) -> str:
        """Give the symbols by file, and whether that is all."""
        lines = grouped(self.symbols, SymbolLocation.sentence)
        return "\n".join([*lines, *self.lacking(), self._summary(len(self.symbols), "symbol")])


class References(InProjects):
    """Where something is used; with a name in place of a place, also which symbols are meant."""

    locations: list[Location]
    symbols: list[SymbolLocation] | None = Field(default=None, description="Which symbols are meant by the name.")

    def text(self) -> str:
        """Give the symbols that are meant, if that is a question, then the places by file, and whether that is all."""
        if self.symbols == [] and not self.locations:
            lines = self._nobody() + self.lacking()
            return "\n".join([*lines] if self.complete else [*lines, self._summary(0, "location")])
        meant = [] if self.symbols is None else ["meant:", *grouped(self.symbols, SymbolLocation.sentence), "used:"]
        lines = grouped(self.locations, Location.shown_line)
        return "\n".join([*meant, *lines, *self.lacking(), self._summary(len(self.locations), "location")])

    def _nobody(self) -> list[str]:
        """Say in which projects no symbol has the name; of the others that is not known."""
        names = [part.project for part in self.projects if part.complete]
        return [f"no symbol of that name in {', '.join(names)}"] if names else []


class Many:
    """Answers what may go to several projects at once.

    Args:
        links: the links to them.
        projects: ids of all configured projects.
    """

    def __init__(self, links: Links, projects: frozenset[str]) -> None:
        self._combining = Combining(links, projects)

    async def diagnostics(self, call: Call, arguments: DiagnosticsArguments) -> Diagnostics:
        """Answer `diagnostics`."""
        answers, rest = await self._combining.ask(call, "diagnostics", arguments, DiagnosticsResult)
        return Diagnostics(diagnostics=[one for answer in answers for one in answer.diagnostics], **rest)

    async def find_symbols(self, call: Call, arguments: FindSymbolsArguments) -> FoundIn:
        """Answer `find_symbols`."""
        answers, rest = await self._combining.ask(call, "find_symbols", arguments, FoundSymbols)
        return FoundIn(symbols=[one for answer in answers for one in answer.symbols], **rest)

    async def find_references(self, call: Call, arguments: ReferencesArguments) -> References:
        """Answer `find_references`."""
        answers, rest = await self._combining.ask(call, "find_references", arguments, ReferencesResult)
        meant = None if arguments.path is not None else [one for answer in answers for one in answer.symbols or []]
        return References(locations=[one for answer in answers for one in answer.locations], symbols=meant, **rest)
