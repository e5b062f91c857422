"""What the planner writes is what hub and agent read: the two are written apart, and meet here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.codebuddy_fleet.declaration import project_problems
from ansible.module_utils.codebuddy_fleet.plan import Plan

from codebuddy.configuration import HubConfiguration, JournalLimits, SpokeConfiguration
from codebuddy.language.config import read_server_configs

ROOT = Path(__file__).parents[3]
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


def test_the_hub_reads_the_limits_of_the_journal(declared: dict[str, Any], plan_of: PlanOf) -> None:
    read = HubConfiguration.model_validate(written(plan_of(declared), "hub"))
    assert read.journal == JournalLimits(max_bytes=64 * 2**20, max_age_seconds=7 * 86400)


def test_without_a_word_of_the_journal_the_hub_has_the_inventorys_defaults(
    declared: dict[str, Any], plan_of: PlanOf
) -> None:
    older = written(plan_of(declared), "hub")
    del older["journal"]
    settings = yaml.safe_load((ROOT / "inventory/defaults.yml").read_text())["all"]["vars"]
    declared["fleet"] |= {name: settings[f"codebuddy_{name}"] for name in ("journal_size", "journal_age")}
    newer = written(plan_of(declared), "hub")
    assert HubConfiguration.model_validate(older) == HubConfiguration.model_validate(newer)


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
