"""Occurrences of a renamed symbol that no language server reports: found by their text, and added to its edits."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from codebuddy.files.search import WordFile, WordPlace
from codebuddy.schemas.code import Place, PlannedRename
from codebuddy.schemas.files import FileChange, RangeEdit
from codebuddy.symbol_names import ends_with, names_in, without_number
from codebuddy.tool import ToolError

_MARK = re.compile(r"(?:\br#|[\"'`#@~])$")


def require_meant(asked: Place, planned: PlannedRename, words: list[WordFile], *, elsewhere: bool) -> None:
    """Check that the old name in a spoke's answer is at the place that the caller gave: other projects are searched.

    Args:
        words: where the old name occurs in the project.
        elsewhere: whether other projects are asked for the symbol too.
    """
    old_name = planned.old_name or ""
    places = [at for file in words if str(file.path) == asked.path for at in file.places]
    if asked.line is not None:
        places = [at for at in places if at.line == asked.line]
    if asked.column is not None:
        places = [at for at in places if _begin(at) <= asked.column <= at.column + len(old_name)]
    asked_for = [name for name in (asked.symbol, asked.text, planned.symbol) if name is not None]
    in_names = all(old_name in re.findall(r"[\w$]+", name) for name in asked_for)
    if not places or not in_names:
        raise ToolError(
            "bad_answer",
            f"The spoke says that {old_name!r} is at this place, which does not have that name; the answer is refused.",
            asked.path,
        )
    if elsewhere and asked.symbol is not None:
        _require_ending(planned.symbol or old_name, asked.symbol, asked.path)


def _begin(at: WordPlace) -> int:
    """Return the column of a name, including a quote or sigil before it, which some servers count as part of it."""
    before = _MARK.search(at.line_text[: at.column - 1])
    return at.column - (len(before[0]) if before else 0)


def _require_ending(symbol: str, asked: str, path: str) -> None:
    if symbol != asked and not ends_with(names_in(symbol), names_in(without_number(asked.strip("/"))[0])):
        message = f"The spoke says that {asked!r} is {symbol!r}, so other projects are not searched for it. "
        raise ToolError("bad_answer", f"{message}Give line and column, or rename it in each project.", path)


def without_renamed(files: list[WordFile], changes: list[FileChange]) -> list[WordFile]:
    """Leave out occurrences that the language server's changes rename, and files that they replace."""
    edits: dict[str, list[RangeEdit]] = {}
    replaced: set[str] = set()
    for change in changes:
        if change.edits is not None:
            edits.setdefault(change.path, []).extend(change.edits)
        elif change.move_to is None:
            replaced.add(change.path)
    left = []
    for file in files:
        known = edits.get(str(file.path), [])
        places = _outside(known, file.places)
        if places and str(file.path) not in replaced:
            left.append(WordFile(file.path, file.hash, places))
    return left


def _outside(edits: Iterable[RangeEdit], places: Iterable[WordPlace]) -> tuple[WordPlace, ...]:
    """Return the places that no edit covers, in n log n time, as there may be very many of both."""
    ordered = sorted((edit.line, edit.column, (edit.end_line, edit.end_column)) for edit in edits)
    begins = [(line, column) for line, column, _ in ordered]
    # The furthest end of all edits up to each, as edits may overlap.
    reached = [(0, 0), *accumulate((end for _, _, end in ordered), max)]
    return tuple(at for at in places if reached[bisect_right(begins, (at.line, at.column))] <= (at.line, at.column))


def with_matches(changes: list[FileChange], found: dict[str, list[WordFile]], old: str, new: str) -> list[FileChange]:
    """Add occurrences found by their text, by project, to the language servers' edits of the same files."""
    added = {
        str(file.path): [
            RangeEdit(line=at.line, column=at.column, end_line=at.line, end_column=at.column + len(old), new_text=new)
            for at in file.places
        ]
        for files in found.values()
        for file in files
    }
    hashes = {str(file.path): file.hash for files in found.values() for file in files}
    joined = []
    for change in changes:
        more = added.pop(change.path, None) if change.edits is not None else None
        if more and change.expected_hash not in (None, hashes[change.path]):
            raise ToolError("conflict", "The file changed while the rename was planned; try again.", change.path)
        joined.append(change.model_copy(update={"edits": [*(change.edits or []), *more]}) if more else change)
    # First, because these paths are those before any move.
    return [FileChange(path=path, expected_hash=hashes[path], edits=edits) for path, edits in added.items()] + joined
