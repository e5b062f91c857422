"""Readers of what Python's type checkers and linters print: mypy, ty, pyright, ruff, pyflakes and black."""

from __future__ import annotations

import re
from typing import Final

from codebuddy.agent.reports.collector import (
    MAX_FINDINGS,
    MAX_LINE,
    SHOWN_LINE,
    Finding,
    JsonReader,
    Location,
    Reader,
    Severity,
    json_number,
    make_location,
    match_message,
    objects,
    parse_number,
    split_location,
)


class MypyReader(Reader):
    """Reads ``mypy``, with and without columns, ends and ``--pretty``.

    It counts columns in bytes of UTF-8, as Python's syntax tree does. With its own parser, the default since 2.4, it
    converts them to code points twice, so that they are wrong behind a character that has several bytes.
    """

    source = "mypy"
    unit = "byte"

    _MESSAGE = re.compile(
        r":([0-9]{1,9})(?::([0-9]{1,9}))?(?::([0-9]{1,9}):([0-9]{1,9}))?: (error|warning|note): ",
    )
    _CODE = re.compile(r"[a-z][a-z0-9-]{0,100}\Z")
    _FATAL = re.compile(r"mypy: (?:error: )?|usage: mypy ")

    def _read(self, line: str) -> None:
        match = match_message(self._MESSAGE, line)
        if match is None:
            self._continue(line)
            return
        found, location = match
        text = line[found.end() :]
        previous = self._collector.pending
        if found[5] == "note" and previous is not None and (previous.path, previous.line) == location:
            self._collector.note(f"note: {text}")
            return
        severity: Severity = "error" if found[5] == "error" else "information"
        finding = self._collector.begin(location, parse_number(found[2]), severity, text)
        end_line, end_column = parse_number(found[3]), parse_number(found[4])
        if end_line and end_column:
            finding.end_line, finding.end_column = end_line, end_column + 1  # mypy names the last character
        self._take_code(finding)

    def _continue(self, line: str) -> None:
        """Take a line that begins no message: --pretty wraps messages, and shows the indented line of the file."""
        finding = self._collector.pending
        if self._FATAL.match(line):
            self._collector.set_problem(line)
        elif finding is None or finding.code is not None or "\n" in finding.message or self._MESSAGE.search(line):
            return
        elif line and not line[0].isspace() and not line.startswith(("Found ", "Success: ")):
            finding.message = f"{finding.message.rstrip()} {line}"[:4096]
            self._take_code(finding)

    def _take_code(self, finding: Finding) -> None:
        message = finding.message
        start = message.rfind(" [")
        if message.endswith("]") and start >= 0 and self._CODE.match(message[start + 2 : -1]):
            finding.message, finding.code = message[:start].rstrip(), message[start + 2 : -1]


_SEVERITIES: Final[dict[object, Severity]] = {
    "error": "error",
    "warning": "warning",
    "info": "information",
    "information": "information",
    "note": "information",
    "hint": "hint",
}


class TyReader(Reader):
    """Reads ``ty check``, full and concise; it counts columns in code points."""

    source = "ty"
    quote = SHOWN_LINE

    _HEAD = re.compile(r"(error|warning|info)\[([a-z][a-z0-9-]{0,100})\]: ")
    _CONCISE = re.compile(r":([0-9]{1,9}):([0-9]{1,9}): (error|warning|info)\[([a-z][a-z0-9-]{0,100})\] ")
    _ARROW = re.compile(r" {1,12}--> ")
    _ELSEWHERE = re.compile(r" {1,12}::: ")
    _NOTE = re.compile(r"(?:info|help): ")
    _LABEL = re.compile(r" {2,13}\| [ |-]*\^[\^ -]*")
    _FAILED = re.compile(r"ty failed|error: |error\[io\]: ")

    _head: re.Match[str] | None = None

    def _read(self, line: str) -> None:
        if self._FAILED.match(line):
            self._collector.set_problem(line)
        elif head := self._HEAD.match(line):
            self._collector.close()
            self._head = head
        elif arrow := self._ARROW.match(line):
            self._locate(line[arrow.end() :])
        elif match := match_message(self._CONCISE, line):
            found, location = match
            severity = _SEVERITIES[found[3]]
            self._collector.begin(location, parse_number(found[2]), severity, line[found.end() :], found[4])
        elif self._NOTE.match(line):
            self._collector.note(line)
        elif self._ELSEWHERE.match(line):
            self._collector.end_quote()
        elif (label := self._LABEL.match(line)) and line[label.end() :]:
            self._collector.note(line[label.end() :])

    def _locate(self, text: str) -> None:
        head, self._head = self._head, None
        split = split_location(text)
        if head is None or split is None:
            self._collector.end_quote()
            return
        location, column = split
        message = head.string[head.end() :]
        self._collector.begin(location, parse_number(column), _SEVERITIES[head[1]], message, head[2])


