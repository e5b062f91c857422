"""What GCC, Clang, the linker and CMake print."""

from __future__ import annotations

import re

from codebuddy.agent.reports.collector import Draft, Gathered, Place, Report, Severity, number, place, plain

# GCC manual, "Diagnostic Message Formatting Options"; Clang prints the same.
_DIAGNOSTIC = re.compile(r":([0-9]{1,9}):(?:([0-9]{1,9}):)? (fatal error|error|warning|note|remark): ")
_OPTION = re.compile(r"-[Wf][A-Za-z0-9=+,_-]{0,100}\Z")
_CONTEXT = re.compile(r"(?:In file included from| {10,20}from) (?=\S)")
_REQUIRED = re.compile(r":[0-9]{1,9}:[0-9]{1,9}: {1,4}(?:required|recursively required|in) ")
_UNDEFINED = re.compile(
    r":(?:([0-9]{1,9})|\(\.[A-Za-z0-9_.+]{1,80}\)): (undefined reference to |multiple definition of )"
)
_CMAKE = re.compile(r"CMake (Error|[A-Za-z ]{0,20}Warning)(?: \(dev\))? at ")
_CMAKE_PLACE = re.compile(r":([0-9]{1,9}) \([^()]{1,100}\):\Z")
_CLANG_COUNT = re.compile(r"[0-9]{1,9} (?:errors?|warnings?)(?: and [0-9]{1,9} errors?)? generated\.\Z")
_CLANG_COMPILER = re.compile(r"-- The [A-Z]{1,4} compiler identification is \w{0,20}Clang")
_GCC_SEVERITIES: dict[str, Severity] = {"warning": "warning", "remark": "information"}
_MAX_CONTEXT = 10  # lines


class GccReader:
    """Reads GCC's and Clang's diagnostics, references that the linker cannot resolve, and CMake's messages.

    GCC counts columns in cells of a terminal unless told otherwise; Clang, which is known by its last line, in bytes.
    """

    def __init__(self) -> None:
        self._found = Gathered("gcc", "display")
        self._context: list[str] = []
        self._in_cmake = False
        self._by_clang = False

    def feed(self, line: str) -> None:
        line = plain(line)
        if self._in_cmake and self._cmake_text(line):
            return
        if self._diagnostic(line) or self._cmake(line) or self._linker(line):
            return
        if _CONTEXT.match(line) or _REQUIRED.search(line):
            # They come before what they belong to.
            if len(self._context) < _MAX_CONTEXT:
                self._context.append(line.strip().rstrip(":,"))
        elif _CLANG_COUNT.match(line) or _CLANG_COMPILER.match(line):
            if not self._by_clang:
                self._found.by_another("clang", "byte")
            self._by_clang = True

    def finish(self) -> Report:
        return self._found.report()

    def _diagnostic(self, line: str) -> bool:
        found = _DIAGNOSTIC.search(line)
        path = line[: found.start()] if found else ""
        at = place(path, found[1]) if found else None
        if found is None or at is None or path[0].isspace():
            return False
        message = line[found.end() :]
        if found[3] == "note":
            self._found.note(f"note: {path}:{found[1]}: {message}")
            return True
        message, code = _without_option(message)
        severity = _GCC_SEVERITIES.get(found[3], "error")
        draft = Draft(at, number(found[2]), severity, [message, *self._context], code)
        if code == "-Wclang-format-violations":
            draft.source, draft.unit = "clang-format", "byte"
        self._found.begin(draft)
        self._context.clear()
        return True

    def _linker(self, line: str) -> bool:
        found = _UNDEFINED.search(line)
        if found is None:
            return False
        path = line[: found.start()]
        path = path[path.rfind(": ") + 2 :] if ": " in path else path
        if path and not path[0].isspace():
            at = Place(path, number(found[1]) or 1)
            self._found.begin(Draft(at, None, "error", [line[found.start(2) :]], source="ld"))
        return True

    def _cmake(self, line: str) -> bool:
        found = _CMAKE.match(line)
        if found is None:
            return False
        if at_end := _CMAKE_PLACE.search(line, max(found.end(), len(line) - 120)):
            at = place(line[found.end() : at_end.start()], at_end[1])
            if at is not None:
                severity: Severity = "error" if found[1] == "Error" else "warning"
                self._found.begin(Draft(at, None, severity, [], source="cmake"))
                self._in_cmake = True
        return True

    def _cmake_text(self, line: str) -> bool:
        """Take a line of CMake's message: they are indented, and blank ones are between them."""
        if line and not line.startswith("  "):
            self._in_cmake = False
            self._found.close()
            return False
        if line:
            self._found.note(line.strip())
        return True


def _without_option(message: str) -> tuple[str, str | None]:
    if message.endswith("]"):
        start = message.rfind(" [")
        option = message[start + 2 : -1]
        if start >= 0 and _OPTION.match(option):
            return message[:start], option
    return message, None


_WORDS = r"(error|warning|message|suggestion)"
_PLAIN = re.compile(rf"\(([0-9]{{1,9}}),([0-9]{{1,9}})\): {_WORDS} (TS[0-9]{{1,6}}): ")
_PRETTY = re.compile(rf":([0-9]{{1,9}}):([0-9]{{1,9}}) - {_WORDS} (TS[0-9]{{1,6}}): ")
_RELATED = re.compile(r"  (?=\S)(?:[^:]{1,1000}):([0-9]{1,9}):[0-9]{1,9} - ")
_GLOBAL = re.compile(r"error TS[0-9]{1,6}: ")
_TSC_SEVERITIES: dict[str, Severity] = {"warning": "warning", "message": "information", "suggestion": "hint"}


class TscReader:
    """Reads ``tsc``; it counts columns in UTF-16 code units."""

    def __init__(self) -> None:
        self._found = Gathered("tsc", "utf16")
        self._in_frame = False  # of the lines that --pretty shows of the file, or of other output

    def feed(self, line: str) -> None:
        line = plain(line)
        found = _PLAIN.search(line) or _PRETTY.search(line)
        if found and not line[0].isspace() and (at := place(line[: found.start()], found[1])):
            severity = _TSC_SEVERITIES.get(found[3], "error")
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
