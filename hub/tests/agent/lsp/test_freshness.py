"""No change of a file is lost without anybody saying so."""

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


def test_a_file_that_fails_at_the_reading_cannot_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(tree_module, "read_limited", fail)
    with pytest.raises(ToolError) as refused:
        Tree("p", root).read(root.resolve() / "main.py")
    assert (refused.value.code, refused.value.path) == ("not_readable", "p/main.py")


async def test_a_server_that_cannot_be_told_is_replaced_and_the_others_are_told(
    start: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(second=({}, {})) as fake:
        await fake.definition()
        first, other = fake.servers.for_project("navigation")
        await fake.until(lambda: other.connection is not None)
        assert first.connection is not None

        def fail(_: object) -> None:
            raise RuntimeError("no")

        monkeypatch.setattr(first.connection, "tell", fail)
        (root / "new.py").write_text("x = 1\n")
        assert (await fake.definition()).complete
        assert len(fake.processes()) == 2
        log = fake.log.with_name("second.log")
        await fake.until(lambda: WATCHED in log.read_text())


async def test_what_could_not_be_looked_for_makes_no_answer_complete(
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
        assert answer.message == "Changes of files could not be looked for once; what changed then may not be known."
        assert not (await fake.definition()).complete


async def test_of_a_server_that_cannot_be_started_no_changes_are_kept(start: Any, root: Path) -> None:
    async with start(command=["there-is-no-such-server"]) as fake:
        await fake.until(lambda: fake.server.readiness.hopeless)
        for number in range(3):
            (root / f"new{number}.py").touch()
            await fake.servers.freshen()
        assert not fake.server._missed
