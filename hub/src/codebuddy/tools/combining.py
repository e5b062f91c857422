"""One question to several projects, and one answer of theirs; each part says for itself what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter

from codebuddy.files.cursors import seal, unseal
from codebuddy.files.paths import WorkspacePath
from codebuddy.links.fanout import ask_each, ask_spoke, together
from codebuddy.links.registry import Links
from codebuddy.schemas.code import CodeResult, Reason, paths_in, reason_of
from codebuddy.tool import Call, Result, ToolError

__all__ = ["Combining", "ProjectPart"]

C = TypeVar("C", bound=CodeResult)

ANSWER_CHARACTERS = 600_000
"""The most characters in the parts of a combined answer; the first part is given in any case."""

_NOT_THE_QUESTION = {"cursor", "limit", "timeout_seconds", "projects"}
_LATER = "Given with the next pages; give the cursor back."
_WHERE: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


class ProjectPart(Result):
    """How complete one project's part of an answer is: one that is still indexing taints no other.

    ``cursor`` goes on in this project alone.
    """

    project: str
    complete: bool
    reason: Reason | None = None
    message: str | None = None
    cursor: str | None = None
    checked_files: int | None = None


class Combining:
    """Sends a question to the spokes of several projects at the same time, and joins what they answer.

    Args:
        links: the links to them.
        projects: ids of all configured projects.
    """

    def __init__(self, links: Links, projects: frozenset[str]) -> None:
        self._links, self._projects = links, projects

    async def ask(self, call: Call, tool: str, arguments: Any, result: type[C]) -> tuple[list[C], dict[str, Any]]:
        """Ask each project that is meant.

        Args:
            call: whose question it is.
            tool: the tool's name at the spokes.
            arguments: those of the tool; with projects or a path, a cursor, a limit and a time-out.
            result: the model of one project's answer.

        Returns:
            The answers, and what all combined answers have in common: `CodeResult`, and ``projects``.

        Raises:
            ToolError: ``unknown_project``, ``invalid_cursor``; of a single project, what asking it raised.
        """
        chosen = self._chosen(call, arguments)

        def question() -> tuple[str, dict[str, Any]]:
            return tool, arguments.model_dump(exclude=_NOT_THE_QUESTION)

        starts = _starts(chosen, question, arguments.cursor)
        sent = arguments.model_dump(exclude_unset=True, exclude={"projects", "cursor", "limit"})
        # Each gives its share: what one gives in vain would have to be asked for again.
        share = max(1, arguments.limit // max(1, len(starts)))
        reports = together(call.progress, starts)

        async def ask(project: str) -> C:
            cursor = {"cursor": starts[project]} if starts[project] else {}
            return await ask_spoke(
                self._links,
                project,
                tool,
                {**sent, **cursor, "limit": share},
                result,
                seconds=arguments.timeout_seconds,
                paths=paths_in,
                report=reports[project],
            )

        answers = await ask_each(starts, ask)
        for answer in answers.values():
            if isinstance(answer, ToolError) and answer.code != "spoke_offline" and len(starts) == 1:
                raise answer
        later = _postponed(answers)
        for project in later:
            parted = {"complete": False, "reason": "truncated", "message": _LATER, "cursor": starts[project] or ""}
            answers[project] = result.model_validate({**later[project], **parted})
        given = [answer for answer in answers.values() if not isinstance(answer, ToolError)]
        return given, _rest(answers, lambda left: seal(question(), left))

    def _chosen(self, call: Call, arguments: Any) -> list[str]:
        if getattr(arguments, "path", None) is None:
            return call.principal.choose(arguments.projects, self._projects)
        project = WorkspacePath.parse(arguments.path).project
        if arguments.projects is not None and arguments.projects != [project]:
            raise ToolError("invalid_arguments", "Give path or projects: the path names its project already.")
        call.principal.require_project(project, self._projects)
        return [project]


def _starts(chosen: list[str], question: Callable[[], object], cursor: str | None) -> Mapping[str, str | None]:
    """Give the projects to ask now, each with its own cursor: without one all that are meant, from their beginning."""
    if cursor is None:
        return dict.fromkeys(chosen)
    left: dict[str, str] = unseal(question(), cursor, _WHERE)
    if not left or not left.keys() <= set(chosen):
        raise ToolError("invalid_cursor", "The cursor goes on in projects that are not asked for now.")
    return left


def _postponed(answers: Mapping[str, CodeResult | ToolError]) -> dict[str, dict[str, Any]]:
    """Give the projects whose parts would make a combined answer too long, each with its answer without its items."""
    room, later = ANSWER_CHARACTERS, dict[str, dict[str, Any]]()
    if len(answers) == 1:
        return later
    for number, (project, answer) in enumerate(answers.items()):
        if isinstance(answer, ToolError):
            continue
        room -= len(answer.model_dump_json())
        if room < 0 and number > 0:
            later[project] = {
                name: [] if isinstance(value, list) else value for name, value in answer if name != "checked_files"
            } | ({"checked_files": 0} if "checked_files" in type(answer).model_fields else {})
    return later


def _rest(answers: dict[str, C | ToolError], cursor_for: Callable[[dict[str, str]], str]) -> dict[str, Any]:
    """Give what all combined answers have in common; of several reasons, that of the first project."""
    parts, left = [], {}
    for project, answer in answers.items():
        if isinstance(answer, ToolError):
            parts.append(ProjectPart(project=project, complete=False, reason=reason_of(answer), message=answer.message))
            continue
        part = ProjectPart(
            project=project,
            complete=answer.complete,
            reason=answer.reason,
            message=answer.message,
            checked_files=getattr(answer, "checked_files", None),
        )
        if answer.cursor is not None:
            left[project] = answer.cursor
            part.cursor = cursor_for({project: answer.cursor})
        parts.append(part)
    lacking = next((part for part in parts if not part.complete), None)
    return {
        "complete": lacking is None,
        "reason": lacking.reason if lacking else None,
        "message": lacking.message if lacking else None,
        "cursor": cursor_for(left) if left else None,
        "projects": parts,
    }
