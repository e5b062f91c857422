"""The names in the path of a symbol, however a language server or a caller writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_OPENING: Final = "<([{"
_CLOSING: Final = ">)]}"
_QUOTES: Final = ('"', "'", "`")
_OPERATOR: Final = re.compile(r"operator\b")
_SLASH: Final = re.compile("/")
_SEPARATOR: Final = re.compile(r"::|\.")
_SPACES: Final = re.compile(r"\s+")
_NUMBERED: Final = re.compile(r"(.+)\[([1-9]\d{0,3}|\*)\]", re.DOTALL)
_ALL: Final = "*"


def names_in(written: str) -> tuple[str, ...]:
    """Split the path of a symbol into its names, outermost first.

    ``Box/open``, ``Box.open``, ``ns::Box::open`` and Go's ``(*Box).Open`` are paths; of ``impl Trait for Type`` the
    name is the type's. Separators in quotes or brackets are part of a name.
    """
    return all_names(_split(written, _SLASH))


def without_number(written: str) -> tuple[str, int | None]:
    """Split ``Box/open[2]``, the second of several with one path, into path and number; 0 stands for all (``[*]``)."""
    found = _NUMBERED.fullmatch(written)
    if found is None:
        return written, None
    return found[1], 0 if found[2] == _ALL else int(found[2])


def parameters_in(text: str) -> str | None:
    """Return what stands in the first round brackets of a signature, without spaces; None if there are none."""
    depth, begin = 0, text.find("(")
    for at in range(begin, len(text)) if begin >= 0 else ():
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return re.sub(r"\s", "", text[begin + 1 : at])
    return None


def all_names(path: Iterable[str]) -> tuple[str, ...]:
    """Return the names in the path of a symbol that is in others; each may be written as a path itself."""
    return tuple(name for written in path for name in _names(written))


def ends_with(names: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Say whether the names of a symbol end with those wanted, whose type arguments and parameters may be left out."""
    if not wanted or len(wanted) > len(names):
        return False
    return all(part in (name, bare_name(name)) for part, name in zip(reversed(wanted), reversed(names), strict=False))


def bare_name(name: str) -> str:
    """Return a name without type arguments and parameters: ``Box<T>``, ``Pair[K, V]``, ``add(int)``."""
    return re.sub(r"[<(\[].*", "", name).strip() or name


def _names(written: str) -> list[str]:
    if written.startswith(("impl ", "impl<")):
        written = _split(written, _SPACES)[-1].lstrip("&*")
        return [_split(written, _SEPARATOR)[-1]]
    return [_bare_receiver(name) for name in _split(written, _SEPARATOR)]


def _split(text: str, separator: re.Pattern[str]) -> list[str]:
    """Split a text where a separator stands outside of brackets and quotes; not at all if a part is empty."""
    parts: list[str] = []
    start = at = depth = 0
    while at < len(text):
        if at == start and _OPERATOR.match(text, at):
            break
        if at == start and text[at] in _QUOTES:
            at = max(at, text.find(text[at], at + 1)) + 1
            continue
        if depth == 0 and (found := separator.match(text, at)):
            parts.append(text[start:at])
            start = at = found.end()
            continue
        is_arrow = at > 0 and text.startswith("->", at - 1)
        depth = max(0, depth + (text[at] in _OPENING) - (text[at] in _CLOSING and not is_arrow))
        at += 1
    parts.append(text[start:])
    return parts if all(parts) else [text]


def _bare_receiver(name: str) -> str:
    """Return the type in a method's receiver, as gopls writes it: ``(*Box)``."""
    return name[1:-1].lstrip("*") if name.startswith("(") and name.endswith(")") else name
