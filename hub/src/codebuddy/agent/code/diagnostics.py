"""Diagnostics of files, directories and the project, from all servers that find any."""

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

from codebuddy.agent.code import answers
from codebuddy.agent.code.answers import COMPLETE, Answer, NoAnswer, validated
from codebuddy.agent.code.asking import (
    ServerQuestion,
    not_running_answer,
    not_served_answer,
    request,
    run_exchange,
    share_of,
)
from codebuddy.agent.code.decoding import (
    PAGE_CHARACTERS,
    Reader,
    StaleLocation,
    count_fitting,
    digest_of,
    sorted_unique,
)
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document, StaleText
from codebuddy.agent.lsp.readiness import Report, remaining
from codebuddy.agent.lsp.servers import LanguageServer, LanguageServers
from codebuddy.agent.lsp.tree import Tree
from codebuddy.files.cursors import question_of, seal, unseal
from codebuddy.files.paths import from_wire, to_wire
from codebuddy.schemas.code import Diagnostic, DiagnosticsArguments, DiagnosticsResult, Reason
from codebuddy.tool import ToolError

T = TypeVar("T")

# What typescript-language-server publishes comes in parts, without a version and 50 ms after each part: on a busy
# machine the first says only that the file can be parsed, and looks as if nothing were wrong with it. The requests of
# the compiler behind it (tsserver), which it passes on, answer for the text that the compiler has.
_TSSERVER_COMMAND: Final = "typescript.tsserverRequest"
_TSSERVER_CHECKS: Final = ("syntacticDiagnosticsSync", "semanticDiagnosticsSync", "suggestionDiagnosticsSync")
_SEVERITIES: Final = {"error": 1, "warning": 2, "suggestion": 4}  # DiagnosticSeverity, LSP 3.17

# Reasons that hold for a server, not for one file.
_OF_SERVER: Final[tuple[Reason, ...]] = ("indexing", "server_crashed", "timed_out")

_MAX_FILES: Final = 500
_AT_ONCE: Final = 8
_MORE: Final = "give the cursor back for more."
_CURSOR: TypeAdapter[tuple[str, int, str]] = TypeAdapter(tuple[str, int, str])


def forwards_to_tsserver(connection: Connection) -> bool:
    """Say whether a server passes requests on to TypeScript's tsserver."""
    return connection.capabilities.runs(_TSSERVER_COMMAND)


def includes_all(published: list[Any], asked: list[Any]) -> bool:
    """Say whether all diagnostics that tsserver answered are among those that were published."""
    return {_identity(item) for item in asked} <= {_identity(item) for item in published if isinstance(item, dict)}


def _identity(item: dict[str, Any]) -> str:
    return json.dumps([item.get("code"), item.get("range")], sort_keys=True)


async def ask_tsserver(asked: ServerQuestion, connection: Connection, document: Document) -> list[Any]:
    """Return the diagnostics of an open document as the protocol writes them, but for ``diagnostics.ignoredCodes``."""
    ignored = _ignored_codes(asked.server.config.settings)
    found: list[Any] = []
    for check in _TSSERVER_CHECKS:
        params = {"command": _TSSERVER_COMMAND, "arguments": [check, {"file": str(document.path)}]}
        result = await request(connection, "workspace/executeCommand", params, asked.deadline)
        body = validated(answers.TS_ANSWER, result, check).body
        found += [_in_protocol(item) for item in body if item.code not in ignored]
    return found


def _ignored_codes(settings: Mapping[str, Any]) -> list[Any]:
    diagnostics = settings.get("diagnostics")
    codes = diagnostics.get("ignoredCodes") if isinstance(diagnostics, dict) else None
    return codes if isinstance(codes, list) else []


def _in_protocol(item: answers.TsDiagnostic) -> dict[str, Any]:
    ends = {"start": item.start, "end": item.end}
    return {
        "range": {name: {"line": at.line - 1, "character": at.offset - 1} for name, at in ends.items()},
        "message": item.text,
        "severity": _SEVERITIES.get(item.category or "", 1),
        "code": item.code,
        "source": item.source or "typescript",
    }


