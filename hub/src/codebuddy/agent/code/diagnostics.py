"""Asking the compiler behind typescript-language-server for the diagnostics of a file.

What that server publishes comes in parts, without a version and 50 ms after each part: on a busy machine the first is
that the file can be parsed, and looks as if nothing were wrong with it. The compiler's own requests, which it passes
on, answer for the text that it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter

from codebuddy.agent.code.asking import MALFORMED, Answer, Asked, Unsettled, malformed, request, settle, share_of
from codebuddy.agent.code.decoding import Reader, StaleLocation, sorted_unique
from codebuddy.agent.code.pages import PAGE_CHARACTERS, question_of
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document, StaleText
from codebuddy.agent.lsp.readiness import Report, remaining
from codebuddy.agent.lsp.server import LanguageServer
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.agent.lsp.tree import Tree
from codebuddy.files.cursors import digest, seal, unseal
from codebuddy.files.paths import from_wire, to_wire
from codebuddy.schemas.code import Diagnostic, DiagnosticsArguments, DiagnosticsResult, Reason
from codebuddy.tool import ToolError

_COMMAND: Final = "typescript.tsserverRequest"
_CHECKS: Final = ("syntacticDiagnosticsSync", "semanticDiagnosticsSync", "suggestionDiagnosticsSync")
_SEVERITIES: Final = {"error": 1, "warning": 2, "suggestion": 4}  # DiagnosticSeverity, LSP 3.17


def passes_on(connection: Connection) -> bool:
    """Say whether a server passes requests on to TypeScript's tsserver."""
    return connection.capabilities.runs(_COMMAND)


def has_all(published: list[Any], asked: list[Any]) -> bool:
    """Say whether all diagnostics that tsserver answered are among those that were published."""
    return {_place_of(item) for item in asked} <= {_place_of(item) for item in published if isinstance(item, dict)}


def _place_of(item: dict[str, Any]) -> str:
    return json.dumps([item.get("code"), item.get("range")], sort_keys=True)


async def ask_tsserver(asked: Asked, connection: Connection, document: Document) -> list[Any]:
    """Give the diagnostics of an open document as the protocol writes them, but for ``diagnostics.ignoredCodes``.

    Raises:
        RequestTimedOut, ServerError, SessionClosed: there are none.
        Unsettled: the answer is malformed.
    """
    ignored = _ignored(asked.server.config.settings)
    found: list[Any] = []
    for check in _CHECKS:
        params = {"command": _COMMAND, "arguments": [check, {"file": str(document.path)}]}
        result = await request(connection, "workspace/executeCommand", params, asked.deadline)
        body = result.get("body") if isinstance(result, dict) else None
        if not isinstance(body, list):
            raise malformed(ValueError(f"{check} without a list"))
        try:
            found += [_translated(item) for item in body if item.get("code") not in ignored]
        except (AttributeError, KeyError, TypeError):
            raise malformed(ValueError(f"{check} with what is no diagnostic")) from None
    return found


def _ignored(settings: Mapping[str, Any]) -> list[Any]:
    diagnostics = settings.get("diagnostics")
    codes = diagnostics.get("ignoredCodes") if isinstance(diagnostics, dict) else None
    return codes if isinstance(codes, list) else []


def _translated(item: dict[str, Any]) -> dict[str, Any]:
    """Give one diagnostic of tsserver (protocol.ts: ``Diagnostic``), whose lines and offsets count from 1."""
    return {
        "range": {end: _position(item[end]) for end in ("start", "end")},
        "message": item["text"],
        "severity": _SEVERITIES.get(item.get("category", "error"), 1),
        "code": item.get("code"),
        "source": item.get("source") or "typescript",
    }


def _position(place: dict[str, Any]) -> dict[str, int]:
    return {"line": place["line"] - 1, "character": place["offset"] - 1}


T = TypeVar("T")


