"""Code actions: what the servers of a file offer for a place, and what one of them would change."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from codebuddy.agent.code import answers
from codebuddy.agent.code.answers import COMPLETE, Answer, Malformed, NoAnswer, validated
from codebuddy.agent.code.asking import Pointer, Question, ServerQuestion, point_at, request, run_exchange
from codebuddy.agent.code.diagnostics import (
    ask_tsserver,
    forwards_to_tsserver,
    includes_all,
    published_for,
    pull_diagnostics,
    wait_unlocked,
)
from codebuddy.agent.code.workspace_edits import (
    TICK_SECONDS,
    EditBasis,
    EditContext,
    Operation,
    Step,
    TextEdits,
    changes_of,
    read_steps,
    show_files,
    sources_of,
    with_known_texts,
)
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document, StaleText
from codebuddy.agent.lsp.positions import Encoding, Position, clean, to_lsp
from codebuddy.agent.lsp.readiness import Report, remaining
from codebuddy.agent.lsp.servers import LanguageServer, LanguageServers
from codebuddy.agent.lsp.tree import Tree
from codebuddy.schemas.code import (
    ActionPlace,
    CodeAction,
    CodeActions,
    CodeActionsArguments,
    Place,
    PlanActionArguments,
    PlannedAction,
)
from codebuddy.tool import ToolError

_MAX_TITLE: Final = 500
_MAX_FIXES: Final = 10

# Kinds of gopls (go.dev/gopls/features) which only open a page in an editor or browser.
_PAGES: Final = frozenset({"source.doc", "source.assembly", "source.freesymbols", "gopls.doc.features"})


@dataclass(frozen=True)
class Offer:
    """One action that a server offers."""

    raw: dict[str, Any]  # as the protocol writes it
    shown: CodeAction  # as the client sees it


def read_offers(result: Any, server: str, digest: str, kinds: Sequence[str] | None) -> list[Offer]:
    """Read the answer to ``textDocument/codeAction``; what could only open a page is left out.

    Args:
        digest: the hash of the text that it is for.
        kinds: those that are wanted, each with the ones below it; None: all.
    """
    raw = [] if result is None else result
    seen: Counter[tuple[str | None, str]] = Counter()
    offers = []
    for given, action in zip(raw, validated(answers.CODE_ACTIONS, raw, "an action"), strict=True):
        kind = action.kind
        seen[kind, action.title] += 1
        if kind in _PAGES:
            continue
        if kinds is None or any(f"{kind}.".startswith(f"{wanted}.") for wanted in kinds):
            identity = [server, digest, kind, action.title, seen[kind, action.title]]
            ident = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]
            offers.append(Offer(given, _shown(action, ident, server)))
    return offers


def _shown(action: answers.CodeAction, ident: str, server: str) -> CodeAction:
    fixes = [clean(one.message[:_MAX_TITLE]) for one in (action.diagnostics or [])[:_MAX_FIXES] if one]
    return CodeAction(
        id=ident,
        title=clean(action.title[:_MAX_TITLE]),
        kind=None if action.kind is None else clean(action.kind[:_MAX_TITLE]),
        server=server,
        preferred=action.is_preferred or None,
        disabled=clean((action.disabled.reason or "no reason is given")[:_MAX_TITLE]) if action.disabled else None,
        fixes=fixes or None,
    )


def edit_of(action: dict[str, Any]) -> Any:
    """Return the workspace edit of an action; None when it has none, or an empty one."""
    edit = action.get("edit")
    if isinstance(edit, dict) and not edit.get("changes") and not edit.get("documentChanges"):
        return None
    return edit


def command_of(action: dict[str, Any]) -> dict[str, Any] | None:
    """Return the command of an action, or the one that stands in place of an action."""
    command = action.get("command")
    if command is None:
        return None
    return validated(answers.COMMAND, action if isinstance(command, str) else command, "a command").model_dump()


_METHOD: Final = "textDocument/codeAction"

# How long to wait for the diagnostics of the present text from a server that publishes them.
_DIAGNOSTICS_SECONDS: Final = 5.0


@dataclass(frozen=True)
class _Resolved:
    """All of an action, and what the server knew then."""

    offer: Offer
    edits: list[Any]  # what it wants changed, one edit after the other
    notes: list[str]  # what else there is to say
    basis: EditBasis  # the texts that the server knew
    encoding: Encoding  # what its positions count in
    ran: bool  # whether a command was run for it


@dataclass(frozen=True)
class _Actions:
    """The actions that one server offers for a place."""

    asked: ServerQuestion
    path: Path
    pointer: Pointer
    place: ActionPlace
    late: list[str] = field(default_factory=list)
    """Says that diagnostics came too late, if so."""
    ran: list[_Resolved | None] = field(default_factory=list)
    """What a command did that was run; None while it runs. A command is never run twice."""

    async def offers(self) -> tuple[list[Offer], Answer]:
        """Return what the server offers, and its answer, which says whether that is all."""
        found: list[Offer] = []

        async def exchange(connection: Connection, document: Document) -> Any:
            found[:] = await self._ask(connection, document)
            return True

        try:
            answer = await run_exchange(self.asked, self.path, exchange)
        except StaleText as stale:
            answer = Answer.lacking("indexing", f"The file keeps changing: {stale.path}.")
        except Malformed as malformed:
            answer = malformed.answer
        if self.late:
            answer = answer.but("timed_out", self.late[0])
        return found if answer.result else [], answer

    async def plan(self, wanted: str) -> PlannedAction:
        """Return what the action with an id would change."""

        async def attempt(files: Sequence[Path]) -> PlannedAction:
            answer = await run_exchange(self.asked, self.path, partial(self._resolve, wanted, files))
            if answer.reason is not None:
                raise NoAnswer(answer)
            return self._read(answer.result)

        return await with_known_texts(attempt, self.place.path)

    def _read(self, resolved: _Resolved) -> PlannedAction:
        tree, name = self.asked.server.tree, self.asked.server.config.name
        steps = _read_steps(resolved.edits, tree)
        if resolved.ran:
            # A command is not run again only to show files before it: the server was notified of what is on the disk.
            origins = (step.origin for step in steps if isinstance(step, TextEdits))
            resolved.basis.told |= {path for path in origins if path is not None}
        try:
            sources = sources_of(steps, tree, resolved.basis)
        except StaleText as stale:
            if not resolved.ran:
                raise
            message = "This file changed while the action was computed, so nothing was changed; list the actions again."
            raise ToolError("conflict", message, stale.path) from None
        changes = changes_of(steps, sources, EditContext(tree, resolved.encoding))
        title = resolved.offer.shown.title
        return PlannedAction(complete=True, changes=changes, server=name, title=title, notes=resolved.notes)

    async def _ask(self, connection: Connection, document: Document) -> list[Offer]:
        first, last = self._range(document, connection.encoding)
        context: dict[str, Any] = {"diagnostics": await self._diagnostics(connection, document, first, last)}
        context["triggerKind"] = 1
        if self.place.kinds is not None:
            context["only"] = self.place.kinds
        span = {"start": first, "end": last}
        params = {"textDocument": {"uri": document.uri}, "range": span, "context": context}
        result = await request(connection, _METHOD, params, self.asked.deadline)
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
        """Return the server's own diagnostics that overlap the range, as it wrote them: fixes are made from these."""
        items: list[Any] | None = None
        if not connection.pulls_diagnostics:
            until = asyncio.get_running_loop().time() + min(_DIAGNOSTICS_SECONDS, remaining(self.asked.deadline) / 2)
            # Where they are published in parts: actions are made from those that the server has.
            all_of_them = (
                await ask_tsserver(self.asked, connection, document) if forwards_to_tsserver(connection) else []
            )
            published = published_for(
                connection, document, until, self.asked.deadline, lambda items: includes_all(items, all_of_them)
            )
            items = await wait_unlocked(connection, document, published)
        if connection.pulls_diagnostics:
            try:
                items = await pull_diagnostics(self.asked, connection, document)
            except NoAnswer:
                items = connection.published.supplementary(document)
        elif items is None:
            name = self.asked.server.config.name
            self.late[:] = [f"{name} published no diagnostics in time; fixes of them may be missing."]
        touching = [item for item in items or [] if _overlaps(item, first, last)]
        return list({json.dumps(item, sort_keys=True): item for item in touching}.values())

    async def _resolve(
        self, wanted: str, files: Sequence[Path], connection: Connection, document: Document
    ) -> _Resolved:
        """Find the action again, and have the server say all of it."""
        if self.ran:
            return self._result_of_run()
        show_files(self.asked, connection, files)
        offer = next((one for one in await self._ask(connection, document) if one.shown.id == wanted), None)
        if offer is None:
            raise _gone(self.place)
        if offer.shown.disabled is not None:
            message = f"{offer.shown.title!r} cannot be applied here: {offer.shown.disabled}"
            raise ToolError("disabled_action", message, self.place.path)
        basis, action = EditBasis.now(connection, files), offer.raw
        options = connection.capabilities.options(_METHOD)
        if "edit" not in action and not isinstance(action.get("command"), str) and options.get("resolveProvider"):
            resolved = await request(connection, "codeAction/resolve", action, self.asked.deadline)
            if not isinstance(resolved, dict):
                raise Malformed("an action that is no object")
            action = {**action, **resolved}
        edit, command = edit_of(action), command_of(action)
        if edit is None and command is not None:
            return await self._run(connection, offer, command)
        basis.answered(connection)
        notes = (
            [f"The command {command['command']!r}, which an editor would run after it, was not run."] if command else []
        )
        return _Resolved(offer, [] if edit is None else [edit], notes, basis, connection.encoding, ran=False)

    async def _run(self, connection: Connection, offer: Offer, command: dict[str, Any]) -> _Resolved:
        """Have the server run the command of an action, and record what it wants changed.

        Once, whatever comes: it may have done something.
        """
        title = offer.shown.title
        if not connection.capabilities.runs(command["command"]):
            name = command["command"][:200]
            raise self._needs_editor(f"{title!r} is a command for an editor ({name}), which changes nothing here.")
        # After the clock has ticked, a file that changes from now on can be distinguished from one that changed before.
        await asyncio.sleep(TICK_SECONDS)
        found = _Resolved(offer, [], [], EditBasis.now(connection, ()), connection.encoding, ran=True)
        self.ran.append(None)
        async with connection.capture() as captured:
            result = await connection.session.request(
                "workspace/executeCommand", command, remaining(self.asked.deadline)
            )
        answered = [result] if isinstance(result, dict) and edit_of({"edit": result}) else []
        found.edits.extend(captured.edits or answered)
        if captured.questions and not found.edits:
            question = captured.questions[0]
            raise self._needs_editor(f"{title!r} wants an answer from a user, which it cannot get here: {question}")
        if captured.pages and not found.edits:
            message = f"{title!r} opens a page in an editor or browser, and there is none here; nothing was changed."
            raise self._needs_editor(message)
        found.notes.extend(f"The language server also says: {one}" for one in captured.questions)
        found.notes.extend(f"The language server would also have opened {one}." for one in captured.pages)
        found.basis.answered(connection)
        self.ran[:] = [found]
        return found

    def _needs_editor(self, message: str) -> ToolError:
        return ToolError("needs_editor", message, self.place.path)

    def _result_of_run(self) -> _Resolved:
        if self.ran[0] is None:
            message = "The language server went away while it ran the command of this action; list the actions again."
            raise ToolError("server_crashed", message, self.place.path)
        return self.ran[0]


