"""The cases of the language matrix: a question to a tool, the right answer written by hand, and locations in texts.

A location is written ``path | text``: the text occurs once in the file, and ``⟦⟧`` marks the part that is meant; one
text may mark several locations. It therefore does not depend on how lines and columns are counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

NEW_NAME = "brandNew"

_MARK = re.compile("⟦(.*?)⟧", re.DOTALL)


class Location(NamedTuple):
    """A range within one line of a case project; 1-based, columns count Unicode code points."""

    path: str
    line: int
    column: int
    end_column: int


@dataclass(frozen=True)
class Limited:
    """The known wrong answer of one server; any other answer fails the case, so a better server is noticed.

    Args:
        reason: why the answer is wrong, and that the server itself causes it.
        missing: the part of the right answer that it leaves out.
        extra: what it adds.
        calls: for a call hierarchy, the calls that it gives.
    """

    reason: str
    missing: Sequence[str] = ()
    extra: Sequence[str] = ()
    calls: Sequence[str] = ()


@dataclass(frozen=True)
class CaseFile:
    """A file that is written through the hub for one case; afterwards the write is undone."""

    path: str
    content: str


@dataclass(frozen=True)
class Case:
    """A question to a tool, and the right answer.

    Args:
        name: what the case is about; the same in all languages.
        position: the location that the question is about.
        expected: what the answer must hold: locations, or names and texts for the tools that give those. An answer of
            locations may hold nothing else but what is ``allowed``.
        allowed: what the answer may also hold.
        reason: why ``allowed`` or ``alternative`` is not wrong.
        alternative: another complete right answer.
        calls: for a call hierarchy, the locations of all calls.
        forbidden: names that the answer must not hold.
        arguments: further arguments of the tool.
        limited: by project, the known wrong answer of its server.
        told: by project, the part of the answer of which its server knows nothing: it must be told as ``text_matches``.
        refused: by project, a part of the message where its server cannot do this, or would do it wrongly.
    """

    tool: str
    name: str
    position: str = ""
    expected: Sequence[str] = ()
    allowed: Sequence[str] = ()
    reason: str = ""
    alternative: Sequence[str] = ()
    calls: Sequence[str] = ()
    forbidden: Sequence[str] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    file: CaseFile | None = None
    limited: Mapping[str, Limited] = field(default_factory=dict)
    told: Mapping[str, Sequence[str]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert bool(self.allowed or self.alternative) == bool(self.reason), (
            f"{self.name}: give a reason with what is allowed or alternative, and only with it"
        )


def method_cases(
    path: str, names: Sequence[str], expected: Sequence[str], declared: Sequence[str], **more: Any
) -> list[Case]:
    """Return cases that ask for a method by the ways of writing its path: in its file, in the project, of its symbol.

    Args:
        path: the file that declares the method.
        names: its type's name and its own.
        expected: its references; ``more`` are further arguments of each of their cases.
        declared: where its symbol may be.
    """
    ways = ["/".join(names), ".".join(names)]
    return [
        *(
            Case("find_references", f"{way} in its file", "", expected, arguments={"path": path, "symbol": way}, **more)
            for way in ways
        ),
        Case("find_references", f"{ways[0]} in the project", "", expected, arguments={"symbol": ways[0]}, **more),
        Case("find_symbols", ways[1], expected=declared, arguments={"query": ways[1]}),
    ]


def texts_of(root: Path) -> dict[str, str]:
    """Read the files of a case project, by path; without byte order marks, with their own line ends."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes().decode("utf-8-sig") for path in files}


def locations_of(texts: Mapping[str, str], written: str) -> list[Location]:
    """Find the locations that ``path | text with ⟦marks⟧`` marks in a project's texts.

    Raises:
        ValueError: the file does not exist, holds the text not exactly once, or nothing is marked.
    """
    path, bar, fragment = written.partition(" | ")
    plain = _MARK.sub(r"\1", fragment)
    if not bar or path not in texts or texts[path].count(plain) != 1 or plain == fragment:
        raise ValueError(
            f"{written!r} must be a file's path, ' | ', and a text with marks that occurs once in the file"
        )
    start = texts[path].index(plain)
    found = []
    for number, match in enumerate(_MARK.finditer(fragment)):
        at = start + match.start() - 2 * number  # the brackets before it are not in the text
        line_start = texts[path].rfind("\n", 0, at) + 1
        column = at - line_start + 1
        found.append(Location(path, texts[path].count("\n", 0, at) + 1, column, column + len(match[1])))
    return found


def arguments_of(case: Case, project: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of a case's call in a project; ``texts`` includes the case's own file."""
    arguments: dict[str, Any] = {"timeout_seconds": 60, **case.arguments}
    if case.position:
        location = locations_of(texts, case.position)[0]
        arguments |= {"path": f"{project}/{location.path}", "line": location.line, "column": location.column}
    elif "path" in arguments:
        arguments["path"] = f"{project}/{arguments['path']}"
    elif case.file is not None:
        arguments["path"] = f"{project}/{case.file.path}"
    else:
        arguments["projects"] = [project]
    if case.tool == "completions":
        arguments["limit"] = 1000
    if case.tool == "rename_symbol":
        arguments = {"new_name": NEW_NAME, **arguments, "preview": True}
    if case.tool == "format_file":
        arguments["preview"] = True
    return arguments
