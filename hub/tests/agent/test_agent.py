"""The agent's own state: written in full; the agent goes on when it cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent import app as module
from codebuddy.agent.app import Agent
from codebuddy.configuration import SpokeConfiguration


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


def test_the_agent_survives_a_state_file_that_cannot_be_written(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(state: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_state", full)
    agent.on_link("connected", None)
    assert "No space left on device" in caplog.text
