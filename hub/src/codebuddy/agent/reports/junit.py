"""Reader of JUnit's XML, as pytest, node, CTest, Gradle and Surefire write it, and as linters do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from xml.parsers import expat

from codebuddy.agent.reports.collector import (
    Collector,
    Location,
    Report,
    Severity,
    Unit,
    in_project,
    locations_in,
    make_location,
    parse_number,
    parse_seconds,
    stack_location,
    strip_escapes,
)
from codebuddy.agent.reports.pytest import FailureText

_MAX_SIZE = 32 * 2**20  # bytes of the file
_MAX_TEXT = 65536  # characters of an element
_MAX_DEPTH = 64
_CHUNK = 65536
_OUTCOMES = frozenset({"failure", "error", "skipped"})
_TEXTS = _OUTCOMES | {"system-out", "system-err"}

# What linters write: their suites are files, and their test cases diagnostics, with the rule in the name.
_LINTERS: Final[dict[str, Unit]] = {"ruff": "codepoint", "ty": "codepoint", "biome": "codepoint", "eslint": "utf16"}
_PLACE = re.compile(r"line ([0-9]{1,9}), col ([0-9]{1,9}), (?:(Error|Warning) - )?")  # begins the text
_SEVERITIES: Final[dict[str, Severity]] = {"warning": "warning", "info": "information"}

_COLLECTION_FAILURE = "collection failure"  # what pytest calls a file that it cannot read
_PRINTED_ESCAPE = "[NON-XML-CHAR-0x1B]"  # CTest's cmXMLSafe
_NOT_FOUND = "Unable to find executable"
_VAGUE = frozenset({"", "Failed", _COLLECTION_FAILURE, _NOT_FOUND})


def read_junit(file: BinaryIO, root: Path | None = None) -> Report:
    """Read a report of tests that ran in the directory `root`; of one that is cut or wrong, what comes before that.

    No more than 32 MiB of the file are read.
    """
    document = _Document(None if root is None else str(root))
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = document.start
    parser.EndElementHandler = document.end
    parser.CharacterDataHandler = document.text
    parser.StartDoctypeDeclHandler = document.doctype
    problem = ""
    try:
        _parse(parser, file)
    except _Refused as refused:
        problem = str(refused)
    except OSError as error:
        problem = f"The report cannot be read: {error.strerror or type(error).__name__}."
    except expat.ExpatError as error:
        problem = _syntax_problem(error, is_empty=not document.started)
    except (ValueError, LookupError):
        problem = "The XML is in an encoding that is not known."
    document.collector.set_problem(problem)
    return document.report()


class _Refused(Exception):
    """The rest of the document is not read; the text of the exception is the problem."""


def _parse(parser: expat.XMLParserType, file: BinaryIO) -> None:
    left = _MAX_SIZE
    while chunk := file.read(min(_CHUNK, left)):
        parser.Parse(chunk, False)
        left -= len(chunk)
        if left <= 0:
            raise _Refused(f"The XML is larger than {_MAX_SIZE // 2**20} MiB; the rest of it was not read.")
    parser.Parse(b"", True)


def _syntax_problem(error: expat.ExpatError, *, is_empty: bool) -> str:
    codes = expat.errors.codes
    if error.code == codes[expat.errors.XML_ERROR_NO_ELEMENTS]:
        return "No JUnit XML was written." if is_empty else "The XML ends in the middle."
    if error.code in {codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN], codes[expat.errors.XML_ERROR_PARTIAL_CHAR]}:
        return "The XML ends in the middle."
    return f"The XML is not well-formed: {expat.ErrorString(error.code)}."


class _Document:
    """Handles the parser's events."""

    def __init__(self, root: str | None) -> None:
        self.collector = Collector()
        self._root = root
        self._depth = 0
        self._suites: list[str] = []
        self.started = False
        self._of_linter = False
        self._linter = ""  # that wrote the suite
        self._case: _TestCase | None = None
        self._element = ""
        self._text: list[str] = []
        self._room = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _Refused(f"The XML is nested more than {_MAX_DEPTH} deep.")
        if not self.started:
            if name not in {"testsuites", "testsuite"}:
                raise _Refused("The XML is no JUnit report: its outermost element is not testsuites or testsuite.")
            self.started = True
            self._of_linter = attributes.get("name", "").lower() in _LINTERS
        if name == "testsuite":
            self._suites.append(attributes.get("name", "")[:4096])
            package = attributes.get("package", "")
            self._linter = package.removeprefix("org.") if package.startswith("org.") else ""
            self._of_linter = self._of_linter or self._linter in _LINTERS
        elif name == "testcase":
            cut = {key: value[:_MAX_TEXT] for key, value in attributes.items()}
            self._case = _TestCase(cut, tuple(self._suites), self._root)
        elif name == "property" and self._case is not None and attributes.get("name") == "severity":
            self._case.severity = attributes.get("value", "")
        elif name in _TEXTS and self._case is not None:
            self._element, self._text, self._room = name, [], _MAX_TEXT
            self._case.begin_element(name, attributes.get("message", "")[:_MAX_TEXT])

    def end(self, name: str) -> None:
        self._depth -= 1
        if name == "testsuite" and self._suites:
            self._suites.pop()
        elif name == "testcase":
            self._end_case()
        elif name == self._element:
            if self._case is not None:
                self._case.end_element(name, "".join(self._text))
            self._element, self._room = "", 0

    def text(self, data: str) -> None:
        if self._room > 0:
            self._text.append(data[: self._room])
            self._room -= len(data)

    def doctype(self, *_: object) -> None:
        raise _Refused("The XML has a document type; no JUnit report has one.")

    def _end_case(self) -> None:
        case, self._case = self._case, None
        if case is None:
            return
        if self._linter in _LINTERS:
            self._add_diagnostic(case)
            return
        case.apply_ctest_status()
        if case.failed:
            self.collector.count(failed=1)
            name, message, location = case.failure()
            self.collector.add_failure(name, message, location, parse_seconds(case.attributes.get("time")))
            if case.message == _COLLECTION_FAILURE and isinstance(location, Location):
                self.collector.begin(location, None, "error", "\n".join(message)).source = "pytest"
        elif case.skipped:
            self.collector.count(skipped=1)
        else:
            self.collector.count(passed=1)

    def _add_diagnostic(self, case: _TestCase) -> None:
        if not case.failed or not self._suites:
            return
        found = _PLACE.match(case.text)
        line, column = case.attributes.get("line"), case.attributes.get("column")
        if found is not None:
            line, column = line or found[1], column or found[2]
        code = case.attributes.get("name", "").removeprefix(f"org.{self._linter}.")
        word = (case.severity or (found and found[3]) or "error").lower()
        location = Location(self._suites[-1], parse_number(line) or 1)
        finding = self.collector.begin(
            location, parse_number(column), _SEVERITIES.get(word, "error"), case.message or case.text
        )
        finding.code = code.replace(".", "/") if self._linter == "biome" else None if code == "unknown" else code
        finding.source, finding.unit = self._linter, _LINTERS[self._linter]

    def report(self) -> Report:
        """Return what was read: the reports of linters name no tests."""
        if self.started and not self._of_linter:
            self.collector.count()
        return self.collector.report()


