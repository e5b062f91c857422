"""Finds the other declarations of one thing that a language server takes for things of their own.

In Python all that binds a name in one scope binds the same variable: a function that is defined in each branch of an
``if``, an import with a definition of one's own behind ``except ImportError``. And a file of JavaScript or Python may
have another beside it that declares its types.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from codebuddy.agent.code.answers import NoAnswer
from codebuddy.agent.code.asking import Question, file_symbols
from codebuddy.agent.code.decoding import location
from codebuddy.agent.lsp.tree import Tree
from codebuddy.files.search import WordPlace
from codebuddy.schemas.code import Location
from codebuddy.tool import ToolError

_PYTHON: Final = (".py", ".pyi")
_BINDS: Final = re.compile(r"\b(?:def|class|import|as|for|with|global|nonlocal|case)\b|=")
_DECLARED_BY: Final = {".js": ".d.ts", ".jsx": ".d.ts", ".mjs": ".d.mts", ".cjs": ".d.cts", ".py": ".pyi"}
_TYPES: Final = tuple(set(_DECLARED_BY.values()))

_Place = tuple[int, int]
"""A 1-based line and column."""


Bindings = dict[tuple[Path, str], list[frozenset[_Place]]]
"""What `bindings` returned for a file and a name."""


async def other_declarations(
    question: Question,
    word: str,
    found: Sequence[Location],
    left: Mapping[Path, list[WordPlace]],
    remembered: Bindings,
) -> list[Location]:
    """Return places that declare the same thing as some that were found.

    Args:
        word: its name.
        left: the places of the name in code that were not found, by file.
        remembered: what is known already of files that did not change; what is looked up is added.

    Raises:
        StaleText, StaleLocation, UnopenedFiles: asking again may help; see `Question.persist`.
    """
    tree, known = question.servers.tree, dict[str, set[_Place]]()
    for at in found:
        if not at.external:
            known.setdefault(at.path, set()).add((at.line, at.column))
    has_types = any(str(path).endswith(_TYPES) for path in chain(known, left))
    others = list[Location]()
    for file, places in left.items():
        same = set[_Place]()
        if file.suffix in _PYTHON and any(_BINDS.search(at.line_text) for at in places):
            own = known.get(tree.show(file))
            same |= _bound_with(tree, file, word, own, remembered) if own else set()
        for twin in twins(file) if has_types else ():
            own = known.get(tree.show(twin))
            same |= await _declared_with(question, file, twin, word, own) if own else set()
        for place in places:
            if (place.line, place.column) in same:
                end = place.column + len(word)
                others.append(location(tree.show(file), place.line, place.column, end, place.line_text))
    return others


def _bound_with(tree: Tree, file: Path, name: str, places: set[_Place], remembered: Bindings) -> set[_Place]:
    """Return where a Python file binds a name in a scope in which some places bind it too."""
    if (file, name) not in remembered:
        try:
            remembered[file, name] = bindings(tree.lines(file), name)
        except ToolError:  # it is gone, or cannot be read
            return set()
    return set(chain.from_iterable(group for group in remembered[file, name] if group & places))


def twins(file: Path) -> list[Path]:
    """Return the files beside one that may declare its types, or whose types it may declare."""
    found = list[Path]()
    for code, types in _DECLARED_BY.items():
        for ending, other in ((code, types), (types, code)):
            if file.name.endswith(ending):
                found.append(file.with_name(file.name.removesuffix(ending) + other))
    return found


async def _declared_with(question: Question, file: Path, twin: Path, word: str, places: set[_Place]) -> set[_Place]:
    """Return where a file declares what its twin declares at some places."""
    try:
        there = await _Declarations.of(question, twin, word)
        paths = {path for path, declared in there.places.items() if declared & places}
        here = await _Declarations.of(question, file, word) if paths else None
    except (NoAnswer, ToolError):
        return set()
    return set(chain.from_iterable(here.places.get(path, ()) for path in paths)) if here else set()


@dataclass(frozen=True)
class _Declarations:
    """Where a file declares a name, by the names of what it is in and its own: symbols, and members of ``this``."""

    places: dict[tuple[str, ...], set[_Place]]

    @classmethod
    async def of(cls, question: Question, file: Path, word: str) -> _Declarations:
        """Look them up; raises `NoAnswer` or `ToolError` if they are not known."""
        symbols, answer = await file_symbols(question, file)
        places: dict[tuple[str, ...], set[_Place]] = {}
        for symbol in symbols:
            if symbol.name == word:
                places.setdefault(symbol.names, set()).add((symbol.line, symbol.column))
        classes = [symbol for symbol in symbols if symbol.kind == "class"]
        member = re.compile(rf"\b(?:this|self)\.({re.escape(word)})(?![\w$])")
        for number, text in enumerate(answer.lines.get(file, ()) if classes else (), 1):
            for match in member.finditer(text):
                at = number, match.start(1) + 1
                around = [symbol.names for symbol in classes if symbol.encloses(*at)]
                if around:
                    places.setdefault((*max(around, key=len), word), set()).add(at)
        return cls(places)


def bindings(lines: Sequence[str], name: str) -> list[frozenset[_Place]]:
    """Return where a Python file binds a name, by scope; nothing of a file that this Python cannot read."""
    try:
        module = ast.parse("\n".join(lines))
        scopes = _Scopes(name, lines)
        scopes.read(module)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [frozenset(places) for places in scopes.found if len(places) > 1]


_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class _Scopes:
    """Collects the places that bind a name, a set for each scope.

    Args:
        name: the name.
        lines: of the file: a syntax tree does not say where the name in a ``def`` is.
    """

    def __init__(self, name: str, lines: Sequence[str]) -> None:
        self._name, self._lines = name, lines
        self._module: set[_Place] = set()
        self.found: list[set[_Place]] = [self._module]

    def read(self, module: ast.Module) -> None:
        """Collect."""
        for node in module.body:
            self._visit(node, self._module, self._module)

    def _visit(self, node: ast.AST, scope: set[_Place], function: set[_Place]) -> None:
        """Collect from a node that is in a scope; ``function`` is the innermost that is no class or comprehension."""
        if isinstance(node, ast.NamedExpr):  # binds its name outside of a comprehension
            self._visit(node.target, function, function)
            self._visit(node.value, scope, function)
            return
        if (at := self._bound_by(node)) is not None:
            scope.add(at)
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            self._visit_scope(node, scope, function)
            return
        if isinstance(node, _COMPREHENSIONS):
            scope = self._new_scope()
        for child in ast.iter_child_nodes(node):
            self._visit(child, scope, function)

    def _visit_scope(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef,
        scope: set[_Place],
        function: set[_Place],
    ) -> None:
        body = node.body if isinstance(node.body, list) else [node.body]
        inner = self._declared_elsewhere(body, function)
        if inner is None:
            inner = self._new_scope()
        inside = {id(child) for child in body}
        for child in ast.iter_child_nodes(node):
            if id(child) in inside:
                self._visit(child, inner, function if isinstance(node, ast.ClassDef) else inner)
            elif isinstance(child, ast.arguments):
                self._visit_parameters(child, scope, function, inner)
            else:  # decorators, base classes, annotations
                self._visit(child, scope, function)

    def _visit_parameters(
        self, node: ast.arguments, scope: set[_Place], function: set[_Place], inner: set[_Place]
    ) -> None:
        for child in ast.iter_child_nodes(node):
            self._visit(child, inner if isinstance(child, ast.arg) else scope, function)

    def _declared_elsewhere(self, body: list[ast.stmt] | list[ast.expr], function: set[_Place]) -> set[_Place] | None:
        """Return the scope that ``global`` or ``nonlocal`` in a body says the name is of."""
        for node in _statements(body):
            if isinstance(node, ast.Global | ast.Nonlocal) and self._name in node.names:
                return self._module if isinstance(node, ast.Global) else function
        return None

    def _new_scope(self) -> set[_Place]:
        self.found.append(set())
        return self.found[-1]

    def _bound_by(self, node: ast.AST) -> _Place | None:
        name = self._name
        match node:
            case ast.FunctionDef(name=bound) | ast.AsyncFunctionDef(name=bound) | ast.ClassDef(name=bound):
                return self._after_keyword(node.lineno) if bound == name else None
            case ast.alias(asname=str(bound)) | ast.MatchAs(name=bound) | ast.MatchStar(name=bound):
                return self._ending(node.end_lineno, node.end_col_offset) if bound == name else None
            case ast.alias(name=bound):
                return self._beginning(node) if bound.partition(".")[0] == name else None
            case ast.Name(id=bound, ctx=ast.Store()) | ast.arg(arg=bound):
                return self._beginning(node) if bound == name else None
        return None

    def _after_keyword(self, line: int) -> _Place | None:
        found = re.compile(rf"\b(?:def|class)\s+({re.escape(self._name)})\b").search(self._lines[line - 1])
        return (line, found.start(1) + 1) if found else None

    def _beginning(self, node: ast.alias | ast.Name | ast.arg) -> _Place:
        return node.lineno, self._column(node.lineno, node.col_offset)

    def _ending(self, line: int | None, offset: int | None) -> _Place | None:
        return (line, self._column(line, offset) - len(self._name)) if line and offset else None

    def _column(self, line: int, offset: int) -> int:
        """Return a column of which the syntax tree says how many bytes of UTF-8 are before it."""
        return len(self._lines[line - 1].encode()[:offset].decode()) + 1


def _statements(body: Collection[ast.AST]) -> Iterator[ast.AST]:
    """Return what is in a body, but not in the functions and classes in it."""
    for node in body:
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            yield from _statements(list(ast.iter_child_nodes(node)))
