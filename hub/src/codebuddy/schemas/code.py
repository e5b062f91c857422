"""Arguments and answers of the code tools, as hub and agent agree on them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema, model_validator

from codebuddy.schemas.files import FileChange
from codebuddy.schemas.status import LanguageServerState
from codebuddy.tool import LONG_ANSWER, Arguments, Count, Projects, Result, ToolError, counted, filled

SymbolKind = Literal[
    "file",
    "module",
    "namespace",
    "package",
    "class",
    "method",
    "property",
    "field",
    "constructor",
    "enum",
    "interface",
    "function",
    "variable",
    "constant",
    "string",
    "number",
    "boolean",
    "array",
    "object",
    "key",
    "null",
    "enum_member",
    "struct",
    "event",
    "operator",
    "type_parameter",
]
"""What a symbol is, in the order of the protocol's numbers from 1 on (LSP 3.17, "SymbolKind")."""

Reason = Literal[
    "indexing",
    "server_crashed",
    "timed_out",
    "truncated",
    "unsupported",
    "server_error",
    "spoke_offline",
    "not_covered",
]
Severity = Literal["error", "warning", "information", "hint"]

_REASONS: dict[str, Reason] = {"spoke_offline": "spoke_offline", "timed_out": "timed_out"}

_MAX_MESSAGE = 2000  # characters
_Sentence = Annotated[str, AfterValidator(lambda sentence: sentence[:_MAX_MESSAGE])]

_MAX_DEPTH = 50  # levels of indentation: a spoke may claim any depth

Timeout = Annotated[float, Field(gt=0, le=600)]
# No language has a line break or another control character in a name.
NewName = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]


def reason_of(error: ToolError) -> Reason:
    """Return the reason why an answer lacks the part of a project that could not be asked."""
    return _REASONS.get(error.code, "server_error")


# Places in code, as arguments


class PlaceFields(Arguments):
    """A place in code, in any of its forms."""

    path: str | None = None
    line: int | None = Field(default=None, ge=1)
    column: int | None = Field(default=None, ge=1)
    symbol: str | None = Field(default=None, min_length=1)
    text: str | None = Field(default=None, min_length=1)

    def given(self) -> set[str]:
        """Return the names of the fields that are set, except for the path."""
        return {name for name in ("line", "column", "symbol", "text") if getattr(self, name) is not None}

    def is_place(self) -> bool:
        """Say whether this is a place in one of its three forms."""
        return self.path is not None and self.given() in ({"line", "column"}, {"symbol"}, {"line", "text"})


_FORMS = "give the place as line and column, or as symbol, or as line and text"


class Place(PlaceFields):
    """A place in code: a file, and in it a line and column, a symbol, or a word on a line."""

    path: str

    @model_validator(mode="after")
    def _check_one_form(self) -> Place:
        if not self.is_place():
            raise ValueError(_FORMS)
        return self


class HoverArguments(Place):
    """A place in code."""

    timeout_seconds: Timeout = 30.0


class PlaceArguments(HoverArguments):
    """A place in code, and how many locations to return."""

    limit: int = Field(default=500, ge=1, le=5000)
    cursor: str | None = None


class CaretArguments(Arguments):
    """A position between two characters, where somebody would be typing."""

    path: str
    line: int = Field(ge=1)
    column: int | None = Field(default=None, ge=1)
    text: str | None = Field(default=None, min_length=1)
    timeout_seconds: Timeout = 30.0

    @model_validator(mode="after")
    def _check_one_form(self) -> CaretArguments:
        if (self.column is None) == (self.text is None):
            raise ValueError("give the position as line and column, or as line and the text before it")
        return self


# Places in code, as answers


class TextRange(Result):
    """A range of text. Columns count Unicode code points; ``end_column`` is the one after the last character."""

    line: Count
    column: Count
    end_line: Count
    end_column: Count


class Location(TextRange):
    """A range in a file."""

    path: str = Field(description="Workspace path; with external, the server's name for a file outside the project.")
    line_text: str | None = Field(default=None, description="The text of the line; left out outside the project.")
    external: bool | None = Field(
        default=None, description="True for a place outside the project, like a standard library."
    )

    def row(self) -> str:
        """Render it for a lean answer, below its path."""
        return f"{self.line}:{self.column} {self.sentence()}".rstrip()

    def sentence(self) -> str:
        """Render it without its place."""
        return (self.line_text or "").strip()


