"""Reader of the Test Anything Protocol, versions 12 to 14, as JavaScript's runners, Deno, Perl and bats print it."""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codebuddy.agent.reports.collector import (
    MAX_FAILURES,
    Location,
    Reader,
    Report,
    in_project,
    make_location,
    parse_number,
    parse_seconds,
    stack_location,
)

_KEY = re.compile(r"([A-Za-z_]\w{0,40}|'[^']{1,200}'|\"[^\"]{1,200}\") {0,8}:(?: (.*))?\Z")
_MAX_LINES = 400
_MAX_TEXT = 100  # lines of a value
_BLOCKS = frozenset({"|", "|-", "|+", ">", ">-", ">+"})

# TAP 14 specification, "Test Points", "Plan", "Bail out!", "Subtests" and "YAML Diagnostics".
_POINT = re.compile(r"(not )?ok\b(?: ([0-9]{1,9}))?(?: -)?(?: |\Z)")
_PLAN = re.compile(r"1\.\.([0-9]{1,9})(?:\Z| )")
_DIRECTIVE = re.compile(r"(?<!\\)# ?(skip|todo)(?![a-z])", re.IGNORECASE)
_TIME = re.compile(r" # time=[0-9.]{1,20}m?s\Z")  # node-tap, vitest
_ERROR = re.compile(r"(?:Uncaught )?(?:[A-Z][A-Za-z]{0,60})?(?:Error|Exception)\b")
_JAVASCRIPT = re.compile(r".{1,4000}\.[cm]?[jt]sx?\Z")
_INDENT = 4  # spaces of a subtest
_MAX_DEPTH = 50
_MAX_COMMENTS = 60  # lines
_MAX_COMMENT = 1000  # characters
_MAX_TOLD = 2**20  # characters
_LINE = 60  # what a line counts for beside its text

# Test::Builder of Perl, Test2, and bats' print_failed_command and its like.
_FAILED_TEST = re.compile(r"Failed (?:\(TODO\) )?test(?: '(.{0,1000})')?(?: at (\S.{0,4000}) line ([0-9]{1,9})\.)?\Z")
_AT_LINE = re.compile(r"(?:in |at )(\S.{0,4000}) (?:at )?line ([0-9]{1,9})\.\Z")
_SUMMARY = re.compile(
    r"Looks like |Tests were run but |bats warning: |(?:tests|suites|pass|fail|cancelled|skipped|skip|todo) {1,4}[0-9]"
)
_IN_FILE = re.compile(r"(?:in test |in |\A)file ([^,\n]{1,4000}), line ([0-9]{1,9})")
_STEPS_FAILED = re.compile(r"[0-9]{1,9} test steps? failed\.")  # Deno, of a test that has not failed by itself

# What TAP::Harness prints around the TAP of a file.
_PROVE_FILE = re.compile(r"(\S.{0,1000}\.t) \.{2,200} ?\Z")
_PROVE_FAILED = "Dubious, test returned "
_PROVE_RESULT = re.compile(r"Result: (?:PASS|FAIL|NOTESTS)\Z")
_SPEC = re.compile(r"\u2139 (?:tests|fail) [0-9]{1,9}\Z")  # node's own format


