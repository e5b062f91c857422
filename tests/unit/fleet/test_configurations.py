"""What the planner writes is what hub and agent read: the two are written apart, and meet here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.codebuddy_fleet.declaration import project_problems
from ansible.module_utils.codebuddy_fleet.plan import Plan

from codebuddy.configuration import HubConfiguration, SpokeConfiguration
from codebuddy.language.config import read_server_configs

PlanOf = Callable[[dict[str, Any]], Plan]
SERVER: dict[str, Any] = {"name": "x", "command": ["x"], "languages": {"*.x": "x"}}


def written(plan: Plan, part: str) -> Any:
    (content,) = (file.content for path, file in plan.files.items() if path.endswith(f"/{part}/config.json"))
    return json.loads(content)


def test_the_hub_reads_what_the_planner_writes(declared: dict[str, Any], plan_of: PlanOf) -> None:
    plan = plan_of(declared)
    read = HubConfiguration.model_validate(written(plan, "hub"))
    assert read.model_dump() == written(plan, "hub")
    assert sorted(read.projects) == ["api", "web"]
    networks = plan.containers["unitfleet-hub"].networks
    assert read.client.address == networks["unitfleet-hub"]["address"]
    assert {name: project.listen for name, project in read.projects.items()} == {
        name: networks[f"unitfleet-{name}"]["address"] for name in ("api", "web")
    }


def test_the_agent_reads_what_the_planner_writes(declared: dict[str, Any], plan_of: PlanOf) -> None:
    content = written(plan_of(declared), "api")
    read = SpokeConfiguration.model_validate(content)
    assert read.model_dump() == content
    (server,) = read_server_configs(read.language_servers, read.environment)
    assert (server.name, server.command) == ("pylsp", ["pylsp"])


@pytest.mark.parametrize(
    ("servers", "good"),
    [
        ([SERVER], True),
        ([{**SERVER, "ready": "server_status", "settings": {"a": 1}, "environment": {"A": "1"}}], True),
        ([SERVER, {**SERVER, "name": "y"}], True),
        ([SERVER, SERVER], False),
        ([{**SERVER, "settings": [1]}], False),
        ([{**SERVER, "initialization_options": "x"}], False),
        ([{**SERVER, "ready": "soon"}], False),
        ([{**SERVER, "command": []}], False),
        ([{**SERVER, "command": "x"}], False),
        ([{**SERVER, "languages": {}}], False),
        ([{**SERVER, "languages": ["*.x"]}], False),
        ([{**SERVER, "colour": "red"}], False),
        ([{**SERVER, "environment": {"A": ["1"]}}], False),
    ],
)
def test_a_declaration_that_passes_is_one_that_the_agent_takes(servers: list[dict[str, Any]], good: bool) -> None:
    project = {"id": "api", "path": "/srv/api", "profile": "python", "language_servers": servers}
    assert (project_problems([project], ["python"]) == []) is good
    if good:
        read_server_configs(servers)
    else:
        with pytest.raises(ValueError, match="language"):
            read_server_configs(servers)
