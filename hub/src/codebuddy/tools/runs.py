"""run_command and run_task over one or many projects: the hub's side, which routes and combines."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from codebuddy.errors import ToolError
from codebuddy.links.fanout import ask_each, require_own
from codebuddy.links.registry import Links
from codebuddy.runs.models import (
    DEFAULT_TIMEOUT_SECONDS,
    CommandArguments,
    EndReason,
    Reported,
    RunArguments,
    RunResult,
    TaskArguments,
)
from codebuddy.runs.results import RunResults
from codebuddy.runs.telling import label_lines
from codebuddy.tool import Call, Progress, Tool

__all__ = ["CommandInProjects", "TaskInProjects", "require_own_places", "run_tools"]

END_SECONDS: Final = 15.0
"""So long after its time-out a run may take to end and be told."""

OUTPUT_BYTES: Final = 256 * 1024
"""The output that one answer has, over all projects."""

_LEAST_OUTPUT: Final = 2048

PROJECTS: Final = "Ids of the projects to run in; left out: every project that the token covers."


class CommandInProjects(CommandArguments):
    """A command line and where to run it."""

    projects: list[str] | None = Field(default=None, min_length=1, description=PROJECTS)


class TaskInProjects(TaskArguments):
    """A task and where to run it."""

    projects: list[str] | None = Field(default=None, min_length=1, description=PROJECTS)


def run_tools(links: Links, projects: frozenset[str], width: int) -> list[Tool[Any]]:
    """Give the hub's run tools.

    Args:
        links: the links to the spokes.
        projects: ids of all configured projects.
        width: in so many projects at a time what one call asks for is run.
    """

    async def run(call: Call, tool: str, arguments: RunArguments, wanted: list[str] | None) -> RunResults:
        chosen = call.principal.choose(wanted, projects)
        sent = arguments.model_dump(exclude={"projects"}, exclude_unset=True)
        sent["output_limit"] = _share(arguments.output_limit, len(chosen))
        progress = _joined(call.progress, chosen)

        async def ask(project: str) -> RunResult:
            result = await links.call(
                project, tool, sent, RunResult, report=progress[project], timeout_seconds=_patience(arguments)
            )
            require_own_places(project, result)
            return result.model_copy(update={"project": project})  # whatever a spoke says of whom it speaks

        answers = await ask_each(chosen, ask, width)
        for answer in answers.values():
            # A refusal concerns the call, and where nothing ran at all it is the answer: spoke_offline is a result.
            if isinstance(answer, ToolError) and len(chosen) == 1 and answer.code != "spoke_offline":
                raise answer
        return RunResults.of(
            [_refused(project, a) if isinstance(a, ToolError) else a for project, a in answers.items()]
        )

    async def run_command(call: Call, arguments: CommandInProjects) -> RunResults:
        return await run(call, "run_command", arguments, arguments.projects)

    async def run_task(call: Call, arguments: TaskInProjects) -> RunResults:
        return await run(call, "run_task", arguments, arguments.projects)

    return [
        Tool(
            "run_command",
            "run",
            "Run a command line (a list; no shell) in the containers of one or many projects at the same time. Output "
            "is reported as progress while it appears; the answer has each project's output, exit code, and how it "
            "ended. With background it starts a job and answers at once.",
            CommandInProjects,
            RunResults,
            run_command,
        ),
        Tool(
            "run_task",
            "run",
            "Run a task that the projects declare, such as test, check, build, lint, format or install, in one or many "
            "of them at the same time. Tests are answered as counts and failures with their places, compilers and "
            "linters as diagnostics, all with the output.",
            TaskInProjects,
            RunResults,
            run_task,
        ),
    ]


def require_own_places(project: str, report: Reported) -> None:
    """Refuse what a spoke reports of another project's files.

    Raises:
        ToolError: ``bad_answer``.
    """
    require_own(project, (failure.path for failure in report.failures or [] if failure.path is not None))
    require_own(project, (found.path for found in report.diagnostics or []))


def _share(limit: int, projects: int) -> int:
    return min(limit, max(_LEAST_OUTPUT, OUTPUT_BYTES // max(1, projects)))


def _patience(arguments: RunArguments) -> float | None:
    """Say how long a spoke is waited for: a run without a time-out of its own has one that its project declares."""
    if arguments.background:
        return END_SECONDS
    return (arguments.timeout_seconds or DEFAULT_TIMEOUT_SECONDS) + END_SECONDS


def _joined(progress: Progress, projects: list[str]) -> dict[str, Progress]:
    """Join what several spokes tell: MCP wants numbers that grow, and each line is to say whose it is."""
    said = dict.fromkeys(projects, 0.0)

    def of(project: str) -> Progress:
        async def report(value: float, _total: float | None = None, message: str | None = None, /) -> None:
            said[project] = max(said[project], value)
            whose = message if len(projects) == 1 or message is None else label_lines(message, f"[{project}] ")
            await progress(sum(said.values()), None, whose)

        return report

    return {project: of(project) for project in projects}


def _refused(project: str, error: ToolError) -> RunResult:
    reason: EndReason = "spoke_offline" if error.code == "spoke_offline" else "refused"
    return RunResult(project=project, reason=reason, message=error.message)
