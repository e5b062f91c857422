"""list_projects: what there is to work on, and how it is."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from codebuddy.schemas.status import LanguageServerState
from codebuddy.telemetry.health import Fleet
from codebuddy.tool import Arguments, Call, Result, Tool

__all__ = ["ListProjectsArguments", "Project", "ProjectList", "project_tools"]


class ListProjectsArguments(Arguments):
    """Which projects."""

    projects: list[str] | None = Field(None, min_length=1, description="Ids; left out: all that the token covers.")


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


class ProjectList(Result):
    """The projects that the token covers."""

    projects: list[Project]

    def text(self) -> str:
        return "\n".join(
            f"{p.id} ({p.profile}): {'ready' if p.ready else p.reason}; tasks: {', '.join(p.tasks) or 'none'}"
            for p in self.projects
        )


def project_tools(fleet: Fleet) -> list[Tool[Any]]:
    """Give the tools of this family."""

    async def list_projects(call: Call, arguments: ListProjectsArguments) -> ProjectList:
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

    return [
        Tool(
            "list_projects",
            "read",
            "List the projects: id, language profile, state of the container's link and language servers, declared "
            "tasks. Paths given to the other tools begin with a project's id, e.g. project-a/src/utils.ts.",
            ListProjectsArguments,
            ProjectList,
            list_projects,
        )
    ]
