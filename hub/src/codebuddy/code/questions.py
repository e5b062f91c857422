"""What every question about code needs: time, a server that can, a place, and texts that hold still."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from codebuddy.code.asking import Answer, Asked, Unsettled, ask
from codebuddy.code.choosing import choose
from codebuddy.code.places import Symbol, find_symbol, find_word, read_symbols
from codebuddy.code.results import Reader, StaleLocation, Unshown
from codebuddy.language.changes import remaining
from codebuddy.language.documents import Document, StaleText
from codebuddy.language.positions import Encoding, Position, to_lsp
from codebuddy.language.readiness import Report
from codebuddy.language.servers import LanguageServers
from codebuddy.schemas.code import Location, Place
from codebuddy.tool import ToolError

__all__ = [
    "MALFORMED",
    "Pointer",
    "Question",
    "Unsettled",
    "ask_at",
    "ask_symbols",
    "file_symbols",
    "malformed",
    "point_at",
    "symbols_of",
]

T = TypeVar("T")

_STALE_LONGEST_PAUSE: Final = 2.0
_STALE_PAUSE: Final = 0.05
# Fewer than the documents that are open at one time.
_MAX_SHOWN: Final = 100
MALFORMED: Final = "The language server gave a malformed answer"


@dataclass(frozen=True)
class Question:
    """A question to the language servers of a project.

    Args:
        servers: them.
        deadline: when an answer must be there, in the running loop's time.
        report: told what is being waited for.
    """

    servers: LanguageServers
    deadline: float
    report: Report

    @classmethod
    def begin(cls, servers: LanguageServers, seconds: float, report: Report) -> Question:
        """Give a question that has so many seconds from now on."""
        return cls(servers, asyncio.get_running_loop().time() + seconds, report)

    async def choose(self, path: Path, method: str) -> Asked:
        """Give the server that answers a request about a file; see `choose`.

        Raises:
            ToolError, Unsettled: none does.
        """
        return await choose(self.servers, path, method, self.deadline, self.report)

    def show(self, unshown: Unshown, shown: set[Path]) -> Answer | None:
        """Show files to the servers, so that the next answer is right in them; say why, if it will not be.

        Args:
            unshown: names the files.
            shown: those that were shown for this question; the new ones are added.
        """
        more = unshown.paths - shown
        shown |= more
        if not more or len(shown) > _MAX_SHOWN:
            some = self.servers.tree.show(min(unshown.paths))
            message = (
                "The answer is about the first lines of files with a byte order mark, which some language servers "
                f"count wrongly, and they cannot all be shown to it: {some}"
                f"{f' and {len(unshown.paths) - 1} more' if len(unshown.paths) > 1 else ''}."
            )
            return Answer(None, reason="unsupported", message=message)
        self.servers.show(sorted(more))
        return None

    async def persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until the texts that an answer is for are those on the disk.

        Raises:
            ToolError: the attempt's.
            Unsettled: the attempt's, or the texts keep changing.
        """
        pause, shown = _STALE_PAUSE, set[Path]()
        while True:
            try:
                return await attempt()
            except Unshown as unshown:
                if (hopeless := self.show(unshown, shown)) is not None:
                    raise Unsettled(hopeless) from None
                continue
            except StaleText as stale:
                message = f"The file keeps changing: {stale.path}."
            except StaleLocation as stale:
                # It has not heard of the deletion, or not acted on it yet.
                await self.servers.files_changed([stale.path])
                message = (
                    f"The language server still speaks of a file that is gone: {self.servers.tree.show(stale.path)}."
                )
            if pause > _STALE_LONGEST_PAUSE or remaining(self.deadline) < pause:
                raise Unsettled(Answer(None, reason="indexing", message=message))
            await asyncio.sleep(pause)
            pause *= 2

    async def found(self, attempt: Callable[[], Awaitable[tuple[list[T], Answer]]]) -> tuple[list[T], Answer]:
        """Try as `persist` does; where nothing can be known, give nothing and the answer that says why.

        Raises:
            ToolError: the attempt's.
        """
        try:
            return await self.persist(attempt)
        except Unsettled as unsettled:
            return [], unsettled.answer


