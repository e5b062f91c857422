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
_RACE_FRAME = re.compile(r" {6}(/.{1,1000}\.go):([0-9]{1,9}) \+0x")
_TEST_FUNCTION = re.compile(r"(?:Test|Example|Fuzz|Benchmark)\w{0,200}")
_NOT_BUILT = re.compile(r"FAIL\t(\S{1,1000}) \[(?:build|setup) failed\]\Z")
_PLAIN = re.compile(r"ok  \t|--- FAIL: |FAIL\t(?!.{1,1000} \[(?:build|setup) failed\])")
_DECORATION = re.compile(r" *(?:=== |--- (?:FAIL|PASS|SKIP|BENCH): |FAIL\b|PASS\Z|ok  \t|exit status )")

_MAX_BUILD = 20  # lines
_MAX_BUILD_LINE = 500  # characters
_MAX_OUTPUT = 200  # lines of a test
_MAX_KEPT = 4 * 2**20  # characters of all tests that run
_OVERHEAD = 200  # characters that a test counts for beside its name and output
_MAX_SOURCE = 2**20  # bytes of a file of tests


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
    before_subtests: int = 0  # how many lines it had printed before its first subtest


@dataclass(slots=True)
class _FailedTest:
    """A test that failed, until the test that it is a subtest of has ended: Go may tell its panic there."""

    name: str
    lines: list[str]
    duration: float | None
    size: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _OpenPackage:
    """A package whose tests run; several packages run at a time."""

    tests: dict[str, _OpenTest] = field(default_factory=dict)
    failed: int = 0
    failures: list[_FailedTest] = field(default_factory=list)
    last_failed: str = ""
    was_run: bool = False  # what the testing package prints at the end was seen

    def parent_of(self, test: str) -> _OpenTest | None:
        """Return the open test that this one is a subtest of; a subtest's own name may have a slash in it."""
        while "/" in test:
            test = test.rpartition("/")[0]
            if parent := self.tests.get(test):
                return parent
        return None


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
        self._is_plain = False  # the output is what go prints without -json
        self._not_built: list[str] = []  # packages; Go before 1.20 has no event for them
        self._builds: dict[str, list[str]] = {}  # by package, messages of its build without a location

    def finish(self) -> Report:
        if self._collector.counts is not None:
            for package in self._not_built:
                self._add_failure(package, _FailedTest("", ["It does not build."], None))
        if self._collector.counts is None and (self._is_plain or self._collector.is_empty):
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
            self._read_plain(line)
            return
        action, package, test = (_text(event, name) for name in ("Action", "Package", "Test"))
        if action == "build-output":
            self._add_build_output(_text(event, "ImportPath"), strip_escapes(_text(event, "Output").removesuffix("\n")))
        elif action == "output":
            self._add_output(package, test, _text(event, "Output"))
        elif action == "run":
            if self._open(package, test) is not None:
                self._packages[package].last_failed = ""
        elif action in {"pass", "fail", "skip"} and test:
            self._end_test(action, package, test, parse_seconds(event.get("Elapsed")))
        elif action in {"pass", "fail", "skip"} and package:
            self._end_package(action, package, event)

    def _read_plain(self, line: str) -> None:
        """Take a line that is no event."""
        self._is_plain = self._is_plain or _PLAIN.match(line) is not None
        if (failed := _NOT_BUILT.match(line)) and len(self._not_built) < MAX_FAILURES:
            self._not_built.append(failed[1])
        elif not self._messages.feed(line) and not self._unread:
            self._unread = line.strip()

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
        if parent := package.parent_of(test):
            parent.before_subtests = parent.before_subtests if parent.subtests else len(parent.lines)
            parent.subtests = True
        return opened

    def _add_output(self, package: str, test: str, output: str) -> None:
        opened = self._open(package, test)
        line = strip_escapes(output.removesuffix("\n"))
        if not test and package in self._packages and line.endswith("PASS"):
            self._packages[package].was_run = True
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
        opened = package.tests.pop(test, None) or _OpenTest()
        parent = package.parent_of(test)
        self._collector.count()
        if action != "fail":
            self._kept -= opened.size
            if not opened.subtests:
                self._collector.count(skipped=action == "skip", passed=action == "pass")
        elif test == package.last_failed:  # a fuzz test is told twice
            self._kept -= opened.size
        else:
            package.failed += 1
            package.last_failed = test
            if parent is not None:
                parent.failed_subtests = True
            failed = _FailedTest(test, opened.lines, duration, opened.size)
            if not opened.failed_subtests or self._failed_itself(name, failed, opened, package.failures):
                package.failures.append(failed)
            else:
                self._kept -= opened.size
        if parent is None:
            self._add_failures(name, package)

    def _failed_itself(self, package: str, test: _FailedTest, opened: _OpenTest, failures: list[_FailedTest]) -> bool:
        """Say whether a test with subtests that failed did so by itself, too.

        The panic of a subtest is told in its output. What it logged may be an error or not, so the last of the subtests
        that failed tells it.
        """
        below = [failed for failed in failures if failed.name.startswith(f"{test.name}/")]
        test.lines = test.lines[opened.before_subtests :]
        panic = next((at for at, line in enumerate(test.lines) if _PANIC.match(line)), None)
        if not below or (panic is not None and _is_run_by_testing(package, test.name, test.lines)):
            return True
        if panic is not None:
            below[-1].lines += test.lines[panic:]
        below[-1].notes += [
            f"{test.name}: {os.path.basename(location.path)}:{location.line}: {text}"
            for location, texts in self._logged(package, test.lines[:panic])
            for text in texts
        ]
        return False

    def _add_failures(self, name: str, package: _OpenPackage) -> None:
        failures, package.failures = package.failures, []
        for failed in failures:
            self._kept -= failed.size
            root = failed.name.partition("/")[0]
            panic = next((at for at, line in enumerate(failed.lines) if _PANIC.match(line)), None)
            if panic is not None and root != failed.name and _is_run_by_testing(name, root, failed.lines):
                # Go before 1.20 tells it in the output of the last subtest.
                self._add_failure(name, _FailedTest(root, failed.lines[panic:], None))
                failed.lines = failed.lines[:panic]
            self._add_failure(name, failed)

    def _end_package(self, action: str, name: str, event: dict[str, Any]) -> None:
        package = self._packages.pop(name, None) or _OpenPackage()
        self._add_failures(name, package)
        opened = self._close(package, "")
        failures = package.failed
        if action != "skip":
            self._collector.count()
        running = list(package.tests)  # the package ended while they ran
        for test in running:
            lines = self._close(package, test).lines
            if action == "fail" and any(_LOGGED.match(line) or _PANIC.match(line) for line in lines):
                self._add_failure(name, _FailedTest(test, lines, None))
                failures += 1
        if action == "fail" and not failures:
            failed = _text(event, "FailedBuild")
            not_built = failed or any(_NOT_BUILT.match(line) for line in opened.lines)
            lines = self._builds.get(failed, ["It does not build."]) if not_built else opened.lines
            if running:
                lines = [*lines, f"It ended while {', '.join(running[:5])} ran."]
            duration = None if not_built else parse_seconds(event.get("Elapsed"))
            self._add_failure(name, _FailedTest("", lines, duration))
        elif action == "pass" and not package.was_run and any(line.startswith("ok  \t") for line in opened.lines):
            self._collector.set_problem(
                f"{name} called os.Exit(0) before the end of its tests, or hid that they failed; "
                "which of them failed is not certain."
            )

    def _add_failure(self, package: str, failed: _FailedTest) -> None:
        self._collector.count(failed=1)
        message, location = self._message(package, failed.lines)
        place = location or self._declaring_file(package, failed.name)
        name = f"{package}.{failed.name}" if failed.name else package
        self._collector.add_failure(name, [*message, *failed.notes], place, failed.duration)

    def _declaring_file(self, package: str, test: str) -> str | None:
        """Return the file that declares a test of which nothing tells the place."""
        function = _TEST_FUNCTION.match(test)
        directory = self._modules.directory_of(package)
        if function is None or directory is None:
            return None
        declared = re.compile(rb"^func " + function[0].encode() + rb"\(", re.MULTILINE)
        try:
            with os.scandir(self._modules.join(directory or ".")) as entries:
                names = sorted(entry.name for entry in islice(entries, _MAX_ENTRIES) if entry.name.endswith("_test.go"))
            for name in names:
                path = os.path.join(directory, name)
                descriptor = os.open(self._modules.join(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                with open(descriptor, "rb") as file:
                    if declared.search(file.read(_MAX_SOURCE)):
                        return path
        except OSError:
            return None
        return None

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
            message = [text for location, texts in logged if location == last for text in texts]
            by_testing = os.path.basename(last.path) == "testing.go"
            return message, self._race(package, lines) if by_testing else last
        return [line for line in lines if not _DECORATION.match(line)], None

    def _logged(self, package: str, lines: list[str]) -> list[tuple[Location, list[str]]]:
        logged: list[tuple[Location, list[str]]] = []
        for line in lines:
            if found := _LOGGED.match(line):
                location = make_location(self._path_in_module(package, found[1]), found[2])
                if location is not None:
                    logged.append((location, [line[found.end() :]]))
            elif logged and line.startswith("        ") and not _DECORATION.match(line):
                logged[-1][1].append(line.strip())
        return logged

    def _race(self, package: str, lines: list[str]) -> Location | None:
        """Return the first line of the project in the report of a data race."""
        prefix = f"  {self._modules.module_of(package) or package}"
        for called, line in pairwise(lines):
            if called.startswith(prefix) and (found := _RACE_FRAME.match(line)):
                return make_location(found[1], found[2])
        return None

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


def _is_run_by_testing(package: str, test: str, lines: list[str]) -> bool:
    """Say whether the function of a panic's stack that the testing package called is that of a test itself."""
    at = next((at for at, line in enumerate(lines) if line.startswith("testing.tRunner(")), 0)
    return at >= 2 and lines[at - 2].startswith((f"{package}.{test}(", f"{package}_test.{test}("))


def _text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""
