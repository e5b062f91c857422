"""The hub's code tools: what a spoke says is passed on only where it speaks of its own project."""

from __future__ import annotations

from typing import Any

import pytest

from codebuddy.access import LOCAL
from codebuddy.code.models import DiagnosticsArguments, LocationsResult, PlaceArguments
from codebuddy.code.symbol_models import ReferencesArguments
from codebuddy.errors import ToolError
from codebuddy.links.registry import Links
from codebuddy.tool import Call
from codebuddy.tools.code import code_tools

pytestmark = pytest.mark.anyio

PLACE: dict[str, Any] = {"line": 1, "column": 1, "end_line": 1, "end_column": 2}


class Spokes(Links):
    """Links whose spokes say what they are told to say."""

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__(answers)
        self.answers = answers

    async def call(self, project: str, tool: str, arguments: Any, answer: Any, **_: Any) -> Any:
        said = self.answers[project]
        if isinstance(said, ToolError):
            raise said
        return answer.model_validate(said)


async def ask(name: str, answers: dict[str, Any], arguments: Any) -> Any:
    tools = {tool.name: tool for tool in code_tools(Spokes(answers), frozenset(answers))}
    return await tools[name].handler(Call(LOCAL), arguments)


async def test_a_spoke_does_not_speak_of_another_project() -> None:
    foreign = {"complete": True, "locations": [{"path": "project-b/src/owned.py", **PLACE}]}
    with pytest.raises(ToolError, match="another project"):
        await ask("find_references", {"project-a": foreign}, ReferencesArguments(path="project-a/x.py", symbol="x"))


async def test_a_place_outside_all_projects_is_passed_on_as_such() -> None:
    library = {"complete": True, "locations": [{"path": "/usr/lib/x.py", "external": True, **PLACE}]}
    found = await ask("find_definition", {"project-a": library}, PlaceArguments(path="project-a/x.py", symbol="x"))
    assert isinstance(found, LocationsResult)
    assert found.locations[0].external


async def test_one_spoke_that_answers_nonsense_spoils_no_other_diagnostics() -> None:
    good = {"complete": True, "diagnostics": [], "checked_files": 3}
    bad = ToolError("bad_answer", "The spoke of project-b makes no sense.")
    away = ToolError("spoke_offline", "The spoke of project-c is not connected.")
    found = await ask("diagnostics", {"project-a": good, "project-b": bad, "project-c": away}, DiagnosticsArguments())
    assert not found.complete
    assert {part.project: (part.complete, part.reason) for part in found.projects} == {
        "project-a": (True, None),
        "project-b": (False, "server_error"),
        "project-c": (False, "spoke_offline"),
    }
