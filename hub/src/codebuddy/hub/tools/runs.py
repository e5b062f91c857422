"""The hub's run tools: they run commands and tasks in one or many projects, and pass on questions about jobs."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from codebuddy.hub.spokes import Links, ask_projects, ask_spoke, raise_only_refusal
from codebuddy.schemas.files import Unavailable, missing
from codebuddy.schemas.runs import (
    DEFAULT_TIMEOUT_SECONDS,
    CancelJobArguments,
    CommandArguments,
    EndReason,
    Job,
    JobOutput,
    JobOutputArguments,
    Jobs,
    ListJobsArguments,
    RunArguments,
    RunResult,
    RunResults,
    TaskArguments,
    reported_paths,
)
from codebuddy.schemas.spoke_tools import SPOKE_TOOLS
from codebuddy.tool import Call, Handler, Projects, Result, Tool, ToolError

_MAX_JOBS: Final = 500

# The hub's own codes for an answer that did not come or was invalid; all others are refusals of the spoke.
_NO_ANSWER: Final = frozenset({"timed_out", "bad_answer", "too_large", "internal_error"})

J = TypeVar("J", bound=Job)


class CommandInProjects(CommandArguments):
    """A command line, and the projects to run it in at the same time."""

    projects: Projects = None


class TaskInProjects(TaskArguments):
    """A task, and the projects to run it in at the same time."""

    projects: Projects = None


class ListJobsInProjects(ListJobsArguments):
    """Which jobs to list."""

    projects: Projects = None


class JobList(Result):
    """Jobs of one or many projects, the newest first. ``complete``: no project is missing."""

    jobs: list[Job]
    complete: bool
    missing: list[Unavailable] | None = None

    def lean(self) -> dict[str, Any]:
        return {"complete": self.complete, **missing(self.missing), **Jobs(jobs=self.jobs).lean()}


class _RunTools:
    def __init__(self, links: Links, projects: frozenset[str], width: int) -> None:
        self._links, self._projects, self._width = links, projects, width

    async def run_command(self, call: Call, arguments: CommandInProjects) -> RunResults:
        return await self._run(call, "run_command", arguments)

    async def run_task(self, call: Call, arguments: TaskInProjects) -> RunResults:
        return await self._run(call, "run_task", arguments)

    async def _run(self, call: Call, tool: str, arguments: CommandInProjects | TaskInProjects) -> RunResults:
        chosen = call.principal.choose(arguments.projects, self._projects)
        sent = arguments.model_dump(exclude={"projects"}, exclude_unset=True)
        sent["output_limit"] = arguments.output_limit // max(1, len(chosen))
        answers = await ask_projects(
            self._links,
            call,
            tool,
            dict.fromkeys(chosen, sent),
            RunResult,
            # Without a time-out in the call, the project's own is not longer than the default.
            seconds=0.0 if arguments.background else arguments.timeout_seconds or DEFAULT_TIMEOUT_SECONDS,
            paths=reported_paths,
            accept=_own_result,
            width=self._width,
        )
        raise_only_refusal(answers)
        return RunResults.of(
            [_no_result(project, a) if isinstance(a, ToolError) else a for project, a in answers.items()]
        )


class _JobTools:
    def __init__(self, links: Links, projects: frozenset[str]) -> None:
        self._links, self._projects = links, projects

    async def list_jobs(self, call: Call, arguments: ListJobsInProjects) -> JobList:
        chosen = call.principal.choose(arguments.projects, self._projects)
        answers = await ask_projects(
            self._links, call, "list_jobs", {project: {} for project in chosen}, Jobs, accept=_own_jobs
        )
        missing = [
            Unavailable(project=project, code=answer.code, message=answer.message)
            for project, answer in answers.items()
            if isinstance(answer, ToolError)
        ]
        jobs = [job for answer in answers.values() if not isinstance(answer, ToolError) for job in answer.jobs]
        jobs.sort(key=lambda job: job.started_at, reverse=True)
        return JobList(jobs=jobs, complete=not missing, missing=missing or None)

    async def job_output(self, call: Call, arguments: JobOutputArguments) -> JobOutput:
        project, sent = self._project_of(call, arguments.job_id), arguments.model_dump(exclude_unset=True)
        output = await ask_spoke(
            self._links, project, "job_output", sent, JobOutput, seconds=arguments.wait_seconds, paths=reported_paths
        )
        return _own(project, output)

    async def cancel_job(self, call: Call, arguments: CancelJobArguments) -> Job:
        project = self._project_of(call, arguments.job_id)
        return _own(project, await ask_spoke(self._links, project, "cancel_job", arguments.model_dump(), Job))

    def _project_of(self, call: Call, job_id: str) -> str:
        project = job_id.partition(":")[0]
        call.principal.require_project(project, self._projects)
        return project


def run_tools(links: Links, projects: frozenset[str], width: int) -> list[Tool[Any]]:
    """Make the hub's run tools, for all configured projects; a call runs in ``width`` of them at a time."""
    tools = _RunTools(links, projects, width)

    def in_projects(name: str, handler: Handler[Any], arguments: type[RunArguments]) -> Tool[Any]:
        return SPOKE_TOOLS[name].bind(handler, arguments=arguments, result=RunResults)

    return [
        in_projects("run_command", tools.run_command, CommandInProjects),
        in_projects("run_task", tools.run_task, TaskInProjects),
    ]


def job_tools(links: Links, projects: frozenset[str]) -> list[Tool[Any]]:
    """Make the hub's tools for jobs, for all configured projects."""
    tools = _JobTools(links, projects)
    return [
        SPOKE_TOOLS["list_jobs"].bind(tools.list_jobs, arguments=ListJobsInProjects, result=JobList),
        SPOKE_TOOLS["job_output"].bind(tools.job_output),
        SPOKE_TOOLS["cancel_job"].bind(tools.cancel_job),
    ]


def _own_result(project: str, result: RunResult) -> RunResult:
    if result.job_id is not None and not result.job_id.startswith(f"{project}:"):
        raise _foreign_job(project)
    return result.model_copy(update={"project": project})  # whichever project the spoke claims to speak for


def _own_jobs(project: str, jobs: Jobs) -> Jobs:
    return Jobs(jobs=[_own(project, job) for job in jobs.jobs[:_MAX_JOBS]])


def _own(project: str, job: J) -> J:
    if job.project != project or not job.job_id.startswith(f"{project}:"):
        raise _foreign_job(project)
    return job


def _foreign_job(project: str) -> ToolError:
    return ToolError("bad_answer", f"The spoke of {project} reported a job that is not its own; its answer is refused.")


def _no_result(project: str, error: ToolError) -> RunResult:
    """Make the row of a project whose spoke gave no result."""
    reason: EndReason = "refused"
    if error.code == "spoke_offline":
        reason = "spoke_offline"
    elif error.code in _NO_ANSWER:
        reason = "no_answer"
    return RunResult(project=project, reason=reason, message=error.message)
