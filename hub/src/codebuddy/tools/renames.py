"""rename_symbol: in every project where a language server knows the symbol, as one edit."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from pydantic import Field

from codebuddy.editor.editor import Editor, tell
from codebuddy.editor.text_matches import require_meant, with_matches, without_renamed
from codebuddy.edits.drafting import draft_change, paths_of
from codebuddy.files.search import WordFile, find_word
from codebuddy.files.walking import Bounds
from codebuddy.links.fanout import ask_each, ask_spoke
from codebuddy.links.registry import Links
from codebuddy.schemas.code import NewName, Place, PlannedRename
from codebuddy.schemas.edits import Diagnosed, EditResult
from codebuddy.schemas.files import FileChange
from codebuddy.text_safety import MAX_LINE, one_line, printable
from codebuddy.tool import Call, Result, Tool, ToolError

__all__ = ["RenameResult", "RenameSymbolArguments", "rename_tools"]

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
