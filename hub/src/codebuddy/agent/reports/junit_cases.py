"""A test of a JUnit report: how it went, and its failure as the runner that wrote the report describes failures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from codebuddy.agent.reports.collector import (
    Location,
    in_project,
    locations_in,
    make_location,
    parse_json_object,
    stack_location,
    strip_escapes,
)
from codebuddy.agent.reports.go import GoTestReader
from codebuddy.agent.reports.pytest import FailureText

COLLECTION_FAILURE = "collection failure"  # what pytest calls a file that it cannot read
SUITE_FAILURE = "Test suite failed to run"  # what Jest calls a file that it cannot run
_PRINTED_ESCAPE = "[NON-XML-CHAR-0x1B]"  # CTest's cmXMLSafe
_VAGUE = frozenset({"", "Failed", "None", "Unable to find executable", COLLECTION_FAILURE})
_MAX_FAILURES = 20  # of one test
_MAX_TEXT = 65536  # characters of all texts of a test
_MAX_SEARCHED = 8192  # characters of a text
_MAX_LINES = 2000  # of a text that are looked through for places

# Places that are written in other ways than ``path:line``: by Bats, Bash, Babel, .NET and Perl.
_PLACES = (
    re.compile(r"in (?:test )?file ([^\n,]{1,100}), line ([0-9]{1,9})"),
    re.compile(r"(?m)^([^\s:][^\n:]{0,300}\.\w{1,8}): line ([0-9]{1,9}): "),
    re.compile(r" in ([^\n:]{1,100}\.\w{1,8}):line ([0-9]{1,9})"),
    re.compile(r"\bat ([^\s:]{1,100}\.(?:t|pl|pm)) line ([0-9]{1,9})"),
    re.compile(r"(?m)^\w{0,40}Error: ([^\s:][^\n:]{0,300}\.\w{1,8}): [^\n]{0,300} \(([0-9]{1,9}):[0-9]{1,9}\)$"),
)
_NATIVE = re.compile(r' {2,12}File "([^"]{1,4096})", line ([0-9]{1,9})')  # of Python's tracebacks
_FRAME = re.compile(  # of the JVM: the loader and the module may stand before the class
    r"\s*at (?:[^\s(/]{0,200}/){0,3}([\w.$]{1,1000})\.[^.(]{1,300}"
    r"\(([\w$]{1,200}\.(?:java|kt|groovy|scala)):([0-9]{1,9})\)"
)
_MARKED_LINE = re.compile(r"\s{0,20}> {0,8}([0-9]{1,9}) \|")  # of the lines of a file that Jest shows
_CRASHED = re.compile(r"crashed while running '([^':]{1,4096})::")  # a worker of pytest-xdist
_SOURCE = re.compile(  # a path of a file of a language
    r"[^\s:][^\n:]{0,300}\.(?:[cm]?[jt]sx?|vue|svelte|py|rb|bats|bash|sh|php|go|rs|java|kts?|scala|groovy|feature|swift"
    r"|c|cc|cpp|cxx|h|hh|hpp|hxx|mm?|cs|fs|vb|lua|dart|exs?|erl|t|pl|pm|hs|mli?|clj|zig|nim|jl|R)"
)
_STACK = re.compile(r"\s{2,20}at \S.{0,1000}(?::[0-9]{1,9}:[0-9]{1,9}|<anonymous>)\)?\Z")  # a line of JavaScript's

Described = tuple[str, list[str], Location | str | None]
"""Name, message and location of a failure."""


@dataclass(slots=True)
class Suite:
    """A suite that is open."""

    name: str
    file: str
    has_failures: bool = False


@dataclass(slots=True)
class TestCase:
    """A test.

    Args:
        attributes: of its element.
        suites: those that it is in, from the outermost.
        root: the directory that the tests ran in.
        runner: that wrote the report; empty if that is not known.
        go: reads what a test of Go printed.
    """

    attributes: dict[str, str]
    suites: tuple[Suite, ...]
    root: str | None
    runner: str
    go: GoTestReader | None = None
    failed: bool = False
    skipped: bool = False
    severity: str = ""  # in a linter's words
    message: str = ""  # the attribute of the element that says that it failed or was skipped
    text: str = ""  # the text of that element
    output: str = ""  # what the test printed
    kind: str = ""  # the type of that element
    is_todo: bool = False
    was_tried_again: bool = False  # as Surefire says in it
    _others: list[tuple[str, str]] = field(default_factory=list)  # message and text of its further failures
    _room: int = _MAX_TEXT

    @property
    def name(self) -> str:
        return self.attributes.get("name", "")

    @property
    def class_name(self) -> str:
        return self.attributes.get("classname", "")

    @property
    def is_node_file(self) -> bool:
        """Whether this is a file that node ran, of which it knows no tests."""
        path = self.attributes.get("file", "/" if self.name.startswith("/") else "")
        is_path = path == "/" or path.endswith(f"/{self.name}")
        return self.class_name == "test" and is_path and _SOURCE.fullmatch(self.name) is not None

    def begin_element(self, name: str, attributes: dict[str, str]) -> None:
        """Take an element that says how the test went, or what it printed."""
        message, kind = attributes.get("message", "")[:_MAX_TEXT], attributes.get("type", "")
        if name in {"failure", "error"}:
            if not self.failed:
                self.message, self.kind = message, kind
            elif len(self._others) < _MAX_FAILURES:
                self._others.append((message, ""))
            self.failed = True
        elif name == "skipped":
            self.skipped = True
            self.is_todo = kind == "todo"
            if not self.failed:
                self.message, self.kind = message, kind

    def end_element(self, name: str, text: str) -> None:
        """Take the text of that element."""
        if name in {"failure", "error"}:
            text = text[: self._room]
            self._room -= len(text)
            if self._others:
                self._others[-1] = self._others[-1][0], text
            else:
                self.text = text
        elif name != "skipped":
            self.output = self.output or text

    def outcome(self) -> str:
        """Return passed, failed or skipped, where the elements and attributes say it each in its runner's way."""
        status = self.attributes.get("status")
        if self.failed:
            # Of a test that is still to be done, node writes the failure too; PHPUnit 9 calls risky tests errors.
            return "skipped" if self.is_todo else "passed" if self.kind.endswith("RiskyTestError") else "failed"
        if status == "notrun" and self.skipped and not self.message.startswith("SKIP_"):
            return "failed"  # CTest: what it needs is not there, or has failed
        return "skipped" if self.skipped or status in {"disabled", "notrun"} else "passed"

    def failure(self) -> Described:
        """Describe the failure, by the habits of the runner."""
        self.text, self.output = _clean_text(self.text), _clean_text(self.output)
        name, class_name = self.name, self.class_name
        file = self.attributes.get("file")
        if self.go is not None:
            package = class_name or (self.suites[-1].name if self.suites else "")
            message, location = self.go.describe(package, self.text.split("\n"))
            return f"{package}.{name}", message or [self.text], location
        if class_name in {"test", "suite"} and (file is not None or "failure" in self.attributes):
            return self._node_failure(name, file)
        marked = any(line.startswith("E  ") for line in self.text.split("\n"))
        if marked or self.runner == "pytest" or (file or "").endswith(".py"):
            return self._pytest_failure(name, class_name, file)
        return self._full_name(name, class_name), self._message_lines(), self._location()

    def _full_name(self, name: str, class_name: str) -> str:
        suite = self.suites[-1].name if self.suites else ""
        if self.runner == "bun":
            return " > ".join([*(each.name for each in self.suites), name])
        if not name or (not class_name and "::" in suite):  # of the suite itself; of PHPUnit's data provider
            return class_name or suite
        if not class_name or name == class_name or name.startswith(f"{class_name} ") or name.endswith(f" {class_name}"):
            return name.strip()
        if class_name == SUITE_FAILURE:
            return name
        path = class_name.removeprefix("./")
        return f"{path} > {name}" if _SOURCE.fullmatch(path) else f"{path}.{name}"

    def _message_lines(self) -> list[str]:
        message = [] if self.message in _VAGUE else self.message.split("\n")
        if message and self.text.strip():
            return message
        output = _unwrapped(self.text).strip() or self.output.strip()
        lines = [line for line in output.split("\n") if not _STACK.match(line)] if output else []
        if lines and lines[0] == f"{self.class_name}::{self.name}":  # PHPUnit
            del lines[0]
        return [*message, *lines] if lines else message or [self.message]

    def _location(self) -> Location | str | None:
        texts = (self.text, self.message) if self.text.strip() else (self.message, self.output)
        found = next((found for text in texts if (found := self._place_in(text))), None)
        file = self._file()
        if found is not None or file is None:
            return found
        shown = (shown for text in texts for line in _lines(text) if (shown := _MARKED_LINE.match(line)))
        number = next((each[1] for each in shown), self.attributes.get("line"))
        return make_location(file, number) or file

    def _place_in(self, text: str) -> Location | None:
        """Return the first place of the project that a text names, or the last one of a traceback of Python."""
        # Playwright begins with the place of the test, above a rule.
        below = "\n".join(line for line in _lines(text) if not line.endswith("───"))
        for part in (below, text):
            if frame := self._frame_in(part):
                return frame
            special = (
                make_location(found[1], found[2]) for one in _PLACES if (found := one.search(part[:_MAX_SEARCHED]))
            )
            for place in (*filter(None, special), *locations_in(part)):
                is_path = "/" in place.path or (
                    _SOURCE.fullmatch(place.path) and not place.path.endswith((".java", ".kt"))
                )
                if is_path and in_project(place.path, self.root):
                    return place
        native = (make_location(found[1], found[2]) for line in _lines(text) if (found := _NATIVE.match(line)))
        calls = [call for call in native if call is not None and in_project(call.path, self.root)]
        return calls[-1] if calls else None

    def _frame_in(self, text: str) -> Location | None:
        """Return the first frame of the JVM in the packages that the test's own begins with, as a path of a source."""
        tested = self.class_name.split("$")[0].rpartition(".")[0].split(".")[:2]
        for line in _lines(text):
            if found := _FRAME.match(line):
                package = found[1].rpartition(".")[0]
                if package.split(".")[: len(tested)] == tested:
                    return make_location("/".join([*package.split("."), found[2]]).removeprefix("/"), found[3])
        return None

    def _file(self) -> str | None:
        """Return the file that the test is in, if the report names it anywhere."""
        if file := self.attributes.get("file", "").partition("::")[0]:  # Pest adds the test
            return file
        if of_suite := next((suite.file for suite in reversed(self.suites) if suite.file), None):
            return of_suite
        names = (self.class_name, *(suite.name for suite in reversed(self.suites)), self.name)
        paths = [name for name in names if _SOURCE.fullmatch(name)]
        return next((path for path in paths if " " not in path or self._is_file(path)), None)

    def _node_failure(self, name: str, file: str | None) -> Described:
        # Where the subtest was called stands before the cause; node 20 names no file.
        _, _, cause = self.text.partition("\n  cause: ")
        calls = (found for part in (cause, self.text) for line in _lines(part) if (found := _call_in(line)))
        called = next((found for found in calls if in_project(found.path, self.root)), None)
        message = self.message.split("\n") if self.message else self._message_lines()
        if self.is_node_file:
            return self._relative(name), message, called or file or name
        title = " ".join((*(suite.name for suite in self.suites), name))
        known = file or (called.path if called is not None else None)
        return f"{self._relative(known)} > {title}" if known else title, message, called or file

    def _pytest_failure(self, name: str, class_name: str, file: str | None) -> Described:
        located: tuple[FailureText, list[Location]] | None = None
        # Of a test with subtests the last failure is its own; that some failed is no place.
        for text in (*(_clean_text(text) for _, text in reversed(self._others)), self.text):
            read = FailureText(self.root)
            for line in text.split("\n"):
                read.feed(line)
            if located is None or (not located[1] and read.locations()):
                located = read, read.locations()
        assert located is not None
        locations, message = located[1], located[0].message() or self._message_lines()
        for other in (self.message, *(message for message, _ in self._others)):
            if self._others and (lines := other.split("\n"))[0] not in {line.strip() for line in message}:
                message = [*message, *lines]
        location: Location | str | None = locations[-1] if locations else None
        file = file or self._module_file(class_name or name)
        if location is None and file is not None:
            line = self.attributes.get("line", "")
            first = 1 if "timestamp" in self.attributes else 0  # unittest-xml-reporting counts from 1, pytest from 0
            number = str(int(line) + 1 - first) if line.isdecimal() and len(line) < 9 else None
            location = make_location(file, number) or file
        dotted = class_name or name
        for path in map(self._relative, [file or "", *(found.path for found in locations)]):
            module = path.removesuffix(".py").replace("/", ".")
            if path and (dotted == module or dotted.startswith(f"{module}.")):
                below = dotted[len(module) + 1 :].replace(".", "::")
                parts = [path, below, name if class_name else ""]
                return "::".join(part for part in parts if part), message, location
        return (f"{class_name}.{name}" if class_name else name), message, location

    def _module_file(self, dotted: str) -> str | None:
        """Return the file of the longest module that a dotted name begins with."""
        if crashed := _CRASHED.search(self.text):
            return crashed[1]
        parts = dotted.split(".")[:40]
        paths = ("/".join(parts[:count]) + ".py" for count in range(len(parts), 0, -1))
        return next((path for path in paths if self._is_file(path)), None)

    def _is_file(self, path: str) -> bool:
        return "\0" not in path and os.path.isfile(os.path.join(self.root or "", path))

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self.root}/") if self.root else path


def _unwrapped(text: str) -> str:
    """Return the message of an error that jest-junit wrote as JSON."""
    value = parse_json_object(text.strip()) or {}
    shown = value.get("message") or value.get("stack")
    return shown if isinstance(shown, str) else text


def _call_in(line: str) -> Location | None:
    return stack_location(line) if line.lstrip().startswith("at ") else None


def _lines(text: str) -> Iterator[str]:
    yield from text.split("\n", _MAX_LINES)[:_MAX_LINES]


def _clean_text(text: str) -> str:
    return "\n".join(strip_escapes(line) for line in text.replace(_PRINTED_ESCAPE, "\x1b").split("\n"))
