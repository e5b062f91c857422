"""The agent's own state: written in full; the agent goes on when it cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from codebuddy.agent import app as module
from codebuddy.agent.app import Agent, local_principal
from codebuddy.configuration import SpokeConfiguration
from codebuddy.tool import Call, ToolError


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    server = {"name": "x", "command": ["x"], "languages": {"*.py": "python"}}
    configuration = SpokeConfiguration.model_validate(
        {"project": "p", "profile": "python", "language_servers": [server]}
    )
    return Agent(configuration, tmp_path)


def test_the_state_has_the_link_and_each_language_server(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(module, "write_state", written.append)
    agent.on_link("connected", None)
    (state,) = written
    assert (state["project"], state["link"]) == ("p", "connected")
    assert [(one["name"], one["state"]) for one in state["language_servers"]] == [("x", "starting")]


async def answer(agent: Agent, name: str, **arguments: Any) -> Any:
    (tool,) = (tool for tool in agent.tools if tool.name == name)
    call = Call(local_principal("p"), cast("Any", None))
    return await tool.handler(call, tool.arguments.model_validate(arguments))


@pytest.mark.anyio
@pytest.mark.parametrize("gone", [False, True])
async def test_a_workspace_that_is_not_as_expected_is_told_and_not_used(tmp_path: Path, gone: bool) -> None:
    workspace = tmp_path / "workspace"
    if not gone:
        workspace.mkdir()
    configuration = {"project": "p", "profile": "python", "expect": {"marker": ".disk"}}
    agent = Agent(SpokeConfiguration.model_validate(configuration), workspace)
    status = agent.status()
    assert status.unavailable is not None
    assert status.unavailable.startswith("The directory of project 'p' ")
    for name, arguments in (("find_symbols", {"query": "x"}), ("run_command", {"argv": ["true"]})):
        with pytest.raises(ToolError) as refused:
            await answer(agent, name, **arguments)
        assert refused.value.code == "project_unavailable"
    assert (await answer(agent, "list_jobs")).jobs == []
    workspace.mkdir(exist_ok=True)
    (workspace / ".disk").touch()
    found = workspace.stat()
    assert (agent.status().mount, agent.status().unavailable) == (f"{found.st_dev}:{found.st_ino}", None)


def test_the_agent_survives_a_state_file_that_cannot_be_written(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(state: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_state", full)
    agent.on_link("connected", None)
    assert "No space left on device" in caplog.text
