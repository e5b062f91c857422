"""Readers of what GCC, Clang, the linker, CMake and the TypeScript compiler print."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from codebuddy.agent.reports.collector import (
    SHOWN_LINE,
    Location,
    Reader,
    Severity,
    make_location,
    match_message,
    parse_number,
)

# GCC manual, "Diagnostic Message Formatting Options"; Clang prints the same.
_DIAGNOSTIC = re.compile(r":([0-9]{1,9}):(?:([0-9]{1,9}):)? (fatal error|error|warning|note|remark): ")
_OPTION = re.compile(r"-[Wf][A-Za-z0-9=+,_-]{0,100}\Z")
_CONTEXT = re.compile(r"(?:In file included from| {10,20}from) (?=\S)")
_REQUIRED = re.compile(r":[0-9]{1,9}:[0-9]{1,9}: {1,4}(?:required|recursively required|in) ")
_UNDEFINED = re.compile(
    r":(?:([0-9]{1,9})(?::\(\.[A-Za-z0-9_.+]{1,80}\))?|\(\.[A-Za-z0-9_.+]{1,80}\)): "
    r"(undefined reference to |multiple definition of )"
)
_CMAKE = re.compile(r"CMake (Error|[A-Za-z ]{0,20}Warning)(?: \(dev\))? at ")
_CMAKE_LOCATION = re.compile(r":([0-9]{1,9}) \([^()]{1,100}\):\Z")
_CLANG_COUNT = re.compile(r"[0-9]{1,9} (?:errors?|warnings?)(?: and [0-9]{1,9} errors?)? generated\.\Z")
_CLANG_COMPILER = re.compile(r"-- The [A-Z]{1,4} compiler identification is \w{0,20}Clang")
_GCC_SEVERITIES: Final[dict[str, Severity]] = {"warning": "warning", "remark": "information"}
_MAX_CONTEXT = 10  # lines


class GccReader(Reader):
    """Reads GCC's and Clang's diagnostics, references that the linker cannot resolve, and CMake's messages.

    GCC counts columns in cells of a terminal unless told otherwise; Clang, which is known by its last line, in bytes.
    """

    source = "gcc"
    unit = "display"
    quote = SHOWN_LINE

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self._context: list[str] = []  # lines that precede the diagnostic to which they belong
        self._in_cmake = False
        self._is_clang = False

    def _read(self, line: str) -> None:
        if self._in_cmake and self._read_cmake_text(line):
            return
        if self._read_diagnostic(line) or self._read_cmake(line) or self._read_linker(line):
            return
        if _CONTEXT.match(line) or _REQUIRED.search(line):
            if len(self._context) < _MAX_CONTEXT:
                self._context.append(line.strip().rstrip(":,"))
        elif not self._is_clang and (_CLANG_COUNT.match(line) or _CLANG_COMPILER.match(line)):
            self._is_clang = True
            self._collector.change_source("clang", "byte")

    def _read_diagnostic(self, line: str) -> bool:
        match = match_message(_DIAGNOSTIC, line)
        if match is None:
            return False
        found, location = match
        message = line[found.end() :]
        if found[3] == "note":
            self._collector.note(f"note: {location.path}:{found[1]}: {message}")
            return True
        message, code = _split_option(message)
        severity = _GCC_SEVERITIES.get(found[3], "error")
        message = "\n".join([message, *self._context])
        finding = self._collector.begin(location, parse_number(found[2]), severity, message, code)
        if code == "-Wclang-format-violations":
            finding.source, finding.unit = "clang-format", "byte"
        self._context.clear()
        return True

    def _read_linker(self, line: str) -> bool:
        found = _UNDEFINED.search(line)
        if found is None:
            return False
        path = line[: found.start()]
        path = path[path.rfind(": ") + 2 :] if ": " in path else path
        if path and not path[0].isspace():
            location = Location(path, parse_number(found[1]) or 1)
            self._collector.begin(location, None, "error", line[found.start(2) :]).source = "ld"
        return True

    def _read_cmake(self, line: str) -> bool:
        found = _CMAKE.match(line)
        if found is None:
            return False
        if end := _CMAKE_LOCATION.search(line, max(found.end(), len(line) - 120)):
            location = make_location(line[found.end() : end.start()], end[1])
            if location is not None:
                severity: Severity = "error" if found[1] == "Error" else "warning"
                self._collector.begin(location, None, severity, "").source = "cmake"
                self._in_cmake = True
        return True

    def _read_cmake_text(self, line: str) -> bool:
        """Take a line of CMake's message: its lines are indented, and blank ones are between them."""
        if line and not line.startswith("  "):
            self._in_cmake = False
            self._collector.close()
            return False
        if line:
            self._collector.note(line.strip())
        return True


def _split_option(message: str) -> tuple[str, str | None]:
    """Split the option that enables a warning from the end of its message."""
    start = message.rfind(" [")
    option = message[start + 2 : -1]
    if message.endswith("]") and start >= 0 and _OPTION.match(option):
        return message[:start], option
    return message, None


_CATEGORY = r"(error|warning|message|suggestion)"
_PLAIN = re.compile(rf"\(([0-9]{{1,9}}),([0-9]{{1,9}})\): {_CATEGORY} (TS[0-9]{{1,6}}): ")
_PRETTY = re.compile(rf":([0-9]{{1,9}}):([0-9]{{1,9}}) - {_CATEGORY} (TS[0-9]{{1,6}}): ")
_RELATED = re.compile(r"  (?=\S)(?:[^:]{1,1000}):([0-9]{1,9}):[0-9]{1,9} - ")
_SHOWN = re.compile(r" {0,10}([0-9]{1,9}) ")
_GLOBAL = re.compile(r"error TS[0-9]{1,6}: ")
_TSC_SEVERITIES: Final[dict[str, Severity]] = {"warning": "warning", "message": "information", "suggestion": "hint"}


class TscReader(Reader):
    """Reads ``tsc``; it counts columns in UTF-16 code units."""

    source = "tsc"
    unit = "utf16"

    _in_source = False  # in the lines that --pretty shows of a file, or in other output
    _is_pretty = False

    def _read(self, line: str) -> None:
        if self._in_source and self._is_pretty and (shown := _SHOWN.match(line)):
            self._collector.quote(shown[1], line[shown.end() :])
        if match := match_message(_PLAIN, line) or match_message(_PRETTY, line):
            found, location = match
            severity = _TSC_SEVERITIES.get(found[3], "error")
            self._collector.begin(location, parse_number(found[2]), severity, line[found.end() :], found[4])
            self._in_source, self._is_pretty = False, found.re is _PRETTY
        elif _RELATED.match(line):
            self._collector.note(f"note: {line.strip()}")
        elif not line.strip():
            self._in_source = True
        elif line.startswith("  ") and not self._in_source:
            self._collector.note(line)
        else:
            self._in_source = True
            if _GLOBAL.match(line):
                self._collector.set_problem(line)
