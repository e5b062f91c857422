"""The hub's view of a project: what makes it not ready, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from codebuddy.hub.health import FleetHealth
from codebuddy.hub.spokes import Links
from codebuddy.schemas.status import SpokeStatus

pytestmark = pytest.mark.anyio

MOUNT = "1:2"


class Spoke(Links):
    """A spoke with one language server."""

    def __init__(self, **server: Any) -> None:
        super().__init__()
        self.server = {"name": "x", **server}

    async def call(self, *_: Any, **__: Any) -> Any:
        return SpokeStatus.model_validate({"mount": MOUNT, "watching": "inotify", "language_servers": [self.server]})


class WithoutWorkspace(Spoke):
    """A spoke whose workspace is not there."""

    async def call(self, *_: Any, **__: Any) -> Any:
        lost = {"mount": "", "unavailable": "it is not mounted.", "watching": "off", "language_servers": []}
        return SpokeStatus.model_validate(lost)


async def test_a_workspace_that_a_spoke_cannot_use_makes_the_project_not_ready() -> None:
    report = (await FleetHealth({}, WithoutWorkspace(), Mounts()).project_health(["a"]))["a"]
    assert (report.ready, report.mount, report.reason) == (False, "missing", "its spoke says: it is not mounted.")


class Mounts:
    def identity(self, project: str) -> str:
        return MOUNT


@pytest.mark.parametrize(
    ("server", "ready", "reason"),
    [
        ({"state": "starting"}, True, None),
        ({"state": "indexing", "reason": "loading", "percent": 40}, True, None),
        ({"state": "ready", "reason": "a warning"}, True, None),
        ({"state": "stopped", "reason": "idle; it starts when it is asked"}, True, None),
        ({"state": "degraded", "reason": "no Cargo.toml"}, False, "language server x: no Cargo.toml"),
        ({"state": "dead", "reason": "it ended"}, False, "language server x: it ended"),
        ({"state": "dead"}, False, "language server x: dead"),
    ],
)
async def test_a_project_is_ready_unless_a_server_is_dead_or_degraded(
    server: dict[str, Any], ready: bool, reason: str | None
) -> None:
    report = (await FleetHealth({}, Spoke(**server), Mounts()).project_health(["a"]))["a"]
    assert (report.ready, report.reason) == (ready, reason)
    assert report.language_servers[0].percent == server.get("percent")
