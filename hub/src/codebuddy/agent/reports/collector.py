"""What every reader shares: the report that it fills, and the parsing of lines, numbers, locations and columns."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal, NamedTuple
from urllib.parse import unquote

from codebuddy.agent.reports.directories import Base

Severity = Literal["error", "warning", "information", "hint"]
Unit = Literal["codepoint", "utf16", "byte", "display"]
"""What a tool counts columns in; ``display`` means cells of a terminal, see `column_at_cell`."""

MAX_FAILURES = 200
MAX_FINDINGS = 500
MAX_LINE = 65536  # characters of a line that are read
MAX_JSON = 8 * 2**20  # characters of a report in JSON
_JSON_LINE = 60  # what a line counts for beside its text
MAX_QUOTE = 300  # characters of the line that a tool shows

_MAX_PATH = 4096  # characters
_MAX_NAME = 2000
_MAX_CODE = 200
_MAX_PROBLEM = 500
_MAX_MESSAGE = 2000
_MAX_NOTES = 39  # lines of a message after the first
_MAX_DIGITS = 9


@dataclass(slots=True)
class Counts:
    """How many tests passed, failed or were skipped.

    A test with subtests is not counted beside them; what could not start has failed.
    """

    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed."""

    name: str  # as the tool's own command line would select it, where it can be known
    message: str  # the assertion or panic, without the tool's decoration; may have several lines
    path: str | None  # as the tool gives it: relative to the working directory, or absolute
    line: int | None  # where the assertion failed if that is known and in the project, else where the test is
    duration_seconds: float | None
    bases: tuple[Base, ...] | None = field(default=None, compare=False)  # as of a finding


@dataclass(slots=True, unsafe_hash=True)  # it does not change once it is in a report
class Finding:
    """A diagnostic of a compiler or linter. Lines and columns count from 1."""

    path: str  # as the tool gives it: relative to the working directory, or absolute
    line: int  # 1 also where the tool names the file only
    column: int | None
    severity: Severity
    message: str  # without the tool's decoration; the lines after the first are the tool's notes
    source: str  # the tool
    unit: Unit
    code: str | None = None  # the rule, or the number of the error
    end_line: int | None = None
    end_column: int | None = None  # the column after its last character
    # What the path may be relative to; None: nothing around it says so.
    bases: tuple[Base, ...] | None = field(default=None, compare=False)
    quote: str | None = field(default=None, compare=False)  # the line's text as the tool shows it, at most `MAX_QUOTE`


@dataclass(slots=True)
class Report:
    """What a reader found, in order of the output."""

    counts: Counts | None = None  # None: the output names no tests
    failures: list[Failure] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    more_failures: int = 0  # how many were left out
    more_findings: int = 0
    problem: str | None = None  # one sentence, when the output or a part of it could not be read as the format
    # Of a file: how many of its elements say that something failed, each try and those that are no tests too.
    failed_elements: int = field(default=0, compare=False)
    error_elements: int = field(default=0, compare=False)
    names_broken_files: bool = field(default=False, compare=False)  # those that Jest could not run


def merge_reports(reports: Sequence[Report]) -> Report:
    """Merge what several readers found in one run: a test run that did not compile has findings only.

    The problem of one reader is dropped when another one shows how the run went.
    """
    conclusive = [
        report.counts is not None or any(finding.severity == "error" for finding in report.findings)
        for report in reports
    ]
    problems = [report.problem for report, told in zip(reports, conclusive, strict=True) if told or not any(conclusive)]
    return Report(
        counts=next((report.counts for report in reports if report.counts is not None), None),
        failures=[failure for report in reports for failure in report.failures],
        findings=[finding for report in reports for finding in report.findings],
        more_failures=sum(report.more_failures for report in reports),
        more_findings=sum(report.more_findings for report in reports),
        problem=next(filter(None, problems), None),
    )


class Location(NamedTuple):
    """A line of a file, counted from 1."""

    path: str
    line: int