async def ask_diagnostics(asked: Asked, path: Path) -> Answer:
    """Ask for the diagnostics of a file: pulled if the server offers that, or else those that it publishes for the
    present version; with what a compiler run found, if the server makes such runs.

    Raises:
        ToolError: the file cannot be read.
        Unsettled: the answer is malformed.
    """
    lacks: list[tuple[Reason, str]] = []

    async def exchange(connection: Connection, document: Document) -> Any:
        lacks.clear()
        checks = connection.checks
        items: list[Any] | None = None
        await _save(asked, connection, document)
        if passes_on(connection):
            return await ask_tsserver(asked, connection, document)
        if not connection.pulls_diagnostics:
            items = await aside(
                connection, document, published_for(connection, document, asked.deadline, asked.deadline)
            )
        if connection.pulls_diagnostics:
            # First the compiler run, then the request: what the run found is published at the latest before its answer.
            if checks.used and not await aside(connection, document, checks.wait(share_of(asked.deadline))):
                lacks.append(("timed_out", "The compiler run of the language server has not ended in time."))
            items = [*await _pull(asked, connection, document), *connection.published.besides(document)]
        elif items is None:
            lacks.append(("timed_out", "The server published nothing for this version of the file in time."))
        if connection.published.is_cut(document):
            lacks.append(("truncated", "The server published more for this file than is kept."))
        return items

    while True:
        with contextlib.suppress(StaleText):
            answer = await settle(asked, path, exchange)
            break
    if lacks and answer.reason is None:
        return Answer(answer.result, answer.lines, answer.encoding, *lacks[0])
    return answer


async def published_for(
    connection: Connection,
    document: Document,
    until: float,
    deadline: float,
    enough: Callable[[list[Any]], bool] = lambda items: True,
) -> list[Any] | None:
    """Wait for what a server publishes, or until it offers to be asked: some do only after they have begun.

    Such a one may have published a mere first glance before: nothing counts only after it had the time to offer it.

    Args:
        connection: to the server.
        document: what for.
        until: how long to wait, in the running loop's time; None is given then.
        deadline: when the server must have answered that it still answers.
        enough: whether what was published is all of it.

    Raises:
        RequestTimedOut, SessionClosed: it did not.
    """
    items = await connection.published.wait(document, until, lambda: connection.pulls_diagnostics, enough)
    if items == [] and not connection.pulls_diagnostics:
        await connection.probe(remaining(deadline))
    return items


async def _save(asked: Asked, connection: Connection, document: Document) -> None:
    """Have a server that wants to know of saved files make a compiler run, if files changed since the last one.

    Raises:
        SessionClosed, StaleText: as `aside`.
    """
    checks = connection.checks
    if not connection.wants_saves or asked.server.readiness.state != "ready":
        return
    if checks.used and checks.stale:
        await aside(connection, document, checks.begun(share_of(asked.deadline)))
    if checks.take_stale():
        connection.session.notify("textDocument/didSave", {"textDocument": {"uri": document.uri}})


async def _pull(asked: Asked, connection: Connection, document: Document) -> list[Any]:
    """Ask for the diagnostics of a document.

    Raises:
        Unsettled: the answer is malformed.
    """
    params = {"textDocument": {"uri": document.uri}}
    report = await request(connection, "textDocument/diagnostic", params, asked.deadline)
    items = report.get("items") if isinstance(report, dict) else None
    if not isinstance(items, list):
        raise malformed(ValueError("diagnostics that are not a list"))
    return items


async def aside(connection: Connection, document: Document, waiting: Awaitable[T]) -> T:
    """Wait for something that may take long, without a turn.

    Raises:
        SessionClosed: the server is gone.
        StaleText: the document has another text now.
    """
    since = document.since
    async with connection.turns.aside():
        result = await waiting
    connection.session.require_open()
    if document.since != since:
        raise StaleText(str(document.path))
    return result


# Reasons that hold for a server, not for one file.
_OF_SERVER: Final[tuple[Reason, ...]] = ("indexing", "server_crashed", "timed_out")


@dataclass
class Found:
    """What one file gave.

    Args:
        items: its diagnostics.
        reason: why they may not be all.
        message: the same in a sentence.
        final: whether asking again can give no more than this: some server said all that it knows.
    """

    items: list[Diagnostic] = field(default_factory=list)
    reason: Reason | None = None
    message: str | None = None
    final: bool = True