async def ask_diagnostics(asked: ServerQuestion, path: Path) -> Answer:
    """Ask for the diagnostics of a file: pulled if the server offers that, or else those that it publishes for the
    present version; with what a compiler run found, if the server makes such runs.
    """
    lacks: list[tuple[Reason, str]] = []

    async def exchange(connection: Connection, document: Document) -> Any:
        lacks.clear()
        flycheck = connection.flycheck
        items: list[Any] | None = None
        await _save(asked, connection, document)
        if forwards_to_tsserver(connection):
            return await ask_tsserver(asked, connection, document)
        if not connection.pulls_diagnostics:
            connection.documents.send_again(path)
            published = published_for(connection, document, asked.deadline, asked.deadline)
            items = await wait_unlocked(connection, document, published)
        if connection.pulls_diagnostics:
            # First the compiler run, then the request: what the run found is published at the latest before its answer.
            if flycheck.used and not await wait_unlocked(connection, document, flycheck.wait(share_of(asked.deadline))):
                lacks.append(("timed_out", "The compiler run of the language server has not ended in time."))
            items = await pull_diagnostics(asked, connection, document)
        elif items is None:
            lacks.append(("timed_out", "The server published nothing for this version of the file in time."))
        if connection.published.is_cut(document):
            lacks.append(("truncated", "The server published more for this file than is kept."))
        return items

    while True:
        with contextlib.suppress(StaleText):
            answer = await run_exchange(asked, path, exchange)
            return answer.but(*lacks[0]) if lacks else answer


async def published_for(
    connection: Connection,
    document: Document,
    until: float,
    deadline: float,
    enough: Callable[[list[Any]], bool] = lambda items: True,
) -> list[Any] | None:
    """Wait for what a server publishes, or until it offers to be asked: some do only after they have begun.

    Such a server may have published a first glance before, so nothing counts only after it had the time to offer it.

    Args:
        until: when to give up and give None, in the running loop's time.
        deadline: when the server must have answered that it still answers.
        enough: whether what was published is all of it.

    Raises:
        RequestTimedOut, SessionClosed: the server did not answer by the deadline, or is gone.
    """
    items = await connection.published.wait(document, until, lambda: connection.pulls_diagnostics, enough)
    if items == [] and not connection.pulls_diagnostics:
        await connection.probe(remaining(deadline))
    return items


async def _save(asked: ServerQuestion, connection: Connection, document: Document) -> None:
    """Have a server that wants to know of saved files make a compiler run, if files changed since the last one."""
    flycheck = connection.flycheck
    if not connection.wants_saves or asked.server.readiness.state != "ready":
        return
    if flycheck.used and flycheck.stale:
        await wait_unlocked(connection, document, flycheck.begun(share_of(asked.deadline)))
    if flycheck.take_stale():
        connection.session.notify("textDocument/didSave", {"textDocument": {"uri": document.uri}})


async def pull_diagnostics(asked: ServerQuestion, connection: Connection, document: Document) -> list[Any]:
    """Ask for the diagnostics of a document, and add those that the server publishes in addition."""
    params = {"textDocument": {"uri": document.uri}}
    result = await request(connection, "textDocument/diagnostic", params, asked.deadline)
    items = validated(answers.DIAGNOSTIC_REPORT, result, "a report of diagnostics").items
    return [*items, *connection.published.supplementary(document)]


async def wait_unlocked(connection: Connection, document: Document, waiting: Awaitable[T]) -> T:
    """Wait for something that may take long, and let others ask meanwhile.

    Raises:
        SessionClosed: the server is gone.
        StaleText: the document has another text now.
    """
    since = document.since
    async with connection.read_write_lock.released():
        result = await waiting
    connection.session.require_open()
    if document.since != since:
        raise StaleText(str(document.path))
    return result


