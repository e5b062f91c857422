"""Diagnostics of a file, a directory or the whole project."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from codebuddy.code.pages import PAGE_CHARACTERS, question_of
from codebuddy.code.panel import Found, Panel
from codebuddy.files.cursors import digest, seal, unseal
from codebuddy.files.paths import from_wire, to_wire
from codebuddy.language.readiness import Report
from codebuddy.language.servers import LanguageServers
from codebuddy.language.tree import Tree
from codebuddy.schemas.code import Diagnostic, DiagnosticsArguments, DiagnosticsResult, Reason
from codebuddy.tool import ToolError

__all__ = ["diagnose"]

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
