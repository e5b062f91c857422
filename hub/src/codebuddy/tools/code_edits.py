"""format_file, replace_symbol and insert_at_symbol: planned by a spoke, made as edits like all others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Protocol

from pydantic import Field

from codebuddy.editor.editor import Editor, Made, tell
from codebuddy.edits.draft import Draft, check_hash
from codebuddy.edits.drafting import draft_change, paths_of
from codebuddy.files.confinement import about
from codebuddy.links.fanout import ask_spoke
from codebuddy.links.registry import Links
from codebuddy.schemas.code import PlannedChanges
from codebuddy.schemas.edits import Diagnosed, EditResult, Extent
from codebuddy.schemas.files import EXPECTED, HASH, PATH
from codebuddy.tool import Call, Tool, ToolError

__all__ = ["CodeEdits", "EditsCode", "code_edit_tools", "paths_planned", "require_whole"]


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