def _read_steps(edits: Sequence[Any], tree: Tree) -> list[Step]:
    """Read the edits of an action; each of several is for what those before it leave."""
    steps: list[Step] = []
    touched: set[Path] = set()
    for edit in edits:
        more = [part for step in read_steps(edit, tree) for part in _with_creation(step, tree)]
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


def _with_creation(step: Step, tree: Tree) -> list[Step]:
    """Return a step, after one that creates the file where the server left that out of the edit of a new file."""
    if not isinstance(step, TextEdits) or step.origin is None or tree.stamp(step.origin) is not None:
        return [step]
    start = {"line": 0, "character": 0}
    if any((edit.range["start"], edit.range["end"]) != (start, start) for edit in step.edits):
        return [step]
    return [Operation("create", step.path, step.path, answers.OperationOptions()), replace(step, origin=None)]


def _overlaps(item: Any, first: Position, last: Position) -> bool:
    """Say whether a diagnostic touches a range; what is malformed does not."""
    try:
        start, end = item["range"]["start"], item["range"]["end"]
        begins = (int(start["line"]), int(start["character"])) <= (last["line"], last["character"])
        return begins and (first["line"], first["character"]) <= (int(end["line"]), int(end["character"]))
    except (TypeError, KeyError, ValueError):
        return False


