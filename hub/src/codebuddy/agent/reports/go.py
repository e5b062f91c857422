"""The path of a Go module, from its go.mod."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from codebuddy.agent.reports.collector import (
    MAX_FAILURES,
    Counts,
    Draft,
    Gathered,
    Place,
    Report,
    Severity,
    json_object,
    number,
    place,
    plain,
    seconds,
)

_MODULE = re.compile(r'module[ \t]{1,20}"?([^\s"]{1,1000})"?')  # Go Modules Reference, "go.mod files"
_MAX_SIZE = 65536  # bytes


def module_of(root: Path | None) -> str | None:
    """Give the path of the module whose go.mod lies in a directory; none when that cannot be read."""
    if root is None:
        return None
    try:
        descriptor = os.open(root / "go.mod", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            text = file.read(_MAX_SIZE).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
    found = next(filter(None, (_MODULE.match(line.strip()) for line in text.split("\n"))), None)
    return found[1] if found else None


_MESSAGE = re.compile(r"(\.(?:go|mod|work|s|c|h|cc|cpp)):([0-9]{1,9})(?::([0-9]{1,9}))?: (?=\S)")


class GoText:
    """Takes lines of the go command for findings; it counts columns in bytes.

    Args:
        found: what they are added to.
    """

    def __init__(self, found: Gathered) -> None:
        self._found = found
        self._vetted = False

    def feed(self, line: str) -> bool:
        """Take a line, and say whether it is one of a finding or its header."""
        if line.startswith("# "):
            self._vetted = line.startswith("# [")
            self._found.close()
            return True
        found = _MESSAGE.search(line)
        if found is None or line[0].isspace():
            return self._continuation(line)
        path = line[: found.end(1)]
        checked = path.removeprefix("vet: ")  # vet could not check its types
        at = place(checked, found[2])
        if at is None:
            return False
        by_vet = self._vetted and checked == path
        source = "vet" if by_vet else "go"
        severity: Severity = "warning" if by_vet else "error"
        message = [line[found.end() :]]
        self._found.begin(Draft(at, number(found[3]), severity, message, source=source))
        return True

    def _continuation(self, line: str) -> bool:
        if line.startswith("\t") and self._found.open is not None:
            self._found.note(line.strip())
            return True
        self._found.close()
        return False


class GoReader:
    """Reads ``go vet`` and ``go build``."""

    def __init__(self) -> None:
        self._found = Gathered("go", "byte")
        self._text = GoText(self._found)
        self._rest = ""

    def feed(self, line: str) -> None:
        line = plain(line)
        if not self._text.feed(line) and line.startswith(("go: ", "package ", "pattern ")) and not self._rest:
            self._rest = line

    def finish(self) -> Report:
        if self._found.nothing:
            self._found.problem(self._rest)
        return self._found.report()


# testing.common.decorate: four spaces, the file's name, the line; further lines are four further in.
_LOGGED = re.compile(r" {4,80}([^\s:/][^:/]{0,200}\.go):([0-9]{1,9}): ?")
_PANIC = re.compile(r"(?:panic|fatal error): ")
_FRAME = re.compile(r"\t(/[^\t]{1,1000}\.go):([0-9]{1,9})(?: \+0x[0-9a-f]{1,16})?\Z")
_DECORATION = re.compile(r" *(?:=== |--- (?:FAIL|PASS|SKIP|BENCH): |FAIL\b|PASS\Z|ok  \t|exit status )")


def own_words(lines: list[str]) -> bool:
    """Say whether a test itself logged something or panicked."""
    return any(_LOGGED.match(line) or _PANIC.match(line) for line in lines)


class GoPackage:
    """A package of tests.

    Args:
        package: its import path.
        module: the path of the module that the working directory is the root of.
    """

    def __init__(self, package: str, module: str | None) -> None:
        self._package = package
        self._module = module
        self._prefix = module or package

    def read(self, lines: list[str]) -> tuple[list[str], Place | None]:
        """Give the message of a failure and its place: of the panic, or else of what was logged last.

        Messages of an error and of a log look the same; those that come from the line of the last are taken.
        """
        for index, line in enumerate(lines):
            if _PANIC.match(line):
                return self._panic(lines[index:])
        logged = self._logged(lines)
        if logged:
            last = logged[-1][0]
            return [text for at, texts in logged if at == last for text in texts], last
        return [line for line in lines if not _DECORATION.match(line)], None

    def _logged(self, lines: list[str]) -> list[tuple[Place, list[str]]]:
        logged: list[tuple[Place, list[str]]] = []
        for line in lines:
            if found := _LOGGED.match(line):
                at = place(self._below_module(found[1]), found[2])
                if at is not None:
                    logged.append((at, [line[found.end() :]]))
            elif logged and line.startswith("        "):
                logged[-1][1].append(line.strip())
        return logged

    def _panic(self, lines: list[str]) -> tuple[list[str], Place | None]:
        message: list[str] = []
        for line in lines:
            if not line or line.startswith("goroutine ") or (message and line.startswith("\tpanic: ")):
                break
            text = line.removesuffix(" [recovered]").removesuffix(" [recovered, repanicked]")
            message.append(text.strip().removeprefix("panic: "))
        for called, line in pairwise(lines):
            if called.startswith(self._prefix) and (found := _FRAME.match(line)):
                return message, place(found[1], found[2])
        return message, None

    def _below_module(self, file: str) -> str:
        module, package = self._module, self._package.removesuffix("_test")
        if module is not None and (package == module or package.startswith(f"{module}/")):
            package = package[len(module) :].strip("/")
        return f"{package}/{file}" if package else file


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
