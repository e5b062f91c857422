"""What is right in the projects of the language matrix: cases written down by hand, and places in their texts.

A place is written ``path | text``, where the text is in the file once and the meant part of it stands in ``⟦⟧``; a text
may mark several places. So it names the same place however lines and columns are counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["NEW_NAME", "Case", "Limited", "Plant", "Spot", "arguments_of", "spots", "texts_of"]

NEW_NAME = "brandNew"

_MARK = re.compile("⟦(.*?)⟧", re.DOTALL)


class Spot(NamedTuple):
    """A stretch in a file of a case project; lines and columns from 1, columns in code points."""

    path: str
    line: int
    column: int
    end_column: int


@dataclass(frozen=True)
class Limited:
    """A known wrong answer of one server. A server that gives another one shows up.

    Args:
        because: why it is wrong, and that it is the server's own doing.
        lacks: what it leaves out of the right answer.
        extra: what it says besides.
        calls: for a call hierarchy, the calls that it tells.
    """

    because: str
    lacks: Sequence[str] = ()
    extra: Sequence[str] = ()
    calls: Sequence[str] = ()


@dataclass(frozen=True)
class Plant:
    """A file written through the hub for one case, and removed after it.

    Args:
        path: its path in the project; a file that is there is put back afterwards.
        content: its text.
    """

    path: str
    content: str


@dataclass(frozen=True)
class Case:
    """A question to a tool, and the right answer.

    Args:
        tool: the tool.
        name: what the case is about; the same in all languages.
        ask: the place that is asked about.
        right: what must be in the answer: places, or names and texts for the tools that give those. For places this is
            all that may be in it, with ``may``.
        may: what may be in it besides.
        because: why that is not wrong.
        instead: another whole right answer, for servers that put it so.
        calls: for a call hierarchy, the places of all calls.
        lacks: texts that must not be in it.
        more: further arguments.
        plant: a file to write first.
        limited: by project: what its server is known to get wrong.
        refused: by project: what is said where its server cannot do this, or would do it wrongly.
    """

    tool: str
    name: str
    ask: str = ""
    right: Sequence[str] = ()
    may: Sequence[str] = ()
    because: str = ""
    instead: Sequence[str] = ()
    calls: Sequence[str] = ()
    lacks: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    plant: Plant | None = None
    limited: Mapping[str, Limited] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert bool(self.may or self.instead) == bool(self.because), (
            f"{self.name}: what may be besides needs a reason, and a reason it"
        )


def texts_of(root: Path) -> dict[str, str]:
    """Read the texts of a case project, by path; without byte order marks, line ends as they are."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes().decode("utf-8-sig") for path in files}


def spots(texts: Mapping[str, str], written: str) -> list[Spot]:
    """Give the places that one written place marks.

    Args:
        texts: the project's texts, by path.
        written: ``path | text with ⟦marks⟧``.

    Raises:
        ValueError: there is no such file, the text is not in it exactly once, or nothing is marked.
    """
    path, bar, fragment = written.partition(" | ")
    plain = _MARK.sub(r"\1", fragment)
    if not bar or path not in texts or texts[path].count(plain) != 1 or plain == fragment:
        raise ValueError(f"{written!r} is not the path of a file, ' | ', and a text with marks that it has once")
    start = texts[path].index(plain)
    found = []
    for number, match in enumerate(_MARK.finditer(fragment)):
        at = start + match.start() - 2 * number  # the marks before it are not in the text
        line_start = texts[path].rfind("\n", 0, at) + 1
        column = at - line_start + 1
        found.append(Spot(path, texts[path].count("\n", 0, at) + 1, column, column + len(match[1])))
    return found


def arguments_of(case: Case, project: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Give the arguments with which a tool is asked.

    Args:
        case: the question.
        project: whom it is put to.
        texts: the project's texts, by path, with what is planted.
    """
    sent: dict[str, Any] = {"timeout_seconds": 60, **case.more}
    if case.ask:
        spot = spots(texts, case.ask)[0]
        sent |= {"path": f"{project}/{spot.path}", "line": spot.line, "column": spot.column}
    elif "path" in sent:
        sent["path"] = f"{project}/{sent['path']}"
    elif case.plant is not None:
        sent["path"] = f"{project}/{case.plant.path}"
    else:
        sent["projects"] = [project]
    if case.tool == "completions":
        sent["limit"] = 1000
    if case.tool == "rename_symbol":
        sent = {"new_name": NEW_NAME, **sent, "preview": True}
    if case.tool == "format_file":
        sent["preview"] = True
    return sent