class Diagnostic(Location):
    """A finding of a language server or compiler."""

    severity: Severity
    message: str
    code: str | None = None
    source: str | None = Field(default=None, description="The tool that reported it, or else the language server.")

    def sentence(self) -> str:
        found_by = " ".join(filter(None, (self.source, self.code)))
        return f"{self.severity}: {self.message}" + (f" [{found_by}]" if found_by else "")


class SymbolLocation(Location):
    """A symbol, at the place of its name."""

    name: str
    kind: str = Field(description="What it is, like function or class; see find_symbols.")
    symbol: str | None = Field(default=None, description="Its path in the file, like Class/method.")
    container: str | None = Field(default=None, description="What contains it, in the language server's words.")
    detail: str | None = Field(default=None, description="More about it, like its signature.")
    full_range: TextRange | None = Field(default=None, description="The whole symbol, with its body.")

    def sentence(self) -> str:
        inside = f" in {self.container}" if self.container and not self.symbol else ""
        return f"{self.kind} {self.symbol or self.name}{inside}" + (f": {self.detail}" if self.detail else "")


def by_file(items: Iterable[Location]) -> dict[str, list[str]]:
    """Group locations for a lean answer: path → a row for each, in their order."""
    files: dict[str, list[str]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item.row())
    return files


def _counted_by_file(items: Collection[Location]) -> dict[str, Any]:
    return {"count": len(items), **filled(files=by_file(items))}


class Completeness(Result):
    """How complete an answer is."""

    complete: bool = Field(
        strict=True, description="Whether this is everything. If false, an empty list does not mean that there is none."
    )
    reason: Reason | None = Field(default=None, description="Why it is not complete.")
    message: str | None = Field(default=None, description="The reason in a sentence.")

    def lean(self) -> dict[str, Any]:
        return {"complete": self.complete, **filled(reason=self.reason, message=self.message)}


class CodeResult(Completeness):
    """An answer about code. One that contradicts itself is invalid."""

    longest = LONG_ANSWER

    message: _Sentence | None = Field(default=None, description="The reason in a sentence.")
    cursor: str | None = Field(default=None, description="Pass this back to get more.")

    @model_validator(mode="after")
    def _check_complete(self) -> CodeResult:
        if self.complete and (self.reason is not None or self.cursor is not None):
            raise ValueError("an answer that is complete has no reason and no cursor")
        return self

    def lean(self) -> dict[str, Any]:
        return super().lean() | filled(cursor=self.cursor)


def paths_in(answer: Any) -> Iterator[str]:
    """Return every workspace path that an answer names as a place, at any depth, except those outside all projects.

    A place that claims to be outside counts as inside if its path looks like a workspace path.
    """
    if isinstance(answer, Location) and not (answer.external and re.match(r"/|[A-Za-z][\w.+-]*:", answer.path)):
        yield answer.path
    if type(answer) is Location:
        return
    if isinstance(answer, CodeResult) and isinstance(path := getattr(answer, "path", None), str):
        yield path
    for inner in vars(answer).values() if isinstance(answer, BaseModel) else answer or ():
        if isinstance(inner, BaseModel | list):
            yield from paths_in(inner)


# Definitions, implementations and references


class LocationsResult(CodeResult):
    """Locations, sorted by path and place."""

    locations: list[Location]

    def lean(self) -> dict[str, Any]:
        return super().lean() | _counted_by_file(self.locations)


class ReferencesArguments(PlaceFields):
    """A place in code; or a symbol's name alone, which is looked up in every file of the projects."""

    projects: Projects = None
    timeout_seconds: Timeout = 30.0
    limit: int = Field(default=500, ge=1, le=5000)
    cursor: str | None = None

    @model_validator(mode="after")
    def _check_one_form(self) -> ReferencesArguments:
        by_name = self.path is None and self.given() == {"symbol"}
        if not by_name and not (self.is_place() and self.projects is None):
            raise ValueError(f"{_FORMS}, with its path; or symbol without a path, with or without projects")
        return self

    def place(self) -> Place | None:
        """Return the place; None when a name is given instead."""
        if self.path is None:
            return None
        return Place(path=self.path, line=self.line, column=self.column, symbol=self.symbol, text=self.text)


class ReferencesResult(LocationsResult):
    """Locations; if a name was asked for, also all symbols that have it."""

    symbols: list[SymbolLocation] | None = Field(default=None, description="The symbols that the name stands for.")
    text_matches: list[Location] | None = Field(
        default=None, description="Places of the name in code of which no language server knows what stands there."
    )
    text_matches_cut: int | None = Field(default=None, description="How many more such places there are.")

    def lean(self) -> dict[str, Any]:
        answer = super().lean() | filled(text_matches=by_file(self.text_matches or ()))
        answer |= filled(text_matches_cut=self.text_matches_cut)
        if self.symbols:
            return {"complete": self.complete, "symbols": by_file(self.symbols), **answer}
        nothing = self.symbols is not None and self.complete
        return {**answer, "message": "No symbol has that name."} if nothing else answer


