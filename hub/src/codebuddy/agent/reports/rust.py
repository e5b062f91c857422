"""Readers of what cargo, rustc, clippy and Rust's tests print."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from codebuddy.agent.reports.collector import (
    MAX_FAILURES,
    SHOWN_LINE,
    Collector,
    Finding,
    Location,
    Reader,
    Report,
    Severity,
    in_project,
    json_number,
    match_message,
    objects,
    parse_json_object,
    parse_number,
    split_location,
)
from codebuddy.agent.reports.directories import Base

_HEAD = re.compile(r"(error|warning)(?:\[([A-Za-z0-9_:]{1,100})\])?: ")
_SHORT = re.compile(r":([0-9]{1,9}):([0-9]{1,9}): (error|warning)(?:\[([A-Za-z0-9_:]{1,100})\])?: ")
_ARROW = re.compile(r" {0,12}--> ")
_LABEL = re.compile(r" {0,12}\|")
_NOTE = re.compile(r"(?: {0,12}= )?(?:note|help): ")
# rustc names the lint once for each crate, in the words of rustc_middle::lint::explain_lint_level_source.
_LINT = re.compile(r"`(?:#\[(?:warn|deny|forbid)\(([A-Za-z0-9_:]{1,100})\)\]|-[DFW] ([A-Za-z0-9_:-]{1,100}))`")
_CLIPPY_PAGE = re.compile(r"rust-clippy/[A-Za-z0-9._-]{1,40}/index\.html#([A-Za-z0-9_]{1,100})")
# What cargo adds once it is known what failed.
_SUMMARY = re.compile(
    r"(?:error|warning): (?:could not compile|build failed|aborting due to|test failed|doctest failed"
    r"|[0-9]{1,9} targets? failed|`[^`]{1,200}` \(|[0-9]{1,9} warnings? emitted)"
)
_MAX_EXPANSIONS = 10


_BUILDING = re.compile(
    r" {0,12}(?:Checking|Compiling|Documenting|Fresh|Dirty) \S{1,200} v\S{1,200} \((/[^()]{1,4096})\)"
)
_MAX_PACKAGES = 1000
_MAX_MANIFEST = 2**18  # bytes


class _Workspaces:
    """The workspaces of a run: cargo runs rustc in the root of a package's workspace, so paths are relative to it."""

    def __init__(self, root: Path | None) -> None:
        self._roots: dict[str, str] = {}  # by package
        self._here = (".",) if root is not None and (root / "Cargo.toml").is_file() else ()
        self.bases: tuple[Base, ...] | None = None  # of a message, as far as packages were named

    def feed(self, line: str) -> None:
        """Take a line, which may name the directory of a package."""
        if found := _BUILDING.match(line):
            self._add(found[1])

    def bases_of(self, package: str) -> tuple[Base, ...] | None:
        """Return the directory of the workspace that the package in a directory belongs to."""
        self._add(package)
        return (self._roots[package],) if package in self._roots else self.bases

    def _add(self, package: str) -> None:
        if package not in self._roots and len(self._roots) < _MAX_PACKAGES:
            self._roots[package] = self._find_root(package)
            self.bases = (*self._here, *dict.fromkeys(self._roots.values()))

    @staticmethod
    def _find_root(package: str) -> str:
        """Find the root of a package's workspace (Cargo book, "Workspaces")."""
        for directory in (PurePosixPath(package), *PurePosixPath(package).parents):
            workspace = _manifest(f"{directory}/Cargo.toml").get("workspace")
            if isinstance(workspace, dict):
                excluded = workspace.get("exclude")
                names = excluded if isinstance(excluded, list) else []
                below = [directory / name for name in names if isinstance(name, str)]
                return package if any(PurePosixPath(package).is_relative_to(one) for one in below) else str(directory)
        return package


