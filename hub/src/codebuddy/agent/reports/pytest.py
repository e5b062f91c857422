"""What pytest prints on a terminal."""

from __future__ import annotations

import re
from collections import deque

from codebuddy.agent.reports.collector import (
    MAX_FAILURES,
    Counts,
    Draft,
    Gathered,
    Place,
    Report,
    is_own,
    number,
    place,
    plain,
)

# _pytest._code.code: ReprFileLocation, ReprEntry; and traceback.format_exception for --tb=native.
_LOCATION = re.compile(r":([0-9]{1,9}): ?(?=in |[A-Za-z_][\w.]{0,200}(?::|\Z)|\Z)")
_NATIVE = re.compile(r' {2,12}File "([^"]{1,4096})", line ([0-9]{1,9})')
_MARKED = re.compile(r"E(?: {3}|\Z)")
_INDENT = re.compile(r"E( +)")
_RAISED = re.compile(r"[A-Za-z_][\w.]{0,200}(?:\Z|: )")
_CAPTURED = re.compile(r"-{3,80} Captured .{1,40} -{3,80}\Z")
_MAX_LINES = 60
_MAX_TEXT = 20_000  # characters of all lines that are kept
_MAX_PLACES = 20


class PytestBlock:
    """Takes the lines of a failure.

    Args:
        root: the working directory.
    """

    def __init__(self, root: str | None) -> None:
        self._root = root
        self._marked: list[str] = []  # behind an E
        self._after_mark = False
        self._raised: list[str] = []  # what a native traceback ends in
        self._first: list[str] = []
        self._places: list[Place] = []
        self._syntax: Place | None = None
        self._over = False
        self._room = _MAX_TEXT

    def feed(self, line: str) -> None:
        """Take a line."""
        self._over = self._over or _CAPTURED.match(line) is not None
        if self._over:
            return
        self._keep(self._first, line)
        if _MARKED.match(line):
            if not self._after_mark:  # an earlier one is of an exception that this one came from
                self._marked.clear()
                self._syntax = None
            self._after_mark = True
            self._keep(self._marked, line)
            if native := _NATIVE.match(line[1:]):
                self._syntax = place(native[1], native[2])
            return
        self._after_mark = False
        self._location(line)

    def message(self) -> list[str]:
        """Give the last exception's text, or what there is in its place."""
        if self._marked:
            indents = [len(found[1]) for line in self._marked if (found := _INDENT.match(line))]
            lines = [line[1 + min(indents, default=0) :] for line in self._marked]
            # A syntax error tells its file and line, then the text of that, then what it is.
            return [lines[-1].strip(), *lines[1:-1]] if self._syntax and len(lines) > 1 else lines
        if self._raised:
            return self._raised
        return [line for line in self._first if line.strip() and not line.startswith("[gw")]  # xdist's worker

    def places(self) -> list[Place]:
        """Give the places in the project, from the test to where it failed."""
        return [at for at in [*self._places, *([self._syntax] if self._syntax else [])] if is_own(at.path, self._root)]

    def _keep(self, lines: list[str], line: str) -> None:
        if len(lines) < _MAX_LINES and self._room > 0:
            lines.append(line[: self._room])
            self._room -= len(line)

    def _location(self, line: str) -> None:
        if native := _NATIVE.match(line):
            at = place(native[1], native[2])
            self._raised.clear()
        elif line[:1].isspace() or line.startswith((">", "<")):
            return
        else:
            found = _LOCATION.search(line)
            at = place(line[: found.start()], found[1]) if found and number(found[1]) else None
            ends = self._raised or (self._places and _RAISED.match(line))
            if at is None and ends:
                self._keep(self._raised, line)
        if at is not None and len(self._places) < _MAX_PLACES:
            self._places.append(at)
        elif at is not None:
            self._places[-1] = at


# _pytest.terminal: a section's title among "=", a failure's among "_", and the two last lines.
_SECTION = re.compile(r"={2,400} (.{1,300}?) ={2,400}\Z")
_TITLE = re.compile(r"_{1,400} (.{1,2000}) _{1,400}\Z")
_ENTRY_SEPARATOR = re.compile(r"(?:_ ){3}")
_SUMMARY = re.compile(r"(FAILED|ERROR|SUBFAILED(?:\[.{0,300}?\])?(?:\(.{0,300}?\))?) (?=\S)")
_TOTAL = re.compile(
    r"=* ?((?:[0-9]{1,9} [a-z]{1,20}(?: [a-z]{1,20})?(?:, |(?= in )))+|no tests ran) in [0-9.]{1,20}s\b"
)
_COUNT = re.compile(r"([0-9]{1,9}) ([a-z]{1,20})(?: ([a-z]{1,20}))?(?:, |\Z)")
_PHASE = re.compile(r"ERROR at (?:setup|teardown) of ")
_COLLECTING = re.compile(r"ERROR collecting ")
_WORDS = {"passed": "passed", "failed": "failed", "error": "failed", "errors": "failed", "skipped": "skipped"}
_WORDS |= {"xfailed": "skipped", "xpassed": "passed"}
_MAX_BLOCKS = 2 * MAX_FAILURES