# Symbols


class DocumentSymbolsArguments(Arguments):
    """A file."""

    path: str
    timeout_seconds: Timeout = 30.0
    limit: int = Field(default=500, ge=1, le=5000)
    cursor: str | None = None


class FindSymbolsArguments(Arguments):
    """A symbol's name, or a part of it."""

    query: str = Field(min_length=1, max_length=500, description="A part of the name, or Class/method.")
    kinds: Annotated[list[SymbolKind] | None, WithJsonSchema({"type": "array", "items": {"type": "string"}})] = Field(
        default=None, min_length=1, description="Like class, interface, function, method."
    )
    projects: Projects = None
    include_external: bool = Field(default=False, description="Also of libraries.")
    timeout_seconds: Timeout = 30.0
    limit: int = Field(default=200, ge=1, le=5000)
    cursor: str | None = None


class SymbolsOfFile(CodeResult):
    """The symbols of a file, each before those inside it."""

    path: str
    symbols: list[SymbolLocation]

    def lean(self) -> dict[str, Any]:
        rows = []
        for one in self.symbols:
            whole = one.full_range
            long = whole is not None and whole.end_line > whole.line
            rows.append(one.row() + (f", lines {whole.line}-{whole.end_line}" if whole and long else ""))
        return super().lean() | counted(symbols=rows)


class FoundSymbols(CodeResult):
    """Symbols of a project, the best match first."""

    symbols: list[SymbolLocation]

    def lean(self) -> dict[str, Any]:
        return super().lean() | _counted_by_file(self.symbols)


# Hover, completions and signatures


class HoverResult(CodeResult):
    """What the language server knows about a place."""

    contents: str = Field(description="As Markdown; empty if nothing is known.")
    range: TextRange | None = Field(default=None, description="The code that it describes.")

    def lean(self) -> dict[str, Any]:
        nothing = "Nothing is known of this place." if self.complete and not self.contents else self.message
        return super().lean() | filled(message=nothing, contents=self.contents)


class CompletionArguments(CaretArguments):
    """A position at which to complete a word."""

    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str | None = None


class Completion(Result):
    """One way to complete the word."""

    label: str
    kind: str | None = None
    detail: str | None = None
    documentation: str | None = Field(default=None, description="As Markdown; only for the first ones on a page.")
    insert_text: str = Field(description="The text that replaces the word that ends at the position.")

    def row(self) -> str:
        """Render it for a lean answer."""
        inserted = f" → {self.insert_text}" if self.insert_text != self.label else ""
        kind = f"({self.kind})" if self.kind else ""
        kind = "" if (self.detail or "").startswith(kind) else kind  # some servers say it there too
        return " ".join(filter(None, (self.label, kind, self.detail))) + inserted


class Completions(CodeResult):
    """Completions, the likeliest first."""

    items: list[Completion]
    is_incomplete: bool = Field(description="Whether the server may find more once more of the word is written.")

    def lean(self) -> dict[str, Any]:
        rows = [item.row() for item in self.items]
        return super().lean() | filled(is_incomplete=self.is_incomplete) | counted(items=rows)


class Parameter(Result):
    """A parameter of a signature."""

    label: str
    documentation: str | None = None


class Signature(Result):
    """One way to call something."""

    label: str
    documentation: str | None = None
    parameters: list[Parameter]
    active_parameter: Count | None = Field(default=None, description="Index of the parameter at the position.")


class SignatureHelp(CodeResult):
    """The signatures of what is being called at a position."""

    signatures: list[Signature]
    active_signature: Count | None = Field(default=None, description="Index of the one that fits so far.")

    def lean(self) -> dict[str, Any]:
        """Put the active signature first, with the parameter at the position."""
        active = self.active_signature or 0
        ordered = [*self.signatures[active : active + 1], *self.signatures[:active], *self.signatures[active + 1 :]]
        answer = super().lean() | counted(signatures=[one.label for one in ordered])
        at = ordered[0].active_parameter if ordered else None
        if at is not None and at < len(ordered[0].parameters):
            answer["active_parameter"] = ordered[0].parameters[at].label
        return answer


# Call and type hierarchies