def _manifest(path: str) -> dict[str, Any]:
    """Return what a manifest says; nothing when it cannot be read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return tomllib.loads(file.read(_MAX_MANIFEST).decode("utf-8", "replace"))
    except (OSError, ValueError, RecursionError):
        return {}


class _RustcMessages:
    """Reads the text messages of rustc and cargo."""

    def __init__(self, collector: Collector, workspaces: _Workspaces) -> None:
        self._collector = collector
        self._workspaces = workspaces
        self._head = ""
        self.error = ""  # the last one without a location

    def feed(self, line: str) -> None:
        self._workspaces.feed(line)
        self._collector.bases = self._workspaces.bases or self._collector.bases
        if _HEAD.match(line):
            self._collector.close()
            self._head = "" if _SUMMARY.match(line) else line
            if line.startswith("error") and self._head:
                self.error = line.partition(": ")[2]
        elif arrow := _ARROW.match(line):
            self._locate(line[arrow.end() :])
        elif match := match_message(_SHORT, line):
            found, location = match
            self._begin(location, found[2], found[3], line[found.end() :], found[4])
        elif self._collector.pending is not None:
            self._add_detail(self._collector.pending, line)

    def _begin(self, location: Location, column: str, level: str, message: str, code: str | None) -> None:
        _set_source(self._collector.begin(location, parse_number(column), _severity(level), message, code))

    def _locate(self, text: str) -> None:
        head, split = _HEAD.match(self._head), split_location(text)
        if head and split:
            self._begin(*split, head[1], self._head[head.end() :], head[2])
            self.error = ""
        else:
            self._collector.end_quote()
        self._head = ""

    def _add_detail(self, finding: Finding, line: str) -> None:
        if note := _NOTE.match(line):
            lint, page = _LINT.search(line), _CLIPPY_PAGE.search(line)
            if lint is not None:
                finding.code = finding.code or (lint[1] or lint[2]).replace("-", "_")
            elif page is not None:
                finding.code = finding.code or f"clippy::{page[1]}"
            else:
                self._collector.note(line[note.start() :].strip(" ="))
            _set_source(finding)
        elif _LABEL.match(line) and (label := _label(line)):
            self._collector.note(label)


class CargoReader(Reader):
    """Reads ``cargo build``, ``check`` and ``clippy``, as text and as JSON; they count columns in code points."""

    source = "rustc"
    quote = SHOWN_LINE

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self._workspaces = _Workspaces(root)
        self._messages = _RustcMessages(self._collector, self._workspaces)

    def finish(self) -> Report:
        if self._collector.is_empty:
            self._collector.set_problem(self._messages.error)
        return super().finish()

    def _read(self, line: str) -> None:
        if not line.startswith('{"'):
            self._messages.feed(line)
        elif (event := parse_json_object(line)) is None:
            self._collector.set_problem("A line of JSON was cut or is none.")
        elif isinstance(message := event.get("message"), dict):
            if isinstance(manifest := event.get("manifest_path"), str):
                self._collector.bases = self._workspaces.bases_of(os.path.dirname(manifest[:4096]))
            self._read_json(message)

    def _read_json(self, message: dict[str, Any]) -> None:
        """Take a diagnostic (rustc book, "JSON Output", Diagnostics)."""
        spans = [span for span in objects(message.get("spans")) if span.get("is_primary") is True]
        level, text = message.get("level"), message.get("message")
        if not spans or level not in {"error", "warning"} or not isinstance(text, str):
            return
        span = _project_span(spans[0])
        path, line, column = (
            span.get("file_name"),
            json_number(span.get("line_start")),
            json_number(span.get("column_start")),
        )
        if not isinstance(path, str) or line is None:
            return
        code = message.get("code")
        name = code.get("code") if isinstance(code, dict) else None
        text = "\n".join(text.split("\n")[:20])
        finding = self._collector.begin(Location(path, line), column, _severity(level), text)
        finding.code = name if isinstance(name, str) else None
        end_line, end_column = json_number(span.get("line_end")), json_number(span.get("column_end"))
        if end_line and end_column:
            finding.end_line, finding.end_column = end_line, end_column
        if isinstance(shown := next(iter(objects(span.get("text"))), {}).get("text"), str):
            self._collector.quote(str(line), shown)
        if isinstance(label := span.get("label"), str):
            self._collector.note(label)
        for child in objects(message.get("children")):
            note = child.get("message")
            if isinstance(note, str) and not _LINT.search(note) and not _CLIPPY_PAGE.search(note):
                self._collector.note(f"{child.get('level')}: {note}")
        _set_source(finding)


def _severity(word: str) -> Severity:
    return "warning" if word == "warning" else "error"


def _set_source(finding: Finding) -> None:
    if finding.code is not None and finding.code.startswith("clippy::"):
        finding.source = "clippy"
    elif finding.path.endswith("Cargo.toml"):
        finding.source = "cargo"


def _label(line: str) -> str:
    """Return what stands right of the marks under a line of the file; nothing for any other line."""
    _, _, text = line.partition("|")
    marks = text.lstrip(" ")
    if not marks.startswith(("^", "-", "_")) or "^" not in marks:
        return ""
    return marks[marks.rfind("^") + 1 :].strip(" -")


def _project_span(span: dict[str, Any]) -> dict[str, Any]:
    """Return the span in the project where a library's macro was used."""
    for _ in range(_MAX_EXPANSIONS):
        path, expansion = span.get("file_name"), span.get("expansion")
        outer = expansion.get("span") if isinstance(expansion, dict) else None
        if not isinstance(outer, dict) or (isinstance(path, str) and in_project(path, None)):
            break
        span = outer
    return span


