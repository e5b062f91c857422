"""How far a language server is: whether its answers can be complete yet.

state     on                                                        next
starting  answer to ``initialize``; ready by ``immediate``          ready
starting  answer to ``initialize``; any other                       indexing
indexing  ``progress``: every progress that began has ended         ready
indexing  ``progress``: none began within ``PROGRESS_GRACE``        ready
indexing  ``server_status``: quiescent                              ready
ready     a progress begins; status says not quiescent              indexing
any       the process ended, or cannot be started                   dead
dead      it is started again                                       starting
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypedDict

from codebuddy.language.changes import Changes, remaining
from codebuddy.language.config import ReadyBy

__all__ = ["PROGRESS_GRACE", "Readiness", "ServerState", "State"]

State = Literal["starting", "indexing", "ready", "dead"]

PROGRESS_GRACE: Final = 5.0
_MAX_TOKENS: Final = 200
_REPORT_EVERY: Final = 0.5


class ServerState(TypedDict):
    """A server in health. ``percent`` (0 to 100) is there while it loads, if the server says it."""

    name: str
    state: State
    reason: str | None
    percent: int | None


class Readiness:
    """The state of one server, over all its restarts.

    Args:
        name: the server's name.
        ready_by: what tells that it has loaded the project.
        grace: seconds to wait for a first progress, with ``progress``.
    """

    def __init__(self, name: str, ready_by: ReadyBy, grace: float = PROGRESS_GRACE) -> None:
        self._name = name
        self._ready_by = ready_by
        self._grace = grace
        self._changes = Changes()
        self._tokens: set[str | int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.state: State = "starting"
        self.reason: str | None = None
        self.percent: int | None = None
        #: How many times a load began: an answer is complete only if none began since it was asked for.
        self.loads = 0
        #: What the server itself says is wrong with the project; answers are not to be relied on then.
        self.trouble: str | None = None
        #: Whether starting it failed so often that it is no use to wait.
        self.hopeless = False

    def describe(self) -> ServerState:
        """Give the state for health."""
        reason = self.reason or self.trouble
        return {"name": self._name, "state": self.state, "reason": reason, "percent": self.percent}

    def starting(self) -> None:
        """Note that a process was started."""
        self._tokens.clear()
        self.trouble = None
        self._enter("starting", self.reason)  # why it is being restarted, until it is ready again

    def initialized(self) -> None:
        """Note that the server answered ``initialize``."""
        if self._ready_by == "immediate":
            self._enter("ready")
            return
        self._enter("indexing", "loading the project")
        if self._ready_by == "progress":
            self._timer = asyncio.get_running_loop().call_later(self._grace, self._nothing_began)

    def died(self, reason: str | None = None) -> None:
        """Note that the process ended or could not be started.

        Until the reason is known, one that fails at each start is said to have failed for what it failed for before.
        """
        before = self.reason if self.state == "starting" else None
        self._enter("dead", reason or before or "it went away")

    def progressed(self, token: str | int, value: dict[str, Any]) -> None:
        """Take a ``$/progress`` notification."""
        kind = value.get("kind")
        if kind == "end":
            self._tokens.discard(token)
        elif kind == "begin" and len(self._tokens) < _MAX_TOKENS:
            self._tokens.add(token)
        if self._ready_by == "immediate" or self.state in ("starting", "dead"):
            return
        if self._ready_by == "progress" and not self._tokens and kind == "end":
            self._enter("ready")
            return
        if self._ready_by == "progress" and kind == "begin":
            self.loads += 1
            self._enter("indexing", str(value.get("title", ""))[:200] or "loading the project")
        self._show(value)

    def server_status(self, status: dict[str, Any]) -> None:
        """Take rust-analyzer's ``experimental/serverStatus``."""
        if self._ready_by != "server_status" or self.state in ("starting", "dead"):
            return
        message = str(status.get("message") or "")[:400] or None
        self.trouble = (message or "the server reports an error") if status.get("health") == "error" else None
        if status.get("quiescent") is True:
            self._enter("ready", message if status.get("health") != "ok" else None)
        elif self.state != "indexing":
            self.loads += 1
            self._enter("indexing", message or "loading the project")

    async def wait(self, deadline: float, report: Callable[[str], Awaitable[None]]) -> bool:
        """Wait until it is ready; say whether it is.

        Args:
            deadline: when to give up, in the running loop's time.
            report: told from time to time what is being waited for.
        """
        reported = ""
        while self.state != "ready":
            if self.hopeless or remaining(deadline) == 0:
                return False
            pause = asyncio.get_running_loop().time() + _REPORT_EVERY
            if reported != (reported := self.sentence()):
                await report(reported)
            # However often it changes: it is told twice a second at most.
            while self._loading() and remaining(min(pause, deadline)) > 0:
                await self._changes.wait(remaining(min(pause, deadline)))
        return True

    def sentence(self) -> str:
        """Say in one sentence how far the server is."""
        percent = f" ({self.percent} %)" if self.percent is not None else ""
        reason = f": {self.reason}" if self.reason else ""
        return f"The language server {self._name} is {self.state}{percent}{reason}."

    def _loading(self) -> bool:
        return self.state != "ready" and not self.hopeless

    def _nothing_began(self) -> None:
        if self.state == "indexing" and not self._tokens:
            self._enter("ready")

    def _show(self, value: dict[str, Any]) -> None:
        percent = value.get("percentage")
        shown = max(0, min(100, percent)) if isinstance(percent, int) and self.state == "indexing" else None
        if shown is not None and shown != self.percent:
            self.percent = shown
            self._changes.tell()

    def _enter(self, state: State, reason: str | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if state == "ready":
            self.hopeless = False
        self.state, self.reason, self.percent = state, reason, None
        self._changes.tell()
