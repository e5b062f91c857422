"""The symbols of a project that have a name, and where they are used."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from codebuddy.code.asking import Answer, Asked, Unsettled
from codebuddy.code.asking_renames import word_at
from codebuddy.code.limits import beyond_limits
from codebuddy.code.places import Symbol, ends_with
from codebuddy.code.questions import Pointer, Question, ask_at, file_symbols
from codebuddy.code.results import MAX_LINE_TEXT, sorted_unique
from codebuddy.code.words import look_for_word
from codebuddy.language.changes import remaining
from codebuddy.schemas.code import Location, Reason, SymbolLocation, TextRange
from codebuddy.tool import ToolError

__all__ = ["REFERENCES", "Named", "ask_references", "find_named", "symbol_location"]

REFERENCES: Final = "textDocument/references"
_DEFINITION: Final = "textDocument/definition"
_WITH_DECLARATION: Final[Mapping[str, Any]] = MappingProxyType({"context": {"includeDeclaration": True}})

_NO_SYMBOL: Final = "The language server knows no symbol at this place: it finds not even a declaration."
_MAX_FILES: Final = 200
_MAX_SYMBOLS: Final = 20
_MAX_CANDIDATES: Final = 500
_AT_ONCE: Final = 8


@dataclass(frozen=True)
class Named:
    """What has a name.

    Args:
        symbols: all that have it, where they are declared.
        references: where they are used.
        answer: says whether that is all.
    """

    symbols: list[SymbolLocation]
    references: list[Location]
    answer: Answer


@dataclass(frozen=True)
class _Candidate:
    path: Path
    symbol: Symbol
    pointer: Pointer


async def find_named(question: Question, name: str) -> Named:
    """Give the symbols with a name, and their references.

    The files in which the name stands as a word are asked for their symbols: that is exact with every server, while
    ``workspace/symbol`` is cut, fuzzy or missing in most.

    Args:
        question: how long, and of whom.
        name: a symbol's name, or the end of its path, like ``Class/method``.

    Raises:
        StaleText, StaleLocation: a text changed meanwhile; asking anew may help.
        Unsettled: a server gave a malformed answer.
    """
    parts = tuple(part for part in name.split("/") if part)
    if not parts:
        raise ToolError("invalid_arguments", "symbol must be a name, like method or Class/method.")
    search = _Search(question, parts)
    found = await search.candidates()
    await search.use(found, declared=True)
    if not search.symbols:  # only other names for what is not in the project
        await search.use(found, declared=False)
    return Named(search.symbols, search.references, search.worth)


async def ask_references(asked: Asked, path: Path, pointer: Pointer) -> tuple[list[Location], Answer]:
    """Ask where the thing at a place is used, its declaration included.

    Raises:
        ToolError, Unsettled, StaleText, StaleLocation: see `ask_at`.
    """
    found, answer = await _ask_references(asked, path, pointer)
    if answer.reason is None and asked.server.config.limits:
        lines = answer.lines.get(path, [])
        word = word_at(lines, pointer.line, pointer.column_in(lines)) if lines else None
        answer = await beyond_limits(asked, word) or answer
    return found, answer


async def _ask_references(asked: Asked, path: Path, pointer: Pointer) -> tuple[list[Location], Answer]:
    """Ask for what the server finds.

    What is known has at least its declaration: a server that finds nothing knows no symbol there, which does not mean
    that there is none. rust-analyzer knows none in the body of a ``macro_rules!``.
    """
    found, answer = await ask_at(asked, path, pointer, REFERENCES, _WITH_DECLARATION)
    if not found and answer.reason is None:
        answer = Answer(None, answer.lines, answer.encoding, "unsupported", _NO_SYMBOL)
    return found, answer


def symbol_location(path: str, symbol: Symbol, lines: list[str]) -> SymbolLocation:
    """Give a symbol of a file as it is answered.

    Args:
        path: the file's workspace path.
        symbol: the symbol.
        lines: the text that it is of.
    """
    text = lines[symbol.line - 1] if symbol.line <= len(lines) else ""
    length = len(symbol.name) if text.startswith(symbol.name, symbol.column - 1) else 0
    return SymbolLocation(
        path=path,
        line=symbol.line,
        column=symbol.column,
        end_line=symbol.line,
        end_column=symbol.column + length,
        line_text=text[:MAX_LINE_TEXT],
        name=symbol.name,
        kind=symbol.kind,
        symbol="/".join(symbol.path),
        detail=symbol.detail,
        full_range=TextRange(**symbol.full._asdict()),
    )


class _Search:
    """A search for symbols in the files of a project.

    Args:
        question: how long, and of whom.
        parts: the name, the outermost part first.
    """

    def __init__(self, question: Question, parts: tuple[str, ...]) -> None:
        self._question = question
        self._parts = parts
        self.worth = Answer(None)
        self.symbols: list[SymbolLocation] = []
        self.references: list[Location] = []
        self._limits: dict[str, Answer] = {}

    def note(self, answer: Answer) -> None:
        """Remember the first reason why not all may be known."""
        if self.worth.reason is None and answer.reason is not None:
            self.worth = answer

    async def candidates(self) -> list[_Candidate]:
        """Give the symbols with the name: those that have no other path, or else all."""
        files = await self._files()
        found: list[_Candidate] = []
        for start in range(0, len(files), _AT_ONCE):
            for some in await asyncio.gather(*(self._of_file(path) for path in files[start : start + _AT_ONCE])):
                found += some
        exact = [one for one in found if len(one.symbol.path) == len(self._parts)]
        return exact or found

    async def use(self, candidates: list[_Candidate], declared: bool) -> None:
        """Add the references of some symbols, each once.

        Args:
            candidates: the symbols.
            declared: whether only those count that are declared where they stand.
        """
        for looked_at, candidate in enumerate(candidates):
            if any(_is_at(candidate, at) for at in self.references):
                continue
            if len(self.symbols) == _MAX_SYMBOLS or looked_at == _MAX_CANDIDATES:
                message = f"{len(candidates)} symbols have this name; not all were looked at. Give more of its path."
                self.note(Answer(None, reason="truncated", message=message))
                return
            if declared and not await self._is_declared_there(candidate):
                continue
            at, asked = candidate.pointer, await self._question.choose(candidate.path, REFERENCES)
            used, answer = await _ask_references(asked, candidate.path, at)
            self.note(answer)
            if answer.reason is None:
                self.note(await self._limits_at(candidate.path))
            self.references = sorted_unique([*self.references, *used])
            self.symbols.append(symbol_location(at.path, candidate.symbol, at.lines or [""]))

    async def _files(self) -> list[Path]:
        """Give the files with the name in them, as many as are looked at."""
        servers = self._question.servers
        if not servers.for_project("navigation"):
            self.note(Answer(None, reason="unsupported", message="No language server is declared for navigation."))
        root = servers.tree.root
        files: list[Path] = []
        async for looked in look_for_word(
            servers.tree, self._parts[-1], lambda path: servers.server_for(root / path) is not None
        ):
            files += looked.found
            if looked.cut is not None:
                self.note(Answer(None, reason="truncated", message=looked.cut))
            for path, error in looked.refused:
                message = f"{servers.tree.show(path)} was not looked at: {error.message}"
                self.note(Answer(None, reason="unsupported", message=message))
            if len(files) > _MAX_FILES or remaining(self._question.deadline) == 0:
                reason: Reason = "truncated" if len(files) > _MAX_FILES else "timed_out"
                told = f"the name stands in more than {_MAX_FILES} files" if reason == "truncated" else "time was over"
                self.note(Answer(None, reason=reason, message=f"Not all files were looked at: {told}."))
                return files[:_MAX_FILES]
        return files

    async def _limits_at(self, path: Path) -> Answer:
        """Say whether the server that finds references for a file may leave some out; looked up once for each."""
        asked = await self._question.choose(path, REFERENCES)
        name = asked.server.config.name
        if name not in self._limits:
            self._limits[name] = await beyond_limits(asked, self._parts[-1]) or Answer(None)
        return self._limits[name]

    async def _of_file(self, path: Path) -> list[_Candidate]:
        """Give the symbols of a file that have the name; what cannot be asked is noted."""
        try:
            symbols, answer = await file_symbols(self._question, path)
        except Unsettled as unsettled:
            self.note(unsettled.answer)
            return []
        except ToolError:
            return []  # it vanished on the way
        self.note(answer)
        shown, lines = self._question.servers.tree.show(path), answer.lines.get(path)
        return [
            _Candidate(path, symbol, Pointer(shown, symbol.line, symbol.column, lines=lines))
            for symbol in symbols
            if ends_with(symbol.path, self._parts)
        ]

    async def _is_declared_there(self, candidate: _Candidate) -> bool:
        """Say whether a symbol is not just another name for one elsewhere in the project, like that of an import."""
        with contextlib.suppress(Unsettled):
            asked = await self._question.choose(candidate.path, _DEFINITION)
            declared, answer = await ask_at(asked, candidate.path, candidate.pointer, _DEFINITION)
            if answer.reason is None:
                return not declared or any(at.external or _is_at(candidate, at) for at in declared)
        return True


def _is_at(candidate: _Candidate, at: Location) -> bool:
    return (candidate.pointer.path, candidate.symbol.line, candidate.symbol.column) == (at.path, at.line, at.column)
