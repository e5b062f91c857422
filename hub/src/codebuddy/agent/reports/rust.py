"""Panics of Rust programs in their output."""

from __future__ import annotations

import re
from typing import Any

from codebuddy.agent.reports.collector import (
    MAX_FAILURES,
    Counts,
    Draft,
    Gathered,
    Place,
    Report,
    Severity,
    is_own,
    json_object,
    number,
    place,
    plain,
)

_PANIC = re.compile(r"\"?thread '([^']{1,1000})' (?:\([0-9]{1,20}\) )?panicked at ")
_END = re.compile(r"stack backtrace:|note: |(?:FAILED|ok)\Z|test \S")
_FRAME = re.compile(r" {2,40}at ")
_MAX_LINES = 60
_MAX_LINE = 500  # characters
_MAX_FRAMES = 20
_MAX_THREADS = 200


class Panic:
    """A panic: its message, and where it was.

    Args:
        at: where; none when that could not be read.
        message: its lines.
    """

    def __init__(self, at: Place | None, message: list[str]) -> None:
        self.message = message
        self.frames: list[Place] = []
        self._at = at

    def own_place(self, root: str | None) -> Place | None:
        """Give the place of it in the project, or else the place in the project that it was called from."""
        places = [*([self._at] if self._at else []), *self.frames]
        return next((each for each in places if is_own(each.path, root)), None)


class Panics:
    """Collects panics by the thread that had them; a test's thread has the test's name."""

    def __init__(self, root: str | None) -> None:
        self.last: Panic | None = None
        self._root = root
        self._threads: dict[str, Panic] = {}
        self._in_message = False

    def of(self, thread: str) -> Panic | None:
        """Give the last panic of a thread."""
        return self._threads.get(thread)

    def feed(self, line: str) -> None:
        """Take a line."""
        found = _PANIC.search(line, 0, 2100) if "' " in line and " panicked at " in line else None
        if found:
            self._begin(found[1], line[found.end() :])
        elif self.last is None:
            return
        elif frame := _FRAME.match(line):
            self._in_message = False
            parts = line[frame.end() :].rsplit(":", 2)
            if len(parts) == 3 and len(self.last.frames) < _MAX_FRAMES and (at := place(parts[0], parts[1])):
                self.last.frames.append(at)
        elif _END.match(line):
            self._in_message = False
        elif self._in_message and len(self.last.message) < _MAX_LINES:
            self.last.message.append(line[:_MAX_LINE])

    def _begin(self, thread: str, rest: str) -> None:
        if rest.startswith("'"):  # before Rust 1.73: the message in quotes, then the place
            quoted, _, where = rest.rpartition("', ")
            message = [quoted[1 : 1 + 4 * _MAX_LINE]]
        else:
            where, message = rest, []
        parts = where.rstrip(":").rsplit(":", 2)
        at = place(parts[0], parts[1]) if len(parts) == 3 else None
        self.last = Panic(at, message)
        self._in_message = not message
        if len(self._threads) < _MAX_THREADS:
            self._threads[thread] = self.last


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


class RustcText:
    """Takes lines of rustc and cargo for findings.

    Args:
        found: what they are added to.
    """

    def __init__(self, found: Gathered) -> None:
        self._found = found
        self._head = ""
        self.error = ""  # the last one that names no place

    def feed(self, line: str) -> None:
        """Take a line."""
        if _HEAD.match(line):
            self._found.close()
            self._head = "" if _SUMMARY.match(line) else line
            if line.startswith("error") and self._head:
                self.error = line.partition(": ")[2]
        elif arrow := _ARROW.match(line):
            self._place(line[arrow.end() :])
        elif (found := _SHORT.search(line)) and not line[0].isspace():
            at = place(line[: found.start()], found[1])
            if at is not None:
                draft = Draft(at, number(found[2]), _severity(found[3]), [line[found.end() :]], found[4])
                self._found.begin(_with_source(draft))
        elif self._found.open is not None:
            self._detail(self._found.open, line)

    def _place(self, shown: str) -> None:
        head = _HEAD.match(self._head)
        parts = shown.rsplit(":", 2)
        if head and len(parts) == 3 and (at := place(parts[0], parts[1])):
            draft = Draft(at, number(parts[2]), _severity(head[1]), [self._head[head.end() :]], head[2])
            self._found.begin(_with_source(draft))
            self.error = ""
        self._head = ""

    def _detail(self, draft: Draft, line: str) -> None:
        if note := _NOTE.match(line):
            lint, page = _LINT.search(line), _CLIPPY_PAGE.search(line)
            if lint is not None:
                draft.code = draft.code or (lint[1] or lint[2]).replace("-", "_")
            elif page is not None:
                draft.code = draft.code or f"clippy::{page[1]}"
            else:
                draft.note(line[note.start() :].strip(" ="))
            _with_source(draft)
        elif _LABEL.match(line) and (label := _label(line)):
            draft.note(label)


