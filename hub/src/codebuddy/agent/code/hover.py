"""What is known of a place: hover, signature help."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from codebuddy.agent.code.asking import (
    Answer,
    Asked,
    Pointer,
    Question,
    Unsettled,
    ask,
    malformed,
    point_at,
    request,
    settle,
)
from codebuddy.agent.code.decoding import Reader, clipped, markdown, text_of
from codebuddy.agent.code.pages import offset_of, paged
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

_MAX_HOVER: Final = 20_000
_MAX_SIGNATURE_LABEL: Final = 2000
_MAX_SIGNATURE_DOCUMENTATION: Final = 4000
_MAX_SIGNATURES: Final = 100


async def hover(servers: LanguageServers, place: HoverArguments, report: Report) -> HoverResult:
    """Give what the language server knows of the thing at a place, like its type and documentation.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    question, path = Question.begin(servers, place.timeout_seconds, report), servers.tree.locate(place.path)

    async def attempt() -> tuple[str, TextRange | None, Answer]:
        asked = await question.choose(path, "textDocument/hover")
        pointer = await point_at(question, path, place)
        answer = await ask(asked, path, "textDocument/hover", partial(pointer.params, {}))
        try:
            return *_read_hover(
                Reader(servers.tree, answer.encoding, answer.lines), path.as_uri(), answer.result
            ), answer
        except ValueError as error:
            raise malformed(error) from None

    try:
        contents, span, answer = await question.persist(attempt)
    except Unsettled as unsettled:
        contents, span, answer = "", None, unsettled.answer
    reason, message = answer.reason, answer.message
    if len(contents) > _MAX_HOVER and reason is None:
        reason, message = "truncated", f"The first {_MAX_HOVER} of {len(contents)} characters; there is no way to more."
    shown = clipped(contents, _MAX_HOVER)
    return HoverResult(complete=reason is None, reason=reason, message=message, contents=shown, range=span)


def _read_hover(reader: Reader, uri: str, result: Any) -> tuple[str, TextRange | None]:
    if result is None:
        return "", None
    if not isinstance(result, dict):
        raise ValueError("a hover that is no object")
    span = None
    if result.get("range") is not None:
        at = reader.place(uri, result["range"])
        span = TextRange(line=at.line, column=at.column, end_line=at.end_line, end_column=at.end_column)
    return markdown(result.get("contents")).strip(), span


