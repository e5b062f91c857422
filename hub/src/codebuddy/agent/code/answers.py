"""What language servers answer: whether it is everything, and pydantic models of the parts that are used (LSP 3.17).

Servers are not trusted. A malformed required part makes `validated` refuse the answer; a malformed optional part
(``Text``, ``Number``) counts as missing. Ranges and locations are dictionaries and not models, because an answer can
have tens of thousands of them and a model takes six times as long to make.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    TypeAdapter,
    ValidationError,
    field_validator,
    with_config,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypedDict  # pydantic refuses that of typing before Python 3.12

from codebuddy.agent.lsp.positions import Encoding
from codebuddy.schemas.code import Reason

T = TypeVar("T")

_MAX_SHOWN: Final = 300
_STRICT: Final = ConfigDict(strict=True)


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    result: Any  # as the protocol writes it; None when there is none
    # the text of the open documents when it was asked, by file
    lines: dict[Path, list[str]] = field(default_factory=dict)
    encoding: Encoding = "utf-16"  # what its positions count in
    reason: Reason | None = None  # why it may not be everything; None when it is
    message: str | None = None  # the reason in a sentence

    @classmethod
    def lacking(cls, reason: Reason, message: str) -> Answer:
        """Return an answer without a result."""
        return cls(None, reason=reason, message=message)

    def but(self, reason: Reason, message: str) -> Answer:
        """Return the same answer with why it may not be everything; an earlier reason goes first."""
        return self if self.reason is not None else replace(self, reason=reason, message=message)

    def also(self, other: Answer) -> Answer:
        """Return the same answer with why another one may not be everything, if so; an earlier reason goes first."""
        return self if other.reason is None else self.but(other.reason, other.message or "")

    def completeness(self) -> dict[str, Any]:
        """Return the fields of `CodeResult` that say whether this is everything."""
        return {"complete": self.reason is None, "reason": self.reason, "message": self.message}


COMPLETE: Final = Answer(None)
"""An answer that is complete."""


class NoAnswer(Exception):
    """A question cannot be answered, now or at all; the answer says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer

    @classmethod
    def because(cls, reason: Reason, message: str) -> NoAnswer:
        """Return what to raise for a reason."""
        return cls(Answer.lacking(reason, message))


class Malformed(NoAnswer, ValueError):
    """A server's answer makes no sense."""

    def __init__(self, what: str) -> None:
        message = f"The language server gave a malformed answer: {what}."
        super().__init__(Answer.lacking("server_error", message))
        self.args = (what,)


def validated(adapter: TypeAdapter[T], value: Any, what: str) -> T:
    """Validate an answer, or a part of one.

    Args:
        adapter: the type that it must have.
        value: as it came from the server.
        what: what it is, for the message.

    Raises:
        Malformed: it is; the message names the first place where.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = f" at {'.'.join(map(str, first['loc']))[:_MAX_SHOWN]}" if first["loc"] else ""
        raise Malformed(f"{what}{where}: {first['msg'][:_MAX_SHOWN]}") from None


class _OrNone:
    """Makes a malformed value None. pydantic-core does so without calling Python for each value."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), default=None, on_error="default")


