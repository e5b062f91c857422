"""What an edit did, told: from the engine's outcome to the answer of a tool. Pure, and bounded in size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import content_hash, decode, unified_diff
from codebuddy.hub.edits.disk_view import Node
from codebuddy.hub.edits.draft import Change, Drafted
from codebuddy.hub.edits.engine import Outcome
from codebuddy.schemas.edits import Action, DiagnosticsChange, EditedFile, EditResult, TouchedFile, WriteResult
from codebuddy.tool import ToolError

MAX_DIFF_BYTES = 32 * 1024
MAX_DIFFS_BYTES = 128 * 1024
MAX_CHILDREN = 50
"""So many files of a directory that is created or deleted are listed; of more, only the directory with their number."""

_CUT_NOTE = 100  # bytes that the last line of a cut diff may take
_LEAST_DIFF = 500  # bytes below which there is no use in beginning another
_MAX_DIFFED = 4 * 1024 * 1024  # content that is larger, which only moves or goes, is not looked at


def summarise(
    outcome: Outcome,
    *,
    preview: bool | None = None,
    undoes: str | None = None,
    diagnostics: DiagnosticsChange | None = None,
    formatting: str | None = None,
) -> EditResult:
    """Give the answer for an edit. It takes time where there is much to compare: call it in a thread.

    Args:
        outcome: what it did or would do.
        preview: True where it only would.
        undoes: the edit that it undoes.
        diagnostics: what it did to them.
        formatting: what was not formatted although it should be.
    """
    shown, cut = _fold(outcome.changes)
    linked = set(outcome.hard_links)
    room, diff_cut = MAX_DIFFS_BYTES, False
    files = []
    for change, entries in shown:
        diff, is_cut = _diff(change, room)
        room -= len((diff or "").encode())
        diff_cut = diff_cut or is_cut
        files.append(_edited(change, entries, linked, diff))
    return EditResult(
        edit_id=outcome.edit,
        preview=preview or None,
        undoes=undoes,
        files=files,
        files_cut=cut or None,
        diff_cut=diff_cut or None,
        formatting=formatting,
        diagnostics=diagnostics,
    )


def touched(changes: Iterable[Change], limit: int) -> tuple[list[TouchedFile], int]:
    """Give at most so many of what some changes touched, and how many more there are."""
    shown, cut = _fold(list(changes))
    files = [TouchedFile(**_touched(change, entries)) for change, entries in shown[:limit]]
    return files, cut + len(shown) - len(files)


def summarise_write(
    path: WorkspacePath,
    drafted: Drafted,
    outcome: Outcome,
    *,
    preview: bool | None = None,
    diagnostics: DiagnosticsChange | None = None,
    formatting: str | None = None,
) -> WriteResult:
    """Give the answer for an edit of one text file. As `summarise`, it takes time.

    Args:
        path: the file, as the caller named it.
        drafted: its content before and after.
        outcome: what the edit did or would do.
        preview: True where it only would.
        diagnostics: what it did to them.
        formatting: what was not formatted although it should be.
    """
    before = None if drafted.before is None else decode(drafted.before).content
    diff, is_cut = _bounded_diff(str(path), before, decode(drafted.after).content)
    modes = [mode for change in outcome.changes if _node(change).kind == "file" and (mode := _mode_change(change))]
    return WriteResult(
        path=str(path),
        hash=content_hash(drafted.after),
        diff=diff,
        created=before is None,
        edit_id=outcome.edit,
        preview=preview or None,
        mode=modes[0] if modes else None,
        hard_links=bool(outcome.hard_links) or None,
        diff_cut=is_cut or None,
        formatting=formatting,
        diagnostics=diagnostics,
    )


def _fold(changes: Sequence[Change]) -> tuple[list[tuple[Change, int | None]], int]:
    """Leave out what goes without saying, and what is too much to list.

    Returns:
        The changes to show, each directory with the number of those in it that are not shown; and how many those are.
    """
    told = [change for change in changes if not _node(change).implied]
    told.sort(key=lambda change: (change.path, change.target is not None))  # what goes, before what takes its place
    wholes = {(change.target is None, change.path) for change in told if _is_whole(change)}
    tops = [_top(change, wholes) for change in told]
    inside = Counter(top for top in tops if top is not None)
    crowds = {top: count for top, count in inside.items() if count > MAX_CHILDREN}
    shown = [
        (change, crowds.get((change.target is None, change.path)))
        for change, top in zip(told, tops, strict=True)
        if top not in crowds
    ]
    return shown, sum(crowds.values())


_Whole = tuple[bool, WorkspacePath]
"""A directory that is deleted (True) or created, and its path."""


def _is_whole(change: Change) -> bool:
    return None in (change.source, change.target) and _node(change).kind == "directory"


def _top(change: Change, wholes: set[_Whole]) -> _Whole | None:
    """Give the uppermost directory that something is deleted or created with; None when that is by itself."""
    if None not in (change.source, change.target):
        return None
    path = change.path
    above = (WorkspacePath(path.project, path.parts[:depth]) for depth in range(1, len(path.parts)))
    return next((whole for parent in above if (whole := (change.target is None, parent)) in wholes), None)


def _edited(change: Change, entries: int | None, linked: set[WorkspacePath], diff: str | None) -> EditedFile:
    return EditedFile(
        **_touched(change, entries),
        hash=change.after.hash if change.after else None,
        before_hash=change.before.hash if change.before else None,
        mode=_mode_change(change),
        hard_links=change.path in linked or None,
        diff=diff,
    )


def _touched(change: Change, entries: int | None) -> dict[str, Any]:
    kind = _node(change).kind
    return {
        "path": str(change.path),
        "action": _action(change),
        "type": None if kind == "file" else kind,
        "from_": str(change.source) if change.moves else None,
        "entries": entries,
    }


def _action(change: Change) -> Action:
    if change.source is None:
        return "created"
    if change.target is None:
        return "deleted"
    if change.moves:
        return "moved"
    # By the hashes: the journal has no more of what came after.
    same = change.before is not None and change.after is not None and change.before.hash == change.after.hash
    return "mode" if same else "changed"


def _node(change: Change) -> Node:
    node = change.after or change.before
    if node is None:
        raise ValueError("a change of nothing into nothing")
    return node


def _diff(change: Change, room: int) -> tuple[str | None, bool]:
    """Give the diff of a text file, and whether some of it is missing for want of room."""
    if change.source is not None and change.target is not None and not change.rewrites:
        return None, False
    if any(node is not None and len(node.content or b"") > _MAX_DIFFED for node in (change.before, change.after)):
        return None, True
    try:
        before, after = _text(change.before), _text(change.after)
    except ToolError:
        return None, False  # no text
    if before is None and after is None:
        return None, False
    if room < _LEAST_DIFF:
        return None, True
    old_path = str(change.source) if change.moves else None
    diff, is_cut = _bounded_diff(str(change.path), before, after, room, old_path)
    return diff or None, is_cut


def _text(node: Node | None) -> str | None:
    return None if node is None or node.kind != "file" or node.content is None else decode(node.content).content


def _bounded_diff(
    path: str, before: str | None, after: str | None, room: int = MAX_DIFF_BYTES, old_path: str | None = None
) -> tuple[str, bool]:
    """Give a diff of at most so many bytes, and whether it was cut."""
    diff = unified_diff(path, before, after, min(room, MAX_DIFF_BYTES) - _CUT_NOTE, old_path)
    # Every line of a diff but that which says that it was cut begins with one of these.
    return diff, bool(diff) and diff.rstrip("\n").rpartition("\n")[2][:1] not in {"-", "+", " ", "@", "\\"}


def _mode_change(change: Change) -> str | None:
    """Give the new permissions in octal, if they changed."""
    before, after = change.before, change.after
    if before is None or after is None or after.mode is None or after.mode == before.mode:
        return None
    return f"{after.mode:04o}"
