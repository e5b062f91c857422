"""Opaque cursors: where an answer continues, bound to the question that was asked. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from codebuddy.files.paths import from_wire, to_wire
from codebuddy.files.search import Page, Position
from codebuddy.tool import Arguments, ToolError

T = TypeVar("T")

_POSITIONS = TypeAdapter(dict[str, tuple[list[str], int | None, int]])
_SEALED: TypeAdapter[tuple[str, Any]] = TypeAdapter(tuple[str, Any])
_MAX_CURSOR = 64 * 1024
# Arguments that may differ between two pages of an answer.
_PAGING = {"cursor", "limit", "timeout_seconds"}


def question_of(tool: str, arguments: Arguments, *others: str) -> tuple[str, dict[str, Any]]:
    """Return what must be the same for a cursor to go on: all arguments but those of paging, and some others."""
    return tool, arguments.model_dump(exclude={*_PAGING, *others})


def seal(question: object, where: Any) -> str:
    """Write a cursor.

    Args:
        question: what must be the same when the cursor is used; has a stable ``repr``.
        where: where to continue; must be JSON.
    """
    text = json.dumps([digest(question), where], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unseal(question: object, cursor: str, form: TypeAdapter[T]) -> T:
    """Read a cursor, and validate ``where`` by ``form``. A cursor grants nothing: the caller checks what may be seen.

    Raises:
        ToolError: ``invalid_cursor``.
    """
    try:
        if len(cursor) > _MAX_CURSOR:
            raise ValueError("too long")
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        asked, where = _SEALED.validate_json(raw)
        found = form.validate_python(where)
    except (binascii.Error, ValueError, ValidationError):
        raise ToolError("invalid_cursor", "This is not a cursor of this hub; call again without one.") from None
    if asked != digest(question):
        raise ToolError("invalid_cursor", "The cursor belongs to other arguments; repeat those, or leave it out.")
    return found


def encode_cursor(question: object, positions: Mapping[str, Position]) -> str:
    """Write a cursor from project ids and where to continue in each; projects that are finished are left out."""
    at = {
        project: ([to_wire(part) for part in where.parts], where.line, where.column)
        for project, where in positions.items()
    }
    return seal(question, at)


def decode_cursor(question: object, cursor: str) -> dict[str, Position]:
    """Read what `encode_cursor` wrote; see `unseal`."""
    return {
        project: Position(tuple(from_wire(part) for part in parts), line, column)
        for project, (parts, line, column) in unseal(question, cursor, _POSITIONS).items()
    }


def merge(
    pages: Mapping[str, Page[T]], starts: Mapping[str, Position], limit: int
) -> tuple[list[T], dict[str, Position]]:
    """Join the pages of several projects in the order of their ids, and cut them to a limit.

    Args:
        pages: the result of each project.
        starts: where each project's search began.
        limit: most items.

    Returns:
        The items, and where each unfinished project continues; empty when everything was seen.
    """
    found: list[T] = []
    unfinished: dict[str, Position] = {}
    for project in sorted(pages):
        page = pages[project]
        kept = page.found[: limit - len(found)]
        found += [item for _, item in kept]
        if len(kept) < len(page.found):
            unfinished[project] = kept[-1][0] if kept else starts[project]
        elif page.resume is not None:
            unfinished[project] = page.resume
    return found, unfinished


def digest(question: object) -> str:
    """Return a short hash that distinguishes questions."""
    return hashlib.sha256(repr(question).encode("utf-8", "replace")).hexdigest()[:16]
