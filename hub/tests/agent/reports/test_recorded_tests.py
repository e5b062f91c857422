"""What recorded runs of tests came to: real output of the tools in the profiles, see recorded/README.md."""

# ruff: noqa: E501 - names and messages are as the tools write them

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from codebuddy.agent.reports.collector import Report


class Case(NamedTuple):
    """A recording: passed, failed and skipped; and of each failure name, first line, path, line, whether it is timed."""

    file: str
    counts: tuple[int, int, int] | None
    failures: list[tuple[str, str, str | None, int | None, bool]]
    problem: str | None = None


CASES = [
    Case(
        "pytest/collection-continued.txt",
        (1, 1, 0),
        [
            (
                "tests/test_import.py",
                "ModuleNotFoundError: No module named 'nothing_of_that_name'",
                "tests/test_import.py",
                1,
                False,
            ),
        ],
    ),
    Case(
        "pytest/collection.txt",
        (0, 2, 0),
        [
            (
                "tests/test_import.py",
                "ModuleNotFoundError: No module named 'nothing_of_that_name'",
                "tests/test_import.py",
                1,
                False,
            ),
            (
                "tests/test_syntax.py",
                "SyntaxError: invalid syntax",
                "/workspace/collection/tests/test_syntax.py",
                1,
                False,
            ),
        ],
    ),
    Case(
        "pytest/mixed-line.txt",
        (3, 9, 2),
        [
            ("tests/test_other.py::Case::test_sub (n=2)", "AssertionError: 2 != 1", "tests/test_other.py", None, False),
            (
                "tests/test_shapes.py::test_area_is_wrong",
                "AssertionError: 😀 not an area",
                "tests/test_shapes.py",
                None,
                False,
            ),
            (
                "tests/test_shapes.py::test_raises_in_the_project",
                "ValueError: width i...",
                "tests/test_shapes.py",
                None,
                False,
            ),
            (
                "tests/test_shapes.py::test_words[a b]",
                "AssertionError: assert 'a b' =...",
                "tests/test_shapes.py",
                None,
                False,
            ),
            (
                "tests/test_shapes.py::test_words[\\U0001f600]",
                "AssertionError: assert ...",
                "tests/test_shapes.py",
                None,
                False,
            ),
            (
                "tests/test_shapes.py::test_words[a::b - c]",
                "AssertionError: assert 'a...",
                "tests/test_shapes.py",
                None,
                False,
            ),
            ("tests/test_shapes.py::test_fixed", "[XPASS(strict)] fixed", "tests/test_shapes.py", None, False),
            (
                "tests/test_shapes.py::TestGroup::test_method",
                "AssertionError: assert ...",
                "tests/test_shapes.py",
                None,
                False,
            ),
            ("tests/test_shapes.py::test_setup_error", "RuntimeError: no fixture", "tests/test_shapes.py", None, False),
        ],
    ),
    Case(
        "pytest/mixed-no-traceback.txt",
        (3, 9, 2),
        [
            ("tests/test_other.py::Case::test_sub (n=2)", "AssertionError: 2 != 1", "tests/test_other.py", None, False),
            (
                "tests/test_shapes.py::test_area_is_wrong",
                "AssertionError: 😀 not an area",
                "tests/test_shapes.py",
                None,
                False,
            ),
            (
                "tests/test_shapes.py::test_raises_in_the_project",
                "ValueError: width i...",
                "tests/test_shapes.py",
                None,
                False,
            ),
            (
                "tests/test_shapes.py::test_words[a b]",
                "AssertionError: assert 'a b' =...",
                "tests/test_shapes.py",
                None,
                False,
            ),
            (
                "tests/test_shapes.py::test_words[\\U0001f600]",
                "AssertionError: assert ...",
                "tests/test_shapes.py",
                None,
                False,
            ),
            (
                "tests/test_shapes.py::test_words[a::b - c]",
                "AssertionError: assert 'a...",
                "tests/test_shapes.py",
                None,
                False,
            ),
            ("tests/test_shapes.py::test_fixed", "[XPASS(strict)] fixed", "tests/test_shapes.py", None, False),
            (
                "tests/test_shapes.py::TestGroup::test_method",
                "AssertionError: assert ...",
                "tests/test_shapes.py",
                None,
                False,
            ),
            ("tests/test_shapes.py::test_setup_error", "RuntimeError: no fixture", "tests/test_shapes.py", None, False),
        ],
    ),
    Case(
        "pytest/mixed-short.txt",
        (3, 9, 2),
        [
            ("tests/test_other.py::Case::test_sub (n=2)", "AssertionError: 2 != 1", "tests/test_other.py", 8, False),
            (
                "tests/test_shapes.py::test_area_is_wrong",
                "AssertionError: 😀 not an area",
                "tests/test_shapes.py",
                11,
                False,
            ),
            (
                "tests/test_shapes.py::test_raises_in_the_project",
                "ValueError: width is negative",
                "src/shapes.py",
                3,
                False,
            ),
            (
                "tests/test_shapes.py::test_words[a b]",
                "AssertionError: assert 'a b' == 'ok'",
                "tests/test_shapes.py",
                20,
                False,
            ),
            (
                "tests/test_shapes.py::test_words[\\U0001f600]",
                "AssertionError: assert '😀' == 'ok'",
                "tests/test_shapes.py",
                20,
                False,
            ),
            (
                "tests/test_shapes.py::test_words[a::b - c]",
                "AssertionError: assert 'a::b - c' == 'ok'",
                "tests/test_shapes.py",
                20,
                False,
            ),
            ("tests/test_shapes.py::test_fixed", "[XPASS(strict)] fixed", "tests/test_shapes.py", None, False),
            (
                "tests/test_shapes.py::TestGroup::test_method",
                "AssertionError: assert {'a': 1, 'b': [1, 2, 3]} == {'a': 1, 'b': [1, 2, 4]}",
                "tests/test_shapes.py",
                42,
                False,
            ),
            ("tests/test_shapes.py::test_setup_error", "RuntimeError: no fixture", "tests/test_shapes.py", 47, False),
        ],
    ),
    Case(
        "pytest/mixed-verbose.txt",
        (2, 3, 2),
        [
            ("tests/test_shapes.py::test_setup_error", "RuntimeError: no fixture", "tests/test_shapes.py", 47, False),
            ("tests/test_other.py::Case::test_sub (n=2)", "AssertionError: 2 != 1", "tests/test_other.py", 8, False),
            (
                "tests/test_shapes.py::test_area_is_wrong",
                "AssertionError: 😀 not an area",
                "tests/test_shapes.py",
                11,
                False,
            ),
        ],
    ),
    Case(
        "pytest/mixed.txt",
        (3, 9, 2),
        [
            ("tests/test_other.py::Case::test_sub (n=2)", "AssertionError: 2 != 1", "tests/test_other.py", 8, False),
            (
                "tests/test_shapes.py::test_area_is_wrong",
                "AssertionError: 😀 not an area",
                "tests/test_shapes.py",
                11,
                False,
            ),
            (
                "tests/test_shapes.py::test_raises_in_the_project",
                "ValueError: width is negative",
                "src/shapes.py",
                3,
                False,
            ),
            (
                "tests/test_shapes.py::test_words[a b]",
                "AssertionError: assert 'a b' == 'ok'",
                "tests/test_shapes.py",
                20,
                False,
            ),
            (
                "tests/test_shapes.py::test_words[\\U0001f600]",
                "AssertionError: assert '😀' == 'ok'",
                "tests/test_shapes.py",
                20,
                False,
            ),
            (
                "tests/test_shapes.py::test_words[a::b - c]",
                "AssertionError: assert 'a::b - c' == 'ok'",
                "tests/test_shapes.py",
                20,
                False,
            ),
            ("tests/test_shapes.py::test_fixed", "[XPASS(strict)] fixed", "tests/test_shapes.py", None, False),
            (
                "tests/test_shapes.py::TestGroup::test_method",
                "AssertionError: assert {'a': 1, 'b': [1, 2, 3]} == {'a': 1, 'b': [1, 2, 4]}",
                "tests/test_shapes.py",
                42,
                False,
            ),
            ("tests/test_shapes.py::test_setup_error", "RuntimeError: no fixture", "tests/test_shapes.py", 47, False),
        ],
    ),
    Case(
        "pytest/native-color.txt",
        (0, 1, 0),
        [
            (
                "tests/test_shapes.py::test_area_is_wrong",
                "AssertionError: 😀 not an area",
                "/workspace/mixed/tests/test_shapes.py",
                11,
                False,
            ),
        ],
    ),
    Case("pytest/no-file.txt", (0, 0, 0), [], problem="ERROR: file or directory not found: tests/none.py"),
    Case(
        "pytest/none-selected.txt",
        (0, 2, 0),
        [
            (
                "tests/test_import.py",
                "ModuleNotFoundError: No module named 'nothing_of_that_name'",
                "tests/test_import.py",
                1,
                False,
            ),
            ("tests/test_syntax.py", "SyntaxError: invalid syntax", None, None, False),
        ],
    ),
    Case("pytest/passing-quiet.txt", (7, 0, 0), []),
    Case("pytest/passing.txt", (7, 0, 0), []),
    Case(
        "junit/ctest-mixed.xml",
        (1, 5, 2),
        [
            ("bad", "t.cpp:11: 3 is not 4 <&>", "t.cpp", 11, True),
            ("crash", "Subprocess aborted", "/workspace/mixed/t.cpp", 11, True),
            ("two words 😀", "Failed", None, None, True),
            ("slow", "Timeout", None, None, True),
            ("missing", "Unable to find executable: nothing-of-that-name", None, None, True),
        ],
    ),
    Case("junit/ctest-passing.xml", (3, 0, 0), []),
    Case(
        "junit/node-files.xml",
        (1, 1, 0),
        [
            ("tests/broken.test.ts", "test failed", "/workspace/files/tests/broken.test.ts", None, True),
        ],
    ),
    Case(
        "junit/node-nested.xml",
        (2, 3, 2),
        [
            (
                "tests/area.test.ts > area multiplies 😀 # really",
                "Expected values to be strictly equal:",
                "/workspace/short/tests/area.test.ts",
                11,
                True,
            ),
            (
                "tests/area.test.ts > area nested throws in the project",
                "width is negative",
                "/workspace/short/src/area.ts",
                2,
                True,
            ),
            ("tests/area.test.ts > with subtests bad", "said so", "/workspace/short/tests/area.test.ts", 24, True),
        ],
    ),
    Case("junit/node-passing.xml", (5, 0, 0), []),
    Case(
        "junit/pytest-collection.xml",
        (0, 2, 0),
        [
            (
                "tests/test_import.py",
                "ModuleNotFoundError: No module named 'nothing_of_that_name'",
                "tests/test_import.py",
                1,
                True,
            ),
            (
                "tests/test_syntax.py",
                "SyntaxError: invalid syntax",
                "/workspace/collection/tests/test_syntax.py",
                1,
                True,
            ),
        ],
    ),
    Case(
        "junit/pytest-mixed.xml",
        (2, 9, 2),
        [
            ("tests/test_other.py::Case::test_sub", "AssertionError: 2 != 1", "tests/test_other.py", 8, True),
            (
                "tests/test_shapes.py::test_area_is_wrong",
                "AssertionError: 😀 not an area",
                "tests/test_shapes.py",
                11,
                True,
            ),
            (
                "tests/test_shapes.py::test_raises_in_the_project",
                "ValueError: width is negative",
                "src/shapes.py",
                3,
                True,
            ),
            (
                "tests/test_shapes.py::test_words[a b]",
                "AssertionError: assert 'a b' == 'ok'",
                "tests/test_shapes.py",
                20,
                True,
            ),
            (
                "tests/test_shapes.py::test_words[\\U0001f600]",
                "AssertionError: assert '😀' == 'ok'",
                "tests/test_shapes.py",
                20,
                True,
            ),
            (
                "tests/test_shapes.py::test_words[a::b - c]",
                "AssertionError: assert 'a::b - c' == 'ok'",
                "tests/test_shapes.py",
                20,
                True,
            ),
            ("tests.test_shapes.test_fixed", "[XPASS(strict)] fixed", None, None, True),
            (
                "tests/test_shapes.py::TestGroup::test_method",
                "AssertionError: assert {'a': 1, 'b': [1, 2, 3]} == {'a': 1, 'b': [1, 2, 4]}",
                "tests/test_shapes.py",
                42,
                True,
            ),
            ("tests/test_shapes.py::test_setup_error", "RuntimeError: no fixture", "tests/test_shapes.py", 47, True),
        ],
    ),
    Case("junit/pytest-passing.xml", (7, 0, 0), []),
    Case(
        "junit/pytest-xunit1-collection.xml",
        (0, 2, 0),
        [
            (
                "tests/test_import.py",
                "ModuleNotFoundError: No module named 'nothing_of_that_name'",
                "tests/test_import.py",
                1,
                True,
            ),
            (
                "tests/test_syntax.py",
                "SyntaxError: invalid syntax",
                "/workspace/collection/tests/test_syntax.py",
                1,
                True,
            ),
        ],
    ),
    Case(
        "junit/pytest-xunit1.xml",
        (2, 9, 2),
        [
            ("tests/test_other.py::Case::test_sub", "AssertionError: 2 != 1", "tests/test_other.py", 8, True),
            (
                "tests/test_shapes.py::test_area_is_wrong",
                "AssertionError: 😀 not an area",
                "tests/test_shapes.py",
                11,
                True,
            ),
            (
                "tests/test_shapes.py::test_raises_in_the_project",
                "ValueError: width is negative",
                "src/shapes.py",
                3,
                True,
            ),
            (
                "tests/test_shapes.py::test_words[a b]",
                "AssertionError: assert 'a b' == 'ok'",
                "tests/test_shapes.py",
                20,
                True,
            ),
            (
                "tests/test_shapes.py::test_words[\\U0001f600]",
                "AssertionError: assert '😀' == 'ok'",
                "tests/test_shapes.py",
                20,
                True,
            ),
            (
                "tests/test_shapes.py::test_words[a::b - c]",
                "AssertionError: assert 'a::b - c' == 'ok'",
                "tests/test_shapes.py",
                20,
                True,
            ),
            ("tests/test_shapes.py::test_fixed", "[XPASS(strict)] fixed", "tests/test_shapes.py", 33, True),
            (
                "tests/test_shapes.py::TestGroup::test_method",
                "AssertionError: assert {'a': 1, 'b': [1, 2, 3]} == {'a': 1, 'b': [1, 2, 4]}",
                "tests/test_shapes.py",
                42,
                True,
            ),
            ("tests/test_shapes.py::test_setup_error", "RuntimeError: no fixture", "tests/test_shapes.py", 47, True),
        ],
    ),
    Case(
        "tap/files.txt",
        (1, 1, 0),
        [
            (
                "tests/broken.test.ts",
                "Error [ERR_MODULE_NOT_FOUND]: Cannot find module '/workspace/files/src/nothing.ts' imported from /workspace/files/tests/broken.test.ts",
                "/workspace/files/tests/broken.test.ts",
                1,
                True,
            ),
        ],
    ),
    Case(
        "tap/nested.txt",
        (2, 4, 2),
        [
            (
                "tests/area.test.ts > area multiplies 😀 # really",
                "Expected values to be strictly equal:",
                "/workspace/mixed/tests/area.test.ts",
                11,
                True,
            ),
            (
                "tests/area.test.ts > area nested throws in the project",
                "width is negative",
                "/workspace/mixed/src/area.ts",
                2,
                True,
            ),
            (
                "tests/area.test.ts > area nested compares deeply",
                "Expected values to be strictly deep-equal:",
                "/workspace/mixed/tests/area.test.ts",
                18,
                True,
            ),
            ("tests/area.test.ts > with subtests bad", "said so", "/workspace/mixed/tests/area.test.ts", 27, True),
        ],
    ),
    Case("tap/passing.txt", (5, 0, 0), []),
    Case("tap/spec.txt", None, [], problem="The output is no TAP: it has no test and no plan."),
    Case(
        "go-test/broken.txt",
        (0, 2, 0),
        [
            ("example.org/mixed/nobuild", "It does not build.", None, None, False),
            ("example.org/mixed/vet", "It does not build.", None, None, False),
        ],
    ),
    Case(
        "go-test/mixed.txt",
        (2, 2, 1),
        [
            (
                "example.org/mixed/shapes.TestMultiplies/😀_of_two_words",
                "Area(3, 4) = 7;",
                "shapes/shapes_test.go",
                12,
                True,
            ),
            ("example.org/mixed/shapes.TestHelper", "in a helper", "shapes/shapes_test.go", 25, True),
        ],
    ),
    Case(
        "go-test/no-package.txt",
        (0, 1, 0),
        [
            ("./nowhere", "stat /workspace/mixed/nowhere: directory not found", None, None, False),
        ],
    ),
    Case(
        "go-test/panic.txt",
        (0, 1, 0),
        [
            ("example.org/mixed/shapes.TestPanics", "width is negative", "/workspace/mixed/shapes/shapes.go", 7, True),
        ],
    ),
    Case("go-test/passing.txt", (3, 0, 0), []),
    Case(
        "go-test/syntax.txt",
        (0, 1, 0),
        [
            ("example.org/mixed", "It does not build.", None, None, False),
        ],
    ),
    Case(
        "go-test/timeout.txt",
        (0, 1, 0),
        [
            (
                "example.org/mixed/slow.TestSlow",
                "test timed out after 1s",
                "/workspace/mixed/slow/slow_test.go",
                8,
                False,
            ),
        ],
    ),
    Case(
        "cargo-test/abort.txt",
        (0, 1, 0),
        [
            (
                "tests/stops.rs",
                "process didn't exit successfully: `/tmp/t/debug/deps/stops-4ab34bf61d4fee71` (signal: 6, SIGABRT: process abort signal)",
                None,
                None,
                False,
            ),
        ],
    ),
    Case("cargo-test/broken.txt", None, []),
    Case(
        "cargo-test/mixed-color.txt",
        (0, 4, 0),
        [
            ("gives_an_error", 'Error: "no 😀 result"', None, None, False),
            ("panics_in_the_project", "width is negative", "src/lib.rs", 14, False),
            ("should_have_panicked", "test did not panic as expected", None, None, False),
            ("thread_panics", "called `Result::unwrap()` on an `Err` value: Any { .. }", "tests/panics.rs", 17, False),
        ],
    ),
    Case(
        "cargo-test/mixed-fail-fast.txt",
        (1, 1, 1),
        [
            ("tests::nested::multiplies", "assertion `left == right` failed: 😀 not an area", "src/lib.rs", 25, False),
        ],
    ),
    Case(
        "cargo-test/mixed-nocapture.txt",
        (0, 4, 0),
        [
            ("should_have_panicked", "test did not panic as expected", None, None, False),
            ("gives_an_error", "It failed.", None, None, False),
            ("panics_in_the_project", "width is negative", "src/lib.rs", 14, False),
            ("thread_panics", "called `Result::unwrap()` on an `Err` value: Any { .. }", "tests/panics.rs", 17, False),
        ],
    ),
    Case(
        "cargo-test/mixed-quiet.txt",
        (2, 6, 1),
        [
            ("tests::nested::multiplies", "assertion `left == right` failed: 😀 not an area", "src/lib.rs", 25, False),
            ("gives_an_error", 'Error: "no 😀 result"', None, None, False),
            ("should_have_panicked", "test did not panic as expected", None, None, False),
            ("panics_in_the_project", "width is negative", "src/lib.rs", 14, False),
            ("thread_panics", "called `Result::unwrap()` on an `Err` value: Any { .. }", "tests/panics.rs", 17, False),
            ("src/lib.rs - area (line 5)", "assertion `left == right` failed", "src/lib.rs", 5, False),
        ],
    ),
    Case(
        "cargo-test/mixed.txt",
        (2, 6, 1),
        [
            ("tests::nested::multiplies", "assertion `left == right` failed: 😀 not an area", "src/lib.rs", 25, False),
            ("gives_an_error", 'Error: "no 😀 result"', None, None, False),
            ("should_have_panicked", "test did not panic as expected", None, None, False),
            ("panics_in_the_project", "width is negative", "src/lib.rs", 14, False),
            ("thread_panics", "called `Result::unwrap()` on an `Err` value: Any { .. }", "tests/panics.rs", 17, False),
            ("src/lib.rs - area (line 5)", "assertion `left == right` failed", "src/lib.rs", 5, False),
        ],
    ),
    Case("cargo-test/passing.txt", (3, 0, 0), []),
]


