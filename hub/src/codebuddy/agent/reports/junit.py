"""Reader of JUnit's XML, as runners of tests write it, each in its own way, and as linters do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from xml.parsers import expat

from codebuddy.agent.reports.collector import (
    MAX_FAILURES,
    Collector,
    Location,
    Report,
    Severity,
    Unit,
    parse_number,
    parse_seconds,
    trim_message,
)
from codebuddy.agent.reports.go import GoTestReader
from codebuddy.agent.reports.junit_cases import COLLECTION_FAILURE, SUITE_FAILURE, Described, Suite, TestCase

_MAX_SIZE = 32 * 2**20  # bytes of the file
_MAX_TEXT = 65536  # characters of an element
_MAX_DEPTH = 64
_CHUNK = 65536
_FAILED = frozenset({"failure", "error"})
_TEXTS = _FAILED | {"skipped", "system-out", "system-err"}
_TRIES = frozenset({"rerunFailure", "rerunError", "flakyFailure", "flakyError"})  # of Surefire, that do not decide
_MAX_HELD = 50_000  # tests whose names are remembered until it is known which try decides
_MAX_EXIT_CODE = 100
_MAX_FILES = 5  # that a problem names
_MAX_DESCRIBED = 2 * MAX_FAILURES  # with the tries that do not count
_MAX_NAME = 2000  # characters
_MAX_NESTED = 20  # subtests of Go

# What tells which runner wrote the report: the name of the root or a suite, or the first attributes of a suite.
_NAMES: Final = {"pytest": "pytest", "pytest tests": "pytest", "bun test": "bun", "Mocha Tests": "mocha"}
_ATTRIBUTES: Final[dict[tuple[str, ...], str]] = {
    ("name", "errors", "failures", "skipped", "tests", "time", "timestamp"): "pytest",
    ("name", "errors", "failures", "skipped", "timestamp", "time", "tests"): "jest",
}
_MARKS: Final = {"xsi:noNamespaceSchemaLocation": "surefire", "assertions": "phpunit"}  # or one attribute of it
_NOT_BY_ITSELF = frozenset({"cancelledByParent", "hookFailed"})  # kinds of node's failures
_NODE_COUNT = re.compile(r" ([a-z_]{1,20}) ([0-9]{1,9}) ")  # in comments at the end

# What linters write: their suites are files, and their test cases diagnostics, with the rule in the name.
_LINTERS: Final[dict[str, Unit]] = {"ruff": "codepoint", "ty": "codepoint", "biome": "codepoint", "eslint": "utf16"}
_PLACE = re.compile(r"line ([0-9]{1,9}), col ([0-9]{1,9}), (?:(Error|Warning) - )?")  # begins the text
_SEVERITIES: Final[dict[str, Severity]] = {"warning": "warning", "info": "information"}


def read_junit(file: BinaryIO, root: Path | None = None, exit_code: int | None = None) -> Report:
    """Read a report of tests that ran in the directory `root`; of one that is cut or wrong, what comes before that.

    No more than 32 MiB of the file are read.

    Args:
        exit_code: of the runner, where it is known.
    """
    document = _Document(None if root is None else str(root), exit_code)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = document.start
    parser.EndElementHandler = document.end
    parser.CharacterDataHandler = document.text
    parser.StartDoctypeDeclHandler = document.doctype
    parser.CommentHandler = document.comment
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

    def __init__(self, root: str | None, exit_code: int | None) -> None:
        self.collector = Collector()
        self._root = root
        self._exit_code = exit_code
        self._depth = 0
        self._suites: list[Suite] = []
        self.started = False
        self._of_linter = False
        self._linter = ""  # that wrote the suite
        self._runner = ""
        self._go: GoTestReader | None = None
        self._case: TestCase | None = None
        self._is_alone = False  # whether the failure is directly in a suite
        self._element = ""
        self._text: list[str] = []
        self._room = 0
        self._held: list[_Result] = []
        self._described = 0
        self._evidence = _Evidence()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _Refused(f"The XML is nested more than {_MAX_DEPTH} deep.")
        if not self.started:
            self._begin(name, attributes)
        if name in {"testsuites", "testsuite"}:
            self._evidence.declare(attributes, self._depth)
        if name == "testsuite":
            self._begin_suite(attributes)
        elif name == "testcase":
            self._begin_case(attributes)
        elif name == "property":
            self._read_property(attributes)
        elif name in _TRIES:
            self._evidence.failed += 1
            if self._case is not None:
                self._case.was_tried_again = True
        elif name in _TEXTS:
            self._begin_text(name, attributes)

    def end(self, name: str) -> None:
        self._depth -= 1
        if name == "testsuite" and self._suites:
            self._suites.pop()
            if not self._suites:
                self._evidence.end_suite(self._runner)
        elif name == "testcase":
            self._end_case()
        elif name == self._element:
            if self._case is not None:
                self._case.end_element(name, "".join(self._text))
            self._element, self._room = "", 0
            if self._is_alone:
                self._is_alone = False
                self._end_case()

    def text(self, data: str) -> None:
        if self._room > 0:
            self._text.append(data[: self._room])
            self._room -= len(data)

    def comment(self, data: str) -> None:
        if found := _NODE_COUNT.fullmatch(data[:100]):
            self._evidence.of_node[found[1]] = int(found[2])

    def doctype(self, *_: object) -> None:
        raise _Refused("The XML has a document type; no JUnit report has one.")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if name not in {"testsuites", "testsuite"}:
            raise _Refused("The XML is no JUnit report: its outermost element is not testsuites or testsuite.")
        self.started = True
        self._of_linter = attributes.get("name", "").lower() in _LINTERS
        self._runner = _NAMES.get(attributes.get("name", ""), "")

    def _begin_suite(self, attributes: dict[str, str]) -> None:
        self._suites.append(Suite(attributes.get("name", "")[:4096], attributes.get("file", "")[:4096]))
        package = attributes.get("package", "")
        self._linter = package.removeprefix("org.") if package.startswith("org.") else ""
        self._of_linter = self._of_linter or self._linter in _LINTERS
        named = _NAMES.get(attributes.get("name", ""))
        marked = next((runner for mark, runner in _MARKS.items() if mark in attributes), "")
        self._runner = self._runner or named or marked or _ATTRIBUTES.get(tuple(attributes)[:7], "")
        if self._runner == "phpunit":
            self._evidence.add_class(attributes)
        self._evidence.suites += 1

    def _begin_case(self, attributes: dict[str, str]) -> None:
        cut = {key: value[:_MAX_TEXT] for key, value in attributes.items()}
        if self._runner == "go" and self._go is None:
            self._go = GoTestReader(None if self._root is None else Path(self._root))
        self._case = TestCase(cut, tuple(self._suites), self._root, self._runner, self._go)

    def _read_property(self, attributes: dict[str, str]) -> None:
        if attributes.get("name") == "go.version":
            self._runner = "go"
        elif self._case is not None and attributes.get("name") == "severity":
            self._case.severity = attributes.get("value", "")

    def _begin_text(self, name: str, attributes: dict[str, str]) -> None:
        if self._case is None and name in _FAILED and self._suites:
            self._begin_case({})
            self._is_alone = True
        if self._case is not None:
            self._element, self._text, self._room = name, [], _MAX_TEXT
            self._case.begin_element(name, attributes)
            self._evidence.failed += name in _FAILED
            self._evidence.errors += name == "error"

    def _end_case(self) -> None:
        case, self._case = self._case, None
        if case is None:
            return
        if self._linter in _LINTERS:
            self._add_diagnostic(case)
            return
        outcome = case.outcome()
        if self._evidence.is_repeated(case):
            return
        self._evidence.add(case, outcome)
        if self._runner in {"pytest", "go", "surefire"} or self._exit_code == 0:  # it may be a try
            self._held.append(self._result(case, outcome))
            if len(self._held) > _MAX_HELD:
                self._add_results(self._held)
                self._held = []
        elif outcome == "failed":
            self._add_results([self._result(case, outcome)])
        else:
            self.collector.count(**{outcome: 1})

    def _result(self, case: TestCase, outcome: str) -> _Result:
        # Surefire may write another try into the file of another suite.
        suites = () if self._runner == "surefire" else tuple(suite.name for suite in case.suites)
        key = hash((suites, case.class_name, case.attributes.get("file")))
        result = _Result((key, case.name[:_MAX_NAME]), outcome, was_tried_again=case.was_tried_again)
        if outcome == "failed" and self._described < _MAX_DESCRIBED:
            self._described += 1
            name, message, location = case.failure()
            result.failure = name, [trim_message(message)], location
            result.duration = parse_seconds(case.attributes.get("time"))
            result.is_collection = case.message == COLLECTION_FAILURE
        result.is_teardown = case.message.startswith("failed on teardown")
        return result

    def _add_results(self, results: Iterable[_Result]) -> None:
        for result in results:
            self.collector.count(**{result.outcome: 1})
            if result.outcome == "failed":
                name, message, location = result.failure or (result.key[1], [], None)
                self.collector.add_failure(name, message, location, result.duration)
                if result.is_collection and isinstance(location, Location):
                    self.collector.begin(location, None, "error", "\n".join(message)).source = "pytest"

    def _add_diagnostic(self, case: TestCase) -> None:
        if not case.failed or not self._suites:
            return
        found = _PLACE.match(case.text)
        line, column = case.attributes.get("line"), case.attributes.get("column")
        if found is not None:
            line, column = line or found[1], column or found[2]
        code = case.attributes.get("name", "").removeprefix(f"org.{self._linter}.")
        word = (case.severity or (found and found[3]) or "error").lower()
        location = Location(self._suites[-1].name, parse_number(line) or 1)
        finding = self.collector.begin(
            location, parse_number(column), _SEVERITIES.get(word, "error"), case.message or case.text
        )
        finding.code = code.replace(".", "/") if self._linter == "biome" else None if code == "unknown" else code
        finding.source, finding.unit = self._linter, _LINTERS[self._linter]

    def report(self) -> Report:
        """Return what was read: the reports of linters name no tests."""
        deciding = {"pytest": _last_tries, "go": _by_name, "surefire": _tried_again}.get(self._runner, _last_passes)
        self._add_results(deciding(self._held, self._exit_code))
        if self.started and not self._of_linter:
            self.collector.count()
            counts = self.collector.counts
            if counts is not None:
                todos = self._evidence.passed_todos(counts.passed)
                pending = self._evidence.pending(self._runner, counts.skipped)
                self.collector.count(passed=-todos, skipped=todos + pending)
            self.collector.set_problem(self._evidence.problem(self._runner, self._exit_code))
        report = self.collector.report()
        report.failed_elements, report.error_elements = self._evidence.failed, self._evidence.errors
        report.names_broken_files = self._evidence.broken_files
        return report


@dataclass(slots=True)
class _Result:
    """How a test went, or a try of it."""

    key: tuple[int, str]  # of its suites, class and file; its name
    outcome: str
    failure: Described | None = None
    duration: float | None = None
    is_collection: bool = False
    is_teardown: bool = False
    was_tried_again: bool = False


def _last_passes(results: list[_Result], exit_code: int | None) -> list[_Result]:
    """Leave out failures of tests that passed later, where the runner says that nothing failed in the end."""
    if exit_code != 0:
        return results
    kept, passed = list[_Result](), set[tuple[int, str]]()
    for result in reversed(results):
        if result.outcome == "failed" and result.key in passed:
            continue
        if result.outcome == "passed":
            passed.add(result.key)
        kept.append(result)
    return kept[::-1]


def _tried_again(results: list[_Result], exit_code: int | None) -> list[_Result]:
    """Leave out failures of Surefire's tests that passed when they were tried again, where any was tried again."""
    if exit_code == 0 or not any(result.was_tried_again for result in results):
        return _last_passes(results, exit_code)
    passed = {result.key for result in results if result.outcome == "passed"}
    return [each for each in results if each.outcome != "failed" or each.was_tried_again or each.key not in passed]


