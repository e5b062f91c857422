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

from codebuddy.agent.code.asking import (
    Answer,
    Asked,
    Pointer,
    Question,
    Unsettled,
    choose,
    choose_of,
    malformed,
    point_at,
    request,
    settle,
)
from codebuddy.agent.code.diagnostics import aside, ask_tsserver, has_all, passes_on, published_for
from codebuddy.agent.code.workspace_edits import (
    TICK_SECONDS,
    Expected,
    Known,
    Operation,
    Step,
    TextEdits,
    Untold,
    changes_of,
    read_steps,
    sources_of,
    tell,
)
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document, StaleText
from codebuddy.agent.lsp.positions import Encoding, Position, clean, to_lsp
from codebuddy.agent.lsp.readiness import Report, remaining
from codebuddy.agent.lsp.server import LanguageServer
from codebuddy.agent.lsp.servers import LanguageServers
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
    """One action that a server offers.

    Args:
        raw: as the protocol writes it.
        shown: as it is told.
    """

    raw: dict[str, Any]
    shown: CodeAction


def read_offers(result: Any, server: str, digest: str, kinds: Sequence[str] | None) -> list[Offer]:
    """Read the answer to ``textDocument/codeAction``; what could only open a page is left out.

    Args:
        result: the answer.
        server: the server's name.
        digest: the hash of the text that it is for.
        kinds: those that are wanted, each with the ones below it; None: all.

    Raises:
        ValueError: it is malformed.
    """
    items = [] if result is None else result
    if not isinstance(items, list):
        raise ValueError("actions that are no list")
    seen: Counter[tuple[str | None, str]] = Counter()
    offers = []
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("title"), str):
            raise ValueError("an action without a title")
        kind = item.get("kind") if isinstance(item.get("kind"), str) else None
        key = (kind, item["title"])
        seen[key] += 1
        if kind in _PAGES:
            continue
        if kinds is None or any(f"{kind}.".startswith(f"{wanted}.") for wanted in kinds):
            ident = hashlib.sha256(json.dumps([server, digest, *key, seen[key]]).encode()).hexdigest()[:12]
            offers.append(Offer(item, _shown(item, ident, kind, server)))
    return offers


def edit_of(action: dict[str, Any]) -> Any:
    """Give the workspace edit of an action; None when it has none, or an empty one."""
    edit = action.get("edit")
    if isinstance(edit, dict) and not edit.get("changes") and not edit.get("documentChanges"):
        return None
    return edit


def command_of(action: dict[str, Any]) -> dict[str, Any] | None:
    """Give the command of an action, or the one that stands in place of an action.

    Raises:
        ValueError: it is malformed.
    """
    command = action.get("command")
    if command is None:
        return None
    given = action if isinstance(command, str) else command
    arguments = given.get("arguments", []) if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(given.get("command"), str) or not isinstance(arguments, list):
        raise ValueError("a command without a name")
    return {"command": given["command"], "arguments": arguments}


def _shown(item: dict[str, Any], ident: str, kind: str | None, server: str) -> CodeAction:
    disabled = item.get("disabled")
    reason = disabled.get("reason") if isinstance(disabled, dict) else None
    diagnostics = item.get("diagnostics")
    fixes = [
        clean(one["message"][:_MAX_TITLE])
        for one in (diagnostics if isinstance(diagnostics, list) else [])[:_MAX_FIXES]
        if isinstance(one, dict) and isinstance(one.get("message"), str)
    ]
    return CodeAction(
        id=ident,
        title=clean(item["title"][:_MAX_TITLE]),
        kind=None if kind is None else clean(kind[:_MAX_TITLE]),
        server=server,
        preferred=True if item.get("isPreferred") is True else None,
        disabled=clean(str(reason)[:_MAX_TITLE]) if disabled is not None else None,
        fixes=fixes or None,
    )


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


_MAX_OFFERS: Final = 500


async def list_actions(servers: LanguageServers, arguments: CodeActionsArguments, report: Report) -> CodeActions:
    """Give what all servers of the file that are declared for actions offer for a place.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    try:
        found = await _gather(servers, arguments, report)
    except Unsettled as unsettled:
        answer = unsettled.answer
        return CodeActions(complete=False, reason=answer.reason, message=answer.message, actions=[])
    actions = [offer.shown for _, offers, _ in found for offer in offers]
    lacking = [answer for _, _, answer in found if answer.reason is not None]
    if len(actions) > _MAX_OFFERS:
        lacking.append(Answer(None, reason="truncated", message=f"There are {len(actions)}; ask for some kinds."))
    return CodeActions(
        complete=not lacking,
        reason=lacking[0].reason if lacking else None,
        message=" ".join(answer.message or "" for answer in lacking) or None,
        actions=actions[:_MAX_OFFERS],
    )


async def plan_action(servers: LanguageServers, arguments: PlanActionArguments, report: Report) -> PlannedAction:
    """Give what an action would change: all of it, or nothing and the reason.

    Raises:
        ToolError: ``no_such_action``, ``disabled_action``, ``needs_editor``; or its edit cannot be accepted.
    """
    try:
        question, path, pointer = await _begin(servers, arguments, report)
        found = await _gather(servers, arguments, report)
        for asked, offers, _ in found:
            if any(offer.shown.id == arguments.action for offer in offers):
                plan = Actions(asked, path, pointer, arguments).plan
                return await question.persist(partial(plan, arguments.action))
        lacking = next((answer for _, _, answer in found if answer.reason is not None), None)
        if lacking is not None:
            raise Unsettled(lacking)
    except Unsettled as unsettled:
        answer = unsettled.answer
        return PlannedAction(complete=False, reason=answer.reason, message=answer.message, changes=[])
    raise gone(arguments)


async def _begin(servers: LanguageServers, place: ActionPlace, report: Report) -> tuple[Question, Path, Pointer]:
    question, path = Question.begin(servers, place.timeout_seconds, report), servers.tree.locate(place.path)
    servers.tree.read(path)  # a file that is not there is the caller's mistake, served or not
    given = place.model_dump(include={"path", "line", "column", "symbol", "text"})
    return question, path, await point_at(question, path, Place(**given))


async def _gather(
    servers: LanguageServers, place: ActionPlace, report: Report
) -> list[tuple[Asked, list[Offer], Answer]]:
    """Ask all servers at the same time.

    Raises:
        ToolError: there is no such place.
        Unsettled: no server offers actions.
    """
    question, path, pointer = await _begin(servers, place, report)
    serving = servers.serving(path, "actions")
    if not serving:
        await choose(servers, path, METHOD, question.deadline, report)  # says why

    async def one(server: LanguageServer) -> Asked | Unsettled:
        try:
            return await choose_of([server], METHOD, question.deadline, report)
        except Unsettled as unsettled:
            return unsettled

    able = await asyncio.gather(*map(one, serving))
    chosen = [asked for asked in able if isinstance(asked, Asked)]
    lacking = [unsettled for unsettled in able if isinstance(unsettled, Unsettled)]
    if not chosen:
        raise lacking[0]
    found = await asyncio.gather(*(_offers(asked, path, pointer, place) for asked in chosen))
    # A server that cannot offer any lacks nothing; one that is not there does.
    absent = [one.answer for one in lacking if one.answer.reason != "unsupported"]
    return [*found, *((chosen[0], list[Offer](), answer) for answer in absent)]


async def _offers(asked: Asked, path: Path, pointer: Pointer, place: ActionPlace) -> tuple[Asked, list[Offer], Answer]:
    offers, answer = await Actions(asked, path, pointer, place).offers()
    return asked, offers, answer