class _YamlDiagnostics:
    """The YAML between ``---`` and ``...`` after a test; of nested mappings the keys that no outer one has."""

    def __init__(self) -> None:
        self.is_json = False
        self._values: dict[str, list[str]] = {}
        self._state = "before"
        self._indent = 0
        self._count = 0
        self._block: list[str] | None = None
        self._block_indent = 0
        self._is_first = True  # of several errors the first one is told

    @property
    def is_empty(self) -> bool:
        """Whether there are none."""
        return not self._values

    def get(self, key: str) -> str | None:
        """Return a value of one line; None when it is missing or null."""
        value = self._values.get(key)
        return value[0] if value and value[0] not in {"", "~", "null"} else None

    def lines(self, key: str) -> list[str]:
        """Return the lines of a value; none when it is missing or null."""
        return [] if self.get(key) is None and len(self._values.get(key, ())) < 2 else self._values[key]

    def feed(self, line: str, indent: int) -> bool:
        """Take the next line after a test with this indentation, and say whether it belongs to the diagnostics."""
        if self._state == "after":
            return False
        text = line.strip()
        own = len(line) - len(line.lstrip(" "))
        if self._state == "before":
            inside = text == "---" and own > indent
            self._state, self._indent = ("inside", own) if inside else ("after", 0)
            return inside
        self._count += 1
        if (text == "..." and own <= self._indent) or self._count > _MAX_LINES or (text and own < self._indent):
            self._state = "after"
            return text == "..."
        if text == "---":
            self._is_first, self._block = False, None
        elif self._is_first and not self._continue_block(line, text, own):
            self._read_key(text, own)
        return True

    def _continue_block(self, line: str, text: str, own: int) -> bool:
        if self._block is None:
            return False
        if text and own <= self._block_indent:
            self._block = None
            return False
        if len(self._block) < _MAX_TEXT:
            self._block.append(line[self._block_indent + 2 :])
        return True

    def _read_key(self, text: str, own: int) -> None:
        found = _KEY.match(text)
        if text.startswith('{"'):
            self._read_json(text)
        if found is None:
            return
        if found[1].startswith(("'", '"')):  # AVA's names of what it shows
            lines = self._values.setdefault("shown", [])
            if not lines:
                lines.append(found[1][1:-1])
                self._block, self._block_indent = lines, own
            return
        value = (found[2] or "").strip()
        lines = [] if value in _BLOCKS else [_unquote(value)]
        if own == self._indent or found[1] not in self._values:
            self._values[found[1]] = lines
        if value in _BLOCKS:
            self._block, self._block_indent = lines, own

    def _read_json(self, text: str) -> None:
        """Take Deno's diagnostics, an object."""
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError):
            return
        self.is_json = True
        message, place = value.get("message"), value.get("at")
        if isinstance(message, str):
            lines = message.split("\n")
            stack = [line for line in lines if line.startswith("    at ")]
            self._values["message"] = [line for line in lines if not line.startswith("    at ")][:_MAX_TEXT]
            self._values["stack"] = stack[:_MAX_TEXT]
        if isinstance(place, dict):
            self._values["file"], self._values["line"] = [str(place.get("file", ""))], [str(place.get("line", ""))]


@dataclass(slots=True)
class _TestPoint:
    ok: bool
    name: str
    skipped: bool
    depth: int
    ancestors: tuple[str, ...]
    subtests: int
    failed_subtests: int
    before: list[str]  # the comments
    file: str  # whose TAP it is, where prove says so
    yaml: _YamlDiagnostics = field(default_factory=_YamlDiagnostics)
    text: list[str] = field(default_factory=list)  # what is told of it otherwise, below it


