"""What ``go test -json`` prints: a line of JSON an event (``go doc test2json``), and text where it could not start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from codebuddy.reports.gathered import MAX_FAILURES, Gathered
from codebuddy.reports.go_output import GoPackage, own_words
from codebuddy.reports.go_text import GoText
from codebuddy.reports.lines import json_object, plain, seconds
from codebuddy.reports.models import Counts, Report

__all__ = ["GoTestReader"]

_MAX_BUILD = 20  # lines
_MAX_BUILD_LINE = 500  # characters
_MAX_OUTPUT = 200  # lines of a test
_MAX_KEPT = 4 * 2**20  # characters of all that runs
_OVERHEAD = 200  # characters that a test counts for beside its name and output


@dataclass(slots=True)
class _Open:
    """A test that has not ended, or what a package says beside its tests."""

    lines: list[str] = field(default_factory=list)
    size: int = 0
    subtests: bool = False
    failed_subtests: bool = False


@dataclass(slots=True)
class _Package:
    """A package whose tests run; those of several run at a time."""

    tests: dict[str, _Open] = field(default_factory=dict)
    failed: int = 0


class GoTestReader:
    """Reads ``go test -json``; a test with subtests counts only for a failure of its own.

    Args:
        module: the module's path, of which a package's directory is told.
    """

    def __init__(self, module: str | None = None) -> None:
        self._found = Gathered("go", "byte")
        self._text = GoText(self._found)
        self._module = module
        self._counts: Counts | None = None
        self._packages: dict[str, _Package] = {}
        self._kept = 0
        self._unread = ""
        self._builds: dict[str, list[str]] = {}  # what was said of a build that has no place

    def feed(self, line: str) -> None:
        line = plain(line)
        event = json_object(line)
        if event is None:
            if not self._text.feed(line) and not self._unread:
                self._unread = line.strip()
            return
        action, package, test = (_word(event, name) for name in ("Action", "Package", "Test"))
        if action == "build-output":
            self._build_output(_word(event, "ImportPath"), plain(_word(event, "Output").removesuffix("\n")))
        elif action == "output":
            self._output(package, test, _word(event, "Output"))
        elif action == "run":
            self._at(package, test)
        elif action in {"pass", "fail", "skip"} and test:
            self._end_test(action, package, test, seconds(event.get("Elapsed")))
        elif action in {"pass", "fail", "skip"} and package:
            self._end_package(action, package, event)

    def finish(self) -> Report:
        if self._counts is None and self._found.nothing:
            said = f" It says: {self._unread}" if self._unread else ""
            self._found.problem(f"The output has no event of a test; the task is to call go test with -json.{said}")
        elif any(test for package in self._packages.values() for test in package.tests):
            self._found.problem("The output ends while tests run.")
        return self._found.report(self._counts)

    def _at(self, name: str, test: str) -> _Open | None:
        """Give an open test; it is opened unless too much is open."""
        package = self._packages.get(name)
        if package is not None and test in package.tests:
            return package.tests[test]
        size = len(name) + len(test) + _OVERHEAD
        if self._kept + size > _MAX_KEPT:
            return None
        if package is None:
            package = self._packages[name] = _Package()
        self._kept += size
        opened = package.tests[test] = _Open(size=size)
        parent, slash, _ = test.rpartition("/")
        if slash and (above := package.tests.get(parent)):
            above.subtests = True
        return opened

    def _output(self, package: str, test: str, output: str) -> None:
        opened = self._at(package, test)
        line = plain(output.removesuffix("\n"))
        size = len(line) + _OVERHEAD
        if opened is not None and len(opened.lines) < _MAX_OUTPUT and self._kept + size <= _MAX_KEPT:
            opened.lines.append(line)
            opened.size += size
            self._kept += size

    def _build_output(self, path: str, line: str) -> None:
        if not self._text.feed(line) and len(self._builds) < MAX_FAILURES:
            lines = self._builds.setdefault(path, [])
            if len(lines) < _MAX_BUILD:
                lines.append(line[:_MAX_BUILD_LINE])

    def _close(self, package: _Package, test: str) -> _Open:
        opened = package.tests.pop(test, None) or _Open()
        self._kept -= opened.size
        return opened

    def _end_test(self, action: str, name: str, test: str, duration: float | None) -> None:
        package = self._packages.get(name) or _Package()
        opened = self._close(package, test)
        counts = self._counts = self._counts or Counts()
        if action == "fail":
            package.failed += 1
            above = package.tests.get(test.rpartition("/")[0]) if "/" in test else None
            if above is not None:
                above.failed_subtests = True
            if not opened.failed_subtests:
                self._fail(name, test, opened.lines, duration)
        elif opened.subtests:
            return
        elif action == "skip":
            counts.skipped += 1
        else:
            counts.passed += 1

    def _end_package(self, action: str, name: str, event: dict[str, Any]) -> None:
        package = self._packages.pop(name, None) or _Package()
        opened = self._close(package, "")
        told = package.failed
        if action != "skip":
            self._counts = self._counts or Counts()
        for test in list(package.tests):  # it ended under them
            lines = self._close(package, test).lines
            if action == "fail" and own_words(lines):
                self._fail(name, test, lines, None)
                told += 1
        if action == "fail" and not told:
            failed = _word(event, "FailedBuild")
            lines = self._builds.get(failed, ["It does not build."]) if failed else opened.lines
            self._fail(name, "", lines, None if failed else seconds(event.get("Elapsed")))

    def _fail(self, package: str, test: str, lines: list[str], duration: float | None) -> None:
        self._counts = self._counts or Counts()
        self._counts.failed += 1
        message, at = GoPackage(package, self._module).read(lines)
        self._found.failure(f"{package}.{test}" if test else package, message, at, duration)


def _word(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""
