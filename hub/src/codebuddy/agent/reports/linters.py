"""What mypy prints."""

from __future__ import annotations

import re

from codebuddy.agent.reports.collector import Draft, Gathered, Place, Report, Severity, number, place, plain

_MESSAGE = re.compile(
    r":([0-9]{1,9})(?::([0-9]{1,9}))?(?::([0-9]{1,9}):([0-9]{1,9}))?: (error|warning|note): ",
)
_CODE = re.compile(r"[a-z][a-z0-9-]{0,100}\Z")
_FATAL = re.compile(r"mypy: (?:error: )?|usage: mypy ")


class MypyReader:
    """Reads ``mypy``, with and without columns, ends and ``--pretty``; it counts columns in code points."""

    def __init__(self) -> None:
        self._found = Gathered("mypy")

    def feed(self, line: str) -> None:
        line = plain(line)
        found = _MESSAGE.search(line)
        if found is None or line[0].isspace():
            self._continuation(line)
            return
        at = place(line[: found.start()], found[1])
        if at is None:
            return
        text = line[found.end() :]
        previous = self._found.open
        if found[5] == "note" and previous is not None and previous.place == at:
            previous.note(f"note: {text}")
            return
        draft = Draft(at, number(found[2]), "error" if found[5] == "error" else "information", [text])
        end_line, end_column = number(found[3]), number(found[4])
        if end_line and end_column:
            draft.end = (end_line, end_column + 1)  # it names the last character
        _take_code(draft)
        self._found.begin(draft)

    def finish(self) -> Report:
        return self._found.report()

    def _continuation(self, line: str) -> None:
        """Take a line that is no message: --pretty wraps messages, and shows the indented line of the file."""
        draft = self._found.open
        if _FATAL.match(line):
            self._found.problem(line)
        elif draft is None or draft.code is not None or len(draft.message) > 1:
            return
        elif line and not line[0].isspace() and not line.startswith(("Found ", "Success: ")):
            draft.message[0] = f"{draft.message[0].rstrip()} {line}"[:4096]
            _take_code(draft)


def _take_code(draft: Draft) -> None:
    message = draft.message[0]
    start = message.rfind(" [")
    if message.endswith("]") and start >= 0 and _CODE.match(message[start + 2 : -1]):
        draft.code = message[start + 2 : -1]
        draft.message[0] = message[:start].rstrip()


_RULE = re.compile(r"(?:([A-Z]{1,10}[0-9]{1,6})|([a-z][a-z-]{1,60}):) (?:\[\*\] )?(?=\S)")
_CONCISE = re.compile(
    r":([0-9]{1,9}):(?:[0-9]{1,9}:)?([0-9]{1,9}): (?=[A-Za-z])"
)  # the middle one is a notebook's cell
_ARROW = re.compile(r" {1,12}--> ")
_RUFF_WOULD_REFORMAT = "Would reformat: "
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
        elif line.startswith(_RUFF_WOULD_REFORMAT):
            self._finding(Place(line[len(_RUFF_WOULD_REFORMAT) :], 1), None, "unformatted: File would be reformatted")
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


_PYFLAKES_MESSAGE = re.compile(r":([0-9]{1,9}):(?:([0-9]{1,9}):?)? (?=\S)")
_PARSE = re.compile(r"error: cannot parse: ")
_FORMAT = re.compile(r"error: cannot format ")
_AT = re.compile(r"Cannot parse[^:]{0,60}: ([0-9]{1,9}):([0-9]{1,9}): ")
_BLACK_WOULD_REFORMAT = "would reformat "


class PyflakesReader:
    """Reads ``pyflakes``; it counts columns in bytes of UTF-8, as Python's syntax tree does."""

    def __init__(self) -> None:
        self._found = Gathered("pyflakes", "byte")

    def feed(self, line: str) -> None:
        line = plain(line)
        found = _PYFLAKES_MESSAGE.search(line)
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
        if line.startswith(_BLACK_WOULD_REFORMAT):
            at = Place(line[len(_BLACK_WOULD_REFORMAT) :], 1)
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
