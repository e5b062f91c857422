"""What the TypeScript compiler prints, plain and ``--pretty``."""

from __future__ import annotations

import re

from codebuddy.reports.gathered import Draft, Gathered
from codebuddy.reports.lines import number, plain
from codebuddy.reports.models import Report, Severity
from codebuddy.reports.places import place

__all__ = ["TscReader"]

_WORDS = r"(error|warning|message|suggestion)"
_PLAIN = re.compile(rf"\(([0-9]{{1,9}}),([0-9]{{1,9}})\): {_WORDS} (TS[0-9]{{1,6}}): ")
_PRETTY = re.compile(rf":([0-9]{{1,9}}):([0-9]{{1,9}}) - {_WORDS} (TS[0-9]{{1,6}}): ")
_RELATED = re.compile(r"  (?=\S)(?:[^:]{1,1000}):([0-9]{1,9}):[0-9]{1,9} - ")
_GLOBAL = re.compile(r"error TS[0-9]{1,6}: ")
_SEVERITIES: dict[str, Severity] = {"warning": "warning", "message": "information", "suggestion": "hint"}


class TscReader:
    """Reads ``tsc``; it counts columns in UTF-16 code units."""

    def __init__(self) -> None:
        self._found = Gathered("tsc", "utf16")
        self._in_frame = False  # of the lines that --pretty shows of the file, or of other output

    def feed(self, line: str) -> None:
        line = plain(line)
        found = _PLAIN.search(line) or _PRETTY.search(line)
        if found and not line[0].isspace() and (at := place(line[: found.start()], found[1])):
            severity = _SEVERITIES.get(found[3], "error")
            message = [line[found.end() :]]
            self._found.begin(Draft(at, number(found[2]), severity, message, found[4]))
            self._in_frame = False
        elif _RELATED.match(line):
            self._found.note(f"note: {line.strip()}")
        elif not line.strip():
            self._in_frame = True
        elif line.startswith("  ") and not self._in_frame:
            self._found.note(line)
        else:
            self._in_frame = True
            if _GLOBAL.match(line):
                self._found.problem(line)

    def finish(self) -> Report:
        return self._found.report()
