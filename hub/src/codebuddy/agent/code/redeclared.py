"""Finds the other declarations of one thing that a language server takes for things of their own.

In Python all that binds a name in one scope binds the same variable: a function that is defined in each branch of an
``if``, an import with a definition of one's own behind ``except ImportError``. And a file of JavaScript or Python may
have another beside it that declares its types.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence, Set
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from codebuddy.agent.code.answers import NoAnswer
from codebuddy.agent.code.asking import Question, file_symbols
from codebuddy.agent.code.decoding import location
from codebuddy.agent.code.places import FUNCTIONS
from codebuddy.agent.code.python_names import Place, PythonNames, read_names
from codebuddy.agent.lsp.tree import Tree
from codebuddy.files.search import WordPlace
from codebuddy.schemas.code import Location
from codebuddy.tool import ToolError

_PYTHON: Final = (".py", ".pyi")
_BINDS: Final = re.compile(r"\b(?:def|class|import|as|for|with|global|nonlocal|case)\b|=")
_DECLARED_BY: Final = {".js": ".d.ts", ".jsx": ".d.ts", ".mjs": ".d.mts", ".cjs": ".d.cts", ".py": ".pyi"}
_TYPES: Final = tuple(set(_DECLARED_BY.values()))

Names = dict[tuple[Path, str], PythonNames | None]
"""What `read_names` returned for a file and a name."""


class Others(NamedTuple):
    """Other declarations of a thing.

    Args:
        places: those that are surely of it.
        unknown: places of which that cannot be said.
        why: why not, in a sentence.
    """

    places: Sequence[Location] = ()
    unknown: Sequence[Location] = ()
    why: str | None = None


async def other_declarations(
    question: Question,
    word: str,
    found: Sequence[Location],
    left: Mapping[Path, list[WordPlace]],
    remembered: Names,
) -> Others:
    """Return places that declare the same thing as some that were found.

    Args:
        word: its name.
        left: the places of the name in code that were not found, by file.
        remembered: what is known already of files that did not change; what is looked up is added.

    Raises:
        StaleText, StaleLocation, UnopenedFiles: asking again may help; see `Question.persist`.
    """
    tree, known = question.servers.tree, dict[str, set[Place]]()
    for at in found:
        if not at.external:
            known.setdefault(at.path, set()).add((at.line, at.column))
    has_types = any(str(path).endswith(_TYPES) for path in chain(known, left))
    same, unknown, why = list[Location](), list[Location](), None
    for file, places in left.items():
        verdict = await _bound_with(tree, file, word, known.get(tree.show(file)), places=places, remembered=remembered)
        for twin in twins(file) if has_types else ():
            if own := known.get(tree.show(twin)):
                verdict = verdict.also(await _declared_with(question, file, twin, word, own))
        for place in places:
            at = location(tree.show(file), place.line, place.column, place.column + len(word), place.line_text)
            start = (place.line, place.column)
            if start in verdict.same:
                same.append(at)
            elif verdict.why is not None and start not in verdict.different:
                unknown.append(at)
                why = verdict.why
    return Others(same, unknown, why)


class _Verdict(NamedTuple):
    """What is known of the places of a name in a file.

    Args:
        same: where it is the thing that was asked about.
        different: where it is surely another thing.
        why: why of the other places nothing is known; None if they are other things.
    """

    same: Set[Place] = frozenset()
    different: Set[Place] = frozenset()
    why: str | None = None

    def also(self, other: _Verdict) -> _Verdict:
        """Return the result of both."""
        return _Verdict(self.same | other.same, self.different | other.different, self.why or other.why)


async def _bound_with(
    tree: Tree, file: Path, name: str, own: set[Place] | None, *, places: Sequence[WordPlace], remembered: Names
) -> _Verdict:
    """Look where a Python file binds a name again that it binds at some places."""
    binding = {(at.line, at.column) for at in places if _BINDS.search(at.line_text)}
    if file.suffix not in _PYTHON or not own or not binding:
        return _Verdict()
    names = await python_names(tree, file, name, remembered)
    if names is not None:
        return _Verdict(names.same_as(own))
    why = f"{tree.show(file)} cannot be read as Python, so it is not known whether it defines {name!r} more than once."
    return _Verdict(different={(at.line, at.column) for at in places} - binding, why=why)


async def python_names(tree: Tree, file: Path, name: str, remembered: Names) -> PythonNames | None:
    """Return what a Python file says of a name; None if it cannot be read."""
    if (file, name) not in remembered:
        try:
            remembered[file, name] = await asyncio.to_thread(read_names, tree.lines(file), name)
        except ToolError:  # it is gone, or is no text
            return None
    return remembered[file, name]


def twins(file: Path) -> list[Path]:
    """Return the files beside one that may declare its types, or whose types it may declare."""
    found = list[Path]()
    for code, types in _DECLARED_BY.items():
        for ending, other in ((code, types), (types, code)):
            if file.name.endswith(ending):
                found.append(file.with_name(file.name.removesuffix(ending) + other))
    return found


async def _declared_with(question: Question, file: Path, twin: Path, word: str, own: set[Place]) -> _Verdict:
    """Look where a file declares what its twin declares at some places."""
    tree = question.servers.tree
    try:
        there = await _declarations(question, twin, word)
        keys = {key for key, declared in there.items() if declared & own}
        here = await _declarations(question, file, word) if keys else {}
    except (NoAnswer, ToolError):
        return _Verdict()
    declared = set(chain.from_iterable(here.get(key, ()) for key in keys))
    if not keys or declared:
        return _Verdict(declared)
    why = f"{tree.show(file)} has {word!r} too, declared in another way than in {tree.show(twin)}."
    return _Verdict(different=set(chain.from_iterable(here.values())), why=why)


_Key = tuple[tuple[str, ...], bool]
"""The names of what a declaration is in and its own, and whether it is a static member."""


async def _declarations(question: Question, file: Path, word: str) -> dict[_Key, set[Place]]:
    """Return where a file declares a name: symbols, and members of ``this``; not what functions have for themselves.

    Raises:
        NoAnswer, ToolError: that is not known.
    """
    symbols, answer = await file_symbols(question, file)
    lines, places = answer.lines.get(file, []), dict[_Key, set[Place]]()
    functions = [symbol for symbol in symbols if symbol.kind in FUNCTIONS]
    paths = {symbol.path for symbol in functions}
    for symbol in symbols:
        if symbol.name == word and not any(symbol.path[:depth] in paths for depth in range(1, len(symbol.path))):
            before = lines[symbol.line - 1][: symbol.column - 1] if symbol.line <= len(lines) else ""
            is_static = re.search(r"\bstatic\b", before) is not None
            places.setdefault((symbol.names, is_static), set()).add((symbol.line, symbol.column))
    classes = {symbol.path: symbol for symbol in symbols if symbol.kind == "class"}
    member = re.compile(rf"\b(?:this|self)\.({re.escape(word)})(?![\w$])")
    for number, text in enumerate(lines if classes else (), 1):
        for match in member.finditer(text):
            at = number, match.start(1) + 1
            method = max((one for one in functions if one.encloses(*at)), key=lambda one: len(one.path), default=None)
            if method is not None and (owner := classes.get(method.path[:-1])) is not None:
                places.setdefault(((*owner.names, word), False), set()).add(at)
    return places
