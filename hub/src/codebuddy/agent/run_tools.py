"""The run tools of a spoke: run a command line or a declared task, in the foreground or as a job."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio

from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.runs.job_output import read_job
from codebuddy.agent.runs.output import OutputBuffer, ProgressReporter
from codebuddy.agent.runs.process import Program, Stream
from codebuddy.agent.runs.reporting import ReportReader
from codebuddy.agent.runs.runs import Run, RunEnd, RunObserver, RunRequest, Runs, directory_in, network_advice
from codebuddy.configuration import SpokeConfiguration, Task
from codebuddy.schemas.runs import (
    DEFAULT_TIMEOUT_SECONDS,
    CancelJobArguments,
    CommandArguments,
    Job,
    JobOutput,
    JobOutputArguments,
    Jobs,
    ListJobsArguments,
    Reported,
    RunArguments,
    RunResult,
    TaskArguments,
)
from codebuddy.schemas.spoke_tools import SPOKE_TOOLS
from codebuddy.tool import Call, Progress, Tool, ToolError, no_progress

RUNS_DIRECTORY: Final = Path("/home/codebuddy/.cache/codebuddy/runs")
"""Where jobs and long output are kept: in the spoke's cache volume."""

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

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the jobs of an earlier agent; at the end of the block, end everything that still runs."""
        self.runs.load()
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self.runs.close()

    async def run_command(self, call: Call, arguments: CommandArguments) -> RunResult:
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

    async def run_task(self, call: Call, arguments: TaskArguments) -> RunResult:
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
        self, call: Call, arguments: RunArguments, request: RunRequest, task: Task | None, report_path: Path | None
    ) -> RunResult:
        reader = None
        if task is not None and task.formats:
            reader = ReportReader(task.formats, report_path, self._tree, request.program.cwd)
        send_progress = None if arguments.background else call.progress
        collector = _Collector(arguments.output_limit, send_progress, reader, report_path)
        if arguments.background:
            run = self.runs.background(request, collector.observer())
            return RunResult(project=self._project, task=run.task, job_id=run.job_id)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collector.progress.run)
            run = await self.runs.foreground(request, collector.observer())
            tasks.cancel_scope.cancel()
        return self._result(run, collector.buffer)

    def _result(self, run: Run, buffer: OutputBuffer) -> RunResult:
        end, (text, streams) = run.end, buffer.excerpt()
        assert end is not None
        return RunResult(
            project=self._project,
            task=run.task,
            **vars(end),
            output=text,
            streams=streams,
            truncated=buffer.omitted > 0,
            job_id=run.job_id if buffer.omitted else None,
            **dict(run.report),
        )


@dataclass
class _Collector:
    """Follows one run: collects the output for the answer, for progress, and for the reader of its report."""

    limit: int
    send_progress: Progress | None
    reader: ReportReader | None
    report_path: Path | None
    buffer: OutputBuffer = field(init=False)
    progress: ProgressReporter = field(init=False)

    def __post_init__(self) -> None:
        self.buffer = OutputBuffer(self.limit)
        self.progress = ProgressReporter(self.send_progress or no_progress)

    def observer(self) -> RunObserver:
        return RunObserver(self._take, self._report, lambda: self.buffer.omitted > 0)

    async def _take(self, stream: Stream, data: bytes) -> None:
        if self.reader is not None:
            self.reader.add(stream, data)
        if self.send_progress is not None:
            self.buffer.add(stream, data)
            self.progress.add(stream, data)

    async def _report(self, end: RunEnd) -> Reported:
        try:
            if self.send_progress is not None:
                await self.progress.tell(last=True)
            self.buffer.excerpt()  # so that it is known whether anything was omitted
            return Reported() if self.reader is None else await asyncio.to_thread(self.reader.finish, end.exit_code)
        finally:
            if self.report_path is not None:
                self.report_path.unlink(missing_ok=True)


def _unused_path() -> Path:
    """Return the path of a file that does not exist, outside the project."""
    return Path(tempfile.gettempdir(), f"codebuddy-{os.urandom(8).hex()}")


def run_tools(tools: RunTools) -> list[Tool[Any]]:
    """Make the run tools of a project."""
    names = ("run_command", "run_task", "list_jobs", "job_output", "cancel_job")
    return [SPOKE_TOOLS[name].bind(getattr(tools, name)) for name in names]
