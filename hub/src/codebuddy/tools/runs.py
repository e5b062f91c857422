"""run_command and run_task over one or many projects: the hub's side, which routes and combines."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from codebuddy.links.fanout import ask_each, ask_spoke, together
from codebuddy.links.registry import Links
from codebuddy.schemas.runs import (
    DEFAULT_TIMEOUT_SECONDS,
    CommandArguments,
    EndReason,
    RunArguments,
    RunResult,
    RunResults,
    TaskArguments,
    reported_paths,
)
from codebuddy.tool import Call, Tool, ToolError

__all__ = ["CommandInProjects", "TaskInProjects", "run_tools"]

OUTPUT_BYTES: Final = 256 * 1024
"""The output that one answer has, over all projects."""

_LEAST_OUTPUT: Final = 2048

PROJECTS: Final = "Ids of the projects to run in; left out: every project that the token covers."

# What the hub says of an answer that did not come, or was none; all other refusals are the spoke's own.
_NO_ANSWER: Final = frozenset({"timed_out", "bad_answer", "too_large", "internal_error"})


class CommandInProjects(CommandArguments):
    """A command line and where to run it."""

    projects: list[str] | None = Field(default=None, min_length=1, description=PROJECTS)


class TaskInProjects(TaskArguments):
    """A task and where to run it."""

    projects: list[str] | None = Field(default=None, min_length=1, description=PROJECTS)


class _Runner:
    """Runs the same in the spokes of several projects.

    Args:
        links: the links to them.
        projects: ids of all configured projects.
        width: in so many projects at a time what one call asks for is run.
    """

    def __init__(self, links: Links, projects: frozenset[str], width: int) -> None:
        self._links, self._projects, self._width = links, projects, width

    async def run_command(self, call: Call, arguments: CommandInProjects) -> RunResults:
        return await self._run(call, "run_command", arguments, arguments.projects)

    async def run_task(self, call: Call, arguments: TaskInProjects) -> RunResults:
        return await self._run(call, "run_task", arguments, arguments.projects)

    async def _run(self, call: Call, tool: str, arguments: RunArguments, wanted: list[str] | None) -> RunResults:
        chosen = call.principal.choose(wanted, self._projects)
        sent = arguments.model_dump(exclude={"projects"}, exclude_unset=True)
        sent["output_limit"] = _share(arguments.output_limit, len(chosen))
        reports = together(call.progress, chosen)

        async def ask(project: str) -> RunResult:
            result = await ask_spoke(
                self._links,
                project,
                tool,
                sent,
                RunResult,
                seconds=_longest(arguments),
                paths=reported_paths,
                report=reports[project],
            )
            if result.job_id is not None and not result.job_id.startswith(f"{project}:"):
                raise ToolError("bad_answer", f"The spoke of {project} told of a job that is not its own.")
            return result.model_copy(update={"project": project})  # whatever a spoke says of whom it speaks

        answers = await ask_each(chosen, ask, self._width)
        for answer in answers.values():
            # A refusal concerns the call, and where nothing ran at all it is the answer: spoke_offline is a result.
            if isinstance(answer, ToolError) and len(chosen) == 1 and answer.code != "spoke_offline":
                raise answer
        return RunResults.of(
            [_without(project, a) if isinstance(a, ToolError) else a for project, a in answers.items()]
        )


def run_tools(links: Links, projects: frozenset[str], width: int) -> list[Tool[Any]]:
    """Give the hub's run tools.

    Args:
        links: the links to the spokes.
        projects: ids of all configured projects.
        width: in so many projects at a time what one call asks for is run.
    """
    runner = _Runner(links, projects, width)
    return [
        Tool(
            "run_command",
            "run",
            "Run a command line (a list; no shell) in the containers of one or many projects at the same time. Output "
            "is reported as progress while it appears; the answer has each project's output, exit code, and how it "
            "ended. With background it starts a job and answers at once.",
            CommandInProjects,
            RunResults,
            runner.run_command,
        ),
        Tool(
            "run_task",
            "run",
            "Run a task that the projects declare, such as test, check, build, lint, format or install, in one or many "
            "of them at the same time. Tests are answered as counts and failures with their places, compilers and "
            "linters as diagnostics, all with the output.",
            TaskInProjects,
            RunResults,
            runner.run_task,
        ),
    ]


def _share(limit: int, projects: int) -> int:
    return min(limit, max(_LEAST_OUTPUT, OUTPUT_BYTES // max(1, projects)))


def _longest(arguments: RunArguments) -> float:
    """Say how long the spoke may run it before it answers: where the call gives no time-out, the project's own is not
    longer than the default. One that waits for its turn among many may not come to its whole time.
    """
    return 0.0 if arguments.background else arguments.timeout_seconds or DEFAULT_TIMEOUT_SECONDS


def _without(project: str, error: ToolError) -> RunResult:
    """Give the row of a project whose spoke gave no result."""
    reason: EndReason = "refused"
    if error.code == "spoke_offline":
        reason = "spoke_offline"
    elif error.code in _NO_ANSWER:
        reason = "no_answer"
    return RunResult(project=project, reason=reason, message=error.message)
