"""What the writing tools answer, as it travels."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from codebuddy.code.models import Diagnostic, Reason
from codebuddy.readable import one_line, paragraph, printable
from codebuddy.tool import Result

__all__ = [
    "Action",
    "CreateDirectoryResult",
    "DiagnosticsChange",
    "EditList",
    "EditResult",
    "EditedFile",
    "ListedEdit",
    "TouchedFile",
    "WriteResult",
]

Action = Literal["created", "changed", "moved", "deleted", "mode"]

_SHOWN = 50  # lines of readable text for one kind of thing
_MAX_FORMATTING = 10_000  # characters
_LINKED = "its other names (hard links) have the new content too"


class TouchedFile(Result):
    """What became of a file, directory or link. ``action`` is ``mode`` when nothing but its permissions changed."""

    model_config = ConfigDict(serialize_by_alias=True)

    path: str = Field(description="Where it is now, or was before it was deleted.")
    action: Action
    type: Literal["directory", "link"] | None = Field(default=None, description="Left out for a file.")
    from_: str | None = Field(default=None, serialization_alias="from", description="With moved: where it was.")
    entries: int | None = Field(
        None, description="Of a directory: how much in it was created or deleted too, and is not listed."
    )

    def line(self) -> str:
        """Give it as a readable line."""
        moved = f"{printable(self.from_)} -> " if self.from_ else ""
        inside = f" with all {self.entries} in it" if self.entries else ""
        return f"{self.action} {moved}{printable(self.path)}{'/' if self.type == 'directory' else ''}{inside}"


class EditedFile(TouchedFile):
    """What became of a file, and its content before and after."""

    hash: str | None = Field(
        default=None, description="Of its content now, for expected_hash; left out where it is not known."
    )
    before_hash: str | None = None
    mode: str | None = Field(default=None, description="Its permissions in octal, when they changed.")
    hard_links: bool | None = Field(
        default=None, description="True: it has other names, which have the new content too."
    )
    diff: str | None = Field(default=None, description="Left out for what is no text, and where nothing in it changed.")

    def line(self) -> str:
        """Give it as a readable line."""
        notes = [self.hash or "", f"mode {self.mode}" if self.mode else "", _LINKED if self.hard_links else ""]
        told = "; ".join(note for note in notes if note)
        return super().line() + (f" ({told})" if told else "")


class DiagnosticsChange(Result):
    """Findings that were not there before the edit, and those that are gone; lines that only moved do not count."""

    introduced: list[Diagnostic]
    cured: list[Diagnostic]
    complete: bool = Field(description="If not, an empty list does not mean that there is nothing.")
    reason: Reason | None = Field(default=None, description="Why it is not complete.")
    message: str | None = Field(default=None, description="The reason in a sentence.")

    def lines(self) -> list[str]:
        """Give it as readable lines."""
        lines = []
        for name, items in (("introduced", self.introduced), ("cured", self.cured)):
            lines.append(f"diagnostics {name}: {len(items)}")
            lines += [
                f"  {printable(item.path)}:{item.line}:{item.column}: {item.severity}: {paragraph(item.message, 6)}"
                for item in items
            ]
        if self.complete:
            return lines
        return [*lines, f"diagnostics not complete ({self.reason}): {one_line(self.message or '')}"]


class EditResult(Result):
    """What an edit did, or with ``preview`` would do."""

    edit_id: str | None = Field(default=None, description="For undo_edit; left out when nothing was written.")
    preview: bool | None = Field(default=None, description="True: nothing was written.")
    undoes: str | None = Field(default=None, description="The edit that was undone.")
    files: list[EditedFile] = Field(description="Everything that it changed; empty when all was so already.")
    files_cut: int | None = Field(
        default=None, description="How many more are only counted, in the entries of directories."
    )
    diff_cut: bool | None = Field(
        default=None, description="True: diffs were cut or left out, for they would be too long."
    )
    formatting: str | None = Field(
        default=None, description="What was written without being formatted although the project wants it, and why."
    )
    diagnostics: DiagnosticsChange | None = None

    def text(self) -> str:
        """Give the outcome, a line a file, and the diffs."""
        lines = [self._head(), *(file.line() for file in self.files[:_SHOWN])]
        if len(self.files) > _SHOWN:
            lines.append(f"[and {len(self.files) - _SHOWN} more]")
        lines += [f"[{self.files_cut} in directories are not listed]"] if self.files_cut else []
        lines += [file.diff.rstrip("\n") for file in self.files if file.diff]
        lines += ["[diffs were cut]"] if self.diff_cut else []
        lines += [one_line(self.formatting, _MAX_FORMATTING)] if self.formatting else []
        lines += self.diagnostics.lines() if self.diagnostics else []
        return "\n".join(lines)

    def _head(self) -> str:
        if not self.files:
            return "nothing had to change"
        count = len(self.files) + (self.files_cut or 0)
        undoes = f" (undoes {self.undoes})" if self.undoes else ""
        what = "preview, nothing was written" if self.preview else f"edit {self.edit_id}"
        return f"{what}{undoes}: {count} {'path' if count == 1 else 'paths'}"


class WriteResult(Result):
    """What a write did, or with ``preview`` would do; the diff is empty when nothing had to change."""

    path: str
    hash: str
    diff: str
    created: bool
    edit_id: str | None = Field(default=None, description="For undo_edit; left out when nothing was written.")
    preview: bool | None = Field(default=None, description="True: nothing was written.")
    mode: str | None = Field(default=None, description="Its permissions in octal, when they changed.")
    hard_links: bool | None = Field(
        default=None, description="True: it has other names, which have the new content too."
    )
    diff_cut: bool | None = Field(default=None, description="True: the diff was cut, for it would be too long.")
    formatting: str | None = Field(
        default=None, description="What was written without being formatted although the project wants it, and why."
    )
    diagnostics: DiagnosticsChange | None = None

    def text(self) -> str:
        """Give the outcome and the diff."""
        done = "created" if self.created else "changed" if self.diff or self.mode else "unchanged"
        notes = [self.hash, f"mode {self.mode}" if self.mode else "", _LINKED if self.hard_links else ""]
        notes += [
            f"edit {self.edit_id}" if self.edit_id else "",
            "preview, nothing was written" if self.preview else "",
        ]
        head = f"{done} {printable(self.path)} ({'; '.join(note for note in notes if note)})"
        lines = [head, *([self.diff.rstrip("\n")] if self.diff else [])]
        lines += [one_line(self.formatting, _MAX_FORMATTING)] if self.formatting else []
        return "\n".join([*lines, *(self.diagnostics.lines() if self.diagnostics else [])])


class CreateDirectoryResult(Result):
    """Whether the directory is new."""

    path: str
    created: bool
    edit_id: str | None = Field(default=None, description="For undo_edit; left out when nothing was written.")
    preview: bool | None = Field(default=None, description="True: nothing was written.")

    def text(self) -> str:
        """Give the outcome."""
        edit = f" (edit {self.edit_id})" if self.edit_id else " (preview, nothing was written)" if self.preview else ""
        return f"{'created' if self.created else 'was there already:'} {printable(self.path)}/{edit}"


class ListedEdit(Result):
    """An edit that was applied."""

    edit_id: str
    at: str = Field(description="ISO 8601, UTC.")
    who: str = Field(description="Subject of the token that it was made with.")
    tool: str
    projects: list[str]
    files: list[TouchedFile]
    files_cut: int | None = Field(default=None, description="How many more there are.")
    state: Literal["applied", "undone"]
    undoes: str | None = Field(default=None, description="The edit that this one undid.")
    undone_by: str | None = Field(default=None, description="The edit that undid this one.")
    partial: bool | None = Field(default=None, description="True: it also changed what this token does not cover.")
    damaged: bool | None = Field(
        default=None, description="True: its record is damaged; it can neither be told nor undone."
    )

    def line(self) -> str:
        """Give it as a readable line."""
        told = [file.line() for file in self.files]
        told += [f"{self.files_cut} more"] if self.files_cut else []
        told += ["other projects too"] if self.partial else []
        told += ["its record is damaged"] if self.damaged else []
        end = f"; undone by {self.undone_by}" if self.state == "undone" else ""
        begin = f"; undoes {self.undoes}" if self.undoes else ""
        return f"{self.edit_id} {self.at} {self.who} {self.tool}{begin}{end}: {', '.join(told)}"


class EditList(Result):
    """Edits, the newest first."""

    edits: list[ListedEdit]
    truncated: bool
    cursor: str | None = Field(default=None, description="Gives the next ones.")

    def text(self) -> str:
        """Give a line an edit."""
        lines = [edit.line() for edit in self.edits] or ["no edits"]
        return "\n".join([*lines, *(["[there are more; go on with the cursor]"] if self.truncated else [])])
