"""A change by whomever reaches the servers before the next question: told by the hub, or seen by the watch."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from codebuddy.access import Principal
from codebuddy.language import watching
from codebuddy.language.server import Patience
from codebuddy.language.tree import Tree
from codebuddy.language.watching import Watcher
from codebuddy.spoke.code import code_tools
from codebuddy.tool import Call, parse_arguments

pytestmark = pytest.mark.anyio
DEFINITION = "textDocument/definition"
WATCHED = "workspace/didChangeWatchedFiles"


def events(fake: Any, root: Path) -> list[tuple[str, int]]:
    tree = Tree("p", root)
    found = [change for one in fake.sent(WATCHED) for change in one["params"]["changes"]]
    return [(tree.relative(tree.path_of(one["uri"]) or root), one["type"]) for one in found]


async def told(fake: Any, *paths: str) -> None:
    (tool,) = [tool for tool in code_tools(fake.servers) if tool.name == "files_changed"]
    call = Call(Principal("hub", None, frozenset({"write"})))
    await tool.handler(call, parse_arguments(tool, {"paths": list(paths)}))


async def test_a_file_that_the_hub_wrote_is_known_before_the_next_question(start: Any, root: Path) -> None:
    async with start() as fake:
        await fake.definition()
        (root / "new.py").write_text("new = 1\n")
        await told(fake, "new.py")
        await fake.definition()
        assert len(fake.sent("textDocument/didOpen")) == 2
        assert fake.sent("textDocument/didOpen")[1]["params"]["textDocument"]["text"] == "new = 1\n"
        assert ("new.py", 1) in events(fake, root)


async def test_a_file_told_of_again_is_changed_and_a_missing_one_deleted(start: Any, root: Path) -> None:
    async with start() as fake:
        await fake.definition()
        await told(fake, "shop.py")
        await told(fake, "shop.py")
        (root / "shop.py").unlink()
        await told(fake, "shop.py")
        await fake.until(lambda: ("shop.py", 3) in events(fake, root))
        assert ("shop.py", 2) in events(fake, root)
        assert fake.sent("textDocument/didClose")


async def test_a_change_by_another_program_is_seen(start: Any, root: Path) -> None:
    async with start() as fake:
        await fake.until(lambda: fake.servers.watching()["mode"] == "inotify")
        await fake.definition()
        (root / "other.py").write_text("x = 1\n")
        await fake.until(lambda: ("other.py", 1) in events(fake, root))
        (root / "other.py").unlink()
        await fake.until(lambda: ("other.py", 3) in events(fake, root))


async def test_files_that_come_with_a_new_directory_are_seen(start: Any, root: Path, tmp_path: Path) -> None:
    (tmp_path / "package/inner").mkdir(parents=True)
    (tmp_path / "package/inner/x.py").write_text("x\n")
    async with start() as fake:
        await fake.until(lambda: fake.servers.watching()["mode"] == "inotify")
        await fake.definition()
        (tmp_path / "package").rename(root / "package")
        await fake.until(lambda: ("package/inner/x.py", 1) in events(fake, root))


async def test_changes_while_a_server_starts_are_told_when_it_has_started(start: Any, root: Path) -> None:
    async with start({DEFINITION: [[{"exit": 3}]]}, patience=Patience(first_delay=1.0)) as fake:
        await fake.definition()
        await told(fake, "shop.py")
        assert events(fake, root) == []
        await fake.until(lambda: ("shop.py", 1) in events(fake, root))


async def test_without_inotify_changes_are_seen_by_looking(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(watching, "RustNotify", refused)
    seen: set[Path] = set()

    async def changed(paths: set[Path]) -> None:
        seen.update(paths)

    watcher = Watcher(Tree("p", root), changed, poll_seconds=0.05)
    running = asyncio.create_task(watcher.run())
    async with asyncio.timeout(10):
        while watcher.mode != "polling":
            await asyncio.sleep(0.01)
        assert "Too many open files" in (watcher.reason or "")
        wanted = {Tree("p", root).root / name for name in ("other.py", "main.py")}
        while not wanted <= seen:
            (root / "other.py").write_text("x = 1\n")
            (root / "main.py").unlink(missing_ok=True)
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert seen == wanted


async def test_a_link_that_cannot_even_be_looked_at_ends_no_watch(start: Any, root: Path) -> None:
    """As one into a directory that may not be entered; a name that is too long fails the same way for root too."""
    async with start() as fake:
        await fake.definition()
        (root / "link.py").symlink_to("x" * 300)
        (root / "later.py").write_text("later = 1\n")
        await fake.until(lambda: any(path == "later.py" for path, _ in events(fake, root)))
        assert fake.servers.watching() == {"mode": "inotify", "reason": None}


def test_a_walk_passes_over_a_link_that_cannot_be_looked_at(root: Path) -> None:
    (root / "link.py").symlink_to("x" * 300)
    assert root / "link.py" not in list(Tree("p", root).files(lambda path: path.endswith(".py")))
