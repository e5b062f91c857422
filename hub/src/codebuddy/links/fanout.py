"""A question to one spoke, and the same to many at once; one slow or dead spoke delays nobody and fails nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import anyio
from pydantic import BaseModel

from codebuddy.links.registry import Links
from codebuddy.text_safety import labelled
from codebuddy.tool import Progress, ToolError

__all__ = ["ask_each", "ask_spoke", "require_own", "together"]

T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)

ANSWER_SECONDS = 15.0
"""So long after its time-out a spoke may take to end what timed out, and to say so."""

log = logging.getLogger(__name__)


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
