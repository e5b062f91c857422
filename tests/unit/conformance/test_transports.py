"""The official conformance suite, both revisions, on the hub's transports and access layer, with the suite's tools."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from codebuddy_testing.conformance import run_suite
from codebuddy_testing.conformance_server import conformance_server
from codebuddy_testing.listeners import open_listener, token

pytestmark = pytest.mark.anyio

NO_REQUESTS = "The hub asks its clients nothing: a session is but its id, which a restarted hub goes on with."

KNOWN: dict[str, dict[str, str]] = {
    "2025-11-25": {
        "tools-call-sampling: tools-call-sampling": NO_REQUESTS,
        "tools-call-elicitation: tools-call-elicitation": NO_REQUESTS,
        "elicitation-sep1034-defaults: elicitation-sep1034-general": NO_REQUESTS,
        "elicitation-sep1330-enums: elicitation-sep1330-general": NO_REQUESTS,
    },
    "2026-07-28": {},
}
"""What does not pass, and why the hub is meant so."""


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
@pytest.mark.parametrize("revision", KNOWN)
async def test_all_passes_but_what_the_hub_is_meant_not_to_do(
    revision: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_listener(conformance_server()) as listener:
        found = await run_suite(listener.port, token(), revision, tmp_path)
    assert found.keys() == KNOWN[revision].keys(), found
    # The suite takes a tool that failed inside for one that answers.
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
