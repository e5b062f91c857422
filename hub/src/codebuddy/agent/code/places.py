"""Where in a file a question is asked: a line and column, a word on a line, or a symbol by its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, get_args

from codebuddy.agent.code import answers
from codebuddy.agent.code.answers import Malformed, validated
from codebuddy.agent.lsp.positions import Encoding, Position, clean, from_lsp, told_lines
from codebuddy.schemas.code import SymbolKind
from codebuddy.symbol_names import all_names, bare_name, ends_with, names_in, parameters_in, without_number
from codebuddy.tool import ToolError

FUNCTIONS: Final[tuple[SymbolKind, ...]] = ("function", "method", "constructor")
"""The kinds of symbols that have code of their own, with parameters and variables that nothing else can use."""

_KINDS: Final[tuple[SymbolKind, ...]] = get_args(SymbolKind)

_MAX_SHOWN: Final = 20
_MAX_DEPTH: Final = 50
_MAX_NAME: Final = 500
_MAX_DETAIL: Final = 500
_WORD: Final = re.compile(r"[\w$]+")


class Span(NamedTuple):
    """A stretch of a text, 1-based, in code points; ``end_column`` is the one after the last character."""

    line: int
    column: int
    end_line: int
    end_column: int


class Symbol(NamedTuple):
    """A symbol of a file."""

    path: tuple[str, ...]
    """Its name after those of the symbols that it is in, outermost first."""
    line: int
    column: int
    """The 1-based place of its name."""
    full: Span
    """All of it, with its body and what the server counts to it before the name."""
    kind: str = "variable"
    detail: str | None = None
    """More of it in the server's words, like its signature."""

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path[-1]

    def encloses(self, line: int, column: int) -> bool:
        """Say whether a place is in it."""
        full = self.full
        return (full.line, full.column) <= (line, column) < (full.end_line, full.end_column)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in its path, however the server writes them."""
        return all_names(self.path)

    def is_called(self, names: tuple[str, ...]) -> bool:
        """Say whether its path ends with some names."""
        return names[-1] in self.path[-1] and ends_with(self.names, names)  # the first is quick, and mostly enough


def kind_of(number: int | None) -> str:
    """Return the word for a SymbolKind; ``unknown`` for a number that is none."""
    return _KINDS[number - 1] if number is not None and 0 < number <= len(_KINDS) else "unknown"


def find_word(lines: list[str], line: int, text: str, path: str, after: bool = False) -> int:
    """Return the column of a text on a line, or the one behind it; as a whole word if it stands there as one.

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


def word_at(lines: list[str], line: int, column: int) -> str | None:
    """Return the word at a place, or that ends there."""
    words = _WORD.finditer(lines[line - 1]) if line <= len(lines) else ()
    return next((word[0] for word in words if word.start() < column <= word.end() + 1), None)


def find_symbol(symbols: list[Symbol], wanted: str, path: str) -> Symbol:
    """Return the symbol that `find_group` finds; of a group the last one, which has the code.

    Raises:
        ToolError: see there.
    """
    return find_group(symbols, wanted, path)[-1]


def find_group(symbols: list[Symbol], wanted: str, path: str) -> list[Symbol]:
    """Return the symbol whose path is, or else ends with, the wanted one (``Class/method``; see `names_in`).

    Of several with one path, like overloads, ``name[2]`` is the second, ``name(int)`` that with these parameters, where
    the server tells them, and ``name[*]`` all.

    Raises:
        ToolError: ``no_such_symbol`` or ``ambiguous_symbol``, with the candidates.
    """
    found = _called(symbols, wanted)
    plain, number = (wanted, None) if found else without_number(wanted)
    parts = names_in(plain.strip("/"))
    if number is not None:
        found = [one for one in _called(symbols, plain) if number in (0, _number(one, symbols))]
    elif not found and plain.endswith(")") and (parameters := parameters_in(parts[-1])) is not None:
        called = _called(symbols, "/".join((*parts[:-1], bare_name(parts[-1]))))
        found = [one for one in called if parameters_in(one.detail or "") == parameters]
    if len({(symbol.line, symbol.column) for symbol in found}) == 1:
        return found[:1]
    if found and number == 0 and len({symbol.path for symbol in found}) == 1:
        return sorted(found, key=_place)
    if found:
        message = f"{wanted!r} is more than one symbol; give line and column, or one of: {_listed(found, symbols)}."
        raise ToolError("ambiguous_symbol", message, path)
    name = bare_name(parts[-1]).lower()
    near = [symbol for symbol in symbols if name in symbol.path[-1].lower()] or symbols
    raise ToolError("no_such_symbol", f"There is no symbol {wanted!r}; there are: {_listed(near, symbols)}.", path)


