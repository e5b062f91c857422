"""JUnit's XML, as pytest, node, CTest, Gradle and Surefire write it."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from codebuddy.reports.gathered import Draft, Gathered
from codebuddy.reports.junit_case import PYTEST_COLLECTS, JunitCase
from codebuddy.reports.lines import seconds
from codebuddy.reports.models import Counts, Report
from codebuddy.reports.places import Place

__all__ = ["read_junit"]

_MAX_SIZE = 32 * 2**20  # bytes of the file
_MAX_TEXT = 65536  # characters of an element
_MAX_DEPTH = 64
_CHUNK = 65536
_OUTCOMES = frozenset({"failure", "error", "skipped"})
_CODES = expat.errors.codes
_TEXTS = _OUTCOMES | {"system-out", "system-err"}


class _Refused(Exception):
    """The document is one that is not read on; the words of it are the problem."""


class _Document:
    """What the parser tells of a document."""

    def __init__(self, root: str | None) -> None:
        self.found = Gathered()
        self.counts: Counts | None = None
        self._root = root
        self._depth = 0
        self._suites: list[str] = []
        self._case: JunitCase | None = None
        self._element = ""
        self._text: list[str] = []
        self._room = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _Refused(f"The XML is nested more than {_MAX_DEPTH} deep.")
        if self.counts is None:
            if name not in {"testsuites", "testsuite"}:
                raise _Refused("The XML is no JUnit report: its outermost element is not testsuites or testsuite.")
            self.counts = Counts()
        if name == "testsuite":
            self._suites.append(attributes.get("name", "")[:500])
        elif name == "testcase":
            self._case = JunitCase({key: value[:_MAX_TEXT] for key, value in attributes.items()}, tuple(self._suites))
        elif name in _TEXTS and self._case is not None:
            self._begin_text(name, attributes.get("message", ""), self._case)

    def end(self, name: str) -> None:
        self._depth -= 1
        if name == "testsuite" and self._suites:
            self._suites.pop()
        elif name == "testcase":
            self._end_case()
        elif name == self._element:
            self._end_text(name)

    def text(self, data: str) -> None:
        if self._room > 0:
            self._text.append(data[: self._room])
            self._room -= len(data)

    def doctype(self, *_: object) -> None:
        raise _Refused("The XML has a document type; no JUnit report has one.")

    def _begin_text(self, name: str, message: str, case: JunitCase) -> None:
        self._element, self._text, self._room = name, [], _MAX_TEXT
        if name in {"failure", "error"}:
            if not case.failed:
                case.message = message[:_MAX_TEXT]
            case.failed = True
        elif name == "skipped":
            case.skipped = True
            case.message = case.message or message[:_MAX_TEXT]

    def _end_text(self, name: str) -> None:
        if self._case is not None:
            text = "".join(self._text)
            if name in {"failure", "error"}:
                self._case.text = self._case.text or text
            elif name not in _OUTCOMES:
                self._case.output = self._case.output or text
        self._element, self._room = "", 0

    def _end_case(self) -> None:
        case, self._case = self._case, None
        if case is None or self.counts is None:
            return
        case.settle()
        if case.failed:
            self.counts.failed += 1
            name, message, at = case.told(self._root)
            self.found.failure(name, message, at, seconds(case.attributes.get("time")))
            if case.message == PYTEST_COLLECTS and isinstance(at, Place):
                self.found.begin(Draft(at, None, "error", message, source="pytest"))
        elif case.skipped:
            self.counts.skipped += 1
        else:
            self.counts.passed += 1


def read_junit(file: BinaryIO, root: Path | None = None) -> Report:
    """Read a report; of one that is cut or wrong, what comes before that.

    Args:
        file: the XML; no more than 32 MiB of it are read.
        root: the directory that the tests ran in.
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
        problem = _told(error, document.counts is None)
    except (ValueError, LookupError):
        problem = "The XML is in an encoding that is not known."
    document.found.problem(problem)
    return document.found.report(document.counts)


def _parse(parser: expat.XMLParserType, file: BinaryIO) -> None:
    left = _MAX_SIZE
    while chunk := file.read(min(_CHUNK, left)):
        parser.Parse(chunk, False)
        left -= len(chunk)
        if left <= 0:
            raise _Refused(f"The XML is larger than {_MAX_SIZE // 2**20} MiB; the rest of it was not read.")
    parser.Parse(b"", True)


def _told(error: expat.ExpatError, empty: bool) -> str:
    if error.code == _CODES[expat.errors.XML_ERROR_NO_ELEMENTS]:
        return "No JUnit XML was written." if empty else "The XML ends in the middle."
    if error.code in {_CODES[expat.errors.XML_ERROR_UNCLOSED_TOKEN], _CODES[expat.errors.XML_ERROR_PARTIAL_CHAR]}:
        return "The XML ends in the middle."
    return f"The XML is not well-formed: {expat.ErrorString(error.code)}."
