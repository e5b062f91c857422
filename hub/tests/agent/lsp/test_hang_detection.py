"""A cancelled hang detection does not hide why the server ended."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from codebuddy.agent.lsp.servers import HangDetector
from codebuddy.agent.lsp.transport import SessionClosed

pytestmark = pytest.mark.anyio


async def test_a_cancelled_watch_leaves_the_reason_of_the_end_to_be_set() -> None:
    probed = asyncio.Event()

    async def probe(_seconds: float) -> None:
        probed.set()
        raise SessionClosed("it is gone")

    end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    connection: Any = SimpleNamespace(probe=probe, session=SimpleNamespace(is_open=False), end=end)
    detector = HangDetector(connection, 1.0, 1.0)
    watching = asyncio.create_task(detector.watch())
    checking = asyncio.create_task(detector.check())
    await probed.wait()
    await asyncio.sleep(0)  # into the wait for the end
    watching.cancel()
    await asyncio.gather(watching, checking, return_exceptions=True)
    end.set_result("it ended by signal 9")
    assert end.result() == "it ended by signal 9"
