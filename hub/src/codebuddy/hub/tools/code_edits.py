"""The hub's tools that edit code: the spokes plan the changes, and the hub makes them as one edit like all others."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar

from anyio.to_thread import run_sync
from pydantic import Field, model_validator

from codebuddy.files.confinement import about
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.search import WordFile, find_word
from codebuddy.files.walking import Bounds
from codebuddy.hub.edits.draft import Draft, check_hash, draft_change, paths_of
from codebuddy.hub.edits.editor import Editor, Made
from codebuddy.hub.edits.text_matches import require_meant, with_matches, without_renamed
from codebuddy.hub.spokes import Links, ask_project, ask_projects, ask_spoke
from codebuddy.schemas.code import (
    ActionPlace,
    CodeAction,
    CodeActions,
    Completeness,
    Location,
    NewName,
    Place,
    Plan,
    PlanFormatArguments,
    PlannedAction,
    PlannedChanges,
    PlannedRename,
    SymbolArguments,
    Timeout,
    by_file,
)
from codebuddy.schemas.edits import EditOptions, EditResult, FileEditArguments
from codebuddy.schemas.files import FileChange
from codebuddy.schemas.spoke_tools import SPOKE_TOOLS
from codebuddy.tool import Arguments, Call, Projects, Result, Tool, ToolError, filled, tool_of

P = TypeVar("P", bound=Plan)

_SEARCH_SECONDS = 20.0
_SHOWN = 200  # text matches in an answer
_REFUSED = "Without accept_partial: true it would be refused (not_complete)."


class FormatFileArguments(FileEditArguments, PlanFormatArguments):
    """A file to format."""


class ReplaceSymbolArguments(FileEditArguments, SymbolArguments):
    """A symbol, and the code that replaces it."""

    content: str = Field(description="Indented as in the file, or not at all.")


class InsertAtSymbolArguments(FileEditArguments, SymbolArguments):
    """A symbol, and the code to put above or below it."""

    position: Literal["before", "after"]
    content: str = Field(description="Indented as in the file, or not at all.")


class CodeActionsToolArguments(ActionPlace, FileEditArguments):
    """A place or range in code; and, to make an action, its id."""

    apply: str | None = Field(default=None, min_length=1, max_length=100, description="Id of an action.")

    @model_validator(mode="after")
    def _check_apply(self) -> CodeActionsToolArguments:
        if self.apply is None and (self.preview or self.diagnostics or self.expected_hash):
            raise ValueError("preview, diagnostics and expected_hash go with apply")
        return self


class CodeActionsResult(EditResult, Completeness):
    """What is offered; or, with apply, the edit that was made."""

    actions: list[CodeAction] | None = Field(default=None, description="Without apply: what is offered.")
    title: str | None = Field(default=None, description="With apply: the action.")
    notes: list[str] | None = Field(default=None, description="With apply: further remarks.")

    def lean(self) -> dict[str, Any]:
        if self.actions is None:
            about = self.model_dump(include={"title", "notes"}, exclude_none=True)
            return {**about, **super().lean()}
        listed = CodeActions(complete=self.complete, reason=self.reason, message=self.message, actions=self.actions)
        return listed.lean()


class RenameSymbolArguments(EditOptions, Place):
    """A symbol, given by a place in code, and its new name."""

    new_name: NewName
    projects: Projects = Field(None, description="Also rename it in these; left out: only in its own.")
    include_text_matches: bool = Field(
        False, description="Also in comments, strings, other files; first see text_matches of a preview."
    )
    accept_partial: bool = Field(False, description="Even if uses are left out; a preview lists them as left_out.")
    timeout_seconds: Timeout = 60.0


class RenamedProject(Result):
    """How many places a language server named in a project; none means that it knows no such symbol."""

    project: str
    places: int
    symbol: str | None = None


class RenameResult(EditResult):
    """The edit, and where else the old name stands.

    Args:
        text_matches: places that no language server named; renamed only with ``include_text_matches``.
        text_matches_cut: how many more there are.
        undecoded: files that contain the old name, and whose encoding is not known; nothing is renamed in them.
        left_out: places that use the symbol, or probably do, and are not renamed.
        why_left_out: why there are, or may be, such places, in a sentence.
        refused: of a preview: that the rename itself will not be made as it is asked for.
    """

    old_name: str
    renamed: list[RenamedProject]
    text_matches: list[Location]
    text_matches_cut: int | None = None
    text_matches_included: bool
    undecoded: list[str] | None = None
    left_out: list[Location] | None = None
    why_left_out: str | None = None
    refused: str | None = None

    def lean(self) -> dict[str, Any]:
        """Put what there is to decide, the text matches, before the edit and its diffs."""
        answer: dict[str, Any] = {
            "old_name": self.old_name,
            "renamed_places": {one.project: one.places for one in self.renamed if one.places},
        }
        if without := [one.project for one in self.renamed if not one.places]:
            path = self.renamed[0].symbol or self.old_name
            answer["not_found"] = f"no symbol with the path {path!r} in {', '.join(without)}"
        answer |= filled(refused=self.refused, why_left_out=self.why_left_out, left_out=by_file(self.left_out or ()))
        if self.text_matches:
            also = "renamed too" if self.text_matches_included else "not renamed; include_text_matches renames them too"
            answer |= {"found_by_text_alone": also, "text_matches": by_file(self.text_matches)}
        if self.undecoded:
            files = ", ".join(self.undecoded)
            answer["not_decoded"] = (
                f"{files}: these contain {self.old_name!r}, their encoding is not known; see `encodings`"
            )
        return answer | filled(text_matches_cut=self.text_matches_cut) | super().lean()


def _sent(tool: str, arguments: Arguments, **more: Any) -> dict[str, Any]:
    """Return what to send to a spoke's tool: those of the hub's arguments that it takes too, and more."""
    shared = set(SPOKE_TOOLS[tool].arguments.model_fields)
    return {**arguments.model_dump(include=shared, exclude_none=True), **more}


def _paths_planned(plan: Plan) -> Iterable[str]:
    yield from map(str, paths_of(plan.changes))
    if isinstance(plan, PlannedRename):
        yield from (at.path for at in plan.left_out)


def _require_whole(project: str, plan: Plan) -> None:
    """Refuse an incomplete plan.

    Raises:
        ToolError: ``unsupported``: no server can make it; ``not_complete``: changes may be missing.
    """
    why = plan.message or plan.reason
    if plan.reason == "unsupported":
        raise ToolError("unsupported", f"{project}: {why} Nothing was changed.")
    if not plan.complete:
        raise ToolError(
            "not_complete",
            f"The language server of {project} cannot give all changes ({plan.reason}): {why} Nothing was changed.",
        )


async def _ask_plan(links: Links, call: Call, project: str, tool: str, sent: dict[str, Any], *, result: type[P]) -> P:
    """Ask a spoke for all changes that an edit makes.

    Raises:
        ToolError: see `_require_whole`, and what the spoke raises.
    """
    seconds = sent["timeout_seconds"]
    plan = await ask_spoke(
        links, project, tool, sent, result, seconds=seconds, paths=_paths_planned, report=call.progress
    )
    _require_whole(project, plan)
    return plan


class _CodeEdits:
    """Makes edits that spokes plan."""

    def __init__(self, links: Links, editor: Editor) -> None:
        self._links, self._editor = links, editor

    async def format_file(self, call: Call, arguments: FormatFileArguments) -> EditResult:
        """Format (reformat) a file with its project's formatter."""
        plan = await self._plan(call, "plan_format", arguments, PlannedChanges)
        return await self._make(call, "format_file", arguments, plan, formats=False)

    async def replace_symbol(self, call: Call, arguments: ReplaceSymbolArguments) -> EditResult:
        """Replace the whole declaration of a function, class, method or constant. Decorators, attributes and comments
        above it stay, unless content has others of the same name.
        """
        plan = await self._plan(call, "plan_symbol_edit", arguments, PlannedChanges, action="replace")
        return await self._make(call, "replace_symbol", arguments, plan)

    async def insert_at_symbol(self, call: Call, arguments: InsertAtSymbolArguments) -> EditResult:
        """Insert (add) code above or below the declaration of a function, class or method, with blank lines as usual;
        before: above its decorators and comments.
        """
        plan = await self._plan(call, "plan_symbol_edit", arguments, PlannedChanges, action=arguments.position)
        return await self._make(call, "insert_at_symbol", arguments, plan)

    async def code_actions(self, call: Call, arguments: CodeActionsToolArguments) -> CodeActionsResult:
        if arguments.apply is None:
            project, sent = self._editor.path(call, arguments.path).project, _sent("code_actions", arguments)
            seconds = arguments.timeout_seconds
            found = await ask_project(
                self._links, call, project, "code_actions", sent, result=CodeActions, seconds=seconds, actions=[]
            )
            offered = found.model_dump(include={"actions", "complete", "reason", "message"})
            return CodeActionsResult(files=[], **offered)
        plan = await self._plan(call, "plan_action", arguments, PlannedAction, action=arguments.apply)
        edit = await self._make(call, "code_actions", arguments, plan)
        return CodeActionsResult(**dict(edit), complete=True, title=plan.title, notes=plan.notes or None)

    async def _plan(self, call: Call, tool: str, arguments: Any, result: type[P], **more: Any) -> P:
        project = self._editor.path(call, arguments.path).project
        return await _ask_plan(self._links, call, project, tool, _sent(tool, arguments, **more), result=result)

    async def _make(
        self, call: Call, tool: str, arguments: FileEditArguments, plan: PlannedChanges, *, formats: bool = True
    ) -> EditResult:
        """Make the planned changes as one edit.

        Args:
            formats: whether to format the new texts in projects that want it.

        Raises:
            ToolError: ``conflict`` if a file is not as the caller or the spoke saw it, and what the engine raises.
        """
        path = self._editor.path(call, arguments.path)
        self._editor.require(call, paths_of(plan.changes))

        def fill(draft: Draft) -> None:
            if arguments.expected_hash is not None:
                with about(path):
                    found = draft.find(path)
                    check_hash(found.hash if found else "absent", arguments.expected_hash)
            for change in plan.changes:
                draft_change(draft, change)

        made: Made[None] = await self._editor.draft(
            call, tool, fill, preview=arguments.preview, diagnostics=arguments.diagnostics, formats=formats
        )
        return await self._editor.answer_of(made, preview=arguments.preview)


