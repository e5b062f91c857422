"""Arguments and answers of the tools that run programs, and the readable text of their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from codebuddy.schemas.code import Diagnostic, grouped, paths_in
from codebuddy.text_safety import one_line, paragraph
from codebuddy.tool import Arguments, Count, Result

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
"""How a run ended. ``oom``: the kernel killed it, or a part of it, because memory ran out; ``agent_restart``: the spoke
restarted; ``no_answer``: the spoke did not report how it ended, or reported nonsense; ``not_started``: the program
could not be started; ``refused``: the spoke did not accept it."""

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


class TestFailure(Result):
    """A test that failed. ``path`` is set if it is a file of the project, in the form that `read_file` takes."""

    __test__ = False

    name: str
    message: str
    path: str | None = None
    line: Count | None = None
    line_text: str | None = None
    duration_seconds: float | None = None


class Reported(Result):
    """What tests, compilers and linters reported, parsed from their output in the format that the task declares."""

    counts: TestCounts | None = None
    failures: list[TestFailure] | None = Field(default=None, description="The tests that failed.")
    diagnostics: list[Diagnostic] | None = Field(default=None, description="What compilers and linters found.")
    more_failures: Count | None = Field(default=None, description="How many more failed; see the output.")
    more_diagnostics: Count | None = Field(default=None, description="How many more were found; see the output.")
    report_problem: str | None = Field(default=None, description="Why failures or diagnostics are missing.")


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


class RunResult(_Outcome, Reported):
    """How a run in one project ended. Without ``reason`` it still runs, as the job ``job_id``.

    ``cpu_seconds`` counts the whole run; ``peak_memory_bytes`` is the peak of its largest process, left out when it is
    too small to measure (about 20 MB).
    """

    project: str
    output: str = ""
    streams: list[OutputSegment] = Field(default_factory=list, description="Which stream each part comes from.")
    truncated: bool = Field(default=False, description="Whether part of the output is left out; job_output has it.")
    job_id: str | None = None
    duration_seconds: float = 0.0
    cpu_seconds: float | None = None
    peak_memory_bytes: Count | None = None

    @property
    def ended_well(self) -> bool:
        return self.reason == "exited" and self.exit_code == 0


class Job(_Outcome):
    """A run whose output can still be read. Without ``reason`` it still runs."""

    job_id: str
    project: str
    argv: list[str] = Field(description="The command line; a long one is cut and ends in …")
    background: bool
    started_at: str = Field(description="In UTC, like 2026-01-31T12:00:00Z.")
    duration_seconds: float
    output_bytes: Count = Field(description="How much it has printed so far.")


class ListJobsArguments(Arguments):
    """Which jobs to list."""


class Jobs(Result):
    """Jobs, the newest first."""

    jobs: list[Job]


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

    output: str = ""
    streams: list[OutputSegment] = Field(default_factory=list)
    matches: list[Match] | None = None
    complete: bool
    cursor: str | None = Field(default=None, description="Pass this back for what comes next.")
    omitted_bytes: Count | None = None


class CancelJobArguments(Arguments):
    """The job to end."""

    job_id: JobId


_SHOWN_FAILURES: Final = 20
_SHOWN_DIAGNOSTICS: Final = 50
_SHOWN_OUTPUT: Final = 16 * 1024  # characters over all projects; the structured answer has as much as was asked for
_LEAST_OUTPUT: Final = 500
_INDENT: Final = 4
_LEFT_ALIGNED: Final = ("PROJECT", "TASK", "RESULT")  # all other columns are numbers


class RunResults(Result):
    """One result for each project, failures first."""

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

    def text(self) -> str:
        """Render a table of several results, then the details of each."""
        lines = _table(self.results) if len(self.results) > 1 else []
        share = max(_LEAST_OUTPUT, _SHOWN_OUTPUT // max(1, len(self.results)))
        for result in self.results:
            if len(self.results) > 1 and _row_says_all(result):
                continue
            lines += [*([""] if lines else []), *_details(result, share)]
        return "\n".join(lines)


def report_lines(report: Reported) -> list[str]:
    """Render failures and diagnostics; foreign text is indented more than the tool's own lines."""
    lines = [line for failure in (report.failures or [])[:_SHOWN_FAILURES] for line in _failure_lines(failure)]
    more = (report.more_failures or 0) + max(0, len(report.failures or []) - _SHOWN_FAILURES)
    if more:
        lines.append(f"  {more} more failures")
    shown = (report.diagnostics or [])[:_SHOWN_DIAGNOSTICS]
    lines += ["  " + line for line in grouped(shown, lambda found: found.sentence())]
    more = (report.more_diagnostics or 0) + len(report.diagnostics or []) - len(shown)
    if more:
        lines.append(f"  {more} more diagnostics")
    if report.report_problem:
        lines.append(f"  {one_line(report.report_problem)}")
    return lines


