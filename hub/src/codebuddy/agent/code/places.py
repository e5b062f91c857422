"""Where in a file a question is asked: a line and column, a word on a line, or a symbol by its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, get_args

from codebuddy.agent.lsp.positions import Encoding, Position, clean, from_lsp, told_lines
from codebuddy.schemas.code import SymbolKind
from codebuddy.tool import ToolError

KINDS: Final[tuple[SymbolKind, ...]] = get_args(SymbolKind)

_MAX_SHOWN: Final = 20
_MAX_DEPTH: Final = 50
_MAX_NAME: Final = 500
_MAX_DETAIL: Final = 500


class Span(NamedTuple):
    """A stretch of a text, 1-based, in code points; ``end_column`` is the one after the last character."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True)
class Symbol:
    """A symbol of a file.

    Args:
        path: its name and those around it, outermost first.
        line: the 1-based line of its name.
        column: the 1-based column of its name.
        full: all of it, with its body and what the server counts to it before the name.
        kind: one of `KINDS`.
        detail: what the server says of it besides, like a signature.
    """

    path: tuple[str, ...]
    line: int
    column: int
    full: Span
    kind: str = "variable"
    detail: str | None = None

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path[-1]


def kind_of(value: Any) -> str:
    """Give the word for a SymbolKind; one that is none is told as ``unknown``."""
    return KINDS[value - 1] if type(value) is int and 0 < value <= len(KINDS) else "unknown"


def find_word(lines: list[str], line: int, text: str, path: str, after: bool = False) -> int:
    """Give the column of a text on a line, or the one behind it; as a whole word if it stands there as one.

    Raises:
        ToolError: ``no_such_place``, or ``ambiguous_place`` with the columns.
    """
    if line > len(lines) or (line == len(lines) and not lines[-1]):
        raise ToolError("no_such_place", f"There is no line {line}: the file has {told_lines(lines)}.", path)
    words = list(re.finditer(rf"(?<!\w){re.escape(text)}(?!\w)", lines[line - 1]))
    found = words or re.finditer(re.escape(text), lines[line - 1])
    columns = [(match.end() if after else match.start()) + 1 for match in found]
    if not columns:
        raise ToolError("no_such_place", f"Line {line} has no {text!r}; it is: {lines[line - 1].strip()[:200]}", path)
    if len(columns) > 1:
        *others, last = map(str, columns[:_MAX_SHOWN])
        listed = f"{', '.join(others)} or {last}"
        raise ToolError("ambiguous_place", f"{text!r} is on line {line} more than once; give column {listed}.", path)
    return columns[0]


def find_symbol(symbols: list[Symbol], wanted: str, path: str) -> Symbol:
    """Give the symbol whose path is, or else ends with, the wanted one (``Class/method``).

    Raises:
        ToolError: ``no_such_symbol`` or ``ambiguous_symbol``, with the candidates.
    """
    parts = tuple(part for part in wanted.split("/") if part)
    ending = [symbol for symbol in symbols if ends_with(symbol.path, parts)]
    exact = [symbol for symbol in ending if len(symbol.path) == len(parts)]
    found = exact or ending
    if len({(symbol.line, symbol.column) for symbol in found}) == 1:
        return found[0]
    if found:
        message = f"{wanted!r} is more than one symbol; give line and column, or one of: {_listed(found)}."
        raise ToolError("ambiguous_symbol", message, path)
    near = [symbol for symbol in symbols if parts and parts[-1].lower() in symbol.path[-1].lower()]
    raise ToolError("no_such_symbol", f"There is no symbol {wanted!r}; there are: {_listed(near or symbols)}.", path)


def read_symbols(result: Any, lines: list[str], encoding: Encoding) -> list[Symbol]:
    """Turn the answer to ``textDocument/documentSymbol`` into symbols; both forms, hierarchical and flat.

    Raises:
        ValueError: it is malformed.
    """
    items = result or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("symbols that are not a list of objects")
    try:
        if items and "location" in items[0]:
            return list(_flat(items, lines, encoding))
        return list(_nested(items, (), lines, encoding))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a malformed symbol: {error}") from None


def _nested(items: list[Any], around: tuple[str, ...], lines: list[str], encoding: Encoding) -> Iterator[Symbol]:
    for item in items:
        path = (*around, _name(item))
        line, column = from_lsp(lines, _start(item["selectionRange"]), encoding)
        detail = item.get("detail")
        shown = clean(detail[:_MAX_DETAIL]) if isinstance(detail, str) and detail else None
        yield Symbol(path, line, column, _full(item["range"], lines, encoding), kind_of(item.get("kind")), shown)
        if len(path) < _MAX_DEPTH:
            yield from _nested(item.get("children") or [], path, lines, encoding)


def _flat(items: list[Any], lines: list[str], encoding: Encoding) -> Iterator[Symbol]:
    """Nest by ranges: ``containerName`` is only for show (LSP 3.17, SymbolInformation) and names one level at most."""
    spans = sorted(((*_span(item["location"]["range"]), _name(item), item) for item in items), key=lambda one: one[:3])
    around: list[tuple[tuple[int, int], str]] = []
    for _, negative_end, name, item in spans:
        end = (-negative_end[0], -negative_end[1])
        while around and around[-1][0] < end:
            around.pop()
        path = (*(outer for _, outer in around[-_MAX_DEPTH:]), name)
        around.append((end, name))
        full = _full(item["location"]["range"], lines, encoding)
        line, column = name_at(name, full, lines)
        yield Symbol(path, line, column, full, kind_of(item.get("kind")))


def _name(item: Any) -> str:
    return clean(str(item["name"])[:_MAX_NAME])


def _full(value: Any, lines: list[str], encoding: Encoding) -> Span:
    return Span(*from_lsp(lines, _start(value), encoding), *from_lsp(lines, _start({"start": value["end"]}), encoding))


def _span(value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Give start and negated end, so that sorting puts the outer of two that start together first."""
    start, end = value["start"], value["end"]
    return (int(start["line"]), int(start["character"])), (-int(end["line"]), -int(end["character"]))


def name_at(name: str, full: Span, lines: list[str]) -> tuple[int, int]:
    """Give where the name of a symbol is, whose range may begin at a keyword or decorator before it."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    for index in range(full.line - 1, min(len(lines), full.line + 20)):
        if match := word.search(lines[index], full.column - 1 if index == full.line - 1 else 0):
            return index + 1, match.start() + 1
    return full.line, full.column


def _start(value: Any) -> Position:
    start = value["start"]
    return {"line": int(start["line"]), "character": int(start["character"])}


def ends_with(path: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Say whether a symbol's path ends with some names, however the server shows them."""
    if not parts or len(parts) > len(path):
        return False
    return all(part in _names(name) for part, name in zip(reversed(parts), reversed(path), strict=False))


def _names(shown: str) -> set[str]:
    """Give what a symbol may be called: servers show ``impl Trait for Type<T>`` and ``method(int)``."""
    bare = re.sub(r"[<(].*", "", shown).strip()
    of_impl = re.sub(r"^impl(<.*?>)?\s+", "", shown).rpartition(" for ")[2]
    return {shown, bare, re.sub(r"[<(].*", "", of_impl).strip()}


def _listed(symbols: list[Symbol]) -> str:
    shown = [f"{'/'.join(symbol.path)} (line {symbol.line})" for symbol in symbols[:_MAX_SHOWN]]
    more = len(symbols) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") if shown else "none"
