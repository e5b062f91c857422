"""What holds for every attack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from codebuddy_testing.deployment import Deployment


@pytest.fixture(scope="package", autouse=True)
def no_attack_ends_a_spoke(fleet: Deployment) -> Iterator[None]:
    """Whatever is tried in a spoke, its agent lives on: one that ends and comes back loses what it was doing."""
    before = started(fleet)
    yield
    assert started(fleet) == before


def started(fleet: Deployment) -> dict[str, str]:
    """Give when each container was started last."""
    return {part: fleet.container(part).attrs["State"]["StartedAt"] for part in fleet.inspected}