class PytestReader:
    """Reads pytest's text, in every style of traceback; what could not be collected has failed, and is a finding too.

    Args:
        root: the working directory.
    """

    def __init__(self, root: str | None = None) -> None:
        self._found = Gathered("pytest")
        self._root = root
        self._counts: Counts | None = None
        self._section = ""
        self._title = ""
        self._block: PytestBlock | None = None
        self._blocks: dict[str, deque[PytestBlock]] = {}  # by title, in order
        self._number = 0
        self._said = ""

    def feed(self, line: str) -> None:
        line = plain(line)
        if self._total(line):
            return
        if section := _SECTION.match(line):
            self._section = section[1]
            self._block = None
        elif self._section in {"FAILURES", "ERRORS"}:
            self._in_block(line)
        elif self._section.startswith("short test summary") and (found := _SUMMARY.match(line)):
            self._summary(found[1], line[found.end() :])
        elif line.startswith(("ERROR: ", "ERROR ", "INTERNALERROR> ")) and len(self._said) < 1000:
            self._said = line if not line.startswith("INTERNALERROR") else f"{self._said} {line[15:]}".strip()

    def finish(self) -> Report:
        for title, blocks in self._blocks.items():  # no summary told of them
            for block in blocks:
                self._fail(title, "", block)
        self._blocks.clear()
        if self._said and not (self._counts and self._counts.failed):
            self._found.problem(self._said)
        if self._counts is None:
            self._found.problem("The output has no summary line of pytest.")
        return self._found.report(self._counts)

    def _total(self, line: str) -> bool:
        found = _TOTAL.match(line)
        if found is None:
            return False
        self._counts = Counts()  # a test can print such a line too: the last one counts
        for count, word, more in _COUNT.findall(found[1].removesuffix(", ")):
            kind = None if more else _WORDS.get(word)  # "2 subtests passed" are not counted beside their test
            if kind is not None:
                setattr(self._counts, kind, getattr(self._counts, kind) + int(count))
        return True

    def _in_block(self, line: str) -> None:
        title = None if _ENTRY_SEPARATOR.match(line) else _TITLE.match(line)
        if title is not None:
            self._block = PytestBlock(self._root)
            if self._number < _MAX_BLOCKS:
                self._number += 1
                self._blocks.setdefault(title[1], deque()).append(self._block)
        elif self._block is not None:
            self._block.feed(line)

    def _summary(self, kind: str, text: str) -> None:
        """Take a line of the summary: the test's id, and often the start of its message."""
        name, message = _split(text, self._blocks, kind)
        for title in _titles(name, kind):
            if blocks := self._blocks.get(title):
                block = blocks.popleft()
                if not blocks:
                    del self._blocks[title]
                self._fail(title, name + _subtest(kind), block)
                return
        file, _, _ = name.partition("::")
        self._found.failure(name + _subtest(kind), message or "It failed.", file if file != name else None)

    def _fail(self, title: str, name: str, block: PytestBlock) -> None:
        places, message = block.places(), block.message()
        at = places[-1] if places else None
        collected = _COLLECTING.match(title)
        if collected:
            name = name or title[collected.end() :]
            if at is not None:
                self._found.begin(Draft(at, None, "error", message))
        elif not name:
            test = _PHASE.sub("", title)
            name = f"{places[0].path}::{test.replace('.', '::', test.partition('[')[0].count('.'))}" if places else test
        file, test, _ = name.partition("::")
        self._found.failure(name, message, at or (file if test else None))


def _subtest(kind: str) -> str:
    return f" {kind[9:].replace('](', '] (')}" if len(kind) > 9 else ""


def _titles(name: str, kind: str) -> list[str]:
    """Give the titles that the failure of a test may have."""
    _, _, test = name.partition("::")
    before, bracket, parameters = test.partition("[")
    title = before.replace("::", ".") + bracket + parameters
    if kind == "ERROR":
        return [f"ERROR at setup of {title}", f"ERROR at teardown of {title}", f"ERROR collecting {name}"]
    return [f"{title}{_subtest(kind)}"]


def _split(text: str, blocks: dict[str, deque[PytestBlock]], kind: str) -> tuple[str, str]:
    """Split a line of the summary; an id can have the separator in it."""
    end = text.find(" - ")
    for _ in range(10):
        name = text if end < 0 else text[:end]
        if any(title in blocks for title in _titles(name, kind)):
            return name, text[len(name) + 3 :]
        if end < 0:
            break
        end = text.find(" - ", end + 1)
    first = text.find("] - ") + 1 if "[" in text.partition(" - ")[0] else text.find(" - ")
    return (text[:first], text[first + 3 :]) if first > 0 else (text, "")
