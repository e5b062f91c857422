"""Clients of the deployed fleet, and a directory for the files of a test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from mcp.client.client import Client

from codebuddy_testing.clients import Connect, connected, connected_over_stdio
from codebuddy_testing.deployment import Deployment


@pytest.fixture
def connect(fleet: Deployment) -> Connect:
    """Connects a client over ``websocket``, ``http`` or ``stdio``, in a protocol era."""

    def open_client(
        transport: str = "websocket", mode: str = "legacy", token: str | None = None
    ) -> AbstractAsyncContextManager[Client]:
        if transport == "stdio":
            return connected_over_stdio(f"{fleet.name}-hub", mode)
        return connected(transport, fleet.port, token or fleet.token(), mode)

    return open_client


@pytest.fixture
async def client(connect: Connect) -> AsyncIterator[Client]:
    """A client over WebSocket with a token for all projects and scopes."""
    async with connect() as connected_client:
        yield connected_client


@pytest.fixture
def scratch(fleet: Deployment) -> Iterator[Callable[[str], Path]]:
    """Makes an empty directory in a project, by project id; it is removed after the test."""
    made: list[Path] = []

    def make(project: str) -> Path:
        directory = fleet.path(project) / "scratch-e2e"
        fleet.run(project, "mkdir", "/workspace/scratch-e2e")
        made.append(directory)
        return directory

    yield make
    for directory in made:
        shutil.rmtree(directory, ignore_errors=True)