_PANIC = re.compile(r"\"?thread '([^']{1,1000})' (?:\([0-9]{1,20}\) )?panicked at ")
_PANIC_END = re.compile(r"stack backtrace:|note: |(?:FAILED|ok)\Z|test \S|---- .{1,2100} ----\Z")
_FRAME = re.compile(r" {2,40}at ")
_MAX_LINES = 60
_MAX_LINE = 500  # characters
_MAX_FRAMES = 20
_MAX_SOURCE = 2**22  # bytes of a file with examples
_MAX_THREADS = 200


@dataclass(slots=True)
class _Panic:
    """The message of a panic, and its locations: its own, if that could be read, then those of its backtrace."""

    message: list[str]
    locations: list[Location]

    def project_location(self, root: str | None) -> Location | None:
        """Return the first location in the project: of the panic, or else of the call that led to it."""
        return next((location for location in self.locations if in_project(location.path, root)), None)


class _Panics:
    """Collects panics by the thread that had them; a test's thread has the test's name."""

    def __init__(self) -> None:
        self.last: _Panic | None = None
        self.by_thread: dict[str, _Panic] = {}
        self._in_message = False

    def feed(self, line: str) -> None:
        found = _PANIC.search(line, 0, 2100) if "' " in line and " panicked at " in line else None
        if found:
            self._begin(found[1], line[found.end() :])
        elif self.last is None:
            return
        elif frame := _FRAME.match(line):
            self._in_message = False
            if len(self.last.locations) <= _MAX_FRAMES and (split := split_location(line[frame.end() :])):
                self.last.locations.append(split[0])
        elif _PANIC_END.match(line):
            self._in_message = False
        elif self._in_message and len(self.last.message) < _MAX_LINES:
            self.last.message.append(line[:_MAX_LINE])

    def _begin(self, thread: str, rest: str) -> None:
        if rest.startswith("'"):  # before Rust 1.73: the message in quotes, then the location
            quoted, _, where = rest.rpartition("', ")
            message = [quoted[1 : 1 + 4 * _MAX_LINE]]
        else:
            where, message = rest, []
        split = split_location(where.rstrip(":"))
        self.last = _Panic(message, [split[0]] if split else [])
        self._in_message = not message
        if len(self.by_thread) < _MAX_THREADS:
            self.by_thread[thread] = self.last


