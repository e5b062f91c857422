"""What a run of tests or of a compiler came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Counts", "Failure", "Finding", "Report", "Severity", "Unit", "joined"]

Severity = Literal["error", "warning", "information", "hint"]
Unit = Literal["codepoint", "utf16", "byte", "display"]


@dataclass(slots=True)
class Counts:
    """How many tests ended how. A test with subtests is not counted beside them; what could not start has failed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed.

    Args:
        name: as the tool's own command line would select it, where it can be known.
        message: the assertion or panic, without the tool's decoration; may have several lines.
        path: as the tool gives it: relative to the working directory, or absolute.
        line: counted from 1; where the assertion failed if that is known and in the project, else where the test is.
        duration_seconds: as the tool gives it.
    """

    name: str
    message: str
    path: str | None
    line: int | None
    duration_seconds: float | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a compiler or linter found.

    Args:
        path: as the tool gives it: relative to the working directory, or absolute.
        line: counted from 1; 1 also where the tool names the file only.
        column: counted from 1, in ``unit``.
        end_line: the line it ends in.
        end_column: the column after its last character.
        severity: what the tool calls it, in the words of a language server.
        message: without the tool's decoration; its further lines are what it noted on it.
        code: the rule, or the number of the error.
        source: the tool.
        unit: what the tool counts columns in; ``display`` are the cells of a terminal, see `codebuddy.reports.columns`.
    """

    path: str
    line: int
    column: int | None
    end_line: int | None
    end_column: int | None
    severity: Severity
    message: str
    code: str | None
    source: str
    unit: Unit


@dataclass(slots=True)
class Report:
    """What was read.

    Args:
        counts: none when the output tells of no tests.
        failures: in order of the output.
        findings: in order of the output.
        more_failures: how many were left out.
        more_findings: how many were left out.
        problem: one sentence, when the output could not be read as the format, or not all of it.
    """

    counts: Counts | None = None
    failures: list[Failure] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    more_failures: int = 0
    more_findings: int = 0
    problem: str | None = None


def joined(reports: Sequence[Report]) -> Report:
    """Put together what was read in several formats of one run: a test run that did not compile has findings only.

    That one of them could not be read is worth a word only where no other tells how it went.
    """
    errors = any(finding.severity == "error" for report in reports for finding in report.findings)
    told = errors or any(report.counts is not None for report in reports)
    return Report(
        counts=next((report.counts for report in reports if report.counts is not None), None),
        failures=[failure for report in reports for failure in report.failures],
        findings=[finding for report in reports for finding in report.findings],
        more_failures=sum(report.more_failures for report in reports),
        more_findings=sum(report.more_findings for report in reports),
        problem=None if told and len(reports) > 1 else next((one.problem for one in reports if one.problem), None),
    )
