"""Asking one server for its code actions, and for all of one of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from codebuddy.code.asking import Answer, Asked, Unsettled, request, settle
from codebuddy.code.asking_diagnostics import aside, published_for
from codebuddy.code.asking_tsserver import ask_tsserver, has_all, passes_on
from codebuddy.code.known_texts import TICK_SECONDS, Known, Untold, sources_of, tell
from codebuddy.code.offers import Offer, command_of, edit_of, read_offers
from codebuddy.code.questions import Pointer, malformed
from codebuddy.code.wanted import Expected, changes_of
from codebuddy.code.workspace_edits import Operation, Step, TextEdits, read_steps
from codebuddy.language.changes import remaining
from codebuddy.language.connection import Connection
from codebuddy.language.documents import Document, StaleText
from codebuddy.language.positions import Encoding, Position, to_lsp
from codebuddy.language.tree import Tree
from codebuddy.schemas.code import ActionPlace, PlannedAction
from codebuddy.tool import ToolError

__all__ = ["METHOD", "Actions", "gone"]

METHOD: Final = "textDocument/codeAction"

_ATTEMPTS: Final = 4

# A server that publishes its diagnostics tells when it does. So long is waited for those of the present text.
_DIAGNOSTICS_SECONDS: Final = 5.0


def gone(arguments: ActionPlace) -> ToolError:
    """Give what to raise when an action is not offered any more."""
    message = "There is no such action at this place any more: list the actions again, with the same place and kinds."
    return ToolError("no_such_action", message, arguments.path)


@dataclass(frozen=True)
class _Said:
    """What a server said of an action, and what it knew then.

    Args:
        offer: the action, in full.
        edits: what it wants changed, one edit after the other.
        notes: what else there is to say.
        known: the texts that it knew.
        encoding: what its positions count in.
        ran: whether a command was run for it.
    """

    offer: Offer
    edits: list[Any]
    notes: list[str]
    known: Known
    encoding: Encoding
    ran: bool


@dataclass(frozen=True)
class Actions:
    """The actions that one server offers for a place."""

    asked: Asked
    path: Path
    pointer: Pointer
    place: ActionPlace
    late: list[str] = field(default_factory=list)
    ran: list[_Said | None] = field(default_factory=list)

    async def offers(self) -> tuple[list[Offer], Answer]:
        """Give what the server offers, and its answer, which says whether that is all."""
        found: list[Offer] = []

        async def exchange(connection: Connection, document: Document) -> Any:
            found[:] = await self._ask(connection, document)
            return True

        try:
            answer = await settle(self.asked, self.path, exchange)
        except StaleText as stale:
            answer = Answer(None, reason="indexing", message=f"The file keeps changing: {stale.path}.")
        except ValueError as error:
            answer = malformed(error).answer
        if self.late and answer.reason is None:
            answer = Answer(True, answer.lines, answer.encoding, "timed_out", self.late[0])
        return found if answer.result else [], answer

    async def plan(self, wanted: str) -> PlannedAction:
        """Give what the action with an id would change.

        Raises:
            ToolError: see `plan_action`.
            Unsettled: there is no complete answer, or it makes no sense.
            StaleText: a text changed meanwhile; asking anew may help.
        """
        files: list[Path] = []
        for attempt in range(_ATTEMPTS):
            try:
                answer = await settle(self.asked, self.path, partial(self._resolve, wanted, files))
                if answer.reason is not None:
                    raise Unsettled(answer)
                return self._read(answer.result)
            except Untold as untold:
                files = untold.files
            except ValueError as error:
                raise malformed(error) from None
            await asyncio.sleep(0.05 * attempt)
        raise StaleText(self.place.path)

    def _read(self, said: _Said) -> PlannedAction:
        tree, name = self.asked.server.tree, self.asked.server.config.name
        steps = _steps(said.edits, tree)
        if said.ran:
            # A command is not run again only to show files before it: what is on the disk, the server was told of.
            origins = (step.origin for step in steps if isinstance(step, TextEdits))
            said.known.told |= {path for path in origins if path is not None}
        try:
            sources = sources_of(steps, tree, said.known)
        except StaleText as stale:
            if not said.ran:
                raise
            message = "This file changed while the action was computed, so nothing was changed; list the actions again."
            raise ToolError("conflict", message, stale.path) from None
        changes = changes_of(steps, sources, Expected(tree, said.encoding, None, ""))
        return PlannedAction(
            complete=True, changes=changes, server=name, title=said.offer.shown.title, notes=said.notes
        )

    async def _ask(self, connection: Connection, document: Document) -> list[Offer]:
        first, last = self._range(document, connection.encoding)
        context: dict[str, Any] = {"diagnostics": await self._diagnostics(connection, document, first, last)}
        context["triggerKind"] = 1
        if self.place.kinds is not None:
            context["only"] = self.place.kinds
        span = {"start": first, "end": last}
        params = {"textDocument": {"uri": document.uri}, "range": span, "context": context}
        result = await request(connection, METHOD, params, self.asked.deadline)
        return read_offers(result, self.asked.server.config.name, document.digest, self.place.kinds)

    def _range(self, document: Document, encoding: Encoding) -> tuple[Position, Position]:
        first = self.pointer.position(document, encoding)
        try:
            if self.place.end_line is not None and self.place.end_column is not None:
                return first, to_lsp(document.lines, self.place.end_line, self.place.end_column, encoding)
        except ValueError as error:
            raise ToolError("no_such_place", f"{str(error).capitalize()}.", self.place.path) from None
        if self.place.text is None:
            return first, first
        column = self.pointer.column_in(document.lines) + len(self.place.text)
        return first, to_lsp(document.lines, self.pointer.line, column, encoding)

    async def _diagnostics(
        self, connection: Connection, document: Document, first: Position, last: Position
    ) -> list[Any]:
        """Give the server's own diagnostics that overlap the range, as it wrote them: fixes are made from these."""
        items: list[Any] | None = None
        if not connection.pulls_diagnostics:
            until = asyncio.get_running_loop().time() + min(_DIAGNOSTICS_SECONDS, remaining(self.asked.deadline) / 2)
            # Where they are published in parts: actions are made from those that the server has.
            all_of_them = await ask_tsserver(self.asked, connection, document) if passes_on(connection) else []
            waiting = published_for(
                connection, document, until, self.asked.deadline, lambda published: has_all(published, all_of_them)
            )
            items = await aside(connection, document, waiting)
        if connection.pulls_diagnostics:
            params = {"textDocument": {"uri": document.uri}}
            report = await request(connection, "textDocument/diagnostic", params, self.asked.deadline)
            pulled = report.get("items") if isinstance(report, dict) else None
            items = [*(pulled if isinstance(pulled, list) else []), *connection.published.besides(document)]
        elif items is None:
            name = self.asked.server.config.name
            self.late[:] = [f"{name} published no diagnostics in time; fixes of them may lack."]
        touching = [item for item in items or [] if _overlaps(item, first, last)]
        return list({json.dumps(item, sort_keys=True): item for item in touching}.values())

    async def _resolve(self, wanted: str, files: Sequence[Path], connection: Connection, document: Document) -> _Said:
        """Find the action again, and have the server say all of it."""
        if self.ran:
            return self._said()
        tell(self.asked, connection, files)
        offer = next((one for one in await self._ask(connection, document) if one.shown.id == wanted), None)
        if offer is None:
            raise gone(self.place)
        if offer.shown.disabled is not None:
            message = f"{offer.shown.title!r} cannot be applied here: {offer.shown.disabled}"
            raise ToolError("disabled_action", message, self.place.path)
        known, action = Known.now(connection, files), offer.raw
        options = connection.capabilities.options(METHOD)
        if "edit" not in action and not isinstance(action.get("command"), str) and options.get("resolveProvider"):
            resolved = await request(connection, "codeAction/resolve", action, self.asked.deadline)
            if not isinstance(resolved, dict):
                raise ValueError("an action that is no object")
            action = {**action, **resolved}
        edit, command = edit_of(action), command_of(action)
        if edit is None and command is not None:
            return await self._run(connection, offer, command)
        known.answered(connection)
        notes = (
            [f"The command {command['command']!r}, which an editor would run after it, was not run."] if command else []
        )
        return _Said(offer, [] if edit is None else [edit], notes, known, connection.encoding, ran=False)

    async def _run(self, connection: Connection, offer: Offer, command: dict[str, Any]) -> _Said:
        """Have the server run the command of an action, and take down what it wants changed.

        Once, whatever comes: it may have done something.
        """
        title = offer.shown.title
        if not connection.capabilities.runs(command["command"]):
            name = command["command"][:200]
            message = f"{title!r} is a command for an editor ({name}), which changes nothing here."
            raise ToolError("needs_editor", message, self.place.path)
        # After the clock has ticked, a file that changes from now on can be told from one that did before.
        await asyncio.sleep(TICK_SECONDS)
        said = _Said(offer, [], [], Known.now(connection, ()), connection.encoding, ran=True)
        self.ran.append(None)
        async with connection.capture() as captured:
            result = await connection.session.request(
                "workspace/executeCommand", command, remaining(self.asked.deadline)
            )
        answered = [result] if isinstance(result, dict) and edit_of({"edit": result}) else []
        said.edits.extend(captured.edits or answered)
        if captured.questions and not said.edits:
            message = f"{title!r} wants an answer from somebody, which it cannot get here: {captured.questions[0]}"
            raise ToolError("needs_editor", message, self.place.path)
        if captured.pages and not said.edits:
            message = (
                f"{title!r} opens a page in an editor or browser, of which there is none here; nothing was changed."
            )
            raise ToolError("needs_editor", message, self.place.path)
        said.notes.extend(f"The language server also says: {one}" for one in captured.questions)
        said.notes.extend(f"The language server would also have opened {one}." for one in captured.pages)
        said.known.answered(connection)
        self.ran[:] = [said]
        return said

    def _said(self) -> _Said:
        """Give what the command said when it ran."""
        if self.ran[0] is None:
            message = "The language server went away while it ran the command of this action; list the actions again."
            raise ToolError("server_crashed", message, self.place.path)
        return self.ran[0]