_MAX_OFFERS: Final = 500


async def list_actions(servers: LanguageServers, arguments: CodeActionsArguments, report: Report) -> CodeActions:
    """Return what all servers of the file that are declared for actions offer for a place."""
    try:
        found, lacking = await _gather(Question.begin(servers, arguments.timeout_seconds, report), arguments)
    except NoAnswer as none:
        return CodeActions(**none.answer.completeness(), actions=[])
    shown = [offer.shown for _, offers in found for offer in offers]
    if len(shown) > _MAX_OFFERS:
        lacking.append(Answer.lacking("truncated", f"There are {len(shown)}; ask for some kinds."))
    message = " ".join(answer.message or "" for answer in lacking)
    answer = COMPLETE if not lacking else replace(lacking[0], message=message)
    return CodeActions(**answer.completeness(), actions=shown[:_MAX_OFFERS])


async def plan_action(servers: LanguageServers, arguments: PlanActionArguments, report: Report) -> PlannedAction:
    """Return what an action would change: all of it, or nothing and the reason.

    Raises:
        ToolError: ``no_such_action``, ``disabled_action``, ``needs_editor``; or its edit cannot be accepted.
    """
    question = Question.begin(servers, arguments.timeout_seconds, report)
    try:
        found, lacking = await _gather(question, arguments)
        for actions, offers in found:
            if any(offer.shown.id == arguments.action for offer in offers):
                return await question.persist(partial(actions.plan, arguments.action))
    except NoAnswer as none:
        lacking = [none.answer]
    if lacking:
        return PlannedAction(**lacking[0].completeness(), changes=[])
    raise _gone(arguments)


