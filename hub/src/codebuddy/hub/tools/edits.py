"""The hub's tools that change files: each call makes an edit, applied as a whole or not at all, that can be undone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from anyio.to_thread import run_sync

from codebuddy.configuration import JournalLimits
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import TextEdit, apply_edits
from codebuddy.hub.edits.disk_view import DiskView
from codebuddy.hub.edits.draft import (
    Change,
    Draft,
    Drafted,
    Plan,
    Rewrite,
    draft_change,
    draft_rewrite,
    edited,
    paths_of,
    written,
)
from codebuddy.hub.edits.editor import (
    ATTEMPTS,
    MAX_CHILDREN,
    Editor,
    Made,
    summarise_write,
    touched,
)
from codebuddy.hub.edits.journal import Entry
from codebuddy.hub.edits.recovery import read_changes, undo_plan
from codebuddy.schemas.edits import (
    CreateDirectoryArguments,
    CreateDirectoryResult,
    DeleteArguments,
    EditArguments,
    EditList,
    EditResult,
    FileEditArguments,
    ListedEdit,
    ListEditsArguments,
    TouchedFile,
    UndoArguments,
    WorkspaceEditArguments,
    WriteArguments,
    WriteResult,
)
from codebuddy.tool import Call, Tool, ToolError, tool_of

_APPLIED = frozenset({"applied", "settled"})
_SHOWN = 20  # conflicts in a message


def edit_tools(editor: Editor, kept: JournalLimits | None = None) -> list[Tool[Any]]:
    """Make the tools that change files, and those that list and undo edits."""
    tools, history = _EditTools(editor), _History(editor, kept or JournalLimits())
    return [
        tool_of(tools.write_file, "write", idempotent=True),
        tool_of(tools.edit_file, "write"),
        tool_of(tools.delete_path, "write", idempotent=True),
        tool_of(tools.create_directory, "write", idempotent=True),
        tool_of(tools.apply_workspace_edit, "write"),
        tool_of(history.list_edits, "read"),
        tool_of(history.undo_edit, "write", idempotent=True),
    ]


class _EditTools:
    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    async def write_file(self, call: Call, arguments: WriteArguments) -> WriteResult:
        """Create a new file, or overwrite (replace) its whole text; directories are created. To change a part, use
        edit_file.
        """
        mode = None if arguments.mode is None else int(arguments.mode, 8)
        return await self._rewrite(call, "write_file", arguments, written(arguments.content), mode)

    async def edit_file(self, call: Call, arguments: EditArguments) -> WriteResult:
        """Replace exact texts in one file, in order: all of them or none."""
        edits = [TextEdit(edit.old_text, edit.new_text, edit.count) for edit in arguments.edits]
        return await self._rewrite(call, "edit_file", arguments, edited(partial(apply_edits, edits=edits)))

    async def _rewrite(
        self, call: Call, tool: str, arguments: FileEditArguments, rewrite: Rewrite, mode: int | None = None
    ) -> WriteResult:
        path = self._editor.path(call, arguments.path)
        made = await self._editor.draft(
            call,
            tool,
            lambda draft: draft_rewrite(draft, path, rewrite, arguments.expected_hash, mode),
            preview=arguments.preview,
            diagnostics=arguments.diagnostics,
            attempts=_attempts(arguments.expected_hash),
            turn=path,
            formats=True,
        )
        drafted = _as_written(made)
        answer = partial(
            summarise_write,
            preview=arguments.preview,
            diagnostics=made.diagnostics,
            formatting=made.formatting,
            formatted=drafted is not made.value,
        )
        return await self._editor.compute(partial(answer, path, drafted, made.outcome))

    async def delete_path(self, call: Call, arguments: DeleteArguments) -> EditResult:
        """Delete (remove) a file or directory; undo_edit restores it."""
        path = self._editor.path(call, arguments.path)
        require_below_root(path)

        def fill(draft: Draft) -> None:
            draft.delete(path, recursive=arguments.recursive, expected_hash=arguments.expected_hash)

        preview, attempts = arguments.preview, _attempts(arguments.expected_hash)
        made = await self._editor.draft(call, "delete_path", fill, preview=preview, attempts=attempts)
        return await self._editor.answer_of(made, preview=preview)

    async def create_directory(self, call: Call, arguments: CreateDirectoryArguments) -> CreateDirectoryResult:
        """Create a directory (mkdir). write_file creates those that it needs."""
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
        """Change, create, move and delete several files, also across projects, in order and atomically: all or
        nothing.
        """
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
            if conflicts:  # all of them in one error
                message = " ".join(f"{error.path}: {error.message}" for error in conflicts[:_SHOWN])
                raise ToolError("conflict", message, conflicts[0].path)

        made = await self._editor.draft(
            call,
            "apply_workspace_edit",
            fill,
            preview=arguments.preview,
            diagnostics=arguments.diagnostics,
            formats=True,
        )
        return await self._editor.answer_of(made, preview=arguments.preview)


def _as_written(made: Made[Drafted]) -> Drafted:
    """Return the file's content before and after, as formatted."""
    texts = list(made.formatted.texts.values()) if made.formatted else []
    return Drafted(made.value.before, texts[0]) if texts else made.value


