"""Arguments and answers of the code tools: what hub and spoke agree on. Importing this starts nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, model_validator

from codebuddy.schemas.files import PATH, FileChange
from codebuddy.schemas.status import LanguageServerState
from codebuddy.text_safety import one_line, paragraph
from codebuddy.tool import Arguments, Count, Result, ToolError

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
"""What a symbol is; in the order of the protocol's numbers, from 1 on (LSP 3.17, "SymbolKind")."""

L = TypeVar("L", bound="Location")

Reason = Literal["indexing", "server_crashed", "timed_out", "truncated", "unsupported", "server_error", "spoke_offline"]
_REASONS: dict[str, Reason] = {"spoke_offline": "spoke_offline", "timed_out": "timed_out"}
Severity = Literal["error", "warning", "information", "hint"]

TIMEOUT = Field(
    default=30.0, gt=0, le=600, description="Seconds to wait for an answer, loading of the language server included."
)
CURSOR = Field(default=None, description="The cursor of the previous answer, to go on from there.")
_FORMS = ({"line", "column"}, {"symbol"}, {"line", "text"})
MAX_PATH_SHOWN = 4096  # characters
_MESSAGE_INDENT = 6
PLACE_FORMS_TOLD = "give the place as line and column, or as symbol, or as line and text"
_MAX_MESSAGE = 2000  # characters

# No language has a line break or another control character in a name.
NewName = Annotated[
    str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$", description="The new name.")
]


class PlaceFields(Arguments):
    """What a place in code is given by, in any of its forms."""

    path: str | None = Field(default=None, description="Workspace path of the file, like project-a/src/utils.ts.")
    line: int | None = Field(default=None, ge=1, description="Line, counted from 1.")
    column: int | None = Field(default=None, ge=1, description="Column, counted from 1 in Unicode code points.")
    symbol: str | None = Field(
        default=None, min_length=1, description="Name of a symbol in the file, like Class/method."
    )
    text: str | None = Field(default=None, min_length=1, description="The word on that line that is meant.")

    def given(self) -> set[str]:
        """Give the names of what is given of a place but for its path."""
        return {name for name in ("line", "column", "symbol", "text") if getattr(self, name) is not None}

    def is_place(self) -> bool:
        """Say whether this is a place in one of its three forms."""
        return self.path is not None and self.given() in _FORMS


class Place(PlaceFields):
    """A place in code: a file, and in it a line and column, or a symbol, or a word on a line."""

    path: str = Field(description="Workspace path of the file, like project-a/src/utils.ts.")

    @model_validator(mode="after")
    def _one_form(self) -> Place:
        if not self.is_place():
            raise ValueError(PLACE_FORMS_TOLD)
        return self


class PlaceArguments(Place):
    """A place in code, and how much of an answer is wanted."""

    timeout_seconds: float = TIMEOUT
    limit: int = Field(default=500, ge=1, le=5000, description="The most locations to give.")
    cursor: str | None = CURSOR


class RenameArguments(PlaceFields):
    """What to rename, by a place in a file or by the name of a symbol in any of some files; and its new name."""

    name: str | None = Field(
        default=None, min_length=1, description="In place of a place: the symbol's path, like Class/method, exactly."
    )
    paths: list[str] | None = Field(
        default=None, max_length=2000, description="With name: workspace paths of the files that may declare it."
    )
    new_name: NewName
    timeout_seconds: float = TIMEOUT

    @model_validator(mode="after")
    def _one_form(self) -> RenameArguments:
        by_place = self.is_place() and self.name is None and self.paths is None
        by_name = self.name is not None and self.paths is not None and self.path is None and not self.given()
        if not by_place and not by_name:
            raise ValueError(
                "give a place (path with line and column, symbol, or line and text), or name together with paths"
            )
        return self


class DiagnosticsArguments(Arguments):
    """What to check: a file, a directory, or the whole project."""

    path: str | None = Field(
        default=None, description="Workspace path of a file or directory; left out: the whole project."
    )
    projects: list[str] | None = Field(
        default=None, description="Ids of the projects; left out: all that the token covers."
    )
    timeout_seconds: float = TIMEOUT
    limit: int = Field(default=200, ge=1, le=5000, description="The most diagnostics to give.")
    cursor: str | None = CURSOR


