"""The run contract: what a run is asked and how it is told, the same in the hub and in the spoke."""

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


_SHOWN_FAILURES: Final = 20
_SHOWN_DIAGNOSTICS: Final = 50
_SHOWN_OUTPUT: Final = 16 * 1024  # characters, over all projects: the structure has what was asked for
_LEAST_OUTPUT: Final = 500
_INDENT: Final = 4
_LEFT: Final = ("PROJECT", "TASK", "RESULT")  # columns of words; all others are of numbers


class RunResults(Result):
    """One result a project, those that did not end well first."""

    results: list[RunResult] = Field(description="Those that did not end well come first.")
    counts: TestCounts | None = Field(default=None, description="Of the tests of all projects together.")

    @classmethod
    def of(cls, results: Sequence[RunResult]) -> RunResults:
        """Join results."""
        counted = [result.counts for result in results if result.counts is not None]
        total = TestCounts(
            passed=sum(counts.passed for counts in counted),
            failed=sum(counts.failed for counts in counted),
            skipped=sum(counts.skipped for counts in counted),
        )
        ordered = sorted(results, key=lambda result: (result.ended_well or _runs_on(result), result.project))
        return cls(results=ordered, counts=total if counted else None)

    def text(self) -> str:
        """Give a table of several, then each with what is to be known of it."""
        lines = _table(self.results) if len(self.results) > 1 else []
        share = max(_LEAST_OUTPUT, _SHOWN_OUTPUT // max(1, len(self.results)))
        for result in self.results:
            if len(self.results) > 1 and _row_says_all(result):
                continue
            lines += [*([""] if lines else []), *_told(result, share)]
        return "\n".join(lines)


def report_lines(report: Reported) -> list[str]:
    """Give what failed and what was found, for people; words of others are further in than the tool's own."""
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


def _runs_on(result: RunResult) -> bool:
    return result.reason is None


def _row_says_all(result: RunResult) -> bool:
    """Whether a result ended well, and its report found nothing or it printed nothing."""
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


def _told(result: RunResult, share: int) -> list[str]:
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
    """Leave out the middle: more of the end stays than of the beginning."""
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
    # A column in which nobody has anything is none.
    columns = [one for one in zip(*rows, strict=True) if any(cell != "-" for cell in one[1:])]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(
            cell.ljust(width) if column[0] in _LEFT else cell.rjust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]
