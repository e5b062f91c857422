"""Wanted changes put into a draft: text replaced, files written, moved and deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from codebuddy.edits.draft import Draft, check_hash
from codebuddy.edits.plan import ABSENT, Node
from codebuddy.files.confinement import about
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import apply_range_edits, decode, encode, encode_like
from codebuddy.schemas.files import FileChange
from codebuddy.tool import ToolError

__all__ = ["Drafted", "Rewrite", "draft_change", "draft_text", "edited", "paths_of", "written"]

Rewrite = Callable[[bytes | None], bytes]
"""Gives a file's new bytes for its old ones; None when there is no file."""


@dataclass(frozen=True)
class Drafted:
    """A file's content before and after.

    Args:
        before: None when the file is new.
        after: its new content.
    """

    before: bytes | None
    after: bytes


def written(content: str) -> Rewrite:
    """Give what makes a whole text of a file, in the file's own encoding and line ending."""
    return lambda before: encode(content) if before is None else encode_like(content, decode(before))


def edited(change: Callable[[str], str]) -> Rewrite:
    """Give what changes the text of a file that is there.

    Args:
        change: gives the new text for the old one.
    """

    def rewrite(before: bytes | None) -> bytes:
        if before is None:
            raise ToolError("not_found", "There is no file at this path; use write_file to create it.")
        text = decode(before)
        return encode(change(text.content), text.encoding)

    return rewrite


def draft_text(
    draft: Draft, path: WorkspacePath, rewrite: Rewrite, expected_hash: str | None = None, mode: int | None = None
) -> Drafted:
    """Have a file rewritten.

    Args:
        draft: the draft.
        path: the file; a link is followed.
        rewrite: gives its new content.
        expected_hash: hash that it must have now, or `ABSENT`.
        mode: permission bits; None keeps those that it has.

    Raises:
        ToolError: ``conflict``, ``is_a_directory``, and what `rewrite` and the draft raise.
    """
    with about(path):
        found = draft.find(path)
        _require_file(found)
        check_hash(found.hash if found else ABSENT, expected_hash)
        before = found.content if found else None
        after = rewrite(before)
    # The draft looks again, and what came between must not be overwritten: it was not what was rewritten.
    draft.write(path, after, expected_hash=(found.hash if found else None) or ABSENT, mode=mode)
    return Drafted(before, after)


def draft_change(draft: Draft, change: FileChange) -> None:
    """Put one change into a draft.

    Raises:
        ToolError: it cannot be made, and then neither can the edit.
    """
    path = WorkspacePath.parse(change.path)
    if change.edits is not None:
        edits = change.edits
        draft_text(draft, path, edited(lambda text: apply_range_edits(text, edits)), change.expected_hash)
    elif change.content is not None:
        if not change.ignore_if_exists or draft.find(path) is None:
            draft_text(draft, path, written(change.content), change.expected_hash)
    elif change.move_to is not None:
        target = WorkspacePath.parse(change.move_to)
        if not change.ignore_if_exists or change.overwrite or draft.find(target) is None:
            draft.move(path, target, overwrite=change.overwrite, expected_hash=change.expected_hash)
    else:
        _draft_deletion(draft, path, change)


def paths_of(changes: Iterable[FileChange]) -> list[WorkspacePath]:
    """Give every path that changes name.

    Raises:
        ToolError: one is none.
    """
    named = [path for change in changes for path in (change.path, change.move_to) if path is not None]
    return [WorkspacePath.parse(path) for path in named]


def _draft_deletion(draft: Draft, path: WorkspacePath, change: FileChange) -> None:
    try:
        draft.delete(path, recursive=change.recursive, expected_hash=change.expected_hash)
    except ToolError as error:
        if error.code != "not_found" or not change.ignore_if_not_exists:
            raise


def _require_file(node: Node | None) -> None:
    if node is not None and node.kind == "directory":
        raise ToolError("is_a_directory", "This is a directory; give the path of a file.")
    if node is not None and (node.kind == "link" or node.content is None):
        raise ToolError("not_a_file", "This is a link that cannot be followed here; name the file that it leads to.")
