"""A change by anyone reaches the servers before the next question: announced by the hub, or seen by the watcher."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code_tools import code_tools
from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.lsp.watching import CHANGED, CREATED, DELETED, Differences, Inotify, Snapshot, Watcher
from codebuddy.tool import Call, Principal, parse_arguments

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
        assert events(fake, root) == [("new.py", CREATED)]


async def test_what_is_written_where_nothing_is_watched_is_told_when_the_hub_says_it(start: Any, root: Path) -> None:
    (root / "node_modules").mkdir()
    async with start() as fake:
        await fake.definition()
        (root / "node_modules/x.py").write_text("x\n")
        await told(fake, "node_modules/x.py")
        await fake.definition()
        assert events(fake, root) == [("node_modules/x.py", CREATED)]


async def test_what_is_gone_can_be_told_again(start: Any, root: Path) -> None:
    async with start() as fake:
        await fake.definition()
        (root / "shop.py").unlink()
        await told(fake, "shop.py")
        await told(fake, "shop.py")
        await fake.definition()
        assert set(events(fake, root)) == {("shop.py", DELETED)}


async def test_changes_by_others_are_told_before_a_question_that_comes_at_once(start: Any, root: Path) -> None:
    async with start() as fake:
        await fake.definition()
        for number in range(20):
            name = f"f{number}.py"
            (root / name).write_text("x = 1\n")
            await fake.definition()
            assert events(fake, root)[-1] == (name, CREATED)
            with (root / name).open("a") as file:
                file.write("y = 1\n")
                file.flush()  # not closed: it has changed all the same
                await fake.definition()
                assert events(fake, root)[-1] == (name, CHANGED)
            (root / name).unlink()
            await fake.definition()
            assert events(fake, root)[-1] == (name, DELETED)


async def test_a_change_is_told_also_when_nobody_asks(start: Any, root: Path) -> None:
    async with start() as fake:
        await fake.definition()
        (root / "other.py").write_text("x = 1\n")
        await fake.until(lambda: ("other.py", CREATED) in events(fake, root))


async def test_many_questions_at_once_all_have_what_was_changed_before_them(start: Any, root: Path) -> None:
    async with start() as fake:
        await fake.definition()
        for number in range(200):
            (root / f"f{number}.py").write_text("x = 1\n")
        await asyncio.gather(*(fake.definition() for _ in range(10)))
        messages = [message["method"] for message in fake.sent() or []]
        assert not messages
        order = [line for line in fake._lines() if WATCHED in line or DEFINITION in line]
        before = [line for line in order[1:] if WATCHED in line]
        assert len(events(fake, root)) == 200
        assert order[1 : 1 + len(before)] == before, "a question was sent before the changes"


async def test_a_question_that_gives_up_loses_no_change(start: Any, root: Path) -> None:
    async with start() as fake:
        await fake.definition()
        (root / "other.py").write_text("x = 1\n")
        question = asyncio.create_task(fake.servers.flush_changes())
        await asyncio.sleep(0)
        question.cancel()
        await asyncio.gather(question, return_exceptions=True)
        await fake.definition()
        assert events(fake, root) == [("other.py", CREATED)]


async def test_changes_while_a_server_starts_are_told_when_it_has_started(start: Any, root: Path) -> None:
    go = root.with_name("go")
    async with start({"initialize": [[{"wait": str(go)}, {"reply": {"capabilities": {}}}]]}) as fake:
        await fake.until(lambda: bool(fake.sent("initialize")))
        (root / "shop.py").write_text("changed\n")
        await told(fake, "shop.py")
        assert events(fake, root) == []
        go.touch()
        await fake.until(lambda: ("shop.py", CHANGED) in events(fake, root))


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


# What was written just before it was looked at first may look the same after a second write: it is announced again.
FRESH = {"main.py": CHANGED, "shop.py": CHANGED}


def queue_length() -> int:
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


class Watch:
    """A watcher, and its changes by path in the project."""

    def __init__(self, root: Path, **more: Any) -> None:
        self.root = root
        self.watcher = Watcher(Tree("p", root), **more)

    async def changes(self) -> dict[str, int]:
        found = await self.watcher.changes()
        return {str(path.relative_to(self.root)): kind for path, kind in found.items()}

    async def __aenter__(self) -> Watch:
        await self.changes()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.watcher._close()


async def test_nothing_is_looked_at_while_nothing_changes(root: Path) -> None:
    async with Watch(root) as watch:
        assert watch.watcher.mode == "inotify"
        (root / "main.py").read_text()
        os.listdir(root)
        assert watch.watcher.is_quiet()
        (root / "main.py").touch()
        assert not watch.watcher.is_quiet()


async def test_new_directories_are_watched_with_all_that_came_with_them(root: Path) -> None:
    async with Watch(root) as watch:
        for number in range(50):
            (root / f"d{number}/inner").mkdir(parents=True)
            (root / f"d{number}/inner/x.py").touch()
        new = (f"d{number}{part}" for number in range(50) for part in ("", "/inner", "/inner/x.py"))
        assert await watch.changes() == dict.fromkeys(new, CREATED)
        (root / "d7/inner/y.py").touch()
        assert await watch.changes() == {"d7/inner/y.py": CREATED}


async def test_a_directory_that_is_moved_is_gone_here_and_watched_there(root: Path, tmp_path: Path) -> None:
    (root / "a/inner").mkdir(parents=True)
    (root / "a/inner/x.py").touch()
    async with Watch(root) as watch:
        (root / "a").rename(root / "b")
        assert await watch.changes() == dict.fromkeys(("a", "a/inner", "a/inner/x.py"), DELETED) | dict.fromkeys(
            ("b", "b/inner", "b/inner/x.py"), CREATED
        )
        (root / "b/inner/x.py").write_text("changed")
        assert await watch.changes() == {"b/inner/x.py": CHANGED}
        (root / "b").rename(tmp_path / "outside")
        assert await watch.changes() == dict.fromkeys(("b", "b/inner", "b/inner/x.py"), DELETED)
        (tmp_path / "outside/inner/x.py").write_text("changed again")
        assert watch.watcher.is_quiet()
        (tmp_path / "outside").rename(root / "a")
        assert await watch.changes() == dict.fromkeys(("a", "a/inner", "a/inner/x.py"), CREATED)


async def test_one_file_or_directory_in_place_of_another_is_a_change(root: Path) -> None:
    for name in ("a", "b"):
        (root / name).mkdir()
        (root / name / "same.py").write_text(name)
    (root / "thing").touch()
    async with Watch(root) as watch:
        (root / "new.py").write_text("new")
        (root / "new.py").rename(root / "main.py")
        assert await watch.changes() == {"main.py": CHANGED}
        (root / "a").rename(root / "c")
        (root / "b").rename(root / "a")
        (root / "c").rename(root / "b")
        assert await watch.changes() == {"a/same.py": CHANGED, "b/same.py": CHANGED}
        (root / "thing").unlink()
        (root / "thing").mkdir()
        (root / "thing/x.py").touch()
        assert await watch.changes() == {"thing": DELETED, "thing/x.py": CREATED}


@pytest.mark.parametrize("how", ["same size and time", "touch", "shorter", "permission"])
async def test_every_way_to_change_a_file_is_seen(root: Path, how: str) -> None:
    path = root / "main.py"
    path.write_text("one\n")
    status = path.stat()
    async with Watch(root) as watch:
        if how == "same size and time":
            path.write_text("two\n")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        elif how == "touch":
            os.utime(path, (1, 1))
        elif how == "shorter":
            os.truncate(path, 1)
        else:
            path.chmod(0o600)
        assert await watch.changes() == {"main.py": CHANGED}


async def test_what_tools_generate_and_what_comes_and_goes_is_not_told(root: Path) -> None:
    async with Watch(root) as watch:
        for name in (".git/x.py", "node_modules/a/y.py", "sub/target/z.py"):
            (root / name).parent.mkdir(parents=True)
            (root / name).touch()
        (root / "temporary.py").touch()
        (root / "temporary.py").unlink()
        os.mkfifo(root / "pipe.py")
        assert await watch.changes() == {"sub": CREATED}


async def test_links_are_told_and_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x.py").touch()
    async with Watch(root) as watch:
        (root / "folder").symlink_to(tmp_path / "outside")
        (root / "link.py").symlink_to("shop.py")
        assert await watch.changes() == {"folder": CREATED, "link.py": CREATED}
        (tmp_path / "outside/y.py").touch()
        assert watch.watcher.is_quiet()


async def test_after_more_events_than_the_queue_holds_every_file_is_looked_at(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "sub").mkdir()
    (root / "sub/x.py").touch()
    limit = queue_length()
    if limit > 100_000:
        pytest.skip("this machine's queue is too long to fill")
    async with Watch(root) as watch:
        (root / "gone.py").touch()
        await watch.changes()
        for number in range(limit + 1000):  # not twice the same in a row: the kernel makes one event of those
            os.utime(root / ("main.py", "shop.py")[number % 2])
        (root / "new.py").touch()
        (root / "sub/x.py").write_text("changed")
        (root / "gone.py").unlink()
        changes = await watch.changes()
        assert changes | FRESH == FRESH | {"new.py": CREATED, "sub/x.py": CHANGED, "gone.py": DELETED}
        (root / "sub/x.py").write_text("changed again")
        assert await watch.changes() == {"sub/x.py": CHANGED}


async def test_a_root_that_is_replaced_is_watched_again(root: Path, tmp_path: Path) -> None:
    async with Watch(root) as watch:
        os.rename(root, tmp_path / "old")
        assert await watch.changes() == {"main.py": DELETED, "shop.py": DELETED}
        assert watch.watcher.mode == "polling"
        assert "not there" in (watch.watcher.reason or "")
        (tmp_path / "old/main.py").write_text("elsewhere")
        os.mkdir(root)
        (root / "main.py").touch()
        assert await watch.changes() == {"main.py": CREATED}
        assert (watch.watcher.mode, watch.watcher.reason) == ("inotify", None)
        (root / "shop.py").touch()
        assert await watch.changes() == {"shop.py": CREATED}
        shutil.rmtree(root)
        assert await watch.changes() == {"main.py": DELETED, "shop.py": DELETED}


@pytest.mark.parametrize("what", ["add", "__init__"])
async def test_without_inotify_every_question_looks(root: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Inotify, what, refused)
    async with Watch(root) as watch:
        assert watch.watcher.mode == "polling"
        assert "No space left" in (watch.watcher.reason or "")
        (root / "sub").mkdir()
        (root / "sub/x.py").touch()
        (root / "main.py").write_text("changed")
        (root / "shop.py").unlink()
        found = await watch.changes()
        assert found == {"sub": CREATED, "sub/x.py": CREATED, "main.py": CHANGED, "shop.py": DELETED}
        (root / "sub/x.py").write_text("changed")
        assert (await watch.changes())["sub/x.py"] == CHANGED


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the project be on a file system of which inotify tells nothing."""
    monkeypatch.setattr("codebuddy.agent.lsp.watching.shared_type", lambda _root: "nfs4")


