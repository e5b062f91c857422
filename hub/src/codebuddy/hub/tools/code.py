"""The hub's code tools that read: they ask one project's spoke, or several and combine the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar, cast

from pydantic import Field, TypeAdapter

from codebuddy.files.cursors import question_of, seal, unseal
from codebuddy.files.paths import WorkspacePath
from codebuddy.hub.spokes import Links, ask_project, ask_projects, raise_only_refusal
from codebuddy.schemas.code import (
    CodeResult,
    Diagnostics,
    DiagnosticsArguments,
    DiagnosticsResult,
    FindSymbolsArguments,
    FoundSymbols,
    Reason,
    ReferencesArguments,
    ReferencesResult,
    paths_in,
    reason_of,
)
from codebuddy.schemas.spoke_tools import SPOKE_TOOLS
from codebuddy.tool import Call, Handler, Result, Tool, ToolError

C = TypeVar("C", bound=CodeResult)

ANSWER_CHARACTERS: Final = 600_000
"""Length of a combined answer at most; the first project's part is included in any case."""

_LATER: Final = "This project's items come with the next page; pass the cursor back."
_WHERE: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])

# Tools that ask about one file, and the fields of an empty answer, for a spoke that is offline.
_ROUTED: Final[dict[str, dict[str, Any]]] = {
    "find_definition": {"locations": []},
    "find_implementations": {"locations": []},
    "document_symbols": {"symbols": []},
    "hover": {"contents": ""},
    "completions": {"items": [], "is_incomplete": False},
    "signature_help": {"signatures": []},
    "call_hierarchy": {"items": []},
    "type_hierarchy": {"items": []},
}


class ProjectPart(Result):
    """How complete one project's part of an answer is; a project that is still indexing does not affect the others.

    ``cursor`` continues in this project alone.
    """

    project: str
    complete: bool
    reason: Reason | None = None
    message: str | None = None
    cursor: str | None = None
    checked_files: int | None = None


class InProjects(CodeResult):
    """An answer of one or many projects."""

    projects: list[ProjectPart] = Field(description="How complete each project's part is.")

    def lean(self) -> dict[str, Any]:
        answer = super().lean()
        if len(self.projects) == 1 or self.complete:
            return answer
        answer.pop("message", None)  # the first project's
        parts = {one.project: f"{one.reason}: {one.message or ''}" for one in self.projects if not one.complete}
        return {"complete": False, "incomplete_projects": parts, **answer}


class DiagnosticsInProjects(InProjects, Diagnostics):
    """Diagnostics of one or many projects."""

    def lean(self) -> dict[str, Any]:
        checked = sum(part.checked_files or 0 for part in self.projects)
        return {"complete": self.complete, "checked_files": checked, **super().lean()}


class SymbolsInProjects(InProjects, FoundSymbols):
    """Symbols of one or many projects; of each, the best match first."""


class ReferencesInProjects(InProjects, ReferencesResult):
    """Where a symbol is used; if a name was asked for, also all symbols that have it."""

    def lean(self) -> dict[str, Any]:
        answer = super().lean()
        complete = [part.project for part in self.projects if part.complete]
        if self.symbols == [] and complete:
            answer["message"] = f"No symbol has that name in {', '.join(complete)}."
        return answer


