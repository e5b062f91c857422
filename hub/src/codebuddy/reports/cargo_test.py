"""What ``cargo test`` prints: the text of Rust's test harness, and rustc's where a target does not build."""

from __future__ import annotations

import re

from codebuddy.reports.cargo import RustcText
from codebuddy.reports.gathered import MAX_FAILURES, Gathered
from codebuddy.reports.lines import plain
from codebuddy.reports.models import Counts, Report
from codebuddy.reports.panics import Panic, Panics
from codebuddy.reports.places import Place, place

__all__ = ["CargoTestReader"]

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
