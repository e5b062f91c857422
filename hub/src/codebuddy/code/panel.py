"""Diagnostics of one file from all language servers that are declared for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from codebuddy.code.asking import Asked, Unsettled
from codebuddy.code.asking_diagnostics import ask_diagnostics
from codebuddy.code.questions import MALFORMED
from codebuddy.code.results import Reader, StaleLocation, sorted_unique
from codebuddy.language.changes import remaining
from codebuddy.language.readiness import Report
from codebuddy.language.server import LanguageServer
from codebuddy.language.servers import LanguageServers
from codebuddy.schemas.code import Diagnostic, Reason
from codebuddy.tool import ToolError

__all__ = ["Found", "Panel"]

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
