"""Diagnostics of a file, a directory or the whole project."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from codebuddy.code.asking import Asked, Report
from codebuddy.code.asking_diagnostics import ask_diagnostics
from codebuddy.code.models import Diagnostic, DiagnosticsArguments, DiagnosticsResult, Reason
from codebuddy.code.results import Reader, StaleLocation
from codebuddy.errors import ToolError
from codebuddy.language.servers import LanguageServers

__all__ = ["diagnose"]

_MAX_FILES: Final = 500
_AT_ONCE: Final = 8


def offset_of(cursor: str) -> int:
    """Give the offset that a part of a cursor stands for.

    Raises:
        ToolError: ``invalid_cursor``: it is none of ours.
    """
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 9:
        raise ToolError("invalid_cursor", "This is not a cursor that an earlier answer gave.")
    return int(cursor)


async def diagnose(servers: LanguageServers, arguments: DiagnosticsArguments, report: Report) -> DiagnosticsResult:
    """Give the diagnostics of what is asked for; of many files as many as fit, with a cursor to go on.

    Raises:
        ToolError: there is no such file or directory, or the project is not this one.
    """
    tree = servers.tree
    tree.require_own(arguments.projects)
    file, _, item = (arguments.cursor or "0.0").partition(".")
    deadline = asyncio.get_running_loop().time() + arguments.timeout_seconds
    survey = _Survey(servers, arguments.limit, deadline, report, offset_of(file), offset_of(item))
    target = tree.root if arguments.path is None else tree.locate(arguments.path)
    if tree.is_directory(target):
        files = tree.files(lambda path: servers.server_for(tree.root / path, "diagnostics") is not None, target)
        return await survey.run(files)
    tree.read(target)
    if servers.server_for(target, "diagnostics") is None:
        return survey.result("unsupported", f"No language server serves this file; served are: {servers.served()}.")
    return await survey.run(iter([target]))


@dataclass
class _Found:
    """What one file gave."""

    items: list[Diagnostic] = field(default_factory=list)
    reason: Reason | None = None
    message: str | None = None


@dataclass
class _Survey:
    """A way through many files.

    Args:
        servers: whom to ask.
        limit: the most diagnostics to give.
        deadline: when to be done, in the running loop's time.
        report: told what is being waited for.
        file: the number of files that an earlier answer has dealt with.
        item: the number of diagnostics that it gave of the next one.
    """

    servers: LanguageServers
    limit: int
    deadline: float
    report: Report
    file: int
    item: int
    checked: int = 0
    items: list[Diagnostic] = field(default_factory=list)

    async def run(self, files: Iterator[Path]) -> DiagnosticsResult:
        """Go through the files in batches until all are done, the limit is reached, or one gives no complete answer."""
        files = islice(files, self.file, None)
        passed = _Found()  # the last file that cannot be checked at all, which is no reason to stop at it
        while batch := list(islice(files, _AT_ONCE)):
            for found in await asyncio.gather(*(self._diagnose(path) for path in batch)):
                stopped = self._take(found)
                if stopped is not None:
                    return stopped
                passed = found if found.reason else passed
            if self.checked >= _MAX_FILES:
                return self.result("truncated", f"{self.checked} files were checked; {_MORE}", goes_on=True)
        return self.result(passed.reason, passed.message)

    def result(self, reason: Reason | None, message: str | None, goes_on: bool = False) -> DiagnosticsResult:
        """Give the answer; a cursor is in it if it goes on."""
        return DiagnosticsResult(
            complete=reason is None,
            reason=reason,
            message=message,
            cursor=f"{self.file}.{self.item}" if goes_on else None,
            diagnostics=self.items,
            checked_files=self.checked,
        )

    def _take(self, found: _Found) -> DiagnosticsResult | None:
        """Add what a file gave; give the answer if it ends here."""
        fresh = found.items[self.item :]
        room = self.limit - len(self.items)
        self.items += fresh[:room]
        self.checked += 1
        if len(fresh) > room:
            self.item += room
            return self.result("truncated", f"There are more than {self.limit}; {_MORE}", goes_on=True)
        if found.reason not in (None, "unsupported"):
            # The cursor leads to this file's beginning: rather some twice than those that come late not at all.
            return self.result(found.reason, found.message, goes_on=self.file > 0)
        self.file, self.item = self.file + 1, 0
        return None

    async def _diagnose(self, path: Path) -> _Found:
        server, tree = self.servers.server_for(path, "diagnostics"), self.servers.tree
        if server is None:
            return _Found()
        try:
            answer = await ask_diagnostics(Asked(server, self.deadline, self.report), path)
            reader = Reader(tree, answer.encoding, answer.lines)
            return _Found(reader.diagnostics(path, answer.result or []), answer.reason, answer.message)
        except (ToolError, StaleLocation) as error:
            if tree.stamp(path) is None:
                return _Found()  # it vanished on the way: it has no diagnostics
            return _Found(reason="unsupported", message=f"{tree.show(path)} cannot be checked: {error}")
        except ValueError as error:
            return _Found(reason="server_error", message=f"The language server gave a malformed answer: {error}.")


_MORE: Final = "give the cursor back for more."
