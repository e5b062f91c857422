"""Turning an edit around: what it created goes, what it deleted comes back, what it changed or moved is as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from codebuddy.edits.images import Images
from codebuddy.edits.journal import Entry, Journal
from codebuddy.edits.plan import Change, Plan
from codebuddy.edits.records import Contents, read_change
from codebuddy.edits.spots import MAX_ENTRIES
from codebuddy.files.paths import WorkspacePath
from codebuddy.tool import ToolError

__all__ = ["read_changes", "undo_plan"]


def read_changes(journal: Journal, entry: Entry, *, content: bool = True) -> list[Change]:
    """Give the changes of an edit, with the content of what was there before, or with hashes alone.

    Raises:
        ToolError: ``journal_damaged``.
    """
    try:
        document, data = journal.read(entry) if content else (journal.read_document(entry), b"")
    except (ValueError, OSError) as error:
        raise ToolError(
            "journal_damaged", f"The journal cannot be read ({error}); restore the files from git."
        ) from None
    contents = Contents(data) if content else None
    raw: list[dict[str, Any]] = document["changes"] if isinstance(document, dict) else []
    return [read_change(change, contents) for change in raw]


def undo_plan(journal: Journal, entry: Entry, images: Images, subject: str) -> Plan:
    """Give the plan that undoes an edit. It expects all to be as that edit left it.

    Directories that were made only because something in them was stay when they hold something else by now.

    Raises:
        ToolError: ``journal_damaged``.
    """
    changes = [_turned_around(change) for change in read_changes(journal, entry)]
    leaving = {change.source for change in changes if change.source != change.target}
    kept = []
    # The deepest first: what stays in a directory keeps that too.
    for change in sorted(changes, key=lambda change: -len(change.path.parts)):
        source = change.source
        is_implied = change.target is None and change.before is not None and change.before.implied
        if source is not None and is_implied and _holds_more(images, source, leaving):
            leaving.discard(source)
        else:
            kept.append(change)
    return Plan(tuple(sorted(kept, key=lambda change: change.path)), "undo_edit", subject, entry.id)


def _holds_more(images: Images, directory: WorkspacePath, leaving: set[WorkspacePath | None]) -> bool:
    """Say whether something stays in a directory when all that leaves has left."""
    try:
        below = images.below(directory, len(leaving) + MAX_ENTRIES)
    except ToolError:
        return False  # the engine will say what is wrong
    return any(
        all(directory.child(*names[:depth]) not in leaving for depth in range(1, len(names) + 1)) for names in below
    )


def _turned_around(change: Change) -> Change:
    return Change(
        change.target,
        change.source,
        None if change.after is None else replace(change.after, owner=None, attributes={}),
        change.before,
    )