class Panel:
    """The servers that find diagnostics. One that fails while others do not is not waited for a second time.

    Args:
        servers: the project's.
        deadline: when to be done, in the running loop's time.
        report: told what is being waited for.
    """

    def __init__(self, servers: LanguageServers, deadline: float, report: Report) -> None:
        self._servers, self._deadline, self._report = servers, deadline, report
        self._absent: dict[str, Found] = {}

    async def prepare(self, panel: Sequence[LanguageServer]) -> None:
        """Wait until several servers have loaded, but leave those that have half of the time to answer.

        Args:
            panel: the servers that may be asked.
        """
        if len(panel) < 2:
            return
        half = asyncio.get_running_loop().time() + remaining(self._deadline) / 2
        ready = await asyncio.gather(*(self._is_ready(server, half) for server in panel))
        if any(ready):
            for server, is_ready in zip(panel, ready, strict=True):
                if not is_ready:
                    state = server.readiness
                    reason: Reason = "server_crashed" if state.state == "dead" or state.hopeless else "indexing"
                    self._absent[server.config.name] = Found([], reason, state.sentence())

    async def diagnose(self, path: Path) -> Found:
        """Give what all servers find in a file, each finding once."""
        panel = self._servers.serving(path, "diagnostics")
        present = [server for server in panel if server.config.name not in self._absent]
        answers = await asyncio.gather(*(self._ask(server, path) for server in present))
        for server, answer in zip(present, answers, strict=True):
            if answer.reason in _OF_SERVER and any(other.reason is None for other in answers):
                self._absent[server.config.name] = Found([], answer.reason, answer.message)
        lacking = [answer for answer in answers if answer.reason is not None]
        lacking += [self._absent[server.config.name] for server in panel if server not in present]
        lacking.sort(key=lambda answer: answer.reason == "unsupported")  # first what waiting or mending may cure
        return Found(
            _merged([item for answer in answers for item in answer.items]),
            lacking[0].reason if lacking else None,
            lacking[0].message if lacking else None,
            final=not panel or any(answer.reason in (None, "unsupported", "truncated") for answer in answers),
        )

    async def _is_ready(self, server: LanguageServer, deadline: float) -> bool:
        with server.asking():
            ready = await server.readiness.wait(deadline, self._report)
        return ready or server.readiness.state == "degraded"

    async def _ask(self, server: LanguageServer, path: Path) -> Found:
        tree = self._servers.tree
        try:
            answer = await ask_diagnostics(Asked(server, self._deadline, self._report), path)
            reader = Reader(tree, answer.encoding, answer.lines)
            items = reader.diagnostics(path, answer.result or [])
        except (ToolError, StaleLocation) as error:
            if tree.stamp(path) is None:
                return Found()  # it vanished on the way: it has no diagnostics
            return Found(reason="unsupported", message=f"{tree.show(path)} cannot be checked: {error}")
        except Unsettled as unsettled:
            return Found(reason=unsettled.answer.reason, message=unsettled.answer.message)
        except ValueError as error:
            return Found(reason="server_error", message=f"{MALFORMED}: {error}.")
        named = [item if item.source else item.model_copy(update={"source": server.config.name}) for item in items]
        return Found(named, answer.reason, answer.message)


def _merged(items: list[Diagnostic]) -> list[Diagnostic]:
    """Give each finding once, in the words of the server that was declared first."""
    first: dict[str, Diagnostic] = {}
    for item in items:
        first.setdefault(item.model_dump_json(exclude={"code", "source"}), item)
    return sorted_unique(list(first.values()))


_MAX_FILES: Final = 500
_AT_ONCE: Final = 8
_MORE: Final = "give the cursor back for more."
_WHERE: TypeAdapter[tuple[str, int, str]] = TypeAdapter(tuple[str, int, str])


async def diagnose(servers: LanguageServers, arguments: DiagnosticsArguments, report: Report) -> DiagnosticsResult:
    """Give the diagnostics of what is asked for; of many files as many as fit, with a cursor to go on.

    Raises:
        ToolError: there is no such file or directory, or the project is not this one.
    """
    tree = servers.tree
    tree.require_own(arguments.projects)
    question, where = question_of("diagnostics", arguments), None
    if arguments.cursor is not None:
        inside, item, before = unseal(question, arguments.cursor, _WHERE)
        where = _Where(from_wire(inside), item, before)
    panel = Panel(servers, asyncio.get_running_loop().time() + arguments.timeout_seconds, report)
    survey = _Survey(tree, panel, question, arguments.limit, where)
    target = tree.root if arguments.path is None else tree.locate(arguments.path)
    if tree.is_directory(target):
        await panel.prepare(servers.for_project("diagnostics"))
        served = tree.files(
            lambda path: servers.server_for(tree.root / path, "diagnostics") is not None, target, survey.cut.append
        )
        return await survey.run(served)
    try:
        tree.read(target)
    except ToolError as error:
        told = "There is no such file or directory." if error.code == "not_found" else error.message
        raise ToolError(error.code, told, error.path) from None
    serving = servers.serving(target, "diagnostics")
    if not serving:
        return survey.result("unsupported", f"No language server serves this file; served are: {servers.served()}.")
    await panel.prepare(serving)
    return await survey.run(iter([target]))


