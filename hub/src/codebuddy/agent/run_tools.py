"""The run tools of a spoke: run a command line or a declared task, in the foreground or as a job."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio

from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.runs.job_output import cursor_after, read_job
from codebuddy.agent.runs.output import Excerpt, OutputBuffer, ProgressReporter, excerpt_of
from codebuddy.agent.runs.process import Program, Stream, finish_despite_cancellation
from codebuddy.agent.runs.reporting import ReportReader
from codebuddy.agent.runs.runs import Run, RunEnd, RunObserver, RunRequest, Runs, directory_in, network_advice
from codebuddy.configuration import SpokeConfiguration, Task
from codebuddy.schemas.runs import (
    DEFAULT_TIMEOUT_SECONDS,
    AttachArguments,
    CancelJobArguments,
    ClaimArguments,
    Claimed,
    CommandOverLink,
    Job,
    JobOutput,
    JobOutputArguments,
    Jobs,
    ListJobsArguments,
    Reported,
    RunArguments,
    RunResult,
    TaskOverLink,
)
from codebuddy.schemas.spoke_tools import SPOKE_TOOLS
from codebuddy.tool import HUB, Call, Tool, ToolError, no_progress

RUNS_DIRECTORY: Final = Path("/home/codebuddy/.cache/codebuddy/runs")
"""Where jobs and long output are kept: in the spoke's cache volume."""

_ANSWER_KEPT_SECONDS: Final = 120.0  # longer than it takes to notice that a link is gone, and to open another
_ANSWERS_KEPT: Final = 32  # of more, the output of the oldest is dropped
_LAST_ANSWERS_SECONDS: Final = 1.0

REPORT: Final = "{report}"
"""Stands in a task's arguments for the path of a file that the task writes its report to."""


