"""The hub's links to its spokes: which spokes are connected, and how one or several of them are asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
from pydantic import BaseModel

from codebuddy.schemas.code import CodeResult, paths_in
from codebuddy.text_safety import labelled, one_line
from codebuddy.tool import Call, Progress, ToolError
from codebuddy.wire.calls import BadAnswer, call_tool
from codebuddy.wire.jsonrpc import ConnectionLost, RemoteError, RpcConnection

GRACE_SECONDS = 15.0
"""How long a spoke may take, after its own timeout, to end what timed out and to report it."""

log = logging.getLogger(__name__)

R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")


@dataclass(eq=False)
class Link:
    """One connected spoke, of which the hub is the MCP client; ``close`` ends the link with a reason."""

    project: str
    connection: RpcConnection
    close: Callable[[str], Awaitable[None]]


class LinkLost(ToolError):
    """The link of a project broke before its spoke answered; whether the spoke did what it was asked to is unknown."""

    def __init__(self, project: str) -> None:
        super().__init__(
            "spoke_offline",
            f"The link to the spoke of {project} broke before it answered. It reconnects by itself; make status tells "
            "why it has not.",
        )


class Links:
    """The links of all connected spokes, at most one per project.

    ``claimed`` has the ids of the runs that go on although their link broke: somebody waits for them, or was told that
    they go on. ``stopping`` is set when the hub shuts down and no call is left.
    """

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}
        self._added = asyncio.Event()
        self.claimed: set[str] = set()
        self.stopping = anyio.Event()

    def get(self, project: str) -> Link | None:
        """Return the link of a project, or None while its spoke is not connected."""
        return self._links.get(project)

    async def add(self, link: Link) -> None:
        """Add a link, and close an older one of the same project.

        A spoke that lost its network connects again long before the hub notices that the first connection is dead.
        """
        older = self._links.get(link.project)
        self._links[link.project] = link
        self._added.set()
        self._added = asyncio.Event()
        log.info("link %s: connected", link.project)
        if older is not None:
            await older.close("another link of this project took its place")

    def remove(self, link: Link) -> None:
        """Remove a link that ended, unless a newer one has replaced it."""
        if self._links.get(link.project) is link:
            del self._links[link.project]
            log.info("link %s: disconnected", link.project)

    async def wait_for(self, project: str, seconds: float) -> bool:
        """Wait until a project has a link; return whether it has."""
        with anyio.move_on_after(seconds):
            while project not in self._links:
                await self._added.wait()
        return project in self._links

    async def call(
        self,
        project: str,
        tool: str,
        arguments: dict[str, Any],
        answer: type[R],
        *,
        report: Progress | None = None,
        timeout_seconds: float | None = None,
        detach_after: float | None = None,
    ) -> R:
        """Call a tool of a spoke and wait for its answer; cancelling the call cancels it in the spoke.

        A spoke may be hostile: whatever it answers, this raises nothing but ToolError. Without a timeout it waits as
        long as the spoke answers pings. After ``detach_after`` seconds the spoke may finish, but nobody waits for it.

        Raises:
            LinkLost: the spoke went away, or has hung.
            ToolError: the spoke's tool failed with it; ``spoke_offline``: it is not connected; ``timed_out``;
                ``bad_answer``: its answer does not fit the model.
        """
        link = self._links.get(project)
        if link is None:
            raise _offline(project)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await call_tool(link.connection, tool, arguments, answer, report, detach_after=detach_after)
        except TimeoutError:
            seconds = timeout_seconds if detach_after is None else detach_after
            raise ToolError("timed_out", f"The spoke of {project} did not answer {tool} in {seconds:.0f} s.") from None
        except ConnectionLost:
            self.remove(link)  # at once, so that whoever waits for the link waits for another one
            raise LinkLost(project) from None
        except (BadAnswer, RemoteError) as error:
            # one_line, so that a spoke cannot forge a line of the log
            log.warning("link %s: %s: %s", project, tool, one_line(str(error), 500))
            sentence = f"The spoke of {project} answered {tool} in a way that this hub does not know; run: make up."
            raise ToolError("bad_answer", sentence) from None


def _offline(project: str) -> ToolError:
    return ToolError(
        "spoke_offline",
        f"The spoke of {project} is not connected. It reconnects by itself; make status tells why it has not.",
    )


async def ask_spoke(
    links: Links,
    project: str,
    tool: str,
    arguments: dict[str, Any],
    answer: type[R],
    *,
    seconds: float = 0.0,
    paths: Callable[[R], Iterable[str]] = lambda _answer: (),
    report: Progress | None = None,
    detach_after: float | None = None,
) -> R:
    """Call a tool of a spoke, and refuse an answer that names a place outside the spoke's own project.

    Args:
        seconds: the timeout that the spoke itself applies.
        detach_after: takes the place of a timeout; see `Links.call`.
        paths: returns the workspace paths in an answer.

    Raises:
        ToolError: see `Links.call`; ``bad_answer`` when the answer names another project.
    """
    timeout = seconds + GRACE_SECONDS if detach_after is None else None
    result = await links.call(
        project, tool, arguments, answer, report=report, timeout_seconds=timeout, detach_after=detach_after
    )
    own, out = f"{project}/", "/../"
    if any((path != project and not path.startswith(own)) or out in f"{path}/" for path in paths(result)):
        raise ToolError("bad_answer", f"The spoke of {project} named places in another project; its answer is refused.")
    return result


def combined_progress(report: Progress, projects: Iterable[str]) -> dict[str, Progress]:
    """Combine the progress of several spokes, and label each line with its project if there is more than one.

    Returns:
        Project → the callback for its spoke. Each call reports the sum of the spokes' progress, or one more than the
        last report if that is greater: MCP requires numbers that grow.
    """
    progress_of = dict.fromkeys(projects, 0.0)
    if len(progress_of) == 1:
        return dict.fromkeys(progress_of, report)
    last = 0.0

    def callback(project: str) -> Progress:
        async def tell(progress: float, _total: float | None = None, message: str | None = None, /) -> None:
            nonlocal last
            progress_of[project] = max(progress_of[project], progress)
            last = max(last + 1, sum(progress_of.values()))
            await report(last, None, f"[{project}]" if message is None else labelled(message, f"[{project}] "))

        return tell

    return {project: callback(project) for project in progress_of}


async def ask_each(
    projects: Iterable[str], ask: Callable[[str], Awaitable[T]], width: int | None = None
) -> dict[str, T | ToolError]:
    """Ask several projects concurrently, at most ``width`` at a time (None: all).

    Returns:
        Project → its answer, or the ToolError that asking it raised; in the order of ``projects``.
    """
    wanted = list(projects)
    answers: dict[str, T | ToolError] = {}
    semaphore = asyncio.Semaphore(width or max(1, len(wanted)))

    async def one(project: str) -> None:
        try:
            async with semaphore:
                answers[project] = await ask(project)
        except ToolError as error:
            answers[project] = error
        except Exception:
            log.exception("asking %s failed", project)
            answers[project] = ToolError("internal_error", f"Asking {project} failed inside the hub; see its log.")

    if len(wanted) == 1:
        await one(wanted[0])  # the usual case; a task would only add delay
    else:
        async with anyio.create_task_group() as tasks:
            for project in wanted:
                tasks.start_soon(one, project)
    return {project: answers[project] for project in wanted}


C = TypeVar("C", bound=CodeResult)


async def ask_project(
    links: Links,
    call: Call,
    project: str,
    tool: str,
    sent: dict[str, Any],
    *,
    result: type[C],
    seconds: float,
    **empty: Any,
) -> C:
    """Ask a spoke a question about code; if it is offline, the answer is incomplete, with the fields of ``empty``.

    Raises:
        ToolError: what asking it raised otherwise.
    """
    try:
        return await ask_spoke(
            links, project, tool, sent, result, seconds=seconds, paths=paths_in, report=call.progress
        )
    except ToolError as error:
        if error.code != "spoke_offline":
            raise
        return result(complete=False, reason="spoke_offline", message=error.message, **empty)


async def ask_projects(
    links: Links,
    call: Call,
    tool: str,
    sent: Mapping[str, dict[str, Any]],
    result: type[R],
    *,
    seconds: float = 0.0,
    paths: Callable[[R], Iterable[str]] = lambda _answer: (),
    accept: Callable[[str, R], R] = lambda _project, answer: answer,
) -> dict[str, R | ToolError]:
    """Call a tool of several spokes at the same time, and report their progress as one.

    Args:
        sent: project → arguments.
        seconds: the time-out that the spokes were given.
        paths: gives the workspace paths in an answer, which must be in its own project.
        accept: checks a project's answer further; may raise ToolError.

    Returns:
        Project → its answer, or why there is none; in the order of ``sent``.
    """
    reports = combined_progress(call.progress, sent)

    async def ask(project: str) -> R:
        answer = await ask_spoke(
            links, project, tool, sent[project], result, seconds=seconds, paths=paths, report=reports[project]
        )
        return accept(project, answer)

    return await ask_each(sent, ask)


def raise_only_refusal(answers: Mapping[str, Any]) -> None:
    """Raise the refusal of a single project: it concerns the call. That its spoke is offline is a result instead."""
    only = next(iter(answers.values())) if len(answers) == 1 else None
    if isinstance(only, ToolError) and only.code != "spoke_offline":
        raise only
