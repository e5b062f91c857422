"""Readers of what ``go build``, ``go vet`` and ``go test -json`` print."""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from codebuddy.agent.reports.collector import (
    MAX_FAILURES,
    Collector,
    Location,
    Reader,
    Report,
    Severity,
    make_location,
    parse_json_object,
    parse_number,
    parse_seconds,
    strip_escapes,
)

_MODULE = re.compile(r'module[ \t]{1,20}"?([^\s"]{1,1000})"?')  # Go Modules Reference, "go.mod files"
_MAX_GO_MOD = 65536  # bytes
_NO_MODULES = frozenset({"vendor", "testdata", "node_modules"})
_MAX_DIRECTORIES = 500
_MAX_ENTRIES = 1000  # of a directory
_MESSAGE = re.compile(r"(\.(?:go|mod|work|s|c|h|cc|cpp)):([0-9]{1,9})(?::([0-9]{1,9}))?: (?=\S)")

# testing.common.decorate: four spaces, the file's name, the line; further lines are four further in.
_LOGGED = re.compile(r" {4,80}([^\s:/][^:/]{0,200}\.go):([0-9]{1,9}): ?")
_PANIC = re.compile(r"(?:panic|fatal error): ")
_FRAME = re.compile(r"\t(/[^\t]{1,1000}\.go):([0-9]{1,9})(?: \+0x[0-9a-f]{1,16})?\Z")
_DECORATION = re.compile(r" *(?:=== |--- (?:FAIL|PASS|SKIP|BENCH): |FAIL\b|PASS\Z|ok  \t|exit status )")

_MAX_BUILD = 20  # lines
_MAX_BUILD_LINE = 500  # characters
_MAX_OUTPUT = 200  # lines of a test
_MAX_KEPT = 4 * 2**20  # characters of all tests that run
_OVERHEAD = 200  # characters that a test counts for beside its name and output


class _GoMessages:
    """Reads messages of the go command and its compiler."""

    def __init__(self, collector: Collector, modules: _Modules) -> None:
        self._collector = collector
        self._modules = modules
        self._in_vet = False
        self._directory: str | None = None  # of the package that the messages are about

    def feed(self, line: str) -> bool:
        """Take a line, and say whether it belongs to a message."""
        if line.startswith("# "):
            self._in_vet = line.startswith("# [")
            self._directory = self._modules.directory_of(line[2:2000].strip("[]").split(" ")[0])
            self._collector.close()
            return True
        found = _MESSAGE.search(line)
        if found is None or line[0].isspace():
            return self._continue(line)
        path = line[: found.end(1)]
        checked = path.removeprefix("vet: ")  # vet could not check its types
        location = make_location(checked, found[2])
        if location is None:
            return False
        if self._directory is not None and not checked.startswith("/"):
            location = self._in_package(self._directory, location)
        by_vet = self._in_vet and checked == path
        severity: Severity = "warning" if by_vet else "error"
        finding = self._collector.begin(location, parse_number(found[3]), severity, line[found.end() :])
        finding.source = "vet" if by_vet else "go"
        return True

    def _in_package(self, directory: str, location: Location) -> Location:
        """Return the location in the package, wherever go was called; as it is if the package has no such file."""
        path = self._modules.join(os.path.join(directory, os.path.basename(location.path)))
        return Location(path, location.line) if os.path.isfile(path) else location

    def _continue(self, line: str) -> bool:
        if line.startswith("\t") and self._collector.pending is not None:
            self._collector.note(line.strip())
            return True
        self._collector.close()
        return False


class GoReader(Reader):
    """Reads ``go vet`` and ``go build``; they count columns in bytes."""

    source = "go"
    unit = "byte"

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self._messages = _GoMessages(self._collector, _Modules(root))
        self._error = ""  # the first one without a location

    def finish(self) -> Report:
        if self._collector.is_empty:
            self._collector.set_problem(self._error)
        return super().finish()

    def _read(self, line: str) -> None:
        if not self._messages.feed(line) and line.startswith(("go: ", "package ", "pattern ")) and not self._error:
            self._error = line


@dataclass(slots=True)
class _OpenTest:
    """A test that has not ended; one without a name holds what its package prints beside its tests."""

    lines: list[str] = field(default_factory=list)
    size: int = 0
    subtests: bool = False
    failed_subtests: bool = False