@dataclass(frozen=True)
class Pointer:
    """A place in a file, looked up in the text that the server knows when it is asked.

    Args:
        path: the workspace path, for messages.
        line: the 1-based line.
        column: the 1-based column.
        text: the word on the line that is meant, in place of the column.
        lines: the text that line and column were taken from; None when the caller gave them.
        after: whether the place is behind the word, not at its beginning.
    """

    path: str
    line: int
    column: int = 1
    text: str | None = None
    lines: list[str] | None = None
    after: bool = False

    def position(self, document: Document, encoding: Encoding) -> Position:
        """Give the position in a document.

        Raises:
            ToolError: there is no such place in it, or more than one.
            StaleText: line and column were taken from another text.
        """
        if self.lines is not None and self.lines != document.lines:
            raise StaleText(self.path)
        try:
            return to_lsp(document.lines, self.line, self.column_in(document.lines), encoding)
        except ValueError as error:
            raise ToolError("no_such_place", f"{str(error).capitalize()}.", self.path) from None

    def params(self, more: Mapping[str, Any], document: Document, encoding: Encoding) -> dict[str, Any]:
        """Give the parameters of a question about the place.

        Raises:
            ToolError, StaleText: see `position`.
        """
        return {"position": self.position(document, encoding), **more}

    def column_in(self, lines: list[str]) -> int:
        """Give the column in a text.

        Raises:
            ToolError: the word is not on the line, or more than once.
        """
        if self.text is None:
            return self.column
        return find_word(lines, self.line, self.text, self.path, self.after)


async def point_at(question: Question, path: Path, place: Place) -> Pointer:
    """Point at a place; a symbol is looked up in the symbols of the file.

    Raises:
        ToolError: the file cannot be read, or has no such symbol or more than one.
        Unsettled: the symbols of the file are not known yet.
    """
    if place.symbol is None:
        return Pointer(place.path, place.line or 1, place.column or 1, place.text)
    symbols, answer = await file_symbols(question, path)
    try:
        found = find_symbol(symbols, place.symbol, place.path)
    except ToolError:
        if answer.reason is not None:  # it may be there once the server has loaded
            raise Unsettled(answer) from None
        raise
    return Pointer(place.path, found.line, found.column, lines=answer.lines.get(path))


async def ask_at(
    asked: Asked, path: Path, pointer: Pointer, method: str, more: Mapping[str, Any] = MappingProxyType({})
) -> tuple[list[Location], Answer]:
    """Ask a question that is answered with locations, about a place.

    Args:
        asked: whom, and how long.
        path: the file.
        pointer: the place in it.
        method: the request.
        more: its parameters besides document and position.

    Raises:
        ToolError: there is no such place.
        Unsettled: its answer is malformed.
        StaleText, StaleLocation, Unshown: asking anew may help; see `Question.persist`.
    """
    answer = await ask(asked, path, method, partial(pointer.params, more))
    try:
        return Reader(asked.server.tree, answer.encoding, answer.lines).locations(answer.result), answer
    except ValueError as error:
        raise malformed(error) from None


async def file_symbols(question: Question, path: Path) -> tuple[list[Symbol], Answer]:
    """Give the symbols of a file, outer ones before those in them; and the answer that they are from.

    Raises:
        ToolError: the file cannot be read.
        Unsettled: nothing is known yet.
    """
    answer = await ask_symbols(await question.choose(path, "textDocument/documentSymbol"), path)
    if answer.result is None and answer.reason is not None:
        raise Unsettled(answer)
    return symbols_of(answer, path), answer


async def ask_symbols(asked: Asked, path: Path) -> Answer:
    """Ask for the symbols of a file.

    Raises:
        ToolError: the file cannot be read.
    """
    return await ask(asked, path, "textDocument/documentSymbol", lambda document, encoding: {}, local=True)


def symbols_of(answer: Answer, path: Path) -> list[Symbol]:
    """Read the answer to a question for the symbols of a file.

    Raises:
        Unsettled: it is malformed.
    """
    try:
        return read_symbols(answer.result, answer.lines.get(path, [""]), answer.encoding)
    except ValueError as error:
        raise malformed(error) from None


def malformed(error: ValueError) -> Unsettled:
    """Give what to raise when a server's answer makes no sense."""
    return Unsettled(Answer(None, reason="server_error", message=f"{MALFORMED}: {error}."))
