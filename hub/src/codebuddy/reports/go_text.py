"""What ``go vet`` and ``go build`` print."""

from __future__ import annotations

import re

from codebuddy.reports.gathered import Draft, Gathered
from codebuddy.reports.lines import number, plain
from codebuddy.reports.models import Report, Severity
from codebuddy.reports.places import place

__all__ = ["GoReader", "GoText"]

_MESSAGE = re.compile(r"(\.(?:go|mod|work|s|c|h|cc|cpp)):([0-9]{1,9})(?::([0-9]{1,9}))?: (?=\S)")


class GoText:
    """Takes lines of the go command for findings; it counts columns in bytes.

    Args:
        found: what they are added to.
    """

    def __init__(self, found: Gathered) -> None:
        self._found = found
        self._vetted = False

    def feed(self, line: str) -> bool:
        """Take a line, and say whether it is one of a finding or its header."""
        if line.startswith("# "):
            self._vetted = line.startswith("# [")
            self._found.close()
            return True
        found = _MESSAGE.search(line)
        if found is None or line[0].isspace():
            return self._continuation(line)
        path = line[: found.end(1)]
        checked = path.removeprefix("vet: ")  # vet could not check its types
        at = place(checked, found[2])
        if at is None:
            return False
        by_vet = self._vetted and checked == path
        source = "vet" if by_vet else "go"
        severity: Severity = "warning" if by_vet else "error"
        message = [line[found.end() :]]
        self._found.begin(Draft(at, number(found[3]), severity, message, source=source))
        return True

    def _continuation(self, line: str) -> bool:
        if line.startswith("\t") and self._found.open is not None:
            self._found.note(line.strip())
            return True
        self._found.close()
        return False


class GoReader:
    """Reads ``go vet`` and ``go build``."""

    def __init__(self) -> None:
        self._found = Gathered("go", "byte")
        self._text = GoText(self._found)
        self._rest = ""

    def feed(self, line: str) -> None:
        line = plain(line)
        if not self._text.feed(line) and line.startswith(("go: ", "package ", "pattern ")) and not self._rest:
            self._rest = line

    def finish(self) -> Report:
        if self._found.nothing:
            self._found.problem(self._rest)
        return self._found.report()
