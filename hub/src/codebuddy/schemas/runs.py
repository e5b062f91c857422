"""Arguments and answers of the tools that run programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

from codebuddy.schemas.code import Diagnostic, by_file, paths_in
from codebuddy.text_safety import plain_output
from codebuddy.tool import LONG_ANSWER, Arguments, Count, Result, counted, filled

MAX_SECONDS = 30 * 86400.0
DEFAULT_TIMEOUT_SECONDS = 600.0
DEFAULT_OUTPUT_BYTES = 32 * 1024
MAX_OUTPUT_BYTES = 128 * 1024
MAX_WAIT_SECONDS = 60.0
DEFAULT_RUN_WAIT_SECONDS = 45.0
MAX_RUN_WAIT_SECONDS = 600.0

# Of a lean answer, for each project.
_SHOWN: Final = 50  # failures and findings
_SHOWN_MESSAGE: Final = 1500  # characters of a failure

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
"""How a run ended. ``oom``: the kernel killed it, or a part of it, because memory ran out; ``agent_restart``: the spoke
restarted; ``no_answer``: the spoke did not report how it ended, or reported nonsense, and it may still run;
``not_started``: the program could not be started; ``refused``: the spoke did not accept it."""

OutputStream = Literal["stdout", "stderr", "mixed", "omitted"]
JobId = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*:[0-9a-f]{8,32}$", max_length=80),
]


class RunArguments(Arguments):
    """When to end a run, and how much of its output to return."""

    background: bool = Field(default=False, description="Answer with a job_id at once; it outlives the client.")
    timeout_seconds: float | None = Field(
        default=None, gt=0, le=MAX_SECONDS, description="End it after this time; 600, unless background."
    )
    idle_timeout_seconds: float | None = Field(
        default=None, gt=0, le=MAX_SECONDS, description="End it after this time without output."
    )
    wait_seconds: float = Field(
        default=DEFAULT_RUN_WAIT_SECONDS,
        ge=0,
        le=MAX_RUN_WAIT_SECONDS,
        description="Then a run that still goes on becomes a job, with a job_id.",
    )
    output_limit: int = Field(
        default=DEFAULT_OUTPUT_BYTES, ge=0, le=MAX_OUTPUT_BYTES, description="Bytes; job_output has the rest."
    )


class CommandArguments(RunArguments):
    """A command line, as a list: no shell reads it unless the list names one."""

    argv: list[str] = Field(min_length=1, description="Like ['npm', 'ci'], or ['sh', '-c', 'a | b'].")
    cwd: str = Field(default="", description="Relative to the project: src, not project-a/src.")
    environment: dict[str, str] = Field(default_factory=dict, description="Added to the project's own.")
    stdin: str | None = None


class TaskArguments(RunArguments):
    """A task that the project declares, by name."""

    task: str
    arguments: list[str] = Field(default_factory=list, description="Added to its command line.")


class CommandOverLink(CommandArguments):
    """A command line from the hub, which chooses the id of the run, to find it again when the link broke."""

    job_id: SkipJsonSchema[JobId | None] = None


class TaskOverLink(TaskArguments):
    """A task from the hub, likewise."""

    job_id: SkipJsonSchema[JobId | None] = None


class AttachArguments(Arguments):
    """A run to wait for again, after the link on which it was started broke."""

    job_id: JobId
    wait_seconds: float = Field(ge=0, le=MAX_RUN_WAIT_SECONDS)
    output_limit: int = Field(ge=0, le=MAX_OUTPUT_BYTES)


class ClaimArguments(Arguments):
    """The runs that somebody still waits for, or was told that they go on."""

    job_ids: list[str]


class Claimed(Result):
    """How many other runs were ended."""

    ended: Count


class OutputSegment(Result):
    """The next characters of the output come from this stream.

    ``omitted``: they say what was left out. ``mixed``: both streams alternated too often to list each part.
    """

    stream: OutputStream
    characters: Count


class TestCounts(Result):
    """How many tests passed, failed and were skipped; an error counts as failed."""

    __test__ = False  # pytest takes any class of such a name for tests

    passed: Count = 0
    failed: Count = 0
    skipped: Count = 0

    def lean(self) -> dict[str, Any]:
        return {"passed": self.passed, **filled(failed=self.failed, skipped=self.skipped)}


class TestFailure(Result):
    """A test that failed. ``path`` is set if it is a file of the project, in the form that `read_file` takes."""

    __test__ = False

    name: str
    message: str
    path: str | None = None
    line: Count | None = None
    line_text: str | None = None
    duration_seconds: float | None = None

    def lean(self) -> dict[str, Any]:
        place = {} if self.path is None else {"at": f"{self.path}:{self.line}" if self.line else self.path}
        cut = "…" if len(self.message) > _SHOWN_MESSAGE else ""
        return {"name": self.name, **place, "message": self.message[:_SHOWN_MESSAGE] + cut}


class Reported(Result):
    """What tests, compilers and linters reported, parsed from their output in the format that the task declares."""

    counts: TestCounts | None = None
    failures: list[TestFailure] | None = Field(default=None, description="The tests that failed.")
    diagnostics: list[Diagnostic] | None = Field(default=None, description="What compilers and linters found.")
    unlocated: list[str] | None = Field(
        default=None, description="What else they found, as printed: in no file of the project, or not certain which."
    )
    more_failures: Count | None = Field(default=None, description="How many more failed; see the output.")
    more_diagnostics: Count | None = Field(default=None, description="How many more were found; see the output.")
    report_problem: str | None = Field(default=None, description="Why failures or diagnostics are missing.")

    def lean(self) -> dict[str, Any]:
        """Return the first failures and findings, and how many more there are."""
        failures, found, unlocated = self.failures or [], self.diagnostics or [], self.unlocated or []
        return filled(
            counts=self.counts and self.counts.lean(),
            failures=[one.lean() for one in failures[:_SHOWN]],
            diagnostics=by_file(found[:_SHOWN]),
            unlocated=unlocated[:_SHOWN],
            more_failures=(self.more_failures or 0) + len(failures[_SHOWN:]),
            more_diagnostics=(self.more_diagnostics or 0) + len(found[_SHOWN:]) + len(unlocated[_SHOWN:]),
            report_problem=self.report_problem,
        )


def reported_paths(report: Reported) -> Iterator[str]:
    """Return every workspace path that a report names."""
    yield from (failure.path for failure in report.failures or [] if failure.path is not None)
    yield from paths_in(report.diagnostics)


class _Outcome(Result):
    task: str | None = None
    reason: EndReason | None = None
    exit_code: Count | None = None
    signal: str | None = None
    message: str | None = None

    def lean(self) -> dict[str, Any]:
        """Say how it ended: an exit code alone says that it exited."""
        how = {"running": True} if self.reason is None else {} if self.reason == "exited" else {"reason": self.reason}
        return how | self.model_dump(include={"exit_code", "signal", "message"}, exclude_none=True)

    def _times(self, seconds: float) -> dict[str, Any]:
        return {"duration_seconds": round(seconds, 1)} if seconds >= 1 else {}


class RunResult(_Outcome, Reported):
    """How a run in one project ended. Without ``reason`` it still runs, as the job ``job_id``; ``cursor`` is for
    `job_output`, and leads to what comes after ``output``.

    ``cpu_seconds`` counts the whole run; ``peak_memory_bytes`` is the peak of its largest process, left out when it is
    too small to measure (about 20 MB).
    """

    project: str
    output: str = ""
    streams: list[OutputSegment] = Field(default_factory=list, description="Which stream each part comes from.")
    truncated: bool = Field(default=False, description="Whether part of the output is left out; job_output has it.")
    job_id: str | None = None
    cursor: str | None = Field(default=None, description="For job_output: what comes after this output.")
    duration_seconds: float = 0.0
    cpu_seconds: float | None = None
    peak_memory_bytes: Count | None = None

    @property
    def ended_well(self) -> bool:
        return self.reason == "exited" and self.exit_code == 0

    def lean(self) -> dict[str, Any]:
        """Leave out the output where the report says all."""
        answer = _Outcome.lean(self) | self._times(self.duration_seconds) | Reported.lean(self)
        if self.ended_well and (self.counts, self.diagnostics) != (None, None) and not self.report_problem:
            return answer
        if self.reason is None or self.truncated:
            what = "what it prints" if self.reason is None else "the rest of its output"
            answer.setdefault("message", f"job_output reads {what}.")
        rest = filled(truncated=self.truncated, job_id=self.job_id, cursor=self.cursor)
        return answer | rest | filled(output=plain_output(self.output))


class Job(_Outcome):
    """A run whose output can still be read. Without ``reason`` it still runs."""

    job_id: str
    project: str
    argv: list[str] = Field(description="The command line; a long one is cut and ends in …")
    background: bool
    started_at: str = Field(description="In UTC, like 2026-01-31T12:00:00Z.")
    duration_seconds: float
    output_bytes: Count = Field(description="How much it has printed so far.")

    def lean(self) -> dict[str, Any]:
        size = {"output_bytes": self.output_bytes}
        return {"job_id": self.job_id} | _Outcome.lean(self) | self._times(self.duration_seconds) | size

    def line(self) -> str:
        """Render it for a lean answer, after its id."""
        how = f"exit code {self.exit_code}" if self.reason == "exited" else self.reason or "running"
        what = f"task {self.task}" if self.task else " ".join(self.argv)
        size = f"{self.output_bytes} bytes of output"
        message = f"; {self.message}" if self.message else ""
        return f"{how}, {self.duration_seconds:.0f} s, {size}, since {self.started_at}: {what}{message}"


class ListJobsArguments(Arguments):
    """Which jobs to list."""


class Jobs(Result):
    """Jobs, the newest first."""

    jobs: list[Job]

    def lean(self) -> dict[str, Any]:
        return counted(jobs={job.job_id: job.line() for job in self.jobs})


class JobOutputArguments(Arguments):
    """A job, and which part of its output."""

    job_id: JobId
    cursor: str | None = None
    offset: int | None = Field(default=None, description="Byte to start at; negative: from the end.")
    limit: int = Field(default=DEFAULT_OUTPUT_BYTES, ge=1, le=MAX_OUTPUT_BYTES, description="Bytes.")
    pattern: str | None = Field(default=None, min_length=1, description="Only lines that have it.")
    regex: bool = Field(default=False, description="RE2.")
    case_sensitive: bool = True
    wait_seconds: float = Field(
        default=0.0,
        ge=0,
        le=MAX_WAIT_SECONDS,
        description="Wait for output (with a pattern: for a match) or the end.",
    )


class Match(Result):
    """A line of a job's output, and where it starts, in bytes, to pass as ``offset``."""

    offset: Count
    stream: OutputStream
    line_text: str


