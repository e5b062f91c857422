"""Workspace edits: what a server wants changed (LSP 3.17, "WorkspaceEdit"), turned into changes of files.

A server is not trusted, and half of an edit is worse than none: whatever in it is malformed, leads out of the project
or contradicts itself makes all of it be refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import groupby, islice, pairwise
from pathlib import Path
from typing import Any, Final, Literal, TypeVar
from urllib.parse import unquote

from codebuddy.agent.code import answers
from codebuddy.agent.code.answers import Malformed, NoAnswer, validated
from codebuddy.agent.code.asking import ServerQuestion
from codebuddy.agent.code.notebooks import Cell, UnknownCell, cells_of, escaped
from codebuddy.agent.code.places import Span
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document, StaleText
from codebuddy.agent.lsp.positions import Encoding, from_lsp, split_lines
from codebuddy.agent.lsp.tree import Tree, uri_of
from codebuddy.agent.lsp.watching import CHANGED
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import LINE_BREAK, LINE_ENDINGS, Text, content_hash, decode
from codebuddy.schemas.files import FileChange, RangeEdit
from codebuddy.text_safety import printable
from codebuddy.tool import ToolError

T = TypeVar("T")

_MAX_SHOWN: Final = 300
_WORD: Final = re.compile(r"\w+|\W")

# The pairs of equal lines are what a comparison costs; over this, all lines that differ are one edit.
_MAX_PAIRS: Final = 1_000_000

# Files to open for one edit. Beyond this many, files are only announced as changed.
_MAX_OPENED: Final = 100

TICK_SECONDS: Final = 0.1
"""A tick of the file system's clock: what was written within it may bear a time from before."""

_ATTEMPTS: Final = 4


@dataclass(frozen=True)
class TextEdits:
    """New text for stretches of a file, all as it is before any of them."""

    path: Path  # where the file is when this step comes
    origin: Path | None  # where it is on the disk; None for a file that an earlier step makes
    versions: list[int]  # those of the document that the server says they are for
    edits: list[answers.TextEdit]  # in the server's order
    cell: int | None = None  # of a notebook, if the edits are of one


@dataclass(frozen=True)
class Operation:
    """A file or directory that is made, moved or deleted; the options are the protocol's."""

    kind: Literal["create", "rename", "delete"]
    path: Path
    target: Path  # where it is afterwards; the same as path but for a move
    options: answers.OperationOptions


Step = TextEdits | Operation


def read_steps(result: Any, tree: Tree) -> list[Step]:
    """Read a server's edit, in its order; ``documentChanges`` counts when both forms are there.

    Raises:
        Malformed: the edit does not follow the protocol.
        ToolError: ``outside_project``: the edit names something other than files of the project; ``bad_answer``: it
            edits a file that it deletes, or edits one both before and after moving it.
    """
    if result is None or result == []:  # an empty list is python-lsp-server's null
        return []
    edit = validated(answers.WORKSPACE_EDIT, result, "an edit")
    steps: list[Step] = []
    if edit.document_changes is None:
        for uri, edits in (edit.changes or {}).items():
            _add_edits(steps, tree, uri, None, edits)
    for change in edit.document_changes or []:
        if isinstance(change, answers.TextDocumentEdit):
            document = change.text_document
            _add_edits(steps, tree, document.uri, document.version, change.edits)
        else:
            steps.append(_operation(change, tree))
    return steps


def origin_of(path: Path, before: Sequence[Step], tree: Tree) -> Path | None:
    """Return where the file is on the disk that some steps leave at a path; None for a file that one of them makes.

    Raises:
        ToolError: ``bad_answer``: they took it away.
    """
    for step in reversed(before):
        if isinstance(step, TextEdits) or (step.options.ignore_if_exists and tree.stamp(step.target) is not None):
            continue
        if step.kind == "create" and step.path == path:
            return None
        if step.kind == "rename" and path.is_relative_to(step.target):
            path = step.path / path.relative_to(step.target)
        elif step.kind != "create" and path.is_relative_to(step.path):
            raise ToolError(
                "bad_answer", "The language server changes this file after it took it away.", tree.show(path)
            )
    return path