class FilesChangedArguments(Arguments):
    """Files that were written, created, moved or deleted, by whomever."""

    paths: list[str] = Field(max_length=10_000, description="Paths relative to the project's directory.")


class TextRange(Result):
    """A stretch of text. Columns count Unicode code points; ``end_column`` is the one after the last character."""

    line: Count
    column: Count
    end_line: Count
    end_column: Count


class Location(TextRange):
    """A stretch of a file."""

    path: str = Field(description="Workspace path; with external, the server's name for a file outside the project.")
    line_text: str | None = Field(default=None, description="The text of the line; left out outside the project.")
    external: bool | None = Field(
        default=None, description="True for a place outside the project, like a standard library."
    )

    def shown_line(self) -> str:
        """Give the text of its line for a readable answer."""
        return one_line((self.line_text or "").strip())


class Diagnostic(Location):
    """A finding of a language server or compiler."""

    severity: Severity
    message: str
    code: str | None = None
    source: str | None = Field(default=None, description="Who found it: the tool, or else the language server.")

    def sentence(self) -> str:
        """Give it without its place; further lines of the message are further in than any place."""
        found_by = f" [{one_line(self.source)}]" if self.source else ""
        return f"{self.severity}: {paragraph(self.message, _MESSAGE_INDENT)}{found_by}"


def _cut(message: str) -> str:
    return message[:_MAX_MESSAGE]


class CodeResult(Result):
    """What every answer of a code tool says of itself; a spoke's answer that contradicts itself is none."""

    complete: bool = Field(
        strict=True,
        description="Whether this is everything. If not, an empty list does not mean that there is nothing.",
    )
    reason: Reason | None = Field(default=None, description="Why it is not complete.")
    message: Annotated[str, AfterValidator(_cut)] | None = Field(default=None, description="The reason in a sentence.")
    cursor: str | None = Field(default=None, description="Give this back to get more.")

    @model_validator(mode="after")
    def _agrees(self) -> CodeResult:
        if self.complete and (self.reason is not None or self.cursor is not None):
            raise ValueError("an answer that is complete has no reason and no cursor")
        return self

    def _summary(self, count: int, noun: str) -> str:
        shown = f"{count} {noun}{'' if count == 1 else 's'}"
        if self.complete:
            return f"{shown}."
        return f"{shown}; not complete ({self.reason}). {one_line(self.message or '')}".strip()


class LocationsResult(CodeResult):
    """Locations, sorted by path and place."""

    locations: list[Location]

    def text(self) -> str:
        """Give the locations by file, and whether that is all."""
        lines = grouped(self.locations, Location.shown_line)
        return "\n".join([*lines, self._summary(len(self.locations), "location")])


class DiagnosticsResult(CodeResult):
    """Diagnostics, sorted by path and place."""

    diagnostics: list[Diagnostic]
    checked_files: Count = Field(description="How many files were checked for this answer.")

    def text(self) -> str:
        """Give the diagnostics by file, and whether that is all."""
        lines = grouped(self.diagnostics, Diagnostic.sentence)
        return "\n".join([*lines, self._summary(len(self.diagnostics), "diagnostic")])


class PlannedRename(CodeResult):
    """What a rename would change; nothing was written. An answer that is not complete has no changes."""

    changes: list[FileChange] = Field(description="In the order in which they apply.")
    old_name: str | None = Field(default=None, description="The name that is replaced.")
    symbol: str | None = Field(default=None, description="The path of the renamed symbol, like Class/method.")
    declarations: list[Location] = Field(description="Where the renamed things are declared.")

    def text(self) -> str:
        """Give a line a changed path, and whether that is all."""
        return "\n".join(
            [*(one_line(change.path) for change in self.changes), self._summary(len(self.changes), "change")]
        )


def grouped(items: Iterable[L], shown: Callable[[L], str]) -> list[str]:
    """Write locations for a model to read: each file once, below it a line a place.

    Args:
        items: sorted by path.
        shown: gives what stands beside a place, as `one_line` or `paragraph` give it.
    """
    lines, path = [], None
    for item in items:
        if item.path != path:
            path = item.path
            lines.append(one_line(path, MAX_PATH_SHOWN))
        lines.append(f"  {item.line}:{item.column}  {shown(item)}".rstrip())
    return lines


