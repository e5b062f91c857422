"""What came of a run in several projects, and that for people: a table, failures first, words of others further in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from codebuddy.code.models import grouped
from codebuddy.readable import one_line, paragraph
from codebuddy.runs.models import Reported, RunResult, TestCounts, TestFailure
from codebuddy.tool import Result

__all__ = ["RunResults", "report_lines"]

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