@pytest.mark.usefixtures("shared")
async def test_on_a_shared_file_system_every_question_looks(root: Path) -> None:
    async with Watch(root) as watch:
        assert (watch.watcher.mode, watch.watcher.reason) == (
            "polling",
            "a file system of the type nfs4 tells no changes",
        )
        assert watch.watcher._inotify is None
        (root / "sub").mkdir()
        (root / "sub/x.py").touch()
        (root / "main.py").write_text("changed")
        (root / "shop.py").unlink()
        found = await watch.changes()
        assert found == {"sub": CREATED, "sub/x.py": CREATED, "main.py": CHANGED, "shop.py": DELETED}
        assert watch.watcher.gap is None


@pytest.mark.usefixtures("shared")
async def test_a_shared_file_system_is_not_looked_at_while_nobody_asks(root: Path) -> None:
    asked = asyncio.Queue[None]()
    watcher = Watcher(Tree("p", root), poll_seconds=0)

    async def flush() -> None:
        await watcher.changes()
        asked.put_nowait(None)

    running = asyncio.create_task(watcher.run(flush))
    await asked.get()
    for _ in range(100):
        await asyncio.sleep(0)
    assert asked.empty()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.usefixtures("shared")
async def test_a_look_that_takes_too_long_says_so_and_the_next_goes_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        (root / f"d{number}").mkdir()
    clock = itertools.count()  # a second a directory
    async with Watch(root) as watch:
        with monkeypatch.context() as patch:
            patch.setattr("codebuddy.agent.lsp.watching.monotonic", lambda: next(clock))
            for number in range(20):
                (root / f"d{number}/x.py").touch()
            found = set(await watch.changes()) - set(FRESH)
            assert 0 < len(found) < 20
            gap = watch.watcher.gap or ""
            assert "type nfs4, which tells no changes, not all files could be compared within 5 s" in gap
            for _ in range(5):
                found |= set(await watch.changes()) - set(FRESH)
            assert found == {f"d{number}/x.py" for number in range(20)}
        await watch.changes()
        assert watch.watcher.gap is None


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENOKEY])
async def test_what_cannot_be_read_now_is_not_taken_for_deleted(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (root / "sub").mkdir()
    (root / "sub/x.py").touch()
    async with Watch(root) as watch:
        scandir = os.scandir

        def broken(path: str) -> Any:
            if path.endswith("/sub"):
                raise OSError(number, os.strerror(number), path)
            return scandir(path)

        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", broken)
            watch.watcher._rescan = True
            assert DELETED not in (await watch.changes()).values()
            cannot = f"The directory 'sub' of the project cannot be read ({os.strerror(number)})"
            assert watch.watcher.gap == f"{cannot}; changes in it are not seen."
        watch.watcher._rescan = True
        (root / "sub/x.py").unlink()
        assert (await watch.changes())["sub/x.py"] == DELETED
        assert watch.watcher.gap is None


async def test_when_the_watches_are_used_up_on_the_way_nothing_is_missed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Watch(root) as watch:
        monkeypatch.setattr("codebuddy.agent.lsp.watching._MAX_WATCHES", 3)
        for number in range(10):
            (root / f"d{number}").mkdir()
            (root / f"d{number}/x.py").touch()
        changes = await watch.changes()
        new = (f"d{number}{part}" for number in range(10) for part in ("", "/x.py"))
        assert changes | FRESH == FRESH | dict.fromkeys(new, CREATED)
        assert watch.watcher.mode == "polling"


async def test_questions_in_polling_mode_share_a_look_that_began_after_them(
    start: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Inotify, "__init__", refused)
    async with start() as fake:
        await fake.definition()
        assert fake.servers.watching()["mode"] == "polling"
        looks = fake.servers._change_notifier._begun
        for number in range(10):
            (root / f"f{number}.py").touch()
            await asyncio.gather(*(fake.definition() for _ in range(10)))
            assert (f"f{number}.py", CREATED) in events(fake, root)
        assert fake.servers._change_notifier._begun - looks < 40


async def test_of_too_many_files_it_is_said_that_some_are_not_seen(root: Path) -> None:
    (root / "sub").mkdir()
    for number in range(50):
        (root / "sub" / f"f{number}.py").touch()
    async with Watch(root, limit=20) as watch:
        assert "more than 20 files" in (watch.watcher.gap or "")
        shutil.rmtree(root / "sub")
        await watch.changes()
        assert watch.watcher.gap is None


async def test_an_answer_is_not_complete_when_changes_may_be_missed(
    start: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as fake:
        assert (await fake.definition()).complete
        fake.servers._watcher._snapshot.left_out.add("somewhere")
        answer = await fake.definition()
        assert (answer.complete, answer.reason) == (False, "indexing")
        assert "more than" in (answer.message or "")


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_done_the_changes_lead_from_one_state_to_the_next(root: Path, seed: int) -> None:
    """Against a model: the files and directories before and after, and which files were written.

    Where one takes the place of the other, only what becomes of the file is told.
    """
    dice = random.Random(seed)
    async with Watch(root) as watch:
        known = entries(root)
        for _ in range(60):
            written = set[str]()
            for _ in range(dice.randint(1, 12)):
                written |= mess(root, dice)
            changes = await watch.changes()
            present = entries(root)
            gone = {path for path, is_file in known - present if is_file or (path, True) not in present}
            new = {path for path, is_file in present - known if is_file or (path, True) not in known}
            still = {path for path, is_file in known & present if is_file}
            assert {path for path, kind in changes.items() if kind == DELETED} == gone
            assert {path for path, kind in changes.items() if kind == CREATED} == new
            assert written & still <= {path for path, kind in changes.items() if kind == CHANGED}
            known = present


def entries(root: Path) -> set[tuple[str, bool]]:
    """Return each file and directory, and whether it is a file."""
    return {(str(path.relative_to(root)), path.is_file()) for path in root.rglob("*")}


def mess(root: Path, dice: random.Random) -> set[str]:
    """Do something to the tree; give the files that were written."""
    places = [root, *(path for path in root.rglob("*") if path.is_dir())]
    place, name = dice.choice(places), dice.choice("abcdef")
    target = place / name
    action = dice.randrange(6)
    if action <= 2 and not target.is_dir():
        target.write_text(str(dice.random())[:5])
        return {str(target.relative_to(root))}
    if action == 3 and not target.exists():
        target.mkdir()
    elif action == 4 and target.exists():
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    elif action == 5 and target.exists():
        goal = dice.choice(places) / dice.choice("abcdef")
        if not goal.exists() and not goal.is_relative_to(target):
            target.rename(goal)
    return set()


def test_a_snapshot_knows_what_changed_before_the_tick_of_the_clock_is_over(root: Path) -> None:
    snapshot, found = Snapshot(str(root), lambda _: None, lambda _: None), Differences()
    (root / "main.py").write_text("one")
    snapshot.scan(str(root), found)
    (root / "main.py").write_text("two")
    found.clear()
    snapshot.scan(str(root), found)
    assert found[root / "main.py"] == CHANGED
