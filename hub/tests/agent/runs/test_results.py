"""Lean run results: failures first, output where nothing else says all, and no line that a program could forge."""

from __future__ import annotations

from codebuddy.schemas.runs import Job, JobOutput, RunResult, RunResults, TestCounts, TestFailure
from codebuddy.text_safety import plain_output


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
    assert shown.lean() == {
        "counts": {"passed": 3, "failed": 1, "skipped": 1},
        "results": {
            "b": {
                "exit_code": 1,
                "counts": {"passed": 1, "failed": 1},
                "failures": [{"name": "t", "at": "b/t.py:3", "message": "no\nproject-a: ok"}],
            },
            "c": {"reason": "oom"},
            "a": {"exit_code": 0, "counts": {"passed": 2, "skipped": 1}},
        },
    }
    assert not any(line.startswith("project-a") for line in shown.text().split("\n"))


def test_output_is_indented_and_cannot_control_a_terminal() -> None:
    shown = RunResults.of([good("a", exit_code=1, output="a: ok (0.0 s)\n\x1b[2J\x08b: ok\nexit_code: 0\n")]).text()
    assert shown.split("\n") == [
        "results:",
        "  a:",
        "    exit_code: 1",
        "    output:",
        "      a: ok (0.0 s)",
        "      \\x08b: ok",
        "      exit_code: 0",
    ]


def test_the_output_of_a_program_is_shown_byte_for_byte() -> None:
    makefile = "all: a\tb  \n\tcc -o $@ \\\n\t\t$^   \n\n  two\n"
    answer = RunResults.of([good("a", task=None, output=makefile)])
    assert answer.lean()["results"]["a"]["output"] == makefile
    below = answer.text().partition("output:\n")[2].split("\n")
    assert "".join(line.removeprefix(" " * 6) + "\n" for line in below) == makefile


def test_colours_and_overwritten_lines_are_not_shown() -> None:
    bar = "".join(f"\r\x1b[K{done:3} %" for done in range(101))
    printed = f"\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x07\r\nload\r\n{bar}\r\nend\x1b(B"
    assert plain_output(printed) == "red link\nload\n100 %\nend"
    assert good("a", task=None, output=printed).lean()["output"] == plain_output(printed)
    job = {"job_id": "a:0123456789", "project": "a", "argv": ["x"], "background": True, "started_at": ""}
    output = JobOutput.model_validate(
        {**job, "duration_seconds": 1.0, "output_bytes": 1, "output": printed, "complete": True}
    )
    assert output.lean()["output"] == plain_output(printed)


def test_an_escape_that_never_ends_takes_no_further_line_with_it() -> None:
    assert plain_output("\x1b]0;title\nkept\x07") == "0;title\nkept\x07"


def test_an_escape_within_an_escape_leaves_none() -> None:
    printed = "\x1b\x1b[0m[31mred \x9b\x1b[0m31mred \x1b\x1b[m]0;title\x07 \x1b[1\x1b"
    assert plain_output(printed) == "[31mred 31mred ]0;title\x07 "


def test_a_running_job_says_how_to_go_on() -> None:
    shown = RunResults.of([RunResult(project="a", job_id="a:0123456789ab")])
    assert shown.results[0].reason is None
    assert shown.lean()["results"]["a"] == {
        "running": True,
        "message": "job_output reads what it prints.",
        "job_id": "a:0123456789ab",
    }


def test_a_cut_output_leads_to_the_rest() -> None:
    answer = good("a", task=None, output="x", truncated=True, job_id="a:0123456789ab").lean()
    assert answer == {
        "exit_code": 0,
        "truncated": True,
        "message": "job_output reads the rest of its output.",
        "job_id": "a:0123456789ab",
        "output": "x",
    }


def test_of_several_successes_each_shows_its_output_unless_its_report_says_all() -> None:
    results = RunResults.of(
        [
            good("a", task=None, output="v24.1\n"),
            good("b", task=None),
            good("c", output="7 passed\n", counts=TestCounts(passed=7)),
            good("d", output="checked\n", diagnostics=[]),
            good("e", output="odd\n", counts=TestCounts(), report_problem="It has no tests."),
        ]
    ).lean()["results"]
    assert {project: result.get("output") for project, result in results.items()} == {
        "a": "v24.1\n",
        "b": None,
        "c": None,
        "d": None,
        "e": "odd\n",
    }


def test_what_is_in_no_file_of_the_project_is_shown_as_printed() -> None:
    answer = good("a", exit_code=1, diagnostics=[], unlocated=[f"a.c:{number}:1: error: no" for number in range(60)])
    assert (answer.lean()["unlocated"][0], answer.lean()["more_diagnostics"]) == ("a.c:0:1: error: no", 10)


def test_of_many_failures_the_first_are_shown_and_the_rest_counted() -> None:
    failures = [TestFailure(name=f"t{number}", message="x" * 5000) for number in range(60)]
    answer = good("a", exit_code=1, failures=failures, more_failures=5).lean()
    assert (len(answer["failures"]), answer["more_failures"]) == (50, 15)
    assert len(answer["failures"][0]["message"]) < 2000


def test_a_job_is_one_row() -> None:
    job = Job.model_validate(
        {
            "job_id": "a:0123456789",
            "project": "a",
            "argv": ["npm", "test"],
            "background": True,
            "started_at": "2026-01-31T12:00:00Z",
            "duration_seconds": 3.2,
            "output_bytes": 12,
            "reason": "exited",
            "exit_code": 1,
        }
    )
    assert job.line() == "exit code 1, 3 s, 12 bytes of output, since 2026-01-31T12:00:00Z: npm test"
