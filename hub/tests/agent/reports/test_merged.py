"""Merged reports of one run that has several formats, and reports in terms of the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.reports.collector import Counts, Finding, Report, Severity, merge_reports
from codebuddy.agent.runs.reporting import ReportReader


def finding(severity: Severity) -> Finding:
    return Finding("a.c", 1, 1, severity, "said", "gcc", "codepoint")


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (Report(), "no report"),
        (Report(findings=[finding("warning")]), "no report"),
        (Report(findings=[finding("error")]), None),
        (Report(counts=Counts(passed=1)), None),
        (Report(problem="another"), "no report"),
    ],
)
def test_a_problem_is_kept_unless_another_report_is_conclusive(other: Report, problem: str | None) -> None:
    report = merge_reports([Report(problem="no report"), other])
    assert report.problem == problem
    assert (report.counts, report.findings) == (other.counts, other.findings)


def test_a_problem_of_a_report_that_counts_tests_is_kept() -> None:
    cut = Report(counts=Counts(passed=1), problem="cut")
    assert merge_reports([cut, Report(findings=[finding("error")])]).problem == "cut"
    assert merge_reports([Report(problem="no report"), cut]).problem == "cut"


def test_a_single_report_is_unchanged() -> None:
    report = Report(counts=Counts(1, 2, 3), findings=[finding("error")], more_findings=4, problem="cut")
    assert merge_reports([report]) == report


OUTPUT = b"main.c: In function 'main':\nmain.c:1:12: error: expected ';' before '}' token\n"


@pytest.mark.parametrize(
    ("exit_code", "problem"),
    [(0, None), (None, None), (1, "It ended with exit code 1, but the report (mypy) has nothing that failed")],
)
def test_a_report_that_does_not_account_for_a_failure_says_so(
    tmp_path: Path, exit_code: int | None, problem: str | None
) -> None:
    reader = ReportReader(["mypy"], None, Tree("p", tmp_path), tmp_path)
    reader.add("stdout", b"1 failed in 0.1 s\n")
    reported = reader.finish(exit_code).report_problem
    assert reported is None if problem is None else str(reported).startswith(problem)


@pytest.mark.parametrize("compiles", [True, False])
def test_tests_that_do_not_compile_give_the_compilers_diagnostics(tmp_path: Path, compiles: bool) -> None:
    (tmp_path / "main.c").write_text("int main() {\n}\n")
    file = tmp_path / "report.xml"
    reader = ReportReader(["junit", "gcc"], file, Tree("p", tmp_path), tmp_path)
    if compiles:
        file.write_text('<testsuite name="s" tests="1"><testcase name="one" time="0.1"/></testsuite>')
    else:
        reader.add("stderr", OUTPUT)
    reported = reader.finish()
    assert reported.report_problem is None
    if compiles:
        assert reported.counts is not None
        assert reported.counts.passed == 1
        assert reported.diagnostics is None
    else:
        assert reported.counts is None
        assert [(one.path, one.line, one.severity) for one in reported.diagnostics or []] == [("p/main.c", 1, "error")]
