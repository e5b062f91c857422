"""The run contract: what a run is asked and how it is told, the same in the hub and in the spoke."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from codebuddy.code.models import Diagnostic, paths_in
from codebuddy.tool import Arguments, Count, Result

__all__ = [
    "DEFAULT_OUTPUT_BYTES",
    "DEFAULT_TIMEOUT_SECONDS",
    "MAX_OUTPUT_BYTES",
    "CancelJobArguments",
    "CommandArguments",
    "EndReason",
    "Job",
    "JobOutput",
    "JobOutputArguments",
    "Jobs",
    "ListJobsArguments",
    "Match",
    "Reported",
    "RunArguments",
    "RunResult",
    "Stretch",
    "StretchOf",
    "TaskArguments",
    "TestCounts",
    "TestFailure",
    "reported_paths",
]

MAX_SECONDS = 30 * 86400.0
DEFAULT_TIMEOUT_SECONDS = 600.0
DEFAULT_OUTPUT_BYTES = 32 * 1024
MAX_OUTPUT_BYTES = 128 * 1024
MAX_WAIT_SECONDS = 60.0

EndReason = Literal[
    "exited",
    "signaled",
    "timeout",
    "idle_timeout",
    "cancelled",
    "oom",
    "agent_restart",
    "spoke_offline",
    "no_answer",
    "not_started",
    "refused",
]
"""How a run ended. ``oom``: the kernel ended it, or a part of it, for want of memory; ``agent_restart``: the spoke was
started anew; ``no_answer``: the spoke did not say how it ended, or not so that it could be
understood; ``not_started``: the program could not be started; ``refused``: the spoke would not run it."""

StretchOf = Literal["stdout", "stderr", "mixed", "omitted"]
JobId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*:[0-9a-f]{8,32}$", max_length=80)]


class RunArguments(Arguments):
    """What every run takes: when to end it, and how much of its output to give."""

    background: bool = Field(
        default=False,
        description="Give a job_id at once and let it run on, whoever disconnects; see job_output and cancel_job.",
    )
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        le=MAX_SECONDS,
        description="End the run after so many seconds; left out: 600, and for a job as long as the project allows.",
    )
    idle_timeout_seconds: float | None = Field(
        default=None, gt=0, le=MAX_SECONDS, description="End the run after so many seconds without output."
    )
    output_limit: int = Field(
        default=DEFAULT_OUTPUT_BYTES,
        ge=0,
        le=MAX_OUTPUT_BYTES,
        description="The most bytes of output in the answer, from its beginning and its end; job_output has the rest.",
    )


class CommandArguments(RunArguments):
    """A command line, as a list: no shell reads it unless the list names one."""

    argv: list[str] = Field(min_length=1, description="Program and arguments, e.g. ['npm', 'test']. No shell is used.")
    cwd: str = Field(
        default="", description="Directory to run in, relative to the project's root: src, not my-project/src."
    )
    environment: dict[str, str] = Field(default_factory=dict, description="Variables added to the project's own.")
    stdin: str | None = Field(default=None, description="Text given on standard input, which is closed after it.")


class TaskArguments(RunArguments):
    """A task that the project declares, by name."""

    task: str = Field(description="Name of a declared task, e.g. test, check, build; list_projects tells which exist.")
    arguments: list[str] = Field(default_factory=list, description="Arguments added to the task's command line.")


class Stretch(Result):
    """So many characters of an output are from this stream.

    ``omitted``: they tell what was left out. ``mixed``: they are of both, which took turns too often to tell each.
    """

    stream: StretchOf
    characters: Count


class TestCounts(Result):
    """How many tests did what; an error counts as failed."""

    __test__ = False  # for pytest, which takes any class of such a name for tests

    passed: Count = 0
    failed: Count = 0
    skipped: Count = 0


class TestFailure(Result):
    """A test that failed. ``path`` is there when it is a file of the project, as `read_file` takes it."""

    __test__ = False

    name: str
    message: str
    path: str | None = None
    line: Count | None = None
    line_text: str | None = None
    duration_seconds: float | None = None


class Reported(Result):
    """What tests, compilers and linters said, read from their output by the format that the task declares."""

    counts: TestCounts | None = None
    failures: list[TestFailure] | None = Field(default=None, description="Of a task that tests: what failed.")
    diagnostics: list[Diagnostic] | None = Field(default=None, description="What compilers and linters found.")
    more_failures: Count | None = Field(default=None, description="So many more failed; the output has them.")
    more_diagnostics: Count | None = Field(default=None, description="So many more were found; the output has them.")
    report_problem: str | None = Field(
        default=None, description="Why there are no failures or diagnostics, or not all."
    )


def reported_paths(report: Reported) -> Iterator[str]:
    """Give every workspace path that a report names."""
    yield from (failure.path for failure in report.failures or [] if failure.path is not None)
    yield from paths_in(report.diagnostics)


class RunResult(Reported):
    """How one run in one project went. Without ``reason`` it still runs, as the job ``job_id``.

    ``cpu_seconds`` is of the whole run; ``peak_memory_bytes`` the most that one process of it had, left out when it is
    too little to tell (about 20 MB).
    """

    project: str
    task: str | None = None
    reason: EndReason | None = None
    exit_code: Count | None = None
    signal: str | None = None
    message: str | None = None
    output: str = ""
    streams: list[Stretch] = Field(default_factory=list, description="Of which stream each stretch of output is.")
    truncated: bool = Field(default=False, description="Whether a part of the output is left out; job_output has it.")
    job_id: str | None = None
    duration_seconds: float = 0.0
    cpu_seconds: float | None = None
    peak_memory_bytes: Count | None = None

    @property
    def ended_well(self) -> bool:
        """Whether the program said that all is well."""
        return self.reason == "exited" and self.exit_code == 0


class Job(Result):
    """A run that goes on, or whose output can still be read. Without ``reason`` it still runs."""

    job_id: str
    project: str
    argv: list[str] = Field(description="The command line; of a long one the beginning, with … at its end.")
    task: str | None = None
    background: bool
    started_at: str = Field(description="In UTC, like 2026-01-31T12:00:00Z.")
    duration_seconds: float
    reason: EndReason | None = None
    exit_code: Count | None = None
    signal: str | None = None
    message: str | None = None
    output_bytes: Count = Field(description="How much it has printed.")


class ListJobsArguments(Arguments):
    """Which jobs to list: those of the spoke."""


class Jobs(Result):
    """Jobs, the newest first."""

    jobs: list[Job]


class JobOutputArguments(Arguments):
    """Which output of which job."""

    job_id: JobId = Field(description="As run_command, run_task or list_jobs gave it.")
    cursor: str | None = Field(default=None, description="The cursor of the previous answer, to go on from there.")
    offset: int | None = Field(
        default=None, description="Begin at this byte of the output; a negative number counts from its end."
    )
    limit: int = Field(
        default=DEFAULT_OUTPUT_BYTES, ge=1, le=MAX_OUTPUT_BYTES, description="The most bytes of output to give."
    )
    pattern: str | None = Field(default=None, min_length=1, description="Give the lines with this text in it only.")
    regex: bool = Field(default=False, description="Whether pattern is a regular expression (RE2).")
    case_sensitive: bool = Field(default=True, description="Whether case counts in the pattern.")
    wait_seconds: float = Field(
        default=0.0,
        ge=0,
        le=MAX_WAIT_SECONDS,
        description="Wait so long for more output (with a pattern: for a line with it), or for the job's end.",
    )


class Match(Result):
    """A line of a job's output: where it begins, in bytes, to be given as ``offset``."""

    offset: Count
    stream: StretchOf
    line_text: str


class JobOutput(Job, Reported):
    """Output of a job from a place on. ``complete``: the job has ended and nothing comes after this.

    ``omitted_bytes`` lie between what was asked for and what is given, and are no longer kept.
    """

    output: str = ""
    streams: list[Stretch] = Field(default_factory=list)
    matches: list[Match] | None = None
    complete: bool
    cursor: str | None = Field(default=None, description="Give this back for what comes next.")
    omitted_bytes: Count | None = None


class CancelJobArguments(Arguments):
    """Which job to end."""

    job_id: JobId = Field(description="As run_command, run_task or list_jobs gave it.")