def _add_edits(steps: list[Step], tree: Tree, uri: str, version: int | None, edits: list[answers.TextEdit]) -> None:
    """Add the edits of a file or cell; to those that it has already, for all are for one version of it."""
    path, cell = tree.cell_of(uri) or (_path_of(uri, tree), None)
    origin = origin_of(path, steps, tree)
    versions = [] if version is None else [version]
    for step in steps:
        if not isinstance(step, TextEdits) or step.cell != cell:
            continue
        if step.origin == origin and (origin is not None or step.path == path):
            if step.path != path:
                message = "The language server edits this file both before and after it moves it."
                raise ToolError("bad_answer", message, tree.show(path))
            step.edits.extend(edits)
            step.versions.extend(versions)
            return
    steps.append(TextEdits(path, origin, versions, edits, cell))


def _operation(change: answers.FileOperation | answers.RenameFile, tree: Tree) -> Operation:
    uris = (change.old_uri, change.new_uri) if isinstance(change, answers.RenameFile) else (change.uri, change.uri)
    options = change.options or answers.OperationOptions()
    if options.overwrite:
        options.ignore_if_exists = False  # overwriting wins (LSP 3.17, "CreateFileOptions")
    return Operation(change.kind, _path_of(uris[0], tree), _path_of(uris[1], tree), options)


def _path_of(uri: str, tree: Tree) -> Path:
    path = tree.path_of(uri)
    if path is None or path == tree.root:
        shown = printable(unquote(uri.removeprefix("file://")[:_MAX_SHOWN]))
        message = f"The edit reaches {shown}, which is no file of the project {tree.project}."
        raise ToolError("outside_project", message)
    return path


def minimal_edits(lines: list[str], edit: RangeEdit, ending: str | None) -> list[RangeEdit]:
    """Return edits that do the same, up to line endings, but leave alone what the edit does not change.

    Args:
        ending: the line break for lines that are new; None, in a text of one line: as the server wrote them.
    """
    stretch = _Stretch(edit.line, edit.column, _between(lines, edit))
    breaks = [ending or found for found in LINE_BREAK.findall(edit.new_text)]
    pieces = split_lines(edit.new_text)
    return [small for change in _changes(stretch.pieces, pieces) for small in stretch.edits(change, pieces, breaks)]


