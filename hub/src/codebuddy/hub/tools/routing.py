"""How the hub's tools ask the spokes: that of one project, or those of many at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from codebuddy.hub.spokes import Links, ask_each, ask_spoke, combined_progress
from codebuddy.schemas.code import CodeResult, paths_in
from codebuddy.tool import Call, ToolError

C = TypeVar("C", bound=CodeResult)
R = TypeVar("R", bound=BaseModel)


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
    width: int | None = None,
) -> dict[str, R | ToolError]:
    """Call a tool of several spokes at the same time, and report their progress as one.

    Args:
        sent: project → arguments.
        seconds: the time-out that the spokes were given.
        paths: gives the workspace paths in an answer, which must be in its own project.
        accept: checks a project's answer further; may raise ToolError.
        width: projects at a time; None: all.

    Returns:
        Project → its answer, or why there is none; in the order of ``sent``.
    """
    reports = combined_progress(call.progress, sent)

    async def ask(project: str) -> R:
        answer = await ask_spoke(
            links, project, tool, sent[project], result, seconds=seconds, paths=paths, report=reports[project]
        )
        return accept(project, answer)

    return await ask_each(sent, ask, width)


def raise_only_refusal(answers: Mapping[str, Any]) -> None:
    """Raise the refusal of a single project: it concerns the call. That its spoke is offline is a result instead."""
    only = next(iter(answers.values())) if len(answers) == 1 else None
    if isinstance(only, ToolError) and only.code != "spoke_offline":
        raise only