def _row_says_all(result: RunResult) -> bool:
    """Whether the table's row says everything: it succeeded, and reported or printed nothing else."""
    reported = result.counts is not None or result.diagnostics is not None
    return result.ended_well and not result.diagnostics and (reported or not result.output.strip("\n"))


def _how(result: RunResult) -> str:
    if result.reason is None:
        return "started"
    if result.reason == "exited":
        return "ok" if result.exit_code == 0 else f"exit code {result.exit_code}"
    if result.reason == "signaled" and result.signal is not None:
        return f"signaled {one_line(result.signal, 20)}"
    return result.reason


def _details(result: RunResult, share: int) -> list[str]:
    task = f" {one_line(result.task, 100)}:" if result.task else ""
    counts = f"; {_counted(result.counts)}" if result.counts else ""
    lines = [f"{result.project}:{task} {_how(result)}{counts} ({result.duration_seconds:.1f} s)"]
    if result.reason is None:
        lines.append(f"  It runs on as the job {one_line(result.job_id or '', 100)}; job_output reads what it prints.")
        return lines
    if result.message:
        lines.append(f"  {one_line(result.message)}")
    lines += report_lines(result)
    output = result.output.strip("\n")
    if output and not (result.failures and result.ended_well):
        lines.append(_heading(result))
        lines.append(" " * _INDENT + paragraph(_cut(output, share), _INDENT, 2 * share))
    return lines


def _heading(result: RunResult) -> str:
    rest = f"; job_output of {one_line(result.job_id, 100)} has all that is kept" if result.job_id else ""
    return f"  output{rest}:"


def _cut(text: str, most: int) -> str:
    """Cut out the middle, and keep more of the end than of the beginning."""
    if len(text) <= most:
        return text
    head = most // 4
    return f"{text[:head]}\n[... {len(text) - most} characters left out here ...]\n{text[head - most :]}"


def _failure_lines(failure: TestFailure) -> list[str]:
    place = "" if failure.path is None else f"  {one_line(failure.path)}{f':{failure.line}' if failure.line else ''}"
    return [
        f"  FAILED {one_line(failure.name, 300)}{place}",
        *([" " * 6 + paragraph(failure.message, 6, 1500)] if failure.message else []),
    ]


def _counted(counts: TestCounts) -> str:
    return f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped"


def _table(results: Sequence[RunResult]) -> list[str]:
    rows = [("PROJECT", "TASK", "RESULT", "PASSED", "FAILED", "SKIPPED", "TIME")]
    for result in results:
        counts = result.counts
        rows.append(
            (
                result.project,
                one_line(result.task or "-", 40),
                _how(result),
                *(("-", "-", "-") if counts is None else (str(counts.passed), str(counts.failed), str(counts.skipped))),
                f"{result.duration_seconds:.1f} s",
            )
        )
    # Leave out empty columns.
    columns = [one for one in zip(*rows, strict=True) if any(cell != "-" for cell in one[1:])]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(
            cell.ljust(width) if column[0] in _LEFT_ALIGNED else cell.rjust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]
