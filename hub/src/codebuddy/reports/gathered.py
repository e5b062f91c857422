"""What a reader has found so far: bounded, each thing once, and fit to be sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from codebuddy.reports.lines import cut_message, readable
from codebuddy.reports.models import Counts, Failure, Finding, Report, Severity, Unit
from codebuddy.reports.places import Place

__all__ = ["MAX_FAILURES", "MAX_FINDINGS", "Draft", "Gathered"]

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