class CargoReader:
    """Reads cargo's compilers; they count columns in code points."""

    def __init__(self) -> None:
        self._found = Gathered("rustc")
        self._text = RustcText(self._found)

    def feed(self, line: str) -> None:
        line = plain(line)
        if not line.startswith('{"'):
            self._text.feed(line)
            return
        event = json_object(line)
        if event is None:
            self._found.problem("A line of JSON was cut or is none.")
        elif isinstance(message := event.get("message"), dict):
            self._message(message)

    def finish(self) -> Report:
        if self._found.nothing:
            self._found.problem(self._text.error)
        return self._found.report()

    def _message(self, message: dict[str, Any]) -> None:
        """Take a diagnostic (rustc book, "JSON Output", Diagnostics)."""
        spans = [span for span in _listed(message.get("spans")) if span.get("is_primary") is True]
        level, text = message.get("level"), message.get("message")
        if not spans or level not in {"error", "warning"} or not isinstance(text, str):
            return
        span = _own_span(spans[0])
        path, line, column = span.get("file_name"), _counted(span.get("line_start")), _counted(span.get("column_start"))
        if not isinstance(path, str) or line is None:
            return
        code = message.get("code")
        name = code.get("code") if isinstance(code, dict) else None
        draft = Draft(Place(path, line), column, _severity(level), text.split("\n")[:20])
        draft.code = name if isinstance(name, str) else None
        end_line, end_column = _counted(span.get("line_end")), _counted(span.get("column_end"))
        draft.end = (end_line, end_column) if end_line and end_column else None
        if isinstance(label := span.get("label"), str):
            draft.note(label)
        for child in _listed(message.get("children")):
            note = child.get("message")
            if isinstance(note, str) and not _LINT.search(note) and not _CLIPPY_PAGE.search(note):
                draft.note(f"{child.get('level')}: {note}")
        self._found.begin(_with_source(draft))


def _severity(word: str) -> Severity:
    return "warning" if word == "warning" else "error"


def _with_source(draft: Draft) -> Draft:
    if draft.code is not None and draft.code.startswith("clippy::"):
        draft.source = "clippy"
    elif draft.place.path.endswith("Cargo.toml"):
        draft.source = "cargo"
    return draft


def _label(line: str) -> str:
    """Give what stands right of the marks under a line of the file; nothing for any other line."""
    _, _, shown = line.partition("|")
    marks = shown.lstrip(" ")
    if not marks.startswith(("^", "-", "_")) or "^" not in marks:
        return ""
    return marks[marks.rfind("^") + 1 :].strip(" -")


def _own_span(span: dict[str, Any]) -> dict[str, Any]:
    """Give the place in the project that a macro of a library was used at."""
    for _ in range(_MAX_EXPANSIONS):
        path, expansion = span.get("file_name"), span.get("expansion")
        outer = expansion.get("span") if isinstance(expansion, dict) else None
        if not isinstance(outer, dict) or (isinstance(path, str) and is_own(path, None)):
            break
        span = outer
    return span


def _listed(value: object) -> list[dict[str, Any]]:
    return [item for item in value[:100] if isinstance(item, dict)] if isinstance(value, list) else []


