"""The report of a run in terms of the project: paths that `read_file` takes, lines with their text, code points."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from codebuddy.agent.lsp.positions import Encoding, clean, from_lsp
from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.reports.collector import (
    MAX_LINE,
    MAX_QUOTE,
    Failure,
    Finding,
    Report,
    column_at_cell,
    merge_reports,
    strip_escapes,
)
from codebuddy.agent.reports.directories import ANY_PACKAGE, Base, Directories, Package
from codebuddy.agent.reports.formats import FILE_FORMATS, read_file_report, reader_for
from codebuddy.agent.reports.totals import Totals
from codebuddy.agent.runs.output import open_file
from codebuddy.agent.runs.process import Stream
from codebuddy.schemas.code import Diagnostic
from codebuddy.schemas.runs import Reported, TestCounts, TestFailure
from codebuddy.tool import ToolError

_MAX_FAILURES: Final = 100
_MAX_DIAGNOSTICS: Final = 200
_MAX_REPORT: Final = 150_000  # characters of all failures and diagnostics in an answer
_MAX_LINE_TEXT: Final = 500
_MAX_UNLOCATED: Final = 100
_MAX_COMPARED: Final = 2000  # files
_MAX_PACKAGES: Final = 2000
_MAX_NAMED: Final = 10_000  # files
_MAX_MANIFEST: Final = 2**20  # bytes
_MAX_COMMAND: Final = 4000  # characters
# What was cut, a byte or character as GCC shows it when a terminal could not, and what others show in its place.
_NOT_SHOWN: Final = re.compile(r"\.\.\.|<(?:[0-9a-f]{2}|U\+[0-9A-F]{4,8})>|[^\x21-\x7e]+")
_ENCODINGS: Final[dict[str, Encoding]] = {"utf16": "utf-16", "byte": "utf-8"}  # all others are code points by then


class ReportReader:
    """Reads one run's report.

    Args:
        formats: what the task declares; the reports of several formats are merged.
        file: where the task writes its report; None: it prints it.
        argv: the run's command line, which may name directories.
    """

    def __init__(
        self, formats: Sequence[str], file: Path | None, tree: Tree, cwd: Path, argv: Sequence[str] = ()
    ) -> None:
        self._formats = list(formats)
        self._file = file
        self._tree = tree
        self._cwd = cwd
        self._directories = Directories(argv, cwd)
        self._readers = [reader_for(name, cwd) for name in formats if name not in FILE_FORMATS]
        self._totals = None if file is None else Totals()
        self._longest_line = max((reader.longest_line for reader in self._readers), default=MAX_LINE)
        self._partial_lines: dict[Stream, bytearray] = {}

    def add(self, stream: Stream, data: bytes) -> None:
        """Take the next output; what it says of directories counts for a file that the task writes, too."""
        partial = self._partial_lines.setdefault(stream, bytearray())
        for number, part in enumerate(data.split(b"\n")):
            if number:
                self._feed(stream, partial)
                partial.clear()
            partial += part[: max(0, self._longest_line - len(partial))]

    def finish(self, exit_code: int | None = 0) -> Reported:
        """Return the report, which says so if it does not account for a failure; None: the run did not exit.

        This reads files, so call it in a thread.
        """
        for stream, rest in self._partial_lines.items():
            if rest:
                self._feed(stream, rest)
        files = [self._read_file(name, exit_code) for name in self._formats if name in FILE_FORMATS]
        reported = self._reported(merge_reports([*files, *(reader.finish() for reader in self._readers)]))
        if self._totals is not None and reported.report_problem is None:
            for report in files:
                named = max(report.failed_elements, report.counts.failed if report.counts else 0)
                reported.report_problem = self._totals.problem(
                    named, report.error_elements, names_files=report.names_broken_files
                )
        found = reported.failures or reported.diagnostics or reported.unlocated
        if exit_code and reported.report_problem is None and not found:
            formats = " and ".join(self._formats)
            reported.report_problem = (
                f"It ended with exit code {exit_code}, but the report ({formats}) has nothing that failed: see its "
                "output for the reason; perhaps the task declares a format that it does not print."
            )
        return reported

    def _feed(self, stream: Stream, line: bytearray) -> None:
        text = strip_escapes(line.decode("utf-8", "replace").rstrip("\r"), self._longest_line)
        text, bases = self._directories.read(stream, text)
        if self._totals is not None:
            self._totals.feed(text)
        for reader in self._readers:
            reader.feed(text, bases)

    def _read_file(self, format_name: str, exit_code: int | None) -> Report:
        assert self._file is not None
        try:
            file = open_file(self._file)
        except FileNotFoundError:
            return Report(problem="The task wrote no report; see its output for the reason.")
        except OSError as error:
            return Report(problem=f"The task's report cannot be read: {error.strerror}.")
        with file:
            return read_file_report(format_name, file, self._cwd, exit_code)

    def _reported(self, report: Report) -> Reported:
        names = {os.path.basename(failure.path) for failure in report.failures if failure.path is not None}
        files = _Files(self._tree, self._cwd, self._directories.bases, names)
        located = [(finding, files.find(finding)) for finding in report.findings]
        found = [(finding, path) for finding, path in located if path is not None]
        elsewhere = [_as_printed(finding) for finding, path in located if path is None]
        failures, diagnostics, room = list[TestFailure](), list[Diagnostic](), _MAX_REPORT
        for failure in self._failures(report.failures, files):
            room -= len(failure.name) + len(failure.message) + len(failure.line_text or "")
            if room < 0:
                break
            failures.append(failure)
        for diagnostic in self._diagnostics(found):
            room -= len(diagnostic.message) + len(diagnostic.line_text or "")
            if room < 0:
                break
            diagnostics.append(diagnostic)
        unlocated = [text for text in elsewhere[:_MAX_UNLOCATED] if (room := room - len(text)) >= 0]
        left_out = len(found) - len(diagnostics) + len(elsewhere) - len(unlocated)
        counts = report.counts
        # A list is left out, rather than empty, where the format could not have said anything.
        return Reported(
            counts=None if counts is None else TestCounts(**asdict(counts)),
            failures=failures if counts is not None or failures else None,
            diagnostics=diagnostics if counts is None or diagnostics else None,
            more_failures=report.more_failures + len(report.failures) - len(failures) or None,
            unlocated=unlocated or None,
            more_diagnostics=report.more_findings + left_out or None,
            report_problem=report.problem,
        )

    def _failures(self, failures: list[Failure], files: _Files) -> Iterator[TestFailure]:
        for failure in islice(failures, _MAX_FAILURES):
            result = TestFailure(
                name=clean(failure.name)[:1000],
                message=clean(failure.message),
                duration_seconds=failure.duration_seconds,
            )
            path = files.find(failure)
            if path is not None:
                result.path = self._tree.show(path)
                if failure.line is not None and (lines := self._lines(path)) and failure.line <= len(lines):
                    result.line, result.line_text = failure.line, lines[failure.line - 1][:_MAX_LINE_TEXT]
            yield result

    def _diagnostics(self, findings: list[tuple[Finding, Path]]) -> Iterator[Diagnostic]:
        for finding, path in islice(findings, _MAX_DIAGNOSTICS):
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

    def _lines(self, path: Path) -> list[str] | None:
        try:
            return self._tree.lines(path)
        except ToolError:
            return None


class _Files:
    """Finds the files that a run's messages name, while these exist.

    Args:
        bases: what a path may be relative to when nothing around it says so.
        names: those of the files that failures name.
    """

    def __init__(self, tree: Tree, cwd: Path, bases: tuple[Base, ...], names: set[str]) -> None:
        self._tree = tree
        self._cwd = cwd
        self._bases = bases
        self._names = names
        self._compared = 0  # files beside those that are meant
        self._found: dict[tuple[str, tuple[Base, ...] | None], list[Path]] = {}

    def find(self, named: Finding | Failure) -> Path | None:
        """Return the file that a finding or failure names; None if it is outside the project or not certain."""
        if named.path is None:
            return None
        key = named.path, named.bases
        if key not in self._found:
            bases = self._bases if named.bases is None else named.bases
            joined = dict.fromkeys(os.path.normpath(os.path.join(base, named.path)) for base in self._resolved(bases))
            self._found[key] = [Path(path) for path in joined if self._is_own_file(path)]
        paths = self._found[key]
        if not paths and isinstance(named, Failure) and not named.path.startswith("/"):
            # A stack of the JVM names packages and no roots of sources, and runners have roots of their own.
            paths = [path for path in self._named if str(path).endswith(f"/{named.path}")]
        others = max(0, len(paths) - 1)
        if isinstance(named, Finding) and named.quote is not None and self._compared + others <= _MAX_COMPARED:
            self._compared += others
            paths = [path for path in paths if self._has_line(path, named.line, named.quote)]
        return paths[0] if len(paths) == 1 else None

    def _is_own_file(self, path: str) -> bool:
        relative = os.path.relpath(path, self._tree.root) if "\0" not in path else ".."
        return relative != ".." and not relative.startswith("../") and os.path.isfile(path)

    def _has_line(self, path: Path, line: int, quote: str) -> bool:
        try:
            lines = self._tree.lines(path)
        except ToolError:
            return False
        return line <= len(lines) and is_quoted(lines[line - 1], quote)

    def _resolved(self, bases: tuple[Base, ...]) -> Iterator[str]:
        for base in bases:
            if isinstance(base, str):
                yield os.path.join(self._cwd, base)
            else:
                yield from (package.directory for package in self._packages if package.matches(base))

    @cached_property
    def _named(self) -> list[Path]:
        """The files of the project that have one of the names."""
        paths = self._tree.files(lambda name: name.rpartition("/")[2] in self._names)
        return list(islice(paths, _MAX_NAMED))

    @cached_property
    def _packages(self) -> list[_Manifest]:
        """The packages of npm in the project."""
        paths = self._tree.files(lambda name: name == "package.json" or name.endswith("/package.json"))
        return [manifest for path in islice(paths, _MAX_PACKAGES) if (manifest := self._read_manifest(path))]

    def _read_manifest(self, path: Path) -> _Manifest | None:
        try:
            value = json.loads(self._tree.read(path)[0][:_MAX_MANIFEST])
        except (ToolError, ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        scripts = value.get("scripts")
        return _Manifest(
            str(path.parent), value.get("name"), value.get("version"), scripts if isinstance(scripts, dict) else {}
        )


class _Manifest(NamedTuple):
    """What a package.json says."""

    directory: str
    name: object
    version: object
    scripts: dict[str, object]

    def matches(self, package: Package) -> bool:
        """Say whether this may be the package that was printed."""
        if package == ANY_PACKAGE:
            return True
        if package.name and package.name not in (self.name, f"{self.name}@{self.version}"):
            return False
        if not package.script:
            return True
        script = self.scripts.get(package.script)
        return isinstance(script, str) and package.command.startswith(script.split("\n")[0].strip()[:_MAX_COMMAND])


def is_quoted(line: str, quote: str) -> bool:
    """Say whether a tool shows this line as `quote`.

    Tools expand tabs, replace characters that a terminal could not show, and cut long lines at both sides.
    """
    whole, shown = "".join(line.split()), "".join(quote.split())
    if whole == shown or (len(quote) == MAX_QUOTE and whole.startswith(shown)):
        return True
    parts, at = _NOT_SHOWN.split(shown), 0
    for part in parts:
        found = whole.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(parts) > 1


def _as_printed(finding: Finding) -> str:
    """Write a finding as compilers do."""
    column = f":{finding.column}" if finding.column else ""
    code = f" [{finding.code}]" if finding.code else ""
    return clean(f"{finding.path}:{finding.line}{column}: {finding.severity}: {finding.message}{code}")


def _position(lines: list[str], finding: Finding, line: int | None, column: int | None) -> tuple[int, int]:
    """Convert a position to code points; one that the file no longer has becomes the nearest."""
    index, character = max(0, (line or 1) - 1), max(0, (column or 1) - 1)
    if finding.unit == "display":
        character = column_at_cell(lines[min(index, len(lines) - 1)], character + 1) - 1
    return from_lsp(lines, {"line": index, "character": character}, _ENCODINGS.get(finding.unit, "utf-32"))