def _last_tries(results: list[_Result], _: int | None) -> list[_Result]:
    """Return the last try of each test of pytest: a failure and one of its teardown belong to the same try."""
    kept, after = list[_Result](), dict[tuple[int, str], _Result]()
    for result in reversed(results):
        later = after.get(result.key)
        if later is None or (later.is_teardown and not result.is_teardown and result.outcome != "passed"):
            kept.append(result)
            after[result.key] = result
    return kept[::-1]


def _by_name(results: list[_Result], exit_code: int | None) -> list[_Result]:
    """Return one result for each test of Go; failures come before passes, and each try and repetition is there.

    A test that is tried again is so until it passes. When all ran equally often, all were repeated (``-count``), and
    one failure is enough. A test with subtests counts only if it failed and none of them did.
    """
    runs = Counter(result.key for result in results)
    repeated = len(set(runs.values())) == 1 and exit_code != 0
    found: dict[tuple[int, str], _Result] = {}
    for result in results:
        before = found.get(result.key)
        if before is None or not repeated or before.outcome != "failed":
            found[result.key] = result
    parents: dict[tuple[int, str], bool] = {}  # and whether a subtest failed
    for (package, name), result in found.items():
        for end in [index for index, character in enumerate(name) if character == "/"][:_MAX_NESTED]:
            if (parent := (package, name[:end])) in found:
                parents[parent] = parents.get(parent, False) or result.outcome == "failed"
    return [
        result
        for key, result in found.items()
        if key not in parents or (result.outcome == "failed" and not parents[key])
    ]


