"""A rename's places that no language server names: found by their text, and told apart from those that it names."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from codebuddy.files.search import WordFile, WordPlace
from codebuddy.schemas.code import Place, PlannedRename
from codebuddy.schemas.files import FileChange, RangeEdit
from codebuddy.tool import ToolError

_MARK = re.compile(r"(?:\br#|[\"'`#@~])$")


def require_meant(asked: Place, planned: PlannedRename, words: list[WordFile], *, elsewhere: bool) -> None:
    """See that the name which a spoke gives is the one that the caller means: other projects are asked for it.

    Args:
        asked: the place that the caller gave.
        planned: the spoke's answer; it has an old name.
        words: the files of the project with that name in them, and where.
        elsewhere: whether other projects are asked for the symbol too.

    Raises:
        ToolError: ``bad_answer``.
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
            f"The spoke says that {old_name!r} stands at this place, which it does not; its answer is refused.",
            asked.path,
        )
    if elsewhere and asked.symbol is not None:
        _require_ending(planned.symbol or old_name, asked.symbol, asked.path)


def _begin(at: WordPlace) -> int:
    """Give the column where a name begins with what may be before it: a quote, or a mark that servers count to it."""
    before = _MARK.search(at.line_text[: at.column - 1])
    return at.column - (len(before[0]) if before else 0)


def _require_ending(symbol: str, asked: str, path: str) -> None:
    parts = [part for part in asked.split("/") if part]
    if symbol.split("/")[-len(parts) :] != parts:
        message = f"The spoke says that {asked!r} is {symbol!r}; so it is not looked for in other projects. "
        raise ToolError("bad_answer", f"{message}Give line and column, or rename it in each project.", path)


def without_renamed(files: list[WordFile], changes: list[FileChange]) -> list[WordFile]:
    """Leave out the places that a language server renames, and files that it writes anew.

    Args:
        files: those with the old name in them, and where.
        changes: what the language server wants.
    """
    edits: dict[str, list[RangeEdit]] = {}
    anew: set[str] = set()
    for change in changes:
        if change.edits is not None:
            edits.setdefault(change.path, []).extend(change.edits)
        elif change.move_to is None:
            anew.add(change.path)
    left = []
    for file in files:
        known = edits.get(str(file.path), [])
        places = _outside(known, file.places)
        if places and str(file.path) not in anew:
            left.append(WordFile(file.path, file.hash, places))
    return left


def _outside(edits: Iterable[RangeEdit], places: Iterable[WordPlace]) -> tuple[WordPlace, ...]:
    """Give the places that no edit covers; both may be very many."""
    ordered = sorted((edit.line, edit.column, (edit.end_line, edit.end_column)) for edit in edits)
    begins = [(line, column) for line, column, _ in ordered]
    # How far at most those reach that begin at a place or before it, for they may overlap.
    reached = [(0, 0), *accumulate((end for _, _, end in ordered), max)]
    return tuple(at for at in places if reached[bisect_right(begins, (at.line, at.column))] <= (at.line, at.column))


def with_matches(changes: list[FileChange], found: dict[str, list[WordFile]], old: str, new: str) -> list[FileChange]:
    """Add the places found by their text: to the edits of the same file, as all of them speak of one text.

    Args:
        changes: what the language servers want.
        found: the places, by project.
        old: the name that stands there.
        new: the name to come.

    Raises:
        ToolError: ``conflict`` when a file changed between the two.
    """
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
    # First, as they speak of paths before any move.
    return [FileChange(path=path, expected_hash=hashes[path], edits=edits) for path, edits in added.items()] + joined