@dataclass(slots=True)
class _OpenPackage:
    """A package whose tests run; several packages run at a time."""

    tests: dict[str, _OpenTest] = field(default_factory=dict)
    failed: int = 0


class GoTestReader(Reader):
    """Reads ``go test -json``; a test with subtests counts only for a failure of its own."""

    source = "go"
    unit = "byte"

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self._modules = _Modules(root)
        self._messages = _GoMessages(self._collector, self._modules)
        self._packages: dict[str, _OpenPackage] = {}
        self._kept = 0
        self._unread = ""
        self._builds: dict[str, list[str]] = {}  # by package, messages of its build without a location

    def finish(self) -> Report:
        if self._collector.counts is None and self._collector.is_empty:
            said = f" It says: {self._unread}" if self._unread else ""
            self._collector.set_problem(
                f"The output has no event of a test; the task must call go test with -json.{said}"
            )
        elif any(test for package in self._packages.values() for test in package.tests):
            self._collector.set_problem("The output ends while tests run.")
        return super().finish()

    def _read(self, line: str) -> None:
        event = parse_json_object(line)
        if event is None:
            if not self._messages.feed(line) and not self._unread:
                self._unread = line.strip()
            return
        action, package, test = (_text(event, name) for name in ("Action", "Package", "Test"))
        if action == "build-output":
            self._add_build_output(_text(event, "ImportPath"), strip_escapes(_text(event, "Output").removesuffix("\n")))
        elif action == "output":
            self._add_output(package, test, _text(event, "Output"))
        elif action == "run":
            self._open(package, test)
        elif action in {"pass", "fail", "skip"} and test:
            self._end_test(action, package, test, parse_seconds(event.get("Elapsed")))
        elif action in {"pass", "fail", "skip"} and package:
            self._end_package(action, package, event)

    def _open(self, name: str, test: str) -> _OpenTest | None:
        """Return an open test; it is opened unless too much is open."""
        package = self._packages.get(name)
        if package is not None and test in package.tests:
            return package.tests[test]
        size = len(name) + len(test) + _OVERHEAD
        if self._kept + size > _MAX_KEPT:
            return None
        if package is None:
            package = self._packages[name] = _OpenPackage()
        self._kept += size
        opened = package.tests[test] = _OpenTest(size=size)
        if "/" in test and (parent := package.tests.get(test.rpartition("/")[0])):
            parent.subtests = True
        return opened

    def _add_output(self, package: str, test: str, output: str) -> None:
        opened = self._open(package, test)
        line = strip_escapes(output.removesuffix("\n"))
        size = len(line) + _OVERHEAD
        if opened is not None and len(opened.lines) < _MAX_OUTPUT and self._kept + size <= _MAX_KEPT:
            opened.lines.append(line)
            opened.size += size
            self._kept += size

    def _add_build_output(self, path: str, line: str) -> None:
        if not self._messages.feed(line) and len(self._builds) < MAX_FAILURES:
            lines = self._builds.setdefault(path, [])
            if len(lines) < _MAX_BUILD:
                lines.append(line[:_MAX_BUILD_LINE])

    def _close(self, package: _OpenPackage, test: str) -> _OpenTest:
        opened = package.tests.pop(test, None) or _OpenTest()
        self._kept -= opened.size
        return opened

    def _end_test(self, action: str, name: str, test: str, duration: float | None) -> None:
        package = self._packages.get(name) or _OpenPackage()
        opened = self._close(package, test)
        self._collector.count()
        if action == "fail":
            package.failed += 1
            if "/" in test and (parent := package.tests.get(test.rpartition("/")[0])):
                parent.failed_subtests = True
            if not opened.failed_subtests:
                self._add_failure(name, test, opened.lines, duration)
        elif not opened.subtests:
            self._collector.count(skipped=action == "skip", passed=action == "pass")

    def _end_package(self, action: str, name: str, event: dict[str, Any]) -> None:
        package = self._packages.pop(name, None) or _OpenPackage()
        opened = self._close(package, "")
        failures = package.failed
        if action != "skip":
            self._collector.count()
        for test in list(package.tests):  # the package ended while they ran
            lines = self._close(package, test).lines
            if action == "fail" and any(_LOGGED.match(line) or _PANIC.match(line) for line in lines):
                self._add_failure(name, test, lines, None)
                failures += 1
        if action == "fail" and not failures:
            failed = _text(event, "FailedBuild")
            lines = self._builds.get(failed, ["It does not build."]) if failed else opened.lines
            self._add_failure(name, "", lines, None if failed else parse_seconds(event.get("Elapsed")))

    def _add_failure(self, package: str, test: str, lines: list[str], duration: float | None) -> None:
        self._collector.count(failed=1)
        message, location = self._message(package, lines)
        self._collector.add_failure(f"{package}.{test}" if test else package, message, location, duration)

    def describe(self, package: str, lines: list[str]) -> tuple[list[str], Location | None]:
        """Return message and location of a failure, from what a test printed; reports of other formats have that."""
        return self._message(package, [strip_escapes(line) for line in lines])

    def _message(self, package: str, lines: list[str]) -> tuple[list[str], Location | None]:
        """Return the message of a failure and its location: of the panic, or else of what was logged last.

        Messages of an error and of a log look the same; those that come from the line of the last are taken.
        """
        for index, line in enumerate(lines):
            if _PANIC.match(line):
                return _panic(lines[index:], self._modules.module_of(package) or package)
        logged = self._logged(package, lines)
        if logged:
            last = logged[-1][0]
            return [text for location, texts in logged if location == last for text in texts], last
        return [line for line in lines if not _DECORATION.match(line)], None

    def _logged(self, package: str, lines: list[str]) -> list[tuple[Location, list[str]]]:
        logged: list[tuple[Location, list[str]]] = []
        for line in lines:
            if found := _LOGGED.match(line):
                location = make_location(self._path_in_module(package, found[1]), found[2])
                if location is not None:
                    logged.append((location, [line[found.end() :]]))
            elif logged and line.startswith("        "):
                logged[-1][1].append(line.strip())
        return logged

    def _path_in_module(self, package: str, file: str) -> str:
        package = package.removesuffix("_test")
        directory = self._modules.directory_of(package)
        return os.path.normpath(os.path.join(package if directory is None else directory, file))