class _HierarchyArguments(HoverArguments):
    depth: int = Field(default=1, ge=1, le=10)
    limit: int = Field(default=200, ge=1, le=1000)
    cursor: str | None = None


class CallHierarchyArguments(_HierarchyArguments):
    """A function, and which calls to follow from it."""

    direction: Literal["incoming", "outgoing"] = Field(description="incoming: callers.")


class TypeHierarchyArguments(_HierarchyArguments):
    """A type, and which way to follow its inheritance."""

    direction: Literal["supertypes", "subtypes"]


class HierarchyItem(SymbolLocation):
    """A function or type in a hierarchy, at the place of its name."""

    id: Count = Field(description="Its number in this answer.")
    parent: Count | None = Field(default=None, description="The id of the item that led to it.")
    depth: Count = Field(description="How many steps away it is.")
    calls: list[Location] | None = Field(default=None, description="Where the calls are.")
    repeated: bool | None = Field(default=None, description="True: it is shown above, with what follows from it.")

    def row(self) -> str:
        """Render it for a lean answer, indented by its depth."""
        at = ", ".join(f"{one.line}:{one.column}" for one in self.calls or [])
        notes = (f", calls at {at}" if at else "") + (" (see above)" if self.repeated else "")
        indent = "  " * min(self.depth, _MAX_DEPTH)
        # A file that calls something outside of all functions is named by its path.
        what = self.kind if self.name.endswith(self.path.partition("/")[2]) else self.sentence()
        return f"{indent}{what} {self.path}:{self.line}:{self.column}{notes}"


class Hierarchy(CodeResult):
    """A hierarchy, each item before those that it leads to."""

    direction: str
    items: list[HierarchyItem]

    def lean(self) -> dict[str, Any]:
        return super().lean() | counted(items=[item.row() for item in self.items])


# Diagnostics


class DiagnosticsArguments(Arguments):
    """What to check: a file, a directory, or whole projects."""

    path: str | None = Field(default=None, description="File or directory.")
    projects: Projects = None
    timeout_seconds: Timeout = 30.0
    limit: int = Field(default=200, ge=1, le=5000)
    cursor: str | None = None


class Diagnostics(CodeResult):
    """Diagnostics, sorted by path and place."""

    diagnostics: list[Diagnostic]

    def lean(self) -> dict[str, Any]:
        return super().lean() | _counted_by_file(self.diagnostics)


class DiagnosticsResult(Diagnostics):
    """Diagnostics of one project, sorted by path and place."""

    checked_files: Count = Field(description="How many files were checked for this answer.")

    def lean(self) -> dict[str, Any]:
        return {"complete": self.complete, "checked_files": self.checked_files, **super().lean()}


# Changes that a spoke plans and the hub makes


class Plan(CodeResult):
    """What an edit of code would change; nothing was written. An incomplete answer has no changes."""

    changes: list[FileChange] = Field(description="In the order in which they apply; empty if there is none to make.")


class PlannedChanges(Plan):
    """What formatting or an edit at a symbol would change; nothing was written."""

    server: str | None = Field(default=None, description="The language server that was asked.")


class RenameArguments(PlaceFields):
    """What to rename, by a place in a file or by the name of a symbol in some files; and its new name."""

    name: str | None = Field(
        default=None, min_length=1, description="Instead of a place: the symbol's exact path, like Class/method."
    )
    paths: list[str] | None = Field(
        default=None, max_length=2000, description="With name: workspace paths of the files that may declare it."
    )
    new_name: NewName
    timeout_seconds: Timeout = 30.0

    @model_validator(mode="after")
    def _check_one_form(self) -> RenameArguments:
        by_place = self.is_place() and self.name is None and self.paths is None
        by_name = self.name is not None and self.paths is not None and self.path is None and not self.given()
        if not by_place and not by_name:
            raise ValueError(
                "give a place (path with line and column, symbol, or line and text), or name together with paths"
            )
        return self


class PlannedRename(Plan):
    """What a rename would change; nothing was written. An incomplete answer has no changes."""

    old_name: str | None = Field(default=None, description="The name that is replaced.")
    symbol: str | None = Field(default=None, description="The path of the renamed symbol, like Class/method.")
    declarations: list[Location] = Field(description="Where the renamed symbols are declared.")
    left_out: list[Location] = Field(
        default_factory=list, description="Places that use it, or probably do, and are not in the changes."
    )
    why_left_out: _Sentence | None = Field(default=None, description="Why there are, or may be, such places.")


class PlanMoveArguments(Arguments):
    """A file or directory, and its new path."""

    source: str
    target: str
    timeout_seconds: Timeout = 30.0