class Collector:
    """Collects counts, failures and findings of a tool in the order in which they are added."""

    def __init__(self, source: str = "", unit: Unit = "codepoint") -> None:
        self.pending: Finding | None = None  # the last finding, which may still change
        self.bases: tuple[Base, ...] | None = None  # of what is added next
        self._source = source
        self._unit = unit
        self._report = Report()
        self._seen: set[tuple[Finding, tuple[Base, ...] | None, str | None]] = set()
        self._may_quote = False  # whether a line that is shown may be the pending finding's

    @property
    def counts(self) -> Counts | None:
        """The counts so far; None when no test was counted."""
        return self._report.counts

    @property
    def is_empty(self) -> bool:
        """Whether there is no failure and no finding yet."""
        return self.pending is None and not self._report.failures and not self._report.findings

    def count(self, *, passed: int = 0, failed: int = 0, skipped: int = 0) -> None:
        """Count tests; without arguments, note that the output is one of tests."""
        counts = self._report.counts = self._report.counts or Counts()
        counts.passed += passed
        counts.failed += failed
        counts.skipped += skipped

    def restart_counts(self) -> None:
        """Count from zero again."""
        self._report.counts = Counts()

    def add_failure(
        self, name: str, message: str | list[str], location: Location | str | None = None, duration: float | None = None
    ) -> None:
        """Add a test that failed; a location of which only the file is known is its path."""
        if len(self._report.failures) >= MAX_FAILURES:
            self._report.more_failures += 1
            return
        text = encodable(trim_message(message.split("\n") if isinstance(message, str) else message), _MAX_PATH)
        path, line = (location.path, location.line) if isinstance(location, Location) else (location, None)
        self._report.failures.append(
            Failure(
                encodable(name, _MAX_NAME), text or "It failed.", path and _clean_path(path), line, duration, self.bases
            )
        )

    def begin(
        self, location: Location, column: int | None, severity: Severity, message: str, code: str | None = None
    ) -> Finding:
        """Begin a finding; it may change until the next one begins."""
        self.close()
        self.pending = Finding(*location, column, severity, message, self._source, self._unit, code, bases=self.bases)
        self._may_quote = True
        return self.pending

    def quote(self, line: str | None, text: str) -> None:
        """Take a line of a file that the tool shows: the first one that has the pending finding's number is its own."""
        if self._may_quote and self.pending is not None and parse_number(line) == self.pending.line:
            self.pending.quote, self._may_quote = text[:MAX_QUOTE], False

    def end_quote(self) -> None:
        """Take no more shown lines: they are of another place than the pending finding."""
        self._may_quote = False

    def note(self, line: str) -> None:
        """Add a line to the message of the pending finding, if there is one; lines shown after it may be elsewhere."""
        finding, self._may_quote = self.pending, False
        if finding is not None and len(finding.message) <= _MAX_MESSAGE and finding.message.count("\n") < _MAX_NOTES:
            finding.message = f"{finding.message}\n{line}"

    def close(self) -> None:
        """Add the pending finding, unless an equal one was added before."""
        finding, self.pending = self.pending, None
        if finding is None or not (path := _clean_path(finding.path)):
            return
        if len(self._report.findings) >= MAX_FINDINGS:
            self._report.more_findings += 1
            return
        finding.path = path
        finding.message = encodable(trim_message(finding.message.split("\n")), _MAX_PATH)
        finding.code = None if finding.code is None else encodable(finding.code, _MAX_CODE)
        if (key := (finding, finding.bases, finding.quote)) not in self._seen:
            self._seen.add(key)
            self._report.findings.append(finding)

    def change_source(self, source: str, unit: Unit) -> None:
        """Attribute the findings so far, and those to come, to another tool than was assumed."""
        self.close()
        self._report.findings = [
            replace(finding, source=source, unit=unit) if finding.source == self._source else finding
            for finding in self._report.findings
        ]
        self._seen = {(finding, finding.bases, finding.quote) for finding in self._report.findings}
        self._source, self._unit = source, unit

    def set_problem(self, sentence: str) -> None:
        """Set what could not be read; the first sentence stays, and a blank one is none."""
        if self._report.problem is None and sentence.strip():
            self._report.problem = encodable(" ".join(sentence[:_MAX_PATH].split()), _MAX_PROBLEM)

    def report(self) -> Report:
        """Return everything that was collected."""
        self.close()
        return self._report


SHOWN_LINE = re.compile(r" {0,12}([0-9]{1,9}) \|(?: (?:[/|] ){0,4})?")
"""Begins a line of a file as GCC, Clang, rustc, ruff and ty show it, perhaps with marks of a range of lines."""


