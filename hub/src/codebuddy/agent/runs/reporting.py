"""The report of a run in terms of the project: paths that `read_file` takes, lines with their text, code points."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Final

from codebuddy.agent.lsp.positions import Encoding, clean, from_lsp
from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.reports.collector import Failure, Finding, Report, column_at_cell, merge_reports
from codebuddy.agent.reports.formats import FILE_FORMATS, read_file_report, reader_for
from codebuddy.agent.runs.output import open_file
from codebuddy.agent.runs.process import Stream
from codebuddy.schemas.code import Diagnostic
from codebuddy.schemas.runs import Reported, TestCounts, TestFailure
from codebuddy.tool import ToolError

_MAX_FAILURES: Final = 100
_MAX_DIAGNOSTICS: Final = 200
_MAX_REPORT: Final = 150_000  # characters of all failures and diagnostics in an answer
_MAX_LINE: Final = 64 * 1024
_MAX_LINE_TEXT: Final = 500
_ENCODINGS: Final[dict[str, Encoding]] = {"utf16": "utf-16", "byte": "utf-8"}  # all others are code points by then


class ReportReader:
    """Reads one run's report.

    Args:
        formats: what the task declares; the reports of several formats are merged.
        file: where the task writes its report; None: it prints it.
    """

    def __init__(self, formats: Sequence[str], file: Path | None, tree: Tree, cwd: Path) -> None:
        self._formats = list(formats)
        self._file = file
        self._tree = tree
        self._cwd = cwd
        self._readers = [reader_for(name, cwd) for name in formats if name not in FILE_FORMATS]
        self._partial_lines: dict[Stream, bytes] = {}

    def add(self, stream: Stream, data: bytes) -> None:
        """Take the next output."""
        if not self._readers:
            return
        *lines, rest = (self._partial_lines.get(stream, b"") + data).split(b"\n")
        for line in lines:
            self._feed(line)
        self._partial_lines[stream] = rest[: 2 * _MAX_LINE]

    def finish(self, exit_code: int | None = 0) -> Reported:
        """Return the report, which says so if it does not account for a failure; None: the run did not exit.

        This reads files, so call it in a thread.
        """
        for rest in self._partial_lines.values():
            if rest:
                self._feed(rest)
        files = [self._read_file(name) for name in self._formats if name in FILE_FORMATS]
        reported = self._reported(merge_reports([*files, *(reader.finish() for reader in self._readers)]))
        if exit_code and reported.report_problem is None and not reported.failures and not reported.diagnostics:
            formats = " and ".join(self._formats)
            reported.report_problem = (
                f"It ended with exit code {exit_code}, but the report ({formats}) has nothing that failed: see its "
                "output for the reason; perhaps the task declares a format that it does not print."
            )
        return reported

    def _feed(self, line: bytes) -> None:
        text = line[:_MAX_LINE].decode("utf-8", "replace").rstrip("\r")
        for reader in self._readers:
            reader.feed(text)

    def _read_file(self, format_name: str) -> Report:
        assert self._file is not None
        try:
            file = open_file(self._file)
        except FileNotFoundError:
            return Report(problem="The task wrote no report; see its output for the reason.")
        except OSError as error:
            return Report(problem=f"The task's report cannot be read: {error.strerror}.")
        with file:
            return read_file_report(format_name, file, self._cwd)

    def _reported(self, report: Report) -> Reported:
        found = [finding for finding in report.findings if self._path(finding.path) is not None]
        failures, diagnostics, room = list[TestFailure](), list[Diagnostic](), _MAX_REPORT
        for failure in self._failures(report.failures):
            room -= len(failure.name) + len(failure.message) + len(failure.line_text or "")
            if room < 0:
                break
            failures.append(failure)
        for diagnostic in self._diagnostics(found):
            room -= len(diagnostic.message) + len(diagnostic.line_text or "")
            if room < 0:
                break
            diagnostics.append(diagnostic)
        counts = report.counts
        # A list is left out, rather than empty, where the format could not have said anything.
        return Reported(
            counts=None if counts is None else TestCounts(**asdict(counts)),
            failures=failures if counts is not None or failures else None,
            diagnostics=diagnostics if counts is None or diagnostics else None,
            more_failures=report.more_failures + len(report.failures) - len(failures) or None,
            more_diagnostics=report.more_findings + len(found) - len(diagnostics) or None,
            report_problem=report.problem,
        )

    def _failures(self, failures: list[Failure]) -> Iterator[TestFailure]:
        for failure in islice(failures, _MAX_FAILURES):
            result = TestFailure(
                name=clean(failure.name)[:1000],
                message=clean(failure.message),
                duration_seconds=failure.duration_seconds,
            )
            path = self._path(failure.path) if failure.path is not None else None
            if path is not None:
                result.path = self._tree.show(path)
                if failure.line is not None and (lines := self._lines(path)) and failure.line <= len(lines):
                    result.line, result.line_text = failure.line, lines[failure.line - 1][:_MAX_LINE_TEXT]
            yield result

    def _diagnostics(self, findings: list[Finding]) -> Iterator[Diagnostic]:
        for finding in islice(findings, _MAX_DIAGNOSTICS):
            path = self._path(finding.path)
            assert path is not None
            lines = self._lines(path) or [""]
            begin = _position(lines, finding, finding.line, finding.column)
            end = _position(lines, finding, finding.end_line, finding.end_column) if finding.end_line else begin
            end_line, end_column = max(begin, end)
            yield Diagnostic(
                path=self._tree.show(path),
                line=begin[0],
                column=begin[1],
                end_line=end_line,
                end_column=end_column,
                line_text=lines[begin[0] - 1][:_MAX_LINE_TEXT],
                severity=finding.severity,
                message=clean(finding.message),
                code=finding.code,
                source=finding.source,
            )

    def _path(self, path: str) -> Path | None:
        """Find the file of the project that a tool names; None for any other."""
        if "\0" in path:
            return None
        named = os.path.normpath(os.path.join(self._cwd, path))
        relative = os.path.relpath(named, self._tree.root)
        if relative == ".." or relative.startswith("../") or not os.path.isfile(named):
            return None
        return Path(named)

    def _lines(self, path: Path) -> list[str] | None:
        try:
            return self._tree.lines(path)
        except ToolError:
            return None


def _position(lines: list[str], finding: Finding, line: int | None, column: int | None) -> tuple[int, int]:
    """Convert a position to code points; one that the file no longer has becomes the nearest."""
    index, character = max(0, (line or 1) - 1), max(0, (column or 1) - 1)
    if finding.unit == "display":
        character = column_at_cell(lines[min(index, len(lines) - 1)], character + 1) - 1
    return from_lsp(lines, {"line": index, "character": character}, _ENCODINGS.get(finding.unit, "utf-32"))
