"""The hub's tools about the projects themselves: list them, and restart their language servers."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from codebuddy.hub.health import FleetHealth
from codebuddy.hub.spokes import Links, ask_projects
from codebuddy.schemas.code import RestartArguments, ServerStates
from codebuddy.schemas.spoke_tools import SPOKE_TOOLS
from codebuddy.schemas.status import LanguageServerState
from codebuddy.tool import Arguments, Call, Projects, Result, Tool, ToolError, tool_of


class ListProjectsArguments(Arguments):
    """Which projects."""

    projects: Projects = None


class Project(Result):
    """One project and its state."""

    id: str
    profile: str
    path: str = Field(description="Its directory on the host.")
    ready: bool
    link: str = Field(description="connected, offline or silent.")
    reason: str | None = Field(None, description="Why it is not ready.")
    language_servers: list[LanguageServerState]
    tasks: list[str]
    languages: list[str]

    def lean(self) -> dict[str, Any]:
        answer = self.model_dump(include={"profile", "path", "ready", "reason", "tasks"}, exclude_none=True)
        if self.link != "connected":
            answer["link"] = self.link
        return {**answer, "language_servers": [one.row() for one in self.language_servers]}


class ProjectList(Result):
    """The projects that the token covers."""

    projects: list[Project]

    def lean(self) -> dict[str, Any]:
        return {"projects": {one.id: one.lean() for one in self.projects}}


def project_tools(fleet: FleetHealth) -> list[Tool[Any]]:
    """Make ``list_projects``."""

    async def list_projects(call: Call, arguments: ListProjectsArguments) -> ProjectList:
        """List the projects (repositories): id, profile, state, language servers, tasks. Every path begins with a
        project's id: project-a/src/utils.ts.
        """
        chosen = call.principal.choose(arguments.projects, fleet.projects)
        health = await fleet.project_health(chosen)
        return ProjectList(
            projects=[
                Project(
                    id=project,
                    profile=fleet.projects[project].profile,
                    path=fleet.projects[project].host_path,
                    ready=health[project].ready,
                    link=health[project].link,
                    reason=health[project].reason,
                    language_servers=health[project].language_servers,
                    tasks=fleet.projects[project].tasks,
                    languages=fleet.projects[project].languages,
                )
                for project in chosen
            ]
        )

    return [tool_of(list_projects, "read")]


class RestartInProjects(RestartArguments):
    """Which language servers to restart."""

    projects: Projects = None


class ProjectServers(Result):
    """One project's servers after the restart; ``reason`` and ``message`` say why there was none."""

    project: str
    language_servers: list[LanguageServerState] = Field(default_factory=list)
    reason: str | None = None
    message: str | None = None

    def lean(self) -> dict[str, Any]:
        if self.message:
            return {"reason": self.reason, "message": self.message}
        return {"language_servers": [one.row() for one in self.language_servers]}


class Restarted(Result):
    """The present state of each project's servers."""

    projects: list[ProjectServers]

    def lean(self) -> dict[str, Any]:
        return {"projects": {part.project: part.lean() for part in self.projects}}


def server_tools(links: Links, projects: frozenset[str]) -> list[Tool[Any]]:
    """Make ``restart_language_server``, for all configured projects."""
    spec = SPOKE_TOOLS["restart_language_server"]

    async def restart(call: Call, arguments: RestartInProjects) -> Restarted:
        chosen = call.principal.choose(arguments.projects, projects)
        sent = dict.fromkeys(chosen, arguments.model_dump(exclude={"projects"}, exclude_unset=True))
        answers = await ask_projects(links, call, spec.name, sent, ServerStates, seconds=arguments.timeout_seconds)
        refusals = [answer for answer in answers.values() if isinstance(answer, ToolError)]
        # If it failed for all in the same way, it is no result: one project, or a name that none of them knows.
        if len(refusals) == len(chosen) and len({refusal.code for refusal in refusals}) == 1:
            raise refusals[0]
        return Restarted(projects=[_part(project, answer) for project, answer in answers.items()])

    return [spec.bind(restart, arguments=RestartInProjects, result=Restarted)]


def _part(project: str, answer: ServerStates | ToolError) -> ProjectServers:
    if isinstance(answer, ToolError):
        return ProjectServers(project=project, reason=answer.code, message=answer.message)
    return ProjectServers(project=project, language_servers=answer.language_servers)
