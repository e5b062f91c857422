"""Workspace edits: what a server wants changed (LSP 3.17, "WorkspaceEdit"), read into steps.

A server is not trusted, and half of an edit is worse than none: whatever in it is malformed, leads out of the project
or contradicts itself makes all of it be refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from codebuddy.language.positions import Position
from codebuddy.language.tree import Tree
from codebuddy.text_safety import printable
from codebuddy.tool import ToolError

__all__ = ["Operation", "Range", "Step", "TextEdit", "TextEdits", "origin_of", "read_steps"]

_MAX_SHOWN: Final = 300


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, strict=True)


class _Place(_Wire):
    line: int = Field(ge=0)
    character: int = Field(ge=0)


class Range(_Wire):
    """A stretch of a text."""

    start: _Place
    end: _Place

    @property
    def first(self) -> Position:
        """Where it begins."""
        return {"line": self.start.line, "character": self.start.character}

    @property
    def last(self) -> Position:
        """Where it ends."""
        return {"line": self.end.line, "character": self.end.character}


class TextEdit(_Wire):
    """New text for a stretch of a file, as the protocol writes it; an annotation is passed over."""

    range: Range
    new_text: str

    @field_validator("new_text")
    @classmethod
    def _is_text(cls, value: str) -> str:
        value.encode()  # a lone surrogate, which JSON can carry and a file cannot, is a ValueError
        return value


class _Document(_Wire):
    uri: str
    version: int | None = None


class _DocumentEdit(_Wire):
    text_document: _Document
    edits: list[TextEdit]


class _Options(_Wire):
    overwrite: bool = False
    ignore_if_exists: bool = False
    recursive: bool = False
    ignore_if_not_exists: bool = False


class _FileOperation(_Wire):
    kind: Literal["create", "delete"]
    uri: str
    options: _Options | None = None


class _RenameFile(_Wire):
    kind: Literal["rename"]
    old_uri: str
    new_uri: str
    options: _Options | None = None


class _WorkspaceEdit(_Wire):
    changes: dict[str, list[TextEdit]] | None = None
    document_changes: list[_DocumentEdit | _FileOperation | _RenameFile] | None = None


@dataclass(frozen=True)
class TextEdits:
    """New text for stretches of a file, all as it is before any of them.

    Args:
        path: where the file is when this step comes.
        origin: where it is on the disk; None for a file that an earlier step makes.
        versions: those of the document that the server says they are for.
        edits: in the server's order.
    """

    path: Path
    origin: Path | None
    versions: list[int]
    edits: list[TextEdit]


@dataclass(frozen=True)
class Operation:
    """A file or directory that is made, moved or deleted.

    Args:
        kind: which of these.
        path: what.
        target: where it is afterwards; the same as path but for a move.
        overwrite: what is at the target goes.
        ignore_if_exists: nothing happens if something is there; never together with overwrite, which wins.
        recursive: a directory is deleted with all that is in it.
        ignore_if_not_exists: there may be nothing to delete.
    """

    kind: Literal["create", "rename", "delete"]
    path: Path
    target: Path
    overwrite: bool
    ignore_if_exists: bool
    recursive: bool
    ignore_if_not_exists: bool


Step = TextEdits | Operation


def read_steps(result: Any, tree: Tree) -> list[Step]:
    """Read a server's edit, in its order; ``documentChanges`` counts when both forms are there.

    Raises:
        ValueError: it is malformed.
        ToolError: ``outside_project``: it is about something else than files of the project; ``bad_answer``: it edits
            a file that it takes away, or both before and after it moves it.
    """
    if result is None or result == []:  # an empty list is python-lsp-server's null
        return []
    try:
        edit = _WorkspaceEdit.model_validate(result)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))[:_MAX_SHOWN]}: {first['msg'][:_MAX_SHOWN]}") from None
    steps: list[Step] = []
    if edit.document_changes is None:
        for uri, edits in (edit.changes or {}).items():
            _add_edits(steps, tree, _path_of(uri, tree), None, edits)
    for change in edit.document_changes or []:
        if isinstance(change, _DocumentEdit):
            document = change.text_document
            _add_edits(steps, tree, _path_of(document.uri, tree), document.version, change.edits)
        else:
            steps.append(_operation(change, tree))
    return steps


def origin_of(path: Path, before: Sequence[Step], tree: Tree) -> Path | None:
    """Give where on the disk that is which some steps leave at a path; None for a file that one of them makes.

    Raises:
        ToolError: ``bad_answer``: they took it away.
    """
    for step in reversed(before):
        if isinstance(step, TextEdits) or (step.ignore_if_exists and tree.stamp(step.target) is not None):
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


def _add_edits(steps: list[Step], tree: Tree, path: Path, version: int | None, edits: list[TextEdit]) -> None:
    """Add the edits of a file; to those that it has already, for all are for one version of it (TextDocumentEdit)."""
    origin = origin_of(path, steps, tree)
    versions = [] if version is None else [version]
    for step in steps:
        if isinstance(step, TextEdits) and step.origin == origin and (origin is not None or step.path == path):
            if step.path != path:
                message = "The language server edits this file both before and after it moves it."
                raise ToolError("bad_answer", message, tree.show(path))
            step.edits.extend(edits)
            step.versions.extend(versions)
            return
    steps.append(TextEdits(path, origin, versions, edits))


def _operation(change: _FileOperation | _RenameFile, tree: Tree) -> Operation:
    uris = (change.old_uri, change.new_uri) if isinstance(change, _RenameFile) else (change.uri, change.uri)
    options = change.options or _Options()
    return Operation(
        change.kind,
        _path_of(uris[0], tree),
        _path_of(uris[1], tree),
        options.overwrite,
        options.ignore_if_exists and not options.overwrite,
        options.recursive,
        options.ignore_if_not_exists,
    )


def _path_of(uri: str, tree: Tree) -> Path:
    path = tree.path_of(uri)
    if path is None or path == tree.root:
        shown = printable(unquote(uri.removeprefix("file://")[:_MAX_SHOWN]))
        message = f"The edit reaches {shown}, which is no file of the project {tree.project}; nothing is changed."
        raise ToolError("outside_project", message)
    return path
