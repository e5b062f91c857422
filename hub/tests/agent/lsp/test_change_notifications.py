"""No change of a file is lost without a message."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.lsp import tree as tree_module
from codebuddy.agent.lsp.tree import Tree
from codebuddy.tool import ToolError

pytestmark = pytest.mark.anyio
WATCHED = "workspace/didChangeWatchedFiles"


def test_an_error_while_reading_a_file_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(tree_module, "read_limited", fail)
    with pytest.raises(ToolError) as refused:
        Tree("p", root).read(root.resolve() / "main.py")
    assert (refused.value.code, refused.value.path) == ("not_readable", "p/main.py")


async def test_a_server_that_cannot_be_notified_is_replaced_and_the_others_are_notified(
    start: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(second=({}, {})) as fake:
        await fake.definition()
        first, other = fake.servers.for_project("navigation")
        await fake.until(lambda: other.connection is not None)
        assert first.connection is not None

        def fail(_: object) -> None:
            raise RuntimeError("no")

        monkeypatch.setattr(first.connection, "files_changed", fail)
        (root / "new.py").write_text("x = 1\n")
        assert (await fake.definition()).complete
        assert len(fake.processes()) == 2
        log = fake.log.with_name("second.log")
        await fake.until(lambda: WATCHED in log.read_text())


async def test_answers_are_incomplete_after_a_failed_search_for_changes(
    start: Any, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    async with start() as fake:
        await fake.definition()

        async def fail() -> dict[Path, int]:
            raise RuntimeError("no")

        with monkeypatch.context() as broken:
            broken.setattr(fake.servers._watcher, "changes", fail)
            (root / "new.py").touch()
            answer = await fake.definition()
        assert (answer.complete, answer.reason) == (False, "indexing")
        assert answer.message == "Changes of files could not be found once; the language servers may not know them."
        assert not (await fake.definition()).complete


async def test_no_changes_are_kept_for_a_server_that_cannot_be_started(start: Any, root: Path) -> None:
    async with start(command=["there-is-no-such-server"]) as fake:
        await fake.until(lambda: fake.server.readiness.hopeless)
        for number in range(3):
            (root / f"new{number}.py").touch()
            await fake.servers.flush_changes()
        assert not fake.server._missed
