"""Where a Python file binds a name, read from its syntax tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

Place = tuple[int, int]
"""A 1-based line and column."""

_MODULE: Final = 0
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SCOPES: Final = (*_FUNCTIONS, ast.ClassDef)
_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

_Branches = tuple[tuple[int, int], ...]
"""The statements with branches that something is in, and in which branch of each, both by number."""

_At = tuple[ast.AST, int, int, _Branches]
"""A node, its scope, the innermost function's that is not of a comprehension or class, and its branches."""


@dataclass(frozen=True)
class Binding:
    """A place that binds a name: a definition, an assignment, an import, a parameter."""

    place: Place
    scope: int
    branches: _Branches
    is_import: bool

    def is_same_as(self, other: Binding) -> bool:
        """Say whether both bind one variable; an import that is only shadowed is another thing than what shadows it."""
        if self.scope != other.scope:
            return False
        if not self.is_import and not other.is_import:
            return True
        mine = dict(self.branches)
        return any(mine.get(statement, branch) != branch for statement, branch in other.branches)


@dataclass(frozen=True)
class PythonNames:
    """What a file says of a name.

    Args:
        bindings: where it binds the name.
        strings: where the name stands as a string in ``__all__``.
    """

    bindings: Sequence[Binding] = ()
    strings: Sequence[Place] = ()

    def same_as(self, places: set[Place]) -> set[Place]:
        """Return where the variables are bound that some places bind."""
        own = [one for one in self.bindings if one.place in places]
        return {one.place for one in self.bindings if any(one.is_same_as(other) for other in own)}

    def exported(self, places: set[Place]) -> Sequence[Place]:
        """Return the strings in ``__all__``, if one of some places binds the name of the module."""
        is_bound = any(one.scope == _MODULE and one.place in places for one in self.bindings)
        return self.strings if is_bound else ()


