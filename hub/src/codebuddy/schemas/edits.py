"""Arguments and answers of the tools that edit files."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from codebuddy.schemas.code import Completeness, Diagnostic, by_file
from codebuddy.schemas.files import ExpectedHash, FileChange
from codebuddy.tool import LONG_ANSWER, Arguments, Projects, Result, counted, filled

EDIT_ID = r"^[0-9]{8}T[0-9]{6}-[0-9a-f]{8}$"

Extent = Literal["files", "projects"]
"""Where to compare diagnostics: in the edited files and those that may use them, or in all of their projects."""


def _edit_id(given: str) -> str:
    if re.search(EDIT_ID, given) is None:
        raise ValueError("this must be an edit_id of an answer, or of list_edits, like 20261123T234452-fe5f76de")
    return given


class _PreviewOption(Arguments):
    preview: bool = False


class EditOptions(_PreviewOption):
    """Arguments of a tool whose edit can be previewed, or followed by a comparison of diagnostics."""

    diagnostics: Extent | None = None

    @model_validator(mode="after")
    def _check_diagnostics(self) -> EditOptions:
        if self.preview and self.diagnostics is not None:
            raise ValueError("language servers see only what is written: leave out preview or diagnostics")
        return self


class FileEditArguments(EditOptions):
    """A file to edit."""

    path: str
    expected_hash: ExpectedHash = None


class WriteArguments(FileEditArguments):
    """A whole file."""

    content: str
    mode: str | None = Field(default=None, pattern="^0?[0-7]{3}$", description="Permissions, like 0755.")


class TextReplacement(Arguments):
    """One exact replacement."""

    old_text: str = Field(min_length=1, description="Exact, and with enough around it to occur count times.")
    new_text: str
    count: int = Field(default=1, ge=1, description="All are replaced.")


class EditArguments(FileEditArguments):
    """Replacements in one file: all or none."""

    edits: list[TextReplacement] = Field(min_length=1)


class MoveArguments(_PreviewOption):
    """A file, directory or link, and its new path."""

    source: str
    target: str = Field(description="The whole new path.")
    overwrite: bool = Field(default=False, description="Replace a file there.")
    update_imports: bool = True
    expected_hash: ExpectedHash = None


class DeleteArguments(_PreviewOption):
    """A file, directory or link."""

    path: str
    recursive: bool = Field(default=False, description="A directory with all in it.")
    expected_hash: ExpectedHash = None


class CreateDirectoryArguments(_PreviewOption):
    """A directory."""

    path: str


class WorkspaceEditArguments(EditOptions):
    """Changes in any number of files and projects: all or none."""

    changes: list[FileChange] = Field(
        min_length=1, max_length=2000, description="Each has one of edits, content, move_to, delete."
    )


class ListEditsArguments(Arguments):
    """Which edits."""

    projects: Projects = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, pattern=EDIT_ID)


class UndoArguments(EditOptions):
    """An edit to undo."""

    edit_id: Annotated[str, AfterValidator(_edit_id)]


Action = Literal["created", "changed", "moved", "deleted", "mode"]

_SHOWN = 50  # files in a lean answer
_HardLinks = Annotated[
    bool | None, Field(description="True: it has other names (hard links), which have the new content too.")
]
_LINKED = "its other names (hard links) have the new content too"


class TouchedFile(Result):
    """What happened to a file, directory or link. ``action`` is ``mode`` when only its permissions changed."""

    model_config = ConfigDict(serialize_by_alias=True)

    path: str = Field(description="Its path now, or before it was deleted.")
    action: Action
    type: Literal["directory", "link"] | None = Field(default=None, description="Left out for a file.")
    from_: str | None = Field(default=None, serialization_alias="from", description="With moved: its old path.")
    entries: int | None = Field(
        None, description="Of a directory: how many entries in it were created or deleted too, and are not listed."
    )

    def line(self) -> str:
        """Render it for a lean answer."""
        moved = f"{self.from_} -> " if self.from_ else ""
        inside = f" with all {self.entries} in it" if self.entries else ""
        return f"{self.action} {moved}{self.path}{'/' if self.type == 'directory' else ''}{inside}"


class EditedFile(TouchedFile):
    """What happened to a file, and its content before and after."""

    hash: str | None = Field(
        default=None, description="Of its present content, for expected_hash; left out where it is unknown."
    )
    before_hash: str | None = None
    mode: str | None = Field(default=None, description="Its permissions in octal, if they changed.")
    hard_links: _HardLinks = None
    diff: str | None = Field(
        default=None, description="Left out for what is not text, and where nothing in it changed."
    )

    def line(self, with_hash: bool = True) -> str:
        notes = [self.hash if with_hash else None, f"mode {self.mode}" if self.mode else None]
        notes += [_LINKED if self.hard_links else None]
        return " ".join(filter(None, (super().line(), "; ".join(filter(None, notes)))))


class DiagnosticsChange(Completeness):
    """Diagnostics that the edit introduced, and those that it fixed; those that only moved do not count."""

    introduced: list[Diagnostic]
    cured: list[Diagnostic]

    def lean(self) -> dict[str, Any]:
        return {**super().lean(), "introduced": by_file(self.introduced), "cured": by_file(self.cured)}


class _Written(Result):
    edit_id: str | None = Field(default=None, description="For undo_edit; left out if nothing was written.")
    preview: bool | None = Field(default=None, description="True: nothing was written.")

    def lean(self) -> dict[str, Any]:
        return filled(edit_id=self.edit_id, preview="nothing was written" if self.preview else None)


class _Edited(_Written):
    longest = LONG_ANSWER

    diff_cut: bool | None = Field(
        default=None, description="True: diffs were cut or left out because they would be too long."
    )
    formatting: str | None = Field(
        default=None, description="What was written unformatted although the project formats on write, and why."
    )
    diagnostics: DiagnosticsChange | None = None

    def _lean(self, what: dict[str, Any], diffs: str) -> dict[str, Any]:
        changed = self.diagnostics.lean() if self.diagnostics else None
        how = filled(formatting=self.formatting, diagnostics=changed, diff_cut=self.diff_cut, diff=diffs)
        return _Written.lean(self) | what | how


class EditResult(_Edited):
    """What an edit did, or with ``preview`` would do."""

    undoes: str | None = Field(default=None, description="The edit that was undone.")
    files: list[EditedFile] = Field(description="Everything that it changed; empty if there was nothing to change.")
    files_cut: int | None = Field(
        default=None, description="How many more are only counted, in the entries of directories."
    )

    def lean(self) -> dict[str, Any]:
        # A preview's hashes are of contents that no file has yet: no call can use them.
        files = [file.line(with_hash=not self.preview) for file in self.files[:_SHOWN]]
        more = len(self.files) - len(files) + (self.files_cut or 0)
        nothing = None if files else "Nothing had to change."
        what = filled(undoes=self.undoes, files=files, message=nothing, more_files=more)
        return self._lean(what, "".join(file.diff for file in self.files if file.diff))


class WriteResult(_Edited):
    """What a write did, or with ``preview`` would do; the diff is empty if there was nothing to change."""

    path: str
    hash: str
    diff: str
    created: bool
    formatted: bool | None = Field(default=None, description="True: it was formatted, so it is not as it was sent.")
    mode: str | None = Field(default=None, description="Its permissions in octal, if they changed.")
    hard_links: _HardLinks = None

    def lean(self) -> dict[str, Any]:
        what = filled(
            path=self.path,
            hash=None if self.preview else self.hash,
            created=self.created,
            formatted=self.formatted,
            mode=self.mode,
            hard_links=_LINKED if self.hard_links else None,
            message=None if self.created or self.diff or self.mode else "Nothing had to change.",
        )
        # Of a new file the caller has the text already.
        return self._lean(what, "" if self.created and not self.formatted else self.diff)


class CreateDirectoryResult(_Written):
    """Whether the directory is new."""

    path: str
    created: bool

    def lean(self) -> dict[str, Any]:
        return {**super().lean(), "path": self.path, "created": self.created}


class ListedEdit(Result):
    """An edit that was applied."""

    edit_id: str
    at: str = Field(description="ISO 8601, UTC.")
    who: str = Field(description="Subject of the token that made it.")
    tool: str
    projects: list[str]
    files: list[TouchedFile]
    files_cut: int | None = Field(default=None, description="How many more there are.")
    state: Literal["applied", "undone"]
    undoes: str | None = Field(default=None, description="The edit that this one undid.")
    undone_by: str | None = Field(default=None, description="The edit that undid this one.")
    partial: bool | None = Field(default=None, description="True: it also changed what this token does not cover.")
    damaged: bool | None = Field(
        default=None, description="True: its record is damaged; it can neither be described nor undone."
    )

    def line(self) -> str:
        """Render it for a lean answer, after its id, which begins with its time."""
        items = [file.line() for file in self.files]
        items += [f"{self.files_cut} more"] if self.files_cut else []
        items += ["other projects too"] if self.partial else []
        items += [f"in {', '.join(self.projects)}; its record is damaged"] if self.damaged else []
        end = f", undone by {self.undone_by}" if self.state == "undone" else ""
        begin = f", undoes {self.undoes}" if self.undoes else ""
        return f"{self.tool} by {self.who}{begin}{end}: {', '.join(items)}"


class EditList(Result):
    """Edits, the newest first."""

    edits: list[ListedEdit]
    truncated: bool
    cursor: str | None = Field(default=None, description="Continues with the next ones.")

    def lean(self) -> dict[str, Any]:
        more = filled(truncated=self.truncated, cursor=self.cursor)
        return more | counted(edits={edit.edit_id: edit.line() for edit in self.edits})
