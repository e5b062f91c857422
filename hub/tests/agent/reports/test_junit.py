"""What recorded reports do not show of JUnit's dialects."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.reports.collector import Counts, Report
from codebuddy.agent.reports.formats import read_file_report
from codebuddy.agent.runs.reporting import ReportReader
from codebuddy.schemas.runs import Reported

Run = Callable[..., Reported]
ROOT = Path("/workspace")
FAILED = '<failure message="no">no</failure>'


def read(document: str, exit_code: int = 1) -> Report:
    return read_file_report("junit", io.BytesIO(document.encode()), ROOT, exit_code)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that reads what a task printed, and the report that it wrote."""

    def _run(document: str, printed: str = "", formats: tuple[str, ...] = ("junit",)) -> Reported:
        file = tmp_path / ".report"
        file.write_text(document)
        reader = ReportReader(formats, file, Tree("p", tmp_path.resolve()), tmp_path.resolve())
        reader.add("stdout", printed.encode())
        return reader.finish(1)

    return _run


def told(report: Report) -> list[tuple[str, str, str | None, int | None]]:
    return [(each.name, each.message, each.path, each.line) for each in report.failures]


def test_an_error_directly_in_a_suite_is_a_failure_of_the_suite() -> None:
    report = read(
        '<testsuites><testsuite name="test/a.test.ts"><error message="boom">at test/a.test.ts:3:1</error>'
        '<testcase name="one"/></testsuite></testsuites>'
    )
    assert report.counts == Counts(passed=1, failed=1)
    assert told(report) == [("test/a.test.ts", "boom", "test/a.test.ts", 3)]


def test_errors_that_no_test_of_vitest_caught_are_failures() -> None:
    report = read(
        '<testsuites name="vitest tests" tests="2" failures="0" errors="1">'
        '<testsuite name="a.test.ts"><testcase classname="a.test.ts" name="passes"/></testsuite>'
        '<testsuite name="vitest unhandled errors"><testcase classname="vitest unhandled errors" '
        'name="Unhandled Rejection"><error message="late" type="Error">Error: late\n at a.test.ts:2:57</error>'
        "</testcase></testsuite></testsuites>"
    )
    assert report.counts == Counts(passed=1, failed=1)
    assert told(report) == [("vitest unhandled errors.Unhandled Rejection", "late", "a.test.ts", 2)]
    assert report.problem is None


def test_the_set_up_of_a_suite_of_googletest_has_no_name_and_is_called_like_the_suite() -> None:
    report = read(
        '<testsuites name="AllTests" tests="1" failures="1"><testsuite name="Set" tests="1" failures="1">'
        '<testcase name="" status="run" result="completed" classname="Set">'
        '<failure message="/workspace/g.cc:7&#x0A;Failed">/workspace/g.cc:7\nFailed</failure></testcase>'
        '<testcase name="One" status="run" result="skipped" classname="Set"><skipped message=""/></testcase>'
        "</testsuite></testsuites>"
    )
    assert report.counts == Counts(failed=1, skipped=1)
    assert [(each.name, each.path, each.line) for each in report.failures] == [("Set", "/workspace/g.cc", 7)]


@pytest.mark.parametrize(("exit_code", "counts"), [(0, Counts(passed=1)), (1, Counts(passed=1, failed=2))])
def test_failures_before_a_pass_are_tries_only_if_the_runner_says_that_all_is_well(
    exit_code: int, counts: Counts
) -> None:
    case = '<testcase name="rows" classname="ex.ATest"'
    document = f'<testsuite name="ex.ATest">{case}>{FAILED}</testcase>{case}>{FAILED}</testcase>{case}/></testsuite>'
    assert read(document, exit_code).counts == counts


def test_the_place_of_a_subtest_of_node_is_in_its_body() -> None:
    report = read(
        '<testsuites><testcase name="sub" classname="test" file="/workspace/a.test.mjs"><failure message="x">'
        "\nError [ERR_TEST_FAILURE]: x\n    at TestContext.&lt;anonymous> (file:///workspace/a.test.mjs:11:11) {\n"
        "  code: 'ERR_TEST_FAILURE',\n  cause: AssertionError: x\n"
        "      at TestContext.&lt;anonymous> (file:///workspace/a.test.mjs:14:5)\n}</failure></testcase></testsuites>"
    )
    assert told(report) == [("a.test.mjs > sub", "x", "/workspace/a.test.mjs", 14)]


def test_a_parent_of_node_that_failed_by_itself_is_only_in_the_counts() -> None:
    report = read(
        '<testsuites><testsuite name="parent"><testcase name="child" classname="test" file="/workspace/a.mjs"/>'
        "</testsuite><!-- tests 2 --><!-- suites 0 --><!-- pass 1 --><!-- fail 1 --><!-- cancelled 0 --></testsuites>"
    )
    assert report.problem is not None
    assert report.problem.startswith("node counts 1 failures and names only 0")


