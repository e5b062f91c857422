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

SILENT_AT_ONCE = 5
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


def scenario_of(item: pytest.Item) -> str:
    """Return the column of the table that a test fills, or nothing for a test of another kind."""
    return next((str(mark.args[0]) for mark in item.iter_markers("scenario")), "")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what restarts the hub first: the silent runs go on beside all other tests, and are asked for last."""
    places = {"restart": 0, "silent": 2}
    items.sort(key=lambda item: places.get(scenario_of(item), 1))


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
def outcome(request: pytest.FixtureRequest, client: Client) -> Outcome:
    """Enters what comes of a test into the table."""
    outcome = Outcome(request.config.stash[TABLE], client, scenario_of(request.node))
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
def silent_runs(
    fleet: Deployment, tools: frozenset[str], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Seen]]]:
    """What comes of the silent runs, by the client's name: several clients wait at a time."""
    silent = [item for item in request.session.items if scenario_of(item) == "silent"]
    wanted: list[Client] = [item.callspec.params["client"] for item in silent]  # type: ignore[attr-defined]
    wait_until(fleet.is_healthy, "the fleet is healthy")
    for one in wanted:
        install(one.package)
    with ThreadPoolExecutor(SILENT_AT_ONCE) as pool:
        benches = {one.name: Bench(fleet, one, tmp_path_factory.mktemp(one.package), tools) for one in wanted}
        yield {
            name: pool.submit(bench.finish, SILENT, START_SECONDS + 2 * SILENT_SECONDS)
            for name, bench in benches.items()
        }


@pytest.fixture(scope="session")
def basics(
    fleet: Deployment,
    client: Client,
    tools: frozenset[str],
    tmp_path_factory: pytest.TempPathFactory,
    silent_runs: dict[str, Future[Seen]],
) -> Seen:
    """What came of a session of a few short calls; the silent runs have begun, and go on meanwhile."""
    wait_until(fleet.is_healthy, "the fleet is healthy")
    return Bench(fleet, client, tmp_path_factory.mktemp(client.package), tools).finish(BASICS)
