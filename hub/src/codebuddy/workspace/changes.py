"""Wanted changes of files, as they travel between client, hub and spoke. Nothing here is checked against a disk."""

from __future__ import annotations

from pydantic import Field, model_validator

from codebuddy.tool import Arguments, Count
from codebuddy.workspace.models import EXPECTED, HASH, PATH

__all__ = ["FileChange", "RangeEdit"]


class RangeEdit(Arguments):
    """New text for a stretch of a file, as it was before any edit of the same change.

    Columns count Unicode code points; ``end_column`` is the one after the last character. An empty stretch inserts.
    """

    line: Count = Field(ge=1)
    column: Count = Field(ge=1)
    end_line: Count = Field(ge=1)
    end_column: Count = Field(ge=1, description="The column after the last character.")
    new_text: str

    def covers(self, line: int, column: int) -> bool:
        """Say whether the character at a place is in the stretch."""
        return (self.line, self.column) <= (line, column) < (self.end_line, self.end_column)


class FileChange(Arguments):
    """One step of an edit: new text for stretches of a file, a whole file, a move, or a deletion.

    Steps apply in order, each to what the ones before it leave: a file can be moved and then edited at its new path.
    """

    path: str = Field(description=PATH)
    expected_hash: str | None = Field(default=None, pattern=HASH, description=EXPECTED)
    edits: list[RangeEdit] | None = Field(
        default=None, min_length=1, description="New text for stretches that do not overlap."
    )
    content: str | None = Field(default=None, description="The whole new text; creates the file when there is none.")
    move_to: str | None = Field(default=None, description="The workspace path to move a file or directory to.")
    delete: bool = Field(default=False, description="Delete it; a directory that is not empty only with recursive.")
    overwrite: bool = Field(default=False, description="With move_to: what is at the new path is replaced.")
    recursive: bool = Field(default=False, description="With delete: a directory with all that is in it.")
    ignore_if_exists: bool = Field(
        default=False,
        description="With content: an existing file stays as it is. With move_to: nothing moves if there is something.",
    )
    ignore_if_not_exists: bool = Field(default=False, description="With delete: it is no error that there is nothing.")

    @model_validator(mode="after")
    def _one_kind(self) -> FileChange:
        given = [self.edits is not None, self.content is not None, self.move_to is not None, self.delete]
        if sum(given) != 1:
            raise ValueError("give exactly one of edits, content, move_to, or delete: true")
        return self