class TapReader(Reader):
    """Reads TAP; a test with subtests counts only for a failure of its own.

    What Perl tells of a failed test is on standard error and so may come at any time: it names the test.
    """

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self._point: _TestPoint | None = None  # the last one, whose diagnostics may still come
        self._buffered: list[_TestPoint] = []  # those that are open, with their subtests in braces behind them
        self._titles: list[str] = []  # of the tests that are open, by depth
        self._ended: list[list[int]] = []  # by depth: subtests that ended, and those of them that failed
        self._top_level = 0
        self._plan: int | None = None
        self._comments: list[str] = []
        self._failed: list[_TestPoint] = []  # those of which something may still be told
        self._left_out = 0
        self._room = _MAX_TOLD
        self._told: dict[str, deque[list[str]]] = {}  # by name, what Perl tells of tests that failed
        self._told_count = 0
        self._telling: list[str] | None = None  # the last of these
        self._file = ""  # whose TAP prove shows
        self._file_failed = False
        self._empty_files: list[str] = []
        self._has_points = False
        self._other = ""  # what the output is instead

    def finish(self) -> Report:
        self._end_point()
        self._end_buffered(0)
        for point in self._failed:
            self._add_failure(point)
        for _ in range(self._left_out):
            self._collector.add_failure("", "")
        if self._collector.counts is None or (self._other and not self._has_points):
            self._collector.set_problem(self._other or "The output is no TAP: it has no test and no plan.")
        self._check_plan()
        if self._empty_files:
            more = f" and {len(self._empty_files) - 3} more" if len(self._empty_files) > 3 else ""
            self._collector.set_problem(
                f"{', '.join(self._empty_files[:3])}{more} passed without a test in it: it has none, or it called "
                "process.exit(0) before its tests were through, and whether they failed is not known."
            )
        return super().finish()

    def _check_plan(self) -> None:
        of_file = f" of {self._file}" if self._file else ""
        if self._collector.counts is None or (self._file and not self._top_level and self._plan is None):
            return
        if self._plan is None:
            self._collector.set_problem(f"The TAP{of_file} ends before its plan.")
        elif self._plan != self._top_level:
            self._collector.set_problem(f"The TAP{of_file} has {self._top_level} of {self._plan} planned tests.")

    def _read(self, line: str) -> None:
        text = line.lstrip(" ")
        if self._point is not None and self._point.yaml.feed(line, self._point.depth * _INDENT):
            return
        indent = len(line) - len(text)
        depth = min(indent // _INDENT, _MAX_DEPTH)
        if text.startswith("#"):
            self._read_comment(text[1:].strip(), depth)
        elif indent % _INDENT == 0 and (found := _POINT.match(text)):
            self._end_point()
            self._begin_point(found[1] is None, text[found.end() :], depth)
        elif plan := _PLAN.match(text):
            self._collector.count()
            if depth == 0:
                self._plan = int(plan[1])
        elif text == "}":
            self._end_point()
            self._end_buffered(depth)
        elif text.startswith("Bail out!"):
            self._collector.set_problem(f"The tests were given up: {text[9:].strip() or 'no reason is given'}")
        elif self._point is not None and indent > self._point.depth * _INDENT:
            self._add_text(self._point.text, line[self._point.depth * _INDENT + 2 :])
        elif not indent:
            self._read_harness(line)

    def _read_harness(self, line: str) -> None:
        """Take a line of what runs programs that print TAP, or of another format."""
        if file := _PROVE_FILE.match(line):
            self._end_point()
            self._check_plan()
            self._file, self._plan, self._top_level, self._ended = file[1], None, 0, []
            self._file_failed = False
        elif line.startswith(_PROVE_FAILED) and self._file:
            self._end_point()
            if not self._file_failed:
                self._fail(_TestPoint(False, self._file, False, 0, (), 0, 0, [], self._file, text=[line]))
        elif _PROVE_RESULT.match(line):
            self._other = "The output has prove's summary only; the task must call prove with -v."
        elif _SPEC.match(line):
            self._other = "The output is node's spec report; the task must call node with --test-reporter=tap."

    def _read_comment(self, text: str, depth: int) -> None:
        if text.startswith("Subtest:"):
            self._end_point()
            self._open_title(_unescape(text[8:].strip()), depth)
        elif failed := _FAILED_TEST.match(text):
            self._telling = [f"at {failed[2]} line {failed[3]}."] if failed[2] else []
            self._told_count += 1
            if self._told_count <= 2 * MAX_FAILURES:
                self._told.setdefault(failed[1] or "", deque()).append(self._telling)
        elif _SUMMARY.match(text) or _TIME.match(f" # {text}"):
            pass
        elif self._telling is not None:
            self._add_text(self._telling, text)
        else:
            if self._point is not None and self._point.yaml.is_empty:
                self._add_text(self._point.text, text)
            if depth == 0 and len(self._comments) < _MAX_COMMENTS:
                self._comments.append(_unescape(text[:_MAX_COMMENT]))

    def _add_text(self, lines: list[str], line: str) -> None:
        if len(lines) < _MAX_COMMENTS and self._room > 0:
            lines.append(line[:_MAX_COMMENT])
            self._room -= len(line[:_MAX_COMMENT]) + _LINE

    def _open_title(self, title: str, depth: int) -> None:
        del self._titles[depth:]
        self._titles += [""] * (depth - len(self._titles)) + [title[:500]]

    def _begin_point(self, ok: bool, text: str, depth: int) -> None:
        self._telling, self._has_points = None, True
        is_buffered = text.endswith(" {")
        text = text.removesuffix(" {")
        if time := _TIME.search(text, max(0, len(text) - 40)):
            text = text[: time.start()]
        directive = _DIRECTIVE.search(text)
        name = _unescape((text[: directive.start()] if directive else text).strip())
        self._ended += [[0, 0] for _ in range(len(self._ended), depth + 2)]
        below = self._ended[depth + 1 :]
        del self._ended[depth + 1 :]
        self._ended[depth][0] += 1
        self._ended[depth][1] += not (ok or directive)
        self._top_level += depth == 0
        point = _TestPoint(
            ok=ok,
            name=name,
            skipped=directive is not None,
            depth=depth,
            ancestors=tuple(title for title in self._titles[:depth] if title),
            subtests=sum(ended for ended, _ in below),
            failed_subtests=sum(failed for _, failed in below),
            before=self._comments,
            file=self._file,
        )
        self._comments = []
        if is_buffered and len(self._buffered) < _MAX_DEPTH:
            self._buffered.append(point)
            self._open_title(name, depth)
        else:
            self._point = point

    def _end_buffered(self, depth: int) -> None:
        """End the tests whose subtests were in braces, down to a depth."""
        while self._buffered and self._buffered[-1].depth >= depth:
            point = self._buffered.pop()
            below = self._ended[point.depth + 1 :]
            del self._ended[point.depth + 1 :]
            point.subtests = sum(ended for ended, _ in below)
            point.failed_subtests = sum(failed for _, failed in below)
            self._point = point
            self._end_point()

    def _end_point(self) -> None:
        point, self._point = self._point, None
        if point is None:
            return
        self._collector.count()
        if point.skipped:
            self._collector.count(skipped=1)
        elif point.ok:
            self._collector.count(passed=not point.subtests and point.yaml.get("type") != "suite")
            if not (point.subtests or point.depth) and _JAVASCRIPT.match(point.name) and self._is_file(point.name):
                self._empty_files.append(self._relative(point.name)[:_MAX_COMMENT])
        elif not point.failed_subtests or _has_own_failure(point.yaml):
            self._fail(point)

    def _is_file(self, name: str) -> bool:
        return Path(self._root or "", name).is_file()

    def _fail(self, point: _TestPoint) -> None:
        self._collector.count(failed=1)
        self._file_failed = True
        if not point.yaml.is_empty:
            self._add_failure(point)
        elif len(self._failed) < MAX_FAILURES:
            point.name, point.before = point.name[:_MAX_COMMENT], []
            self._failed.append(point)
        else:
            self._left_out += 1

    def _add_failure(self, point: _TestPoint) -> None:
        yaml = point.yaml
        declared = _declared_location(yaml)
        title = " ".join((*point.ancestors, point.name))
        is_file = declared is None or title == declared.path or declared.path.endswith(f"/{title}")
        name = title if declared is None or is_file else f"{self._relative(declared.path)} > {title}"
        message = yaml.lines("error") or yaml.lines("message") or yaml.lines("shown") or yaml.lines("name")
        stack = yaml.lines("stack") or yaml.lines("at")
        place: Location | str | None = declared
        if yaml.get("exitCode") or yaml.get("signal"):  # a file that could not be run: the reason precedes its point
            stack = point.before
            message = [line for line in point.before if _ERROR.match(line)][:1] or message
            place = declared.path if declared and is_file else declared
        calls = (location for line in stack if (location := stack_location(line)))
        own = next((location for location in calls if in_project(location.path, self._root)), None)
        if not message and yaml.get("expected") is not None:
            message = [f"expected {yaml.get('expected')}, got {yaml.get('actual')}"]
        if yaml.is_empty:
            message, own = self._told_of(point)
        elif own is None:
            own = _in_file(message, self._root)
        file = (*point.ancestors, point.name)[0].partition(" > ")[0]  # vitest, of a test without a place
        place = own or place or (file if _JAVASCRIPT.match(file) else None) or point.file or None
        self._collector.add_failure(name, message, place, parse_seconds(yaml.get("duration_ms"), 0.001))

    def _told_of(self, point: _TestPoint) -> tuple[list[str], Location | None]:
        """Return what comments or text below a test tell of it: the message and the place."""
        told = self._told.get(point.name)
        lines = told.popleft() if told else point.text
        for index, line in enumerate(lines):
            if found := _AT_LINE.match(line):
                rest = [line for line in lines[:index] + lines[index + 1 :] if not _FAILED_TEST.match(line)]
                return rest, make_location(found[1], found[2])
        calls = [line for line in lines if line.lstrip().startswith("at ")]
        located = (location for line in calls if (location := stack_location(line)))
        own = next((location for location in located if in_project(location.path, self._root)), None)
        return [line for line in lines if line not in calls], own or _in_file(lines, self._root)

    def _relative(self, path: str) -> str:
        return path.removeprefix("./").removeprefix(f"{self._root}/" if self._root else "./")


def _has_own_failure(yaml: _YamlDiagnostics) -> bool:
    """Say whether a test with subtests that failed did so by itself, too."""
    if yaml.is_json:
        return _STEPS_FAILED.match(yaml.get("message") or "") is None
    return yaml.get("failureType") not in {None, "subtestsFailed"}


def _in_file(lines: list[str], root: str | None) -> Location | None:
    """Return the first place of the project as bats tells it."""
    found = (make_location(each[1], each[2]) for line in lines for each in _IN_FILE.finditer(line))
    return next((location for location in found if location and in_project(location.path, root)), None)


def _declared_location(yaml: _YamlDiagnostics) -> Location | None:
    """Return where the test is: as node writes it, or as node-tap does."""
    location = yaml.get("location")
    if location is not None:
        return stack_location(location)
    file, line = yaml.get("fileName") or yaml.get("file"), yaml.get("lineNumber") or yaml.get("line")
    return make_location(file, line) if file and parse_number(line) else None


def _unquote(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1].replace("''", "'")
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return value


def _unescape(text: str) -> str:
    return text.replace("\\#", "#").replace("\\\\", "\\") if "\\" in text else text
