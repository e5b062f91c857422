"""For all tests: the roles' module utilities under their Ansible name, and the deployed fleet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ansible.module_utils
import pytest

ROOT = Path(__file__).parents[1]

for folder in sorted(ROOT.glob("roles/*/module_utils")):
    ansible.module_utils.__path__.append(str(folder))

from codebuddy_testing.deployment import Deployment  # noqa: E402


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def fleet() -> Iterator[Deployment]:
    """The fleet that the scenario deployed."""
    deployment = Deployment()
    yield deployment
    deployment.engine.close()