def _attempts(expected_hash: str | None) -> int:
    """Return how often to try: if the file changed, a caller with a hash must look at it again first."""
    return ATTEMPTS if expected_hash is None else 1


def require_below_root(*paths: WorkspacePath) -> None:
    """Refuse a project as a whole."""
    for path in paths:
        if not path.parts:
            raise ToolError(
                "invalid_path",
                "This is the project itself, which cannot be moved or deleted; name something in it.",
                str(path),
            )


class _History:
    def __init__(self, editor: Editor, kept: JournalLimits) -> None:
        self._editor, self._kept = editor, kept
        self._journal, self._workspaces = editor.engine.journal, editor.engine.workspaces

    async def list_edits(self, call: Call, arguments: ListEditsArguments) -> EditList:
        """List the edits made (history of changes), newest first, with the ids that undo_edit takes."""
        chosen = frozenset(call.principal.choose(arguments.projects, self._workspaces.projects))
        covered = frozenset(call.principal.visible(self._workspaces.projects))
        return await run_sync(self._list, arguments, chosen, covered, abandon_on_cancel=True)

    def _list(self, arguments: ListEditsArguments, chosen: frozenset[str], covered: frozenset[str]) -> EditList:
        entries = self._journal.entries()
        undone_by = _undone_by(entries)
        applied = [entry for entry in reversed(entries) if entry.state in _APPLIED]
        if arguments.cursor is not None:
            # If the cursor's edit is no longer kept, no older one is.
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
        """Undo (revert) an edit: restore its files exactly. Refused if one was changed since. An undo can be undone."""
        edit = arguments.edit_id
        view = DiskView(self._workspaces, self._editor.engine.max_file_bytes)

        def plan() -> tuple[Plan, None]:
            return undo_plan(self._journal, self._undoable(call, edit), view, call.principal.subject), None

        try:
            made = await self._editor.make(plan, preview=arguments.preview, diagnostics=arguments.diagnostics)
        except ToolError as error:
            if error.code == "conflict":
                self._undoable(call, edit)  # raises the better error if the edit was undone in the meantime
            raise
        return await self._editor.answer_of(made, preview=arguments.preview, undoes=edit)

    def _undoable(self, call: Call, edit: str) -> Entry:
        """Get an edit that this token can undo.

        Raises:
            ToolError: ``unknown_edit``, ``forbidden``, ``busy``, ``already_undone``.
        """
        entry = self._journal.get(edit)
        covered = call.principal.visible(self._workspaces.projects)
        projects = set(entry.about.get("projects", ())) if entry is not None else set()
        if entry is None or entry.state == "reverted" or projects.isdisjoint(covered):
            raise ToolError(
                "unknown_edit",
                f"There is no edit {edit} here; list_edits lists those that are kept. Edits are kept for "
                f"{self._kept.max_age_seconds / 86400:g} days, and take no more than "
                f"{self._kept.max_bytes / 2**20:g} MiB together.",
            )
        if not projects <= set(covered):
            raise ToolError(
                "forbidden",
                "The edit also changed projects that this token does not cover; use a token that covers all of them.",
            )
        if entry.state not in _APPLIED:
            raise ToolError("busy", f"The edit {edit} is still being made; try again.")
        undone_by = _undone_by(self._journal.entries()).get(edit)
        if undone_by is not None:
            raise ToolError("already_undone", f"The edit was undone by {undone_by}; to redo it, undo that one.")
        return entry


def _undone_by(entries: Sequence[Entry]) -> dict[str, str]:
    """Return for each undone edit the one that undid it; an undo that was itself undone does not count."""
    found: dict[str, str] = {}
    for entry in reversed(entries):
        undoes = entry.about.get("undoes")
        if undoes is not None and entry.state in _APPLIED and entry.id not in found:
            found.setdefault(undoes, entry.id)
    return found


def _in_projects(changes: Iterable[Change], projects: frozenset[str]) -> list[Change]:
    """Return the changes whose paths all are in these projects."""
    return [
        change
        for change in changes
        if all(path.project in projects for path in (change.source, change.target) if path is not None)
    ]
