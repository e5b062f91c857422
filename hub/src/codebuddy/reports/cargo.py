"""What ``cargo check``, ``clippy`` and ``build`` print: rustc's text, in full and short, and cargo's JSON lines."""

from __future__ import annotations

import re
from typing import Any

from codebuddy.reports.gathered import Draft, Gathered
from codebuddy.reports.lines import json_object, number, plain
from codebuddy.reports.models import Report, Severity
from codebuddy.reports.places import Place, is_own, place

__all__ = ["CargoReader", "RustcText"]

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
