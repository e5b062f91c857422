"""restart_language_server at the hub: reports each project's servers, and refuses a name that none has."""

from __future__ import annotations

from typing import Any

import pytest

from codebuddy.hub.tools.projects import Restarted, RestartInProjects, server_tools
from codebuddy.tool import LOCAL, Call, Principal, ToolError
from codebuddy_testing.fake_spokes import FakeSpokes

pytestmark = pytest.mark.anyio

UNKNOWN = ToolError("unknown_server", "project-b has no language server 'ty'; it has: pylsp.")
AWAY = ToolError("spoke_offline", "The spoke of project-c is not connected.")


def states(*states: tuple[str, str, str | None]) -> dict[str, Any]:
    return {"language_servers": [{"name": name, "state": state, "reason": why} for name, state, why in states]}


async def restart(spokes: FakeSpokes, call: Call | None = None, **arguments: Any) -> Restarted:
    (tool,) = server_tools(spokes, frozenset(spokes.answers))
    answer = await tool.handler(call or Call(LOCAL), RestartInProjects(**arguments))
    assert isinstance(answer, Restarted)
    return answer


async def test_each_project_reports_its_servers_or_an_error() -> None:
    answers = {"project-a": states(("ty", "ready", None)), "project-b": UNKNOWN, "project-c": AWAY}
    spokes = FakeSpokes(answers)
    answer = await restart(spokes, name="ty")
    assert {arguments["name"] for _, arguments in spokes.asked} == {"ty"}
    assert answer.lean()["projects"] == {
        "project-a": {"language_servers": ["ty"]},
        "project-b": {
            "reason": "unknown_server",
            "message": "project-b has no language server 'ty'; it has: pylsp.",
        },
        "project-c": {"reason": "spoke_offline", "message": "The spoke of project-c is not connected."},
    }
    assert [part.reason for part in answer.projects] == [None, "unknown_server", "spoke_offline"]


async def test_why_a_server_is_not_ready_is_said() -> None:
    spokes = FakeSpokes({"project-a": states(("rust-analyzer", "degraded", "no Cargo.toml"))})
    servers = (await restart(spokes)).lean()["projects"]["project-a"]["language_servers"]
    assert servers == ["rust-analyzer: degraded, no Cargo.toml"]


async def test_a_name_that_no_project_has_is_refused() -> None:
    with pytest.raises(ToolError, match="it has: pylsp"):
        await restart(FakeSpokes({"project-a": UNKNOWN, "project-b": UNKNOWN}), name="ty")


async def test_only_projects_that_the_token_covers_are_restarted() -> None:
    spokes = FakeSpokes({"project-a": states(), "project-b": states()})
    call = Call(Principal("x", frozenset({"project-a"}), frozenset({"run"})))
    assert [part.project for part in (await restart(spokes, call)).projects] == ["project-a"]
    with pytest.raises(ToolError) as refused:
        await restart(spokes, call, projects=["project-b"])
    assert refused.value.code == "unknown_project"
    assert [project for project, _ in spokes.asked] == ["project-a"]
