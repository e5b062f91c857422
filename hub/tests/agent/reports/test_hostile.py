"""No output makes a reader raise, use unbounded memory or take more than linear time."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from codebuddy.agent.reports.collector import MAX_FAILURES, MAX_FINDINGS, Reader, Report, strip_escapes
from codebuddy.agent.reports.formats import FILE_FORMATS, FORMATS, KNOWN_FORMATS, read_file_report, reader_for

RECORDED = Path(__file__).parent / "recorded"
PRINTED = sorted(path for path in RECORDED.glob("*/*.txt") if path.stat().st_size)
LONGEST = 65536
MANY = 100_000
# A finding or failure in each format; %d makes each one different.
ITEM = {
    "pytest": [
        "= FAILURES =",
        "== FAILURES ==",
        "___ test_%d ___",
        "E   no",
        "== short test summary info ==",
        "FAILED a.py::t%d",
    ],
    "tap": ["not ok %d - t%d", "  ---", "  error: no", "  ..."],
    "go-test": [
        '{"Action":"output","Package":"p","Test":"T%d","Output":"    a_test.go:1: no\\n"}',
        '{"Action":"fail","Package":"p","Test":"T%d"}',
    ],
    "cargo-test": [
        "running 1 test",
        "---- t%d stdout ----",
        "thread 't%d' panicked at a.rs:1:1:",
        "no",
        "failures:",
        "    t%d",
        "test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
    ],
    "tsc": ["a.ts(%d,1): error TS1: no"],
    "mypy": ["a.py:%d: error: no  [misc]"],
    "ruff": ["a.py:%d:1: F401 no"],
    "pyflakes": ["a.py:%d:1: no"],
    "black": ["would reformat a%d.py"],
    "cargo": ["error: no", " --> a.rs:%d:1"],
    "go": ["a.go:%d:1: no"],
    "gcc": ["a.c:%d:1: error: no"],
    "ty": ["a.py:%d:1: error[no] no"],
    "pyright": ["  a.py:%d:1 - error: no"],
    "basedpyright": ["  a.py:%d:1 - error: no"],
    "eslint": ["/a.js", "  %d:1  error  no"],
    "biome": ["! a.js:%d:1: lint/no: no"],
}


def _checked(report: Report) -> Report:
    assert len(report.failures) <= MAX_FAILURES
    assert len(report.findings) <= MAX_FINDINGS
    for failure in report.failures:
        assert len(failure.message) <= 2000
        assert len(failure.name) <= 2000
        assert failure.line is None or failure.line > 0
        repr(failure).encode("utf-8")
    for finding in report.findings:
        assert finding.path
        assert finding.line > 0
        assert len(finding.message) <= 2000
        repr(finding).encode("utf-8")
    if report.problem is not None:
        assert 0 < len(report.problem) <= 500
    return report


def _fed(format_name: str, lines: list[str]) -> Report:
    reader = reader_for(format_name, Path("/workspace"))
    for line in lines:
        reader.feed(line)
    return _checked(reader.finish())


def _read(data: bytes) -> Report:
    return _checked(read_file_report("junit", io.BytesIO(data)))


@pytest.mark.parametrize("format_name", FORMATS)
def test_output_may_be_cut_anywhere(format_name: str) -> None:
    for path in PRINTED:
        text = path.read_text(encoding="utf-8")
        for end in range(0, len(text), max(1, len(text) // 40)):
            _fed(format_name, text[:end].split("\n"))


@pytest.mark.parametrize("format_name", FORMATS)
def test_lines_of_all_tools_may_come_in_any_order(format_name: str) -> None:
    lines = [line for path in PRINTED for line in path.read_text(encoding="utf-8").split("\n")]
    for seed in range(3):
        random.Random(seed).shuffle(lines)
        _fed(format_name, lines)


@pytest.mark.parametrize("format_name", FORMATS)
def test_lines_may_contain_any_bytes(format_name: str) -> None:
    source = random.Random(format_name)
    lines = [line for path in PRINTED for line in path.read_bytes().split(b"\n")]
    for _ in range(3000):
        line = bytearray(source.choice(lines)[:400])
        for _ in range(source.randrange(6)):
            at = source.randrange(len(line) + 1)
            line[at : at + source.randrange(4)] = source.randbytes(source.randrange(4))
        _fed(format_name, [bytes(line).decode("utf-8", "replace")] * 2)
    _fed(format_name, source.randbytes(200_000).decode("utf-8", "replace").split("\n"))


@pytest.mark.parametrize("format_name", FORMATS)
def test_items_left_out_of_a_long_report_are_counted(format_name: str) -> None:
    templates = ITEM[format_name]
    tests = format_name in {"pytest", "tap", "go-test", "cargo-test"}
    lines = [line.replace("%d", str(count + 1)) for count in range(1000) for line in templates]
    report = _fed(format_name, lines)
    if tests:
        assert len(report.failures) == MAX_FAILURES
        assert report.more_failures > 0
    else:
        assert (len(report.findings), report.more_findings) == (MAX_FINDINGS, 1000 - MAX_FINDINGS)


def _size(value: Any, seen: set[int]) -> int:
    """Return the bytes of an object and all that it holds."""
    if id(value) in seen or isinstance(value, type):
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(_size(key, seen) + _size(item, seen) for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)) or type(value).__name__ == "deque":
        return size + sum(_size(item, seen) for item in value)
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    held = [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots)]
    return size + sum(_size(item, seen) for item in held)


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_hundred_thousand_lines_use_bounded_memory(format_name: str) -> None:
    reader = reader_for(format_name, None)
    templates = ITEM[format_name]
    for count in range(MANY // len(templates)):
        for line in templates:
            reader.feed(line.replace("%d", str(count + 1)) + " " + "x" * 100)
            reader.feed(line.replace("%d", str(count + 1)))
    assert _size(reader, set()) < 16 * 2**20
    _checked(reader.finish())


@pytest.mark.parametrize("format_name", FORMATS)
def test_long_names_paths_and_messages_use_bounded_memory(format_name: str) -> None:
    reader = reader_for(format_name, None)
    long = "é" * 30_000
    for count in range(1000):
        for line in ITEM[format_name]:
            for text in (line.replace("%d", f"{long}{count}"), f"{line.replace('%d', str(count + 1))} {long}{count}"):
                reader.feed(text)
                reader.feed(f"{long}{count}")
    assert _size(reader, set()) < 32 * 2**20
    _checked(reader.finish())


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize(
    "unit", [*"{[(<\"'-=_#: 0a\x1b\t|^.", "E ", "ab ", ":1", ":1:1: ", "[a", " - ", "(1", "\x1b[", "😀"]
)
def test_a_long_repetitive_line_is_read_without_backtracking(format_name: str, unit: str) -> None:
    for before in (
        "",
        "not ok 1 - ",
        "FAILED ",
        "a:1:1: error: ",
        "_ ",
        "SUBFAILED(",
        '{"Action":"',
        "E   ",
        "1 passed, ",
    ):
        line = (before + unit * LONGEST)[:LONGEST]
        _fed(format_name, ["== FAILURES ==", line, "running 1 test", line, "== short test summary info ==", line])


def _calls(work: Callable[[], object]) -> int:
    """Count the calls of functions, of Python and of C."""
    count = 0

    def _count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(_count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_number_of_calls_is_linear_in_the_number_of_lines(format_name: str) -> None:
    def _work(count: int) -> Callable[[], object]:
        templates = ITEM[format_name]
        lines = [line.replace("%d", str(number + 1)) for number in range(count) for line in templates]
        reader: Reader = reader_for(format_name, None)
        return lambda: ([reader.feed(line) for line in lines], reader.finish())  # type: ignore[func-returns-value]

    once, twice = _calls(_work(2000)), _calls(_work(4000))
    assert twice < 2.5 * once


def test_only_escape_sequences_are_stripped() -> None:
    assert strip_escapes("\x1b[1;31mred\x1b[0m \x1b]8;;file:///x\x07link\x1b]8;;\x1b\\ [0m") == "red link [0m"
    assert strip_escapes("\x1b[" * 10 + "x") == "\x1b[" * 9  # only the last one is whole
    assert strip_escapes("a" * LONGEST + "b") == "a" * LONGEST


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"", "No JUnit XML was written."),
        (b"  \n", "No JUnit XML was written."),
        (b"<html></html>", "outermost element"),
        (b"<testsuites><testsuite><testcase name='a'/>", "ends in the middle"),
        (b"<testsuites><testsuite><testca", "ends in the middle"),
        (b"<testsuites></testsuite>", "not well-formed"),
        (b"\xff\xfe\x00", "ends in the middle"),
        (b"<testsuites>\xff</testsuites>", "not well-formed"),
        (b'<?xml version="1.0" encoding="klingon"?><testsuites/>', "encoding"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><testsuites>&b;</testsuites>', "document type"),
        (
            b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><testsuites>&b;</testsuites>',
            "document type",
        ),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><testsuites/>', "document type"),
        (b"<testsuites>&undefined;</testsuites>", "not well-formed"),
        (b"<testsuite>" * 1_000_000, "nested"),
    ],
)
def test_a_document_that_is_no_report_gives_only_a_problem(document: bytes, problem: str) -> None:
    assert problem in (_read(document).problem or "")


def test_a_truncated_document_gives_the_tests_before_the_cut() -> None:
    for path in (RECORDED / "junit").iterdir():
        document = path.read_bytes()
        whole = _read(document)
        for end in range(0, len(document), max(1, len(document) // 60)):
            report = _read(document[:end])
            assert report.problem or not document[end:].strip()
            assert report.failures == whole.failures[: len(report.failures)]
        shuffled = bytearray(document)
        random.Random(path.name).shuffle(shuffled)
        _read(bytes(shuffled))


class _Endless(io.RawIOBase):
    """An endless document that counts how much of it is read."""

    def __init__(self) -> None:
        self.bytes_read = 0

    def read(self, size: int = -1, /) -> bytes:
        assert size > 0
        begin = b"<testsuite><testcase name='a'><system-out>" if self.bytes_read == 0 else b""
        self.bytes_read += size
        return begin + b"x" * (size - len(begin))


def test_a_report_is_read_up_to_32_mebibytes() -> None:
    document = _Endless()
    report = read_file_report("junit", document)  # type: ignore[arg-type]
    assert "larger than 32 MiB" in (report.problem or "")
    assert document.bytes_read == 32 * 2**20


def test_failures_of_a_document_are_bounded_and_counted() -> None:
    case = b"<testcase name='a'><failure message='no'>text</failure></testcase>"
    report = _read(b"<testsuite>" + case * 1000 + b"</testsuite>")
    assert (len(report.failures), report.more_failures) == (MAX_FAILURES, 1000 - MAX_FAILURES)
    assert report.counts is not None
    assert report.counts.failed == 1000


def test_a_name_with_a_lone_surrogate_is_made_encodable() -> None:
    report = _fed("go-test", [r'{"Action":"fail","Package":"p\ud800","Test":"T\udfff","Elapsed":1e999}'])
    assert [(each.name, each.duration_seconds) for each in report.failures] == [("p?.T?", None)]


@pytest.mark.parametrize(
    "line", ["{" * LONGEST, '{"Action":' + "[" * 60_000, '{"Action":{"a":[]},"Test":1}', '{"a":1e400}']
)
def test_json_that_is_no_event_is_ignored(line: str) -> None:
    for name in ("go-test", "cargo"):
        assert _fed(name, [line]).failures == []


@pytest.mark.parametrize("format_name", ["pyright", "eslint", "biome"])
@pytest.mark.parametrize(
    "lines",
    [
        ["{", '  "generalDiagnostics": ['],
        ['[{"filePath": "a.js", "messages": ['],
        ['{"' + "x" * 9_000_000],
        ["{", *[" 1," * 100] * 40_000, "}"],
        ["[" * 60_000],
        ['{"":' + "[" * 60_000],
        ['{"diagnostics": '] * 100_000,
    ],
)
def test_json_that_is_cut_or_none_is_a_problem(format_name: str, lines: list[str]) -> None:
    report = _fed(format_name, lines)
    assert report.findings == []
    assert report.problem == (None if lines[0].startswith("[[") else "The JSON was cut, or is none.")


@pytest.mark.parametrize("format_name", ["pyright", "eslint", "biome"])
def test_json_of_other_types_has_no_findings(format_name: str) -> None:
    values = ["null", "1", "[]", "{}", "[{}]", '{"line": -1, "column": 1e99}', '{"path": 1, "start": []}']
    for name in ("generalDiagnostics", "results", "messages", "diagnostics"):
        for value in values:
            inner = f'"file": {value}, "filePath": {value}, "message": {value}, "location": {value}, "range": {value}'
            document = f'{{"{name}": [{{{inner}, "messages": [{{{inner}}}]}}]}}'
            assert _fed(format_name, [document, f'[{{"messages": {value}}}]']).findings == []


def test_the_readers_import_the_standard_library_only() -> None:
    loads = "import sys; import codebuddy.agent.reports.formats; print(*sys.modules)"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", loads], env=environment, capture_output=True, text=True, check=True)
    names = done.stdout.split()
    assert [name for name in names if name.startswith("codebuddy.agent.") and ".reports" not in name] == []
    assert [name for name in names if name.startswith("codebuddy.") and not name.startswith("codebuddy.agent")] == []
    assert {"pydantic", "asyncio", "xml.dom"}.isdisjoint(names)


def test_formats_are_listed_once_and_unknown_ones_raise() -> None:
    assert (*FILE_FORMATS, *FORMATS) == KNOWN_FORMATS
    assert set(ITEM) == set(FORMATS)
    with pytest.raises(ValueError, match="no format of printed output"):
        reader_for("junit")
    with pytest.raises(ValueError, match="no format of a file"):
        read_file_report("tap", io.BytesIO())
