"""What a server knew of the texts when it was asked for an edit: an edit counts only for texts that are known."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codebuddy.code.asking import Asked
from codebuddy.code.wanted import Source, read_source
from codebuddy.code.workspace_edits import Step, TextEdits
from codebuddy.language.connection import Connection
from codebuddy.language.documents import Document, StaleText
from codebuddy.language.snapshot import CHANGED
from codebuddy.language.tree import Tree, uri_of
from codebuddy.tool import ToolError

__all__ = ["TICK_SECONDS", "Known", "Untold", "sources_of", "tell"]

# So many files are opened for one edit; of more, it must do that the server is told of them.
_MAX_SHOWN: Final = 100

TICK_SECONDS: Final = 0.1
"""Clock of the file system: what was written so shortly before may bear a time from before."""


class Untold(Exception):
    """The answer is about files whose text the server may not know; it is to be told of them and asked again."""

    def __init__(self, files: list[Path]) -> None:
        super().__init__(len(files))
        self.files = files


@dataclass
class Known:
    """What a server knew of the texts.

    Args:
        documents: the open documents as they were when it was asked.
        told: files that it was shown or told of just before.
        asked_at: when it was asked, in nanoseconds since the epoch.
        outdated: documents of which it was sent another text before it answered.
    """

    documents: dict[Path, Document]
    told: frozenset[Path]
    asked_at: int
    outdated: frozenset[Path] = frozenset()

    @classmethod
    def now(cls, connection: Connection, told: Iterable[Path]) -> Known:
        """Give what a server knows that is asked now."""
        return cls(connection.documents.copies(), frozenset(told), time.time_ns())

    def answered(self, connection: Connection) -> None:
        """Note what changed while the server answered."""
        version_of = connection.documents.version_of
        self.outdated = frozenset(
            path for path, document in self.documents.items() if version_of(path) != document.version
        )


def tell(asked: Asked, connection: Connection, files: Sequence[Path]) -> None:
    """Show files to the server as open documents, so that their text is known to both; of too many, only tell it.

    Of these, those with a byte order mark are shown: see `Unshown`.
    """
    config, tree = asked.server.config, asked.server.tree
    shown = [path for path in files if config.language_of(tree.relative(path))]
    if len(files) > _MAX_SHOWN:
        shown = [path for path in shown if tree.begins_with_mark(path)][:_MAX_SHOWN]
    for path in shown:
        with contextlib.suppress(ToolError):  # it is read again with the answer, and refused then
            connection.documents.sync(path)
    known = connection.documents.paths()
    connection.documents.tell_changed([(uri_of(path), CHANGED) for path in files if path not in known])


def sources_of(steps: Sequence[Step], tree: Tree, known: Known) -> dict[Path, Source]:
    """Read the files on the disk whose text is edited, as far as they are what the server knew.

    Raises:
        Untold: it is not known for which texts the edit is.
        StaleText: a file has another text now.
        ToolError: a file cannot be edited.
    """
    origins = _origins(steps, tree, known)
    if any(path not in known.told and path not in known.documents for path in origins):
        raise Untold(origins)
    sources = {path: _source(path, tree, known) for path in origins}
    for path in _of_first_lines(steps):
        if path not in known.documents and tree.begins_with_mark(path):
            message = "The edit reaches the first line of this file, whose byte order mark the server may have counted."
            raise ToolError("unsupported_encoding", f"{message} Remove the mark.", tree.show(path))
    return sources


def _of_first_lines(steps: Sequence[Step]) -> list[Path]:
    """Give the files on the disk whose first line is edited."""
    edits = ((step.origin, edit) for step in steps if isinstance(step, TextEdits) for edit in step.edits)
    return [path for path, edit in edits if path is not None and edit.range.start.line == 0]


def _origins(steps: Sequence[Step], tree: Tree, known: Known) -> list[Path]:
    """Give the files on the disk whose text is edited; their versions, where the server gives any, must fit."""
    found: list[Path] = []
    for step in steps:
        if not isinstance(step, TextEdits) or step.origin is None:
            continue
        document = known.documents.get(step.origin)
        if document is not None and any(version != document.version for version in step.versions):
            raise StaleText(tree.show(step.origin))
        found.append(step.origin)
    return found


def _source(path: Path, tree: Tree, known: Known) -> Source:
    """Read a file that is edited; its text must be what the server knew."""
    document = known.documents.get(path)
    try:
        data, stamp = tree.read(path)
    except ToolError as error:
        if error.code == "not_found":  # the server has not heard yet that it is gone
            raise StaleText(tree.show(path)) from None
        raise
    source = read_source(data, tree.show(path))
    if document is None:
        fresh = stamp.mtime_ns < known.asked_at - TICK_SECONDS * 1e9
    else:
        fresh = source.hash == document.digest and path not in known.outdated
    if not fresh:
        raise StaleText(tree.show(path))
    return source