@dataclass(frozen=True)
class _Where:
    """Where a survey goes on.

    Args:
        file: path in the project of the first file that is not done.
        item: the number of its diagnostics that were given.
        before: the digest of these.
    """

    file: str
    item: int = 0
    before: str = ""


@dataclass
class _Survey:
    """A way through many files.

    Args:
        tree: the project.
        panel: whom to ask.
        question: what was asked, for the cursor.
        limit: the most diagnostics to give.
        where: where an earlier answer ended.
        cut: why there are more files than these, if so.
        passed: what lacks something and is no reason to stop.
    """

    tree: Tree
    panel: Panel
    question: Any
    limit: int
    where: _Where | None
    checked: int = 0
    items: list[Diagnostic] = field(default_factory=list)
    room: int = PAGE_CHARACTERS
    cut: list[str] = field(default_factory=list)
    passed: Found = field(default_factory=Found)

    async def run(self, files: Iterator[Path]) -> DiagnosticsResult:
        """Go through the files in batches until all are done, the limit is reached, or one gives no complete answer."""
        going_on = self.where is not None
        left = (path for path in files if self.where is None or _order(self._inside(path)) >= _order(self.where.file))
        while batch := list(islice(left, _AT_ONCE)):
            for path, found in zip(batch, await asyncio.gather(*map(self.panel.diagnose, batch)), strict=True):
                stopped = self._take(path, found, going_on)
                if stopped is not None:
                    return stopped
                self.passed = found if found.reason else self.passed
            if self.checked >= _MAX_FILES and (following := next(left, None)) is not None:
                self.where = _Where(self._inside(following))
                return self._page(f"{self.checked} files were checked; {_MORE}", self.where)
        if self.cut:
            return self.result("truncated", self.cut[0])
        return self.result(self.passed.reason, self.passed.message)

    def result(self, reason: Reason | None, message: str | None, where: _Where | None = None) -> DiagnosticsResult:
        """Give the answer; a cursor is in it if it goes on."""
        at = None if where is None else seal(self.question, [to_wire(where.file), where.item, where.before])
        return DiagnosticsResult(
            complete=reason is None,
            reason=reason,
            message=message,
            cursor=at,
            diagnostics=self.items,
            checked_files=self.checked,
        )

    def _page(self, more: str, where: _Where) -> DiagnosticsResult:
        """Give an answer that another one follows; what this one lacks, that one does not tell."""
        lacking = self.passed
        return self.result(
            lacking.reason or "truncated", f"{lacking.message} {more}" if lacking.message else more, where
        )

    def _take(self, path: Path, found: Found, going_on: bool) -> DiagnosticsResult | None:
        """Add what a file gave; give the answer if it ends here."""
        inside, start = self._inside(path), 0
        if self.where is not None and self.where.file == inside and self._follows(found.items):
            start = self.where.item
        count = self._fitting(found.items[start:])
        self.items += found.items[start : start + count]
        self.checked += 1
        if start + count < len(found.items):
            where = _Where(inside, start + count, _state(found.items[: start + count]))
            return self._page(f"There are more than these {len(self.items)}; {_MORE}", where)
        if not found.final:
            # The cursor leads to this file's beginning: rather some twice than those that come late not at all.
            onwards = _Where(inside) if self.checked > 1 or going_on else None
            return self.result(found.reason, found.message, onwards)
        return None

    def _follows(self, items: list[Diagnostic]) -> bool:
        """Say whether a file has still the diagnostics that were given of it; if not, it is told anew."""
        return self.where is not None and self.where.before == _state(items[: self.where.item])

    def _fitting(self, items: list[Diagnostic]) -> int:
        """Give how many of some items fit into the answer; the first of an answer always does."""
        for count, item in enumerate(items):
            length = len(item.model_dump_json())
            if len(self.items) + count >= self.limit or (length > self.room and len(self.items) + count > 0):
                return count
            self.room -= length
        return len(items)

    def _inside(self, path: Path) -> str:
        return self.tree.relative(path)


def _order(inside: str) -> list[tuple[bool, str]]:
    """Give the order in which a tree is walked: a directory's files before what is in its directories."""
    *directories, name = inside.split("/")
    return [*((True, directory) for directory in directories), (False, name)]


def _state(items: list[Diagnostic]) -> str:
    return digest([item.model_dump_json() for item in items])
