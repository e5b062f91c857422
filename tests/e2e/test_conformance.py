"""The official conformance suite on the deployed hub: the scenarios that need no tools, prompts or resources of theirs.

All of its scenarios are run on the same transports in tests/unit/conformance, with what they need.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from codebuddy_testing.conformance import run_suite
from codebuddy_testing.deployment import Deployment

pytestmark = pytest.mark.anyio

NOT_SERVED = "The hub has tools alone, no prompts and no resources."
NOT_ADVERTISED = "The hub's tools do not change, so it advertises no subscriptions."

SCENARIOS = {
    "2025-11-25": [
        "dns-rebinding-protection",
        "ping",
        "server-initialize",
        "server-session-lifecycle",
        "server-sse-multiple-streams",
        "tools-list",
    ],
    "2026-07-28": [
        "caching",
        "dns-rebinding-protection",
        "http-header-validation",
        "input-required-result-unsupported-methods",
        "sep-2164-resource-not-found",
        "server-sse-multiple-streams",
        "server-stateless",
        "tools-list",
    ],
}

KNOWN: dict[str, dict[str, str]] = {
    "2025-11-25": {},
    "2026-07-28": {
        "caching: sep-2549-prompts-list-caching-hints": NOT_SERVED,
        "caching: sep-2549-resources-list-caching-hints": NOT_SERVED,
        "caching: sep-2549-resources-templates-list-caching-hints": NOT_SERVED,
        "caching: sep-2549-resources-read-caching-hints (skipped)": NOT_SERVED,
        "sep-2164-resource-not-found: sep-2164-error-code (warning)": NOT_SERVED,
        "sep-2164-resource-not-found: sep-2164-data-uri (warning)": NOT_SERVED,
        "server-stateless: sep-2575-server-sends-subscription-ack (skipped)": NOT_ADVERTISED,
        "server-stateless: sep-2575-server-tags-subscription-id (skipped)": NOT_ADVERTISED,
        "server-stateless: sep-2575-server-honors-notification-filter (skipped)": NOT_ADVERTISED,
        "server-stateless: sep-2575-server-sends-prompts-list-changed-on-subscription (skipped)": NOT_ADVERTISED,
        "server-stateless: sep-2575-server-sends-tools-list-changed-on-subscription (skipped)": NOT_ADVERTISED,
    },
}
"""What does not pass, and why."""


@pytest.mark.parametrize("revision", SCENARIOS)
async def test_all_passes_that_needs_no_fixture(revision: str, fleet: Deployment, tmp_path: Path) -> None:
    found = {
        check: words
        for check, words in (await run_suite(fleet.port, fleet.token(), revision, tmp_path)).items()
        # The suite says so of a check whose tool is missing.
        if check.partition(":")[0] in SCENARIOS[revision] and not words.startswith("Not testable: ")
    }
    assert found.keys() == KNOWN[revision].keys(), found