def code_edit_tools(links: Links, editor: Editor) -> list[Tool[Any]]:
    """Make ``format_file``, ``replace_symbol`` and ``insert_at_symbol``."""
    edits = _CodeEdits(links, editor)
    return [
        tool_of(edits.format_file, "write", idempotent=True),
        tool_of(edits.replace_symbol, "write"),
        tool_of(edits.insert_at_symbol, "write"),
    ]


def action_tools(links: Links, editor: Editor) -> list[Tool[Any]]:
    """Make ``code_actions``, which here can also apply an action."""
    spec = SPOKE_TOOLS["code_actions"]
    return [
        spec.bind(
            _CodeEdits(links, editor).code_actions,
            scope="write",
            description=f"{spec.description} With apply, make one of them, as one edit.",
            arguments=CodeActionsToolArguments,
            result=CodeActionsResult,
        )
    ]


@dataclass
class _Rename:
    """A rename while it is gathered.

    Args:
        symbol: the path of the symbol in its project, like Class/method.
        changes: the changes that the language servers want, by project.
        words: the files that contain the old name, by project.
        symbols: the path of what is renamed, by project.
        left_out: places that probably use it and that the language servers do not change.
        why: why there are, or may be, such places, a sentence for each project.
        undecoded: files that contain the old name, and whose encoding is not known.
    """

    old_name: str
    symbol: str
    changes: dict[str, list[FileChange]] = field(default_factory=dict)
    words: dict[str, list[WordFile]] = field(default_factory=dict)
    symbols: dict[str, str | None] = field(default_factory=dict)
    left_out: list[Location] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    undecoded: list[str] = field(default_factory=list)

    def add(self, project: str, plan: PlannedRename) -> None:
        self.changes[project], self.symbols[project] = plan.changes, plan.symbol
        self.left_out += plan.left_out
        self.why += filter(None, [plan.why_left_out])

    def include(self, found: dict[str, list[WordFile]]) -> None:
        """Take out what is renamed because its text matches."""
        renamed = {
            (str(file.path), at.line, at.column) for files in found.values() for file in files for at in file.places
        }
        named = bool(self.left_out)
        self.left_out = [at for at in self.left_out if (at.path, at.line, at.column) not in renamed]
        if named and not self.left_out:
            self.why = []

    def require_whole(self, own: str) -> None:
        """Refuse a rename that leaves uses behind.

        Raises:
            ToolError: ``not_complete``.
        """
        if self.why:
            sentence = " ".join(self.why)
            raise ToolError(
                "not_complete",
                f"{sentence} Nothing was changed. See left_out of a preview; rename those places by hand in the same "
                "apply_workspace_edit, or give accept_partial: true and change them afterwards.",
                own,
            )