_Described = tuple[str, list[str], Location | str | None]
"""Name, message and location of a failure."""


@dataclass(slots=True)
class _TestCase:
    """A test."""

    attributes: dict[str, str]  # of its element
    suites: tuple[str, ...]  # the names of the suites it is in, from the outermost
    root: str | None  # the directory that the tests ran in
    failed: bool = False
    skipped: bool = False
    severity: str = ""  # in a linter's words
    message: str = ""  # the attribute of the element that says that it failed or was skipped
    text: str = ""  # the text of that element
    output: str = ""  # what the test printed

    def begin_element(self, name: str, message: str) -> None:
        if name in {"failure", "error"}:
            if not self.failed:
                self.message = message
            self.failed = True
        elif name == "skipped":
            self.skipped = True
            self.message = self.message or message

    def end_element(self, name: str, text: str) -> None:
        if name in {"failure", "error"}:
            self.text = self.text or text
        elif name not in _OUTCOMES:
            self.output = self.output or text

    def apply_ctest_status(self) -> None:
        """Read what CTest says in an attribute: its elements do not say what was disabled or could not be run."""
        status = self.attributes.get("status")
        if status == "notrun" and self.message == _NOT_FOUND:
            self.failed, self.skipped = True, False
        elif status in {"disabled", "notrun"} and not self.failed:
            self.skipped = True

    def failure(self) -> _Described:
        """Describe the failure, by the habits of the tool that wrote it."""
        self.text, self.output = _clean_text(self.text), _clean_text(self.output)
        name, class_name = self.attributes.get("name", ""), self.attributes.get("classname", "")
        file = self.attributes.get("file")
        if file is not None and class_name in {"test", "suite"}:
            return self._node_failure(name, file)
        marked = any(line.startswith("E  ") for line in self.text.split("\n"))
        if marked or "pytest" in self.suites or (file or "").endswith(".py"):
            return self._pytest_failure(name, class_name, file)
        full_name = name if name == class_name or not class_name else f"{class_name}.{name}"
        return full_name, self._message_lines(), self._location()

    def _message_lines(self) -> list[str]:
        message = [] if self.message in _VAGUE else self.message.split("\n")
        if message and self.text.strip():
            return message
        output = self.text.strip() or self.output.strip()
        return [*message, *output.split("\n")] if output else message or [self.message]

    def _location(self) -> Location | str | None:
        file, line = self.attributes.get("file"), self.attributes.get("line")
        for text in (self.text, self.message, self.output):
            for found in locations_in(text):
                if in_project(found.path, self.root) and (
                    "/" in found.path or not found.path.endswith((".java", ".kt"))
                ):
                    return found
        return (make_location(file, line) or file) if file else None

    def _node_failure(self, name: str, file: str) -> _Described:
        title = " ".join((*self.suites, name))
        stack = (line for line in self.text.split("\n") if line.lstrip().startswith("at "))
        calls = (found for line in stack if (found := stack_location(line)))
        location = next((found for found in calls if in_project(found.path, self.root)), file)
        message = self.message.split("\n") if self.message else self._message_lines()
        return (name if file.endswith(name) and name else f"{self._relative(file)} > {title}"), message, location

    def _pytest_failure(self, name: str, class_name: str, file: str | None) -> _Described:
        text = FailureText(self.root)
        for line in self.text.split("\n"):
            text.feed(line)
        locations = text.locations()
        location: Location | str | None = locations[-1] if locations else None
        if location is None and file is not None:
            line = self.attributes.get("line", "")  # counted from 0
            location = make_location(file, str(int(line) + 1) if line.isdecimal() and len(line) < 9 else None) or file
        dotted = class_name or name
        for path in map(self._relative, [file or "", *(found.path for found in locations)]):
            module = path.removesuffix(".py").replace("/", ".")
            if path and (dotted == module or dotted.startswith(f"{module}.")):
                below = dotted[len(module) + 1 :].replace(".", "::")
                parts = [path, below, name if class_name else ""]
                return "::".join(part for part in parts if part), text.message(), location
        return (f"{class_name}.{name}" if class_name else name), text.message(), location

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self.root}/") if self.root else path


def _clean_text(text: str) -> str:
    return "\n".join(strip_escapes(line) for line in text.replace(_PRINTED_ESCAPE, "\x1b").split("\n"))
