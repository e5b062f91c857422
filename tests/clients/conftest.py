"""The clients, each in an empty home, in front of the deployed fleet; and the table of what they did.

CODEBUDDY_TEST_CLIENTS says which clients are tested: ``all``, or parts of their names, separated by commas. Without it,
those are tested that CI has the time for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from codebuddy_testing.clients import connected
from codebuddy_testing.deployment import Deployment
from codebuddy_testing.real_clients.agents import AGENTS
from codebuddy_testing.real_clients.client import Client
from codebuddy_testing.real_clients.libraries import COMMAND_LINES, FRAMEWORKS, SDKS
from codebuddy_testing.real_clients.packages import install
from codebuddy_testing.real_clients.scenarios import BASICS, SILENT, SILENT_SECONDS, START_SECONDS, Bench, Seen
from codebuddy_testing.real_clients.table import Outcome, Table
from codebuddy_testing.waiting import wait_until

SCENARIOS = ("list", "call", "error", "progress", "killed", "interrupted", "restart", "silent")
CLIENTS = [*AGENTS, *COMMAND_LINES, *SDKS, *FRAMEWORKS]
TABLE = pytest.StashKey[Table]()

SILENT_AT_ONCE = 4
"""How many clients wait for their silent runs at a time. They do nothing meanwhile."""


def chosen() -> list[Client]:
    wanted = os.environ.get("CODEBUDDY_TEST_CLIENTS", "")
    if wanted == "all":
        return CLIENTS
    if not wanted:
        return [client for client in CLIENTS if client.in_ci]
    return [client for client in CLIENTS if any(word in client.name for word in wanted.split(","))]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scenario(name): the column of the table")
    config.stash[TABLE] = Table(SCENARIOS)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the silent runs last: they are waited for together, while nothing else restarts the hub."""
    items.sort(key=lambda item: "silent_runs" in getattr(item, "fixturenames", ()))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if lines := list(config.stash[TABLE].lines()):
        terminalreporter.section("clients")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session", params=chosen(), ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    """A client, which is installed if it is not."""
    tested: Client = request.param
    install(tested.package)
    return tested


@pytest.fixture
def outcome(request: pytest.FixtureRequest, client: Client) -> Iterator[Outcome]:
    """Enters what comes of a test into the table."""
    scenario = next(request.node.iter_markers("scenario")).args[0]
    outcome = Outcome(request.config.stash[TABLE], client, scenario)
    outcome.begin()
    return outcome


@pytest.fixture(scope="session")
def tools(fleet: Deployment) -> frozenset[str]:
    """The names of the hub's tools, as the official SDK lists them."""

    async def ask() -> frozenset[str]:
        async with connected("http", fleet.port, fleet.token(), "legacy") as official:
            return frozenset(tool.name for tool in (await official.list_tools()).tools)

    return anyio.run(ask)


@pytest.fixture
def bench(fleet: Deployment, client: Client, tools: frozenset[str], tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The client in a new home."""
    wait_until(fleet.is_healthy, "the fleet is healthy")
    return Bench(fleet, client, tmp_path_factory.mktemp(client.package), tools)


@pytest.fixture(scope="session")
def basics(
    fleet: Deployment, client: Client, tools: frozenset[str], tmp_path_factory: pytest.TempPathFactory
) -> Seen:
    """What came of a session of a few short calls."""
    wait_until(fleet.is_healthy, "the fleet is healthy")
    return Bench(fleet, client, tmp_path_factory.mktemp(client.package), tools).finish(BASICS)


@pytest.fixture(scope="session")
def silent_runs(
    fleet: Deployment, tools: frozenset[str], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Seen]]]:
    """What comes of the silent runs, by the client's name: several clients wait at a time."""
    items: list[Any] = list(request.session.items)
    wanted = {one.name: one for item in items if (one := item.callspec.params.get("client")) is not None}
    wait_until(fleet.is_healthy, "the fleet is healthy")
    with ThreadPoolExecutor(SILENT_AT_ONCE) as pool:
        benches = {name: Bench(fleet, one, tmp_path_factory.mktemp(one.package), tools) for name, one in wanted.items()}
        yield {
            name: pool.submit(bench.finish, SILENT, START_SECONDS + 2 * SILENT_SECONDS)
            for name, bench in benches.items()
        }