def reason_of(error: ToolError) -> Reason:
    """Give why an answer lacks the part of a project that could not be asked."""
    return _REASONS.get(error.code, "server_error")


def paths_in(answer: Any) -> Iterator[str]:
    """Give every workspace path that an answer names as a place, however deep; those outside of all projects not.

    What only says that it is outside counts as inside when it looks like a workspace path.
    """
    if isinstance(answer, Location) and not (answer.external and re.match(r"/|[A-Za-z][\w.+-]*:", answer.path)):
        yield answer.path
    if type(answer) is Location:
        return
    if isinstance(answer, CodeResult) and isinstance(path := getattr(answer, "path", None), str):
        yield path
    if isinstance(answer, BaseModel):
        for _, inner in answer:
            yield from paths_in(inner)
    elif isinstance(answer, list):
        for inner in answer:
            yield from paths_in(inner)


class FilesChangedResult(Result):
    """The language servers were told."""

    told: Count = Field(description="How many language servers were told.")


MAX_DEPTH_SHOWN = 50
"""What is deeper than this is not further in; a spoke may say any depth."""


class SymbolLocation(Location):
    """A symbol; the place is that of its name."""

    name: str
    kind: str = Field(description="What it is, like function or class; see find_symbols.")
    symbol: str | None = Field(default=None, description="Its path in the file, like Class/method.")
    container: str | None = Field(default=None, description="What it is in, as the language server puts it.")
    detail: str | None = Field(default=None, description="More of it, like its signature.")
    full_range: TextRange | None = Field(default=None, description="All of it, with its body.")

    def sentence(self) -> str:
        """Give it in a line, without its place."""
        inside = f" in {self.container}" if self.container else ""
        return one_line(f"{self.kind} {self.symbol or self.name}{inside}" + (f": {self.detail}" if self.detail else ""))


class ReferencesResult(LocationsResult):
    """Locations, and the symbols that are meant if a name was given: all that have it."""

    symbols: list[SymbolLocation] | None = Field(default=None, description="Which symbols are meant by the name.")

    def text(self) -> str:
        """Give the symbols that are meant, then the locations."""
        if self.symbols is None:
            return super().text()
        if self.complete and not self.symbols and not self.locations:
            return "no symbol of that name"
        meant = grouped(self.symbols, SymbolLocation.sentence) or ["  none"]
        return "\n".join(["meant:", *meant, "used:", super().text()])


class ReferencesArguments(PlaceFields):
    """A place in code; or a symbol's name alone, which is looked up in every file of the projects."""

    symbol: str | None = Field(
        default=None,
        min_length=1,
        description="Name of a symbol in the file, like Class/method; without a path, of any symbol of the projects.",
    )
    projects: list[str] | None = Field(
        default=None, min_length=1, description="With symbol and no path: ids of projects; left out: all."
    )
    timeout_seconds: float = TIMEOUT
    limit: int = Field(default=500, ge=1, le=5000, description="The most locations to give.")
    cursor: str | None = CURSOR

    @model_validator(mode="after")
    def _one_form(self) -> ReferencesArguments:
        by_name = self.path is None and self.given() == {"symbol"}
        if not by_name and not (self.is_place() and self.projects is None):
            raise ValueError(f"{PLACE_FORMS_TOLD}, with its path; or symbol without a path, with or without projects")
        return self

    def place(self) -> Place | None:
        """Give the place; None when a name is given in its stead."""
        if self.path is None:
            return None
        return Place(path=self.path, line=self.line, column=self.column, symbol=self.symbol, text=self.text)


class DocumentSymbolsArguments(Arguments):
    """A file whose symbols are wanted."""

    path: str = Field(description="Workspace path of the file, like project-a/src/utils.ts.")
    timeout_seconds: float = TIMEOUT
    limit: int = Field(default=500, ge=1, le=5000, description="The most symbols to give.")
    cursor: str | None = CURSOR