@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_a_recorded_run_gives_its_counts_and_its_failures_where_they_are(
    case: Case, recorded: Callable[[str], Report]
) -> None:
    report = recorded(case.file)
    counts = report.counts and (report.counts.passed, report.counts.failed, report.counts.skipped)
    told = [
        (each.name, each.message.split("\n")[0], each.path, each.line, each.duration_seconds is not None)
        for each in report.failures
    ]
    assert (counts, told, report.problem) == (case.counts, case.failures, case.problem)


def test_every_recording_is_expected_to_give_something() -> None:
    directory = Path(__file__).parent / "recorded"
    formats = {case.file.partition("/")[0] for case in CASES}
    assert {case.file for case in CASES} == {
        f"{name}/{path.name}" for name in formats for path in (directory / name).iterdir()
    }


@pytest.mark.parametrize(
    ("file", "name", "message"),
    [
        (
            "pytest/mixed.txt",
            "tests/test_shapes.py::test_area_is_wrong",
            "AssertionError: 😀 not an area\nassert 7 == 12\n +  where 7 = area(3, 4)",
        ),
        ("pytest/collection.txt", "tests/test_syntax.py", "SyntaxError: invalid syntax\n    def test_syntax(:\n{20}^"),
        (
            "junit/pytest-mixed.xml",
            "tests/test_shapes.py::test_words[a b]",
            "AssertionError: assert 'a b' == 'ok'\n\n  - ok\n  + a b",
        ),
        (
            "junit/ctest-mixed.xml",
            "crash",
            'Subprocess aborted\nt: /workspace/mixed/t.cpp:11: int main(int, char**): Assertion `n == "good"\' failed.',
        ),
        (
            "tap/nested.txt",
            "tests/area.test.ts > area nested compares deeply",
            "Expected values to be strictly deep-equal:\n+ actual - expected\n\n"
            "  {\n    a: 1,\n    b: [\n      1,\n+     2\n-     3\n    ]\n  }",
        ),
        (
            "go-test/mixed.txt",
            "example.org/mixed/shapes.TestMultiplies/😀_of_two_words",
            "Area(3, 4) = 7;\nwant 12",
        ),
        ("go-test/panic.txt", "example.org/mixed/shapes.TestPanics", "width is negative\nsecond line"),
        (
            "go-test/timeout.txt",
            "example.org/mixed/slow.TestSlow",
            "test timed out after 1s\nrunning tests:\nTestSlow (1s)",
        ),
        (
            "cargo-test/mixed.txt",
            "tests::nested::multiplies",
            "assertion `left == right` failed: 😀 not an area\n  left: 7\n right: 12",
        ),
        (
            "cargo-test/mixed.txt",
            "src/lib.rs - area (line 5)",
            "assertion `left == right` failed\n  left: 7\n right: 12",
        ),
    ],
)
def test_a_message_has_all_lines_of_the_assertion_and_nothing_of_the_tool(
    file: str, name: str, message: str, recorded: Callable[[str], Report]
) -> None:
    told = {each.name: each.message for each in recorded(file).failures}
    assert told[name] == message.replace("{20}", " " * 20)
