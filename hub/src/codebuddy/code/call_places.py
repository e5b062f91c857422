"""Where a function is called: what a server says of that, as far as it can be right.

rust-analyzer 1.85 counts the lines of the caller in the file of what is called, so its places are anywhere when these
are two files. A place is taken as it is when the name of what is called stands there. Where it does not, it may be
called by another name, like that of an import; but not if its own name stands elsewhere in the caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from codebuddy.code.results import Reader, sorted_unique
from codebuddy.schemas.code import Location

__all__ = ["call_places"]


def call_places(
    reader: Reader, caller: Mapping[str, Any], callee: Mapping[str, Any], told: Sequence[tuple[Any, Any]]
) -> tuple[list[Location], bool]:
    """Give where a thing calls another, and whether that is all that the server told.

    Args:
        reader: of the answer.
        caller: the item of a hierarchy, as the protocol writes it.
        callee: the same.
        told: URI and range of the calls, as the server tells them.

    Raises:
        ValueError: something of it is malformed.
        StaleLocation: a place is in a file that is gone.
    """
    name = _bare(callee.get("name"))
    sure, unsure = list[Location](), list[Location]()
    for uri, span in told:
        place = reader.place(uri, span)
        (sure if place.external or reader.words_in(uri, span, name) else unsure).append(place)
    unsure = sorted_unique(unsure)
    if not unsure:
        return sorted_unique(sure), True
    own = reader.place(caller.get("uri"), caller.get("selectionRange"))
    body = reader.words_in(caller.get("uri"), caller.get("range"), name)
    named = [word for word in body if _start(word) != _start(own) and not any(_is_in(word, place) for place in sure)]
    possible = [place for place in unsure if _begins_a_name(place)]
    if not named:
        return sorted_unique([*sure, *possible]), len(possible) == len(unsure)
    whole = reader.place(caller.get("uri"), caller.get("range"))
    if len(named) == len(unsure) and not any(_is_in(place, whole) for place in possible):
        return sorted_unique([*sure, *named]), True
    return sorted_unique(sure), False


def _bare(name: Any) -> str:
    """Give the last word of a name without its arguments: servers show ``Cart.add(int)`` and ``Vec<T>::push``."""
    words = re.findall(r"[\w$]+", re.sub(r"<[^<>]*>|\(.*", "", name)) if isinstance(name, str) else []
    return words[-1] if words else ""


def _begins_a_name(place: Location) -> bool:
    """Say whether a call can be there: not within a word, and not where there is nothing."""
    text, start = place.line_text or "", place.column - 1
    here, before = text[start : start + 1], text[max(0, start - 1) : start]
    return bool(here) and not here.isspace() and not (_is_of_name(here) and _is_of_name(before))


def _is_of_name(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def _start(place: Location) -> tuple[int, int]:
    return place.line, place.column


def _is_in(inner: Location, outer: Location) -> bool:
    return _start(outer) <= _start(inner) and (inner.end_line, inner.end_column) <= (outer.end_line, outer.end_column)
