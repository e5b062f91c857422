"""The writing tools: every one of them makes an edit, which is applied whole or not at all, and can be undone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from anyio.to_thread import run_sync

from codebuddy.configuration import JournalLimits
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import TextEdit, apply_edits
from codebuddy.hub.edits.disk_view import Images
from codebuddy.hub.edits.draft import (
    Change,
    Draft,
    Drafted,
    Plan,
    Rewrite,
    draft_change,
    draft_text,
    edited,
    paths_of,
    written,
)
from codebuddy.hub.edits.editor import ATTEMPTS, Editor, Made, tell
from codebuddy.hub.edits.journal import Entry
from codebuddy.hub.edits.recovery import read_changes, undo_plan
from codebuddy.hub.edits.summaries import MAX_CHILDREN, summarise, summarise_write, touched
from codebuddy.schemas.edits import (
    CreateDirectoryArguments,
    CreateDirectoryResult,
    DeleteArguments,
    EditArguments,
    EditList,
    EditResult,
    ListedEdit,
    ListEditsArguments,
    MoveArguments,
    TouchedFile,
    UndoArguments,
    WorkspaceEditArguments,
    WriteArguments,
    WriteResult,
)
from codebuddy.tool import Call, Tool, ToolError

_APPLIED = frozenset({"applied", "settled"})


class History:
    """The two tools.

    Args:
        editor: makes the edits that undo.
        kept: how long edits are kept.
    """

    def __init__(self, editor: Editor, kept: JournalLimits) -> None:
        self._editor, self._kept = editor, kept
        self._journal, self._workspaces = editor.engine.journal, editor.engine.workspaces

    async def list_edits(self, call: Call, arguments: ListEditsArguments) -> EditList:
        """Tell of the edits in the projects that the token covers."""
        chosen = frozenset(call.principal.choose(arguments.projects, self._workspaces.projects))
        covered = frozenset(call.principal.visible(self._workspaces.projects))
        return await run_sync(self._list, arguments, chosen, covered, abandon_on_cancel=True)

    def _list(self, arguments: ListEditsArguments, chosen: frozenset[str], covered: frozenset[str]) -> EditList:
        entries = self._journal.entries()
        undone_by = _undone_by(entries)
        applied = [entry for entry in reversed(entries) if entry.state in _APPLIED]
        if arguments.cursor is not None:
            # Where the cursor's edit is no longer kept, nothing older is.
            ids = [entry.id for entry in applied]
            applied = applied[ids.index(arguments.cursor) + 1 :] if arguments.cursor in ids else []
        found = [entry for entry in applied if not chosen.isdisjoint(entry.about["projects"])]
        shown = [self._listed(entry, undone_by, covered) for entry in found[: arguments.limit]]
        is_cut = len(found) > len(shown)
        return EditList(edits=shown, truncated=is_cut, cursor=shown[-1].edit_id if is_cut else None)

    def _listed(self, entry: Entry, undone_by: dict[str, str], covered: frozenset[str]) -> ListedEdit:
        projects = set(entry.about["projects"])
        files: list[TouchedFile] = []
        cut, is_damaged = 0, None
        try:
            files, cut = touched(_in_projects(read_changes(self._journal, entry, content=False), covered), MAX_CHILDREN)
        except ToolError:
            is_damaged = True
        return ListedEdit(
            edit_id=entry.id,
            at=datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            who=entry.about["subject"],
            tool=entry.about["tool"],
            projects=sorted(projects & covered),
            files=files,
            files_cut=cut or None,
            state="undone" if entry.id in undone_by else "applied",
            undoes=entry.about["undoes"],
            undone_by=undone_by.get(entry.id),
            partial=not projects <= covered or None,
            damaged=is_damaged,
        )

    async def undo_edit(self, call: Call, arguments: UndoArguments) -> EditResult:
        """Undo an edit, or say why it cannot be."""
        edit = arguments.edit_id
        images = Images(self._workspaces, self._editor.engine.max_file_bytes)

        def plan() -> tuple[Plan, None]:
            return undo_plan(self._journal, self._undoable(call, edit), images, call.principal.subject), None

        try:
            made = await self._editor.make(plan, preview=arguments.preview, diagnostics=arguments.diagnostics)
        except ToolError as error:
            if error.code == "conflict":
                self._undoable(call, edit)  # says so if it was somebody else's undo that came between
            raise
        preview, diagnostics = arguments.preview, made.diagnostics
        return await run_sync(partial(summarise, made.outcome, preview=preview, undoes=edit, diagnostics=diagnostics))

    def _undoable(self, call: Call, edit: str) -> Entry:
        """Give an edit that can be undone by this token.

        Raises:
            ToolError: ``unknown_edit``, ``forbidden``, ``busy``, ``already_undone``.
        """
        entry = self._journal.get(edit)
        covered = call.principal.visible(self._workspaces.projects)
        projects = set(entry.about.get("projects", ())) if entry is not None else set()
        if entry is None or entry.state == "reverted" or projects.isdisjoint(covered):
            raise ToolError(
                "unknown_edit",
                f"There is no edit {edit} here; list_edits tells which there are. They are kept for "
                f"{self._kept.max_age_seconds / 86400:g} days, while all together take no more than "
                f"{self._kept.max_bytes / 2**20:g} MiB.",
            )
        if not projects <= set(covered):
            raise ToolError(
                "forbidden",
                "The edit also changed what this token does not cover; undo it with a token for all of its projects.",
            )
        if entry.state not in _APPLIED:
            raise ToolError("busy", f"The edit {edit} is being made just now; try again.")
        undone_by = _undone_by(self._journal.entries()).get(edit)
        if undone_by is not None:
            raise ToolError("already_undone", f"The edit was undone by {undone_by}; undo that one to have it again.")
        return entry


def _undone_by(entries: Sequence[Entry]) -> dict[str, str]:
    """Give for each edit that is undone the one that undid it; an undo that was itself undone does not count."""
    found: dict[str, str] = {}
    for entry in reversed(entries):
        undoes = entry.about.get("undoes")
        if undoes is not None and entry.state in _APPLIED and entry.id not in found:
            found.setdefault(undoes, entry.id)
    return found


def _in_projects(changes: Iterable[Change], projects: frozenset[str]) -> list[Change]:
    """Give those changes that are in some projects alone."""
    return [
        change
        for change in changes
        if all(path.project in projects for path in (change.source, change.target) if path is not None)
    ]


def edit_tools(editor: Editor, kept: JournalLimits | None = None) -> list[Tool[Any]]:
    """Give the hub's writing tools.

    Args:
        editor: makes the edits.
        kept: how long they are kept.
    """
    tools, history = _EditTools(editor), History(editor, kept or JournalLimits())
    return [
        Tool("write_file", "write", _WRITE, WriteArguments, WriteResult, tools.write_file),
        Tool("edit_file", "write", _EDIT, EditArguments, WriteResult, tools.edit_file),
        Tool("move_path", "write", _MOVE, MoveArguments, EditResult, tools.move_path),
        Tool("delete_path", "write", _DELETE, DeleteArguments, EditResult, tools.delete_path),
        Tool(
            "create_directory",
            "write",
            _CREATE,
            CreateDirectoryArguments,
            CreateDirectoryResult,
            tools.create_directory,
        ),
        Tool(
            "apply_workspace_edit",
            "write",
            _APPLY,
            WorkspaceEditArguments,
            EditResult,
            tools.apply_workspace_edit,
        ),
        Tool("list_edits", "read", _LIST, ListEditsArguments, EditList, history.list_edits),
        Tool("undo_edit", "write", _UNDO, UndoArguments, EditResult, history.undo_edit),
    ]


_SHOWN = 20  # conflicts in a message

_WRITE = (
    "Write a whole text file; creates it and its parent directories when they are missing. To change a part of a file, "
    "use edit_file."
)
_EDIT = "Replace exact texts in one file: all of them or none. Each old_text must occur exactly count times."
_MOVE = (
    "Move or rename a file, directory or link, also to another project. References in code are not changed: for that, "
    "use rename_symbol or apply_workspace_edit."
)
_DELETE = "Delete a file, directory or link. undo_edit brings it back."
_CREATE = "Create a directory and its missing parents. write_file needs none: it creates them itself."
_APPLY = (
    "Change, create, move and delete any number of files in any number of projects at once: all of it or nothing, also "
    "when the hub crashes. Changes apply in order, each to what the ones before it leave."
)
_LIST = "List the edits that were made, the newest first, with the ids that undo_edit takes."
_UNDO = (
    "Undo an edit: every file is exactly as it was before. Refused, naming the files, when one of them was changed "
    "since. An undo is an edit too, and can be undone."
)


class _EditTools:
    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    async def write_file(self, call: Call, arguments: WriteArguments) -> WriteResult:
        mode = None if arguments.mode is None else int(arguments.mode, 8)
        return await self._rewrite(call, "write_file", arguments, written(arguments.content), mode)

    async def edit_file(self, call: Call, arguments: EditArguments) -> WriteResult:
        edits = [TextEdit(edit.old_text, edit.new_text, edit.count) for edit in arguments.edits]
        return await self._rewrite(call, "edit_file", arguments, edited(partial(apply_edits, edits=edits)))

    async def _rewrite(
        self,
        call: Call,
        tool: str,
        arguments: WriteArguments | EditArguments,
        rewrite: Rewrite,
        mode: int | None = None,
    ) -> WriteResult:
        path = self._editor.path(call, arguments.path)
        made = await self._editor.draft(
            call,
            tool,
            lambda draft: draft_text(draft, path, rewrite, arguments.expected_hash, mode),
            preview=arguments.preview,
            diagnostics=arguments.diagnostics,
            attempts=_attempts(arguments.expected_hash),
            turn=path,
            formats=True,
        )
        return await run_sync(
            partial(
                summarise_write,
                path,
                _as_written(made),
                made.outcome,
                preview=arguments.preview or None,
                diagnostics=made.diagnostics,
                formatting=made.formatting,
            )
        )

    async def move_path(self, call: Call, arguments: MoveArguments) -> EditResult:
        source, target = (self._editor.path(call, text) for text in (arguments.source, arguments.target))
        _require_below_root(source, target)

        def fill(draft: Draft) -> None:
            draft.move(source, target, overwrite=arguments.overwrite, expected_hash=arguments.expected_hash)

        attempts = _attempts(arguments.expected_hash)
        made = await self._editor.draft(call, "move_path", fill, preview=arguments.preview, attempts=attempts)
        return await run_sync(partial(summarise, made.outcome, preview=arguments.preview))

    async def delete_path(self, call: Call, arguments: DeleteArguments) -> EditResult:
        path = self._editor.path(call, arguments.path)
        _require_below_root(path)

        def fill(draft: Draft) -> None:
            draft.delete(path, recursive=arguments.recursive, expected_hash=arguments.expected_hash)

        attempts = _attempts(arguments.expected_hash)
        made = await self._editor.draft(call, "delete_path", fill, preview=arguments.preview, attempts=attempts)
        return await run_sync(partial(summarise, made.outcome, preview=arguments.preview))

    async def create_directory(self, call: Call, arguments: CreateDirectoryArguments) -> CreateDirectoryResult:
        path = self._editor.path(call, arguments.path)

        def fill(draft: Draft) -> bool:
            return bool(path.parts) and draft.make_directory(path)

        made = await self._editor.draft(
            call, "create_directory", fill, preview=arguments.preview, attempts=ATTEMPTS, turn=path
        )
        return CreateDirectoryResult(
            path=str(path), created=made.value, edit_id=made.outcome.edit, preview=arguments.preview or None
        )

    async def apply_workspace_edit(self, call: Call, arguments: WorkspaceEditArguments) -> EditResult:
        self._editor.require(call, paths_of(arguments.changes))

        def fill(draft: Draft) -> None:
            conflicts: list[ToolError] = []
            for change in arguments.changes:
                try:
                    draft_change(draft, change)
                except ToolError as error:
                    if error.code != "conflict":
                        raise
                    conflicts.append(error)
            if conflicts:  # all of them at once
                told = " ".join(f"{error.path}: {error.message}" for error in conflicts[:_SHOWN])
                raise ToolError("conflict", told, conflicts[0].path)

        made = await self._editor.draft(
            call,
            "apply_workspace_edit",
            fill,
            preview=arguments.preview,
            diagnostics=arguments.diagnostics,
            formats=True,
        )
        return await tell(made, preview=arguments.preview)


def _as_written(made: Made[Drafted]) -> Drafted:
    """Give the content of the one file before and after, as it was formatted."""
    texts = list(made.formatted.texts.values()) if made.formatted else []
    return Drafted(made.value.before, texts[0]) if texts else made.value


def _attempts(expected_hash: str | None) -> int:
    """Give how often to try: who relies on what was there is to look at it himself when it changed."""
    return ATTEMPTS if expected_hash is None else 1


def _require_below_root(*paths: WorkspacePath) -> None:
    for path in paths:
        if not path.parts:
            raise ToolError("invalid_path", "This is the project itself, which stays; name something in it.", str(path))
