"""What is known of a place: hover, signature help, completions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from codebuddy.agent.code import answers
from codebuddy.agent.code.answers import Answer, Malformed, validated
from codebuddy.agent.code.asking import Pointer, Question, ServerQuestion, ask, point_at, request, run_exchange
from codebuddy.agent.code.decoding import Reader, clipped, offset_of, paged, text_range
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document
from codebuddy.agent.lsp.positions import clean
from codebuddy.agent.lsp.readiness import Report
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.agent.lsp.transport import RequestTimedOut, ServerError
from codebuddy.schemas.code import (
    CaretArguments,
    Completion,
    CompletionArguments,
    Completions,
    HoverArguments,
    HoverResult,
    Parameter,
    Signature,
    SignatureHelp,
    TextRange,
)

_HOVER: Final = "textDocument/hover"
_SIGNATURE_HELP: Final = "textDocument/signatureHelp"
_COMPLETION: Final = "textDocument/completion"

# In characters, but for signatures and items.
_MAX_HOVER: Final = 20_000
_MAX_SIGNATURE_LABEL: Final = 2000
_MAX_SIGNATURE_DOCUMENTATION: Final = 4000
_MAX_SIGNATURES: Final = 100
_MAX_ITEM_LABEL: Final = 500
_MAX_ITEM_DOCUMENTATION: Final = 1000
_MAX_INSERT: Final = 4000
_MAX_ITEMS: Final = 20_000
_RESOLVED: Final = 10


async def hover(servers: LanguageServers, arguments: HoverArguments, report: Report) -> HoverResult:
    """Return what the language server knows of the thing at a place, like its type and documentation."""
    question, path = Question.begin(servers, arguments.timeout_seconds, report), servers.tree.locate(arguments.path)

    async def attempt() -> tuple[tuple[str, TextRange | None], Answer]:
        asked = await question.choose(path, _HOVER)
        pointer = await point_at(question, path, arguments)
        answer = await ask(asked, path, _HOVER, partial(pointer.params, {}))
        return _read_hover(Reader(servers.tree, answer.encoding, answer.lines), path.as_uri(), answer.result), answer

    nothing: tuple[str, TextRange | None] = "", None
    (contents, span), answer = await question.answered(attempt, nothing)
    if len(contents) > _MAX_HOVER:
        message = f"The first {_MAX_HOVER} of {len(contents)} characters; there is no way to more."
        answer = answer.but("truncated", message)
    return HoverResult(**answer.completeness(), contents=clipped(contents, _MAX_HOVER), range=span)


def _read_hover(reader: Reader, uri: str, result: Any) -> tuple[str, TextRange | None]:
    found = validated(answers.HOVER, result, "a hover")
    if found is None:
        return "", None
    at = None if found.range is None else reader.place(uri, found.range)
    return markdown(found.contents).strip(), at and text_range(at)


def markdown(value: Any) -> str:
    """Return MarkupContent, MarkedString or a list of these as Markdown (LSP 3.17, "Hover")."""
    return _markdown(validated(answers.CONTENTS, value, "a text"))


def _markdown(contents: answers.Contents) -> str:
    if contents is None:
        return ""
    if isinstance(contents, str):
        return clean(contents)
    if isinstance(contents, list):  # some servers leave empty parts in it
        return "\n\n".join(text for part in contents if not isinstance(part, list) and (text := _markdown(part)))
    text = clean(contents.value)
    return text if contents.language is None else f"```{clean(contents.language)}\n{text}\n```"


def _documentation(value: Any, longest: int) -> str | None:
    """Return the documentation of something as Markdown, cut; None if there is none or it is malformed."""
    try:
        return clipped(markdown(value), longest) or None
    except Malformed:
        return None


async def signature_help(servers: LanguageServers, arguments: CaretArguments, report: Report) -> SignatureHelp:
    """Return the signatures of what is being called at a place, and which parameter stands there."""
    question, path = Question.begin(servers, arguments.timeout_seconds, report), servers.tree.locate(arguments.path)
    pointer = Pointer(arguments.path, arguments.line, arguments.column or 1, arguments.text, after=True)

    async def attempt() -> tuple[tuple[list[Signature], int | None], Answer]:
        asked = await question.choose(path, _SIGNATURE_HELP)
        answer = await ask(asked, path, _SIGNATURE_HELP, partial(pointer.params, {}))
        return _read_signatures(answer.result), answer

    nothing: tuple[list[Signature], int | None] = [], None
    (signatures, active), answer = await question.answered(attempt, nothing)
    if len(signatures) > _MAX_SIGNATURES:
        answer = answer.but("truncated", f"The first {_MAX_SIGNATURES} of {len(signatures)} signatures.")
    shown = signatures[:_MAX_SIGNATURES]
    return SignatureHelp(**answer.completeness(), signatures=shown, active_signature=active)


def _read_signatures(result: Any) -> tuple[list[Signature], int | None]:
    found = validated(answers.SIGNATURE_HELP, result, "signatures")
    if found is None or not found.signatures:
        return [], None
    signatures = [_signature(item, found.active_parameter) for item in found.signatures]
    return signatures, _index(found.active_signature, len(signatures)) or 0


def _signature(item: answers.SignatureInformation, active: int | None) -> Signature:
    if "active_parameter" in item.model_fields_set:
        active = item.active_parameter
    parameters = [_parameter(one, item.label) for one in item.parameters or []]
    return Signature(
        label=clean(item.label[:_MAX_SIGNATURE_LABEL]),
        documentation=_documentation(item.documentation, _MAX_SIGNATURE_DOCUMENTATION),
        parameters=parameters,
        active_parameter=_index(active, len(parameters)),
    )


def _parameter(item: answers.ParameterInformation, signature: str) -> Parameter:
    label = item.label
    if not isinstance(label, str):
        start, end = label
        units = signature.encode("utf-16-le", "surrogatepass")[2 * start : 2 * end]
        label = units.decode("utf-16-le", "replace")
    return Parameter(
        label=clean(label[:_MAX_SIGNATURE_LABEL]),
        documentation=_documentation(item.documentation, _MAX_SIGNATURE_DOCUMENTATION),
    )


def _index(value: int | None, count: int) -> int | None:
    return value if value is not None and 0 <= value < count else None


# CompletionItemKind, LSP 3.17, from 1 on.
_KINDS: Final = (
    *("text", "method", "function", "constructor", "field", "variable", "class", "interface", "module", "property"),
    *("unit", "value", "enum", "keyword", "snippet", "color", "file", "reference", "folder", "enum_member"),
    *("constant", "struct", "event", "operator", "type_parameter"),
)


async def completions(servers: LanguageServers, arguments: CompletionArguments, report: Report) -> Completions:
    """Return how the word that ends at a place can be completed."""
    question, path = Question.begin(servers, arguments.timeout_seconds, report), servers.tree.locate(arguments.path)

    async def attempt() -> tuple[_Completing, Answer]:
        completing = _Completing(arguments)
        return completing, await completing.ask(question, path)

    found, answer = await question.answered(attempt, _Completing(arguments))
    if found.is_incomplete and not found.items:
        message = "The language server gives nothing yet, and more when more of the word is written."
        answer = answer.but("truncated", message)
    if found.is_cut:
        message = f"Only the first {_MAX_ITEMS} completions of the language server were looked at."
        answer = answer.but("truncated", message)
    page = paged(
        "completions", arguments, found.items, answer, lambda one: (one.label, one.insert_text), total=found.total
    )
    return Completions(items=page.items, is_incomplete=found.is_incomplete, **page.rest)


class _Completing:
    """What one attempt found: the items up to the end of the page, and how many there are in all.

    There can be tens of thousands of items. Only those of the page are validated as a whole: of the others just the
    fields that say whether they fit the word, and where they stand.
    """

    def __init__(self, arguments: CompletionArguments) -> None:
        self._arguments = arguments
        self._pointer = Pointer(arguments.path, arguments.line, arguments.column or 1, arguments.text, after=True)
        self.items: list[Completion] = []
        self.total = 0
        self.is_incomplete = self.is_cut = False

    async def ask(self, question: Question, path: Path) -> Answer:
        """Ask the server of a file."""
        asked = await question.choose(path, _COMPLETION)

        async def exchange(connection: Connection, document: Document) -> Any:
            more = self._pointer.params({"context": {"triggerKind": 1}}, document, connection.encoding)
            params = {"textDocument": {"uri": document.uri}, **more}
            raw = await request(connection, _COMPLETION, params, asked.deadline)
            await self._read(asked, connection, raw, self._word(document.lines))

        return await run_exchange(asked, path, exchange)

    def _word(self, lines: list[str]) -> str:
        """Return the word, or its beginning, that ends at the place."""
        before = lines[self._arguments.line - 1][: self._pointer.column_in(lines) - 1]
        match = re.search(r"[\w$]*$", before)
        return match[0] if match else ""

    async def _read(self, asked: ServerQuestion, connection: Connection, raw: Any, word: str) -> None:
        whole = raw if isinstance(raw, dict) else {"items": [] if raw is None else raw}
        items = whole.get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Malformed("completions that are not a list of objects")
        self.is_incomplete = whole.get("isIncomplete") is True
        self.is_cut = len(items) > _MAX_ITEMS
        fitting = (item for item in items[:_MAX_ITEMS] if _fits(word, _filter_text(item)))
        kept = sorted(fitting, key=lambda item: _order(word, item))
        start = offset_of("completions", self._arguments)
        end = start + self._arguments.limit
        if connection.capabilities.options(_COMPLETION).get("resolveProvider") is True:
            for index in range(start, min(end, start + _RESOLVED, len(kept))):
                kept[index] = await _resolved(asked, connection, kept[index])
        self.total, self.items = len(kept), [_completion(item) for item in kept[:end]]


async def _resolved(asked: ServerQuestion, connection: Connection, item: dict[str, Any]) -> dict[str, Any]:
    """Return an item with its documentation, if the server has it in time."""
    if item.get("documentation") is not None:
        return item
    try:
        full = await request(connection, "completionItem/resolve", item, asked.deadline)
    except (ServerError, RequestTimedOut):
        return item
    more = full if isinstance(full, dict) else {}
    return {**item, **{key: more[key] for key in ("documentation", "detail") if more.get(key) is not None}}


def _completion(raw: Mapping[str, Any]) -> Completion:
    item = validated(answers.COMPLETION_ITEM, raw, "a completion")
    label, kind = item.label.strip(), item.kind
    inserted = item.text_edit.new_text if item.text_edit else item.insert_text
    return Completion(
        label=clean(label[:_MAX_ITEM_LABEL]),
        kind=_KINDS[kind - 1] if kind is not None and 0 < kind <= len(_KINDS) else None,
        detail=clean(item.detail[:_MAX_ITEM_LABEL]) if item.detail else None,
        documentation=_documentation(item.documentation, _MAX_ITEM_DOCUMENTATION),
        insert_text=clean((label if inserted is None else inserted)[:_MAX_INSERT]),
    )


def _label(item: Mapping[str, Any]) -> str:
    label = item.get("label")
    if not isinstance(label, str):
        raise Malformed("a completion without a label")
    return label.strip()  # some set off by a space what they would import


def _filter_text(item: Mapping[str, Any]) -> str:
    """Return what is compared with the word that is there."""
    text = item.get("filterText")
    return text if isinstance(text, str) and text else _label(item)


def _fits(word: str, text: str) -> bool:
    """Say whether the letters of the word stand in the text in their order: servers leave this to the editor."""
    letters = iter(text.lower())
    return all(letter in letters for letter in word.lower())


def _order(word: str, item: Mapping[str, Any]) -> tuple[int, str, str]:
    text, sort = _filter_text(item).strip(), item.get("sortText")
    begins = 0 if text.startswith(word) else 1 if text.lower().startswith(word.lower()) else 2
    return begins, sort if isinstance(sort, str) and sort else _label(item), _label(item)
