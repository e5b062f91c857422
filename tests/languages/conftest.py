"""The fleet of the scenario ``languages``, each project filled with its cases; the table is printed at the end."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from mcp.client.client import Client

from codebuddy_testing.case_projects import PROFILES, folder_of, refill
from codebuddy_testing.clients import connected
from codebuddy_testing.deployment import Deployment
from codebuddy_testing.language_cases import texts_of
from codebuddy_testing.matrix_table import Table

collect_ignore = ["cases", "expected"]

TABLE = pytest.StashKey[Table]()


def chosen_projects() -> list[str]:
    """Give the projects of the fleet, or those of them that CODEBUDDY_TEST_PROJECTS names."""
    return os.environ.get("CODEBUDDY_TEST_PROJECTS", " ".join(PROFILES)).split()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def fleet() -> Iterator[Deployment]:
    """The fleet, every project of it with just the files of its cases, and all of it ready."""
    deployment = Deployment()
    for project in chosen_projects():
        refill(deployment.path(project), folder_of(PROFILES[project]))
    yield deployment
    deployment.engine.close()


@pytest.fixture
async def client(fleet: Deployment) -> AsyncIterator[Client]:
    """The official SDK's client over WebSocket, with a token for everything."""
    async with connected("websocket", fleet.port, fleet.token(), "legacy") as connected_client:
        yield connected_client


@pytest.fixture(scope="session")
def texts() -> dict[str, dict[str, str]]:
    """The texts of the case projects, by profile and path."""
    return {profile: texts_of(folder_of(profile)) for profile in set(PROFILES.values())}


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """The table of tools, servers and cases, which the run fills and prints."""
    return pytestconfig.stash[TABLE]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = Table(list(PROFILES))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = config.stash[TABLE].lines()
    if lines:
        terminalreporter.section("language matrix")
        terminalreporter.write("\n".join(lines) + "\n")