def _counted(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9 else None


_RUNNING = re.compile(r"running [0-9]{1,9} tests?\Z")
_TARGET = re.compile(r" {1,8}(?:Running (?:unittests )?|Doc-tests )([^(]{1,1000})")
_RESULT = re.compile(
    r"test result: \S{1,20} ([0-9]{1,9}) passed; ([0-9]{1,9}) failed; ([0-9]{1,9}) ignored; [0-9]{1,9} measured;"
)
_BLOCK = re.compile(r"---- (\S.*) (?:stdout|stderr) ----\Z")
_DOC_TEST = re.compile(r" - (?:[^()]{0,60} )?\(line ([0-9]{1,9})\)\Z")
_TEST_FAILED = ("error: test failed", "error: doctest failed")
_EXIT = "process didn't exit successfully: "
_MAX_BLOCK = 500  # lines
_MAX_TEXT = 2**20  # characters of a block
_MAX_NAME = 2000  # characters


class CargoTestReader:
    """Reads ``cargo test``: every target's tests, and doc-tests.

    Args:
        root: the working directory.
    """

    def __init__(self, root: str | None = None) -> None:
        self._found = Gathered("rustc")
        self._rustc = RustcText(self._found)
        self._root = root
        self._counts: Counts | None = None
        self._target = "a test binary"
        self._running = False  # between a binary's first line and its result
        self._test_failed = False
        self._listing = False  # where it lists the names of what failed
        self._block: str | None = None
        self._lines: list[str] = []
        self._room = 0
        self._told: set[str] = set()
        self._inline = Panics(root)  # what --nocapture prints outside of blocks

    def feed(self, line: str) -> None:
        line = plain(line)
        if found := _RESULT.match(line):
            self._result(Counts(int(found[1]), int(found[2]), int(found[3])))
        elif block := _BLOCK.match(line):
            self._end_block()
            self._block, self._listing, self._room = block[1][:_MAX_NAME], False, _MAX_TEXT
        elif line == "failures:" and self._running:
            self._end_block()
            self._listing = True
        elif self._block is not None:
            if len(self._lines) < _MAX_BLOCK and self._room > 0:
                self._lines.append(line)
                self._room -= len(line)
        elif self._running:
            self._outside(line)
        elif _RUNNING.match(line):
            self._running = True
        else:
            self._between(line)

    def finish(self) -> Report:
        if self._running:
            self._end_block()
            self._found.problem(f"The output ends before the result of {self._target}.")
        if self._found.nothing and self._counts is None:
            self._found.problem(self._rustc.error or "The output has no result of a test binary.")
        return self._found.report(self._counts)

    def _result(self, counts: Counts) -> None:
        self._end_block()
        total = self._counts = self._counts or Counts()
        total.passed += counts.passed
        total.failed += counts.failed
        total.skipped += counts.skipped
        self._end_binary()

    def _end_binary(self) -> None:
        self._running = self._listing = self._test_failed = False
        self._told.clear()
        self._inline = Panics(self._root)

    def _between(self, line: str) -> None:
        if target := _TARGET.match(line):
            self._target = target[1].strip()[:_MAX_NAME]
        elif line.startswith(_TEST_FAILED):
            self._test_failed = True
        elif self._test_failed and line.lstrip().startswith(_EXIT):
            self._crash(line)  # standard error came before standard output
        else:
            self._rustc.feed(line)

    def _outside(self, line: str) -> None:
        """Take a line of a running binary that belongs to no block."""
        if self._listing and line.startswith("    "):
            name = line.strip()[:_MAX_NAME]
            if name not in self._told:
                self._fail(name, self._inline.of(name), ["It failed."])
        elif line.lstrip().startswith(_EXIT):
            self._crash(line)
        else:
            self._inline.feed(line)

    def _crash(self, line: str) -> None:
        """Take what cargo says of a binary that ended without a result: how many tests it had run is not known."""
        self._counts = self._counts or Counts()
        self._counts.failed += 1
        self._found.failure(self._target, line.strip())
        self._end_binary()

    def _end_block(self) -> None:
        name, lines = self._block, self._lines
        self._block, self._lines = None, []
        if name is None:
            return
        if len(self._told) < MAX_FAILURES:
            self._told.add(name)
        if any("\\n" in line and " panicked at " in line for line in lines):
            lines = [part for line in lines for part in line.split("\\n")][:_MAX_BLOCK]  # a doc-test of edition 2024
        panics = Panics(self._root)
        for line in lines:
            panics.feed(line)
        self._fail(name, panics.of(name) or panics.last, lines)

    def _fail(self, name: str, panic: Panic | None, lines: list[str]) -> None:
        at = panic.own_place(self._root) if panic else None
        message = panic.message if panic else [line.removeprefix("note: ") for line in lines]
        self._found.failure(name, message, at or _doc_test(name))


def _doc_test(name: str) -> Place | None:
    found = _DOC_TEST.search(name)
    return place(name[: found.start()], found[1]) if found else None