class _Modules:
    """The modules at and below a directory, as go.work and a change of directory can bring them into one run."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._directories: dict[str, str] | None = None  # by path of the module

    def join(self, path: str) -> str:
        """Return the path on the disk."""
        return path if self._root is None else os.path.join(self._root, path)

    def module_of(self, package: str) -> str | None:
        """Return the path of the module that a package belongs to: the longest one that its own begins with."""
        if self._directories is None:
            self._directories = {} if self._root is None else _find_modules(self._root)
        while package not in self._directories:
            package, slash, _ = package.rpartition("/")
            if not slash:
                return None
        return package

    def directory_of(self, package: str) -> str | None:
        """Return the directory of a package, relative to the root; None when its module is not here."""
        module = self.module_of(package)
        if module is None or self._directories is None:
            return None
        return os.path.join(self._directories[module], package[len(module) :].strip("/"))


def _find_modules(root: Path) -> dict[str, str]:
    """Return the directories of the modules below a directory, by the module's path; of two, the one less deep."""
    found: dict[str, str] = {}
    directories = deque([""])
    for _ in range(_MAX_DIRECTORIES):
        if not directories:
            break
        inside = directories.popleft()
        if (module := _module_in(root / inside / "go.mod")) is not None:
            found.setdefault(module, inside)
        try:
            with os.scandir(root / inside) as entries:
                below = [entry.name for entry in islice(entries, _MAX_ENTRIES) if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        directories += [
            os.path.join(inside, name)
            for name in sorted(below)
            if name not in _NO_MODULES and not name.startswith((".", "_"))
        ]
    return found


def _module_in(path: Path) -> str | None:
    """Return the path of the module of a go.mod; None when that cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            text = file.read(_MAX_GO_MOD).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
    found = next(filter(None, (_MODULE.match(line.strip()) for line in text.split("\n"))), None)
    return found[1] if found else None


def _panic(lines: list[str], prefix: str) -> tuple[list[str], Location | None]:
    """Return the message of a panic, and the first frame of a function whose name has this prefix."""
    message: list[str] = []
    for line in lines:
        if not line or line.startswith("goroutine ") or (message and line.startswith("\tpanic: ")):
            break
        text = line.removesuffix(" [recovered]").removesuffix(" [recovered, repanicked]")
        message.append(text.strip().removeprefix("panic: "))
    for called, line in pairwise(lines):
        if called.startswith(prefix) and (found := _FRAME.match(line)):
            return message, make_location(found[1], found[2])
    return message, None


def _text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""
