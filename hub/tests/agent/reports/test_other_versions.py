"""Output of versions and tools that the profiles' images do not have, after those tools' sources and manuals."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from codebuddy.agent.reports.collector import Counts, Report
from codebuddy.agent.reports.formats import read_file_report

Read = Callable[..., Report]


def test_a_panic_of_rust_before_1_73_has_its_location_behind_its_message(read: Read) -> None:
    report = read(
        "cargo-test",
        "running 1 test\ntest a::b ... FAILED\n\nfailures:\n\n---- a::b stdout ----\n"
        "thread 'a::b' panicked at 'it's wrong', src/lib.rs:10:5\n"
        "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n\n\nfailures:\n    a::b\n\n"
        "test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
    )
    assert [(each.name, each.message, each.path, each.line) for each in report.failures] == [
        ("a::b", "it's wrong", "src/lib.rs", 10)
    ]


def test_a_panic_with_a_thread_number_belongs_to_the_test_of_that_thread(read: Read) -> None:
    report = read(
        "cargo-test",
        "running 1 test\n\nfailures:\n\n---- t stdout ----\n\nthread 't' (4242) panicked at tests/a.rs:3:5:\nno\n"
        "note: run with `RUST_BACKTRACE=1`\n\n\nfailures:\n    t\n\n"
        "test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
    )
    assert [(each.message, each.path, each.line) for each in report.failures] == [("no", "tests/a.rs", 3)]


def test_a_panic_inside_a_library_is_located_where_the_project_called_it(read: Read) -> None:
    report = read(
        "cargo-test",
        "running 1 test\n\nfailures:\n\n---- t stdout ----\n\n"
        "thread 't' panicked at /home/codebuddy/.cargo/registry/src/lib-1.0/src/lib.rs:3:5:\nno\nstack backtrace:\n"
        "   0: lib::f\n             at /home/codebuddy/.cargo/registry/src/lib-1.0/src/lib.rs:3:5\n"
        "   1: mine::t\n             at ./src/mine.rs:7:9\n",
        Path("/workspace"),
    )
    assert [(each.path, each.line) for each in report.failures] == [("src/mine.rs", 7)]
    assert str(report.problem).startswith("There is no result of a test binary: ")


def test_a_crashed_test_binary_is_a_failure_in_either_order_of_its_lines(read: Read) -> None:
    ends = "error: test failed, to rerun pass `--test a`\n\nCaused by:\n  process didn't exit successfully: `a`"
    for text in (f"     Running tests/a.rs (a)\nrunning 2 tests\n{ends}", f"     Running tests/a.rs (a)\n{ends}"):
        report = read("cargo-test", text)
        assert report.counts == Counts(failed=1)
        assert [each.name for each in report.failures] == ["tests/a.rs"]


def test_clang_is_recognised_by_its_last_line_and_counts_bytes(read: Read) -> None:
    text = (
        "In file included from a.cpp:1:\n./a.hpp:3:59: error: no member named 'siz' in 'std::string'\n"
        "    3 | int f(std::string s) { return s.siz(); }\n      |                                 ~ ^\n"
        "/usr/include/string:9:1: note: declared here\n"
        "a.cpp:2:5: warning: unused variable 'x' [-Wunused-variable]\n1 warning and 1 error generated.\n"
    )
    report = read("gcc", text)
    assert [(each.path, each.line, each.column, each.source, each.unit) for each in report.findings] == [
        ("a.hpp", 3, 59, "clang", "byte"),
        ("a.cpp", 2, 5, "clang", "byte"),
    ]
    assert report.findings[0].message.endswith(
        "In file included from a.cpp:1\nnote: /usr/include/string:9: declared here"
    )


def test_the_formats_of_older_ruff_and_black_are_read(read: Read) -> None:
    assert [each.path for each in read("ruff", "Would reformat: src/a b.py\n1 file would be reformatted").findings] == [
        "src/a b.py"
    ]
    text = "error: cannot format src/a.py: Cannot parse for target version Python 3.12: 7:4: def f(:"
    assert [(each.path, each.line, each.column) for each in read("black", text).findings] == [("src/a.py", 7, 5)]


def test_an_unmet_plan_and_a_bail_out_are_problems(read: Read) -> None:
    assert read("tap", "1..3\nok 1\nok 2").problem == "The TAP has 2 of 3 planned tests."
    assert read("tap", "TAP version 14\nok 1 - a").problem == "The TAP ends before its plan."
    assert read("tap", "1..2\nok 1\nBail out! no database").problem == "The tests were given up: no database"
    assert read("tap", "1..0 # SKIP nothing here") == Report(Counts())


def test_tap_of_other_runners_is_read(read: Read) -> None:
    report = read(
        "tap",
        "TAP version 13\n# Subtest: outer\n    not ok 1 - inner\n      ---\n      found: 1\n      at:\n"
        "        fileName: test/a.js\n        lineNumber: 12\n      message: >-\n        should be equal\n      ...\n"
        "    1..1\nnot ok 1 - outer # time=3ms\n\nnot ok 2 - later # TODO write it\nok 3 # skip not here\n1..3\n",
    )
    assert report.counts == Counts(failed=1, skipped=2)
    assert [(each.name, each.message, each.path, each.line) for each in report.failures] == [
        ("test/a.js > outer inner", "should be equal", "test/a.js", 12)
    ]


def test_pytest_with_xdist_gives_the_same_failures(read: Read) -> None:
    report = read(
        "pytest",
        "4 workers [2 items]\n.F                                   [100%]\n"
        "=================================== FAILURES ===================================\n"
        "____________________________________ test_a ____________________________________\n"
        "[gw1] linux -- Python 3.13.5 /opt/python/bin/python\n\n    def test_a():\n>       assert 1 == 2\n"
        "E       assert 1 == 2\n\ntests/test_a.py:2: AssertionError\n"
        "=========================== short test summary info ============================\n"
        "FAILED tests/test_a.py::test_a - assert 1 == 2\n"
        "=================== 1 failed, 1 passed, 2 warnings in 61.02s (0:01:01) ==================\n",
    )
    assert report.counts == Counts(passed=1, failed=1)
    assert [(each.name, each.message, each.path, each.line) for each in report.failures] == [
        ("tests/test_a.py::test_a", "assert 1 == 2", "tests/test_a.py", 2)
    ]


def test_a_chained_exception_gives_its_last_message(read: Read) -> None:
    report = read(
        "pytest",
        "== FAILURES ==\n__ test_a __\n\n    def test_a():\n>       f()\nE       KeyError: 'a'\n\na.py:3: KeyError\n\n"
        "The above exception was the direct cause of the following exception:\n\n>       raise ValueError('b')\n"
        "E       ValueError: b\n\nsrc/b.py:9: ValueError\n== 1 failed in 0.01s ==\n",
    )
    assert [(each.name, each.message, each.path, each.line) for each in report.failures] == [
        ("a.py::test_a", "ValueError: b", "src/b.py", 9)
    ]


def test_a_file_of_gradle_or_surefire_is_read(read: Read) -> None:
    document = (
        '<testsuite name="com.x.FooTest" tests="3" failures="1" errors="1"><properties/>'
        '<testcase name="adds()" classname="com.x.FooTest" time="0.002"/>'
        '<testcase name="fails()" classname="com.x.FooTest" time="0.01"><failure message="expected: &lt;1&gt; but was: '
        '&lt;2&gt;" type="AssertionFailedError">AssertionFailedError: expected\n'
        "\tat com.x.FooTest.fails(FooTest.java:12)\n</failure></testcase>"
        '<testcase name="stops()" classname="com.x.FooTest" time="1,234.5"><error type="NullPointerException">'
        "NullPointerException\n\tat com.x.Foo.stop(Foo.java:3)</error></testcase>"
        "<system-out>FAILED</system-out></testsuite>"
    )
    report = read_file_report("junit", io.BytesIO(document.encode()))
    assert report.counts == Counts(passed=1, failed=2)
    assert [(each.name, each.message.split("\n")[0], each.path, each.duration_seconds) for each in report.failures] == [
        ("com.x.FooTest.fails()", "expected: <1> but was: <2>", "com/x/FooTest.java", 0.01),
        ("com.x.FooTest.stops()", "NullPointerException", "com/x/Foo.java", 1234.5),
    ]


def test_a_go_package_of_an_unknown_module_is_located_by_its_import_path(read: Read) -> None:
    event = '{"Action":"%s","Package":"example.org/m/pkg","Test":"TestA"%s}'
    output = ',"Output":"    a_test.go:7: wrong\\n"'
    report = read("go-test", "\n".join([event % ("output", output), event % ("fail", ',"Elapsed":0.5')]))
    assert [(each.path, each.line, each.duration_seconds) for each in report.failures] == [
        ("example.org/m/pkg/a_test.go", 7, 0.5)
    ]


def test_a_log_before_the_error_is_not_part_of_the_message(read: Read) -> None:
    lines = ["    a_test.go:5: a log", "    a_test.go:9: first", "    a_test.go:9: second"]
    events = ['{"Action":"output","Package":"p","Test":"T","Output":"%s\\n"}' % line for line in lines]  # noqa: UP031
    report = read("go-test", "\n".join([*events, '{"Action":"fail","Package":"p","Test":"T"}']))
    assert [(each.message, each.line) for each in report.failures] == [("first\nsecond", 9)]


def test_cargos_json_gives_the_end_of_a_finding_and_where_a_macro_was_used(read: Read) -> None:
    inner = (
        '{"file_name":"/rustc/abc/library/core/src/macros/mod.rs","line_start":9,"column_start":2,"is_primary":true,%s}'
    )
    outer = '{"file_name":"src/lib.rs","line_start":3,"column_start":5,"line_end":3,"column_end":20,"expansion":null}'
    span = inner % f'"expansion":{{"span":{outer}}}'
    message = f'{{"level":"warning","message":"odd","code":{{"code":"clippy::odd"}},"spans":[{span}],"children":[]}}'
    report = read("cargo", f'{{"reason":"compiler-message","message":{message}}}')
    assert [(each.path, each.line, each.column, each.end_column, each.source) for each in report.findings] == [
        ("src/lib.rs", 3, 5, 20, "clippy")
    ]


def test_packages_that_are_tested_concurrently_are_distinguished(read: Read) -> None:
    events = [
        '{"Action":"run","Package":"a","Test":"TestA"}',
        '{"Action":"run","Package":"b","Test":"TestB"}',
        '{"Action":"fail","Package":"a","Test":"TestA"}',
        '{"Action":"output","Package":"b","Output":"exit status 3\\n"}',
        '{"Action":"output","Package":"b","Output":"the process was killed\\n"}',
        '{"Action":"fail","Package":"b"}',
        '{"Action":"fail","Package":"a"}',
    ]
    report = read("go-test", "\n".join(events))
    assert [(each.name, each.message) for each in report.failures] == [
        ("a.TestA", "It failed."),
        ("b", "the process was killed\nIt ended while TestB ran."),
    ]
