"""Moves of files and directories: how the imports of the project change with them.

A server is asked before the move (LSP 3.17, "WillRenameFiles Request"), and its edits are for the files where they are
then.
"""

from __future__ import annotations

import asyncio
import contextlib
import keyword
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from codebuddy.agent.code.answers import COMPLETE, Answer, NoAnswer
from codebuddy.agent.code.asking import Question, ServerQuestion, files_with_word, request, run_exchange
from codebuddy.agent.code.workspace_edits import (
    EditBasis,
    EditContext,
    TextEdits,
    changes_of,
    merged,
    read_steps,
    show_files,
    sources_of,
    with_known_texts,
)
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document, StaleText
from codebuddy.agent.lsp.positions import UPDATE_NAMES_ONLY
from codebuddy.agent.lsp.readiness import Report, remaining
from codebuddy.agent.lsp.servers import LanguageServer, LanguageServers
from codebuddy.agent.lsp.transport import ServerError
from codebuddy.agent.lsp.tree import uri_of
from codebuddy.schemas.code import PlanMoveArguments, PlannedMove
from codebuddy.schemas.files import FileChange, RangeEdit
from codebuddy.tool import ToolError

_METHOD: Final = "workspace/willRenameFiles"
_SYMBOLS: Final = "textDocument/documentSymbol"

# Files that a server is shown before it is asked, and how many are looked at to choose them.
_MAX_RELATED: Final = 60
_MAX_EXAMINED: Final = 2000

# Files that are imported by the name of their directory.
_NAMELESS: Final = ("__init__", "index", "mod")


async def plan_move(servers: LanguageServers, arguments: PlanMoveArguments, report: Report) -> PlannedMove:
    """Return how imports change when a file or directory moves.

    Every server that serves it, or something in it, is asked. What one of them cannot say is no reason to leave out
    what another says.
    """
    tree = servers.tree
    question = Question.begin(servers, arguments.timeout_seconds, report)
    source = tree.locate(arguments.source)
    asked = await asyncio.to_thread(_servers_of, servers, source)
    if not asked:
        return PlannedMove(complete=True, changes=[], served=False)
    try:
        target = tree.locate(arguments.target)
    except ToolError:
        return _lacking([Answer.lacking("unsupported", "No language server sees two projects.")])
    if source.is_symlink():
        return _lacking([Answer.lacking("unsupported", "It is a symbolic link.")])
    changes, covered, lacking = list[FileChange](), list[str](), list[Answer]()
    for server, file in asked:
        move = _Move(question, server, file, source, target)
        try:
            changes = merged(changes, await question.persist(move.plan))
            covered += [] if move.names_only else server.config.languages
        except NoAnswer as none:
            lacking.append(none.answer)
        except StaleText as stale:
            lacking.append(Answer.lacking("indexing", f"{stale.path} changed meanwhile."))
        except ToolError as error:
            lacking.append(Answer.lacking("server_error", error.message))
    return _lacking(lacking).model_copy(update={"changes": changes, "covered": covered})


def _lacking(answers: Sequence[Answer]) -> PlannedMove:
    message = " ".join(dict.fromkeys(answer.message or "" for answer in answers))
    answer = replace(answers[0], message=message) if answers else COMPLETE
    return PlannedMove(**answer.completeness(), changes=[])


def _servers_of(servers: LanguageServers, source: Path) -> list[tuple[LanguageServer, Path]]:
    """Return the servers to ask, each with a file of theirs that moves; none for what the servers before it serve."""
    tree, found = servers.tree, list[tuple[LanguageServer, Path]]()
    able = servers.for_project("rename")

    def wanted(server: LanguageServer, inside: str) -> bool:
        others = (other.config for other, _ in found)
        return server.config.language_of(inside) is not None and not any(one.language_of(inside) for one in others)

    for server in able:
        if not tree.is_directory(source):
            file = source if wanted(server, tree.relative(source)) else None
        else:
            file = next(tree.files(partial(wanted, server), below=source), None)
        if file is not None:
            found.append((server, file))
    if found or tree.is_directory(source):
        return found
    for server in able:
        if _wants_besides(server, source) and (file := tree.any_file(partial(wanted, server))) is not None:
            return [(server, file)]
    return []


def _wants_besides(server: LanguageServer, source: Path) -> bool:
    """Say whether a server names files like this one that it does not serve, as TypeScript's servers do with JSON."""
    if server.connection is None:
        return False
    wants = server.connection.capabilities.wants_move
    return wants(str(source), is_directory=False) and not wants(f"{source}~", is_directory=False)


@dataclass(frozen=True)
class _Response:
    """What a server said, and what it knew then."""

    edit: Any  # as the protocol writes it
    basis: EditBasis
    context: EditContext


