"""Reader of what pytest prints on a terminal."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from codebuddy.agent.reports.collector import (
    MAX_FAILURES,
    Location,
    Reader,
    Report,
    in_project,
    make_location,
)

# _pytest._code.code: ReprFileLocation, ReprEntry; and traceback.format_exception for --tb=native.
_LOCATION = re.compile(r":([0-9]{1,9}): ?(?=in |[A-Za-z_][\w.]{0,200}(?::|\Z)|\Z)")
_NATIVE = re.compile(r' {2,12}File "([^"]{1,4096})", line ([0-9]{1,9})')
_MARKED = re.compile(r"E(?: {3}|\Z)")
_INDENT = re.compile(r"E( +)")
_RAISED = re.compile(r"[A-Za-z_][\w.]{0,200}(?:\Z|: )")
_CAPTURED = re.compile(r"-{3,80} Captured .{1,40} -{3,80}\Z")
# traceback.TracebackException.format of a group: how it begins, the margin, and rules between the exceptions in it.
_GROUP = re.compile(r" {0,200}[+] Exception Group Traceback \(most recent call last\):\Z")
_MARGIN = re.compile(r" {0,200}(?:[+]-[+]|[|+]) ?")
_GROUP_RULE = re.compile(r"-{3,80} (?:[0-9]{1,5}|[.]{3}) -{3,80}\Z")
_NO_MESSAGE = re.compile(r"-{3,200}\Z|(?:Exception Group )?Traceback \(most |The above exception |During handling ")
_MAX_LINES = 60
_MAX_TEXT = 20_000  # characters of all lines that are kept
_MAX_LOCATIONS = 20

# _pytest.terminal: a section's title among "=", a failure's among "_", and the two last lines.
_SECTION = re.compile(r"={2,400} (.{1,300}?) ={2,400}\Z")
_TITLE = re.compile(r"_{1,400} (.{1,2000}) _{1,400}\Z")
_ENTRY_SEPARATOR = re.compile(r"(?:_ ){3}")
_SUMMARY = re.compile(
    r"(FAILED|ERROR|SUBFAILED(?:\[.{0,300}?\])? ?(?:\(.{0,300}?\) ?)?(?<= )(?=[^\s(\[][^:]{0,1000}::)) ?(?=\S)"
)
_SUBTEST = re.compile(r"([^\[\s]{1,500}(?:\[[^\]]{0,500}\])?)((?: \[.{1,500}\])?(?: \(.{1,500}\))?)\Z")
_CRASHED = re.compile(r"worker '[^']{1,100}' crashed while running '(.{1,2000})'\Z")  # pytest-xdist
_LINE = re.compile(r"(\S[^:]{0,4000}):([0-9]{1,9}): (?=\S)")  # of --tb=line, below what was raised
_TOTAL = re.compile(
    r"=* ?((?:[0-9]{1,9} [a-z]{1,20}(?: [a-z]{1,20})?(?:, |(?= in )))+|no tests ran) in [0-9.]{1,20}s\b"
)
_COUNT = re.compile(r"([0-9]{1,9}) ([a-z]{1,20})(?: ([a-z]{1,20}))?(?:, |\Z)")
_PHASE = re.compile(r"ERROR at (?:setup|teardown) of ")
_COLLECTING = re.compile(r"ERROR collecting ")
_OUTCOMES = {
    "passed": "passed",
    "failed": "failed",
    "error": "failed",
    "errors": "failed",
    "skipped": "skipped",
    "xfailed": "skipped",
    "xpassed": "passed",
}
_MAX_BLOCKS = 2 * MAX_FAILURES
_MAX_ENTRIES = 3 * MAX_FAILURES
_MAX_NAME = 2000  # characters


@dataclass(slots=True)
class _Entry:
    """A test that failed, or a subtest of it."""

    test: str  # its id
    subtest: str  # with a space before it; empty: none
    message: str  # its start, if there is no more
    text: FailureText | None
    place: Location | None = None  # in place of what the text has
    is_error: bool = False


class FailureText:
    """Reads the text that pytest prints for one failure, also into JUnit's XML; `root` is the working directory."""

    def __init__(self, root: str | None) -> None:
        self._root = root
        self._marked: list[str] = []  # lines that begin with E
        self._after_mark = False
        self._raised: list[str] = []  # the end of a native traceback
        self._first: list[str] = []
        self._locations: list[Location] = []
        self._syntax: Location | None = None
        self._over = False
        self._in_group = False
        self._group: list[str] = []  # the messages of an exception group and of those in it
        self._rules = 0  # between the exceptions in it
        self._is_located = False  # whether a place of the first exception in the group is known
        self._room = _MAX_TEXT

    def feed(self, line: str) -> None:
        """Take a line."""
        self._over = self._over or _CAPTURED.match(line) is not None
        if self._over:
            return
        self._keep(self._first, line)
        self._in_group = self._in_group or _GROUP.match(line) is not None
        if self._in_group and (margin := _MARGIN.match(line)) is not None:
            self._read_group(line[margin.end() :])
            return
        if not _MARKED.match(line):
            self._after_mark = False
            self._read_location(line)
            return
        if not self._after_mark:  # an earlier mark is of an exception that led to this one
            self._marked.clear()
            self._syntax = None
        self._after_mark = True
        self._keep(self._marked, line)
        if native := _NATIVE.match(line[1:]):
            self._syntax = make_location(native[1], native[2])

    def message(self) -> list[str]:
        """Return the last exception's text, or what there is in its place."""
        if self._group:
            return self._group
        if self._marked:
            indents = [len(found[1]) for line in self._marked if (found := _INDENT.match(line))]
            lines = [line[1 + min(indents, default=0) :] for line in self._marked]
            # A syntax error gives its file and line, then the text of that, then what it is.
            return [lines[-1].strip(), *lines[1:-1]] if self._syntax and len(lines) > 1 else lines
        if self._raised:
            return self._raised
        return [line for line in self._first if line.strip() and not line.startswith("[gw")]  # xdist's worker

    def locations(self) -> list[Location]:
        """Return the locations in the project, from the test to where it failed."""
        every = [*self._locations, *([self._syntax] if self._syntax else [])]
        return [location for location in every if in_project(location.path, self._root)]

    def _read_group(self, line: str) -> None:
        """Take a line of an exception group; the place is where the first exception in it was raised, if that is told.

        Raised without a traceback, those in the group have no place, and the group's own is the last one before them.
        """
        if _GROUP_RULE.match(line):
            self._is_located = self._rules > 0 and bool(self.locations())
            self._rules += 1
        elif line.startswith("  "):
            if not self._is_located:
                self._read_location(line)
        elif line and not _NO_MESSAGE.match(line):
            self._keep(self._group, line)

    def _keep(self, lines: list[str], line: str) -> None:
        if len(lines) < _MAX_LINES and self._room > 0:
            lines.append(line[: self._room])
            self._room -= len(line)

    def _read_location(self, line: str) -> None:
        if native := _NATIVE.match(line):
            location = make_location(native[1], native[2])
            self._raised.clear()
        elif line[:1].isspace() or line.startswith((">", "<")):
            return
        else:
            found = _LOCATION.search(line)
            location = make_location(line[: found.start()], found[1]) if found else None
            if location is None and (self._raised or (self._locations and _RAISED.match(line))):
                self._keep(self._raised, line)
        if location is not None and len(self._locations) < _MAX_LOCATIONS:
            self._locations.append(location)
        elif location is not None:
            self._locations[-1] = location