async def signature_help(servers: LanguageServers, caret: CaretArguments, report: Report) -> SignatureHelp:
    """Give the signatures of what is being called at a place, and which parameter stands there.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    question, path = Question.begin(servers, caret.timeout_seconds, report), servers.tree.locate(caret.path)
    pointer = Pointer(caret.path, caret.line, caret.column or 1, caret.text, after=True)

    async def attempt() -> tuple[list[Signature], int | None, Answer]:
        asked = await question.choose(path, "textDocument/signatureHelp")
        answer = await ask(asked, path, "textDocument/signatureHelp", partial(pointer.params, {}))
        try:
            return *_read_signatures(answer.result), answer
        except ValueError as error:
            raise malformed(error) from None

    try:
        signatures, active, answer = await question.persist(attempt)
    except Unsettled as unsettled:
        signatures, active, answer = [], None, unsettled.answer
    reason, message = answer.reason, answer.message
    if len(signatures) > _MAX_SIGNATURES and reason is None:
        reason, message = "truncated", f"The first {_MAX_SIGNATURES} of {len(signatures)} signatures."
    return SignatureHelp(
        complete=reason is None,
        reason=reason,
        message=message,
        signatures=signatures[:_MAX_SIGNATURES],
        active_signature=active,
    )


def _read_signatures(result: Any) -> tuple[list[Signature], int | None]:
    if result is None:
        return [], None
    items = result.get("signatures") if isinstance(result, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("signatures that are not a list of objects")
    active = _index(result.get("activeSignature"), len(items)) or 0
    # Left out, or with nonsense in it, the first parameter is the active one (LSP 3.17, "SignatureHelp").
    parameter = result.get("activeParameter", 0)
    found = [_signature(item, item.get("activeParameter", parameter)) for item in items]
    return found, active if found else None


def _signature(item: dict[str, Any], active: Any) -> Signature:
    label = item.get("label")
    if not isinstance(label, str):
        raise ValueError("a signature without a label")
    raw = item.get("parameters")
    parameters = [_parameter(one, label) for one in raw] if isinstance(raw, list) else []
    return Signature(
        label=clean(label[:_MAX_SIGNATURE_LABEL]),
        documentation=text_of(item.get("documentation"), _MAX_SIGNATURE_DOCUMENTATION),
        parameters=parameters,
        active_parameter=_index(active, len(parameters)),
    )


def _parameter(item: Any, signature: str) -> Parameter:
    label = item.get("label") if isinstance(item, dict) else None
    if isinstance(label, list) and len(label) == 2 and all(isinstance(one, int) and one >= 0 for one in label):
        # Offsets into the signature count UTF-16 units, whatever was agreed for positions.
        units = signature.encode("utf-16-le", "surrogatepass")[2 * label[0] : 2 * label[1]]
        label = units.decode("utf-16-le", "replace")
    if not isinstance(label, str):
        raise ValueError("a parameter without a label")
    return Parameter(
        label=clean(label[:_MAX_SIGNATURE_LABEL]),
        documentation=text_of(item.get("documentation"), _MAX_SIGNATURE_DOCUMENTATION),
    )


def _index(value: Any, count: int) -> int | None:
    return value if type(value) is int and 0 <= value < count else None


_METHOD: Final = "textDocument/completion"
_RESOLVED: Final = 10
_MAX_ITEMS: Final = 20_000
_MAX_ITEM_LABEL: Final = 500
_MAX_INSERT: Final = 4000
_MAX_ITEM_DOCUMENTATION: Final = 1000

# CompletionItemKind, LSP 3.17, from 1 on.
_KINDS: Final = (
    *("text", "method", "function", "constructor", "field", "variable", "class", "interface", "module", "property"),
    *("unit", "value", "enum", "keyword", "snippet", "color", "file", "reference", "folder", "enum_member"),
    *("constant", "struct", "event", "operator", "type_parameter"),
)


async def completions(servers: LanguageServers, arguments: CompletionArguments, report: Report) -> Completions:
    """Give how the word that ends at a place can be completed.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    question, path = Question.begin(servers, arguments.timeout_seconds, report), servers.tree.locate(arguments.path)
    asking = _Asking(arguments)
    try:
        answer = await question.persist(lambda: asking.ask(question, path))
    except Unsettled as unsettled:
        asking, answer = _Asking(arguments), unsettled.answer
    found = asking.found
    if asking.is_incomplete and not found and answer.reason is None:
        message = "The language server gives nothing yet, and more when more of the word is written."
        answer = Answer(None, reason="truncated", message=message)
    if asking.is_cut and answer.reason is None:
        message = f"Only the first {_MAX_ITEMS} completions of the language server were looked at."
        answer = Answer(None, reason="truncated", message=message)
    page = paged("completions", arguments, found, answer, lambda one: (one.label, one.insert_text), total=asking.total)
    return Completions(items=page.items, is_incomplete=asking.is_incomplete, **page.rest)