@dataclass(frozen=True)
class _Change:
    """Pieces ``old_start`` to ``old_end`` of the old text become ``new_start`` to ``new_end`` of the new one."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


@dataclass(frozen=True)
class _Stretch:
    """A stretch of the old text: where it begins, and its lines, the first and the last perhaps only in part."""

    line: int
    column: int
    pieces: list[str]

    def edits(self, change: _Change, new: list[str], breaks: list[str]) -> Iterator[RangeEdit]:
        """Return the edits of one change; lines that stay as many are compared in pairs, and so keep their breaks."""
        if change.old_end - change.old_start == change.new_end - change.new_start:
            pairs = zip(range(change.old_start, change.old_end), new[change.new_start : change.new_end], strict=True)
            for index, text in pairs:
                yield from self._in_line(index, text)
            return
        texts = [text + after for text, after in zip(new, [*breaks, ""], strict=True)]
        last = change.old_end == len(self.pieces)
        end = self._place(change.old_end - 1, len(self.pieces[-1])) if last else self._place(change.old_end)
        yield edit_between(self._place(change.old_start), end, "".join(texts[change.new_start : change.new_end]))

    def _in_line(self, index: int, text: str) -> Iterator[RangeEdit]:
        """Return the edits from one line to another: word by word if the words are as many, so that each renamed word
        is an edit of its own.
        """
        old, new = _WORD.findall(self.pieces[index]), _WORD.findall(text)
        if len(old) != len(new):
            old, new = _middles(self.pieces[index], text)
        column = 0
        for same, pairs in groupby(zip(old, new, strict=True), lambda pair: pair[0] == pair[1]):
            before, after = ("".join(words) for words in zip(*pairs, strict=True))
            if not same:
                yield edit_between(self._place(index, column), self._place(index, column + len(before)), after)
            column += len(before)

    def _place(self, index: int, offset: int = 0) -> tuple[int, int]:
        return self.line + index, offset + (self.column if index == 0 else 1)


def _between(lines: list[str], edit: RangeEdit) -> list[str]:
    pieces = lines[edit.line - 1 : edit.end_line]
    pieces[-1] = pieces[-1][: edit.end_column - 1]
    pieces[0] = pieces[0][edit.column - 1 :]
    return pieces


def _changes(old: list[str], new: list[str]) -> list[_Change]:
    """Compare by lines without their breaks. The last piece, which has none, is equal to a last piece only."""
    if len(old) == len(new):
        return [_Change(0, len(old), 0, len(new))]
    first = [*((text, True) for text in old[:-1]), (old[-1], False)]
    second = [*((text, True) for text in new[:-1]), (new[-1], False)]
    head = _common(first, second)
    tail = min(_common(first[::-1], second[::-1]), len(first) - head, len(second) - head)
    middle, other = first[head : len(first) - tail], second[head : len(second) - tail]
    counts = Counter(other)
    if sum(counts[item] for item in middle) > _MAX_PAIRS:
        return [_Change(head, head + len(middle), head, head + len(other))]
    opcodes = SequenceMatcher(None, middle, other, autojunk=False).get_opcodes()
    return [_Change(head + a, head + b, head + c, head + d) for tag, a, b, c, d in opcodes if tag != "equal"]


def _common(first: Sequence[object], second: Sequence[object]) -> int:
    """Return the length of what both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(first), len(second)))


def _middles(old: str, new: str) -> tuple[list[str], list[str]]:
    """Cut two lines into what is the same before, what differs, and what is the same after."""
    head = _common(old, new)
    tail = min(_common(old[::-1], new[::-1]), len(old) - head, len(new) - head)
    return (
        [old[:head], old[head : len(old) - tail], old[len(old) - tail :]],
        [new[:head], new[head : len(new) - tail], new[len(new) - tail :]],
    )


def edit_between(start: tuple[int, int], end: tuple[int, int], text: str) -> RangeEdit:
    """Return the edit from one line and column to another."""
    return RangeEdit(line=start[0], column=start[1], end_line=end[0], end_column=end[1], new_text=text)


@dataclass(frozen=True)
class Source:
    """A file as it is before an edit."""

    lines: list[str]  # its text, without byte-order mark
    hash: str | None  # that of its bytes; None while it is not on the disk
    ending: str | None  # the line break for new lines; None in a file without any

    @cached_property
    def cells(self) -> list[Cell]:
        """Those of a notebook; raises `UnknownCell` if it is none."""
        return cells_of(self.lines)


@dataclass(frozen=True)
class EditContext:
    """What a server's edit must fit."""

    tree: Tree
    encoding: Encoding  # what the server's positions count in
    old_name: str | None = None  # what is renamed, if that is known
    new_name: str = ""  # what to; empty if nothing is renamed
    whole_texts: bool = False  # whether an edit that begins where its file does is for all of it, whatever end it gives


def read_source(data: bytes, path: str) -> Source:
    """Read a file that is to be edited.

    Raises:
        ToolError: ``binary_file`` or ``unsupported_encoding``: what a server makes of such bytes is not their text.
    """
    try:
        text = decode(data, WorkspacePath.parse(path))
    except ToolError as error:
        error.path = path
        raise
    if text.encoding.startswith("utf-16"):
        raise ToolError("unsupported_encoding", "This edit reaches a file that is not UTF-8; convert it.", path)
    return Source(split_lines(text.content), content_hash(data), _ending(text))