class PyrightReader(JsonReader):
    """Reads ``pyright``, as text and as JSON; it counts columns in UTF-16 code units."""

    source = "pyright"
    unit = "utf16"
    _MESSAGE = re.compile(r":([0-9]{1,9}):([0-9]{1,9}) - (error|warning|information|note|hint): ")
    _RULE = re.compile(r" \((report[A-Za-z]{1,100})\)\Z")
    _FAILED = re.compile(r"File or directory \"|No source files found|Config file \"|error: ")

    def _read_text(self, line: str) -> None:
        finding = self._collector.pending
        if (match := match_message(self._MESSAGE, line.removeprefix("  "))) is not None:
            found, location = match
            severity = _SEVERITIES[found[3]]
            finding = self._collector.begin(location, parse_number(found[2]), severity, found.string[found.end() :])
        elif finding is not None and line.startswith("  ") and finding.code is None:
            self._collector.note(line.strip())
        else:
            self._collector.close()
            if self._FAILED.match(line):
                self._collector.set_problem(line)
            return
        if rule := self._RULE.search(finding.message):
            finding.message, finding.code = finding.message[: rule.start()], rule[1]

    def _read_json(self, value: object) -> None:
        """Take the findings (pyright's documentation, "JSON Output"), which count lines and characters from 0."""
        for found in objects(value.get("generalDiagnostics") if isinstance(value, dict) else None, 10 * MAX_FINDINGS):
            path, message, rule, span = (found.get(key) for key in ("file", "message", "rule", "range"))
            start, end = (span.get(key) if isinstance(span, dict) else None for key in ("start", "end"))
            line, column = _place(start)
            if not isinstance(path, str) or not isinstance(message, str):
                continue
            severity = _SEVERITIES.get(found.get("severity"), "error")
            lines = [text.strip() for text in message[:MAX_LINE].split("\n")]  # indented with spaces that do not break
            finding = self._collector.begin(Location(path, line or 1), column, severity, "\n".join(lines))
            finding.code = rule if isinstance(rule, str) else None
            finding.end_line, finding.end_column = _place(end)


class BasedpyrightReader(PyrightReader):
    """Reads ``basedpyright``, which prints what pyright does."""

    source = "basedpyright"


def _place(value: object) -> tuple[int | None, int | None]:
    if not isinstance(value, dict):
        return None, None
    return json_number(value.get("line"), 0), json_number(value.get("character"), 0)


class RuffReader(Reader):
    """Reads ``ruff check`` and ``ruff format --check``; it counts columns in code points."""

    source = "ruff"
    quote = SHOWN_LINE

    _RULE = re.compile(r"(?:([A-Z]{1,10}[0-9]{1,6})|([a-z][a-z-]{1,60}):) (?:\[\*\] )?(?=\S)")
    # The number in the middle is that of a notebook's cell.
    _CONCISE = re.compile(r":([0-9]{1,9}):(?:[0-9]{1,9}:)?([0-9]{1,9}): (?=[A-Za-z])")
    _ARROW = re.compile(r" {1,12}--> ")
    _UNFORMATTED = "Would reformat: "
    _FAILED = re.compile(r"error: |ruff failed")
    _ERRORS = frozenset({"F821", "E902", "E999", "invalid-syntax"})  # as ruff's language server rates them

    _rule = ""

    def _read(self, line: str) -> None:
        if arrow := self._ARROW.match(line):
            if self._rule and (split := split_location(line[arrow.end() :])):
                self._add(*split, self._rule)
            self._rule = ""
        elif line.startswith(self._UNFORMATTED):
            location = Location(line.removeprefix(self._UNFORMATTED), 1)
            self._add(location, None, "unformatted: File would be reformatted")
        elif self._RULE.match(line):
            self._rule = line
        elif match := match_message(self._CONCISE, line):
            self._add(match[1], match[0][2], line[match[0].end() :])
        elif self._FAILED.match(line):
            self._collector.set_problem(line)

    def _add(self, location: Location, column: str | None, rule: str) -> None:
        found = self._RULE.match(rule)
        if location.path and found is not None:
            code = found[1] or found[2]
            severity: Severity = "error" if code in self._ERRORS else "warning"
            self._collector.begin(location, parse_number(column), severity, rule[found.end() :], code)


class PyflakesReader(Reader):
    """Reads ``pyflakes``; it counts columns in bytes of UTF-8, as Python's syntax tree does."""

    source = "pyflakes"
    unit = "byte"

    _MESSAGE = re.compile(r":([0-9]{1,9}):(?:([0-9]{1,9}):?)? (?=\S)")

    def _read(self, line: str) -> None:
        if match := match_message(self._MESSAGE, line):
            found, location = match
            message = line[found.end() :]
            severity: Severity = "error" if message.startswith("undefined name ") else "warning"
            self._collector.begin(location, parse_number(found[2]), severity, message)
        elif line.strip() == "^" and self._collector.pending is not None:
            self._collector.pending.severity = "error"  # pyflakes shows only what cannot be parsed


class BlackReader(Reader):
    """Reads ``black --check``: which files are not formatted, and which it cannot read."""

    source = "black"

    _CANNOT_PARSE = re.compile(r"error: cannot parse: ")
    _CANNOT_FORMAT = re.compile(r"error: cannot format ")
    _LOCATION = re.compile(r"Cannot parse[^:]{0,60}: ([0-9]{1,9}):([0-9]{1,9}): ")
    _UNFORMATTED = "would reformat "

    def _read(self, line: str) -> None:
        if line.startswith(self._UNFORMATTED):
            location = Location(line.removeprefix(self._UNFORMATTED), 1)
            self._collector.begin(location, None, "warning", "File would be reformatted")
        elif found := self._CANNOT_PARSE.match(line):
            path, _, rest = line[found.end() :].partition(":")
            row, _, column = rest.partition(":")
            self._add_unreadable(make_location(path, row), column, "cannot parse")
        elif found := self._CANNOT_FORMAT.match(line):
            path, _, reason = line[found.end() :].partition(": ")
            where = self._LOCATION.match(reason)
            location = Location(path, (parse_number(where[1]) if where else None) or 1)
            self._add_unreadable(location, where and where[2], reason)

    def _add_unreadable(self, location: Location | None, column: str | None, reason: str) -> None:
        if location is not None and location.path:
            # black counts columns from 0.
            counted = int(column) + 1 if column and column.isdecimal() and len(column) < 9 else None
            self._collector.begin(location, counted, "error", reason)
