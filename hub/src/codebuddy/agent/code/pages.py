"""Gives long answers page by page. A page never follows one that is no longer true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter

from codebuddy.agent.code.answers import Answer
from codebuddy.files.cursors import digest, seal, unseal
from codebuddy.schemas.code import Location
from codebuddy.tool import Arguments, Result, ToolError

T = TypeVar("T", bound=Result)

PAGE_CHARACTERS: Final = 200_000
"""The most characters in the items of a page: what the hub passes on is limited, and a model reads it."""

_NOT_THE_QUESTION: Final = {"cursor", "limit", "timeout_seconds"}
_CURSOR: TypeAdapter[tuple[int, str]] = TypeAdapter(tuple[int, str])


class Page(NamedTuple, Generic[T]):
    """A page: its items, and the fields of `CodeResult` that say whether they are everything."""

    items: list[T]
    rest: dict[str, Any]


def question_of(tool: str, arguments: Arguments) -> tuple[str, dict[str, Any]]:
    """Give what must be the same for a cursor to go on."""
    return tool, arguments.model_dump(exclude=_NOT_THE_QUESTION)


def offset_of(tool: str, arguments: Any) -> int:
    """Give the number of items on the pages before the one that is asked for.

    Raises:
        ToolError: ``invalid_cursor``.
    """
    return 0 if arguments.cursor is None else unseal(question_of(tool, arguments), arguments.cursor, _CURSOR)[0]


def paged(
    tool: str,
    arguments: Any,
    items: Sequence[T],
    answer: Answer,
    key: Callable[[T], object] = lambda item: item.model_dump_json(),
    *,
    total: int | None = None,
) -> Page[T]:
    """Give the page of an answer that is asked for.

    Args:
        tool: what was asked.
        arguments: how, with ``limit`` and ``cursor``.
        items: the whole answer, in the same order each time; with ``total`` its beginning, at least to the page's end.
        answer: says whether it is everything.
        key: what of an item must have stayed the same for the next page to follow.
        total: how many items the whole answer has; left out: these.

    Raises:
        ToolError: ``invalid_cursor``: it belongs to another question; ``stale_cursor``: what the earlier pages said is
            no longer so, and going on might skip something.
    """
    start, rest = 0, answer.completeness()
    total = len(items) if total is None else total
    if arguments.cursor is not None:
        start, before = unseal(question_of(tool, arguments), arguments.cursor, _CURSOR)
        follows = 0 <= start <= len(items) and before == _state(items[:start], key)
        if not follows and answer.reason is not None:  # not all is known again yet: the cursor may be right
            return Page([], {**rest, "cursor": arguments.cursor})
        if not follows:
            raise ToolError("stale_cursor", "What the earlier pages said changed since; begin again without a cursor.")
    end = start + _fitting(items[start : start + arguments.limit])
    if end < total:
        more = f"{end - start} of {total}; give the cursor back for more."
        rest = {
            "complete": False,
            "reason": answer.reason or "truncated",
            "message": f"{answer.message} {more}" if answer.message else more,
            "cursor": seal(question_of(tool, arguments), [end, _state(items[:end], key)]),
        }
    return Page(list(items[start:end]), rest)


def _fitting(items: Sequence[Result]) -> int:
    """Give how many of some items fit on a page: one at least."""
    room = PAGE_CHARACTERS
    for count, item in enumerate(items):
        room -= _length(item)
        if room < 0:
            return max(1, count)
    return len(items)


def _length(item: Result) -> int:
    """Give how long an item is as JSON; for a plain location, quickly, a number that is not smaller."""
    if type(item) is Location and (item.line_text or "").isascii() and item.path.isascii():
        return 200 + 2 * len(item.path) + 2 * len(item.line_text or "")
    return len(item.model_dump_json())


def _state(items: Sequence[T], key: Callable[[T], object]) -> str:
    return digest([key(item) for item in items])
