"""The hub's start: it needs its journal, and it recovers unfinished edits before it serves."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette

from codebuddy.configuration import HubConfiguration, JournalLimits
from codebuddy.hub import app
from codebuddy.hub.app import Hub, open_journal
from codebuddy.hub.edits import disk
from codebuddy.hub.edits.journal import Journal
from codebuddy.hub.http import make_listener
from codebuddy_testing.tool_client import ToolClient

pytestmark = pytest.mark.anyio

PROJECT = {"profile": "python", "host_path": "/srv/p", "listen": "127.0.0.1"}
CONFIGURATION: dict[str, Any] = {
    "fleet": "test",
    "client": {"address": "127.0.0.1", "port": 1, "published": 1},
    "projects": {"p": PROJECT},
}


@pytest.mark.parametrize("what", ["no directory", "held by another hub"])
def test_without_a_journal_the_hub_does_not_start_and_says_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    directory, held = tmp_path / "journal", None
    if what == "no directory":
        directory.write_text("")
    else:
        held = open_journal(JournalLimits(), directory)
    with caplog.at_level(logging.CRITICAL), pytest.raises(SystemExit) as ended:
        open_journal(JournalLimits(), directory)
    assert ended.value.code == 1
    assert str(directory) in caplog.text
    assert "fix that and start the hub again" in caplog.text
    del held


class Killed(BaseException):
    """The process ends here."""


async def test_edits_that_a_crash_left_unfinished_are_recovered_before_the_hub_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a").write_text("old")
    client = ToolClient(tmp_path, tmp_path / "journal", ["p"])

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        for step in ("exchange", "rename", "remove_tree"):
            patch.setattr(disk, step, die)
        with pytest.raises(Killed):
            await client("write_file", path="p/a", content="new")
    assert (tmp_path / "p" / "a").read_text() == "old"
    assert len(list((tmp_path / "p").iterdir())) == 2  # what was staged

    limits = JournalLimits()
    hub = Hub(
        HubConfiguration.model_validate(CONFIGURATION),
        Journal(tmp_path / "journal", limits.max_bytes, limits.max_age_seconds),
        tmp_path,
    )
    await hub.recover()
    assert (tmp_path / "p" / "a").read_text() in ("old", "new")
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["a"]
    await anyio.to_thread.run_sync(hub.engine.close)
    client.close()


async def test_a_hub_that_stops_closes_its_links_only_when_the_calls_of_its_clients_are_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spoke takes a link that ends for one that broke, and its runs go on; a cancelled call ends its run."""
    monkeypatch.setattr(app, "DRAIN_SECONDS", 0.5)  # of twice that, nothing is used: the call ends before
    (tmp_path / "p").mkdir()
    journal = open_journal(JournalLimits(), tmp_path / "journal")
    hub = Hub(HubConfiguration.model_validate(CONFIGURATION), journal, tmp_path)
    clients = make_listener(Starlette())
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            with hub.server.in_flight:
                tasks.start_soon(hub.stop, clients)
                await hub.stopping.wait()
                await anyio.wait_all_tasks_blocked()
                assert clients.should_exit
                assert not hub.links.stopping.is_set()
        assert hub.links.stopping.is_set()
    await anyio.to_thread.run_sync(hub.engine.close)
