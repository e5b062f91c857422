"""Readers of what ESLint and Biome print."""

from __future__ import annotations

import re
from typing import Any, Final

from codebuddy.agent.reports.collector import (
    MAX_FINDINGS,
    JsonReader,
    Location,
    Severity,
    json_number,
    make_location,
    match_message,
    objects,
    parse_number,
)

_MAX_OBJECTS = 10 * MAX_FINDINGS


class EslintReader(JsonReader):
    """Reads ``eslint``, in the formats stylish and json; it counts columns in UTF-16 code units."""

    source = "eslint"
    unit = "utf16"

    _MESSAGE = re.compile(r" {2,12}([0-9]{1,9}):([0-9]{1,9}) {2,12}(error|warning) {2,12}(?=\S)")
    _RULE = re.compile(r"[@a-z][\w@/.-]{0,200}\Z")
    _FAILED = "Oops! Something went wrong"

    _path = ""  # of the file that the messages are about
    _failed = False

    def _read_text(self, line: str) -> None:
        if found := self._MESSAGE.match(line):
            severity: Severity = "error" if found[3] == "error" else "warning"
            message, _, rule = line[found.end() :].rstrip().rpartition("  ")
            if not message or not self._RULE.match(rule):
                message, rule = line[found.end() :].rstrip(), ""
            if self._path:
                location = Location(self._path, parse_number(found[1]) or 1)
                self._collector.begin(location, parse_number(found[2]), severity, message.rstrip(), rule or None)
        elif line.startswith(self._FAILED):
            self._failed = True
        elif self._failed and line and not line.startswith("ESLint: "):
            self._collector.set_problem(line)
        elif line and not line[0].isspace():
            self._path = line

    def _read_json(self, value: object) -> None:
        """Take the results (ESLint's documentation, "Formatters Reference", json)."""
        results = value.get("results") if isinstance(value, dict) else value
        for result in objects(results, _MAX_OBJECTS):
            for message in objects(result.get("messages"), _MAX_OBJECTS):
                path, text, rule = result.get("filePath"), message.get("message"), message.get("ruleId")
                if not isinstance(path, str) or not isinstance(text, str):
                    continue
                location = Location(path, json_number(message.get("line")) or 1)
                severity: Severity = "warning" if message.get("severity") == 1 else "error"
                finding = self._collector.begin(location, json_number(message.get("column")), severity, text)
                finding.code = rule if isinstance(rule, str) else None
                finding.end_line = json_number(message.get("endLine"))
                finding.end_column = json_number(message.get("endColumn"))


_BIOME_SEVERITIES: Final[dict[object, Severity]] = {
    "warning": "warning",
    "notice": "information",
    "information": "information",
    "hint": "hint",
    "!": "warning",
    "\u26a0": "warning",
    "i": "information",
    "\u2139": "information",
}


class BiomeReader(JsonReader):
    """Reads ``biome check``, ``lint``, ``format`` and ``ci``, as text and with ``--reporter=json``, ``concise`` and
    ``github``; it counts columns in code points.
    """

    source = "biome"
    quote = re.compile(r" {2,4}> ([0-9]{1,9}) \u2502 ?")

    _HEAD = re.compile(
        r"(?::([0-9]{1,9}):([0-9]{1,9}))? ([a-z][A-Za-z/]{1,100})(?: {1,4}[A-Z]{2,20})? {1,4}\u2501{3,}\Z"
    )
    _MESSAGE = re.compile(r"  ([!\u26a0\xd7\u2716i\u2139]) (?=\S)")
    _CONCISE = re.compile(r"([!\u26a0\xd7\u2716i\u2139]) (?=\S)")
    _CONCISE_PLACE = re.compile(r":([0-9]{1,9}):([0-9]{1,9}): ([a-z][A-Za-z/]{1,100}): ")
    _ANNOTATION = re.compile(r"::(error|warning|notice) ([^:]{1,8192}(?::[^:,=]{1,4096}){0,8})::")

    _head: tuple[Location, str | None, str] | None = None  # of the diagnostic whose message comes next

    def _read_text(self, line: str) -> None:
        if line.endswith("\u2501\u2501\u2501"):
            self._begin_diagnostic(line)
        elif found := self._MESSAGE.match(line):
            self._add_message(found[1], line[found.end() :])
        elif found := self._CONCISE.match(line):
            if match := match_message(self._CONCISE_PLACE, line[found.end() :]):
                place, location = match
                severity = _BIOME_SEVERITIES.get(found[1], "error")
                message = place.string[place.end() :]
                self._collector.begin(location, parse_number(place[2]), severity, message, place[3])
        elif found := self._ANNOTATION.match(line):
            self._add_annotation(found[1], found[2], line[found.end() :])

    def _begin_diagnostic(self, line: str) -> None:
        self._collector.close()
        self._head = None
        found = self._HEAD.search(line)
        if found is not None and found.start() and not line[0].isspace():
            location = make_location(line[: found.start()], found[1] or "1")
            self._head = None if location is None else (location, found[2], found[3])

    def _add_message(self, sign: str, message: str) -> None:
        """Take a sentence: the first one is the message, and others are advice."""
        if self._head is None:
            if self._collector.pending is not None:
                self._collector.note(message)
            return
        location, column, code = self._head
        self._head = None
        severity = _BIOME_SEVERITIES.get(sign, "error")
        self._collector.begin(location, parse_number(column), severity, message, code)

    def _add_annotation(self, level: str, properties: str, message: str) -> None:
        """Take an annotation (GitHub's documentation, "Workflow commands")."""
        values = dict(item.partition("=")[::2] for item in properties.split(","))
        location = make_location(_unescaped(values.get("file", "")), values.get("line", "1"))
        if location is not None:
            severity = _BIOME_SEVERITIES.get(level, "error")
            column, code = parse_number(values.get("col")), values.get("title")
            finding = self._collector.begin(location, column, severity, _unescaped(message), code)
            finding.end_line = parse_number(values.get("endLine"))
            finding.end_column = parse_number(values.get("endColumn"))

    def _read_json(self, value: object) -> None:
        for found in objects(value.get("diagnostics") if isinstance(value, dict) else None, _MAX_OBJECTS):
            message, code = found.get("message"), found.get("category")
            place = _mapping(found.get("location"))
            path, start, end = place.get("path"), _mapping(place.get("start")), _mapping(place.get("end"))
            if not isinstance(path, str) or not isinstance(message, str) or not path:
                continue
            location = Location(path, json_number(start.get("line")) or 1)
            severity = _BIOME_SEVERITIES.get(found.get("severity"), "error")
            finding = self._collector.begin(location, json_number(start.get("column")), severity, message)
            finding.code = code if isinstance(code, str) else None
            finding.end_line, finding.end_column = json_number(end.get("line")), json_number(end.get("column"))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _unescaped(text: str) -> str:
    for escaped, character in (("%0A", "\n"), ("%0D", "\r"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escaped, character)
    return text
