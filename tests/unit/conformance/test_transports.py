"""The official conformance suite, both revisions, on the hub's transports and access layer, with the suite's tools."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from codebuddy_testing.conformance import run_suite
from codebuddy_testing.conformance_server import conformance_server
from codebuddy_testing.listeners import open_listener, token

pytestmark = pytest.mark.anyio


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_all_scenarios_pass(revision: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with open_listener(conformance_server()) as listener:
        found = await run_suite(listener.port, token(), revision, tmp_path)
    assert found == {}
    # The suite takes a tool that failed inside for one that answers.
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
