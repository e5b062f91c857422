"""Asking one server for one rename, until its answer is for texts that are known for certain."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from codebuddy.code.asking import Answer, Asked, Unsettled, request, settle
from codebuddy.code.known_texts import Known, Untold, sources_of, tell
from codebuddy.code.pitfalls import require_no_shorthand, require_not_reserved
from codebuddy.code.questions import MALFORMED, Pointer, malformed
from codebuddy.code.wanted import Expected, changes_of
from codebuddy.code.workspace_edits import Range, read_steps
from codebuddy.language.connection import Connection
from codebuddy.language.documents import Document, StaleText
from codebuddy.language.positions import Encoding, from_lsp
from codebuddy.language.quirks import GIVE_WHOLE_TEXTS
from codebuddy.language.session import METHOD_NOT_FOUND, ServerError
from codebuddy.schemas.files import FileChange
from codebuddy.tool import ToolError

__all__ = ["Renamed", "ask_rename", "word_at"]

_ATTEMPTS: Final = 4

# Errors that are no judgement on the rename: ParseError, InvalidRequest, InternalError, ServerNotInitialized,
# RequestCancelled, ContentModified, ServerCancelled (JSON-RPC 2.0; LSP 3.17, "ErrorCodes").
_FAILURES: Final = (-32700, -32600, -32603, -32002, -32800, -32801, -32802)

_PLAIN_NAME: Final = re.compile(r"[^\W\d][\w$]*|[$][\w$]*")
_WORD: Final = re.compile(r"[\w$]+")


@dataclass(frozen=True)
class Renamed:
    """What a rename changes.

    Args:
        changes: at least one, but for a new name that is the old one.
        old_name: the name at the place, if there is one.
        server_name: what the server calls itself.
    """

    changes: list[FileChange]
    old_name: str | None
    server_name: str | None


@dataclass(frozen=True)
class _Said:
    """What a server said, and what it knew then.

    Args:
        expected: what its edit must fit.
        edit: as the protocol writes it.
        refusal: its words when it does not rename.
        known: the texts that it knew.
        server_name: what the server calls itself.
    """

    expected: Expected
    edit: Any
    refusal: str | None
    known: Known
    server_name: str | None


async def ask_rename(asked: Asked, path: Path, pointer: Pointer, new_name: str) -> Renamed:
    """Ask for a rename from a place.

    Raises:
        ToolError: ``cannot_rename``, with the server's words; ``outside_project``, ``bad_answer`` and others when its
            answer cannot be accepted; the place is not there.
        Unsettled: there is no complete answer yet, or it makes no sense.
        StaleText: the answer is not for the present text of some file; asking anew may help.
    """
    question, files = _Question(asked, pointer, new_name), list[Path]()
    for attempt in range(_ATTEMPTS):
        answer = await settle(asked, path, partial(question.ask, files))
        if answer.reason is not None:
            raise Unsettled(answer)
        said: _Said = answer.result
        if said.refusal is not None:
            message = f"The language server {asked.server.config.name} does not rename this: {said.refusal}"
            raise ToolError("cannot_rename", message, pointer.path)
        try:
            return _read(asked, pointer, said)
        except Untold as untold:
            files = untold.files
        except ValueError as error:
            raise malformed(error) from None
        await asyncio.sleep(0.05 * attempt)
    raise StaleText(pointer.path)


def word_at(lines: list[str], line: int, column: int) -> str | None:
    """Give the word at a place, or that ends there."""
    words = _WORD.finditer(lines[line - 1]) if line <= len(lines) else ()
    return next((word[0] for word in words if word.start() < column <= word.end() + 1), None)


@dataclass(frozen=True)
class _Question:
    """A rename that a server is asked for."""

    asked: Asked
    pointer: Pointer
    new_name: str

    async def ask(self, files: list[Path], connection: Connection, document: Document) -> _Said:
        """Ask, after the server was told of the files."""
        if not connection.renames:
            raise self._unsupported()
        tree = self.asked.server.tree
        tell(self.asked, connection, files)
        known, encoding = Known.now(connection, files), connection.encoding
        lines, position = document.lines, self.pointer.position(document, encoding)
        params = {"textDocument": {"uri": document.uri}, "position": position}
        prepared, edit, refusal = await self._both(connection, params)
        name = _prepared_name(prepared, lines, encoding) or word_at(lines, *from_lsp(lines, position, encoding))
        known.answered(connection)
        whole_texts = connection.server_name in GIVE_WHOLE_TEXTS
        return _Said(
            Expected(tree, encoding, name, self.new_name, whole_texts),
            edit,
            refusal,
            known,
            connection.server_name,
        )

    async def _both(self, connection: Connection, params: dict[str, Any]) -> tuple[Any, Any, str | None]:
        """Give the results of ``prepareRename``, if the server offers it, and ``rename``; or else why there is none."""
        prepared, deadline = None, self.asked.deadline
        try:
            if connection.prepares_renames:
                prepared = await request(connection, "textDocument/prepareRename", params, deadline)
                if prepared is None:
                    return None, None, "there is nothing here that can be renamed."
            renaming = {**params, "newName": self.new_name}
            return prepared, await request(connection, "textDocument/rename", renaming, deadline), None
        except ServerError as error:
            if error.code == METHOD_NOT_FOUND:
                raise self._unsupported() from None
            if error.code in _FAILURES:
                raise
            return prepared, None, error.message

    def _unsupported(self) -> Unsettled:
        message = f"The language server {self.asked.server.config.name} cannot rename."
        return Unsettled(Answer(None, reason="unsupported", message=message))


def _prepared_name(prepared: Any, lines: list[str], encoding: Encoding) -> str | None:
    """Give the text that the server would replace; None when it leaves that to us (``defaultBehavior``)."""
    given = prepared if isinstance(prepared, dict) else {}
    if prepared is None or "defaultBehavior" in given:
        return None
    # First what it says: TypeScript 7's range is one character off in the path of an import.
    if isinstance(placeholder := given.get("placeholder"), str):
        return placeholder
    try:
        span = Range.model_validate(given.get("range", given))
    except ValidationError:
        raise Unsettled(Answer(None, reason="server_error", message=f"{MALFORMED}: no range to rename.")) from None
    (line, column), (end_line, end_column) = (from_lsp(lines, place, encoding) for place in (span.first, span.last))
    return lines[line - 1][column - 1 : end_column - 1] if line == end_line else None


def _read(asked: Asked, pointer: Pointer, said: _Said) -> Renamed:
    """Turn what the server said into changes, if it is for texts that are known.

    Raises:
        ToolError, StaleText, ValueError: see `ask_rename`.
        Untold: it is not known for which texts it is.
    """
    expected = said.expected
    steps = read_steps(said.edit, expected.tree)
    sources = sources_of(steps, expected.tree, said.known)
    _require_name(expected, pointer)
    changes = changes_of(steps, sources, expected)
    for change in changes:
        source = sources.get(expected.tree.locate(change.path))
        if source is not None and change.edits is not None:
            require_no_shorthand(change.path, source.lines, change.edits, expected.new_name)
    if not changes and expected.new_name != expected.old_name:
        message = f"The language server {asked.server.config.name} finds nothing to rename here."
        raise ToolError("cannot_rename", message, pointer.path)
    return Renamed(changes, expected.old_name, said.server_name)


def _require_name(expected: Expected, pointer: Pointer) -> None:
    """Refuse a new name that cannot be one, where the old one is plain: not every server looks at it."""
    old_name, new_name = expected.old_name or "", expected.new_name.removeprefix("r#")  # Rust's raw identifiers
    if _PLAIN_NAME.fullmatch(old_name) and not _PLAIN_NAME.fullmatch(new_name):
        raise ToolError(
            "cannot_rename", f"{old_name!r} is a name, and {expected.new_name!r} cannot be one.", pointer.path
        )
    require_not_reserved(pointer.path, expected.new_name)
