"""The fleet of the scenario ``languages``, each project filled with its cases; the table is printed at the end."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client

from codebuddy_testing.clients import connected
from codebuddy_testing.deployment import Deployment
from codebuddy_testing.language_cases import Case, texts_of
from codebuddy_testing.matrix_table import Table

HERE = Path(__file__).parent
collect_ignore = ["cases", "expected"]

PROFILES = {
    "ts-tsc": "typescript",
    "ts-tls": "typescript",
    "py-pylsp": "python",
    "py-basedpyright": "python",
    "py-ty": "python",
    "py-mixed": "python",
    "rust": "rust",
    "go": "go",
    "cpp": "cpp",
}
TABLE = pytest.StashKey[Table]()


def cases_of(profile: str) -> list[Case]:
    """Read what is right in the project of a profile."""
    found = importlib.util.spec_from_file_location(f"expected_{profile}", HERE / "expected" / f"{profile}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return list(module.CASES)


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
        refill(deployment.path(project), HERE / "cases" / PROFILES[project])
    yield deployment
    deployment.engine.close()


def refill(target: Path, source: Path) -> None:
    """Make a project's directory what its cases are; files that are right already are not touched."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    there = {path.relative_to(target) for path in target.rglob("*") if path.is_file() or path.is_symlink()}
    for extra in there - wanted:
        (target / extra).unlink()
    owner = target.stat()
    for path in sorted(wanted):
        data = (source / path).read_bytes()
        if path in there and (target / path).read_bytes() == data:
            continue
        for directory in reversed(path.parents[:-1]):
            if not (target / directory).is_dir():
                (target / directory).mkdir()
                shutil.chown(target / directory, owner.st_uid, owner.st_gid)
        (target / path).write_bytes(data)
        shutil.chown(target / path, owner.st_uid, owner.st_gid)


@pytest.fixture
async def client(fleet: Deployment) -> AsyncIterator[Client]:
    """The official SDK's client over WebSocket, with a token for everything."""
    async with connected("websocket", fleet.port, fleet.token(), "legacy") as connected_client:
        yield connected_client


@pytest.fixture(scope="session")
def texts() -> dict[str, dict[str, str]]:
    """The texts of the case projects, by profile and path."""
    return {profile: texts_of(HERE / "cases" / profile) for profile in set(PROFILES.values())}


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
