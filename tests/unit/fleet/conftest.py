"""A declaration to vary, and the recorded answers of an engine."""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.codebuddy_fleet.declaration import parse_fleet
from ansible.module_utils.codebuddy_fleet.plan import Plan
from ansible.module_utils.codebuddy_fleet.planner import render

ROOT = Path(__file__).parents[3]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "engine: needs a container engine that answers")


@pytest.fixture(scope="session")
def recorded() -> dict[str, Any]:
    """The answers of Docker 20.10 (API 1.41) about a fleet that was created from the declaration in the same file."""
    answers: dict[str, Any] = json.loads((Path(__file__).parent / "recorded" / "engine_api_1_41.json").read_text())
    return answers


@pytest.fixture
def declared(recorded: dict[str, Any]) -> dict[str, Any]:
    """A copy of the recorded declaration: ``fleet``, and ``projects`` (api, web)."""
    return copy.deepcopy(recorded["declaration"])


@pytest.fixture
def plan_of() -> Callable[[dict[str, Any]], Plan]:
    def compute(declaration: dict[str, Any]) -> Plan:
        return render(parse_fleet(declaration["fleet"], declaration["projects"]))

    return compute


@pytest.fixture(scope="session")
def filter_plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("projects_filter", ROOT / "roles/fleet/filter_plugins/projects.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