def _gone(arguments: ActionPlace) -> ToolError:
    message = "There is no such action at this place any more: list the actions again, with the same place and kinds."
    return ToolError("no_such_action", message, arguments.path)


async def _gather(question: Question, place: ActionPlace) -> tuple[list[tuple[_Actions, list[Offer]]], list[Answer]]:
    """Ask all servers at the same time; give what each offers, and why that may not be all."""
    servers, path = question.servers, question.servers.tree.locate(place.path)
    servers.tree.read(path)  # a file that does not exist is the caller's mistake, served or not
    given = place.model_dump(include={"path", "line", "column", "symbol", "text"})
    pointer = await point_at(question, path, Place(**given))
    serving = servers.serving(path, "actions")
    if not serving:
        await question.choose(path, _METHOD)  # says why

    async def one(server: LanguageServer) -> _Actions | NoAnswer:
        try:
            return _Actions(await question.choose_from([server], _METHOD), path, pointer, place)
        except NoAnswer as none:
            return none

    able = await asyncio.gather(*map(one, serving))
    chosen = [actions for actions in able if isinstance(actions, _Actions)]
    absent = [none for none in able if isinstance(none, NoAnswer)]
    if not chosen:
        raise absent[0]
    found = await asyncio.gather(*(actions.offers() for actions in chosen))
    lacking = [answer for _, answer in found if answer.reason is not None]
    # A server that cannot offer any leaves nothing out; one that does not run may.
    lacking += [none.answer for none in absent if none.answer.reason != "unsupported"]
    return [(actions, offers) for actions, (offers, _) in zip(chosen, found, strict=True)], lacking