def test_an_error_that_jest_wrote_as_json_is_a_message() -> None:
    report = read(
        '<testsuite name="s"><testcase name="hooks"><failure>{"message":"","stack":"Error: no\\n    at a (a.js:1:2)"}'
        "</failure></testcase></testsuite>"
    )
    assert told(report) == [("hooks", "Error: no", "a.js", 1)]


@pytest.mark.parametrize(
    ("suite", "exit_code", "problem"),
    [
        ('name="pytest"', 1, None),
        ('name="pytest"', 2, "pytest stopped before the end"),
        ('name="ATest" assertions="1"', 1, None),
        ('name="ATest" assertions="1"', 2, "PHPUnit says that there were errors"),
        ('name="Mocha Tests"', 1, None),
        ('name="Mocha Tests"', 3, "Mocha says that 3 failed, and the report has 1"),
    ],
)
def test_an_exit_code_that_says_more_than_the_report_is_told(suite: str, exit_code: int, problem: str | None) -> None:
    report = read(f'<testsuite {suite}><testcase classname="a" name="b">{FAILED}</testcase></testsuite>', exit_code)
    if problem is None:
        assert report.problem is None
    else:
        assert str(report.problem).startswith(problem)


@pytest.mark.parametrize(
    ("printed", "problem"),
    [
        ("Tests:       2 failed, 3 passed, 5 total", "2 failed, and the report has 1"),
        ("  ● Test suite failed to run\n", "could not be run"),
        ("      Tests  2 failed | 4 passed (6)", "2 failed"),
        ("     Errors  1 error", "1 errors beside tests"),
        (" 3 fail\n 2 errors\n", "3 failed"),
        ("FAILED | 1 passed | 1 failed (1 step) (3ms)", "2 failed"),
        ("./a_test.ts (uncaught error)", "./a_test.ts (uncaught error)"),
        ("  2 failing", "2 failed"),
        ("  2 failed", "2 failed"),
        ("[ERROR] Tests run: 7, Failures: 1, Errors: 1, Skipped: 0", "2 failed"),
        ("Tests: 8, Assertions: 4, Errors: 1, Failures: 2, Skipped: 2.", "3 failed"),
        ("8 examples, 2 failures, 2 pending", "2 failed"),
        ("1 examples, 0 failures, 1 error occurred outside of examples", "outside of examples"),
        ("DONE 26 tests, 2 skipped, 16 failures in 3.1s", "16 failed"),
        ("DONE 10 tests, 1 failure, 1 error in 0.8s", "1 errors beside tests"),
        ("38% tests passed, 8 tests failed out of 13", "8 failed"),
        ("6 tests, 2 failures, 1 skipped", "2 failed"),
        ("Tests:       1 failed, 3 passed, 4 total\nAll that failed is known.", None),
        ("8 examples, 0 failures\n", None),
    ],
)
def test_an_output_that_says_more_than_the_report_is_told(printed: str, problem: str | None, run: Run) -> None:
    reported = run(f'<testsuite name="s"><testcase name="one">{FAILED}</testcase></testsuite>', printed)
    if problem is None:
        assert reported.report_problem is None
    else:
        assert problem in (reported.report_problem or "")


def test_what_only_the_counts_say_is_told_beside_a_compiler_without_errors(run: Run) -> None:
    document = f'<testsuite name="s" tests="3" failures="2"><testcase name="one">{FAILED}</testcase></testsuite>'
    reported = run(document, "a.c:1:2: warning: odd\n", ("junit", "gcc"))
    assert reported.report_problem == (
        "The report counts 2 failures and names only 1: something else failed; see the output."
    )


def test_the_file_of_a_java_class_is_found_unless_two_have_its_name(run: Run, tmp_path: Path) -> None:
    frame = "AssertionError\n\tat org.junit.Assert.fail(Assert.java:9)\n\tat ex.ATest.is bad(ATest.java:2)\n"
    case = f'<testcase name="bad" classname="ex.ATest"><failure message="no">{frame}</failure></testcase>'
    document = f'<testsuite name="ex.ATest">{case}</testsuite>'
    for module, expected in (("one", ("p/one/src/test/java/ex/ATest.java", 2)), ("two", (None, None))):
        (tmp_path / module / "src/test/java/ex").mkdir(parents=True)
        (tmp_path / module / "src/test/java/ex/ATest.java").write_text("\n\n")
        (failure,) = run(document).failures or []
        assert (failure.path, failure.line) == expected
