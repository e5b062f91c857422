"""How far a language server is: whether its answers can be complete yet.

state     on                                                        next
starting  answer to ``initialize``; ready by ``immediate``          ready
starting  answer to ``initialize``; any other                       indexing
indexing  ``progress``: every progress that began has ended         ready
indexing  ``progress``: it answers, and for ``PROGRESS_GRACE``      ready
          after that no progress began
indexing  ``server_status``: quiescent                              ready
indexing  ``log``: the server wrote what it was declared to write   ready
indexing  not ready within ``load_seconds``                         degraded
ready     a progress begins; status says not quiescent              indexing
ready     status says that its health is ``error``                  degraded
degraded  loading has ended after all; health is no error           ready
any       the process ended, or cannot be started                   dead
any       it was ended, for nobody asked it anything                stopped
dead      it is started again                                       starting
stopped   it is asked something                                     starting
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Literal, TypedDict, TypeVar

from codebuddy.agent.lsp.config import LOAD_SECONDS
from codebuddy.schemas.server_description import ReadyBy
from codebuddy.schemas.status import State

T = TypeVar("T")

Report = Callable[[str], Awaitable[None]]
"""Reports in a sentence what is being waited for."""

PROGRESS_GRACE: Final = 5.0
_MAX_TOKENS: Final = 200
_REPORT_EVERY: Final = 0.5
_MAX_LOG_LINE: Final = 2000

_Stage = Literal["starting", "indexing", "ready", "dead", "stopped"]


def remaining(deadline: float) -> float:
    """Return the seconds until a deadline in the running loop's time; never negative."""
    return max(0.0, deadline - asyncio.get_running_loop().time())


async def first_of(*waits: Coroutine[Any, Any, T]) -> T:
    """Return the result of the first that ends, in the given order if several do; cancel the others."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Condition:
    """Wakes all waiters when something changed, so that each checks again what it waits for. It holds no lock."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._waiting = 0

    def notify_all(self) -> None:
        """Wake everyone who waits now."""
        if self._waiting:
            self._event.set()
            self._event = asyncio.Event()

    async def wait(self, seconds: float | None) -> bool:
        """Wait for the next notification, at most so long (None: forever); say whether there was one."""
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    async def wait_for(self, predicate: Callable[[], object], deadline: float | None = None) -> bool:
        """Wait until the predicate holds; say False if it does not by the deadline (None: there is none)."""
        while not predicate():
            if not await self.wait(None if deadline is None else remaining(deadline)):
                return False
        return True


class ServerState(TypedDict):
    """A server in health; ``percent`` (0 to 100) is set while it loads, if the server reports it."""

    name: str
    state: State
    reason: str | None
    percent: int | None


