"""Waits until a condition holds. A deadline only turns an endless wait into a failure; it is no promise of speed."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

DEADLINE_SECONDS = 60.0

ENDED_SECONDS = 5.0
"""A promise, unlike the other: how long a process may live on after its run was ended (docs/runs.md)."""

_INTERVAL_SECONDS = 0.1


def wait_until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Poll a condition until it is true; fail with ``what`` after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(_INTERVAL_SECONDS)


async def wait_until_async(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Do as `wait_until`, and let other tasks run between the polls."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        await anyio.sleep(_INTERVAL_SECONDS)
