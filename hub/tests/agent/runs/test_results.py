"""The text of run results: a table with failures first, and no line that a program could have forged."""

from __future__ import annotations

from codebuddy.schemas.runs import RunResult, RunResults, TestCounts, TestFailure


def good(project: str, **more: object) -> RunResult:
    return RunResult.model_validate({"project": project, "reason": "exited", "exit_code": 0, "task": "test", **more})


def test_failures_come_first_and_counts_are_added() -> None:
    failure = TestFailure(name="t", message="no\nproject-a: ok", path="b/t.py", line=3)
    bad = good("b", exit_code=1, counts=TestCounts(passed=1, failed=1), failures=[failure])
    shown = RunResults.of(
        [good("a", counts=TestCounts(passed=2, skipped=1)), RunResult(project="c", reason="oom"), bad]
    )
    assert [result.project for result in shown.results] == ["b", "c", "a"]
    assert shown.counts == TestCounts(passed=3, failed=1, skipped=1)
    lines = shown.text().split("\n")
    assert lines[0].split() == ["PROJECT", "TASK", "RESULT", "PASSED", "FAILED", "SKIPPED", "TIME"]
    assert "  FAILED t  b/t.py:3" in lines
    assert not any(line.startswith("project-a") for line in lines)


def test_output_is_indented_and_cannot_control_a_terminal() -> None:
    shown = RunResults.of([good("a", exit_code=1, output="a: ok (0.0 s)\n\x1b[2J\rb: ok\n")]).text()
    first, *rest = shown.split("\n")
    assert first == "a: test: exit code 1 (0.0 s)"
    assert all(line.startswith("  ") for line in rest)
    assert "\x1b" not in shown


def test_a_started_job_is_shown_with_how_to_read_it() -> None:
    shown = RunResults.of([RunResult(project="a", job_id="a:0123456789ab")])
    assert "a:0123456789ab" in shown.text()
    assert shown.results[0].reason is None


def test_of_several_successes_each_shows_its_output_unless_its_report_says_all() -> None:
    shown = RunResults.of(
        [
            good("a", task=None, output="v24.1\n"),
            good("b", task=None),
            good("c", output="7 passed\n", counts=TestCounts(passed=7)),
            good("d", output="checked\n", diagnostics=[]),
        ]
    ).text()
    assert "a: ok (0.0 s)\n  output:\n    v24.1" in shown
    assert "passed\n" not in shown
    assert "checked" not in shown
    assert not [line for line in shown.split("\n") if line.startswith(("b:", "c:", "d:"))]


def test_an_empty_column_is_left_out() -> None:
    shown = RunResults.of([good("a", task=None), good("b", task=None, exit_code=3)]).text()
    assert shown.split("\n")[0].split() == ["PROJECT", "RESULT", "TIME"]
