"""format_file, replace_symbol and insert_at_symbol: planned by a spoke, made as edits like all others."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

from anyio.to_thread import run_sync
from pydantic import Field, model_validator

from codebuddy.files.confinement import about
from codebuddy.files.search import WordFile, find_word
from codebuddy.files.walking import Bounds
from codebuddy.hub.edits.draft import Draft, check_hash, draft_change, paths_of
from codebuddy.hub.edits.editor import Editor, Made, tell
from codebuddy.hub.edits.text_matches import require_meant, with_matches, without_renamed
from codebuddy.hub.spokes import Links, ask_each, ask_spoke
from codebuddy.schemas.code import (
    ActionPlace,
    CodeAction,
    CodeActions,
    NewName,
    Place,
    PlannedAction,
    PlannedChanges,
    PlannedRename,
    Reason,
    paths_in,
)
from codebuddy.schemas.edits import Diagnosed, EditResult, Extent
from codebuddy.schemas.files import EXPECTED, HASH, PATH, FileChange
from codebuddy.text_safety import MAX_LINE, one_line, printable
from codebuddy.tool import Call, Result, Tool, ToolError


class Wanted(Protocol):
    """How an edit of code is to be made."""

    path: str
    expected_hash: str | None
    preview: bool
    diagnostics: Extent | None


class EditsCode(Diagnosed):
    """What every tool that edits code takes."""

    path: str = Field(description=PATH)
    expected_hash: str | None = Field(default=None, pattern=HASH, description=EXPECTED)
    timeout_seconds: float = Field(
        default=30.0, gt=0, le=600, description="Seconds to wait for the language server, its loading included."
    )


class FormatFileArguments(EditsCode):
    """A file to format."""


class EditsSymbol(EditsCode):
    """A symbol of a file."""

    symbol: str = Field(min_length=1, description="Name of the symbol in the file, like Class/method.")
    line: int | None = Field(
        default=None, ge=1, description="The line of its name, where several symbols have the same name."
    )


class ReplaceSymbolArguments(EditsSymbol):
    """A symbol and the code that comes in its place."""

    content: str = Field(
        description="The whole new declaration, decorators and attributes included; indented as in the file or not."
    )


class InsertAtSymbolArguments(EditsSymbol):
    """A symbol and the code that comes above or below it."""

    position: Literal["before", "after"] = Field(
        description="before: above its decorators, attributes and doc comments; after: below its last line."
    )
    content: str = Field(description="The code; indented as in the file or not.")


class CodeEdits:
    """Makes edits that a spoke plans.

    Args:
        links: the links to the spokes.
        editor: makes the edits.
    """

    def __init__(self, links: Links, editor: Editor) -> None:
        self._links, self._editor = links, editor

    async def format_file(self, call: Call, arguments: FormatFileArguments) -> EditResult:
        planned = await self._plan(call, arguments, "plan_format", {})
        return await self.make(call, "format_file", arguments, planned, formats=False)

    async def replace_symbol(self, call: Call, arguments: ReplaceSymbolArguments) -> EditResult:
        what = {"symbol": arguments.symbol, "line": arguments.line, "content": arguments.content, "action": "replace"}
        planned = await self._plan(call, arguments, "plan_symbol_edit", what)
        return await self.make(call, "replace_symbol", arguments, planned)

    async def insert_at_symbol(self, call: Call, arguments: InsertAtSymbolArguments) -> EditResult:
        what = {
            "symbol": arguments.symbol,
            "line": arguments.line,
            "content": arguments.content,
            "action": arguments.position,
        }
        planned = await self._plan(call, arguments, "plan_symbol_edit", what)
        return await self.make(call, "insert_at_symbol", arguments, planned)

    async def _plan(self, call: Call, arguments: EditsCode, tool: str, what: dict[str, Any]) -> PlannedChanges:
        """Ask the spoke for what is to be changed; all of it, or a refusal.

        Raises:
            ToolError: ``unsupported`` or ``not_complete`` with the reason, and what the spoke raises.
        """
        project = self._editor.path(call, arguments.path).project
        sent = {"path": arguments.path, "timeout_seconds": arguments.timeout_seconds, **what}
        planned = await ask_spoke(
            self._links,
            project,
            tool,
            {name: value for name, value in sent.items() if value is not None},
            PlannedChanges,
            seconds=arguments.timeout_seconds,
            paths=paths_planned,
            report=call.progress,
        )
        require_whole(planned)
        return planned

    async def make(
        self, call: Call, tool: str, arguments: Wanted, planned: PlannedChanges, *, formats: bool = True
    ) -> EditResult:
        """Make the planned changes as one edit.

        Args:
            call: whose it is.
            tool: the tool's name.
            arguments: its arguments.
            planned: what is to be changed.
            formats: whether the new texts are formatted where the project wants it.

        Raises:
            ToolError: ``conflict`` when a file is not as the caller or the spoke saw it, and what the engine raises.
        """
        path = self._editor.path(call, arguments.path)
        self._editor.require(call, paths_of(planned.changes))

        def fill(draft: Draft) -> None:
            if arguments.expected_hash is not None:
                with about(path):
                    found = draft.find(path)
                    check_hash(found.hash if found else "absent", arguments.expected_hash)
            for change in planned.changes:
                draft_change(draft, change)

        made: Made[None] = await self._editor.draft(
            call, tool, fill, preview=arguments.preview, diagnostics=arguments.diagnostics, formats=formats
        )
        return await tell(made, preview=arguments.preview)


def paths_planned(planned: PlannedChanges) -> Iterable[str]:
    """Give the workspace paths that a plan is about."""
    return map(str, paths_of(planned.changes))


def require_whole(planned: PlannedChanges) -> None:
    """See that a plan is all of it.

    Raises:
        ToolError: ``unsupported``: no server can; ``not_complete``: there may be more.
    """
    if not planned.complete:
        code = "unsupported" if planned.reason == "unsupported" else "not_complete"
        raise ToolError(code, f"{planned.message or planned.reason} Nothing was changed.")


_FORMAT = (
    "Format a file as the project's own formatter does, through its language server. One that is formatted already "
    "stays as it is."
)
_WHAT = (
    "The declaration is what all servers agree on: its whole lines, with the decorators and attributes directly above. "
    "Content may be indented as in the file, or not at all: then it gets the symbol's indentation. "
)
_REPLACE = (
    f"Replace the declaration of a symbol (function, class, method, constant) by new code. {_WHAT}Decorators and "
    "attributes are replaced too: repeat them in content to keep them. Comments directly above stay, unless content "
    "begins with a comment: then that replaces them."
)
_INSERT = (
    f"Put code above or below the declaration of a symbol, with the blank lines that are usual between them. {_WHAT}"
    "before goes above the comments that are directly above the symbol."
)


def code_edit_tools(links: Links, editor: Editor) -> list[Tool[Any]]:
    """Give the tools that edit code by what the language servers know of it.

    Args:
        links: the links to the spokes.
        editor: makes the edits.
    """
    edits = CodeEdits(links, editor)
    return [
        Tool("format_file", "write", _FORMAT, FormatFileArguments, EditResult, edits.format_file),
        Tool("replace_symbol", "write", _REPLACE, ReplaceSymbolArguments, EditResult, edits.replace_symbol),
        Tool("insert_at_symbol", "write", _INSERT, InsertAtSymbolArguments, EditResult, edits.insert_at_symbol),
    ]


class CodeActionsToolArguments(Diagnosed, ActionPlace):
    """A place in code or a stretch of it; and, to make an action, its id."""

    apply: str | None = Field(
        default=None, min_length=1, max_length=100, description="The id of an action from the list for this place."
    )
    expected_hash: str | None = Field(default=None, pattern=HASH, description=EXPECTED)
    preview: bool = Field(default=False, description="With apply: only tell what would be done; nothing is written.")
    diagnostics: Extent | None = Field(
        default=None,
        description="With apply: also tell which errors and warnings the edit introduced and cured: in the edited "
        "files, or in all of their projects. Not with preview.",
    )

    @model_validator(mode="after")
    def _of_an_edit(self) -> CodeActionsToolArguments:
        if self.apply is None and (self.preview or self.diagnostics or self.expected_hash):
            raise ValueError("preview, diagnostics and expected_hash go with apply")
        return self


class CodeActionsResult(EditResult):
    """What is offered; or, with apply, the edit that was made."""

    actions: list[CodeAction] | None = Field(default=None, description="Without apply: what is offered.")
    complete: bool = Field(description="Whether this is everything that the language servers offer.")
    reason: Reason | None = Field(default=None, description="Why it is not complete.")
    message: str | None = Field(default=None, description="The reason in a sentence.")
    title: str | None = Field(default=None, description="With apply: the action.")
    notes: list[str] | None = Field(default=None, description="With apply: what else there is to say.")

    def text(self) -> str:
        """Give a line an action, or the edit."""
        if self.actions is None:
            return "\n".join([f"{one_line(self.title or '')}:", *map(one_line, self.notes or []), super().text()])
        listed = CodeActions(complete=self.complete, reason=self.reason, message=self.message, actions=self.actions)
        return listed.text()


class _Actions:
    def __init__(self, links: Links, editor: Editor) -> None:
        self._links, self._editor, self._edits = links, editor, CodeEdits(links, editor)

    async def code_actions(self, call: Call, arguments: CodeActionsToolArguments) -> CodeActionsResult:
        project = self._editor.path(call, arguments.path).project
        place = arguments.model_dump(include=set(ActionPlace.model_fields), exclude_none=True)
        if arguments.apply is None:
            found = await self._listed(call, project, place, arguments.timeout_seconds)
            return CodeActionsResult(
                files=[],
                actions=found.actions,
                complete=found.complete,
                reason=found.reason,
                message=found.message,
            )
        planned = await ask_spoke(
            self._links,
            project,
            "plan_action",
            {**place, "action": arguments.apply},
            PlannedAction,
            seconds=arguments.timeout_seconds,
            paths=paths_planned,
            report=call.progress,
        )
        require_whole(planned)
        edit = await self._edits.make(call, "code_actions", arguments, planned)
        return CodeActionsResult(**dict(edit), complete=True, title=planned.title, notes=planned.notes or None)

    async def _listed(self, call: Call, project: str, place: dict[str, Any], seconds: float) -> CodeActions:
        ask = partial(ask_spoke, self._links, project, "code_actions", place, CodeActions)
        try:
            return await ask(seconds=seconds, paths=paths_in, report=call.progress)
        except ToolError as error:
            if error.code != "spoke_offline":
                raise
            return CodeActions(complete=False, reason="spoke_offline", message=error.message, actions=[])


_DESCRIPTION = (
    "List the fixes and refactorings that the language servers offer for a place or a stretch of code; with apply, "
    "make one of them, as one edit. Give the place as line and column (with end_line and end_column for a stretch), as "
    "symbol (Class/method), or as line and text (the word meant)."
)


def action_tools(links: Links, editor: Editor) -> list[Tool[Any]]:
    """Give ``code_actions``.

    Args:
        links: the links to the spokes.
        editor: makes the edits.
    """
    handler = _Actions(links, editor).code_actions
    return [Tool("code_actions", "write", _DESCRIPTION, CodeActionsToolArguments, CodeActionsResult, handler)]


_SEARCH_SECONDS = 20.0
_SHOWN = 200  # places found by their text alone, in an answer


class RenameSymbolArguments(Diagnosed, Place):
    """A symbol by a place in code, and its new name."""

    new_name: NewName
    projects: list[str] | None = Field(
        None,
        min_length=1,
        description="Also rename the symbol of the same path (Class/method) in these projects, where their language "
        "servers know it; left out: only in the project of the path.",
    )
    include_text_matches: bool = Field(
        False,
        description="Also rename where only the text is the same: in comments, strings, and files that no language "
        "server connects. Look at text_matches in a preview first.",
    )
    timeout_seconds: float = Field(60.0, gt=0, le=600, description="Seconds to wait for the language servers.")


class TextMatch(Result):
    """The old name in a text, at a place that no language server named."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    line_text: str


