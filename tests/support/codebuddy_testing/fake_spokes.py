"""Fake spokes with scripted answers, without a network, for tests of the hub's tools."""

from __future__ import annotations

from typing import Any

from codebuddy.hub.spokes import Links
from codebuddy.tool import ToolError


class FakeSpokes(Links):
    """Links to fake spokes.

    Args:
        answers: project → its spoke's answer to every call; a ToolError is raised, and a function is awaited with the
            call's arguments and the other keywords of `Links.call`.
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