class RunTools:
    """Runs programs in one project's directory."""

    def __init__(self, configuration: SpokeConfiguration, tree: Tree, directory: Path = RUNS_DIRECTORY) -> None:
        self._project = configuration.project
        self._tree = tree
        self._tasks = configuration.tasks
        self._environment = {**os.environ, **configuration.environment}
        advise = partial(network_advice, egress=configuration.egress, project=configuration.project)
        self.runs = Runs(configuration.project, directory, configuration.runs, advise)
        self._collectors: dict[str, _Collector] = {}  # of the runs that the hub may ask for again, by job id
        self._answered: deque[_Collector] = deque()
        self._followers = 0
        self._followers_left = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the jobs of an earlier agent; at the end of the block, end everything that still runs."""
        self.runs.load()
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self.runs.close()

    async def end_all(self) -> None:
        """End everything that runs, because the agent ends, and let those who wait for it answer."""
        await self.runs.close()
        with anyio.move_on_after(_LAST_ANSWERS_SECONDS):
            while self._followers:
                self._followers_left.clear()
                await self._followers_left.wait()

    async def run_command(self, call: Call, arguments: CommandOverLink) -> RunResult:
        """Run a command line.

        Raises:
            ToolError: ``outside_project``, ``not_a_directory`` for the working directory; ``too_many_jobs``;
                ``invalid_arguments`` for a time-out that the project does not allow.
        """
        program = Program(
            argv=arguments.argv,
            cwd=directory_in(self._tree.root, arguments.cwd, self._project),
            environment={**self._environment, **arguments.environment},
            stdin=None if arguments.stdin is None else arguments.stdin.encode(),
        )
        return await self._run(call, arguments, self._request(program, arguments), None, None)

    async def run_task(self, call: Call, arguments: TaskOverLink) -> RunResult:
        """Run a declared task.

        Raises:
            ToolError: ``unknown_task``, listing those that are declared; and as `run_command`.
        """
        task = self._tasks.get(arguments.task)
        if task is None:
            declared = ", ".join(sorted(self._tasks)) or "none"
            raise ToolError(
                "unknown_task",
                f"{self._project} declares no task {arguments.task!r}; declared: {declared}. "
                "Add it to project_tasks in the inventory, or use run_command.",
            )
        report_path = _unused_path() if any(REPORT in word for word in task.argv) else None
        argv = [word.replace(REPORT, str(report_path)) for word in task.argv]
        program = Program([*argv, *arguments.arguments], self._tree.root, self._environment)
        return await self._run(call, arguments, self._request(program, arguments, arguments.task), task, report_path)

    async def attach_run(self, call: Call, arguments: AttachArguments) -> RunResult:
        """Wait again for a run that the hub lost sight of, or return how it ended.

        Raises:
            ToolError: ``unknown_job``: no such run was started, as far as this agent and the one before it know.
        """
        collector = self._collectors.get(arguments.job_id)
        if collector is not None and not collector.run.background:
            return await self._follow(call, collector, arguments.wait_seconds)
        run = self.runs.get(arguments.job_id)
        await self.runs.wait(run, arguments.wait_seconds)
        page = await run.transcript.read(run.transcript.total - arguments.output_limit, arguments.output_limit)
        result = self._result(run, excerpt_of(page.pieces), omitted=page.start > 0)
        result.job_id = run.job_id
        return result if run.end is not None else _still_runs(result, page.end)

    async def claim_runs(self, _call: Call, arguments: ClaimArguments) -> Claimed:
        """End the runs whose link broke and for which nobody at the hub waits any more."""
        return Claimed(ended=self.runs.end_lost(arguments.job_ids))

    async def list_jobs(self, _call: Call, _arguments: ListJobsArguments) -> Jobs:
        return Jobs(jobs=[run.describe() for run in self.runs.all()])

    async def job_output(self, _call: Call, arguments: JobOutputArguments) -> JobOutput:
        """Read output of a job from a given place.

        Raises:
            ToolError: ``unknown_job``, ``invalid_cursor``, ``invalid_pattern``.
        """
        return await read_job(self.runs.get(arguments.job_id), arguments)

    async def cancel_job(self, _call: Call, arguments: CancelJobArguments) -> Job:
        """End a job with everything that it started.

        Raises:
            ToolError: ``unknown_job``.
        """
        return (await self.runs.cancel(arguments.job_id)).describe()

    def _request(self, program: Program, arguments: RunArguments, task: str | None = None) -> RunRequest:
        limits, wanted = self.runs.limits, arguments.timeout_seconds
        setting = "max_job_time" if arguments.background else "max_run_time"
        most = limits.max_job_seconds if arguments.background else limits.max_run_seconds
        if wanted is not None and wanted > most:
            longer = "" if arguments.background else ", or start it with background: true"
            raise ToolError(
                "invalid_arguments",
                f"timeout_seconds may be at most {most:g} in {self._project}; give less{longer}, or raise {setting} in "
                "the inventory.",
            )
        default = most if arguments.background else min(DEFAULT_TIMEOUT_SECONDS, most)
        return RunRequest(program, task, arguments.background, wanted or default, arguments.idle_timeout_seconds)

    async def _run(
        self,
        call: Call,
        arguments: CommandOverLink | TaskOverLink,
        request: RunRequest,
        task: Task | None,
        report_path: Path | None,
    ) -> RunResult:
        job_id = arguments.job_id
        if job_id is not None:
            if call.principal.subject != HUB or not job_id.startswith(f"{self._project}:"):
                raise ToolError("invalid_arguments", "job_id is for the hub; leave it out.")
            if job_id in self._collectors or job_id in self.runs:  # it never runs twice
                limit, wait = arguments.output_limit, arguments.wait_seconds
                again = AttachArguments(job_id=job_id, wait_seconds=wait, output_limit=limit)
                return await self.attach_run(call, again)
        reader = None
        if task is not None and task.formats:
            reader = ReportReader(task.formats, report_path, self._tree, request.program.cwd, request.program.argv)
        collector = _Collector(arguments.output_limit, reader, report_path, self._forget_later)
        run = collector.run = self.runs.start(request, collector.observer(), job_id)
        if job_id is not None:
            self._collectors[job_id] = collector
        if arguments.background:
            collector.follows = False
            return RunResult(project=self._project, task=run.task, job_id=run.job_id)
        return await self._follow(call, collector, arguments.wait_seconds)

    async def _follow(self, call: Call, collector: _Collector, wait_seconds: float) -> RunResult:
        """Wait for a run and report its output meanwhile; a run that outlasts the wait goes on as a job.

        When the link to the hub breaks, the run goes on too, until the hub asks for it again or does not claim it.
        """
        run, collector.progress.progress, collector.run.lost = collector.run, call.progress, False
        self._followers += 1
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.progress.run)
                ended = await self.runs.wait(run, wait_seconds)
                tasks.cancel_scope.cancel()
            await collector.progress.tell(last=True)
        except asyncio.CancelledError:
            departure = call.departure() if run.job_id in self._collectors else "cancelled"
            if departure == "cancelled":
                await finish_despite_cancellation(self.runs.end(run))
            else:
                run.lost = True
                if departure == "detached":
                    self.runs.make_job(run)
                if run.end is not None:
                    self._forget_later(collector)
            raise
        finally:
            self._followers -= 1
            self._followers_left.set()
        excerpt = collector.buffer.excerpt()
        result = self._result(run, excerpt, omitted=collector.buffer.omitted > 0)
        collector.follows = False
        self._forget_later(collector)
        return result if ended else _still_runs(result, collector.buffer.total)

    def _forget_later(self, collector: _Collector) -> None:
        """Keep an answer for a while: it may be on its way, on a link that breaks."""
        job_id = collector.run.job_id
        if job_id in self._collectors:
            asyncio.get_running_loop().call_later(_ANSWER_KEPT_SECONDS, self._forget, job_id)
            self._answered.append(collector)
            if len(self._answered) > _ANSWERS_KEPT:
                self._answered.popleft().drop_output()

    def _forget(self, job_id: str) -> None:
        if (collector := self._collectors.pop(job_id, None)) is not None:
            collector.drop_output()

    def _result(self, run: Run, output: Excerpt, omitted: bool) -> RunResult:
        return RunResult(
            project=self._project,
            task=run.task,
            **({"duration_seconds": run.duration_seconds} if run.end is None else vars(run.end)),
            output=output.text,
            streams=output.streams,
            truncated=omitted,
            job_id=run.job_id if run.job_id in self.runs and (omitted or run.background) else None,
            **dict(run.report),
        )


@dataclass
class _Collector:
    """Follows one run: collects the output for the answer, for progress, and for the reader of its report."""

    limit: int
    reader: ReportReader | None
    report_path: Path | None
    on_end: Callable[[_Collector], None]
    run: Run = field(init=False)
    buffer: OutputBuffer = field(init=False)
    progress: ProgressReporter = field(init=False)
    follows: bool = True  # until the answer is made

    def __post_init__(self) -> None:
        self.buffer = OutputBuffer(self.limit)
        self.progress = ProgressReporter(no_progress)

    def observer(self) -> RunObserver:
        return RunObserver(self._take, self._report, lambda: self.buffer.omitted > 0)

    def drop_output(self) -> None:
        """Free the memory of an answer that was most likely received."""
        omitted, self.buffer = self.buffer.total, OutputBuffer(0)
        self.buffer.total = self.buffer.omitted = omitted

    async def _take(self, stream: Stream, data: bytes) -> None:
        if self.reader is not None:
            self.reader.add(stream, data)
        if self.follows:
            self.buffer.add(stream, data)
            self.progress.add(stream, data)

    async def _report(self, end: RunEnd) -> Reported:
        try:
            self.buffer.excerpt()  # so that it is known whether anything was omitted
            return Reported() if self.reader is None else await asyncio.to_thread(self.reader.finish, end.exit_code)
        finally:
            if self.report_path is not None:
                self.report_path.unlink(missing_ok=True)
            self.reader = None  # it may have kept much of the output
            if self.run.lost or self.run.background:  # nobody is about to answer with it
                self.on_end(self)


def _still_runs(result: RunResult, printed: int) -> RunResult:
    """Say that a run goes on as a job, and how to follow it."""
    result.cursor = cursor_after(str(result.job_id), printed)
    result.message = (
        "It still runs, as a job: job_output with this job_id, cursor and wait_seconds reads on; cancel_job ends it. "
        "Its time-out stays as it is."
    )
    return result


def _unused_path() -> Path:
    """Return the path of a file that does not exist, outside the project."""
    return Path(tempfile.gettempdir(), f"codebuddy-{os.urandom(8).hex()}")


def run_tools(tools: RunTools) -> list[Tool[Any]]:
    """Make the run tools of a project."""
    return [
        SPOKE_TOOLS["run_command"].bind(tools.run_command, arguments=CommandOverLink),
        SPOKE_TOOLS["run_task"].bind(tools.run_task, arguments=TaskOverLink),
        *(
            SPOKE_TOOLS[name].bind(getattr(tools, name))
            for name in ("attach_run", "claim_runs", "list_jobs", "job_output", "cancel_job")
        ),
    ]
