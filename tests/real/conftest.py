"""The projects' sources, in the deployed fleet and beside it, and the table of what came of their tests."""

from __future__ import annotations

import os
from typing import Any

import pytest

from codebuddy_testing.deployment import Deployment
from codebuddy_testing.real_bench import TABLE, Bench
from codebuddy_testing.real_projects import PROJECTS


def chosen() -> list[str]:
    wanted = os.environ.get("CODEBUDDY_TEST_PROJECTS", "all")
    return [name for name in PROJECTS if wanted == "all" or name in wanted.split(",")]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = {}


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if rows := config.stash[TABLE]:
        terminalreporter.section("passed, failed, skipped")
        terminalreporter.write_line(f"{'':12}{'through the hub':24}by hand")
        for name, (through_hub, by_hand) in rows.items():
            terminalreporter.write_line(f"{name:12}{through_hub:24}{by_hand}")


@pytest.fixture(params=chosen())
def bench(request: pytest.FixtureRequest, fleet: Deployment) -> Bench:
    """A project whose sources are in place."""
    bench = Bench(fleet, request.param)
    bench.fill()
    return bench
