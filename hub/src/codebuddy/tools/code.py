"""find_definition, find_references and diagnostics: the hub's side, which routes to the spokes and combines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codebuddy.code.models import (
    CodeResult,
    Diagnostic,
    DiagnosticsArguments,
    DiagnosticsResult,
    Location,
    LocationsResult,
    PlaceArguments,
    Reason,
)
from codebuddy.errors import ToolError
from codebuddy.links.fanout import ask_each
from codebuddy.links.registry import Links
from codebuddy.tool import Call, Result, Tool
from codebuddy.workspace.paths import WorkspacePath

__all__ = ["ANSWER_SECONDS", "Diagnostics", "ProjectPart", "code_tools", "require_own"]


ANSWER_SECONDS = 10.0
"""So long after its time-out a spoke may take to say that it timed out."""


class ProjectPart(Result):
    """How complete one project's part of an answer is: one that is still indexing taints no other.

    ``cursor`` goes on when it is given back with this project alone.
    """

    project: str
    complete: bool
    reason: Reason | None = None
    message: str | None = None
    cursor: str | None = None
    checked_files: int = 0


class Diagnostics(CodeResult):
    """Diagnostics of one or many projects, and how complete each project's part is."""

    diagnostics: list[Diagnostic]
    projects: list[ProjectPart]

    def text(self) -> str:
        lines = [f"{item.path}:{item.line}:{item.column}: {item.severity}: {item.message}" for item in self.diagnostics]
        lines += [f"{part.project}: not complete: {part.message}" for part in self.projects if not part.complete]
        return "\n".join([*lines, self._summary(len(self.diagnostics), "diagnostic")])


class _Routes:
    """Sends a question to the spokes that it is about."""

    def __init__(self, links: Links, projects: frozenset[str]) -> None:
        self._links = links
        self._projects = projects

    async def find_definition(self, call: Call, arguments: PlaceArguments) -> LocationsResult:
        return await self._find(call, "find_definition", arguments)

    async def find_references(self, call: Call, arguments: PlaceArguments) -> LocationsResult:
        return await self._find(call, "find_references", arguments)

    async def _find(self, call: Call, tool: str, arguments: PlaceArguments) -> LocationsResult:
        project = WorkspacePath.parse(arguments.path).project
        call.principal.require_project(project, self._projects)
        sent = arguments.model_dump(exclude_unset=True)
        try:
            patience = arguments.timeout_seconds + ANSWER_SECONDS
            found = await self._links.call(
                project, tool, sent, LocationsResult, report=call.progress, timeout_seconds=patience
            )
            require_own(project, found.locations)
            return found
        except ToolError as error:
            if error.code != "spoke_offline":
                raise
            return LocationsResult(complete=False, reason="spoke_offline", message=error.message, locations=[])

    async def diagnostics(self, call: Call, arguments: DiagnosticsArguments) -> Diagnostics:
        chosen = self._chosen(call, arguments)
        sent = arguments.model_dump(exclude_unset=True, exclude={"projects"})

        async def ask(project: str) -> DiagnosticsResult:
            patience = arguments.timeout_seconds + ANSWER_SECONDS
            answer = await self._links.call(
                project, "diagnostics", sent, DiagnosticsResult, report=call.progress, timeout_seconds=patience
            )
            require_own(project, answer.diagnostics)
            return answer

        answers = await ask_each(chosen, ask)
        found: list[Diagnostic] = []
        parts: list[ProjectPart] = []
        for project, answer in answers.items():
            if isinstance(answer, DiagnosticsResult):
                found += answer.diagnostics
                parts.append(ProjectPart(project=project, **answer.model_dump(exclude={"diagnostics"})))
            elif len(chosen) == 1 and answer.code != "spoke_offline":
                raise answer
            else:
                reason: Reason = "spoke_offline" if answer.code == "spoke_offline" else "server_error"
                parts.append(ProjectPart(project=project, complete=False, reason=reason, message=answer.message))
        lacking = next((part for part in parts if not part.complete), None)
        return Diagnostics(
            complete=lacking is None,
            reason=lacking.reason if lacking else None,
            message=lacking.message if lacking else None,
            cursor=parts[0].cursor if len(parts) == 1 else None,
            diagnostics=found,
            projects=parts,
        )

    def _chosen(self, call: Call, arguments: DiagnosticsArguments) -> list[str]:
        if arguments.path is None:
            chosen = call.principal.choose(arguments.projects, self._projects)
            if arguments.cursor is not None and len(chosen) != 1:
                raise ToolError("invalid_arguments", "A cursor goes on with one project: name it alone in projects.")
            return chosen
        project = WorkspacePath.parse(arguments.path).project
        if arguments.projects is not None and arguments.projects != [project]:
            raise ToolError("invalid_arguments", "Give path or projects: the path names its project already.")
        call.principal.require_project(project, self._projects)
        return [project]


def require_own(project: str, places: Sequence[Location]) -> None:
    """Refuse places in other projects: a spoke speaks for its own."""
    if any(not place.external and not place.path.startswith(f"{project}/") for place in places):
        raise ToolError("bad_answer", f"The spoke of {project} named places in another project; its answer is refused.")


def code_tools(links: Links, projects: frozenset[str]) -> list[Tool[Any]]:
    """Give the hub's code tools.

    Args:
        links: the links to the spokes.
        projects: ids of all configured projects.
    """
    routes = _Routes(links, projects)
    place = "Give the place as line and column, as symbol (Class/method), or as line and text (the word meant). "
    return [
        Tool(
            "find_definition",
            "read",
            f"Find where a symbol is defined, as the project's own language server knows it. {place}",
            PlaceArguments,
            LocationsResult,
            routes.find_definition,
        ),
        Tool(
            "find_references",
            "read",
            f"Find every use of a symbol in its project, its declaration included. {place}",
            PlaceArguments,
            LocationsResult,
            routes.find_references,
        ),
        Tool(
            "diagnostics",
            "read",
            "Errors and warnings of a file, a directory, or whole projects, for the text as it is on disk now.",
            DiagnosticsArguments,
            Diagnostics,
            routes.diagnostics,
        ),
    ]