class _OrZero:
    """Makes a malformed number 0, and calls Python only for that."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        zero = core_schema.no_info_plain_validator_function(lambda _: 0)
        return core_schema.union_schema([handler(source), zero], mode="left_to_right")


def _list_or_none(value: Any) -> Any:
    return value if isinstance(value, list) else None


Text = Annotated[str | None, _OrNone()]
Number = Annotated[int | None, _OrNone()]


class _Answer(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, strict=True)


@with_config(_STRICT)
class Position(TypedDict):
    """A place in a text; both numbers count from 0, ``character`` in units of the agreed encoding."""

    line: Annotated[int, Field(ge=0)]
    character: Annotated[int, Field(ge=0)]


@with_config(_STRICT)
class Range(TypedDict):
    """A stretch of a text."""

    start: Position
    end: Position


@with_config(_STRICT)
class _LoosePosition(TypedDict):
    line: Annotated[int, _OrZero()]
    character: Annotated[int, _OrZero()]


@with_config(_STRICT)
class LooseRange(TypedDict):
    """The range of a document symbol. What is no number, or negative, counts as 0: no outline is lost for one."""

    start: _LoosePosition
    end: _LoosePosition


@final
@with_config(_STRICT)
class Location(TypedDict):
    """A stretch of a document."""

    uri: str
    range: Range


@final
@with_config(_STRICT)
class LocationLink(TypedDict):
    """The other form of a location."""

    targetUri: str
    targetSelectionRange: Range


class MarkupContent(_Answer):
    """MarkupContent, or a MarkedString with a language."""

    value: str
    language: Text = None


Contents = str | MarkupContent | list[str | MarkupContent | list[Any] | None] | None


class Hover(_Answer):
    """What is known of a place; its contents are of the type `Contents`."""

    contents: Any = None
    range: Range | None = None


class ParameterInformation(_Answer):
    """A parameter; its label can be offsets into that of the signature, in UTF-16 units whatever was agreed."""

    label: str | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)]
    documentation: Any = None


class SignatureInformation(_Answer):
    """A signature."""

    label: str
    documentation: Any = None
    parameters: Annotated[list[ParameterInformation] | None, BeforeValidator(_list_or_none)] = None
    active_parameter: Number = None


class SignatureHelp(_Answer):
    """The answer to ``textDocument/signatureHelp``. Without ``activeParameter`` the first one is active."""

    signatures: list[SignatureInformation]
    active_signature: Number = None
    active_parameter: Number = 0


class _InsertedText(_Answer):
    new_text: Text = None


class CompletionItem(_Answer):
    """A way to complete a word."""

    label: str
    kind: Number = None
    detail: Text = None
    documentation: Any = None
    insert_text: Text = None
    text_edit: Annotated[_InsertedText | None, _OrNone()] = None


class DocumentSymbol(_Answer):
    """A symbol of a file. Its children are not validated: how deep they are read is bounded by the reader."""

    name: str
    kind: Number = None
    detail: Text = None
    range: LooseRange
    selection_range: LooseRange
    children: Annotated[list[Any] | None, _OrNone()] = None


class _RangeOnly(_Answer):
    range: LooseRange


class SymbolInformation(_Answer):
    """The flat form of a symbol of a file. Its ``containerName`` is only for display, and is not used."""

    name: str
    kind: Number = None
    location: _RangeOnly


class _WorkspaceLocation(_Answer):
    uri: str
    range: Range | None = None


class WorkspaceSymbol(_Answer):
    """A symbol of the project."""

    name: str
    kind: Number = None
    container_name: Text = None
    location: _WorkspaceLocation


class HierarchyItem(_Answer):
    """CallHierarchyItem and TypeHierarchyItem are the same."""

    name: str
    kind: Number = None
    detail: Text = None
    uri: str
    range: Range
    selection_range: Range


class Diagnostic(_Answer):
    """A finding."""

    range: Range
    message: str
    severity: Number = None
    code: Annotated[str | int | None, _OrNone()] = None
    source: Text = None


class _DiagnosticReport(_Answer):
    items: list[Any]


class _TsLocation(_Answer):
    line: int
    offset: int


class TsDiagnostic(_Answer):
    """A diagnostic of tsserver (protocol.ts: ``Diagnostic``), whose lines and offsets count from 1."""

    start: _TsLocation
    end: _TsLocation
    text: str
    category: Text = "error"
    code: Annotated[str | int | None, _OrNone()] = None
    source: Text = None


class _TsAnswer(_Answer):
    body: list[TsDiagnostic]


class Command(_Answer):
    """A command that the server runs."""

    command: str
    arguments: list[Any] = []


class _Disabled(_Answer):
    reason: Text = None


class _Message(_Answer):
    message: str


class CodeAction(_Answer):
    """A code action, or a command that stands for one. What it does is read when it is planned."""

    title: str
    kind: Text = None
    is_preferred: Annotated[bool | None, _OrNone()] = None
    disabled: Annotated[_Disabled | None, _OrNone()] = None
    diagnostics: Annotated[list[Annotated[_Message | None, _OrNone()]] | None, _OrNone()] = None


class TextEdit(_Answer):
    """New text for a stretch of a file; an annotation is ignored."""

    range: Range
    new_text: str

    @field_validator("new_text")
    @classmethod
    def _is_text(cls, value: str) -> str:
        value.encode()  # a lone surrogate, which JSON can carry and a file cannot, is a ValueError
        return value


class _Document(_Answer):
    uri: str
    version: int | None = None


class TextDocumentEdit(_Answer):
    """Edits of one version of a document."""

    text_document: _Document
    edits: list[TextEdit]


class OperationOptions(_Answer):
    """The options of all operations on files."""

    overwrite: bool = False
    ignore_if_exists: bool = False
    recursive: bool = False
    ignore_if_not_exists: bool = False


class FileOperation(_Answer):
    """CreateFile or DeleteFile."""

    kind: Literal["create", "delete"]
    uri: str
    options: OperationOptions | None = None


class RenameFile(_Answer):
    """A file or directory that moves."""

    kind: Literal["rename"]
    old_uri: str
    new_uri: str
    options: OperationOptions | None = None


class _WorkspaceEdit(_Answer):
    changes: dict[str, list[TextEdit]] | None = None
    document_changes: list[TextDocumentEdit | FileOperation | RenameFile] | None = None


WORKSPACE_EDIT: Final = TypeAdapter(_WorkspaceEdit)


LOCATION: Final[TypeAdapter[Location | LocationLink]] = TypeAdapter(
    Annotated[Location | LocationLink, Field(union_mode="left_to_right")]
)
RANGE: Final = TypeAdapter(Range)
CONTENTS: Final[TypeAdapter[Contents]] = TypeAdapter(Contents, config=_STRICT)
HOVER: Final = TypeAdapter(Hover | None)
SIGNATURE_HELP: Final = TypeAdapter(SignatureHelp | None)
COMPLETION_ITEM: Final = TypeAdapter(CompletionItem)
DOCUMENT_SYMBOL: Final = TypeAdapter(DocumentSymbol)
SYMBOL_INFORMATIONS: Final = TypeAdapter(list[SymbolInformation])
WORKSPACE_SYMBOLS: Final = TypeAdapter(list[WorkspaceSymbol])
HIERARCHY_ITEM: Final = TypeAdapter(HierarchyItem)
OBJECTS: Final = TypeAdapter(list[dict[str, Any]] | None, config=_STRICT)
RANGES: Final = TypeAdapter(list[Range], config=_STRICT)
DIAGNOSTICS: Final = TypeAdapter(list[Diagnostic])
DIAGNOSTIC_REPORT: Final = TypeAdapter(_DiagnosticReport)
TS_ANSWER: Final = TypeAdapter(_TsAnswer)
COMMAND: Final = TypeAdapter(Command)
CODE_ACTIONS: Final = TypeAdapter(list[CodeAction])
TEXT_EDITS: Final = TypeAdapter(list[TextEdit])
