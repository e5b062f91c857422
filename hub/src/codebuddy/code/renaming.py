"""Renames of a project: from a place, or of all symbols of a name; what would change, and nothing is written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Final

from codebuddy.code.asking import Answer, Asked, Unsettled, ask
from codebuddy.code.asking_renames import Renamed, ask_rename, word_at
from codebuddy.code.limits import beyond_limits
from codebuddy.code.places import Symbol
from codebuddy.code.questions import Pointer, Question, file_symbols, malformed, point_at
from codebuddy.code.results import MAX_LINE_TEXT, Reader, StaleLocation, Unshown
from codebuddy.code.wanted import covers, merged
from codebuddy.language.changes import remaining
from codebuddy.language.documents import StaleText
from codebuddy.language.quirks import CHANGE_TEXT_ONLY
from codebuddy.language.readiness import Report
from codebuddy.language.servers import LanguageServers
from codebuddy.schemas.code import Location, Place, PlannedRename, RenameArguments
from codebuddy.schemas.files import FileChange
from codebuddy.tool import ToolError

__all__ = ["plan_rename"]

_PAUSES: Final = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)


async def plan_rename(servers: LanguageServers, arguments: RenameArguments, report: Report) -> PlannedRename:
    """Give what renaming a symbol would change: all of it, or nothing and the reason.

    Raises:
        ToolError: ``cannot_rename``; there is no such file, place or symbol; or the change reaches what it must not
            (``outside_project``, ``unsupported_encoding``, ...) or contradicts itself (``bad_answer``).
    """
    question = Question.begin(servers, arguments.timeout_seconds, report)
    renaming = _Renaming(question, servers, arguments)
    stale, shown = "", set[Path]()
    for pause in _PAUSES:
        if remaining(question.deadline) < pause:
            break
        await asyncio.sleep(pause)
        try:
            return await renaming.plan()
        except Unsettled as unsettled:
            return _nothing(unsettled.answer)
        except Unshown as unshown:
            if (hopeless := question.show(unshown, shown)) is not None:
                return _nothing(hopeless)
            stale = servers.tree.show(min(unshown.paths))
        except StaleText as text:
            stale = text.path
            await servers.files_changed([servers.tree.locate(stale)])
    message = f"The language server's answer does not fit the present text of {stale}; try again, or save it anew."
    return _nothing(Answer(None, reason="indexing", message=message))


@dataclass(frozen=True)
class _Target:
    """Something to rename.

    Args:
        asked: the server that knows it, and how long to wait for it.
        path: the file.
        pointer: where in that.
        name: the word there.
        definitions: where the server says that it is declared.
    """

    asked: Asked
    path: Path
    pointer: Pointer
    name: str | None
    definitions: list[Location]

    @property
    def is_definition(self) -> bool:
        """Whether it is declared where the pointer leads, or the server knows nothing better."""
        here = (self.pointer.path, self.pointer.line, self.pointer.column)
        return not self.definitions or any(here == (at.path, at.line, at.column) for at in self.definitions)

    @property
    def changes_text_only(self) -> bool:
        """Whether the server is one that changes no more than texts."""
        connection = self.asked.server.connection
        return connection is not None and connection.server_name in CHANGE_TEXT_ONLY

    @property
    def is_foreign(self) -> bool:
        """Whether it is an import from outside the project: perhaps from where the server finds nothing."""
        return all(at.external for at in self.definitions) if self.definitions else self.changes_text_only

    def is_covered(self, changes: list[FileChange]) -> bool:
        """Say whether it is renamed by some changes."""
        return covers(changes, self.pointer.path, self.pointer.line, self.pointer.column)

    def location(self) -> Location:
        """Give where it is; only for a pointer that knows its text."""
        line, column = self.pointer.line, self.pointer.column
        text = (self.pointer.lines or [])[line - 1][:MAX_LINE_TEXT]
        end = column + len(self.name or "")
        return Location(path=self.pointer.path, line=line, column=column, end_line=line, end_column=end, line_text=text)


@dataclass(frozen=True)
class _Renaming:
    question: Question
    servers: LanguageServers
    arguments: RenameArguments

    async def plan(self) -> PlannedRename:
        """Plan once.

        Raises:
            ToolError: see `plan_rename`.
            Unsettled: there is no complete answer.
            StaleText: a text changed meanwhile; planning anew may help.
            Unshown: files must be shown to the server first.
        """
        given = self.arguments
        if given.path is not None:
            place = Place(path=given.path, line=given.line, column=given.column, symbol=given.symbol, text=given.text)
            return await self._at_place(place)
        return await self._by_name(given.name or "", given.paths or [])

    async def _at_place(self, place: Place) -> PlannedRename:
        path = self.servers.tree.locate(place.path)
        asked = await self.question.choose(path, "textDocument/rename")
        pointer = await point_at(self.question, path, place)
        target = await self._target(asked, path, pointer)
        renamed = await self._rename(target)
        # Not where the thing is declared of which only another name is changed, like that of an import.
        declarations = _renamed(target.definitions, renamed.changes)
        return PlannedRename(
            complete=True,
            changes=renamed.changes,
            old_name=renamed.old_name,
            symbol=await self._symbol(declarations) or renamed.old_name,
            declarations=declarations,
        )

    async def _by_name(self, name: str, paths: list[str]) -> PlannedRename:
        targets = [one for path in dict.fromkeys(paths) for one in await self._declared(path, name)]
        changes: list[FileChange] = []
        old_name: str | None = None
        # First what is its own definition: that covers its imports, for which nobody need be asked then.
        for target in sorted(targets, key=lambda one: not one.is_definition):
            if not target.is_covered(changes):
                renamed = await self._rename(target)
                changes, old_name = merged(changes, renamed.changes), old_name or renamed.old_name
        own = [one for one in targets if one.is_definition or not _renamed(one.definitions, changes)]
        return PlannedRename(
            complete=True,
            changes=changes,
            old_name=old_name,
            symbol=name if targets else None,
            declarations=[one.location() for one in own],
        )

    async def _rename(self, target: _Target) -> Renamed:
        if target.changes_text_only:
            _require_plain(target)
        if (lacking := await beyond_limits(target.asked, target.name)) is not None:
            raise Unsettled(lacking)
        renamed = await ask_rename(target.asked, target.path, target.pointer, self.arguments.new_name)
        if renamed.server_name in CHANGE_TEXT_ONLY:  # one that was not there yet before
            _require_plain(target)
        return renamed

    async def _target(self, asked: Asked, path: Path, pointer: Pointer) -> _Target:
        """Ask where the thing at a place is declared; a server need not know that."""
        try:
            knowing = await self.question.choose(path, "textDocument/definition")
            answer = await ask(knowing, path, "textDocument/definition", partial(pointer.params, {}))
        except Unsettled as unsettled:
            answer = unsettled.answer
        if answer.reason not in (None, "server_error", "unsupported"):
            raise Unsettled(answer)
        lines = answer.lines.get(path, [])
        try:
            definitions = Reader(self.servers.tree, answer.encoding, answer.lines).locations(answer.result)
        except StaleLocation as stale:
            raise StaleText(self.servers.tree.show(stale.path)) from None
        except ValueError as error:
            raise malformed(error) from None
        name = word_at(lines, pointer.line, pointer.column_in(lines)) if lines else None
        return _Target(asked, path, pointer, name, definitions)

    async def _declared(self, shown: str, name: str) -> list[_Target]:
        """Give the symbols of a file whose whole path is the name, but for imports from outside."""
        path = self.servers.tree.locate(shown)
        if self.servers.server_for(path, "rename") is None:
            return []
        try:
            asked = await self.question.choose(path, "textDocument/rename")
            symbols, answer = await file_symbols(self.question, path)
        except ToolError as error:
            if error.code == "not_found":  # it was there when its words were searched
                return []
            raise
        if answer.reason is not None:
            raise Unsettled(answer)
        found = []
        for symbol in symbols:
            if "/".join(symbol.path) == name:
                at = Pointer(self.servers.tree.show(path), symbol.line, symbol.column, lines=answer.lines[path])
                found.append(await self._target(asked, path, at))
        return [target for target in found if not target.is_foreign]

    async def _symbol(self, declarations: Iterable[Location]) -> str | None:
        """Give the path of the symbol that is declared at the first place where one is known."""
        for at in declarations:
            path = self.servers.tree.locate(at.path)
            with contextlib.suppress(ToolError, Unsettled):  # a rename is not refused for want of this
                symbols, _ = await file_symbols(self.question, path)
                around = [symbol.path for symbol in symbols if _is_at(symbol, at)]
                if around:
                    innermost = max(around, key=len)
                    return "/".join(innermost)
        return None


def _is_at(symbol: Symbol, at: Location) -> bool:
    return symbol.line == at.line and symbol.column <= at.column <= symbol.column + len(symbol.path[-1])


def _renamed(definitions: list[Location], changes: list[FileChange]) -> list[Location]:
    return [at for at in definitions if covers(changes, at.path, at.line, at.column)]


def _require_plain(target: _Target) -> None:
    """Refuse what a server that changes texts only would leave broken.

    Raises:
        ToolError: ``cannot_rename``: a module, or another name of something; or it is not known what it is, which is
            so for a module without a file.
    """
    name, path = target.name, target.pointer.path
    for at in target.definitions:
        file, named = PurePath(at.path), word_at([at.line_text or ""], 1, at.column)
        stem = file.parent.name if file.stem == "__init__" else file.stem
        begins = (at.line, at.column) == (1, 1)
        if begins and stem == name and named != name:
            message = f"{name!r} is a module, and the language server would not rename its file with it; move the file."
            raise ToolError("cannot_rename", message, path)
        if not begins and not at.external and named != name:
            message = f"{name!r} is another name for {named!r}; rename that, or edit the import."
            raise ToolError("cannot_rename", message, path)
    if not target.definitions:
        raise ToolError("cannot_rename", "The language server does not know where this is declared.", path)


def _nothing(answer: Answer) -> PlannedRename:
    return PlannedRename(complete=False, reason=answer.reason, message=answer.message, changes=[], declarations=[])
