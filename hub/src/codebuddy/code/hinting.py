"""What is known of a place: hover, signature help."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from codebuddy.code.asking import Answer, Unsettled, ask
from codebuddy.code.markup import clipped, markdown, text_of
from codebuddy.code.questions import Pointer, Question, malformed, point_at
from codebuddy.code.results import Reader
from codebuddy.language.positions import clean
from codebuddy.language.readiness import Report
from codebuddy.language.servers import LanguageServers
from codebuddy.schemas.code import (
    CaretArguments,
    HoverArguments,
    HoverResult,
    Parameter,
    Signature,
    SignatureHelp,
    TextRange,
)

__all__ = ["hover", "signature_help"]

_MAX_HOVER: Final = 20_000
_MAX_LABEL: Final = 2000
_MAX_DOCUMENTATION: Final = 4000
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
        label=clean(label[:_MAX_LABEL]),
        documentation=text_of(item.get("documentation"), _MAX_DOCUMENTATION),
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
        label=clean(label[:_MAX_LABEL]), documentation=text_of(item.get("documentation"), _MAX_DOCUMENTATION)
    )


def _index(value: Any, count: int) -> int | None:
    return value if type(value) is int and 0 <= value < count else None