async def diagnose(servers: LanguageServers, arguments: DiagnosticsArguments, report: Report) -> DiagnosticsResult:
    """Return the diagnostics of what is asked for; of many files as many as fit, with a cursor to go on.

    Raises:
        ToolError: there is no such file or directory, or the project is not this one.
    """
    tree = servers.tree
    tree.require_own(arguments.projects)
    question, resume = question_of("diagnostics", arguments), None
    if arguments.cursor is not None:
        file, item, before = unseal(question, arguments.cursor, _CURSOR)
        resume = _Resume(from_wire(file), item, before)
    checker = _Checker(servers, asyncio.get_running_loop().time() + arguments.timeout_seconds, report)
    page = _PageBuilder(tree, checker, question, arguments.limit, resume)
    target = tree.root if arguments.path is None else tree.locate(arguments.path)
    if tree.is_directory(target):
        await checker.prepare(servers.for_project("diagnostics"))
        served = tree.files(lambda path: servers.may_serve(tree.root / path, "diagnostics"), target, page.cut.append)
        return await page.run(served)
    try:
        tree.read(target)
    except ToolError as error:
        told = "There is no such file or directory." if error.code == "not_found" else error.message
        raise ToolError(error.code, told, error.path) from None
    serving = servers.serving(target, "diagnostics")
    if not serving:
        return page.result(not_served_answer(servers))
    await checker.prepare(serving)
    return await page.run(iter([target]))


@dataclass
class FileDiagnostics:
    """What was found in one file."""

    items: list[Diagnostic] = field(default_factory=list)
    answer: Answer = COMPLETE
    """Says whether this is all."""
    final: bool = True
    """Whether asking again can give no more than this: some server said all that it knows."""

    @property
    def reason(self) -> Reason | None:
        """Why it may not be all."""
        return self.answer.reason


class _Checker:
    """Asks all servers that find diagnostics. One that fails while others do not is not waited for a second time."""

    def __init__(self, servers: LanguageServers, deadline: float, report: Report) -> None:
        self._servers, self._deadline, self._report = servers, deadline, report
        self._absent: dict[str, Answer] = {}

    async def prepare(self, servers: Sequence[LanguageServer]) -> None:
        """Wait until several servers have loaded, but leave half of the time for those that have to answer."""
        if len(servers) < 2:
            return
        half = asyncio.get_running_loop().time() + remaining(self._deadline) / 2
        ready = await asyncio.gather(*(self._is_ready(server, half) for server in servers))
        if any(ready):
            missing = (server for server, is_ready in zip(servers, ready, strict=True) if not is_ready)
            self._absent |= {server.config.name: not_running_answer(server) for server in missing}

    async def check(self, path: Path) -> FileDiagnostics:
        """Return what all servers find in a file, each finding once."""
        serving = self._servers.serving(path, "diagnostics")
        present = [server for server in serving if server.config.name not in self._absent]
        found = await asyncio.gather(*(self._ask(server, path) for server in present))
        for server, one in zip(present, found, strict=True):
            if one.reason in _OF_SERVER and any(other.reason is None for other in found):
                self._absent[server.config.name] = one.answer
        lacking = [one.answer for one in found if one.reason is not None]
        lacking += [self._absent[server.config.name] for server in serving if server not in present]
        lacking.sort(key=lambda answer: answer.reason == "unsupported")  # first what waiting or repair may cure
        return FileDiagnostics(
            _merged([item for one in found for item in one.items]),
            lacking[0] if lacking else COMPLETE,
            final=not serving or any(one.reason in (None, "unsupported", "truncated") for one in found),
        )

    async def _is_ready(self, server: LanguageServer, deadline: float) -> bool:
        with server.in_use():
            ready = await server.readiness.wait(deadline, self._report)
        return ready or server.readiness.state == "degraded"

    async def _ask(self, server: LanguageServer, path: Path) -> FileDiagnostics:
        tree = self._servers.tree
        try:
            answer = await ask_diagnostics(ServerQuestion(server, self._deadline, self._report), path)
            items = Reader(tree, answer.encoding, answer.lines).diagnostics(path, answer.result or [])
        except (ToolError, StaleLocation) as error:
            if tree.stamp(path) is None:
                return FileDiagnostics()  # it vanished on the way: it has no diagnostics
            message = f"{tree.show(path)} cannot be checked: {error}"
            return FileDiagnostics(answer=Answer.lacking("unsupported", message))
        except NoAnswer as none:
            return FileDiagnostics(answer=none.answer)
        named = [item if item.source else item.model_copy(update={"source": server.config.name}) for item in items]
        return FileDiagnostics(named, answer)