class _Renames:
    def __init__(self, links: Links, editor: Editor) -> None:
        self._links, self._editor = links, editor
        self._workspaces = editor.engine.workspaces

    async def rename_symbol(self, call: Call, arguments: RenameSymbolArguments) -> RenameResult:
        """Rename a function, class, variable or other symbol everywhere, in its project or across projects
        (repositories), as one edit. Place: line and column; symbol (Class/method); or line and text (the word).
        """
        own = self._editor.path(call, arguments.path).project
        # The symbol's own project decides what the symbol is. All are checked before any is asked.
        projects = [own, *(name for name in dict.fromkeys(arguments.projects or ()) if name != own)]
        for project in projects:
            call.principal.require_project(project, self._workspaces.projects)
        rename = await self._gather(call, arguments, own, projects)
        if rename.old_name == arguments.new_name:
            raise ToolError("invalid_arguments", f"{rename.old_name!r} is its name already.", arguments.path)
        # A spoke's answer may be very long, so it is processed outside the event loop.
        found = {
            project: await run_sync(without_renamed, files, rename.changes[project])
            for project, files in rename.words.items()
        }
        changes = [change for project in projects for change in rename.changes[project]]
        if arguments.include_text_matches:
            changes = await run_sync(with_matches, changes, found, rename.old_name, arguments.new_name)
            rename.include(found)
        if not (arguments.preview or arguments.accept_partial):
            rename.require_whole(arguments.path)
        self._editor.require(call, paths_of(changes))

        def fill(draft: Draft) -> None:
            for change in changes:
                draft_change(draft, change)

        made = await self._editor.draft(
            call,
            "rename_symbol",
            fill,
            preview=arguments.preview,
            diagnostics=arguments.diagnostics,
            formats=True,
            renamed=(rename.old_name, arguments.new_name),
        )
        return _answer(await self._editor.answer_of(made, preview=arguments.preview), rename, found, arguments)

    async def _gather(self, call: Call, arguments: RenameSymbolArguments, own: str, projects: list[str]) -> _Rename:
        """Ask the symbol's own project what is meant; then the others, by the symbol's path and the files to look in.

        Raises:
            ToolError: ``cannot_rename``; see `_require_whole`, and what the spokes raise.
        """
        sent = _sent("plan_rename", arguments)
        first = await _ask_plan(self._links, call, own, "plan_rename", sent, result=PlannedRename)
        if first.old_name is None:
            raise ToolError("cannot_rename", "The language server does not say what stands at this place.")
        rename = _Rename(first.old_name, first.symbol or first.old_name)
        rename.add(own, first)
        rename.words[own] = await self._words(own, rename)
        require_meant(arguments, first, rename.words[own], elsewhere=len(projects) > 1)
        # Only now are the other projects searched, since the answer says where they contain the name.
        for project in projects[1:]:
            rename.words[project] = await self._words(project, rename)
        common = {"name": rename.symbol, "new_name": arguments.new_name, "timeout_seconds": arguments.timeout_seconds}
        files = {project: [str(file.path) for file in rename.words[project]] for project in projects[1:]}
        answers = await ask_projects(
            self._links,
            call,
            "plan_rename",
            {project: {**common, "paths": paths} for project, paths in files.items() if paths},
            PlannedRename,
            seconds=arguments.timeout_seconds,
            paths=_paths_planned,
        )
        nothing = PlannedRename(complete=True, changes=[], declarations=[])
        for project in projects[1:]:
            plan = answers.get(project, nothing)
            if isinstance(plan, ToolError):
                raise ToolError(plan.code, f"{project}: {plan.message} Nothing was changed.", plan.path)
            _require_whole(project, plan)
            rename.add(project, plan)
        return rename

    async def _words(self, project: str, rename: _Rename) -> list[WordFile]:
        root = self._workspaces.root(project)
        bounds = Bounds(time.monotonic() + _SEARCH_SECONDS)
        undecoded = list[WorkspacePath]()
        found = await run_sync(partial(find_word, root, rename.old_name, bounds, undecoded), abandon_on_cancel=True)
        rename.undecoded += map(str, undecoded)
        return found


