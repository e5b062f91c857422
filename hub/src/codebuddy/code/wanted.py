"""Wanted changes: the steps of a server's edit in our own terms, for the texts that it was made for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from codebuddy.code.reducing import differs_only_in_name, reduced
from codebuddy.code.workspace_edits import Operation, Step, TextEdit, TextEdits, origin_of
from codebuddy.files.text import Text, content_hash, decode
from codebuddy.language.documents import StaleText
from codebuddy.language.positions import Encoding, from_lsp, split_lines
from codebuddy.language.tree import Tree
from codebuddy.schemas.files import FileChange, RangeEdit
from codebuddy.tool import ToolError

__all__ = ["Expected", "Source", "changes_of", "covers", "merged", "range_edits", "read_source", "source_of"]

_ENDINGS: Final = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}


@dataclass(frozen=True)
class Source:
    """A file as it is before an edit.

    Args:
        lines: its text, without byte-order mark.
        hash: that of its bytes; None while it is not on the disk.
        ending: the line break for new lines; None in a file without any.
    """

    lines: list[str]
    hash: str | None
    ending: str | None


@dataclass(frozen=True)
class Expected:
    """What a server's edit must fit.

    Args:
        tree: the project.
        encoding: what the server's positions count in.
        old_name: what is renamed, if that is known.
        new_name: what to.
        whole_texts: whether an edit that begins where its file does is for all of it, whatever end it gives.
    """

    tree: Tree
    encoding: Encoding
    old_name: str | None
    new_name: str
    whole_texts: bool = False


def read_source(data: bytes, path: str) -> Source:
    """Read a file that is to be edited.

    Raises:
        ToolError: ``binary_file`` or ``unsupported_encoding``: what a server makes of such bytes is not their text.
    """
    try:
        text = decode(data)
    except ToolError as error:
        error.path = path
        raise
    if text.encoding not in ("utf-8", "utf-8-bom"):
        raise ToolError("unsupported_encoding", "This edit reaches a file that is not UTF-8; convert it.", path)
    return Source(split_lines(text.content), content_hash(data), _ending(text))


def source_of(content: str) -> Source:
    """Give a text that is not on the disk as what is to be edited."""
    return Source(split_lines(content), None, _ending(Text(content, "utf-8")))


def _ending(text: Text) -> str | None:
    if text.line_ending == "mixed":
        # Beside a lone CR, an LF would become a part of it.
        return "\n" if text.content.count("\r") == text.content.count("\r\n") else "\r\n"
    return _ENDINGS.get(text.line_ending)


def changes_of(steps: Sequence[Step], sources: Mapping[Path, Source], expected: Expected) -> list[FileChange]:
    """Turn the steps of an edit into changes; of text that is replaced as a whole, only what becomes different.

    Args:
        steps: see `read_steps`.
        sources: every file on the disk whose text is edited.
        expected: what the edit must fit.

    Raises:
        ToolError: ``bad_answer``: edits overlap.
        ValueError: an edit ends before it begins.
        StaleText: a whole text differs from that of its file in more than the name.
    """
    changes: list[FileChange] = []
    edited: set[Path | None] = set()
    for index, step in enumerate(steps):
        if isinstance(step, Operation):
            origin = None if step.kind == "create" else origin_of(step.path, steps[:index], expected.tree)
            changes.append(_operation(step, None if origin in edited else origin, expected.tree))
            continue
        edited.add(step.origin)
        source = Source([""], None, None) if step.origin is None else sources[step.origin]
        if edits := range_edits(step, source, expected):
            changes.append(_change(step.path, expected.tree, expected_hash=source.hash, edits=edits))
    return changes


def merged(changes: Sequence[FileChange], more: Iterable[FileChange]) -> list[FileChange]:
    """Put the changes of two renames together; what both change in the same way is there once.

    Raises:
        ToolError: ``bad_answer``: they contradict each other.
        StaleText: a file changed between the two.
    """
    result = list(changes)
    for change in more:
        touched = {change.path, change.move_to or change.path}
        others = [index for index, other in enumerate(changes) if touched & {other.path, other.move_to}]
        if not others:
            result.append(change)
        elif change not in changes:
            result[others[0]] = _both(change, [result[index] for index in others])
    return result


def covers(changes: Iterable[FileChange], path: str, line: int, column: int) -> bool:
    """Say whether the text at a place, or the file that begins with it, is among what is changed."""
    for change in changes:
        if change.path == path and any(edit.covers(line, column) for edit in change.edits or []):
            return True
        if change.move_to and (line, column) == (1, 1) and f"{path}/".startswith(f"{change.path}/"):
            return True
    return False


def range_edits(step: TextEdits, source: Source, expected: Expected) -> list[RangeEdit]:
    """Give the edits of one file, without what they do not change.

    Raises:
        ToolError, ValueError, StaleText: see `changes_of`.
    """
    lines, shown = source.lines, expected.tree.show(step.path)
    edits = _apart([_converted(edit, lines, expected) for edit in step.edits], shown)
    is_whole = [_span(edit) for edit in edits] == [(1, 1, len(lines), len(lines[-1]) + 1)]
    if is_whole and (len(lines) > 1 or expected.whole_texts):
        _require_rename(lines, edits[0].new_text, expected, shown)
        return reduced(lines, edits[0], source.ending)
    found: list[RangeEdit] = []
    for edit in edits:
        if edit.line != edit.end_line or "\n" in edit.new_text or "\r" in edit.new_text:
            found += reduced(lines, edit, source.ending)
        elif edit.new_text != lines[edit.line - 1][edit.column - 1 : edit.end_column - 1]:
            found.append(edit)  # as the server wrote it: within a line there is nothing to gain
    return found


def _converted(edit: TextEdit, lines: list[str], expected: Expected) -> RangeEdit:
    line, column = from_lsp(lines, edit.range.first, expected.encoding)
    end_line, end_column = from_lsp(lines, edit.range.last, expected.encoding)
    text = edit.new_text
    if (line, column) == (1, 1):
        text = text.removeprefix("\ufeff")  # a mark is no text: the file keeps its own
        if expected.whole_texts:
            end_line, end_column = len(lines), len(lines[-1]) + 1
    if (line, column) > (end_line, end_column):
        raise ValueError("an edit that ends before it begins")
    return RangeEdit(line=line, column=column, end_line=end_line, end_column=end_column, new_text=text)


def _apart(edits: Iterable[RangeEdit], path: str) -> list[RangeEdit]:
    """Sort edits. What is inserted at one place stays in its order and becomes one edit (LSP 3.17, "TextEdit[]")."""
    found: list[RangeEdit] = []
    for edit in sorted(edits, key=_span):
        last = found[-1] if found else None
        if last is None or (_span(last)[:2] != _span(edit)[:2] and _span(last)[2:] <= _span(edit)[:2]):
            found.append(edit)
        elif _span(last)[:2] == _span(last)[2:] == _span(edit)[:2]:
            found[-1] = edit.model_copy(update={"new_text": last.new_text + edit.new_text})
        elif edit != last:  # the same replacement twice is still one
            raise ToolError("bad_answer", f"The language server's edits overlap in line {edit.line}.", path)
    return found


def _require_rename(lines: list[str], new_text: str, expected: Expected, path: str) -> None:
    """Refuse a whole text that would change more than the name: it was made from another state of the file."""
    old_name = expected.old_name
    if old_name and not differs_only_in_name("\n".join(lines), new_text, old_name, expected.new_name):
        raise StaleText(path)


def _both(change: FileChange, others: list[FileChange]) -> FileChange:
    other, clash = others[0], "Two declarations ask for different changes of this file."
    if len(others) > 1 or other.edits is None or change.edits is None:
        raise ToolError("bad_answer", clash, change.path)
    if other.expected_hash != change.expected_hash:
        raise StaleText(change.path)
    edits = sorted({(_span(edit), edit.new_text): edit for edit in other.edits + change.edits}.values(), key=_span)
    for before, after in pairwise(edits):
        if _span(before)[:2] == _span(after)[:2] or _span(before)[2:] > _span(after)[:2]:
            raise ToolError("bad_answer", clash, change.path)
    return other.model_copy(update={"edits": edits})


def _operation(step: Operation, origin: Path | None, tree: Tree) -> FileChange:
    """Turn an operation; the origin is the file on the disk that it takes unchanged, if it takes one."""
    if step.kind == "create":
        free = None if step.overwrite or step.ignore_if_exists else "absent"
        return _change(step.path, tree, content="", expected_hash=free, ignore_if_exists=step.ignore_if_exists)
    digest = None if origin is None else _hash_of(origin, tree)
    if step.kind == "delete":
        kept = {"recursive": step.recursive, "ignore_if_not_exists": step.ignore_if_not_exists}
        return _change(step.path, tree, delete=True, expected_hash=digest, **kept)
    kept = {"overwrite": step.overwrite, "ignore_if_exists": step.ignore_if_exists}
    return _change(step.path, tree, move_to=tree.show(step.target), expected_hash=digest, **kept)


def _change(path: Path, tree: Tree, **given: Any) -> FileChange:
    return FileChange.model_validate({"path": tree.show(path), **given})


def _hash_of(path: Path, tree: Tree) -> str | None:
    """Give the hash of a file; None for a link, a directory, or what cannot be read."""
    try:
        return None if os.path.islink(path) else content_hash(tree.read(path)[0])
    except ToolError:
        return None


def _span(edit: RangeEdit) -> tuple[int, int, int, int]:
    return edit.line, edit.column, edit.end_line, edit.end_column