class _CodeTools:
    def __init__(self, links: Links, projects: frozenset[str]) -> None:
        self._links, self._projects = links, projects

    def routed(self, name: str) -> Tool[Any]:
        """Make a tool that asks the spoke of the project that its path names."""
        spec = SPOKE_TOOLS[name]
        result = cast("type[CodeResult]", spec.result)
        repeated = {"path", "direction"} & set(result.model_fields)

        async def handler(call: Call, arguments: Any) -> CodeResult:
            project = self._project_of(call, arguments.path)
            sent, seconds = arguments.model_dump(exclude_unset=True), arguments.timeout_seconds
            empty = {**_ROUTED[name], **{field: getattr(arguments, field) for field in repeated}}
            return await ask_project(self._links, call, project, name, sent, result=result, seconds=seconds, **empty)

        return spec.bind(handler)

    async def diagnostics(self, call: Call, arguments: DiagnosticsArguments) -> DiagnosticsInProjects:
        answers, combined = await self._ask(call, "diagnostics", arguments, DiagnosticsResult)
        return DiagnosticsInProjects(diagnostics=[one for answer in answers for one in answer.diagnostics], **combined)

    async def find_symbols(self, call: Call, arguments: FindSymbolsArguments) -> SymbolsInProjects:
        answers, combined = await self._ask(call, "find_symbols", arguments, FoundSymbols)
        return SymbolsInProjects(symbols=[one for answer in answers for one in answer.symbols], **combined)

    async def find_references(self, call: Call, arguments: ReferencesArguments) -> ReferencesInProjects:
        answers, combined = await self._ask(call, "find_references", arguments, ReferencesResult)
        meant = None if arguments.path is not None else [one for answer in answers for one in answer.symbols or []]
        locations = [one for answer in answers for one in answer.locations]
        matches = [one for answer in answers for one in answer.text_matches or []]
        cut = sum(answer.text_matches_cut or 0 for answer in answers) or None
        return ReferencesInProjects(
            locations=locations, symbols=meant, text_matches=matches or None, text_matches_cut=cut, **combined
        )

    async def _ask(self, call: Call, tool: str, arguments: Any, result: type[C]) -> tuple[list[C], dict[str, Any]]:
        """Ask the projects that a call is about.

        Returns:
            The answers, and the fields that all combined answers have: those of `InProjects`.

        Raises:
            ToolError: ``unknown_project``, ``invalid_cursor``; for a single project, what asking it raised.
        """
        chosen = self._chosen(call, arguments)
        question = partial(question_of, tool, arguments, "projects")
        starts = _starts(chosen, question, arguments.cursor)
        common = arguments.model_dump(exclude_unset=True, exclude={"projects", "cursor", "limit"})
        # Each project sends its share of the limit: what does not fit would have to be asked for again.
        common["limit"] = max(1, arguments.limit // max(1, len(starts)))
        sent = {project: {**common, **({"cursor": at} if at else {})} for project, at in starts.items()}
        seconds = arguments.timeout_seconds
        answers = await ask_projects(self._links, call, tool, sent, result, seconds=seconds, paths=paths_in)
        raise_only_refusal(answers)
        for project, without_items in _postponed(answers).items():
            later = {"complete": False, "reason": "truncated", "message": _LATER, "cursor": starts[project] or ""}
            answers[project] = result.model_validate({**without_items, **later})
        given = [answer for answer in answers.values() if not isinstance(answer, ToolError)]
        return given, _combined(answers, lambda left: seal(question(), left))

    def _chosen(self, call: Call, arguments: Any) -> list[str]:
        if getattr(arguments, "path", None) is None:
            return call.principal.choose(arguments.projects, self._projects)
        project = WorkspacePath.parse(arguments.path).project
        if arguments.projects is not None and arguments.projects != [project]:
            raise ToolError("invalid_arguments", "Give path or projects: the path names its project already.")
        return [self._project_of(call, arguments.path)]

    def _project_of(self, call: Call, path: str) -> str:
        project = WorkspacePath.parse(path).project
        call.principal.require_project(project, self._projects)
        return project


def _starts(chosen: list[str], question: Callable[[], object], cursor: str | None) -> Mapping[str, str | None]:
    """Return the projects to ask now, each with its own cursor; without a cursor, all chosen ones from their start."""
    if cursor is None:
        return dict.fromkeys(chosen)
    left: dict[str, str] = unseal(question(), cursor, _WHERE)
    if not left or not left.keys() <= set(chosen):
        raise ToolError("invalid_cursor", "The cursor belongs to projects that are not asked for now.")
    return left


def _postponed(answers: Mapping[str, CodeResult | ToolError]) -> dict[str, dict[str, Any]]:
    """Return the projects whose parts would make a combined answer too long, each with its answer without its items."""
    room, later = ANSWER_CHARACTERS, dict[str, dict[str, Any]]()
    if len(answers) == 1:
        return later
    for number, (project, answer) in enumerate(answers.items()):
        if isinstance(answer, ToolError):
            continue
        room -= len(answer.model_dump_json())
        if room < 0 and number > 0:
            later[project] = {
                name: [] if isinstance(value, list) else 0 if name == "checked_files" else value
                for name, value in answer
            }
    return later


def _combined(answers: Mapping[str, C | ToolError], cursor_for: Callable[[dict[str, str]], str]) -> dict[str, Any]:
    """Return the fields that all combined answers have; of several reasons, that of the first project."""
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
    incomplete = next((part for part in parts if not part.complete), None)
    return {
        "complete": incomplete is None,
        "reason": incomplete.reason if incomplete else None,
        "message": incomplete.message if incomplete else None,
        "cursor": cursor_for(left) if left else None,
        "projects": parts,
    }


def code_tools(links: Links, projects: frozenset[str]) -> list[Tool[Any]]:
    """Make the hub's code tools that read, for all configured projects."""
    tools = _CodeTools(links, projects)
    combined: dict[str, tuple[Handler[Any], type[CodeResult]]] = {
        "find_references": (tools.find_references, ReferencesInProjects),
        "find_symbols": (tools.find_symbols, SymbolsInProjects),
        "diagnostics": (tools.diagnostics, DiagnosticsInProjects),
    }
    return [
        *map(tools.routed, _ROUTED),
        *(SPOKE_TOOLS[name].bind(handler, result=result) for name, (handler, result) in combined.items()),
    ]
