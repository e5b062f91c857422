"""Reports of real runners are told right, or it is said that they cannot be.

``runners/table.json`` has, for each report in ``runners/``, what is right, as it follows from the source of the tests:
counts, and the failures, each with a part of its name, its file and its line (null: not known). All ran in
``/workspace``. ``told`` is a part of the problem that has to be told; ``sources`` has the text of files that is read
for a place.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.reports.formats import FILE_FORMATS
from codebuddy.agent.runs.reporting import ReportReader
from codebuddy.schemas.runs import Reported

RUNNERS = Path(__file__).parent / "runners"
ROWS: dict[str, dict[str, Any]] = {
    row["file"]: row for row in json.loads((RUNNERS / "table.json").read_text(encoding="utf-8"))
}
WRONG: frozenset[str] = frozenset({})
"""Those that are told wrong today."""


def report_of(row: dict[str, Any], root: Path) -> Reported:
    """Return the report of a task that wrote or printed what was recorded, in a project that has the named files."""
    lines = {file: 1 for _, file, _ in row["failures"] if file}
    for _, file, line in row["failures"]:
        if file:
            lines[file] = max(lines[file], line or 1)
    for file, count in lines.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("\n" * count)
    for file, text in {"go.mod": "module example.com/real/mod\n", **row.get("sources", {})}.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    recorded = (RUNNERS / row["file"]).read_bytes().replace(b"/workspace", str(root).encode())
    written = root / ".report" if row["format"] in FILE_FORMATS else None
    reader = ReportReader([row["format"]], written, Tree("p", root), root)
    if written is None:
        reader.add("stdout", recorded)
    else:
        written.write_bytes(recorded)
    for line in row.get("printed", []):
        reader.add("stdout", line.encode() + b"\n")
    return reader.finish(row["exit_code"])


def test_every_recorded_report_has_its_right_values() -> None:
    assert {path.name for path in RUNNERS.iterdir()} == {*ROWS, "table.json"}


@pytest.mark.parametrize(
    "file",
    [pytest.param(file, marks=pytest.mark.xfail(strict=True)) if file in WRONG else file for file in ROWS],
)
def test_a_report_is_told_right(file: str, tmp_path: Path) -> None:
    row = ROWS[file]
    reported = report_of(row, tmp_path.resolve())
    assert reported.counts is not None
    assert (reported.counts.passed, reported.counts.failed, reported.counts.skipped) == (
        row["passed"],
        row["failed"],
        row["skipped"],
    )
    told = [(one.name, one.path and one.path.removeprefix("p/"), one.line) for one in reported.failures or []]
    for part, path, line in row["failures"]:
        found = next((one for one in told if part in one[0] and one[1:] == (path, line)), None)
        assert found is not None, f"{part} at {path}:{line} is not in {told}"
        told.remove(found)
    assert told == []
    if "told" in row:
        assert reported.report_problem is not None
        assert row["told"] in reported.report_problem
    else:
        assert reported.report_problem is None


def test_the_counts_of_cargo_do_not_depend_on_which_stream_is_read_first(tmp_path: Path) -> None:
    lines = (RUNNERS / "rust2-exits.out").read_text().split("\n")
    errors = [line for line in lines if line.lstrip().startswith(("Running", "Finished"))]
    output = [line for line in lines if line not in errors]
    for order in (errors + output, output + errors):
        reader = ReportReader(["cargo-test"], None, Tree("p", tmp_path), tmp_path)
        reader.add("stdout", "\n".join(order).encode())
        reported = reader.finish(0)
        assert reported.counts is not None
        assert (reported.counts.passed, reported.counts.failed) == (1, 0)
        assert "There is no result of" in str(reported.report_problem)
