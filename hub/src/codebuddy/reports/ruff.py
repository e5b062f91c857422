"""What ruff prints: its full and its concise text."""

from __future__ import annotations

import re

from codebuddy.reports.gathered import Draft, Gathered
from codebuddy.reports.lines import number, plain
from codebuddy.reports.models import Report, Severity
from codebuddy.reports.places import Place, place

__all__ = ["RuffReader"]

_RULE = re.compile(r"(?:([A-Z]{1,10}[0-9]{1,6})|([a-z][a-z-]{1,60}):) (?:\[\*\] )?(?=\S)")
_CONCISE = re.compile(
    r":([0-9]{1,9}):(?:[0-9]{1,9}:)?([0-9]{1,9}): (?=[A-Za-z])"
)  # the middle one is a notebook's cell
_ARROW = re.compile(r" {1,12}--> ")
_WOULD_REFORMAT = "Would reformat: "
_FAILED = re.compile(r"error: |ruff failed")
_ERRORS = frozenset({"F821", "E902", "E999", "invalid-syntax"})  # as its language server says it


class RuffReader:
    """Reads ``ruff check`` and ``ruff format --check``; it counts columns in code points."""

    def __init__(self) -> None:
        self._found = Gathered("ruff")
        self._rule = ""

    def feed(self, line: str) -> None:
        line = plain(line)
        if arrow := _ARROW.match(line):
            parts = line[arrow.end() :].rsplit(":", 2)
            if self._rule and len(parts) == 3:
                self._finding(place(parts[0], parts[1]), parts[2], self._rule)
            self._rule = ""
        elif line.startswith(_WOULD_REFORMAT):
            self._finding(Place(line[len(_WOULD_REFORMAT) :], 1), None, "unformatted: File would be reformatted")
        elif _RULE.match(line):
            self._rule = line
        elif (found := _CONCISE.search(line)) and not line[0].isspace():
            self._finding(place(line[: found.start()], found[1]), found[2], line[found.end() :])
        elif _FAILED.match(line):
            self._found.problem(line)

    def finish(self) -> Report:
        return self._found.report()

    def _finding(self, at: Place | None, column: str | None, rule: str) -> None:
        found = _RULE.match(rule)
        if at is None or not at.path or found is None:
            return
        code = found[1] or found[2]
        severity: Severity = "error" if code in _ERRORS else "warning"
        self._found.begin(Draft(at, number(column), severity, [rule[found.end() :]], code))
