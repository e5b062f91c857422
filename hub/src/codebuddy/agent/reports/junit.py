"""JUnit's XML, as pytest, node, CTest, Gradle and Surefire write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from codebuddy.agent.reports.collector import (
    Counts,
    Draft,
    Gathered,
    Place,
    Report,
    is_own,
    place,
    places_in,
    plain,
    seconds,
    stack_place,
)
from codebuddy.agent.reports.pytest import PytestBlock

PYTEST_COLLECTS = "collection failure"  # what pytest calls a file that it cannot read
_PRINTED_ESCAPE = "[NON-XML-CHAR-0x1B]"  # CTest's cmXMLSafe
_NOT_FOUND = "Unable to find executable"
_VAGUE = frozenset({"", "Failed", PYTEST_COLLECTS, _NOT_FOUND})


@dataclass(slots=True)
class JunitCase:
    """A test.

    Args:
        attributes: of its element.
        suites: the names of the suites it is in, from the outermost.
    """

    attributes: dict[str, str]
    suites: Sequence[str]
    failed: bool = False
    skipped: bool = False
    message: str = ""  # the attribute of what says that it failed or was skipped
    text: str = ""  # the text of that
    output: str = ""  # what it printed
    _block: PytestBlock | None = field(default=None, repr=False)

    def settle(self) -> None:
        """Read what CTest says in an attribute: its elements do not tell what was disabled or could not be run."""
        status = self.attributes.get("status")
        if status == "notrun" and self.message == _NOT_FOUND:
            self.failed, self.skipped = True, False
        elif status in {"disabled", "notrun"} and not self.failed:
            self.skipped = True

    def told(self, root: str | None) -> tuple[str, list[str], Place | str | None]:
        """Give a failure's name, message and place."""
        self.text, self.output = _shown(self.text), _shown(self.output)
        name, class_name = self.attributes.get("name", ""), self.attributes.get("classname", "")
        file = self.attributes.get("file")
        if file is not None and class_name in {"test", "suite"}:
            return self._of_node(name, file, root)
        marked = any(line.startswith("E  ") for line in self.text.split("\n"))
        if marked or "pytest" in self.suites or (file or "").endswith(".py"):
            return self._of_pytest(name, class_name, file, root)
        if name == class_name or not class_name:
            return name, self._message(), self._place(root)
        return f"{class_name}.{name}", self._message(), self._place(root)

    def _message(self) -> list[str]:
        message = [] if self.message in _VAGUE else self.message.split("\n")
        if message and self.text.strip():
            return message
        shown = self.text.strip() or self.output.strip()
        return [*message, *shown.split("\n")] if shown else message or [self.message or "It failed."]

    def _place(self, root: str | None) -> Place | str | None:
        file, line = self.attributes.get("file"), self.attributes.get("line")
        for text in (self.text, self.message, self.output):
            for at in places_in(text):
                if is_own(at.path, root) and ("/" in at.path or not at.path.endswith((".java", ".kt"))):
                    return at
        return (place(file, line) or file) if file else None

    def _of_node(self, name: str, file: str, root: str | None) -> tuple[str, list[str], Place | str | None]:
        relative = file.removeprefix(f"{root}/") if root else file
        title = " ".join((*self.suites, name))
        places = (at for line in self.text.split("\n") if line.lstrip().startswith("at ") and (at := stack_place(line)))
        own = next((at for at in places if is_own(at.path, root)), file)
        message = self.message.split("\n") if self.message else self._message()
        return (name if file.endswith(name) and name else f"{relative} > {title}"), message, own

    def _of_pytest(
        self, name: str, class_name: str, file: str | None, root: str | None
    ) -> tuple[str, list[str], Place | str | None]:
        block = PytestBlock(root)
        for line in self.text.split("\n"):
            block.feed(line)
        places = block.places()
        at: Place | str | None = places[-1] if places else None
        if at is None and file is not None:
            line = self.attributes.get("line", "")
            at = place(file, str(int(line) + 1) if line.isdecimal() and len(line) < 9 else None) or file  # from 0
        dotted = class_name or name
        for shown in [file or "", *(each.path for each in places)]:
            path = shown.removeprefix(f"{root}/") if root else shown
            module = path.removesuffix(".py").replace("/", ".")
            if path and (dotted == module or dotted.startswith(f"{module}.")):
                below = dotted[len(module) + 1 :].replace(".", "::")
                parts = [path, below, name if class_name else ""]
                return "::".join(part for part in parts if part), block.message(), at
        return (f"{class_name}.{name}" if class_name else name), block.message(), at


def _shown(text: str) -> str:
    return "\n".join(plain(line) for line in text.replace(_PRINTED_ESCAPE, "\x1b").split("\n"))


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
