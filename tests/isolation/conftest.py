"""A check after all attacks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from codebuddy_testing.deployment import Deployment


@pytest.fixture(scope="package", autouse=True)
def no_container_restarts(fleet: Deployment) -> Iterator[None]:
    """No attack from a spoke ends a container: one that restarts loses its runs."""
    before = started(fleet)
    yield
    assert started(fleet) == before


def started(fleet: Deployment) -> dict[str, str]:
    return {part: fleet.started_at(part) for part in fleet.inspected}