class RenamedProject(Result):
    """How many places a language server named in a project; none means that it knows no such symbol."""

    project: str
    places: int
    symbol: str | None = None


class RenameResult(EditResult):
    """The edit, and where the old name stands besides.

    Args:
        text_matches: places that no language server named; renamed only with ``include_text_matches``.
        text_matches_cut: how many more there are.
    """

    old_name: str
    renamed: list[RenamedProject]
    text_matches: list[TextMatch]
    text_matches_cut: int | None = None
    text_matches_included: bool

    def text(self) -> str:
        """Give the edit, then the places found by their text alone."""
        named = (
            ", ".join(
                f"{one.project} ({one.places} {'place' if one.places == 1 else 'places'})"
                for one in self.renamed
                if one.places
            )
            or "no project"
        )
        without = [one.project for one in self.renamed if not one.places]
        lines = [f"{one_line(self.old_name)}: known to the language servers of {named}"]
        path = (self.renamed[0].symbol or self.old_name)[:MAX_LINE]
        lines += [f"no symbol with the path {path!r} in {', '.join(without)}"] if without else []
        also = "renamed too" if self.text_matches_included else "not renamed; include_text_matches renames them too"
        lines += [f"found by the text alone, {also}:"] if self.text_matches else []
        lines += [
            f"  {printable(at.path)}:{at.line}:{at.column}: {one_line(at.line_text.strip())}"
            for at in self.text_matches
        ]
        lines += [f"  [and {self.text_matches_cut} more]"] if self.text_matches_cut else []
        return "\n".join([*lines, super().text()])  # first what there is to decide, then the diffs