class PytestReader(Reader):
    """Reads pytest's text, in every style of traceback.

    What could not be collected has failed, and is a finding too. A test that fails in subtests has failed once.
    """

    source = "pytest"

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self._section = ""
        self._block: FailureText | None = None
        self._blocks: dict[str, deque[FailureText]] = {}  # by title, in order
        self._block_count = 0
        self._has_titles = False  # in the section of failures; --tb=line prints none there
        self._lines: list[_Entry] = []  # of --tb=line, without their tests
        self._entries: list[_Entry] = []
        self._left_out = 0
        self._error = ""

    def finish(self) -> Report:
        for title, blocks in self._blocks.items():  # the summary did not name them
            for block in blocks:
                self._add_block(title, block)
        self._blocks.clear()
        self._add_entries()
        errors = (entry.text for entry in self._entries if entry.is_error and entry.text and "::" in entry.test)
        if not self._has_titles and not all(text.locations() for text in errors):
            self._collector.set_problem(
                "With --tb=line, pytest does not tell where set-up and teardown failed; call it with --tb=short."
            )
        counts = self._collector.counts
        if self._error and not (counts and counts.failed):
            self._collector.set_problem(self._error)
        if counts is None:
            self._collector.set_problem("The output has no summary line of pytest.")
        return super().finish()

    def _read(self, line: str) -> None:
        if self._read_total(line):
            return
        if section := _SECTION.match(line):
            self._section = section[1]
            self._block = None
        elif self._section in {"FAILURES", "ERRORS"}:
            self._read_block(line)
        elif self._section.startswith("short test summary") and (found := _SUMMARY.match(line)):
            self._read_summary(found[1].rstrip(), line[found.end() :])
        elif line.startswith(("ERROR: ", "ERROR ", "INTERNALERROR> ")) and len(self._error) < 1000:
            self._error = line if not line.startswith("INTERNALERROR") else f"{self._error} {line[15:]}".strip()

    def _read_total(self, line: str) -> bool:
        found = _TOTAL.match(line)
        if found is None:
            return False
        self._collector.restart_counts()  # a test can print such a line too: the last one counts
        for count, word, more in _COUNT.findall(found[1].removesuffix(", ")):
            outcome = None if more else _OUTCOMES.get(word)  # "2 subtests passed" are not counted beside their test
            if outcome is not None:
                self._collector.count(**{outcome: int(count)})
        return True

    def _read_block(self, line: str) -> None:
        title = None if _ENTRY_SEPARATOR.match(line) else _TITLE.match(line)
        if title is not None:
            self._block = FailureText(self._root)
            self._has_titles = self._has_titles or self._section == "FAILURES"
            if self._block_count < _MAX_BLOCKS:
                self._block_count += 1
                self._blocks.setdefault(title[1], deque()).append(self._block)
        elif self._block is not None:
            self._block.feed(line)
            if crashed := _CRASHED.match(line):
                self._move_block(_titles(crashed[1], "FAILED")[0])
        elif self._section == "FAILURES":
            self._read_line_style(line)

    def _move_block(self, title: str) -> None:
        """File the block under the test that it is about: its title is the file's name."""
        for blocks in self._blocks.values():
            if blocks and blocks[-1] is self._block:
                self._blocks.setdefault(title, deque()).append(blocks.pop())
                return

    def _read_line_style(self, line: str) -> None:
        """Take a line of a failure without a title: with --tb=line the last one of each has the place."""
        if not self._lines or self._lines[-1].place is not None:
            if len(self._lines) >= MAX_FAILURES:
                return
            self._lines.append(_Entry("", "", "", FailureText(self._root)))
        entry = self._lines[-1]
        if found := _LINE.match(line):
            entry.place, entry.message = make_location(found[1], found[2]), line[found.end() :][:_MAX_NAME]
        elif entry.text is not None:
            entry.text.feed(line)

    def _read_summary(self, kind: str, text: str) -> None:
        """Take a line of the summary: the test's id, and often the start of its message."""
        name, message = self._split_summary(text, kind)
        for title in _titles(name, kind):
            if blocks := self._blocks.get(title):
                block = blocks.popleft()
                if not blocks:
                    del self._blocks[title]
                if _COLLECTING.match(title):
                    self._add_collection_error(name, block)
                else:
                    self._add(_Entry(name, _subtest(kind), message, block, is_error=kind == "ERROR"))
                return
        start = message.removesuffix("...")
        entry = next((line for line in self._lines if start and line.place and line.message.startswith(start)), None)
        if entry is None or kind == "ERROR":
            self._add(_Entry(name, _subtest(kind), message, None, is_error=kind == "ERROR"))
        else:
            self._lines.remove(entry)
            entry.test, entry.subtest = name, _subtest(kind)
            self._add(entry)

    def _split_summary(self, text: str, kind: str) -> tuple[str, str]:
        """Split a line of the summary into id and message; an id can have the separator in it."""
        end = text.find(" - ")
        for _ in range(10):
            name = text if end < 0 else text[:end]
            if any(title in self._blocks for title in _titles(name, kind)):
                return name, text[len(name) + 3 :]
            if end < 0:
                break
            end = text.find(" - ", end + 1)
        first = text.find("] - ") + 1 if "[" in text.partition(" - ")[0] else text.find(" - ")
        return (text[:first], text[first + 3 :]) if first > 0 else (text, "")

    def _add_block(self, title: str, text: FailureText) -> None:
        """Add a failure of which the title is known only."""
        if collecting := _COLLECTING.match(title):
            self._add_collection_error(title[collecting.end() :], text)
            return
        name, locations = _PHASE.sub("", title), text.locations()
        subtest = _SUBTEST.match(name)
        name, label = (subtest[1], subtest[2]) if subtest else (name, "")
        if locations:
            dots = name.partition("[")[0].count(".")
            name = f"{locations[0].path}::{name.replace('.', '::', dots)}"
        self._add(_Entry(name, label, "", text, is_error=_PHASE.match(title) is not None))

    def _add_collection_error(self, name: str, text: FailureText) -> None:
        locations, message = text.locations(), text.message()
        if locations:
            self._collector.begin(locations[-1], None, "error", "\n".join(message))
        self._add(_Entry(name, "", "", text, is_error=True))

    def _add(self, entry: _Entry) -> None:
        entry.test, entry.subtest, entry.message = (
            part[:_MAX_NAME] for part in (entry.test, entry.subtest, entry.message)
        )
        if len(self._entries) < _MAX_ENTRIES:
            self._entries.append(entry)
        else:
            self._left_out += 1

    def _add_entries(self) -> None:
        """Add the failures; subtests, and what says that there are such, are one with their test."""
        subtests: dict[str, list[_Entry]] = {}
        for entry in self._entries:
            if entry.subtest:
                subtests.setdefault(entry.test, []).append(entry)
        own = {entry.test for entry in self._entries if not (entry.subtest or entry.is_error)} & set(subtests)
        counts = self._collector.counts
        if counts is not None and counts.failed > (told := len(self._entries) + self._left_out):
            self._collector.set_problem(
                f"pytest counts {counts.failed} failures, and its output tells of {told}: its options hide the others."
            )
        if counts is not None:
            passed = min(counts.passed, len(subtests) - len(own))  # pytest says of these that they passed
            failed = sum(map(len, subtests.values())) - passed
            self._collector.count(passed=-passed, failed=-min(counts.failed, failed))
        for entry in self._entries:
            if entry.is_error or entry.test not in subtests:
                self._add_failure(entry, [])
            elif not entry.subtest or (entry.test not in own and entry is subtests[entry.test][0]):
                self._add_failure(entry, subtests[entry.test])
        for _ in range(self._left_out):
            self._collector.add_failure("", "")

    def _add_failure(self, entry: _Entry, subtests: list[_Entry]) -> None:
        message, location = self._described(entry)
        message = [] if entry.subtest else message
        if subtests and location is None:  # its own failure is that subtests failed
            location = self._described(subtests[0])[1]
        for subtest in subtests:
            lines = self._described(subtest)[0]
            message += [f"{subtest.subtest.strip()}: {lines[0] if lines else 'failed'}", *lines[1:]]
        file, _, test = entry.test.partition("::")
        self._collector.add_failure(entry.test, message, location or (file if test else None))

    def _described(self, entry: _Entry) -> tuple[list[str], Location | None]:
        message = entry.text.message() if entry.text else []
        locations = entry.text.locations() if entry.text else []
        place = entry.place if entry.place and in_project(entry.place.path, self._root) else None
        return message or entry.message.split("\n"), place or (locations[-1] if locations else None)


def _titles(name: str, kind: str) -> list[str]:
    """Return the titles that the failure of a test may have."""
    _, _, test = name.partition("::")
    before, bracket, parameters = test.partition("[")
    title = before.replace("::", ".") + bracket + parameters
    if kind == "ERROR":
        return [f"ERROR at setup of {title}", f"ERROR at teardown of {title}", f"ERROR collecting {name}"]
    return [f"{title}{_subtest(kind)}"]


def _subtest(kind: str) -> str:
    """Return the name of a subtest, with a space before it, from ``SUBFAILED[message](parameters)``."""
    return f" {kind[9:].replace('](', '] (')}" if len(kind) > 9 else ""