class Reader:
    """Reads what a program prints, line by line. It raises nothing, whatever that is, and keeps a bounded part of it.

    Its root, the run's working directory, distinguishes the project's own files from those of libraries.
    """

    source: ClassVar[str] = ""
    unit: ClassVar[Unit] = "codepoint"
    quote: ClassVar[re.Pattern[str] | None] = None  # of a line that it shows, with the line's number and its text
    longest_line: ClassVar[int] = MAX_LINE  # characters of a line that are read

    def __init__(self, root: Path | None = None) -> None:
        self._root = None if root is None else str(root)
        self._collector = Collector(self.source, self.unit)

    def feed(self, line: str, bases: tuple[Base, ...] | None = None) -> None:
        """Take a line without its end, of standard output or standard error, in order of arrival.

        Args:
            bases: what paths in it may be relative to, where the output says so.
        """
        self._collector.bases = bases
        line = strip_escapes(line, self.longest_line)
        self._read(line)
        if self.quote is not None and (shown := self.quote.match(line)) is not None:
            self._collector.quote(shown[1], line[shown.end() :])

    def finish(self) -> Report:
        """Return the report; once, after the last line."""
        return self._collector.report()

    def _read(self, line: str) -> None:
        raise NotImplementedError


class JsonReader(Reader):
    """Reads text, or documents of JSON: a line that is one, or the lines from an opening brace to the closing one."""

    longest_line = MAX_JSON

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self._documents: list[tuple[tuple[Base, ...] | None, list[str]]] = []  # and what their paths are relative to
        self._room = MAX_JSON
        self._in_document = False

    def finish(self) -> Report:
        for bases, lines in self._documents:
            self._collector.bases = bases
            try:
                self._read_json(json.loads("\n".join(lines)))
            except (ValueError, RecursionError):
                self._collector.set_problem("The JSON was cut, or is none.")
        return super().finish()

    def _read(self, line: str) -> None:
        if not self._in_document:
            if line not in {"{", "["} and not line.startswith(('{"', '[{"')):
                self._read_text(line[:MAX_LINE])
                return
            if self._room > 0:
                self._documents.append((self._collector.bases, []))
        self._in_document = line in {"{", "["} if not self._in_document else line not in {"}", "]"}
        self._room -= len(line) + _JSON_LINE
        if self._room > 0:
            self._documents[-1][1].append(line)
        else:
            self._documents[-1] = (None, [])

    def _read_text(self, line: str) -> None:
        """Take a line that is not of a document."""
        raise NotImplementedError

    def _read_json(self, value: object) -> None:
        """Take a document, after all lines."""
        raise NotImplementedError


# ECMA-48 5.4 (control sequences) and 5.6 (control strings, which are looked for in one line only), and other escapes.
# The bound keeps an escape that does not end from being looked through again and again.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)|[ -/]{0,8}[0-Z\\^-~])")


def strip_escapes(line: str, longest: int = MAX_LINE) -> str:
    """Return the first characters of a line without terminal escape sequences."""
    line = line[:longest]
    return _ESCAPE.sub("", line) if "\x1b" in line else line


def encodable(text: str, longest: int) -> str:
    """Cut text, and replace what UTF-8 cannot encode: JSON can name half of a surrogate pair."""
    text = text[:longest]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def trim_message(lines: Iterable[str]) -> str:
    """Join the lines of a message, without blank ones around them, up to the longest message of a report."""
    kept: list[str] = []
    size = 0
    for line in lines:
        if not kept and not line.strip():
            continue
        kept.append(line.rstrip())
        size += len(line) + 1
        if size > _MAX_MESSAGE:
            break
    return "\n".join(kept)[:_MAX_MESSAGE].rstrip()


def parse_number(digits: str | None) -> int | None:
    """Parse a line or column; None for 0 and for anything else."""
    if not digits or len(digits) > _MAX_DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits) or None


def parse_seconds(value: object, factor: float = 1.0) -> float | None:
    """Parse a duration, a number or the text of one, whose unit has `factor` seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        # Surefire groups the digits: 1,234.5.
        duration = float(value[:64].replace(",", "") if isinstance(value, str) else value) * factor
    except (ValueError, OverflowError):
        return None
    return round(duration, 6) if math.isfinite(duration) and duration >= 0 else None


def parse_json_object(line: str) -> dict[str, Any] | None:
    """Parse a line that is one JSON object; None for any other."""
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def objects(value: object, most: int = 100) -> list[dict[str, Any]]:
    """Return the first objects in a list of JSON; nothing of any other value."""
    return [item for item in value[:most] if isinstance(item, dict)] if isinstance(value, list) else []


def json_number(value: object, first: int = 1) -> int | None:
    """Return a line or column of JSON, counted from 1; None for any other value.

    Args:
        first: what the first one is in the JSON.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value + 1 - first if 0 < value + 1 - first < 10**_MAX_DIGITS else None


