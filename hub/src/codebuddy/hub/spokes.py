"""Which spokes are connected, and one call to one of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
from pydantic import BaseModel

from codebuddy.text_safety import labelled, one_line
from codebuddy.tool import Progress, ToolError
from codebuddy.wire.calls import BadAnswer, call_tool
from codebuddy.wire.jsonrpc import RemoteError, Wire, WireClosed

log = logging.getLogger(__name__)

R = TypeVar("R", bound=BaseModel)


@dataclass(eq=False)
class Link:
    """One connected spoke, of which the hub is the MCP client.

    Args:
        project: the project that the spoke's token names.
        wire: the connection, greeted.
        close: ends the link with a reason.
    """

    project: str
    wire: Wire
    close: Callable[[str], Awaitable[None]]
    since: float = field(default_factory=time.time)


class Links:
    """All links of the hub, at most one a project."""

    def __init__(self, projects: Iterable[str]) -> None:
        self._projects = frozenset(projects)
        self._links: dict[str, Link] = {}

    def get(self, project: str) -> Link | None:
        """Give the link of a project, None while its spoke is not connected."""
        return self._links.get(project)

    async def add(self, link: Link) -> None:
        """Take a new link. An older one of the same project is closed: a spoke that lost its network dials again long
        before the hub learns that the first connection is dead.
        """
        older = self._links.get(link.project)
        self._links[link.project] = link
        log.info("link %s: connected", link.project)
        if older is not None:
            await older.close("another link of this project took its place")

    def remove(self, link: Link) -> None:
        """Forget a link that ended, unless a newer one stands in its place."""
        if self._links.get(link.project) is link:
            del self._links[link.project]
            log.info("link %s: disconnected", link.project)

    async def call(
        self,
        project: str,
        tool: str,
        arguments: dict[str, Any],
        answer: type[R],
        *,
        report: Progress | None = None,
        timeout_seconds: float | None = None,
    ) -> R:
        """Call a tool of a spoke and wait for its answer.

        Cancelling the call cancels it in the spoke. A spoke may be hostile: nothing that it answers raises anything
        but a ToolError here.

        Args:
            project: id of the project.
            tool: the tool's name there.
            arguments: its arguments.
            answer: the model that the answer must fit.
            report: is told what the spoke tells.
            timeout_seconds: how long to wait; None: as long as the spoke shows that it is there.

        Raises:
            ToolError: what the spoke's tool raised; ``spoke_offline`` when the spoke is not connected, goes away, or
                stops answering; ``timed_out``; ``bad_answer`` when it says what the model does not allow.
        """
        link = self._links.get(project)
        if link is None:
            raise _offline(project)

        try:
            async with asyncio.timeout(timeout_seconds):
                return await call_tool(link.wire, tool, arguments, answer, report)
        except TimeoutError:
            sentence = f"The spoke of {project} did not answer {tool} in {timeout_seconds:.0f} s."
            raise ToolError("timed_out", sentence) from None
        except WireClosed:
            raise _offline(project) from None
        except (BadAnswer, RemoteError) as error:
            log.warning("link %s: %s: %s", project, tool, one_line(str(error), 500))  # no line of the log is forged
            raise _bad_answer(project, tool) from None


def _bad_answer(project: str, tool: str) -> ToolError:
    return ToolError(
        "bad_answer", f"The spoke of {project} answered {tool} in a way that this hub does not know; run: make up."
    )


def _offline(project: str) -> ToolError:
    return ToolError(
        "spoke_offline",
        f"The spoke of {project} is not connected. It dials in again by itself; make status tells why it has not.",
    )


T = TypeVar("T")

ANSWER_SECONDS = 15.0
"""So long after its time-out a spoke may take to end what timed out, and to say so."""


async def ask_spoke(
    links: Links,
    project: str,
    tool: str,
    sent: dict[str, Any],
    answer: type[R],
    *,
    seconds: float = 0.0,
    paths: Callable[[R], Iterable[str]] = lambda _answer: (),
    report: Progress | None = None,
) -> R:
    """Ask one spoke, and see that it speaks for its own project only.

    Args:
        links: the links to the spokes.
        project: whose.
        tool: the tool's name there.
        sent: its arguments.
        answer: the model that the answer must fit.
        seconds: the time-out that the spoke was given.
        paths: gives the workspace paths in an answer; left out: there are none.
        report: is told what the spoke tells.

    Raises:
        ToolError: see `Links.call`; ``bad_answer`` when it names another project.
    """
    patience = seconds + ANSWER_SECONDS
    said = await links.call(project, tool, sent, answer, report=report, timeout_seconds=patience)
    require_own(project, paths(said))
    return said


def require_own(project: str, paths: Iterable[str]) -> None:
    """Refuse what a spoke says of another project.

    Args:
        project: the spoke's own.
        paths: workspace paths that it named.

    Raises:
        ToolError: ``bad_answer``.
    """
    own, out = f"{project}/", "/../"
    if any((path != project and not path.startswith(own)) or out in f"{path}/" for path in paths):
        raise ToolError("bad_answer", f"The spoke of {project} named places in another project; its answer is refused.")


def together(report: Progress, projects: Iterable[str]) -> dict[str, Progress]:
    """Join what several spokes tell of how far they are; of several, each line says whose it is.

    Args:
        report: is told all of it, with the sum of what they told. MCP wants numbers that grow, so each is one more at
            least.
        projects: ids.

    Returns:
        Project → what is told by its spoke.
    """
    so_far = dict.fromkeys(projects, 0.0)
    if len(so_far) == 1:
        return dict.fromkeys(so_far, report)
    last = 0.0

    def of(project: str) -> Progress:
        async def tell(progress: float, _total: float | None = None, message: str | None = None, /) -> None:
            nonlocal last
            so_far[project] = max(so_far[project], progress)
            last = max(last + 1, sum(so_far.values()))
            await report(last, None, f"[{project}]" if message is None else labelled(message, f"[{project}] "))

        return tell

    return {project: of(project) for project in so_far}


async def ask_each(
    projects: Iterable[str], ask: Callable[[str], Awaitable[T]], width: int | None = None
) -> dict[str, T | ToolError]:
    """Ask every project at the same time.

    Args:
        projects: ids.
        ask: asks one.
        width: so many at a time; None: all.

    Returns:
        Project → its answer, or the ToolError that asking it raised; in the order of ``projects``.
    """
    wanted = list(projects)
    answers: dict[str, T | ToolError] = {}
    turns = asyncio.Semaphore(width or max(1, len(wanted)))

    async def one(project: str) -> None:
        try:
            async with turns:
                answers[project] = await ask(project)
        except ToolError as error:
            answers[project] = error
        except Exception:
            log.exception("asking %s failed", project)
            answers[project] = ToolError("internal_error", f"Asking {project} failed inside the hub; see its log.")

    if len(wanted) == 1:
        await one(wanted[0])  # the usual case, and no task is as quick as none
    else:
        async with anyio.create_task_group() as tasks:
            for project in wanted:
                tasks.start_soon(one, project)
    return {project: answers[project] for project in wanted}