def source_of(content: str) -> Source:
    """Return the source of a text that is not on the disk."""
    return Source(split_lines(content), None, _ending(Text(content, "utf-8")))


def _ending(text: Text) -> str | None:
    if text.line_ending == "mixed":
        # Beside a lone CR, an LF would become a part of it.
        return "\n" if text.content.count("\r") == text.content.count("\r\n") else "\r\n"
    return LINE_ENDINGS.get(text.line_ending)


def changes_of(steps: Sequence[Step], sources: Mapping[Path, Source], context: EditContext) -> list[FileChange]:
    """Turn the steps of an edit into changes; where a text is replaced as a whole, only of what becomes different.

    Args:
        sources: every file on the disk whose text is edited.

    Raises:
        ToolError: ``bad_answer``: edits overlap.
        Malformed: an edit ends before it begins.
        StaleText: a whole text differs from that of its file in more than the name.
    """
    changes: list[FileChange] = []
    edited: set[Path | None] = set()
    cells: dict[Path, int] = {}  # the notebooks whose cells are edited: which change is theirs
    for index, step in enumerate(steps):
        if isinstance(step, Operation):
            origin = None if step.kind == "create" else origin_of(step.path, steps[:index], context.tree)
            changes.append(_operation_change(step, None if origin in edited else origin, context.tree))
            continue
        edited.add(step.origin)
        source = Source([""], None, None) if step.origin is None else sources[step.origin]
        if edits := range_edits(step, source, context):
            change = _change(step.path, context.tree, expected_hash=source.hash, edits=edits)
            if step.cell is not None and step.path in cells:
                changes[cells[step.path]] = _both(change, [changes[cells[step.path]]])
                continue
            if step.cell is not None:
                cells[step.path] = len(changes)
            changes.append(change)
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


def range_edits(step: TextEdits, source: Source, context: EditContext) -> list[RangeEdit]:
    """Return the edits of one file, without what they do not change."""
    lines, shown = source.lines, context.tree.show(step.path)
    if step.cell is not None:
        return _cell_edits(step.edits, source, step.cell, context, shown)
    edits = _apart([_converted(edit, lines, context) for edit in step.edits], shown)
    is_whole = [_span(edit) for edit in edits] == [(1, 1, len(lines), len(lines[-1]) + 1)]
    if is_whole and (len(lines) > 1 or context.whole_texts):
        _require_rename(lines, edits[0].new_text, context, shown)
        return minimal_edits(lines, edits[0], source.ending)
    found: list[RangeEdit] = []
    for edit in edits:
        if edit.line != edit.end_line or "\n" in edit.new_text or "\r" in edit.new_text:
            found += minimal_edits(lines, edit, source.ending)
        elif edit.new_text != lines[edit.line - 1][edit.column - 1 : edit.end_column - 1]:
            found.append(edit)  # as the server wrote it: within a line there is nothing to gain
    return found


def _converted(edit: answers.TextEdit, lines: list[str], context: EditContext) -> RangeEdit:
    line, column = from_lsp(lines, edit.range["start"], context.encoding)
    end_line, end_column = from_lsp(lines, edit.range["end"], context.encoding)
    text = edit.new_text
    if (line, column) == (1, 1):
        text = text.removeprefix("\ufeff")  # a mark is no text: the file keeps its own
        if context.whole_texts:
            end_line, end_column = len(lines), len(lines[-1]) + 1
    if (line, column) > (end_line, end_column):
        raise Malformed("an edit that ends before it begins")
    return RangeEdit(line=line, column=column, end_line=end_line, end_column=end_column, new_text=text)


