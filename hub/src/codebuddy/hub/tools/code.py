"""The code tools that read: the hub's side, which routes to the spokes and combines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from pydantic import Field, TypeAdapter

from codebuddy.files.cursors import seal, unseal
from codebuddy.files.paths import WorkspacePath
from codebuddy.hub.spokes import Links, ask_each, ask_spoke, together
from codebuddy.schemas.code import (
    CallHierarchyArguments,
    CaretArguments,
    CodeResult,
    CompletionArguments,
    Completions,
    Diagnostic,
    DiagnosticsArguments,
    DiagnosticsResult,
    DocumentSymbolsArguments,
    FindSymbolsArguments,
    FoundSymbols,
    Hierarchy,
    HoverArguments,
    HoverResult,
    Location,
    LocationsResult,
    PlaceArguments,
    Reason,
    ReferencesArguments,
    ReferencesResult,
    SignatureHelp,
    SymbolLocation,
    SymbolsOfFile,
    TypeHierarchyArguments,
    grouped,
    paths_in,
    reason_of,
)
from codebuddy.text_safety import one_line
from codebuddy.tool import Call, Result, Tool, ToolError

C = TypeVar("C", bound=CodeResult)

ANSWER_CHARACTERS = 600_000
"""The most characters in the parts of a combined answer; the first part is given in any case."""

_NOT_THE_QUESTION = {"cursor", "limit", "timeout_seconds", "projects"}
_LATER = "Given with the next pages; give the cursor back."
_WHERE: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


class ProjectPart(Result):
    """How complete one project's part of an answer is: one that is still indexing taints no other.

    ``cursor`` goes on in this project alone.
    """

    project: str
    complete: bool
    reason: Reason | None = None
    message: str | None = None
    cursor: str | None = None
    checked_files: int | None = None


class Combining:
    """Sends a question to the spokes of several projects at the same time, and joins what they answer.

    Args:
        links: the links to them.
        projects: ids of all configured projects.
    """

    def __init__(self, links: Links, projects: frozenset[str]) -> None:
        self._links, self._projects = links, projects

    async def ask(self, call: Call, tool: str, arguments: Any, result: type[C]) -> tuple[list[C], dict[str, Any]]:
        """Ask each project that is meant.

        Args:
            call: whose question it is.
            tool: the tool's name at the spokes.
            arguments: those of the tool; with projects or a path, a cursor, a limit and a time-out.
            result: the model of one project's answer.

        Returns:
            The answers, and what all combined answers have in common: `CodeResult`, and ``projects``.

        Raises:
            ToolError: ``unknown_project``, ``invalid_cursor``; of a single project, what asking it raised.
        """
        chosen = self._chosen(call, arguments)

        def question() -> tuple[str, dict[str, Any]]:
            return tool, arguments.model_dump(exclude=_NOT_THE_QUESTION)

        starts = _starts(chosen, question, arguments.cursor)
        sent = arguments.model_dump(exclude_unset=True, exclude={"projects", "cursor", "limit"})
        # Each gives its share: what one gives in vain would have to be asked for again.
        share = max(1, arguments.limit // max(1, len(starts)))
        reports = together(call.progress, starts)

        async def ask(project: str) -> C:
            cursor = {"cursor": starts[project]} if starts[project] else {}
            return await ask_spoke(
                self._links,
                project,
                tool,
                {**sent, **cursor, "limit": share},
                result,
                seconds=arguments.timeout_seconds,
                paths=paths_in,
                report=reports[project],
            )

        answers = await ask_each(starts, ask)
        for answer in answers.values():
            if isinstance(answer, ToolError) and answer.code != "spoke_offline" and len(starts) == 1:
                raise answer
        later = _postponed(answers)
        for project in later:
            parted = {"complete": False, "reason": "truncated", "message": _LATER, "cursor": starts[project] or ""}
            answers[project] = result.model_validate({**later[project], **parted})
        given = [answer for answer in answers.values() if not isinstance(answer, ToolError)]
        return given, _rest(answers, lambda left: seal(question(), left))

    def _chosen(self, call: Call, arguments: Any) -> list[str]:
        if getattr(arguments, "path", None) is None:
            return call.principal.choose(arguments.projects, self._projects)
        project = WorkspacePath.parse(arguments.path).project
        if arguments.projects is not None and arguments.projects != [project]:
            raise ToolError("invalid_arguments", "Give path or projects: the path names its project already.")
        call.principal.require_project(project, self._projects)
        return [project]


def _starts(chosen: list[str], question: Callable[[], object], cursor: str | None) -> Mapping[str, str | None]:
    """Give the projects to ask now, each with its own cursor: without one all that are meant, from their beginning."""
    if cursor is None:
        return dict.fromkeys(chosen)
    left: dict[str, str] = unseal(question(), cursor, _WHERE)
    if not left or not left.keys() <= set(chosen):
        raise ToolError("invalid_cursor", "The cursor goes on in projects that are not asked for now.")
    return left


def _postponed(answers: Mapping[str, CodeResult | ToolError]) -> dict[str, dict[str, Any]]:
    """Give the projects whose parts would make a combined answer too long, each with its answer without its items."""
    room, later = ANSWER_CHARACTERS, dict[str, dict[str, Any]]()
    if len(answers) == 1:
        return later
    for number, (project, answer) in enumerate(answers.items()):
        if isinstance(answer, ToolError):
            continue
        room -= len(answer.model_dump_json())
        if room < 0 and number > 0:
            later[project] = {
                name: [] if isinstance(value, list) else value for name, value in answer if name != "checked_files"
            } | ({"checked_files": 0} if "checked_files" in type(answer).model_fields else {})
    return later


def _rest(answers: dict[str, C | ToolError], cursor_for: Callable[[dict[str, str]], str]) -> dict[str, Any]:
    """Give what all combined answers have in common; of several reasons, that of the first project."""
    parts, left = [], {}
    for project, answer in answers.items():
        if isinstance(answer, ToolError):
            parts.append(ProjectPart(project=project, complete=False, reason=reason_of(answer), message=answer.message))
            continue
        part = ProjectPart(
            project=project,
            complete=answer.complete,
            reason=answer.reason,
            message=answer.message,
            checked_files=getattr(answer, "checked_files", None),
        )
        if answer.cursor is not None:
            left[project] = answer.cursor
            part.cursor = cursor_for({project: answer.cursor})
        parts.append(part)
    lacking = next((part for part in parts if not part.complete), None)
    return {
        "complete": lacking is None,
        "reason": lacking.reason if lacking else None,
        "message": lacking.message if lacking else None,
        "cursor": cursor_for(left) if left else None,
        "projects": parts,
    }


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


_PLACE: Final = "Give the place as line and column, as symbol (Class/method), or as line and text (the word meant). "
_CARET: Final = "Give the place as line and column, or as line and the text before it. "

# Questions about one file: name, what it does, arguments, answer, and what of the answer is empty when there is none.
_ROUTED: Final[list[tuple[str, str, type[Any], type[Any], dict[str, Any]]]] = [
    (
        "find_definition",
        f"Find where a symbol is defined, as the project's own language server knows it. {_PLACE}",
        PlaceArguments,
        LocationsResult,
        {"locations": []},
    ),
    (
        "find_implementations",
        f"Find what implements an interface, a trait or an abstract method. {_PLACE}",
        PlaceArguments,
        LocationsResult,
        {"locations": []},
    ),
    (
        "document_symbols",
        "List the symbols of a file: kind, name, path (Class/method), and where the name and all of it is.",
        DocumentSymbolsArguments,
        SymbolsOfFile,
        {"symbols": []},
    ),
    (
        "hover",
        f"Get what is known of a symbol: its type, signature and documentation. {_PLACE}",
        HoverArguments,
        HoverResult,
        {"contents": ""},
    ),
    (
        "completions",
        f"Get how the word that ends at a place can be completed, like the members after a dot. {_CARET}",
        CompletionArguments,
        Completions,
        {"items": [], "is_incomplete": False},
    ),
    (
        "signature_help",
        f"Get the signatures of the function whose call's parentheses are around a place. {_CARET}",
        CaretArguments,
        SignatureHelp,
        {"signatures": []},
    ),
    (
        "call_hierarchy",
        f"Get who calls a function (incoming), or whom it calls (outgoing), over several steps. {_PLACE}",
        CallHierarchyArguments,
        Hierarchy,
        {"items": []},
    ),
    (
        "type_hierarchy",
        f"Get what a type derives from (supertypes), or what derives from it (subtypes), over several steps. {_PLACE}",
        TypeHierarchyArguments,
        Hierarchy,
        {"items": []},
    ),
]


def code_tools(links: Links, projects: frozenset[str]) -> list[Tool[Any]]:
    """Give the hub's code tools that read.

    Args:
        links: the links to the spokes.
        projects: ids of all configured projects.
    """
    many = Many(links, projects)
    routed = [
        Tool(name, "read", description, arguments, result, _route(links, projects, name, result, empty))
        for name, description, arguments, result, empty in _ROUTED
    ]
    return [
        *routed,
        Tool(
            "find_references",
            "read",
            f"Find every use of a symbol in its project, its declaration included. {_PLACE}Or give symbol "
            "without path: then every symbol of that name is looked up in all projects, or in those given.",
            ReferencesArguments,
            References,
            many.find_references,
        ),
        Tool(
            "find_symbols",
            "read",
            "Find symbols by a part of their name in one or many projects, as the language servers know them.",
            FindSymbolsArguments,
            FoundIn,
            many.find_symbols,
        ),
        Tool(
            "diagnostics",
            "read",
            "Errors and warnings of a file, a directory, or whole projects, for the text as it is on disk now.",
            DiagnosticsArguments,
            Diagnostics,
            many.diagnostics,
        ),
    ]


def _route(
    links: Links, projects: frozenset[str], tool: str, result: type[C], empty: dict[str, Any]
) -> Callable[[Call, Any], Awaitable[C]]:
    """Give what sends a question to the spoke of the project that its path names."""

    async def handler(call: Call, arguments: Any) -> C:
        project = WorkspacePath.parse(arguments.path).project
        call.principal.require_project(project, projects)
        sent, seconds = arguments.model_dump(exclude_unset=True), arguments.timeout_seconds
        try:
            return await ask_spoke(
                links, project, tool, sent, result, seconds=seconds, paths=paths_in, report=call.progress
            )
        except ToolError as error:
            if error.code != "spoke_offline":
                raise
            told = {"path", "direction"} & set(result.model_fields)
            asked = {name: getattr(arguments, name) for name in told}
            return result(complete=False, reason="spoke_offline", message=error.message, **empty, **asked)

    return handler