class PlannedMove(Plan):
    """How imports change with a move; if that is not complete, the message says what nobody looked at."""

    served: bool = Field(default=True, description="Whether any language server serves what moves.")
    covered: list[str] = Field(
        default_factory=list, max_length=200, description="Globs of file names: in such files every import is right."
    )


class PlanFormatArguments(Arguments):
    """A file to format."""

    path: str
    timeout_seconds: Timeout = 30.0


class FormatTextArguments(PlanFormatArguments):
    """A text to format as a file; the file need not exist, nor have this text."""

    content: str = Field(description="The text, with its real line breaks and without byte order mark.")


class FormattedText(CodeResult):
    """A formatted text. Without ``content`` the text stays as it is: formatted already, or not complete."""

    served: bool = Field(description="Whether any language server serves such a file.")
    content: str | None = Field(default=None, description="The new text, if it differs.")
    server: str | None = Field(default=None, description="The language server that was asked.")


class SymbolArguments(PlanFormatArguments):
    """A symbol of a file."""

    symbol: str = Field(min_length=1, description="Its name, like Class/method.")
    line: int | None = Field(default=None, ge=1, description="Of its name, where several have that name.")


class SymbolEditArguments(SymbolArguments):
    """A symbol, and code to put in its place or beside it."""

    action: Literal["replace", "before", "after"]
    content: str = Field(description="The code.")


class ActionPlace(PlaceFields):
    """A place or range in code."""

    path: str
    end_line: int | None = Field(default=None, ge=1)
    end_column: int | None = Field(default=None, ge=1, description="Exclusive.")
    kinds: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Like quickfix, refactor.extract, source.organizeImports.",
    )
    timeout_seconds: Timeout = 30.0

    @model_validator(mode="after")
    def _check_one_form(self) -> ActionPlace:
        ends = (self.end_line is None, self.end_column is None)
        if not self.is_place() or ends not in ((True, True), (False, False)):
            raise ValueError(
                "give line and column, with or without end_line and end_column; or symbol; or line and text"
            )
        if self.end_line is not None and self.column is None:
            raise ValueError("end_line and end_column go with line and column")
        if (self.end_line or 0, self.end_column or 0) < (self.line or 0, self.column or 0) and not all(ends):
            raise ValueError("the range ends before it begins")
        return self


class CodeActionsArguments(ActionPlace):
    """Where to look for actions."""


class PlanActionArguments(ActionPlace):
    """Where an action was offered, and which one."""

    action: str = Field(min_length=1, max_length=100, description="Its id.")


class CodeAction(Result):
    """A fix or refactoring that a language server offers."""

    id: str = Field(description="For apply; valid as long as the text stays as it is.")
    title: str
    kind: str | None = Field(default=None, description="Like quickfix or refactor.extract.")
    server: str = Field(description="The language server that offers it.")
    preferred: bool | None = Field(default=None, description="True: the server considers it the right one.")
    disabled: str | None = Field(default=None, description="Why it cannot be applied here.")
    fixes: list[str] | None = Field(default=None, description="The diagnostics that it resolves.")

    def row(self) -> str:
        """Render it for a lean answer, after its id."""
        notes = [self.kind, self.server, "preferred" if self.preferred else None]
        notes += [f"disabled: {self.disabled}" if self.disabled else None]
        return f"{self.title} ({', '.join(filter(None, notes))})"


class CodeActions(CodeResult):
    """What the language servers of a file offer for a place."""

    actions: list[CodeAction]

    def lean(self) -> dict[str, Any]:
        return super().lean() | counted(actions={one.id: one.row() for one in self.actions})


class PlannedAction(PlannedChanges):
    """What an action would change."""

    title: str | None = None
    notes: list[str] = Field(default_factory=list, description="Further remarks.")


# The language servers themselves


class FilesChangedArguments(Arguments):
    """Files that were written, created, moved or deleted, by anyone."""

    paths: list[str] = Field(max_length=10_000, description="Paths relative to the project's directory.")


class FilesChangedResult(Result):
    """The language servers were notified."""

    told: Count = Field(description="How many language servers were notified.")


class RestartArguments(Arguments):
    """Which of a project's language servers to restart."""

    name: str | None = Field(None, description="As list_projects names it; left out: all.")
    timeout_seconds: Timeout = 30.0


class ServerStates(Result):
    """The states of a project's language servers."""

    language_servers: list[LanguageServerState]

    def lean(self) -> dict[str, Any]:
        return {"language_servers": [one.row() for one in self.language_servers]}
