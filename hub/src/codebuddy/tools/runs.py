"""run_command and run_task over one or many projects: the hub's side, which routes and combines."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from codebuddy.errors import ToolError
from codebuddy.links.fanout import ask_each
from codebuddy.links.registry import Links
from codebuddy.runs.models import CommandArguments, EndReason, RunArguments, RunResult, TaskArguments
from codebuddy.tool import Call, Progress, Result, Tool

__all__ = ["CommandInProjects", "RunResults", "TaskInProjects", "run_tools"]

END_SECONDS = 15.0
"""So long after its time-out a run may take to end and be told."""

PROJECTS = "Ids of the projects to run in; left out: every project that the token covers."


class CommandInProjects(CommandArguments):
    """A command line and where to run it."""

    projects: list[str] | None = Field(None, min_length=1, description=PROJECTS)


class TaskInProjects(TaskArguments):
    """A task and where to run it."""

    projects: list[str] | None = Field(None, min_length=1, description=PROJECTS)


class RunResults(Result):
    """One result a project, those that did not end well first."""

    results: list[RunResult]

    def text(self) -> str:
        return "\n".join(result.text() for result in self.results)


def run_tools(links: Links, projects: frozenset[str]) -> list[Tool[Any]]:
    """Give the hub's run tools.

    Args:
        links: the links to the spokes.
        projects: ids of all configured projects.
    """

    async def run(call: Call, tool: str, arguments: RunArguments, wanted: list[str] | None) -> RunResults:
        chosen = call.principal.choose(wanted, projects)
        sent = arguments.model_dump(exclude={"projects"}, exclude_unset=True)

        async def ask(project: str) -> RunResult:
            progress = call.progress if len(chosen) == 1 else _labelled(call.progress, project)
            patience = arguments.timeout_seconds + END_SECONDS
            result = await links.call(project, tool, sent, RunResult, report=progress, timeout_seconds=patience)
            return result.model_copy(update={"project": project})  # whatever a spoke says of whom it speaks

        answers = await ask_each(chosen, ask)
        for answer in answers.values():
            # A refusal concerns the call, and where nothing ran at all it is the answer: spoke_offline is a result.
            if isinstance(answer, ToolError) and len(chosen) == 1 and answer.code != "spoke_offline":
                raise answer
        results = [_refused(project, a) if isinstance(a, ToolError) else a for project, a in answers.items()]
        return RunResults(results=sorted(results, key=lambda result: result.exit_code == 0))

    async def run_command(call: Call, arguments: CommandInProjects) -> RunResults:
        return await run(call, "run_command", arguments, arguments.projects)

    async def run_task(call: Call, arguments: TaskInProjects) -> RunResults:
        return await run(call, "run_task", arguments, arguments.projects)

    return [
        Tool(
            "run_command",
            "run",
            "Run a command line (a list; no shell) in the containers of one or many projects at the same time. Output "
            "is reported as progress while it appears; the answer has each project's output and exit code.",
            CommandInProjects,
            RunResults,
            run_command,
        ),
        Tool(
            "run_task",
            "run",
            "Run a task that the projects declare, such as test, check or build, in one or many of them at the same "
            "time.",
            TaskInProjects,
            RunResults,
            run_task,
        ),
    ]


def _labelled(progress: Progress, project: str) -> Progress:
    async def report(value: float, total: float | None = None, message: str | None = None) -> None:
        await progress(value, total, None if message is None else f"[{project}] {message}")

    return report


def _refused(project: str, error: ToolError) -> RunResult:
    reason: EndReason = "spoke_offline" if error.code == "spoke_offline" else "refused"
    return RunResult(project=project, reason=reason, message=error.message)
