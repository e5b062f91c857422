"""Recorded output of the profiles' tools gives the reports in recorded/expected.json; see recorded/README.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.reports.collector import Counts, Failure, Finding, Report, column_at_cell

RECORDED = Path(__file__).parent / "recorded"
EXPECTED: dict[str, dict[str, Any]] = json.loads((RECORDED / "expected.json").read_text(encoding="utf-8"))


def with_defaults(kind: type[Any], values: dict[str, Any]) -> Any:
    return kind(**{field.name: None for field in fields(kind)} | values)


def test_every_recording_has_an_expected_report() -> None:
    assert set(EXPECTED) == {f"{path.parent.name}/{path.name}" for path in RECORDED.glob("*/*")}


@pytest.mark.parametrize("file", EXPECTED)
def test_a_recording_gives_its_expected_report(file: str, recorded: Callable[[str], Report]) -> None:
    expected = EXPECTED[file]
    assert recorded(file) == Report(
        counts=Counts(**expected["counts"]) if "counts" in expected else None,
        failures=[with_defaults(Failure, failure) for failure in expected.get("failures", [])],
        findings=[with_defaults(Finding, finding) for finding in expected.get("findings", [])],
        problem=expected.get("problem"),
    )


@pytest.mark.parametrize(
    ("file", "place", "line", "word"),
    [
        ("tsc/types.txt", ("utf16", 27), 'const smile = "😀"; const late: string = 3;', "late"),
        (
            "gcc/broken.txt",
            ("display", 59),
            'int late() { const char *s = "😀"; int x = "text"; return missing; }',
            "missing",
        ),
        ("gcc/tab.txt", ("display", 35), "\tint x; /* 漢e\u0301😀 */ return missing;", "missing"),
        ("go/build.txt", ("byte", 23), '\tsmile := "😀"; var late int = "text"', "late"),
        ("pyflakes/findings.txt", ("byte", 17), 'smile = "😀"; import sys', "import"),
        ("cargo/broken.txt", ("codepoint", 38), '    let smile = "😀"; let late: i32 = "text";', '"text"'),
        ("mypy/column.txt", ("byte", 38), '    smile: str = "😀"; late: int = "text"', '"text"'),
        ("ty/full.txt", ("codepoint", 26), 'smile = "😀"; late: int = "text"', '"text"'),
        ("pyright/text.txt", ("utf16", 27), 'smile = "😀"; late: int = "text"', '"text"'),
        ("eslint/stylish.txt", ("utf16", 21), 'const smile = "😀"; missing( );', "missing"),
        ("biome/text.txt", ("codepoint", 20), 'const smile = "😀"; missing( );', "missing"),
        ("ruff/full.txt", ("codepoint", 21), 'smile = "😀"; import sys', "sys"),
    ],
)
def test_a_column_behind_an_emoji_is_right_in_the_unit_of_its_tool(
    file: str, place: tuple[str, int], line: str, word: str, recorded: Callable[[str], Report]
) -> None:
    unit, column = place
    finding = next(finding for finding in recorded(file).findings if finding.column == column)
    before = line[: line.index(word)]
    widths = {
        "codepoint": len(before),
        "utf16": len(before.encode("utf-16-le")) // 2,
        "byte": len(before.encode("utf-8")),
        "display": column - 1 if column_at_cell(line, column) == len(before) + 1 else None,
    }
    assert (finding.unit, widths[finding.unit]) == (unit, column - 1)


@pytest.mark.parametrize(
    ("format_name", "line"),
    [
        ("tsc", "error TS5058: The specified path does not exist: '/workspace/passing/nowhere.json'."),
        ("mypy", "mypy: can't read file 'nowhere.py': No such file or directory"),
        ("go", "go: cannot find main module, but found .git/config in /workspace"),
        ("cargo", "error: could not find `Cargo.toml` in `/workspace` or any parent directory"),
    ],
)
def test_an_error_that_stops_a_compiler_before_any_file_is_a_problem(
    format_name: str, line: str, read: Callable[..., Report]
) -> None:
    assert read(format_name, line).problem == line.removeprefix("error: " if format_name == "cargo" else "")