def read_names(lines: Sequence[str], name: str) -> PythonNames | None:
    """Read what a file says of a name; None if it is none that this Python can read."""
    try:
        module = ast.parse("\n".join(lines))
        return _Reader(name, lines).read(module)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class _Reader:
    """Reads a syntax tree; not by recursion, since a long sum is a deep tree.

    Args:
        lines: of the file: a syntax tree does not say where the name in a ``def`` is.
    """

    def __init__(self, name: str, lines: Sequence[str]) -> None:
        self._name, self._lines = name, lines
        self._bindings: list[Binding] = []
        self._strings: list[Place] = []
        self._scopes = _MODULE
        self._comprehensions: set[int] = set()

    def read(self, module: ast.Module) -> PythonNames:
        """Read all of it."""
        left: list[_At] = [(node, _MODULE, _MODULE, ()) for node in module.body]
        while left:
            at = left.pop()
            node, scope, _, branches = at
            if (place := self._bound_by(node)) is not None:
                self._bindings.append(Binding(place, scope, branches, isinstance(node, ast.alias)))
            if scope == _MODULE:
                self._strings += self._exported_by(node)
            left += self._inside(at)
        return PythonNames(sorted(self._bindings, key=lambda one: one.place), sorted(self._strings))

    def _inside(self, at: _At) -> Iterator[_At]:
        node, scope, function, branches = at
        if isinstance(node, ast.NamedExpr):  # binds its name outside of a comprehension
            yield node.target, function if scope in self._comprehensions else scope, function, branches
            yield node.value, scope, function, branches
        elif isinstance(node, _SCOPES):
            yield from self._inside_scope(node, scope, function)
        elif isinstance(node, _COMPREHENSIONS):
            inner = self._new_scope()
            self._comprehensions.add(inner)
            yield from ((child, inner, function, branches) for child in ast.iter_child_nodes(node))
        else:
            for child, number in _branches_of(node):
                yield child, scope, function, branches if number is None else (*branches, (id(node), number))

    def _inside_scope(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef, scope: int, function: int
    ) -> Iterator[_At]:
        body: Sequence[ast.AST] = node.body if isinstance(node.body, list) else [node.body]
        inner = self._declared_elsewhere(body, function)
        if inner is None:
            inner = self._new_scope()
        inside = {id(child) for child in body}
        for child in ast.iter_child_nodes(node):
            if id(child) in inside:
                yield child, inner, function if isinstance(node, ast.ClassDef) else inner, ()
            elif isinstance(child, ast.arguments):
                for part in ast.iter_child_nodes(child):
                    yield part, inner if isinstance(part, ast.arg) else scope, function, ()
            else:  # decorators, base classes, annotations
                yield child, scope, function, ()

    def _declared_elsewhere(self, body: Sequence[ast.AST], function: int) -> int | None:
        """Return the scope that ``global`` or ``nonlocal`` in a body says the name is of."""
        for node in _statements(body):
            if isinstance(node, ast.Global | ast.Nonlocal) and self._name in node.names:
                return _MODULE if isinstance(node, ast.Global) else function
        return None

    def _new_scope(self) -> int:
        self._scopes += 1
        return self._scopes

    def _bound_by(self, node: ast.AST) -> Place | None:
        name = self._name
        match node:
            case ast.FunctionDef(name=bound) | ast.AsyncFunctionDef(name=bound) | ast.ClassDef(name=bound):
                return self._after(r"\b(?:def|class)", node.lineno) if bound == name else None
            case ast.ExceptHandler(name=str(bound)):
                return self._after(r"\bas", node.lineno) if bound == name else None
            case ast.alias(asname=str(bound)) | ast.MatchAs(name=bound) | ast.MatchStar(name=bound):
                return self._ending(node.end_lineno, node.end_col_offset) if bound == name else None
            case ast.alias(name=bound):
                return self._beginning(node) if bound.partition(".")[0] == name else None
            case ast.Name(id=bound, ctx=ast.Store()) | ast.arg(arg=bound):
                return self._beginning(node) if bound == name else None
        return None

    def _after(self, keyword: str, line: int) -> Place | None:
        found = re.compile(rf"{keyword}\s+({re.escape(self._name)})\b").search(self._lines[line - 1])
        return (line, found.start(1) + 1) if found else None

    def _beginning(self, node: ast.alias | ast.Name | ast.arg | ast.Constant) -> Place:
        return node.lineno, self._column(node.lineno, node.col_offset)

    def _ending(self, line: int | None, offset: int | None) -> Place | None:
        return (line, self._column(line, offset) - len(self._name)) if line and offset else None

    def _column(self, line: int, offset: int) -> int:
        """Return a column of which the syntax tree says how many bytes of UTF-8 are before it."""
        return len(self._lines[line - 1].encode()[:offset].decode()) + 1

    def _exported_by(self, node: ast.AST) -> Iterator[Place]:
        """Return the strings that a statement puts into ``__all__``."""
        match node:
            case ast.Assign(targets=targets, value=value) if any(map(_is_all, targets)):
                values = [value]
            case ast.AnnAssign(target=target, value=ast.expr() as value) if _is_all(target):
                values = [value]
            case ast.AugAssign(target=target, value=value) if _is_all(target):
                values = [value]
            case ast.Call(func=ast.Attribute(value=called), args=arguments) if _is_all(called):
                values = arguments
            case _:
                return
        quoted = re.compile(rf"""[rRuU]?(['"]{{3}}|['"])(?={re.escape(self._name)}\1)""")
        for part in [part for value in values for part in ast.walk(value)]:
            if isinstance(part, ast.Constant) and part.value == self._name:
                line, column = self._beginning(part)
                if match := quoted.match(self._lines[line - 1], column - 1):
                    yield line, match.end() + 1


def _is_all(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "__all__"


def _branches_of(node: ast.AST) -> Iterator[tuple[ast.AST, int | None]]:
    """Return what is in a statement, each with the number of its branch; one of ``try`` is that and its ``else``."""
    numbers: dict[int, int] = {}
    match node:
        case ast.If(body=body, orelse=orelse):
            numbers |= {id(child): 0 for child in body} | {id(child): 1 for child in orelse}
        case ast.Try(body=body, handlers=handlers, orelse=orelse):
            numbers |= {id(child): 0 for child in [*body, *orelse]}
            numbers |= {id(child): number for number, child in enumerate(handlers, 1)}
        case ast.Match(cases=cases):
            numbers |= {id(child): number for number, child in enumerate(cases)}
    for child in ast.iter_child_nodes(node):
        yield child, numbers.get(id(child))


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Return what is in a body, but not in the functions and classes in it."""
    left = list(body)
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, _SCOPES):
            left += ast.iter_child_nodes(node)