class FindSymbolsArguments(Arguments):
    """A name, or a part of one, that symbols of the projects have."""

    query: str = Field(
        min_length=1, max_length=500, description="A part of the name, upper or lower case; or a path, Class/method."
    )
    kinds: list[SymbolKind] | None = Field(default=None, min_length=1, description="Only symbols of these kinds.")
    projects: list[str] | None = Field(
        default=None, min_length=1, description="Ids of the projects; left out: all that the token covers."
    )
    include_external: bool = Field(default=False, description="Also symbols of libraries outside the projects.")
    timeout_seconds: float = TIMEOUT
    limit: int = Field(default=200, ge=1, le=5000, description="The most symbols to give.")
    cursor: str | None = CURSOR


class SymbolsOfFile(CodeResult):
    """The symbols of a file, each before those in it."""

    path: str
    symbols: list[SymbolLocation]

    def text(self) -> str:
        """Give a line a symbol, further in the deeper it is."""
        lines = [one_line(self.path, MAX_PATH_SHOWN)]
        for item in self.symbols:
            lines_of = item.full_range
            span = f"{lines_of.line}-{lines_of.end_line}" if lines_of else str(item.line)
            depth = min((item.symbol or "").count("/"), MAX_DEPTH_SHOWN)
            detail = f": {item.detail}" if item.detail else ""
            what = one_line(f"{item.kind} {item.name}{detail}")
            lines.append(f"  {'  ' * depth}{what}  [{item.line}:{item.column}, lines {span}]")
        return "\n".join([*lines, self._summary(len(self.symbols), "symbol")])


class FoundSymbols(CodeResult):
    """Symbols of a project, the best match first."""

    symbols: list[SymbolLocation]

    def text(self) -> str:
        """Give the symbols by file, and whether that is all."""
        return "\n".join([*grouped(self.symbols, SymbolLocation.sentence), self._summary(len(self.symbols), "symbol")])


_MAX_CONTENTS = 25_000  # characters; more than a spoke gives


class HoverArguments(Place):
    """A place in code that something is to be known of."""

    timeout_seconds: float = TIMEOUT


class CaretArguments(Arguments):
    """A place between two characters, where somebody would be typing."""

    path: str = Field(description="Workspace path of the file, like project-a/src/utils.ts.")
    line: int = Field(ge=1, description="Line, counted from 1.")
    column: int | None = Field(
        default=None, ge=1, description="Column of the character behind the place, counted from 1 in code points."
    )
    text: str | None = Field(default=None, min_length=1, description="The text on that line that ends at the place.")
    timeout_seconds: float = TIMEOUT

    @model_validator(mode="after")
    def _one_form(self) -> CaretArguments:
        if (self.column is None) == (self.text is None):
            raise ValueError("give the place as line and column, or as line and the text before it")
        return self


class CompletionArguments(CaretArguments):
    """A place at which something is to be completed, and how much of an answer is wanted."""

    limit: int = Field(default=50, ge=1, le=1000, description="The most completions to give.")
    cursor: str | None = CURSOR


class HoverResult(CodeResult):
    """What is known of the thing at a place."""

    contents: str = Field(description="As Markdown; empty if nothing is known.")
    range: TextRange | None = Field(default=None, description="What it is about.")

    def text(self) -> str:
        """Give the contents, and whether that is all."""
        shown = paragraph(self.contents, longest=_MAX_CONTENTS)
        return shown if self.complete and shown else f"{shown}\n{self._told()}".strip()

    def _told(self) -> str:
        if self.complete:
            return "Nothing is known of this place."
        return f"Not complete ({self.reason}). {one_line(self.message or '')}".strip()


class Completion(Result):
    """One way to go on."""

    label: str
    kind: str | None = None
    detail: str | None = None
    documentation: str | None = Field(default=None, description="As Markdown; only of the first ones on a page.")
    insert_text: str = Field(description="What to write in place of the word that ends at the place.")


class Completions(CodeResult):
    """Ways to go on, the likeliest first."""

    items: list[Completion]
    is_incomplete: bool = Field(description="Whether the server may know of more when more of the word is there.")

    def text(self) -> str:
        """Give a line a completion, and whether that is all."""
        lines = [
            one_line(f"{item.label}  ({item.kind})" + (f"  {item.detail}" if item.detail else ""))
            for item in self.items
        ]
        lines += ["More may be known when more of the word is written."] if self.is_incomplete else []
        return "\n".join([*lines, self._summary(len(self.items), "completion")])


