"""The hub's run tools: they run commands and tasks in one or many projects, and pass on questions about jobs."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from typing import Any, Final, TypeVar

from codebuddy.hub.spokes import (
    LinkLost,
    Links,
    ask_each,
    ask_projects,
    ask_spoke,
    combined_progress,
    raise_only_refusal,
)
from codebuddy.schemas.files import Unavailable, unavailable_projects
from codebuddy.schemas.runs import (
    CancelJobArguments,
    CommandArguments,
    EndReason,
    Job,
    JobOutput,
    JobOutputArguments,
    Jobs,
    ListJobsArguments,
    OutputSegment,
    RunArguments,
    RunResult,
    RunResults,
    TaskArguments,
    reported_paths,
)
from codebuddy.schemas.spoke_tools import SPOKE_TOOLS
from codebuddy.tool import Call, Handler, Progress, Projects, Result, Tool, ToolError

_MAX_JOBS: Final = 500

RUN_GRACE_SECONDS: Final = 10.0
"""How long a spoke may be late with its answer, and its link with coming back, after the time that the caller waits."""

REATTACH_SECONDS: Final = 30.0
"""How long a lost link is waited for while its spoke runs something."""

_MAX_UNATTENDED: Final = 1000  # runs that go on, of which the hub lost sight

# The hub's own codes for an answer that did not come or was invalid; all others are refusals of the spoke.
_NO_ANSWER: Final = frozenset({"timed_out", "bad_answer", "too_large", "internal_error"})

log = logging.getLogger(__name__)

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
        return {"complete": self.complete, **unavailable_projects(self.missing), **Jobs(jobs=self.jobs).lean()}


class _RunTools:
    def __init__(self, links: Links, projects: frozenset[str], width: int) -> None:
        self._links, self._projects, self._width = links, projects, width
        self._unattended = deque[str]()

    async def run_command(self, call: Call, arguments: CommandInProjects) -> RunResults:
        return await self._run(call, "run_command", arguments)

    async def run_task(self, call: Call, arguments: TaskInProjects) -> RunResults:
        return await self._run(call, "run_task", arguments)

    async def _run(self, call: Call, tool: str, arguments: CommandInProjects | TaskInProjects) -> RunResults:
        chosen = call.principal.choose(arguments.projects, self._projects)
        sent = arguments.model_dump(exclude={"projects"}, exclude_unset=True)
        sent["output_limit"] = arguments.output_limit // max(1, len(chosen))
        reports = combined_progress(call.progress, chosen)
        wait = 0.0 if arguments.background else arguments.wait_seconds
        until = asyncio.get_running_loop().time() + wait

        async def run_in(project: str) -> RunResult:
            left = until - asyncio.get_running_loop().time()
            # Who gets a turn late is still waited for a little: most runs are short.
            run = _FollowedRun(self._links, project, reports[project], sent["output_limit"], max(left, min(wait, 1.0)))
            self._links.claimed.add(run.job_id)
            try:
                return await run.result(tool, sent)
            finally:
                self._links.claimed.discard(run.job_id)
                if run.goes_on:
                    self._leave_unattended(run.job_id)

        answers = await ask_each(chosen, run_in, self._width)
        raise_only_refusal(answers)
        return RunResults.of(
            [_no_result(project, a) if isinstance(a, ToolError) else a for project, a in answers.items()]
        )

    def _leave_unattended(self, job_id: str) -> None:
        """Let a run go on whose client was told that it may."""
        self._unattended.append(job_id)
        self._links.claimed.add(job_id)
        if len(self._unattended) > _MAX_UNATTENDED:
            self._links.claimed.discard(self._unattended.popleft())


class _FollowedRun:
    """A run in one project, which is found again by its id when the link to the spoke breaks and comes back.

    Args:
        report: takes the progress.
        limit: bytes of output at most in the answer.
        wait_seconds: how long to wait for its end.
    """

    def __init__(self, links: Links, project: str, report: Progress, limit: int, wait_seconds: float) -> None:
        self.job_id = f"{project}:{secrets.token_hex(6)}"
        self.goes_on = False  # whether it may, although nobody waits for it
        self._links, self._project, self._report, self._limit = links, project, report, limit
        self._started = asyncio.get_running_loop().time()
        self._until = self._started + wait_seconds
        self._seen = deque[str]()  # the end of what it printed
        self._seen_characters = 0

    async def result(self, tool: str, sent: dict[str, Any]) -> RunResult:
        """Start it with a tool of the spoke, and wait.

        Raises:
            ToolError: the spoke is not connected, refuses to run it, or answers nonsense.
        """
        arguments = {**sent, "job_id": self.job_id}
        lost: ToolError
        while True:
            try:
                return await self._ask(tool, {**arguments, "wait_seconds": max(0.0, self._seconds_left())})
            except LinkLost as error:
                lost = error
            except ToolError as error:
                if error.code == "timed_out":
                    return self._out_of_sight(error.message)
                if tool != "attach_run" or error.code not in ("spoke_offline", "unknown_job"):
                    raise
                if error.code == "unknown_job":
                    why = f"The link to {self._project} broke before its spoke was asked: nothing ran. Run it again."
                    return RunResult(project=self._project, reason="not_started", message=why)
                lost = error  # the link came back and broke again
            patience = min(REATTACH_SECONDS, self._seconds_left() + RUN_GRACE_SECONDS)
            # A link that is there again at once may break again at once, for ever.
            if patience <= 0 or not await self._links.wait_for(self._project, patience):
                return self._out_of_sight(lost.message)
            log.info("link %s: it is back; %s is waited for again", self._project, self.job_id)
            tool, arguments = "attach_run", {"job_id": self.job_id, "output_limit": self._limit}

    def _seconds_left(self) -> float:
        return self._until - asyncio.get_running_loop().time()

    async def _ask(self, tool: str, arguments: dict[str, Any]) -> RunResult:
        answer = await ask_spoke(
            self._links,
            self._project,
            tool,
            arguments,
            RunResult,
            paths=reported_paths,
            report=self._tell,
            detach_after=max(1.0, self._seconds_left() + RUN_GRACE_SECONDS),
        )
        if answer.job_id is not None and not answer.job_id.startswith(f"{self._project}:"):
            raise _foreign_job(self._project)
        answer.project = self._project  # whichever project the spoke claims to speak for
        if answer.reason == "agent_restart" and not answer.output:
            self._show_what_was_seen(answer)
        return answer

    async def _tell(self, progress: float, total: float | None = None, message: str | None = None, /) -> None:
        if message:
            self._seen.append(message)
            self._seen_characters += len(message)
            while self._seen and self._seen_characters - len(self._seen[0]) >= self._limit:
                self._seen_characters -= len(self._seen.popleft())
        await self._report(progress, total, message)

    def _out_of_sight(self, why: str) -> RunResult:
        """Say that it may go on, and how to look."""
        self.goes_on = True
        answer = RunResult(
            project=self._project,
            reason="no_answer",
            message=f"{why} What was started may still run: list_jobs shows whether it does, and job_output with the "
            f"job_id {self.job_id} what it prints. Do not run it again before you have looked.",
            job_id=self.job_id,
            duration_seconds=round(asyncio.get_running_loop().time() - self._started, 3),
        )
        self._show_what_was_seen(answer)
        return answer

    def _show_what_was_seen(self, answer: RunResult) -> None:
        text = "".join(self._seen)[-self._limit :] if self._limit else ""
        answer.output, answer.truncated = text, True
        answer.streams = [OutputSegment(stream="mixed", characters=len(text))] if text else []


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
