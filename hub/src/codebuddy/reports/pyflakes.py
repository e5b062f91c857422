"""What pyflakes and ``black --check`` print."""

from __future__ import annotations

import re

from codebuddy.reports.gathered import Draft, Gathered
from codebuddy.reports.lines import number, plain
from codebuddy.reports.models import Report, Severity
from codebuddy.reports.places import Place, place

__all__ = ["BlackReader", "PyflakesReader"]

_MESSAGE = re.compile(r":([0-9]{1,9}):(?:([0-9]{1,9}):?)? (?=\S)")
_PARSE = re.compile(r"error: cannot parse: ")
_FORMAT = re.compile(r"error: cannot format ")
_AT = re.compile(r"Cannot parse[^:]{0,60}: ([0-9]{1,9}):([0-9]{1,9}): ")
_WOULD_REFORMAT = "would reformat "


class PyflakesReader:
    """Reads ``pyflakes``; it counts columns in bytes of UTF-8, as Python's syntax tree does."""

    def __init__(self) -> None:
        self._found = Gathered("pyflakes", "byte")

    def feed(self, line: str) -> None:
        line = plain(line)
        found = _MESSAGE.search(line)
        if found and not line[0].isspace() and (at := place(line[: found.start()], found[1])):
            message = line[found.end() :]
            severity: Severity = "error" if message.startswith("undefined name ") else "warning"
            self._found.begin(Draft(at, number(found[2]), severity, [message]))
        elif line.strip() == "^" and self._found.open is not None:
            self._found.open.severity = "error"  # only what cannot be parsed is shown

    def finish(self) -> Report:
        return self._found.report()


class BlackReader:
    """Reads ``black --check``: which files are not as it would write them, and which it cannot read."""

    def __init__(self) -> None:
        self._found = Gathered("black")

    def feed(self, line: str) -> None:
        line = plain(line)
        if line.startswith(_WOULD_REFORMAT):
            at = Place(line[len(_WOULD_REFORMAT) :], 1)
            self._found.begin(Draft(at, None, "warning", ["File would be reformatted"]))
        elif found := _PARSE.match(line):
            path, _, rest = line[found.end() :].partition(":")
            row, _, column = rest.partition(":")
            self._unreadable(place(path, row), column, "cannot parse")
        elif found := _FORMAT.match(line):
            path, _, reason = line[found.end() :].partition(": ")
            where = _AT.match(reason)
            self._unreadable(Place(path, (number(where[1]) if where else None) or 1), where and where[2], reason)

    def finish(self) -> Report:
        return self._found.report()

    def _unreadable(self, at: Place | None, column: str | None, reason: str) -> None:
        if at is not None and at.path:
            counted = int(column) + 1 if column and column.isdecimal() and len(column) < 9 else None  # from 0
            self._found.begin(Draft(at, counted, "error", [reason]))
