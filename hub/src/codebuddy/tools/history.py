"""list_edits and undo_edit: what the journal of edits tells, and how it is turned around."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial

from anyio.to_thread import run_sync

from codebuddy.configuration import JournalLimits
from codebuddy.editor.editor import Editor
from codebuddy.edits.images import Images
from codebuddy.edits.journal import Entry
from codebuddy.edits.plan import Change, Plan
from codebuddy.edits.summaries import MAX_CHILDREN, summarise, touched
from codebuddy.edits.undo import read_changes, undo_plan
from codebuddy.schemas.edits import EditList, EditResult, ListedEdit, ListEditsArguments, TouchedFile, UndoArguments
from codebuddy.tool import Call, ToolError

__all__ = ["History"]

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
