"""Reader of the Test Anything Protocol, versions 12 to 14, as ``node --test`` prints it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from codebuddy.agent.reports.collector import (
    Location,
    Reader,
    Report,
    in_project,
    make_location,
    parse_number,
    parse_seconds,
    stack_location,
)

_KEY = re.compile(r"([A-Za-z_]\w{0,40}):(?: (.*))?\Z")
_MAX_LINES = 400
_MAX_TEXT = 100  # lines of a value
_BLOCKS = frozenset({"|", "|-", "|+", ">", ">-", ">+"})

# TAP 14 specification, "Test Points", "Plan", "Bail out!", "Subtests" and "YAML Diagnostics".
_POINT = re.compile(r"(not )?ok\b(?: ([0-9]{1,9}))?(?: -)?(?: |\Z)")
_PLAN = re.compile(r"1\.\.([0-9]{1,9})(?:\Z| )")
_DIRECTIVE = re.compile(r"(?<!\\)# ?(skip|todo)(?![a-z])", re.IGNORECASE)
_ERROR = re.compile(r"(?:Uncaught )?(?:[A-Z][A-Za-z]{0,60})?(?:Error|Exception)\b")
_INDENT = 4  # spaces of a subtest
_MAX_DEPTH = 50
_MAX_COMMENTS = 60  # lines
_MAX_COMMENT = 1000  # characters


class _YamlDiagnostics:
    """The YAML between ``---`` and ``...`` after a test; of nested mappings the keys that no outer one has."""

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}
        self._state = "before"
        self._indent = 0
        self._count = 0
        self._block: list[str] | None = None
        self._block_indent = 0

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
        if not self._continue_block(line, text, own):
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
        if found is None:
            return
        value = (found[2] or "").strip()
        lines = [] if value in _BLOCKS else [_unquote(value)]
        if own == self._indent or found[1] not in self._values:
            self._values[found[1]] = lines
        if value in _BLOCKS:
            self._block, self._block_indent = lines, own


@dataclass(slots=True)
class _TestPoint:
    ok: bool
    name: str
    skipped: bool
    depth: int
    ancestors: tuple[str, ...]
    subtests: int
    failed_subtests: int
    comments: list[str]
    yaml: _YamlDiagnostics = field(default_factory=_YamlDiagnostics)


class TapReader(Reader):
    """Reads TAP; a test with subtests counts only for a failure of its own."""

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self._point: _TestPoint | None = None  # the last one, whose diagnostics may still come
        self._titles: list[str] = []  # of the tests that are open, by depth
        self._ended: list[list[int]] = []  # by depth: subtests that ended, and those of them that failed
        self._top_level = 0
        self._plan: int | None = None
        self._comments: list[str] = []

    def finish(self) -> Report:
        self._end_point()
        if self._collector.counts is None:
            self._collector.set_problem("The output is no TAP: it has no test and no plan.")
        elif self._plan is None:
            self._collector.set_problem("The TAP ends before its plan.")
        elif self._plan != self._top_level:
            self._collector.set_problem(f"The TAP has {self._top_level} of {self._plan} planned tests.")
        return super().finish()

    def _read(self, line: str) -> None:
        text = line.lstrip(" ")
        if self._point is not None and self._point.yaml.feed(line, self._point.depth * _INDENT):
            return
        depth = min((len(line) - len(text)) // _INDENT, _MAX_DEPTH)
        if text.startswith("#"):
            self._read_comment(text[1:].strip(), depth)
        elif found := _POINT.match(text):
            self._end_point()
            self._begin_point(found[1] is None, text[found.end() :], depth)
        elif plan := _PLAN.match(text):
            self._collector.count()
            if depth == 0:
                self._plan = int(plan[1])
        elif text.startswith("Bail out!"):
            self._collector.set_problem(f"The tests were given up: {text[9:].strip() or 'no reason is given'}")

    def _read_comment(self, text: str, depth: int) -> None:
        if text.startswith("Subtest:"):
            self._end_point()
            del self._titles[depth:]
            self._titles += [""] * (depth - len(self._titles)) + [_unescape(text[8:].strip())[:500]]
        elif depth == 0 and len(self._comments) < _MAX_COMMENTS:
            self._comments.append(_unescape(text[:_MAX_COMMENT]))

    def _begin_point(self, ok: bool, text: str, depth: int) -> None:
        directive = _DIRECTIVE.search(text)
        name = _unescape((text[: directive.start()] if directive else text).strip())
        self._ended += [[0, 0] for _ in range(len(self._ended), depth + 2)]
        below = self._ended[depth + 1 :]
        del self._ended[depth + 1 :]
        self._ended[depth][0] += 1
        self._ended[depth][1] += not (ok or directive)
        self._top_level += depth == 0
        self._point = _TestPoint(
            ok=ok,
            name=name,
            skipped=directive is not None,
            depth=depth,
            ancestors=tuple(title for title in self._titles[:depth] if title),
            subtests=sum(ended for ended, _ in below),
            failed_subtests=sum(failed for _, failed in below),
            comments=self._comments,
        )
        self._comments = []

    def _end_point(self) -> None:
        point, self._point = self._point, None
        if point is None:
            return
        self._collector.count()
        if point.skipped:
            self._collector.count(skipped=1)
        elif point.ok:
            self._collector.count(passed=not point.subtests and point.yaml.get("type") != "suite")
        elif not point.failed_subtests or point.yaml.get("failureType") not in {None, "subtestsFailed"}:
            self._collector.count(failed=1)
            self._add_failure(point)

    def _add_failure(self, point: _TestPoint) -> None:
        yaml = point.yaml
        declared = _declared_location(yaml)
        title = " ".join((*point.ancestors, point.name))
        is_file = declared is None or title == declared.path or declared.path.endswith(f"/{title}")
        name = title if declared is None or is_file else f"{self._relative(declared.path)} > {title}"
        message = yaml.lines("error") or yaml.lines("message") or yaml.lines("name")
        stack = yaml.lines("stack") or yaml.lines("at")
        if yaml.get("exitCode") or yaml.get("signal"):  # a file that could not be run: the reason precedes its point
            stack = point.comments
            message = [line for line in point.comments if _ERROR.match(line)][:1] or message
        calls = (location for line in stack if (location := stack_location(line)))
        own = next((location for location in calls if in_project(location.path, self._root)), None)
        duration = parse_seconds(yaml.get("duration_ms"), 0.001)
        self._collector.add_failure(name, message, own or declared, duration)

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self._root}/") if self._root else path


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