class _Asking:
    """One question, and what was found: up to the end of the page, of so many in all.

    Args:
        arguments: what is asked for.
    """

    def __init__(self, arguments: CompletionArguments) -> None:
        self._arguments = arguments
        self._pointer = Pointer(arguments.path, arguments.line, arguments.column or 1, arguments.text, after=True)
        self.found: list[Completion] = []
        self.total = 0
        self.is_incomplete = self.is_cut = False

    async def ask(self, question: Question, path: Path) -> Answer:
        """Ask the server of a file.

        Raises:
            ToolError, Unsettled, StaleText: there is no answer.
        """
        asked = await question.choose(path, _METHOD)

        async def exchange(connection: Connection, document: Document) -> Any:
            params = self._pointer.params({"context": {"triggerKind": 1}}, document, connection.encoding)
            raw = await request(connection, _METHOD, {"textDocument": {"uri": document.uri}, **params}, asked.deadline)
            try:
                await self._read(asked, connection, raw, self._word(document.lines))
            except ValueError as error:
                raise malformed(error) from None

        return await settle(asked, path, exchange)

    def _word(self, lines: list[str]) -> str:
        """Give the word, or its beginning, that ends at the place."""
        before = lines[self._arguments.line - 1][: self._pointer.column_in(lines) - 1]
        match = re.search(r"[\w$]*$", before)
        return match[0] if match else ""

    async def _read(self, asked: Asked, connection: Connection, raw: Any, word: str) -> None:
        items = raw.get("items") if isinstance(raw, dict) else raw
        if items is None and not isinstance(raw, dict):
            items = []
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise ValueError("completions that are not a list of objects")
        self.is_incomplete = isinstance(raw, dict) and raw.get("isIncomplete") is True
        self.is_cut = len(items) > _MAX_ITEMS
        items = items[:_MAX_ITEMS]
        kept = sorted((item for item in items if _fits(word, _filtered(item))), key=lambda item: _order(word, item))
        start = offset_of("completions", self._arguments)
        end = start + self._arguments.limit
        if connection.capabilities.options(_METHOD).get("resolveProvider") is True:
            for index in range(start, min(end, start + _RESOLVED, len(kept))):
                kept[index] = await _resolved(asked, connection, kept[index])
        self.total, self.found = len(kept), [_completion(item) for item in kept[:end]]


async def _resolved(asked: Asked, connection: Connection, item: dict[str, Any]) -> dict[str, Any]:
    """Give an item with its documentation, if the server has it in time."""
    if item.get("documentation") is not None:
        return item
    try:
        full = await request(connection, "completionItem/resolve", item, asked.deadline)
    except (ServerError, RequestTimedOut):
        return item
    more = full if isinstance(full, dict) else {}
    return {**item, **{key: more[key] for key in ("documentation", "detail") if more.get(key) is not None}}


def _completion(item: Mapping[str, Any]) -> Completion:
    edit, kind, detail = item.get("textEdit"), item.get("kind"), item.get("detail")
    inserted = edit.get("newText") if isinstance(edit, dict) else item.get("insertText")
    label = _label(item)
    return Completion(
        label=clean(label[:_MAX_ITEM_LABEL]),
        kind=_KINDS[kind - 1] if type(kind) is int and 0 < kind <= len(_KINDS) else None,
        detail=clean(detail[:_MAX_ITEM_LABEL]) if isinstance(detail, str) and detail else None,
        documentation=text_of(item.get("documentation"), _MAX_ITEM_DOCUMENTATION),
        insert_text=clean((inserted if isinstance(inserted, str) else label)[:_MAX_INSERT]),
    )


def _label(item: Mapping[str, Any]) -> str:
    label = item.get("label")
    if not isinstance(label, str):
        raise ValueError("a completion without a label")
    return label.strip()  # some set off by a space what they would import


def _filtered(item: Mapping[str, Any]) -> str:
    """Give what is compared with the word that is there."""
    text = item.get("filterText")
    return text if isinstance(text, str) and text else _label(item)


def _fits(word: str, text: str) -> bool:
    """Say whether the letters of the word stand in the text in their order: servers leave this to the editor."""
    letters = iter(text.lower())
    return all(letter in letters for letter in word.lower())


def _order(word: str, item: Mapping[str, Any]) -> tuple[int, str, str]:
    text, sort = _filtered(item).strip(), item.get("sortText")
    begins = 0 if text.startswith(word) else 1 if text.lower().startswith(word.lower()) else 2
    return begins, sort if isinstance(sort, str) and sort else _label(item), _label(item)