def _answer(
    edit: EditResult, rename: _Rename, found: dict[str, list[WordFile]], arguments: RenameSymbolArguments
) -> RenameResult:
    matches = [
        Location(
            path=str(file.path),
            line=at.line,
            column=at.column,
            end_line=at.line,
            end_column=at.column + len(rename.old_name),
            line_text=at.line_text,
        )
        for files in found.values()
        for file in files
        for at in file.places
    ]
    return RenameResult(
        **dict(edit),
        old_name=rename.old_name,
        renamed=[
            RenamedProject(
                project=project,
                places=sum(len(change.edits or ()) for change in changes),
                symbol=rename.symbols[project],
            )
            for project, changes in rename.changes.items()
        ],
        text_matches=matches[:_SHOWN],
        text_matches_cut=len(matches) - _SHOWN if len(matches) > _SHOWN else None,
        text_matches_included=arguments.include_text_matches,
        undecoded=rename.undecoded[:_SHOWN] or None,
        left_out=rename.left_out[:_SHOWN] or None,
        why_left_out=" ".join(rename.why) or None,
        refused=_REFUSED if rename.why and arguments.preview and not arguments.accept_partial else None,
    )


def rename_tools(links: Links, editor: Editor) -> list[Tool[Any]]:
    """Make ``rename_symbol``."""
    return [tool_of(_Renames(links, editor).rename_symbol, "write")]
