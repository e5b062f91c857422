"""restart_language_server over one or many projects: the hub's side, which routes and combines."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from codebuddy.links.fanout import ask_each, ask_spoke, together
from codebuddy.links.registry import Links
from codebuddy.schemas.code import RestartArguments, ServerStates
from codebuddy.schemas.status import LanguageServerState
from codebuddy.text_safety import one_line
from codebuddy.tool import Call, Result, Tool, ToolError

__all__ = ["RestartInProjects", "Restarted", "server_tools"]


class RestartInProjects(RestartArguments):
    """Which language servers to restart."""

    projects: list[str] | None = Field(
        None, min_length=1, description="Ids of the projects; left out: all that the token covers."
    )


class ProjectServers(Result):
    """One project's servers after the restart; ``reason`` and ``message`` say why there was none."""

    project: str
    language_servers: list[LanguageServerState] = Field(default_factory=list)
    reason: str | None = None
    message: str | None = None

    def text(self) -> str:
        states = [f"{server.name} {server.state}" + _because(server.reason) for server in self.language_servers]
        return f"{self.project}: {one_line(self.message or ', '.join(states)) or 'no language servers'}"


class Restarted(Result):
    """How each project's servers are now."""

    projects: list[ProjectServers]

    def text(self) -> str:
        return "\n".join(part.text() for part in self.projects)


def server_tools(links: Links, projects: frozenset[str]) -> list[Tool[Any]]:
    """Give the hub's tools about language servers.

    Args:
        links: the links to the spokes.
        projects: ids of all configured projects.
    """

    async def restart(call: Call, arguments: RestartInProjects) -> Restarted:
        chosen = call.principal.choose(arguments.projects, projects)
        sent = arguments.model_dump(exclude={"projects"}, exclude_unset=True)
        reports = together(call.progress, chosen)

        async def ask(project: str) -> ServerStates:
            return await ask_spoke(
                links,
                project,
                "restart_language_server",
                sent,
                ServerStates,
                seconds=arguments.timeout_seconds,
                report=reports[project],
            )

        answers = await ask_each(chosen, ask)
        refusals = [answer for answer in answers.values() if isinstance(answer, ToolError)]
        # Where it failed for all in the same way it is no result: one project, or a name that none of them knows.
        if len(refusals) == len(chosen) and len({refusal.code for refusal in refusals}) == 1:
            raise refusals[0]
        return Restarted(projects=[_part(project, answer) for project, answer in answers.items()])

    return [
        Tool(
            "restart_language_server",
            "run",
            "Restart the language servers of one or many projects, or the one that is named, and wait until they have "
            "loaded. They are restarted by themselves when they fail; this is for one whose answers look wrong.",
            RestartInProjects,
            Restarted,
            restart,
        )
    ]


def _part(project: str, answer: ServerStates | ToolError) -> ProjectServers:
    if isinstance(answer, ToolError):
        return ProjectServers(project=project, reason=answer.code, message=answer.message)
    return ProjectServers(project=project, language_servers=answer.language_servers)


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""
