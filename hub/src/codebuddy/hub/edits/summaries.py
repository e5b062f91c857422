"""From the outcome of an edit to the answer of a tool, which is bounded in size."""

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
"""If a created or deleted directory has more files, only the directory is listed, with their number."""

_CUT_NOTE = 100  # bytes for the last line of a cut diff
_LEAST_DIFF = 500  # bytes; with less room left, a diff is left out
_MAX_DIFFED = 4 * 1024 * 1024  # bytes; no diff of larger content


def summarise(
    outcome: Outcome,
    *,
    preview: bool | None = None,
    undoes: str | None = None,
    diagnostics: DiagnosticsChange | None = None,
    formatting: str | None = None,
) -> EditResult:
    """Give the answer for an edit. Computing the diffs takes time: call it in a thread.

    Args:
        undoes: id of the edit that it undoes.
        diagnostics: how they changed.
        formatting: which texts were not formatted although they should be.
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
    """List what some changes touched, up to a limit, and count the rest."""
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
    """Give the answer for an edit of one text file; see `summarise`.

    Args:
        path: the file, as the caller named it.
    """
    before = None if drafted.before is None else decode(drafted.before).content
    diff, is_cut = _bounded_diff(str(path), before, decode(drafted.after).content)
    modes = [mode for change in outcome.changes if change.node.kind == "file" and (mode := _mode_change(change))]
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
    """Leave out parents that were only created for something in them, and the content of large directories.

    Returns:
        The changes to show, each large directory with the number of changes in it; and the number of those left out.
    """
    listed = [change for change in changes if not change.node.implied]
    listed.sort(key=lambda change: (change.path, change.target is not None))  # deletions before what takes their place
    wholes = {(change.target is None, change.path) for change in listed if _is_whole(change)}
    tops = [_top(change, wholes) for change in listed]
    inside = Counter(top for top in tops if top is not None)
    large = {top: count for top, count in inside.items() if count > MAX_CHILDREN}
    shown = [
        (change, large.get((change.target is None, change.path)))
        for change, top in zip(listed, tops, strict=True)
        if top not in large
    ]
    return shown, sum(large.values())


_Whole = tuple[bool, WorkspacePath]
"""The path of a directory that is deleted (True) or created."""


def _is_whole(change: Change) -> bool:
    return None in (change.source, change.target) and change.node.kind == "directory"


def _top(change: Change, wholes: set[_Whole]) -> _Whole | None:
    """Give the outermost directory with which something is deleted or created; None if there is none."""
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
    kind = change.node.kind
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
    # By hash: the journal does not have the content that came after.
    same = change.before is not None and change.after is not None and change.before.hash == change.after.hash
    return "mode" if same else "changed"


def _diff(change: Change, room: int) -> tuple[str | None, bool]:
    """Give the diff of a text file, and whether it was cut or left out because of its size."""
    if change.source is not None and change.target is not None and not change.rewrites:
        return None, False
    if any(node is not None and len(node.content or b"") > _MAX_DIFFED for node in (change.before, change.after)):
        return None, True
    try:
        before, after = _text(change.before), _text(change.after)
    except ToolError:
        return None, False  # binary
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
    """Give a diff of at most `room` bytes, and whether it was cut."""
    diff = unified_diff(path, before, after, min(room, MAX_DIFF_BYTES) - _CUT_NOTE, old_path)
    # Every line of a diff begins with one of these, except the note that it was cut.
    return diff, bool(diff) and diff.rstrip("\n").rpartition("\n")[2][:1] not in {"-", "+", " ", "@", "\\"}


def _mode_change(change: Change) -> str | None:
    """Give the new permissions in octal, if they changed."""
    before, after = change.before, change.after
    if before is None or after is None or after.mode is None or after.mode == before.mode:
        return None
    return f"{after.mode:04o}"
