"""What a run of tests or of a compiler came to."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

Severity = Literal["error", "warning", "information", "hint"]
Unit = Literal["codepoint", "utf16", "byte", "display"]


@dataclass(slots=True)
class Counts:
    """How many tests ended how. A test with subtests is not counted beside them; what could not start has failed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed.

    Args:
        name: as the tool's own command line would select it, where it can be known.
        message: the assertion or panic, without the tool's decoration; may have several lines.
        path: as the tool gives it: relative to the working directory, or absolute.
        line: counted from 1; where the assertion failed if that is known and in the project, else where the test is.
        duration_seconds: as the tool gives it.
    """

    name: str
    message: str
    path: str | None
    line: int | None
    duration_seconds: float | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a compiler or linter found.

    Args:
        path: as the tool gives it: relative to the working directory, or absolute.
        line: counted from 1; 1 also where the tool names the file only.
        column: counted from 1, in ``unit``.
        end_line: the line it ends in.
        end_column: the column after its last character.
        severity: what the tool calls it, in the words of a language server.
        message: without the tool's decoration; its further lines are what it noted on it.
        code: the rule, or the number of the error.
        source: the tool.
        unit: what the tool counts columns in; ``display`` are the cells of a terminal, see `as_cells`.
    """

    path: str
    line: int
    column: int | None
    end_line: int | None
    end_column: int | None
    severity: Severity
    message: str
    code: str | None
    source: str
    unit: Unit


@dataclass(slots=True)
class Report:
    """What was read.

    Args:
        counts: none when the output tells of no tests.
        failures: in order of the output.
        findings: in order of the output.
        more_failures: how many were left out.
        more_findings: how many were left out.
        problem: one sentence, when the output could not be read as the format, or not all of it.
    """

    counts: Counts | None = None
    failures: list[Failure] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    more_failures: int = 0
    more_findings: int = 0
    problem: str | None = None


def joined(reports: Sequence[Report]) -> Report:
    """Put together what was read in several formats of one run: a test run that did not compile has findings only.

    That one of them could not be read is worth a word only where no other tells how it went.
    """
    errors = any(finding.severity == "error" for report in reports for finding in report.findings)
    told = errors or any(report.counts is not None for report in reports)
    return Report(
        counts=next((report.counts for report in reports if report.counts is not None), None),
        failures=[failure for report in reports for failure in report.failures],
        findings=[finding for report in reports for finding in report.findings],
        more_failures=sum(report.more_failures for report in reports),
        more_findings=sum(report.more_findings for report in reports),
        problem=None if told and len(reports) > 1 else next((one.problem for one in reports if one.problem), None),
    )


MAX_LINE = 65536  # characters that are looked at
_MAX_MESSAGE = 2000  # characters
_MAX_NUMBER = 9  # digits

# ECMA-48 5.4 (control sequences) and 5.6 (control strings, which are looked for in one line only), and other escapes.
# The bound keeps an escape that does not end from being looked through again and again.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)|[ -/]{0,8}[0-Z\\^-~])")


def plain(line: str) -> str:
    """Give a line without what colours it."""
    line = line[:MAX_LINE]
    return _ESCAPE.sub("", line) if "\x1b" in line else line


def readable(text: str, longest: int) -> str:
    """Give text that every encoder takes: JSON can name half of a surrogate pair."""
    text = text[:longest]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def cut_message(lines: Iterable[str]) -> str:
    """Join the lines of a message, without blank ones around them, up to what a report gives of one."""
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


def number(digits: str | None) -> int | None:
    """Give a line or column; none when it is none."""
    if not digits or len(digits) > _MAX_NUMBER or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits) or None