def _steps(edits: Sequence[Any], tree: Tree) -> list[Step]:
    """Read the edits of an action; each of several is for what those before it leave.

    Raises:
        ValueError: one is malformed.
        ToolError: ``outside_project``; ``bad_answer``: two of them are about the same file.
    """
    steps: list[Step] = []
    touched: set[Path] = set()
    for edit in edits:
        more = [part for step in read_steps(edit, tree) for part in _made(step, tree)]
        paths = {
            path for step in more for path in (step.path, step.path if isinstance(step, TextEdits) else step.target)
        }
        if touched & paths:
            shown = tree.show(min(touched & paths))
            message = "The language server edits this file several times in one action, which is not supported."
            raise ToolError("bad_answer", message, shown)
        touched |= paths
        steps += more
    return steps


def _made(step: Step, tree: Tree) -> list[Step]:
    """Give a step; with one before it that makes the file, where a server leaves that out of the edit of a new one."""
    if not isinstance(step, TextEdits) or step.origin is None or tree.stamp(step.origin) is not None:
        return [step]
    start = {"line": 0, "character": 0}
    if any((edit.range.first, edit.range.last) != (start, start) for edit in step.edits):
        return [step]
    create = Operation("create", step.path, step.path, False, False, False, False)
    return [create, replace(step, origin=None)]


def _overlaps(item: Any, first: Position, last: Position) -> bool:
    """Say whether a diagnostic touches a range; what is malformed does not."""
    try:
        start, end = item["range"]["start"], item["range"]["end"]
        begins = (int(start["line"]), int(start["character"])) <= (last["line"], last["character"])
        return begins and (first["line"], first["character"]) <= (int(end["line"]), int(end["character"]))
    except (TypeError, KeyError, ValueError):
        return False