def _cell_edits(
    edits: list[answers.TextEdit], source: Source, number: int, context: EditContext, path: str
) -> list[RangeEdit]:
    """Return the edits of a notebook's cell as edits of the notebook's JSON."""
    try:
        cell, found = source.cells[number], list[RangeEdit]()
        for edit in _apart([_converted(edit, cell.lines, context) for edit in edits], path):
            old_text = cell.lines[edit.line - 1][edit.column - 1 : edit.end_column - 1]
            if context.old_name and (edit.line != edit.end_line or old_text != context.old_name):
                raise StaleText(path)
            at = cell.in_notebook(Span(*_span(edit)), to_edit=True)
            found.append(RangeEdit(**at._asdict(), new_text=escaped(edit.new_text)))
    except IndexError:
        raise StaleText(path) from None
    except UnknownCell as error:
        raise ToolError("unsupported", f"{error} Change the notebook by hand first.", path) from None
    return found


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


def _require_rename(lines: list[str], new_text: str, context: EditContext, path: str) -> None:
    """Refuse a whole text that would change more than the name: it was made from another state of the file."""
    old_name = context.old_name
    if old_name and not differs_only_in_name("\n".join(lines), new_text, old_name, context.new_name):
        raise StaleText(path)


def differs_only_in_name(old_text: str, new_text: str, old_name: str, new_name: str) -> bool:
    """Say whether a text becomes the other one by renaming words and changing line endings, and nothing else."""
    word = re.compile(rf"(?<![\w$]){re.escape(old_name)}(?![\w$])")
    before, after = (
        [word.sub(lambda _: new_name, line) for line in split_lines(text)] for text in (old_text, new_text)
    )
    return before == after


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


def _operation_change(step: Operation, origin: Path | None, tree: Tree) -> FileChange:
    """Turn an operation; the origin is the file on the disk that it takes unchanged, if it takes one."""
    options = step.options
    if step.kind == "create":
        free = None if options.overwrite or options.ignore_if_exists else "absent"
        return _change(step.path, tree, content="", expected_hash=free, ignore_if_exists=options.ignore_if_exists)
    digest = None if origin is None else _hash_of(origin, tree)
    if step.kind == "delete":
        kept = {"recursive": options.recursive, "ignore_if_not_exists": options.ignore_if_not_exists}
        return _change(step.path, tree, delete=True, expected_hash=digest, **kept)
    kept = {"overwrite": options.overwrite, "ignore_if_exists": options.ignore_if_exists}
    return _change(step.path, tree, move_to=tree.show(step.target), expected_hash=digest, **kept)


def _change(path: Path, tree: Tree, **given: Any) -> FileChange:
    return FileChange.model_validate({"path": tree.show(path), **given})


def _hash_of(path: Path, tree: Tree) -> str | None:
    """Return the hash of a file; None for a link, a directory, or what cannot be read."""
    try:
        return None if os.path.islink(path) else content_hash(tree.read(path)[0])
    except ToolError:
        return None


def _span(edit: RangeEdit) -> tuple[int, int, int, int]:
    return edit.line, edit.column, edit.end_line, edit.end_column


class UnknownTexts(Exception):
    """The answer is about files whose text the server may not know: show it the files, and ask again."""

    def __init__(self, files: list[Path]) -> None:
        super().__init__(len(files))
        self.files = files


async def with_known_texts(attempt: Callable[[Sequence[Path]], Awaitable[T]], path: str) -> T:
    """Repeat an attempt until its answer is about files whose text the server knows.

    Args:
        attempt: shows the server the files that it is given, as `show_files` does, and then asks.
        path: the workspace path that it is about, for messages.

    Raises:
        ToolError: from the attempt.
        NoAnswer: from the attempt, or its answer is malformed.
        StaleText: a text changed meanwhile; asking again may help.
    """
    files: list[Path] = []
    for number in range(_ATTEMPTS):
        try:
            return await attempt(files)
        except UnknownTexts as unknown:
            files = unknown.files
        except NoAnswer:
            raise
        except ValueError as error:
            raise Malformed(str(error)) from None
        await asyncio.sleep(0.05 * number)
    raise StaleText(path)


