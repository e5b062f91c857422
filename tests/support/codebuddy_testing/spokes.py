"""Spokes that say what they are told to say, without a network: for what the hub makes of their answers."""

from __future__ import annotations

from typing import Any

from codebuddy.hub.spokes import Links
from codebuddy.tool import ToolError

__all__ = ["Spokes"]


class Spokes(Links):
    """Links to such spokes.

    Args:
        answers: project → what its spoke answers to everything; a ToolError is raised, and a function is awaited with
            the arguments and what else `Links.call` was given.
    """

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__()
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def call(self, project: str, tool: str, arguments: Any, answer: Any, **more: Any) -> Any:
        self.asked.append((project, arguments))
        said = self.answers[project]
        if callable(said):
            said = await said(arguments, more)
        if isinstance(said, ToolError):
            raise said
        return answer.model_validate(said)