_LIBRARY_PARTS = frozenset({"site-packages", "dist-packages", "node_modules", ".venv", ".cargo", "rustlib"})
_LIBRARY_ROOTS = ("/usr/", "/opt/", "/rustc/", "/lib/", "/tmp/rustdoctest")  # noqa: S108 - of tools and libraries
_NUMBERED = re.compile(r"(\.[A-Za-z0-9_]{1,8})[:(]([0-9]{1,9})")
_PATH_CHARACTER = re.compile(r"[\w./@+~-]")
_MAX_PATH_IN_PROSE = 300  # characters
_MAX_LOCATIONS = 50


def make_location(path: str, line: str | None) -> Location | None:
    """Return a location from the parts that a tool wrote; None when they are none."""
    number = parse_number(line)
    return Location(path, number) if path and number and len(path) <= _MAX_PATH else None


def split_location(text: str) -> tuple[Location, str] | None:
    """Split ``path:line:column`` into location and column."""
    parts = text.rsplit(":", 2)
    location = make_location(parts[0], parts[1]) if len(parts) == 3 else None
    return None if location is None else (location, parts[2])


def match_message(pattern: re.Pattern[str], line: str) -> tuple[re.Match[str], Location] | None:
    """Match a line that begins with a path, followed by what the pattern matches; its first group is the line number.

    The path is found by what follows it, for it may have any character in it.
    """
    found = pattern.search(line)
    location = None if found is None or line[0].isspace() else make_location(line[: found.start()], found[1])
    return None if found is None or location is None else (found, location)


def in_project(path: str, root: str | None) -> bool:
    """Say whether a file is the project's own, and not a library's or the tool's.

    Without a root, absolute paths are judged by where libraries usually are.
    """
    if path.startswith(("<", "node:", "ext:", "bun:", "../")) or not _LIBRARY_PARTS.isdisjoint(path.split("/")):
        return False
    if not path.startswith("/"):
        return bool(path)
    if root is not None:
        return PurePosixPath(path).is_relative_to(root)
    return not path.startswith(_LIBRARY_ROOTS)


def locations_in(text: str) -> Iterator[Location]:
    """Return the first locations in prose, written as ``path:line`` or ``path(line``."""
    for count, found in enumerate(_NUMBERED.finditer(text)):
        if count == _MAX_LOCATIONS:
            return
        stem = _last_word(text[max(0, found.start() - _MAX_PATH_IN_PROSE) : found.start()])
        if stem and (location := make_location(stem + found[1], found[2])):
            yield location


def _last_word(text: str) -> str:
    start = len(text)
    while start and _PATH_CHARACTER.match(text[start - 1]):
        start -= 1
    return text[start:].removeprefix("//")  # file:///path


def stack_location(line: str) -> Location | None:
    """Return the location in a line of a JavaScript stack, like ``at name (file:///path:line:column)``."""
    text = line.strip().removeprefix("at ").removeprefix("async ")
    if text.endswith(")"):
        text = text[text.rfind("(") + 1 : -1]
    scheme, _, rest = text.partition("://")
    split = split_location(unquote(rest[:_MAX_PATH]) if scheme == "file" else text)
    return None if split is None or parse_number(split[1]) is None else split[0]


def _clean_path(path: str) -> str:
    return encodable(path.removeprefix("./"), _MAX_PATH)


_TAB = 8  # GCC manual, -ftabstop


def column_at_cell(text: str, cell: int) -> int:
    """Return the column in code points of a cell of a terminal (GCC manual, -fdiagnostics-column-unit).

    Both count from 1; a cell behind the end of the line gives the column after its last character.
    """
    cells = 0
    for index, character in enumerate(text):
        cells += _cells_of(character, cells)
        if cells >= cell:
            return index + 1
    return len(text) + 1


def _cells_of(character: str, cells: int) -> int:
    if character == "\t":
        return _TAB - cells % _TAB
    if character.isascii():
        return 1
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