# library/test/src/formatters of Rust: the number of tests, how each ended, their output, and the names of the failed.
_RUNNING = re.compile(r"running ([0-9]{1,9}) tests?\Z")
_TARGET = re.compile(r" {1,8}(?:Running (?:unittests )?|Doc-tests )([^(]{1,1000})")
_ENDED = re.compile(r"test (\S.{0,2000}?)(?: - (?:should panic|compile fail|compile))? \.\.\. FAILED\Z")
_RESULT = re.compile(
    r"test result: (\S{1,20}) ([0-9]{1,9}) passed; ([0-9]{1,9}) failed; ([0-9]{1,9}) ignored; ([0-9]{1,9}) measured;"
)
_BLOCK = re.compile(r"---- (\S.*) (?:stdout|stderr) ----\Z")
_DOC_TEST = re.compile(r"(?:[^()]{0,2000})? - (?:[^()]{0,200} )?\(line ([0-9]{1,9})\)\Z")
_NOT_PANICKED = "note: test did not panic as expected at "
_TEST_FAILED = re.compile(r"error: (?:doc)?test failed(?:, to rerun pass `([^`]{1,200})`)?")
_CRASH = "process didn't exit successfully: "
_MAX_BLOCK = 500  # lines
_MAX_TEXT = 2**20  # characters of a block
_MAX_NAME = 2000  # characters
_MAX_OPEN = 1000


@dataclass(slots=True)
class _Binary:
    """A test binary whose result is still to come."""

    target: str
    tests: int
    failed: dict[str, None]  # those that are known to have failed