@dataclass
class EditBasis:
    """The texts that a server knew when it was asked for an edit."""

    documents: dict[Path, Document]  # the open documents
    told: frozenset[Path]  # files that it was sent, or that were announced to it, just before
    asked_at: int  # when it was asked, in nanoseconds since the epoch
    outdated: frozenset[Path] = frozenset()  # documents of which it was sent another text before it answered

    @classmethod
    def now(cls, connection: Connection, told: Iterable[Path]) -> EditBasis:
        """Return what a server knows that is asked now."""
        return cls(connection.documents.copies(), frozenset(told), time.time_ns())

    def answered(self, connection: Connection) -> None:
        """Note what changed while the server answered."""
        version_of = connection.documents.version_of
        self.outdated = frozenset(
            path for path, document in self.documents.items() if version_of(path) != document.version
        )


def show_files(asked: ServerQuestion, connection: Connection, files: Sequence[Path]) -> None:
    """Open files in the server, so that both know their text; if they are too many, only announce them as changed.

    Of too many, those with a byte order mark or in a declared encoding are opened: see `UnopenedFiles`.
    """
    config, tree = asked.server.config, asked.server.tree
    opened = [path for path in files if config.language_of(tree.relative(path))]
    if len(files) > _MAX_OPENED:
        odd = (path for path in opened if tree.begins_with_mark(path) or tree.encoding_of(path))
        opened = list(islice(odd, _MAX_OPENED))
    for path in opened:
        with contextlib.suppress(ToolError):  # it is read again with the answer, and refused then
            connection.documents.sync(path)
    known = connection.documents.paths()
    connection.documents.tell_changed([(uri_of(path), CHANGED) for path in files if path not in known])


def sources_of(steps: Sequence[Step], tree: Tree, basis: EditBasis) -> dict[Path, Source]:
    """Read the files on the disk whose text is edited, as far as they are what the server knew.

    Raises:
        UnknownTexts: it is not known for which texts the edit is.
        StaleText: a file has another text now.
        ToolError: a file cannot be edited.
    """
    origins = _origins(steps, tree, basis)
    unknown = [path for path in origins if path not in basis.documents]
    if any(path not in basis.told or tree.encoding_of(path) is not None for path in unknown):
        raise UnknownTexts(origins)
    sources = {path: _source(path, tree, basis) for path in origins}
    for path in _of_first_lines(steps):
        if path not in basis.documents and tree.begins_with_mark(path):
            message = "The edit reaches the first line of this file, whose byte order mark the server may have counted."
            raise ToolError("unsupported_encoding", f"{message} Remove the mark.", tree.show(path))
    return sources


def _of_first_lines(steps: Sequence[Step]) -> list[Path]:
    """Return the files on the disk whose first line is edited."""
    edits = ((step.origin, edit) for step in steps if isinstance(step, TextEdits) for edit in step.edits)
    return [path for path, edit in edits if path is not None and edit.range["start"]["line"] == 0]


def _origins(steps: Sequence[Step], tree: Tree, basis: EditBasis) -> list[Path]:
    """Return the files on the disk whose text is edited; their versions, where the server gives any, must fit."""
    found: list[Path] = []
    for step in steps:
        if not isinstance(step, TextEdits) or step.origin is None:
            continue
        document = basis.documents.get(step.origin)
        if document is not None and any(version != document.version for version in step.versions):
            raise StaleText(tree.show(step.origin))
        found.append(step.origin)
    return found


def _source(path: Path, tree: Tree, basis: EditBasis) -> Source:
    """Read a file that is edited; its text must be what the server knew."""
    document = basis.documents.get(path)
    try:
        data, stamp = tree.read(path)
    except ToolError as error:
        if error.code == "not_found":  # the server has not heard yet that it is gone
            raise StaleText(tree.show(path)) from None
        raise
    source = read_source(data, tree.show(path))
    if document is None:
        fresh = stamp.mtime_ns < basis.asked_at - TICK_SECONDS * 1e9
    else:
        fresh = source.hash == document.digest and path not in basis.outdated
    if not fresh:
        raise StaleText(tree.show(path))
    return source