@dataclass(frozen=True)
class _Move:
    """A move that a server is asked about."""

    question: Question
    server: LanguageServer
    file: Path  # one of the server's, at best one that moves
    source: Path
    target: Path

    @property
    def names_only(self) -> bool:
        """Whether the server is one that updates names only."""
        connection = self.server.connection
        return connection is not None and connection.server_name in UPDATE_NAMES_ONLY

    async def plan(self) -> list[FileChange]:
        """Plan once."""
        try:
            return await self._plan()
        except StaleText as stale:
            await self.question.servers.files_changed([self.server.tree.locate(stale.path)])
            raise

    async def _plan(self) -> list[FileChange]:
        asked = await self.question.choose_from([self.server], _METHOD)
        self._require_able()
        related = await self._related()

        async def attempt(files: Sequence[Path]) -> list[FileChange]:
            shown = list(dict.fromkeys([*files, *related]))[: max(len(files), _MAX_RELATED)]
            answer = await run_exchange(asked, self.file, partial(self._exchange, asked, shown))
            if answer.reason is not None:
                raise NoAnswer(answer)
            return self._read(answer.result)

        return await with_known_texts(attempt, self.server.tree.show(self.source))

    def _require_able(self) -> None:
        """Refuse what the server would leave as it is, or break.

        Raises:
            NoAnswer: with the reason.
        """
        tree, config = self.server.tree, self.server.config
        is_file = not tree.is_directory(self.source)
        name = self.target.stem if is_file else self.target.name
        if is_file and self.file == self.source and config.language_of(tree.relative(self.target)) is None:
            raise NoAnswer.because("unsupported", f"{config.name} does not serve the new path.")
        if not self.names_only:
            return
        if self.source.parent != self.target.parent:
            raise NoAnswer.because(
                "unsupported", f"{config.name} updates imports of a new name, not of a new directory."
            )
        if not name.isidentifier() or keyword.iskeyword(name) or {name, self.source.stem} & set(_NAMELESS):
            raise NoAnswer.because(
                "unsupported", f"{config.name} updates imports from one name of a module to another only."
            )

    async def _related(self) -> list[Path]:
        """Return files that may import what moves: some servers look only into configurations that have an open file.

        Those of different directories go first, as different configurations may be for them.
        """
        tree, wanted = self.server.tree, self.server.config.language_of

        def serves(inside: str) -> bool:
            return wanted(inside) is not None

        found = list[Path]()
        if tree.is_directory(self.source):
            found += await asyncio.to_thread(lambda: list(islice(tree.files(serves, self.source), _MAX_EXAMINED)))
        word = self.source.name.partition(".")[0]
        word = self.source.parent.name if word in _NAMELESS else word
        async for batch in files_with_word(tree, word, serves):
            found += batch.found
            if len(found) > _MAX_EXAMINED or remaining(self.question.deadline) == 0:
                break
        first = {path.parent: path for path in reversed(found)}.values()
        return list(dict.fromkeys([*first, *found]))[:_MAX_RELATED]

    async def _exchange(
        self, asked: ServerQuestion, files: Sequence[Path], connection: Connection, _document: Document
    ) -> _Response:
        self._require_wanted(connection)
        show_files(asked, connection, files)
        await self._bring_up_to_date(connection, files)
        basis = EditBasis.now(connection, files)
        moved = {"oldUri": uri_of(self.source), "newUri": uri_of(self.target)}
        edit = await request(connection, _METHOD, {"files": [moved]}, asked.deadline)
        basis.answered(connection)
        return _Response(edit, basis, EditContext(self.server.tree, connection.encoding))

    async def _bring_up_to_date(self, connection: Connection, files: Sequence[Path]) -> None:
        """Ask for the symbols of a file of each directory: of the projects that it knows, tsc looks only into those
        for which it was asked something after the last change.
        """
        if not connection.capabilities.covers(_SYMBOLS):
            return
        documents = connection.documents.copies()
        opened = {path.parent: documents[path] for path in files if path in documents}
        for document in opened.values():
            params = {"textDocument": {"uri": document.uri}}
            with contextlib.suppress(ServerError):
                await request(connection, _SYMBOLS, params, self.question.deadline)

    def _require_wanted(self, connection: Connection) -> None:
        """Refuse what no filter of the server fits.

        A directory is asked about for the sake of a file in it too: the filter of TypeScript's own server has files
        only, though it updates the imports of directories, and of no list of files.
        """
        wants, is_directory = connection.capabilities.wants_move, os.path.isdir(self.source)
        if not wants(str(self.source), is_directory=is_directory) and not wants(str(self.file), is_directory=False):
            message = f"{self.server.config.name} does not want to be asked about such files."
            raise NoAnswer.because("unsupported", message)

    def _read(self, response: _Response) -> list[FileChange]:
        """Turn what the server said into changes."""
        tree = self.server.tree
        steps = read_steps(response.edit, tree)
        texts = [step for step in steps if isinstance(step, TextEdits)]
        if len(texts) < len(steps):
            raise ToolError("bad_answer", "The language server would create, move or delete further files.")
        texts = [step for step in texts if self._is_meant(step)]
        sources = sources_of(texts, tree, response.basis)
        changes = changes_of(texts, sources, response.context)
        return [_keeping_dot(change, sources[tree.locate(change.path)].lines) for change in changes]

    def _is_meant(self, step: TextEdits) -> bool:
        """Say whether the edits of a file are to be made.

        basedpyright lists every file of the project, most without edits. The move may replace a file. TypeScript's
        servers change the configuration that moves along as if it stayed.
        """
        moves_along = step.path != self.source and step.path.is_relative_to(self.source)
        return bool(step.edits) and step.path != self.target and not (moves_along and step.path.suffix == ".json")


def _keeping_dot(change: FileChange, lines: list[str]) -> FileChange:
    """Keep the ``./`` before a path in a configuration, which TypeScript's servers drop though ``paths`` want it."""

    def kept(edit: RangeEdit) -> RangeEdit:
        old = lines[edit.line - 1][edit.column - 1 :]
        drops = old.startswith("./") and not edit.new_text.startswith((".", "/"))
        return edit.model_copy(update={"new_text": f"./{edit.new_text}"}) if drops else edit

    if not change.path.endswith(".json"):
        return change
    return change.model_copy(update={"edits": [kept(edit) for edit in change.edits or ()]})
