"""What all tests of the package share."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The hub and the agent run on asyncio only."""
    return "asyncio"
