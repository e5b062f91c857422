"""Wanted changes as they travel: the arguments of the writing tools, and of a spoke's answer to a rename."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from codebuddy.tool import Arguments
from codebuddy.workspace.changes import FileChange
from codebuddy.workspace.models import EXPECTED, HASH, PATH

__all__ = [
    "EDIT_ID",
    "CreateDirectoryArguments",
    "DeleteArguments",
    "Diagnosed",
    "EditArguments",
    "Extent",
    "ListEditsArguments",
    "MoveArguments",
    "TextReplacement",
    "UndoArguments",
    "WorkspaceEditArguments",
    "WriteArguments",
]

EDIT_ID = r"^[0-9]{8}T[0-9]{6}-[0-9a-f]{8}$"


def _edit_id(given: str) -> str:
    if re.search(EDIT_ID, given) is None:
        raise ValueError("this must be an edit_id of an answer, or of list_edits, like 20261123T234452-fe5f76de")
    return given


Extent = Literal["files", "projects"]
"""What is looked at for diagnostics: the edited files, or all of the projects that they are in."""

_PREVIEW = "Only tell what would be done; nothing is written."
_ID = "The edit_id of an answer, or of list_edits."


class _Previewed(Arguments):
    preview: bool = Field(default=False, description=_PREVIEW)


class Diagnosed(_Previewed):
    """What every tool takes whose edit can be looked at first, or compared with the diagnostics before it."""

    diagnostics: Extent | None = Field(
        default=None,
        description="Also tell which errors and warnings the edit introduced and cured: in the edited files, or in all "
        "of their projects. Takes as long as the language servers need. Not with preview.",
    )

    @model_validator(mode="after")
    def _diagnostics_need_a_write(self) -> Diagnosed:
        if self.preview and self.diagnostics is not None:
            raise ValueError("language servers see only what is written: leave out preview or diagnostics")
        return self


class WriteArguments(Diagnosed):
    """A whole file."""

    path: str = Field(description=PATH)
    content: str = Field(
        description="The whole new text. An existing file keeps its encoding; where all its lines end in CRLF, LF "
        "becomes CRLF."
    )
    expected_hash: str | None = Field(default=None, pattern=HASH, description=EXPECTED)
    mode: str | None = Field(
        default=None,
        pattern="^0?[0-7]{3}$",
        description="Permissions in octal, like 0755; left out: those it has, or 0644.",
    )


class TextReplacement(Arguments):
    """One exact replacement."""

    old_text: str = Field(
        min_length=1,
        description="What is there now, exactly, with enough around it to be unique. LF also matches CRLF.",
    )
    new_text: str = Field(description="What comes in its place.")
    count: int = Field(default=1, ge=1, description="How often old_text occurs; all of them are replaced.")


class EditArguments(Diagnosed):
    """Replacements in one file: all or none."""

    path: str = Field(description=PATH)
    edits: list[TextReplacement] = Field(
        min_length=1, description="Applied in order, each to the result of the one before."
    )
    expected_hash: str | None = Field(default=None, pattern=HASH, description=EXPECTED)


class MoveArguments(_Previewed):
    """A file, directory or link, and its new path."""

    source: str = Field(description=PATH)
    target: str = Field(description="Its new workspace path, name included; missing directories are created.")
    overwrite: bool = Field(default=False, description="A file at the new path is replaced; a directory never is.")
    expected_hash: str | None = Field(default=None, pattern=HASH, description=EXPECTED)


class DeleteArguments(_Previewed):
    """A file, directory or link."""

    path: str = Field(description=PATH)
    recursive: bool = Field(default=False, description="Also a directory that is not empty, with all that is in it.")
    expected_hash: str | None = Field(default=None, pattern=HASH, description=EXPECTED)


class CreateDirectoryArguments(_Previewed):
    """A directory."""

    path: str = Field(description=PATH)


class WorkspaceEditArguments(Diagnosed):
    """Changes in any number of files and projects: all or none."""

    changes: list[FileChange] = Field(min_length=1, max_length=2000, description="In the order in which they apply.")


class ListEditsArguments(Arguments):
    """Which edits."""

    projects: list[str] | None = Field(
        None, min_length=1, description="Only edits in one of these; left out: in any project that the token covers."
    )
    limit: int = Field(default=50, ge=1, le=200, description="Edits at most.")
    cursor: str | None = Field(
        default=None, pattern=EDIT_ID, description="From an answer that was truncated: goes on there."
    )


class UndoArguments(Diagnosed):
    """An edit to undo."""

    edit_id: Annotated[str, AfterValidator(_edit_id)] = Field(json_schema_extra={"pattern": EDIT_ID}, description=_ID)
