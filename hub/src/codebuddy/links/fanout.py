"""The same question to many projects at once; one slow or dead spoke delays nobody and fails nobody."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from codebuddy.errors import ToolError

__all__ = ["ask_each"]

T = TypeVar("T")

log = logging.getLogger(__name__)


async def ask_each(projects: Iterable[str], ask: Callable[[str], Awaitable[T]]) -> dict[str, T | ToolError]:
    """Ask every project at the same time.

    Returns:
        Project → its answer, or the ToolError that asking it raised; in the order of ``projects``.
    """
    wanted = list(projects)
    answers: dict[str, T | ToolError] = {}

    async def one(project: str) -> None:
        try:
            answers[project] = await ask(project)
        except ToolError as error:
            answers[project] = error
        except Exception:
            log.exception("asking %s failed", project)
            answers[project] = ToolError("internal_error", f"Asking {project} failed inside the hub; see its log.")

    async with anyio.create_task_group() as tasks:
        for project in wanted:
            tasks.start_soon(one, project)
    return {project: answers[project] for project in wanted}
