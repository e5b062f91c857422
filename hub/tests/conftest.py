"""What all tests of the package share: the event loop, and temporary files in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
ROOM = 2**30


def _has_room(directory: Path) -> bool:
    """Say whether temporary files may go there; some are programs that a test runs."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return False
    is_usable = os.access(directory, os.W_OK) and not found.f_flag & os.ST_NOEXEC
    return is_usable and found.f_bavail * found.f_frsize >= ROOM


# An edit waits for the disk about a dozen times, and the tests make thousands: on a disk they wait more than they
# compute. None is about a disk that loses power; those that are have a simulated one.
PLACE = MEMORY if _has_room(MEMORY) else None


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory for the test alone, in memory where there is room."""
    with tempfile.TemporaryDirectory(prefix="codebuddy-test-", dir=PLACE, ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture
def anyio_backend() -> str:
    """The hub and the agent run on asyncio only."""
    return "asyncio"