class Readiness:
    """The state of one server, over all its restarts; see `ServerConfig` and the table above for the arguments."""

    def __init__(
        self,
        name: str,
        ready_by: ReadyBy,
        grace: float = PROGRESS_GRACE,
        load_seconds: float = LOAD_SECONDS,
        ready_log: str | None = None,
    ) -> None:
        self._name = name
        self._ready_by = ready_by
        self._grace = grace
        self._load_seconds = load_seconds
        self._ready_log = re.compile(ready_log) if ready_log is not None else None
        self._condition = Condition()
        self._tokens: set[str | int] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._stage: _Stage = "starting"
        self._logged = False
        self._overdue = False
        self.reason: str | None = None
        self.percent: int | None = None
        #: How many loads began: an answer is complete only if none began since the request.
        self.loads = 0
        #: What the server reports to be wrong with the project; its answers are unreliable then.
        self.trouble: str | None = None
        #: Whether starting failed so often that waiting is useless.
        self.hopeless = False

    @property
    def state(self) -> State:
        """The state as in the table above."""
        overdue, troubled = self._stage == "indexing" and self._overdue, self._stage == "ready" and self.trouble
        return "degraded" if overdue or troubled else self._stage

    def describe(self) -> ServerState:
        """Return the state for health."""
        return {"name": self._name, "state": self.state, "reason": self._why(), "percent": self.percent}

    def sentence(self) -> str:
        """Say in one sentence how far the server is."""
        percent = f" ({self.percent} %)" if self.percent is not None else ""
        reason = f": {why}" if (why := self._why()) else ""
        return f"The language server {self._name} is {self.state}{percent}{reason}."

    async def wait(self, deadline: float, report: Report, local: bool = False) -> bool:
        """Wait until the server is ready, or known not to become ready in time; say whether it is.

        For a ``local`` request it is enough that the server answers, loaded or not. ``report`` is called at most once
        per ``_REPORT_EVERY``, however often the state changes.
        """
        reported = ""
        while self._pending(local) and remaining(deadline) > 0:
            pause = asyncio.get_running_loop().time() + _REPORT_EVERY
            if reported != (reported := self.sentence()):
                await report(reported)
            await self._condition.wait_for(lambda: not self._pending(local), min(pause, deadline))
        return self._stage == "ready" or (local and self._stage == "indexing")

    def starting(self) -> None:
        self._tokens.clear()
        self.trouble, self._logged = None, False
        self._enter("starting", self.reason)  # keep why it is being restarted, until it is ready again

    def initialized(self) -> None:
        if self._ready_by == "immediate" or (self._ready_by == "log" and self._logged):
            self._enter("ready")
            return
        self._enter("indexing", "loading the project")

    def answered(self) -> None:
        """Note that the server answered after it was initialized and shown a file: it could have begun a load.

        The grace counts from here: a busy machine may take longer than the grace to come so far.
        """
        if self._ready_by == "progress" and self._stage == "indexing":
            self._after(self._grace, self._nothing_began)

    def progressed(self, token: str | int, value: dict[str, Any]) -> None:
        """Handle a ``$/progress`` notification."""
        kind = value.get("kind")
        if kind == "end":
            self._tokens.discard(token)
        elif kind == "begin" and len(self._tokens) < _MAX_TOKENS:
            self._tokens.add(token)
        if self._ready_by == "immediate" or self._stage not in ("indexing", "ready"):
            return
        if self._ready_by == "progress" and not self._tokens and kind == "end":
            self._enter("ready")
            return
        if self._ready_by == "progress" and kind == "begin":
            self.loads += 1
            self._enter("indexing", _text(value.get("title"), 200) or "loading the project")
        self._show_percentage(value.get("percentage"))

    def server_status(self, status: dict[str, Any]) -> None:
        """Handle rust-analyzer's ``experimental/serverStatus``."""
        if self._ready_by != "server_status" or self._stage not in ("indexing", "ready"):
            return
        message = _text(status.get("message"), 400) or None
        self.trouble = (message or "the server reports an error") if status.get("health") == "error" else None
        if status.get("quiescent") is True:
            self._enter("ready", message if status.get("health") != "ok" else None)
        elif self._stage != "indexing":
            self.loads += 1
            self._enter("indexing", message or "loading the project")

    def matches_log(self, text: str) -> bool:
        """Say whether ``ready_log`` matches a text that the server wrote."""
        return self._ready_log is not None and self._ready_log.search(text[:_MAX_LOG_LINE]) is not None

    def logged(self, text: str) -> None:
        """Handle what the server wrote to stderr or sent to be shown or logged."""
        if self._logged or not self.matches_log(text):
            return
        self._logged = True
        if self._stage == "indexing":
            self._enter("ready")

    def stopped(self, reason: str) -> None:
        """Note that the server was ended until the next request."""
        self._enter("stopped", reason)

    def lost(self) -> None:
        """Note that the process is gone, for a reason that is not known yet.

        A server that fails at each start keeps the reason of its last failure.
        """
        if self._stage != "stopped":
            self.died((self.reason if self._stage in ("starting", "dead") else None) or "it went away")

    def died(self, reason: str) -> None:
        self._enter("dead", reason)

    def _why(self) -> str | None:
        if self.state == "degraded" and self._overdue:
            return f"loading has not ended in {self._load_seconds:.0f} s ({self.reason})"
        return self.reason or self.trouble

    def _pending(self, local: bool) -> bool:
        if self._stage == "indexing":
            return not local and not self._overdue
        return self._stage != "ready" and not self.hopeless

    def _nothing_began(self) -> None:
        if self._stage == "indexing" and not self._tokens:
            self._enter("ready")

    def _took_too_long(self) -> None:
        self._overdue = True
        self._condition.notify_all()

    def _show_percentage(self, percent: Any) -> None:
        shown = max(0, min(100, percent)) if isinstance(percent, int) and self._stage == "indexing" else None
        if shown is not None and shown != self.percent:
            self.percent = shown
            self._condition.notify_all()

    def _enter(self, stage: _Stage, reason: str | None = None) -> None:
        if stage != "indexing" or self._stage != "indexing":  # a load of many steps is one load
            while self._timers:
                self._timers.pop().cancel()
            self._overdue = False
            if stage == "indexing":
                self._after(self._load_seconds, self._took_too_long)
        if stage == "ready":
            self.hopeless = False
        self._stage, self.reason, self.percent = stage, reason, None
        self._condition.notify_all()

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, action))


def _text(value: Any, longest: int) -> str:
    return value[:longest] if isinstance(value, str) else ""
