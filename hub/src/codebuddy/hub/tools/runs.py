"""run_command and run_task over one or many projects: the hub's side, which routes and combines."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from pydantic import Field

from codebuddy.hub.spokes import Links, ask_each, ask_spoke, together
from codebuddy.schemas.runs import (
    DEFAULT_TIMEOUT_SECONDS,
    CancelJobArguments,
    CommandArguments,
    EndReason,
    Job,
    JobOutput,
    JobOutputArguments,
    Jobs,
    RunArguments,
    RunResult,
    RunResults,
    TaskArguments,
    report_lines,
    reported_paths,
)
from codebuddy.text_safety import one_line, paragraph
from codebuddy.tool import Arguments, Call, Result, Tool, ToolError

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


J = TypeVar("J", bound=Job)

_MAX_JOBS: Final = 500
_SHOWN: Final = 64 * 1024


class ListJobsInProjects(Arguments):
    """Whose jobs to list."""

    projects: list[str] | None = Field(
        default=None, min_length=1, description="Ids of the projects; left out: all that the token covers."
    )


class Unasked(Result):
    """A project whose jobs are not known now, and why."""

    project: str
    code: str
    message: str


class JobList(Result):
    """Jobs of one or many projects, the newest first. ``complete``: no project is missing."""

    jobs: list[Job]
    complete: bool
    missing: list[Unasked] | None = None

    def text(self) -> str:
        lines = [_line(job) for job in self.jobs] or ["No jobs."]
        lines += [f"{part.project}: {one_line(part.message)}" for part in self.missing or []]
        return "\n".join(lines)


class JobEnd(Job):
    """A job, as it is now."""

    def text(self) -> str:
        return _line(self)


class JobText(JobOutput):
    """Output of a job."""

    def text(self) -> str:
        lines = [_line(self), *report_lines(self)]
        if self.omitted_bytes:
            lines.append(f"  {self.omitted_bytes} bytes before this are no longer kept.")
        if self.matches is not None:
            lines += [f"  {match.offset}: {one_line(match.line_text)}" for match in self.matches]
        elif self.output:
            lines.append("    " + paragraph(self.output.rstrip("\n"), 4, _SHOWN))
        if self.cursor is not None:
            lines.append(f"  {'' if self.reason else 'It runs on; '}for more give the cursor {one_line(self.cursor)}")
        return "\n".join(lines)


class _Jobs:
    """Asks the spokes for their jobs.

    Args:
        links: the links to them.
        projects: ids of all configured projects.
    """

    def __init__(self, links: Links, projects: frozenset[str]) -> None:
        self._links, self._projects = links, projects

    async def list_jobs(self, call: Call, arguments: ListJobsInProjects) -> JobList:
        async def ask(project: str) -> list[Job]:
            said = await ask_spoke(self._links, project, "list_jobs", {}, Jobs)
            return [_own(project, job) for job in said.jobs[:_MAX_JOBS]]

        answers = await ask_each(call.principal.choose(arguments.projects, self._projects), ask)
        missing = [
            Unasked(project=project, code=answer.code, message=answer.message)
            for project, answer in answers.items()
            if isinstance(answer, ToolError)
        ]
        jobs = [job for answer in answers.values() if not isinstance(answer, ToolError) for job in answer]
        jobs.sort(key=lambda job: job.started_at, reverse=True)
        return JobList(jobs=jobs, complete=not missing, missing=missing or None)

    async def job_output(self, call: Call, arguments: JobOutputArguments) -> JobText:
        project, sent = self._project_of(call, arguments.job_id), arguments.model_dump(exclude_unset=True)
        said = await ask_spoke(
            self._links, project, "job_output", sent, JobText, seconds=arguments.wait_seconds, paths=reported_paths
        )
        return _own(project, said)

    async def cancel_job(self, call: Call, arguments: CancelJobArguments) -> JobEnd:
        project = self._project_of(call, arguments.job_id)
        return _own(project, await ask_spoke(self._links, project, "cancel_job", arguments.model_dump(), JobEnd))

    def _project_of(self, call: Call, job_id: str) -> str:
        project = job_id.partition(":")[0]
        call.principal.require_project(project, self._projects)
        return project


def job_tools(links: Links, projects: frozenset[str]) -> list[Tool[Any]]:
    """Give the hub's tools for jobs.

    Args:
        links: the links to the spokes.
        projects: ids of all configured projects.
    """
    jobs = _Jobs(links, projects)
    return [
        Tool(
            "list_jobs",
            "run",
            "List the jobs of one or many projects: what runs now, and what ended and can still be read.",
            ListJobsInProjects,
            JobList,
            jobs.list_jobs,
            looks_only=True,
        ),
        Tool(
            "job_output",
            "run",
            "Read the output of a job, page by page with the cursor, from an offset (negative: from the end), or the "
            "lines with a pattern in them; wait_seconds waits for more. A job of a task that has ended tells what its "
            "tests and compilers reported.",
            JobOutputArguments,
            JobText,
            jobs.job_output,
            looks_only=True,
        ),
        Tool("cancel_job", "run", "End a job and all that it started.", CancelJobArguments, JobEnd, jobs.cancel_job),
    ]


def _own(project: str, job: J) -> J:
    """Refuse a job that a spoke says is another project's.

    Raises:
        ToolError: ``bad_answer``.
    """
    if job.project != project or not job.job_id.startswith(f"{project}:"):
        raise ToolError("bad_answer", f"The spoke of {project} told of a job that is not its own; it is refused.")
    return job


def _line(job: Job) -> str:
    how = f"exit code {job.exit_code}" if job.reason == "exited" else job.reason or "runs"
    what = f"task {job.task}" if job.task else " ".join(job.argv)
    sentence = f"; {one_line(job.message, 500)}" if job.message else ""
    return (
        f"{one_line(job.job_id, 100)}  {how}, {job.duration_seconds:.0f} s, {job.output_bytes} bytes of output, "
        f"since {one_line(job.started_at, 40)}: {one_line(what, 200)}{sentence}"
    )
