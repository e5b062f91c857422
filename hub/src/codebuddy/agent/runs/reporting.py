"""What a tool reported, as places in the project: paths that `read_file` takes, lines with their text, code points."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
_ROOM: Final = 150_000  # characters of a report in an answer
_MAX_LINE: Final = 64 * 1024
_MAX_LINE_TEXT: Final = 500
_ENCODINGS: Final[dict[str, Encoding]] = {"utf16": "utf-16", "byte": "utf-8"}  # all others are code points by then


class ReportReader:
    """Reads one run's report.

    Args:
        formats: those that the task declares; what each finds is put together.
        file: where the task writes its report; None: it is in what it prints.
        tree: the project.
        cwd: the run's working directory.
    """

    def __init__(self, formats: Sequence[str], file: Path | None, tree: Tree, cwd: Path) -> None:
        self._formats = list(formats)
        self._file_formats = [one for one in formats if one in FILE_FORMATS]
        self._file = file
        self._tree = tree
        self._cwd = cwd
        self._readers = [reader_for(one, cwd) for one in formats if one not in FILE_FORMATS]
        self._lines: dict[Stream, bytes] = {}

    def add(self, stream: Stream, data: bytes) -> None:
        """Take the next output."""
        if not self._readers:
            return
        *lines, rest = (self._lines.get(stream, b"") + data).split(b"\n")
        for line in lines:
            self._feed(line)
        self._lines[stream] = rest[: 2 * _MAX_LINE]

    def finish(self, exit_code: int | None = 0) -> Reported:
        """Give the report; reads files, so call it in a thread.

        Args:
            exit_code: of the run: a report that does not account for a failure says so. None: it did not exit.
        """
        for rest in self._lines.values():
            if rest:
                self._feed(rest)
        files = [self._read_file(one) for one in self._file_formats]
        told = self._told(merge_reports([*files, *(reader.finish() for reader in self._readers)]))
        if exit_code and told.report_problem is None and not told.failures and not told.diagnostics:
            formats = " and ".join(self._formats)
            told.report_problem = (
                f"It ended with exit code {exit_code}, but the report ({formats}) has nothing that failed: its output "
                "tells why, or the task declares a format that it does not print."
            )
        return told

    def _feed(self, line: bytes) -> None:
        text = line[:_MAX_LINE].decode("utf-8", "replace").rstrip("\r")
        for reader in self._readers:
            reader.feed(text)

    def _read_file(self, format_name: str) -> Report:
        assert self._file is not None
        try:
            file = open_file(self._file)
        except FileNotFoundError:
            return Report(None, [], [], problem="The task wrote no report; its output tells why.")
        except OSError as error:
            return Report(None, [], [], problem=f"The task's report cannot be read: {error.strerror}.")
        with file:
            return read_file_report(format_name, file, self._cwd)

    def _told(self, report: Report) -> Reported:
        failures, diagnostics, room = list[TestFailure](), list[Diagnostic](), _ROOM
        for failure in report.failures[:_MAX_FAILURES]:
            told = self._failure(failure)
            room -= len(told.name) + len(told.message) + len(told.line_text or "")
            if room < 0:
                break
            failures.append(told)
        findings = [finding for finding in report.findings if self._place(finding.path) is not None]
        for finding in findings[:_MAX_DIAGNOSTICS]:
            found = self._diagnostic(finding)
            room -= len(found.message) + len(found.line_text or "")
            if room < 0:
                break
            diagnostics.append(found)
        # No field says "nothing" where the format could not have said anything.
        tests = report.counts is not None
        counts = report.counts
        return Reported(
            counts=None
            if counts is None
            else TestCounts(passed=counts.passed, failed=counts.failed, skipped=counts.skipped),
            failures=failures if tests or failures else None,
            diagnostics=diagnostics if diagnostics or not tests else None,
            more_failures=report.more_failures + len(report.failures) - len(failures) or None,
            more_diagnostics=report.more_findings + len(findings) - len(diagnostics) or None,
            report_problem=report.problem,
        )

    def _failure(self, failure: Failure) -> TestFailure:
        told = TestFailure(
            name=clean(failure.name)[:1000], message=clean(failure.message), duration_seconds=failure.duration_seconds
        )
        place = self._place(failure.path) if failure.path is not None else None
        if place is not None:
            told.path = self._tree.show(place)
            if failure.line is not None and (lines := self._lines_of(place)) and failure.line <= len(lines):
                told.line, told.line_text = failure.line, lines[failure.line - 1][:_MAX_LINE_TEXT]
        return told

    def _diagnostic(self, finding: Finding) -> Diagnostic:
        place = self._place(finding.path)
        assert place is not None
        lines = self._lines_of(place) or [""]
        begin = self._position(lines, finding, finding.line, finding.column)
        end = self._position(lines, finding, finding.end_line, finding.end_column) if finding.end_line else begin
        return Diagnostic(
            path=self._tree.show(place),
            line=begin[0],
            column=begin[1],
            end_line=max(begin, end)[0],
            end_column=max(begin, end)[1],
            line_text=lines[begin[0] - 1][:_MAX_LINE_TEXT],
            severity=finding.severity,
            message=clean(finding.message),
            code=finding.code,
            source=finding.source,
        )

    def _position(self, lines: list[str], finding: Finding, line: int | None, column: int | None) -> tuple[int, int]:
        """Give a place in code points; what the file no longer has is its nearest."""
        index, character = max(0, (line or 1) - 1), max(0, (column or 1) - 1)
        if finding.unit == "display":
            character = column_at_cell(lines[min(index, len(lines) - 1)], character + 1) - 1
        return from_lsp(lines, {"line": index, "character": character}, _ENCODINGS.get(finding.unit, "utf-32"))

    def _place(self, path: str) -> Path | None:
        """Find the file of the project that a tool names; None for what is none."""
        if "\0" in path:
            return None
        named = os.path.normpath(os.path.join(self._cwd, path))
        inside = os.path.relpath(named, self._tree.root)
        if inside == ".." or inside.startswith("../") or not os.path.isfile(named):
            return None
        return Path(named)

    def _lines_of(self, place: Path) -> list[str] | None:
        try:
            return self._tree.lines(place)
        except ToolError:
            return None