def seconds(value: object, factor: float = 1.0) -> float | None:
    """Give a duration that a tool wrote, in seconds.

    Args:
        value: a number, or the text of one.
        factor: how many seconds its unit has.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        # Surefire groups the digits: 1,234.5.
        duration = float(value[:64].replace(",", "") if isinstance(value, str) else value) * factor
    except (ValueError, OverflowError):
        return None
    return round(duration, 6) if math.isfinite(duration) and duration >= 0 else None


def json_object(line: str) -> dict[str, Any] | None:
    """Read a line that is one JSON object; none when it is not."""
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


_FOREIGN_PARTS = frozenset({"site-packages", "dist-packages", "node_modules", ".venv", ".cargo", "rustlib"})
_FOREIGN_ROOTS = ("/usr/", "/opt/", "/rustc/", "/lib/", "/tmp/rustdoctest")  # noqa: S108 - of tools and libraries
_NUMBERED = re.compile(r"(\.[A-Za-z0-9_]{1,8})[:(]([0-9]{1,9})")
_PATH_CHARACTER = re.compile(r"[\w./@+~-]")
_MAX_PATH_IN_PROSE = 300  # characters of a path that is searched for in prose
_MAX_PLACES = 50
_LONGEST_PATH = 4096


class Place(NamedTuple):
    """A line of a file, counted from 1."""

    path: str
    line: int


def place(path: str, line: str | None) -> Place | None:
    """Give a place from the parts that a tool wrote; none when it is none."""
    numbered = number(line)
    return Place(path, numbered) if path and numbered and len(path) <= _LONGEST_PATH else None


def is_own(path: str, root: str | None) -> bool:
    """Say whether a file is the project's own, and not a library's or the tool's.

    Args:
        path: as a tool gives it.
        root: the directory that the tool ran in; without it, absolute paths are judged by where libraries lie.
    """
    if path.startswith(("<", "node:", "../")) or not _FOREIGN_PARTS.isdisjoint(path.split("/")):
        return False
    if not path.startswith("/"):
        return bool(path)
    if root is not None:
        return PurePosixPath(path).is_relative_to(root)
    return not path.startswith(_FOREIGN_ROOTS)


def places_in(text: str) -> Iterator[Place]:
    """Give the first places in prose, written as ``path:line`` or ``path(line``."""
    for count, found in enumerate(_NUMBERED.finditer(text)):
        if count == _MAX_PLACES:
            return
        stem = _last_word(text[max(0, found.start() - _MAX_PATH_IN_PROSE) : found.start()])
        if stem and (given := place(stem + found[1], found[2])):
            yield given


def _last_word(text: str) -> str:
    start = len(text)
    while start and _PATH_CHARACTER.match(text[start - 1]):
        start -= 1
    word = text[start:]
    return word.removeprefix("//")  # file:///path


def stack_place(line: str) -> Place | None:
    """Give the place of a line of a JavaScript stack, like ``at name (file:///path:line:column)``."""
    text = line.strip().removeprefix("at ").removeprefix("async ")
    if text.endswith(")"):
        text = text[text.rfind("(") + 1 : -1]
    path, _, rest = text.partition("://")
    path = unquote(rest[:4096]) if path == "file" else text
    parts = path.rsplit(":", 2)
    if len(parts) != 3 or number(parts[2]) is None:
        return None
    return place(parts[0], parts[1])


_TAB = 8  # GCC manual, -ftabstop
_WIDE = frozenset({"W", "F"})
_MARKS = frozenset({"Mn", "Me", "Cf"})


def from_display(text: str, column: int) -> int:
    """Give the column in code points, counted from 1, of a column in cells (GCC manual, -fdiagnostics-column-unit).

    Args:
        text: the line.
        column: counted from 1; one behind the line's end gives the column after its last character.
    """
    cells = 0
    for index, character in enumerate(text):
        cells += _width(character, cells)
        if cells >= column:
            return index + 1
    return len(text) + 1


def _width(character: str, cells: int) -> int:
    if character == "\t":
        return _TAB - cells % _TAB
    if character.isascii():
        return 1
    if unicodedata.category(character) in _MARKS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1


MAX_FAILURES = 200
MAX_FINDINGS = 500

_MAX_PATH = 4096  # characters
_MAX_NAME = 2000
_MAX_CODE = 200
_MAX_PROBLEM = 500
_MAX_NOTES = 40  # lines


@dataclass(slots=True)
class Draft:
    """A finding whose further lines may still come."""

    place: Place
    column: int | None
    severity: Severity
    message: list[str]
    code: str | None = None
    source: str | None = None
    end: tuple[int, int] | None = None
    unit: Unit | None = None

    def note(self, line: str) -> None:
        """Add a line to its message."""
        if len(self.message) < _MAX_NOTES:
            self.message.append(line)


class Gathered:
    """Failures and findings, in the order in which they are added.

    Args:
        source: the tool that finds, where a draft names none.
        unit: what that tool counts columns in, where a draft says nothing else.
    """

    def __init__(self, source: str = "", unit: Unit = "codepoint") -> None:
        self._source = source
        self.open: Draft | None = None
        self._unit = unit
        self._report = Report()
        self._seen: set[Finding] = set()

    @property
    def nothing(self) -> bool:
        """Whether there is no failure and no finding yet."""
        return self.open is None and not self._report.failures and not self._report.findings

    def failure(
        self, name: str, message: str | list[str], place: Place | str | None = None, duration: float | None = None
    ) -> None:
        """Add a test that failed; a place of which only the file is known is its path."""
        if len(self._report.failures) >= MAX_FAILURES:
            self._report.more_failures += 1
            return
        text = readable(cut_message(message.split("\n") if isinstance(message, str) else message), _MAX_PATH)
        path, line = (place.path, place.line) if isinstance(place, Place) else (place, None)
        self._report.failures.append(
            Failure(readable(name, _MAX_NAME), text or "It failed.", path and _path(path), line, duration)
        )

    def begin(self, draft: Draft) -> None:
        """Add a finding that stays open for notes until the next one begins."""
        self.close()
        self.open = draft

    def note(self, line: str) -> None:
        """Add a line to the message of the open finding, if there is one."""
        if self.open is not None:
            self.open.note(line)

    def close(self) -> None:
        """Add the open finding; a second one that is the same is none."""
        draft, self.open = self.open, None
        path = "" if draft is None else _path(draft.place.path)
        if draft is None or not path:
            return
        if len(self._report.findings) >= MAX_FINDINGS:
            self._report.more_findings += 1
            return
        found = Finding(
            path=path,
            line=draft.place.line,
            column=draft.column,
            end_line=draft.end[0] if draft.end else None,
            end_column=draft.end[1] if draft.end else None,
            severity=draft.severity,
            message=readable(cut_message(draft.message), _MAX_PATH),
            code=None if draft.code is None else readable(draft.code, _MAX_CODE),
            source=draft.source or self._source,
            unit=draft.unit or self._unit,
        )
        if found not in self._seen:
            self._seen.add(found)
            self._report.findings.append(found)

    def by_another(self, source: str, unit: Unit) -> None:
        """Take it that the tool is another one, whose findings were taken for those of this one."""
        self.close()
        told = [
            replace(each, source=source, unit=unit) if each.source == self._source else each
            for each in self._report.findings
        ]
        self._report.findings[:] = told
        self._seen = set(told)
        self._source, self._unit = source, unit

    def problem(self, sentence: str) -> None:
        """Say what could not be read; the first that is said stays."""
        if self._report.problem is None and sentence.strip():
            self._report.problem = readable(" ".join(sentence[:_MAX_PATH].split()), _MAX_PROBLEM)

    def report(self, counts: Counts | None = None) -> Report:
        """Give it all."""
        self.close()
        self._report.counts = counts
        return self._report


def _path(path: str) -> str:
    return readable(path.removeprefix("./"), _MAX_PATH)