class JobOutput(Job, Reported):
    """Output of a job from a given place. ``complete``: the job has ended and nothing comes after this.

    ``omitted_bytes``: how many bytes between that place and this output are no longer kept.
    """

    longest = LONG_ANSWER

    output: str = ""
    streams: list[OutputSegment] = Field(default_factory=list)
    matches: list[Match] | None = None
    complete: bool
    cursor: str | None = Field(default=None, description="Pass this back for what comes next.")
    omitted_bytes: Count | None = None

    def lean(self) -> dict[str, Any]:
        answer = {**Job.lean(self), **Reported.lean(self), "complete": self.complete}
        answer |= filled(cursor=self.cursor, omitted_bytes=self.omitted_bytes)
        if self.matches is not None:
            return answer | {"matches": {str(one.offset): plain_output(one.line_text) for one in self.matches}}
        return answer | filled(output=plain_output(self.output))


class CancelJobArguments(Arguments):
    """The job to end."""

    job_id: JobId


class RunResults(Result):
    """One result for each project, failures first."""

    longest = LONG_ANSWER

    results: list[RunResult] = Field(description="Failures come first.")
    counts: TestCounts | None = Field(default=None, description="The tests of all projects together.")

    @classmethod
    def of(cls, results: Sequence[RunResult]) -> RunResults:
        """Sort results, and add up their counts."""
        counted = [result.counts for result in results if result.counts is not None]
        total = TestCounts(
            passed=sum(counts.passed for counts in counted),
            failed=sum(counts.failed for counts in counted),
            skipped=sum(counts.skipped for counts in counted),
        )
        ordered = sorted(results, key=lambda result: (result.ended_well or result.reason is None, result.project))
        return cls(results=ordered, counts=total if counted else None)

    def lean(self) -> dict[str, Any]:
        several = sum(result.counts is not None for result in self.results) > 1
        total = self.counts.lean() if self.counts and several else None
        return {**filled(counts=total), "results": {result.project: result.lean() for result in self.results}}
