"""What tests print in the Test Anything Protocol, versions 12 to 14, as ``node --test`` does."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from codebuddy.agent.reports.collector import (
    Counts,
    Gathered,
    Place,
    Report,
    is_own,
    number,
    place,
    plain,
    seconds,
    stack_place,
)

_KEY = re.compile(r"([A-Za-z_]\w{0,40}):(?: (.*))?\Z")
_MAX_LINES = 400
_MAX_TEXT = 100  # lines of a value
_BLOCKS = frozenset({"|", "|-", "|+", ">", ">-", ">+"})


class TapYaml:
    """Takes the lines between ``---`` and ``...``; of nested mappings the keys that no outer one has."""

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}
        self._state = "before"
        self._indent = 0
        self._count = 0
        self._block: list[str] | None = None
        self._block_indent = 0

    def get(self, key: str) -> str | None:
        """Give a value of one line; none when it is not there, or null."""
        value = self._values.get(key)
        return value[0] if value and value[0] not in {"", "~", "null"} else None

    def text(self, key: str) -> list[str]:
        """Give the lines of a value; none when it is not there."""
        return [] if self.get(key) is None and len(self._values.get(key, ())) < 2 else self._values[key]

    def feed(self, line: str, indent: int) -> bool:
        """Take the next line after a test, and say whether it was one of its diagnostics.

        Args:
            line: with its indentation.
            indent: the test's own indentation.
        """
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
        self._line(line, text, own)
        return True

    def _line(self, line: str, text: str, own: int) -> None:
        if self._block is not None:
            if not text or own > self._block_indent:
                if len(self._block) < _MAX_TEXT:
                    self._block.append(line[self._block_indent + 2 :])
                return
            self._block = None
        found = _KEY.match(text)
        if found is None:
            return
        value = (found[2] or "").strip()
        lines = [] if value in _BLOCKS else [_unquoted(value)]
        if own == self._indent or found[1] not in self._values:
            self._values[found[1]] = lines
        if value in _BLOCKS:
            self._block, self._block_indent = lines, own


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1].replace("''", "'")
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return value


# TAP 14 specification, "Test Points", "Plan", "Bail out!", "Subtests" and "YAML Diagnostics".
_POINT = re.compile(r"(not )?ok\b(?: ([0-9]{1,9}))?(?: -)?(?: |\Z)")
_PLAN = re.compile(r"1\.\.([0-9]{1,9})(?:\Z| )")
_DIRECTIVE = re.compile(r"(?<!\\)# ?(skip|todo)(?![a-z])", re.IGNORECASE)
_ERROR = re.compile(r"(?:Uncaught )?(?:[A-Z][A-Za-z]{0,60})?(?:Error|Exception)\b")
_INDENT = 4  # spaces of a subtest
_MAX_DEPTH = 50
_MAX_COMMENTS = 60  # lines
_MAX_COMMENT = 1000  # characters


@dataclass(slots=True)
class _Point:
    ok: bool
    name: str
    skipped: bool
    depth: int
    ancestors: tuple[str, ...]
    subtests: int
    failed_subtests: int
    comments: list[str]
    yaml: TapYaml = field(default_factory=TapYaml)


class TapReader:
    """Reads TAP; a test with subtests counts only for a failure of its own.

    Args:
        root: the working directory.
    """

    def __init__(self, root: str | None = None) -> None:
        self._found = Gathered()
        self._root = root
        self._counts: Counts | None = None
        self._point: _Point | None = None
        self._titles: list[str] = []  # of the tests that are open, by depth
        self._below: list[list[int]] = []  # by depth: subtests that ended, and those of them that failed
        self._top = 0
        self._plan: int | None = None
        self._comments: list[str] = []

    def feed(self, line: str) -> None:
        line = plain(line)
        text = line.lstrip(" ")
        indent = len(line) - len(text)
        if self._point is not None and self._point.yaml.feed(line, self._point.depth * _INDENT):
            return
        depth = min(indent // _INDENT, _MAX_DEPTH)
        if text.startswith("#"):
            self._comment(text[1:].strip(), depth)
        elif found := _POINT.match(text):
            self._end_point()
            self._begin_point(found[1] is None, text[found.end() :], depth)
        elif plan := _PLAN.match(text):
            self._counts = self._counts or Counts()
            if depth == 0:
                self._plan = int(plan[1])
        elif text.startswith("Bail out!"):
            self._found.problem(f"The tests were given up: {text[9:].strip() or 'no reason is told'}")

    def finish(self) -> Report:
        self._end_point()
        if self._counts is None:
            self._found.problem("The output is no TAP: it has no test and no plan.")
        elif self._plan is None:
            self._found.problem("The TAP ends before its plan.")
        elif self._plan != self._top:
            self._found.problem(f"The TAP has {self._top} of {self._plan} planned tests.")
        return self._found.report(self._counts)

    def _comment(self, text: str, depth: int) -> None:
        if text.startswith("Subtest:"):
            self._end_point()
            del self._titles[depth:]
            self._titles += [""] * (depth - len(self._titles)) + [_unescaped(text[8:].strip())[:500]]
        elif depth == 0 and len(self._comments) < _MAX_COMMENTS:
            self._comments.append(_unescaped(text[:_MAX_COMMENT]))

    def _begin_point(self, ok: bool, text: str, depth: int) -> None:
        directive = _DIRECTIVE.search(text)
        name = _unescaped((text[: directive.start()] if directive else text).strip())
        while len(self._below) <= depth + 1:
            self._below.append([0, 0])
        subtests, failed = 0, 0
        for deeper in self._below[depth + 1 :]:
            subtests, failed = subtests + deeper[0], failed + deeper[1]
        del self._below[depth + 1 :]
        self._below[depth][0] += 1
        self._below[depth][1] += not (ok or directive)
        self._top += depth == 0
        ancestors = tuple(title for title in self._titles[:depth] if title)
        self._point = _Point(ok, name, directive is not None, depth, ancestors, subtests, failed, self._comments)
        self._comments = []

    def _end_point(self) -> None:
        point, self._point = self._point, None
        if point is None:
            return
        counts = self._counts = self._counts or Counts()
        if point.skipped:
            counts.skipped += 1
        elif point.ok:
            counts.passed += not point.subtests and point.yaml.get("type") != "suite"
        elif not point.failed_subtests or point.yaml.get("failureType") not in {None, "subtestsFailed"}:
            counts.failed += 1
            self._fail(point)

    def _fail(self, point: _Point) -> None:
        yaml = point.yaml
        located = _located(yaml)
        title = " ".join((*point.ancestors, point.name))
        file = self._relative(located.path) if located else ""
        of_file = located is None or title == located.path or located.path.endswith(f"/{title}")
        name = title if of_file else f"{file} > {title}"
        message = yaml.text("error") or yaml.text("message") or yaml.text("name")
        stack = yaml.text("stack") or yaml.text("at")
        if yaml.get("exitCode") or yaml.get("signal"):  # a file that could not be run: it says why before its point
            stack = point.comments
            message = [line for line in point.comments if _ERROR.match(line)][:1] or message
        places = (at for line in stack if (at := stack_place(line)))
        own = next((at for at in places if is_own(at.path, self._root)), None)
        duration = seconds(yaml.get("duration_ms"), 0.001)
        self._found.failure(name, message or ["It failed."], own or located, duration)

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self._root}/") if self._root else path


def _located(yaml: TapYaml) -> Place | None:
    """Give where the test is: as node tells it, or as node-tap does."""
    location = yaml.get("location")
    if location is not None:
        return stack_place(location)
    file, line = yaml.get("fileName") or yaml.get("file"), yaml.get("lineNumber") or yaml.get("line")
    return place(file, line) if file and number(line) else None


def _unescaped(text: str) -> str:
    return text.replace("\\#", "#").replace("\\\\", "\\") if "\\" in text else text
