"""Callers that a language server leaves out of a call hierarchy, found by the uses of what is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Final

from codebuddy.agent.code.answers import NoAnswer
from codebuddy.agent.code.asking import Question, file_symbols
from codebuddy.agent.code.decoding import MAX_LINE_TEXT, sorted_unique
from codebuddy.agent.code.places import FUNCTIONS, Span, Symbol
from codebuddy.schemas.code import HierarchyItem, Location, TextRange
from codebuddy.tool import ToolError

# After a name, perhaps with arguments of types: the brackets of a call, or the text that a template function is given.
_CALL: Final = re.compile(r"\s*(::)?(<[^<>()]*>|\[[^\[\]()]*\])?\s*!?\s*(\?\.)?[(`]")


async def with_all_callers(
    question: Question, items: Sequence[HierarchyItem], uses: Iterable[Location]
) -> list[HierarchyItem]:
    """Add the calls among some uses that the items, of a hierarchy of incoming calls, lack.

    tsserver, for one, looks for callers in the file's own project only. What calls the added callers is not looked for.
    """
    if not items:
        return []
    known = {(at.path, at.line, at.column) for item in items for at in item.calls or ()}
    missing: dict[str, list[Location]] = {}
    for at in uses:
        if not at.external and (at.path, at.line, at.column) not in known and _is_call(at):
            missing.setdefault(at.path, []).append(at)
    whole = list(items)
    for path, places in missing.items():
        file = question.servers.tree.locate(path)
        try:
            symbols, answer = await file_symbols(question, file)
        except (NoAnswer, ToolError):
            continue
        lines = answer.lines.get(file, [""])
        declared = {(symbol.line, symbol.column) for symbol in symbols}
        for at in places:
            if (at.line, at.column) not in declared:
                _add(whole, _caller(path, symbols, at, lines), at)
    return whole


def _is_call(at: Location) -> bool:
    return _CALL.match((at.line_text or "")[at.end_column - 1 :]) is not None


def _caller(path: str, symbols: Sequence[Symbol], at: Location, lines: list[str]) -> HierarchyItem:
    """Return the innermost function around a place; the file, if there is none."""
    around = [one for one in symbols if one.kind in FUNCTIONS and one.encloses(at.line, at.column)]
    if around:
        symbol = max(around, key=lambda one: (one.full.line, one.full.column))
        name, kind, line, column, full = symbol.name, symbol.kind, symbol.line, symbol.column, symbol.full
        end_column = column + len(name)
    else:
        name, kind, line, column, end_column = PurePath(path).name, "module", 1, 1, 1
        last = max((number for number, line in enumerate(lines, 1) if line), default=1)
        full = Span(1, 1, last, len(lines[last - 1]) + 1)
    return HierarchyItem(
        path=path,
        line=line,
        column=column,
        end_line=line,
        end_column=end_column,
        line_text=lines[line - 1][:MAX_LINE_TEXT],
        name=name,
        kind=kind,
        full_range=TextRange(**full._asdict()),
        id=0,
        parent=0,
        depth=1,
    )


def _add(items: list[HierarchyItem], caller: HierarchyItem, call: Location) -> None:
    """Add a call to the item of its caller, which is added if it is not there."""
    for index, item in enumerate(items):
        if item.parent == 0 and (item.path, item.line, item.column) == (caller.path, caller.line, caller.column):
            items[index] = item.model_copy(update={"calls": sorted_unique([*(item.calls or ()), call])})
            return
    items.append(caller.model_copy(update={"id": len(items), "calls": [call]}))