def _merged(items: list[Diagnostic]) -> list[Diagnostic]:
    """Return each finding once, in the words of the server that was declared first."""
    first: dict[str, Diagnostic] = {}
    for item in items:
        first.setdefault(item.model_dump_json(exclude={"code", "source"}), item)
    return sorted_unique(list(first.values()))


@dataclass(frozen=True)
class _Resume:
    """Where to go on."""

    file: str  # path in the project of the first file that is not done
    item: int = 0  # the number of its diagnostics that were given
    before: str = ""  # the digest of these


@dataclass
class _PageBuilder:
    """Checks files one after the other until a page of diagnostics is full, and writes the cursor for the next page."""

    tree: Tree
    checker: _Checker  # whom to ask
    question: Any  # what was asked, for the cursor
    limit: int  # the most diagnostics to give
    resume: _Resume | None  # where an earlier answer ended
    checked: int = 0
    items: list[Diagnostic] = field(default_factory=list)
    room: int = PAGE_CHARACTERS
    cut: list[str] = field(default_factory=list)  # why there are more files than these, if so
    passed: Answer = COMPLETE  # the last incomplete answer that was no reason to stop

    async def run(self, files: Iterator[Path]) -> DiagnosticsResult:
        """Go through the files in batches until all are done, the limit is reached, or one gives no complete answer."""
        resumed = self.resume is not None
        left = (path for path in files if self.resume is None or _order(self._inside(path)) >= _order(self.resume.file))
        while batch := list(islice(left, _AT_ONCE)):
            for path, found in zip(batch, await asyncio.gather(*map(self.checker.check, batch)), strict=True):
                stopped = self._take(path, found, resumed)
                if stopped is not None:
                    return stopped
                self.passed = found.answer if found.reason else self.passed
            if self.checked >= _MAX_FILES and (following := next(left, None)) is not None:
                self.resume = _Resume(self._inside(following))
                return self._page(f"{self.checked} files were checked; {_MORE}", self.resume)
        return self.result(Answer.lacking("truncated", self.cut[0]) if self.cut else self.passed)

    def result(self, answer: Answer, resume: _Resume | None = None) -> DiagnosticsResult:
        """Return the result, with a cursor if it goes on."""
        at = None if resume is None else seal(self.question, [to_wire(resume.file), resume.item, resume.before])
        return DiagnosticsResult(**answer.completeness(), cursor=at, diagnostics=self.items, checked_files=self.checked)

    def _page(self, more: str, resume: _Resume) -> DiagnosticsResult:
        """Return a result that another one follows; that one does not repeat what is missing in this one."""
        reason, message = self.passed.reason, self.passed.message
        return self.result(Answer.lacking(reason or "truncated", f"{message} {more}" if message else more), resume)

    def _take(self, path: Path, found: FileDiagnostics, resumed: bool) -> DiagnosticsResult | None:
        """Add what a file gave; give the result if it ends here."""
        inside, start = self._inside(path), 0
        if self.resume is not None and self.resume.file == inside and self._follows(found.items):
            start = self.resume.item
        wanted = found.items[start:][: self.limit - len(self.items)]
        count, self.room = count_fitting(wanted, self.room, at_least=0 if self.items else 1)
        self.items += found.items[start : start + count]
        self.checked += 1
        if start + count < len(found.items):
            resume = _Resume(inside, start + count, digest_of(found.items[: start + count]))
            return self._page(f"There are more than these {len(self.items)}; {_MORE}", resume)
        if not found.final:
            # The cursor leads to this file's beginning: rather some twice than those that come late not at all.
            return self.result(found.answer, _Resume(inside) if self.checked > 1 or resumed else None)
        return None

    def _follows(self, items: list[Diagnostic]) -> bool:
        """Say whether a file still has the diagnostics that were given of it; if not, all are given again."""
        return self.resume is not None and self.resume.before == digest_of(items[: self.resume.item])

    def _inside(self, path: Path) -> str:
        return self.tree.relative(path)


def _order(inside: str) -> list[tuple[bool, str]]:
    """Return the order in which a tree is walked: a directory's files before what is in its directories."""
    *directories, name = inside.split("/")
    return [*((True, directory) for directory in directories), (False, name)]
