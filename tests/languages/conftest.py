"""The fleet of the ``languages`` scenario, each project filled with its cases; prints the matrix at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from mcp.client.client import Client

from codebuddy_testing.case_projects import PROFILES, case_directory, chosen_projects, reset_project
from codebuddy_testing.clients import connected
from codebuddy_testing.deployment import Deployment
from codebuddy_testing.language_cases import texts_of
from codebuddy_testing.matrix_table import Table

collect_ignore = ["cases", "expected"]

TABLE = pytest.StashKey[Table]()


@pytest.fixture(scope="session")
def fleet() -> Iterator[Deployment]:
    """The fleet; each project holds only the files of its case project."""
    deployment = Deployment()
    for project in chosen_projects():
        reset_project(deployment.path(project), case_directory(PROFILES[project]))
    yield deployment
    deployment.engine.close()


@pytest.fixture
async def client(fleet: Deployment) -> AsyncIterator[Client]:
    """A client over WebSocket with a token for all projects and scopes."""
    async with connected("websocket", fleet.port, fleet.token(), "legacy") as connected_client:
        yield connected_client


@pytest.fixture(scope="session")
def texts() -> dict[str, dict[str, str]]:
    """The files of the case projects, by profile and path."""
    return {profile: texts_of(case_directory(profile)) for profile in set(PROFILES.values())}


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """The language matrix, which the tests fill."""
    return pytestconfig.stash[TABLE]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = Table(list(PROFILES))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = config.stash[TABLE].lines()
    if lines:
        terminalreporter.section("language matrix")
        terminalreporter.write("\n".join(lines) + "\n")