def _called(symbols: list[Symbol], wanted: str) -> list[Symbol]:
    """Return the symbols with a path; or those whose path is the same when written otherwise, or ends with it."""
    parts = names_in(wanted.strip("/"))
    written = [symbol for symbol in symbols if "/".join(symbol.path) == wanted]
    ending = [symbol for symbol in symbols if symbol.is_called(parts)]
    exact = [symbol for symbol in ending if len(symbol.names) == len(parts)]
    return written or exact or ending


def _place(symbol: Symbol) -> tuple[int, int]:
    return symbol.line, symbol.column


def _number(symbol: Symbol, symbols: list[Symbol]) -> int | None:
    """Return which one a symbol is of those with its path, from 1; None if it is the only one."""
    places = sorted({_place(one) for one in symbols if one.path == symbol.path})
    return places.index(_place(symbol)) + 1 if len(places) > 1 else None


def outside_functions(symbols: Sequence[Symbol]) -> list[Symbol]:
    """Return the symbols that are not in a function, where nothing else can use them."""
    functions = {symbol.path for symbol in symbols if symbol.kind in FUNCTIONS}
    return [one for one in symbols if not any(one.path[:depth] in functions for depth in range(1, len(one.path)))]


def read_symbols(result: Any, lines: list[str], encoding: Encoding) -> list[Symbol]:
    """Read the answer to ``textDocument/documentSymbol``, hierarchical or flat.

    Raises:
        Malformed: the answer does not follow the protocol.
    """
    items = result or []
    if isinstance(items, list) and items and isinstance(items[0], dict) and "location" in items[0]:
        return list(_flat(validated(answers.SYMBOL_INFORMATIONS, items, "a symbol"), lines, encoding))
    return list(_nested(items, (), lines, encoding))


def _nested(items: Any, parents: tuple[str, ...], lines: list[str], encoding: Encoding) -> Iterator[Symbol]:
    if not isinstance(items, list):
        raise Malformed("symbols that are not a list")
    for raw in items:
        item = validated(answers.DOCUMENT_SYMBOL, raw, "a symbol")
        path = (*parents, clean(item.name[:_MAX_NAME]))
        line, column = from_lsp(lines, item.selection_range["start"], encoding)
        detail = clean(item.detail[:_MAX_DETAIL]) if item.detail else None
        yield Symbol(path, line, column, _span(item.range, lines, encoding), kind_of(item.kind), detail)
        if item.children and len(path) < _MAX_DEPTH:
            yield from _nested(item.children, path, lines, encoding)


def _flat(items: list[answers.SymbolInformation], lines: list[str], encoding: Encoding) -> Iterator[Symbol]:
    """Nest symbols by their ranges."""
    parents: list[tuple[tuple[int, int], str]] = []
    for item in sorted(items, key=_outer_first):
        name, end = clean(item.name[:_MAX_NAME]), _numbers(item.location.range["end"])
        while parents and parents[-1][0] < end:
            parents.pop()
        path = (*(parent for _, parent in parents[-_MAX_DEPTH:]), name)
        parents.append((end, name))
        full = _span(item.location.range, lines, encoding)
        line, column = name_at(name, full, lines)
        yield Symbol(path, line, column, full, kind_of(item.kind))


def _outer_first(item: answers.SymbolInformation) -> tuple[int, int, int, int, str]:
    """Return the key that sorts symbols by their beginning; of two with the same, the one that ends later is first."""
    end_line, end_character = _numbers(item.location.range["end"])
    return *_numbers(item.location.range["start"]), -end_line, -end_character, item.name


def _numbers(position: Position) -> tuple[int, int]:
    return position["line"], position["character"]


def _span(value: answers.LooseRange, lines: list[str], encoding: Encoding) -> Span:
    return Span(*from_lsp(lines, value["start"], encoding), *from_lsp(lines, value["end"], encoding))


def name_at(name: str, full: Span, lines: list[str]) -> tuple[int, int]:
    """Return where the name of a symbol is, whose range may begin at a keyword or decorator before it."""
    word = None
    for index in range(full.line - 1, min(len(lines), full.line + 20)):
        if name in lines[index]:  # to compile a pattern takes far longer
            word = word or re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
            if match := word.search(lines[index], full.column - 1 if index == full.line - 1 else 0):
                return index + 1, match.start() + 1
    return full.line, full.column


def _listed(found: list[Symbol], symbols: list[Symbol]) -> str:
    shown = list[str]()
    for symbol in found[:_MAX_SHOWN]:
        number = _number(symbol, symbols)
        shown.append(f"{'/'.join(symbol.path)}{f'[{number}]' if number else ''} (line {symbol.line})")
    more = len(found) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") if shown else "none"