class Parameter(Result):
    """A parameter of a signature."""

    label: str
    documentation: str | None = None


class Signature(Result):
    """One way to call something."""

    label: str
    documentation: str | None = None
    parameters: list[Parameter]
    active_parameter: Count | None = Field(default=None, description="Index of the parameter at the place.")


class SignatureHelp(CodeResult):
    """The ways to call what is being called at a place."""

    signatures: list[Signature]
    active_signature: Count | None = Field(default=None, description="Index of the one that fits so far.")

    def text(self) -> str:
        """Give a line a signature, the active one marked, and whether that is all."""
        lines = []
        for index, one in enumerate(self.signatures):
            at = one.active_parameter
            now = f"  (at {one.parameters[at].label})" if at is not None and at < len(one.parameters) else ""
            lines.append(f"{'>' if index == self.active_signature else ' '} {one_line(one.label + now)}")
        return "\n".join([*lines, self._summary(len(self.signatures), "signature")])


_DEPTH = Field(default=1, ge=1, le=10, description="How many steps to go.")
_LIMIT = Field(default=200, ge=1, le=1000, description="The most items to give.")


class CallHierarchyArguments(Place):
    """A function, and which way to go from it."""

    direction: Literal["incoming", "outgoing"] = Field(description="incoming: who calls it; outgoing: whom it calls.")
    depth: int = _DEPTH
    timeout_seconds: float = TIMEOUT
    limit: int = _LIMIT
    cursor: str | None = CURSOR


class TypeHierarchyArguments(Place):
    """A type, and which way to go from it."""

    direction: Literal["supertypes", "subtypes"] = Field(
        description="supertypes: what it derives from; subtypes: what derives from it."
    )
    depth: int = _DEPTH
    timeout_seconds: float = TIMEOUT
    limit: int = _LIMIT
    cursor: str | None = CURSOR


class HierarchyItem(SymbolLocation):
    """A function or type in a hierarchy; the place is that of its name."""

    id: Count = Field(description="Its number in this answer.")
    parent: Count | None = Field(default=None, description="The id of the item that led to it.")
    depth: Count = Field(description="How many steps away it is.")
    calls: list[Location] | None = Field(default=None, description="Where the calls are.")
    repeated: bool | None = Field(default=None, description="True where the way goes on as above.")


class Hierarchy(CodeResult):
    """A hierarchy, each item before those that it leads to."""

    direction: str
    items: list[HierarchyItem]

    def text(self) -> str:
        """Give a line an item, further in the more steps away it is."""
        lines = []
        for item in self.items:
            at = [f"{one.line}:{one.column}" for one in item.calls or []]
            calls = f"  calls at {', '.join(at)}" if at else ""
            again = "  (see above)" if item.repeated else ""
            place = f"{one_line(item.path, MAX_PATH_SHOWN)}:{item.line}:{item.column}"
            lines.append(f"{'  ' * min(item.depth, MAX_DEPTH_SHOWN)}{item.sentence()}  {place}{calls}{again}")
        return "\n".join([one_line(self.direction), *lines, self._summary(len(self.items), "item")])


_TIMEOUT = Field(default=30.0, gt=0, le=600, description="Seconds to wait for the language server.")


class PlanFormatArguments(Arguments):
    """A file to format."""

    path: str = Field(description=PATH)
    timeout_seconds: float = _TIMEOUT


class FormatTextArguments(Arguments):
    """A text to format as a file; the file need not be there, nor have this text."""

    path: str = Field(description=PATH)
    content: str = Field(description="The text, with its real line breaks and without byte order mark.")
    timeout_seconds: float = _TIMEOUT


class SymbolEditArguments(Arguments):
    """A symbol, and code to put in its place or beside it."""

    path: str = Field(description=PATH)
    symbol: str = Field(min_length=1, description="Name of the symbol in the file, like Class/method.")
    line: int | None = Field(
        default=None, ge=1, description="The line of its name, where several symbols have the same name."
    )
    action: Literal["replace", "before", "after"]
    content: str = Field(description="The code.")
    timeout_seconds: float = _TIMEOUT