class _Evidence:
    """What else a report says of failures than by its tests: a runner may know of more than it wrote down."""

    def __init__(self) -> None:
        self.failed = 0  # elements, of every try and of tests that have subtests too
        self.errors = 0
        self.suites = 0
        self.of_node: dict[str, int] = {}  # counts by name
        self._declared = 0
        self._declared_skipped = 0
        self._by_suites = True  # the root says nothing
        self._tests = 0  # that the open suite says it has passed; those that did
        self._passed = 0
        self._todos = 0
        self._failing = 0
        self._failing_suites = 0
        self._skipped = 0
        self._previous: tuple[object, ...] = ()
        self._whole_files: list[str] = []
        self._unnamed = 0
        self.broken_files = False
        self._empty_classes: list[str] = []  # of PHPUnit, which leaves out the tests below a set-up that failed

    def declare(self, attributes: dict[str, str], depth: int) -> None:
        """Take the counts of the root, or of an outermost suite."""
        counts = {name: parse_number(attributes.get(name)) or 0 for name in ("tests", "failures", "errors", "skipped")}
        if depth == 1:
            self._by_suites = "failures" not in attributes and "errors" not in attributes
        if depth == 1 or (depth == 2 and self._by_suites):
            self._declared += counts["failures"] + counts["errors"]
        if depth == 1:
            self._declared_skipped = counts["skipped"]
        self._tests = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
        self._passed = 0

    def add_class(self, attributes: dict[str, str]) -> None:
        """Take a class of PHPUnit."""
        if attributes.get("tests") == "0" and "file" in attributes and len(self._empty_classes) < _MAX_FILES:
            self._empty_classes.append(attributes.get("name", "")[:200])

    def is_repeated(self, case: TestCase) -> bool:
        """Say whether this is the second element of a file that Jest could not run."""
        key = (case.name, len(case.suites), case.runner)
        self.broken_files = self.broken_files or case.class_name == SUITE_FAILURE
        is_second = case.class_name == SUITE_FAILURE and key == self._previous and case.runner == "jest"
        self._previous = key
        return is_second

    def add(self, case: TestCase, outcome: str) -> None:
        """Take a test."""
        self._passed += outcome == "passed"
        self._failing += outcome == "failed"
        # What a mark skips takes no time.
        if outcome == "skipped" and case.kind == "pytest.skip" and parse_seconds(case.attributes.get("time")):
            self._skipped += 1
        self._unnamed += outcome == "failed" and not case.name
        for suite in case.suites if outcome == "failed" and case.kind not in _NOT_BY_ITSELF else ():
            self._failing_suites += not suite.has_failures
            suite.has_failures = True
        if outcome == "passed" and case.is_node_file and len(self._whole_files) < _MAX_FILES:
            self._whole_files.append(case.name.rpartition("/")[2][:200])

    def end_suite(self, runner: str) -> None:
        """Take the end of an outermost suite: what Jest calls passed beyond its count is still to be done."""
        if runner == "jest" and self._tests >= 0:
            self._todos += max(0, self._passed - self._tests)

    def passed_todos(self, passed: int) -> int:
        """Return how many of the tests that passed are still to be done."""
        return min(self._todos, passed)

    def pending(self, runner: str, skipped: int) -> int:
        """Return how many skipped tests are only counted: mocha-junit-reporter leaves pending ones out."""
        return max(0, self._declared_skipped - skipped) if runner == "mocha" else 0

    def problem(self, runner: str, exit_code: int | None) -> str:
        """Return what the report says of failures that it does not name; empty if it names all."""
        problems = []
        named = max(self.failed, self._failing)
        declared = self._declared - self._unnamed  # Bats counts the set-up of a file twice
        if declared > named:
            problems.append(
                f"The report counts {declared} failures and names only {named}: something else failed; see the output."
            )
        if self.of_node:
            in_all = self.of_node.get("fail", 0) + self.of_node.get("cancelled", 0)
            # A test with subtests is a suite here, and fails with them.
            parents = min(max(0, self.suites - self.of_node.get("suites", 0)), self._failing_suites)
            if in_all - parents > self._failing:
                problems.append(
                    f"node counts {in_all} failures and names only {self._failing}: a test that has subtests may have "
                    "failed by itself; its spec reporter tells which."
                )
        if self._whole_files:
            problems.append(
                f"{', '.join(self._whole_files)} passed as a whole and names no test: either it has none, or it "
                "ended before node heard of them, as by process.exit()."
            )
        if runner == "pytest" and self._skipped and self._tests > self._passed:
            problems.append(
                "There are subtests, and the report does not tell a test that was skipped from one of which only a "
                "subtest was: of those counted as skipped, some may have passed."
            )
        if said := self._said_by_exit_code(runner, exit_code or 0):
            problems.append(f"{said} (exit code {exit_code}); see the output.")
        return " ".join(problems)

    def _said_by_exit_code(self, runner: str, exit_code: int) -> str:
        if runner == "pytest" and exit_code in {2, 3} and self._failing:
            return "pytest stopped before the end: tests that were to come are missing"
        if runner == "phpunit" and exit_code and self._empty_classes:
            return f"The report has no test of {', '.join(self._empty_classes)}: a set-up may have failed"
        if runner == "phpunit" and exit_code == 2 and self._failing and not self.errors:
            return "PHPUnit says that there were errors, and the report has none, as of a class's tear-down"
        if runner == "mocha" and self._failing < exit_code <= _MAX_EXIT_CODE:  # what it is beyond has other reasons
            return f"Mocha says that {exit_code} failed, and the report has {self._failing}"
        return ""