@dataclass
class _Rename:
    """What is known of a rename.

    Args:
        old_name: the name that goes.
        symbol: the path of the symbol in its project, like Class/method.
        changes: what the language servers want, by project.
        words: files with the old name, by project.
        symbols: what was renamed in each project.
    """

    old_name: str
    symbol: str
    changes: dict[str, list[FileChange]] = field(default_factory=dict)
    words: dict[str, list[WordFile]] = field(default_factory=dict)
    symbols: dict[str, str | None] = field(default_factory=dict)


class _Renames:
    def __init__(self, links: Links, editor: Editor) -> None:
        self._links, self._editor = links, editor
        self._workspaces = editor.engine.workspaces

    async def rename_symbol(self, call: Call, arguments: RenameSymbolArguments) -> RenameResult:
        own = self._editor.path(call, arguments.path).project
        # The first one decides what the symbol is; all are checked before anything is asked.
        projects = [own, *(name for name in dict.fromkeys(arguments.projects or ()) if name != own)]
        for project in projects:
            call.principal.require_project(project, self._workspaces.projects)
        rename = await self._gather(call, arguments, own, projects)
        if rename.old_name == arguments.new_name:
            raise ToolError("invalid_arguments", f"{rename.old_name!r} is its name already.", arguments.path)
        # What the spokes say may be very much: beside the event loop.
        found = {
            project: await run_sync(without_renamed, files, rename.changes[project])
            for project, files in rename.words.items()
        }
        changes = [change for project in projects for change in rename.changes[project]]
        if arguments.include_text_matches:
            changes = await run_sync(with_matches, changes, found, rename.old_name, arguments.new_name)
        self._editor.require(call, paths_of(changes))

        def fill(draft: Any) -> None:
            for change in changes:
                draft_change(draft, change)

        made = await self._editor.draft(
            call, "rename_symbol", fill, preview=arguments.preview, diagnostics=arguments.diagnostics, formats=True
        )
        return _answer(await tell(made, preview=arguments.preview), rename, found, arguments)

    async def _gather(self, call: Call, arguments: RenameSymbolArguments, own: str, projects: list[str]) -> _Rename:
        """Ask the symbol's own project what is meant; then the others, by the name and where it stands."""
        place = arguments.model_dump(include={"path", "line", "column", "symbol", "text"}, exclude_none=True)
        first = await self._plan(call, own, arguments, place)
        if first.old_name is None:
            raise ToolError("cannot_rename", "The language server does not say what stands at this place.")
        rename = _Rename(first.old_name, first.symbol or first.old_name)
        rename.changes[own], rename.symbols[own] = first.changes, first.symbol
        rename.words[own] = await self._words(own, first.old_name)
        require_meant(arguments, first, rename.words[own], elsewhere=len(projects) > 1)
        for project in projects[1:]:  # only now, as what they have of a name is told
            rename.words[project] = await self._words(project, first.old_name)

        async def plan(project: str) -> PlannedRename:
            paths = [str(file.path) for file in rename.words[project]]
            if not paths:
                return PlannedRename(complete=True, changes=[], declarations=[])
            return await self._plan(call, project, arguments, {"name": rename.symbol, "paths": paths})

        answers = await ask_each(projects[1:], plan)
        for project, answer in answers.items():
            if isinstance(answer, ToolError):
                raise ToolError(answer.code, f"{project}: {answer.message} Nothing was changed.", answer.path)
            rename.changes[project], rename.symbols[project] = answer.changes, answer.symbol
        return rename

    async def _plan(
        self, call: Call, project: str, arguments: RenameSymbolArguments, what: dict[str, Any]
    ) -> PlannedRename:
        """Ask a spoke for what a rename changes; all of it, or a refusal.

        Raises:
            ToolError: ``unsupported`` or ``not_complete`` with the reason, and what the spoke raises.
        """
        sent = {**what, "new_name": arguments.new_name, "timeout_seconds": arguments.timeout_seconds}
        planned = await ask_spoke(
            self._links,
            project,
            "plan_rename",
            sent,
            PlannedRename,
            seconds=arguments.timeout_seconds,
            paths=lambda said: map(str, paths_of(said.changes)),
            report=call.progress,
        )
        if planned.reason == "unsupported":
            raise ToolError("unsupported", f"{project}: {planned.message} Nothing was changed.")
        if not planned.complete:
            raise ToolError(
                "not_complete",
                f"The language server of {project} cannot name all places ({planned.reason}): {planned.message} "
                "Nothing was changed.",
            )
        return planned

    async def _words(self, project: str, word: str) -> list[WordFile]:
        root = self._workspaces.root(project)
        bounds = Bounds(time.monotonic() + _SEARCH_SECONDS)
        return await run_sync(partial(find_word, root, word, bounds), abandon_on_cancel=True)


def _answer(
    edit: EditResult, rename: _Rename, found: dict[str, list[WordFile]], arguments: RenameSymbolArguments
) -> RenameResult:
    matches = [
        TextMatch(
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
    )


def rename_tools(links: Links, editor: Editor) -> list[Tool[Any]]:
    """Give ``rename_symbol``.

    Args:
        links: the links to the spokes.
        editor: makes the edits.
    """
    return [
        Tool(
            "rename_symbol",
            "write",
            "Rename a symbol everywhere, in one or several projects at once, as one edit: all places or none. Give the "
            "place as line and column, as symbol (Class/method), or as line and text (the word meant).",
            RenameSymbolArguments,
            RenameResult,
            _Renames(links, editor).rename_symbol,
        )
    ]