class PlannedChanges(CodeResult):
    """What an edit of code would change; nothing was written. An answer that is not complete has no changes."""

    changes: list[FileChange] = Field(description="In the order in which they apply; empty when all is so already.")
    server: str | None = Field(default=None, description="The language server that was asked.")

    def text(self) -> str:
        """Give a line a changed path, and whether that is all."""
        return "\n".join(
            [*(one_line(change.path) for change in self.changes), self._summary(len(self.changes), "change")]
        )


class FormattedText(CodeResult):
    """A formatted text. Without ``content`` the text stays as it is: formatted already, or not complete."""

    served: bool = Field(description="Whether any language server serves such a file.")
    content: str | None = Field(default=None, description="The new text, if it differs.")
    server: str | None = Field(default=None, description="The language server that was asked.")

    def text(self) -> str:
        """Say whether there is a new text, or why not."""
        if not self.complete:
            return f"not formatted ({self.reason}): {one_line(self.message or '')}"
        return "formatted" if self.content is not None else "nothing had to change"


class ActionPlace(PlaceFields):
    """A place in code, or a stretch of it."""

    path: str = Field(description="Workspace path of the file, like project-a/src/utils.ts.")
    end_line: int | None = Field(
        default=None, ge=1, description="With line and column: where the stretch ends; left out: it is empty."
    )
    end_column: int | None = Field(default=None, ge=1, description="The column after its last character.")
    kinds: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Only actions of these kinds, like quickfix, refactor.extract or source.organizeImports.",
    )
    timeout_seconds: float = Field(
        default=30.0, gt=0, le=600, description="Seconds to wait for the language servers, their loading included."
    )

    @model_validator(mode="after")
    def _one_form(self) -> ActionPlace:
        ends = (self.end_line is None, self.end_column is None)
        if not self.is_place() or ends not in ((True, True), (False, False)):
            raise ValueError(
                "give line and column, with or without end_line and end_column; or symbol; or line and text"
            )
        if self.end_line is not None and self.column is None:
            raise ValueError("end_line and end_column go with line and column")
        if (self.end_line or 0, self.end_column or 0) < (self.line or 0, self.column or 0) and not all(ends):
            raise ValueError("the stretch ends before it begins")
        return self


class CodeActionsArguments(ActionPlace):
    """Where actions are wanted."""


class PlanActionArguments(ActionPlace):
    """Where an action was offered, and which one."""

    action: str = Field(min_length=1, max_length=100, description="Its id.")


class CodeAction(Result):
    """Something that a language server offers to do."""

    id: str = Field(description="For apply; good as long as the text stays as it is.")
    title: str
    kind: str | None = Field(default=None, description="Like quickfix or refactor.extract.")
    server: str = Field(description="The language server that offers it.")
    preferred: bool | None = Field(default=None, description="True: the server thinks that it is the right one.")
    disabled: str | None = Field(default=None, description="Why it cannot be applied here.")
    fixes: list[str] | None = Field(default=None, description="The diagnostics that it removes.")

    def line(self) -> str:
        """Give it as a readable line."""
        notes = [self.kind or "", self.server, "preferred" if self.preferred else ""]
        notes += [f"disabled: {self.disabled}"] if self.disabled else []
        return one_line(f"{self.id}  {self.title} ({', '.join(note for note in notes if note)})")


class CodeActions(CodeResult):
    """What the language servers of a file offer for a place."""

    actions: list[CodeAction]

    def text(self) -> str:
        """Give a line an action, and whether that is all."""
        return "\n".join([*(one.line() for one in self.actions), self._summary(len(self.actions), "action")])


class PlannedAction(PlannedChanges):
    """What an action would change."""

    title: str | None = None
    notes: list[str] = Field(default_factory=list, description="What else there is to say of it.")


class RestartArguments(Arguments):
    """Which of a project's language servers to restart."""

    name: str | None = Field(
        None, description="Name of the language server, as list_projects gives it; left out: all of the project."
    )
    timeout_seconds: float = Field(30.0, gt=0, le=600, description="Seconds to wait until they have loaded.")


class ServerStates(Result):
    """How a project's language servers are."""

    language_servers: list[LanguageServerState]