class CargoTestReader(Reader):
    """Reads ``cargo test``: every target's tests, and doc-tests.

    A test may print whatever the harness prints. So a result counts only for a binary that has as many tests, and a
    block of output only if its name stands in the last list before the result.
    """

    source = "rustc"
    quote = SHOWN_LINE

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self._workspaces = _Workspaces(root)
        self._messages = _RustcMessages(self._collector, self._workspaces)
        self._target = ""  # the one that cargo named last
        self._crate = ""  # whose doc-tests run
        self._open: list[_Binary] = []
        self._test_failed = False
        self._failed_targets: list[str] = []  # those that a result or a crash tells of
        self._to_rerun: list[str] = []  # those of which cargo says that they failed
        self._names: dict[str, None] | None = None  # in the list of failed tests, while it is read
        self._blocks: dict[str, list[str]] = {}
        self._block: str | None = None
        self._in_successes = False
        self._room = 0
        self._panics = _Panics()  # what --nocapture prints outside of blocks

    def finish(self) -> Report:
        unfinished = self._open[:]
        if self._open:
            self._end_binary(cut=True)
        self._add_unexplained(unfinished)
        if unfinished:
            targets = list(dict.fromkeys(binary.target for binary in unfinished))
            more = f" and {len(targets) - 3} more" if len(targets) > 3 else ""
            self._collector.set_problem(
                f"There is no result of {', '.join(targets[:3])}{more}: a test ended the program, or the output was "
                "cut; what other tests there did is not known."
            )
        if self._collector.is_empty and self._collector.counts is None:
            self._collector.set_problem(self._messages.error or "The output has no result of a test binary.")
        return super().finish()

    def _read(self, line: str) -> None:
        self._collector.bases = self._workspaces.bases or self._collector.bases
        if self._open and (found := _RESULT.match(line)) and self._read_result(found):
            return
        if self._block is None and self._names is None and (running := _RUNNING.match(line)):
            self._begin_binary(int(running[1]))
        elif self._open:
            self._read_in_binary(line)
        else:
            self._read_between_binaries(line)

    def _read_in_binary(self, line: str) -> None:
        self._panics.feed(line)
        if block := _BLOCK.match(line):
            self._begin_block(block[1][:_MAX_NAME])
        elif line in {"failures:", "successes:"}:
            self._block, self._names = None, {} if line == "failures:" else None
            self._in_successes = line == "successes:"
        elif self._names is not None and line.startswith("    "):
            if len(self._names) < 2 * MAX_FAILURES:
                self._names[line[4:][:_MAX_NAME]] = None
        elif self._block is not None:
            lines = self._blocks[self._block]
            if len(lines) < _MAX_BLOCK and self._room > 0:
                lines.append(line)
                self._room -= len(line)
        else:
            self._names = None if line else self._names
            self._read_outside_block(line)

    def _read_between_binaries(self, line: str) -> None:
        if self._read_target(line):
            pass
        elif self._test_failed and line.lstrip().startswith(_CRASH):
            self._add_crash(line)  # standard error came before standard output
        else:
            self._messages.feed(line)

    def _read_target(self, line: str) -> bool:
        """Take what cargo prints around a binary, on standard error and so perhaps behind the start of a line."""
        if target := _TARGET.match(line, line.find(" ... ") + 5 if line.startswith("test ") else 0):
            self._target = target[1].strip()[:_MAX_NAME]
            self._crate = self._target if "Doc-tests " in target[0] else self._crate
            return True
        if failed := _TEST_FAILED.search(line, 0, _MAX_NAME) if "test failed" in line else None:
            self._test_failed = True
            if len(self._to_rerun) < _MAX_OPEN:
                self._to_rerun.append(failed[1] or "a test target")
            return True
        return False

    def _read_outside_block(self, line: str) -> None:
        """Take a line of a running binary that belongs to no block."""
        if self._read_target(line):
            return
        if line.lstrip().startswith(_CRASH):
            self._add_crash(line)
        elif (failed := _ENDED.match(line)) and len(self._open[-1].failed) < MAX_FAILURES:
            self._open[-1].failed[failed[1]] = None

    def _begin_binary(self, tests: int) -> None:
        if self._open:  # the one before ended without its result
            self._panics = _Panics()
        self._blocks.clear()
        if len(self._open) < _MAX_OPEN:
            self._open.append(_Binary(self._target or "a test binary", tests, {}))

    def _begin_block(self, name: str) -> None:
        self._block, self._names, self._room = None, None, _MAX_TEXT
        if not self._in_successes and (name in self._blocks or len(self._blocks) < 2 * MAX_FAILURES):
            self._block = name
            self._blocks[name] = []

    def _read_result(self, found: re.Match[str]) -> bool:
        """Take a result, and say whether it is one of a binary that runs."""
        passed, failed, ignored, measured = (int(found[group]) for group in (2, 3, 4, 5))
        total = passed + failed + ignored + measured
        index = next((at for at in reversed(range(len(self._open))) if self._open[at].tests == total), None)
        if index is None:
            return False
        del self._open[index + 1 :]  # what the tests of this one ran
        self._collector.count(passed=passed, failed=failed, skipped=ignored)
        if found[1].startswith("FAILED"):
            self._failed_targets.append(self._open[-1].target)
        self._end_binary()
        return True

    def _end_binary(self, *, cut: bool = False) -> None:
        """Add the failures of the last binary; of one that is cut, those that are known."""
        binary = self._open.pop()
        names = self._names or {}
        if cut:
            names = dict.fromkeys((*binary.failed, *self._blocks, *names))
            self._collector.count(failed=len(names))
        in_order = [name for name in self._blocks if name in names]
        for name in (*in_order, *(name for name in names if name not in self._blocks)):
            lines = _lines_of(self._blocks.get(name, ["It failed."]))
            panics = _Panics()
            for line in lines:
                panics.feed(line)
            panic = panics.by_thread.get(name) or self._panics.by_thread.get(name) or panics.last
            self._add_failure(name, panic, lines)
        self._names = self._block = None
        self._in_successes = self._test_failed = False
        self._blocks.clear()
        self._panics = _Panics()

    def _add_crash(self, line: str) -> None:
        """Take what cargo says of a binary that ended without a result: how many tests it had run is not known."""
        target = self._open[-1].target if self._open else self._target or "a test binary"
        self._failed_targets.append(target)
        self._collector.count(failed=1)
        self._collector.add_failure(target, line.strip())
        if self._open:
            self._end_binary(cut=True)
        self._test_failed = False

    def _add_unexplained(self, unfinished: list[_Binary]) -> None:
        """Add the targets of which cargo says that they failed, and nothing else does."""
        for binary in unfinished[:-1]:  # the last one's are added
            self._collector.count(failed=len(binary.failed))
            for name in binary.failed:
                self._add_failure(name, None, ["It failed."])
        stems = {PurePosixPath(target).stem for target in self._failed_targets}
        count = max(0, len(self._to_rerun) - len(self._failed_targets))
        unknown = [target for target in self._to_rerun if target.split(" ")[-1].lstrip("-") not in stems]
        for target in unknown[:count]:
            name = f"cargo test {target}" if self._target else "a test target"  # --quiet names none
            self._collector.count(failed=1)
            self._collector.add_failure(name, "It failed without a result of its tests.")

    def _add_failure(self, name: str, panic: _Panic | None, lines: list[str]) -> None:
        location = panic.project_location(self._root) if panic else None
        if found := _DOC_TEST.match(name):
            path = name[: name.rindex(" - ", 0, found.start(1))]
            location = self._doc_test_location(path, int(found[1]), lines, location)
        elif location is None and lines[:1] and lines[0].startswith(_NOT_PANICKED):
            split = split_location(lines[0].removeprefix(_NOT_PANICKED))
            location = split[0] if split else None
        message = panic.message if panic else [line.removeprefix("note: ") for line in lines]
        self._collector.add_failure(name, message, location)

    def _doc_test_location(self, path: str, start: int, lines: list[str], panic: Location | None) -> Location:
        """Return where an example failed.

        A compiler's message has the file's own lines, a panic those of the program that rustdoc made of the example.

        Args:
            start: the line before the example's first.
        """
        for line in lines:
            split = split_location(line[arrow.end() :]) if (arrow := _ARROW.match(line)) else None
            if split is not None and split[0].path == path:
                return split[0]
        if panic is None or panic.path != path:
            return Location(path, start)
        example = self._example(path, start)
        package = _manifest(os.path.join(self._root or ".", "Cargo.toml")).get("package")
        name = package.get("name") if isinstance(package, dict) else None
        before = _lines_before(example, self._crate or (name if isinstance(name, str) else ""))
        failed = start + panic.line - before
        inside = before and start < failed and (not example or failed <= start + len(example))
        return Location(path, failed if inside else start)

    def _example(self, path: str, start: int) -> list[str]:
        """Return the lines of an example up to the fence that ends it; none when they cannot be read."""
        for base in self._workspaces.bases or (".",):
            try:
                descriptor = os.open(os.path.join(self._root or ".", str(base), path), os.O_RDONLY | os.O_NONBLOCK)
                with open(descriptor, "rb") as file:
                    text = file.read(_MAX_SOURCE).decode("utf-8", "replace")
            except (OSError, ValueError):
                continue
            lines = [line.strip().removeprefix("///").removeprefix("//!").strip() for line in text.split("\n")[start:]]
            ends = (at for at, line in enumerate(lines) if line.startswith(("```", "~~~")))
            return lines[: next(ends, 0)]
        return []


def _lines_of(block: list[str]) -> list[str]:
    """Return the lines of a block of output: a doc-test of edition 2024 may have them all in one."""
    if any("\\n" in line and " panicked at " in line for line in block):
        return [part for line in block for part in line.split("\\n")][:_MAX_BLOCK]
    return block


def _lines_before(example: list[str], crate: str) -> int:
    """Return how many lines rustdoc puts before an example (rustdoc book, "Documentation tests"); 0: not known.

    They are an attribute, the crate with another one if the example names it, and the start of a main function if it
    has none. Of an example that cannot be read it is taken that it names the crate.
    """
    if any(line.startswith("#![") for line in example) or (example and not crate):
        return 0  # where such lines go differs between versions
    text = "\n".join(example)
    names_crate = not text or crate.replace("-", "_") in text
    return 1 + 2 * names_crate + ("fn main(" not in text)
