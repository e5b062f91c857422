"""Recovery in special cases: a missing project, several edits at once, a preview, no renameat2."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from codebuddy.hub.edits import disk
from codebuddy.tool import ToolError

from .bench import Bench, Countdown, Thing, Write, around_disk, die, path, survives
from .scenarios import WRITES, delete_files, move_files, nested_directories, plant, several_files, swap


def fresh(base: Path) -> Bench:
    shutil.rmtree(base, ignore_errors=True)
    bench = Bench(base)
    plant(bench)
    bench.close()
    return bench


def killed(bench: Bench, write: Write, around: Callable[..., Any], *, preview: bool = False) -> bool:
    """Make an edit in a process that may be killed; say whether it was killed."""

    def child() -> None:
        bench.open()
        with around_disk(around):
            bench.apply(write, preview=preview)
            bench.close()

    return not survives(child)


@pytest.mark.parametrize("write", [several_files, move_files, delete_files], ids=lambda write: write.__name__)
def test_recovery_waits_until_all_projects_of_an_edit_exist(write: Write, quick_path: Path) -> None:
    bench = fresh(quick_path / "whole")
    before = bench.tree()
    assert not killed(bench, write, lambda _, call, arguments: call(*arguments))
    after = bench.tree()
    for number in count(1):
        bench = fresh(quick_path / "crashed")
        was_killed = killed(bench, write, Countdown(number, "before"))
        crashed = bench.tree()
        bench.b.rename(bench.base / "away")
        ends = bench.recover()
        assert set(ends.values()) <= {"unfinished"}
        (bench.base / "away").rename(bench.b)
        if ends:
            assert bench.tree() == crashed
        assert set(bench.recover()) == set(ends)
        assert bench.tree() in (before, after)
        if not was_killed:
            return


def test_a_preview_that_is_killed_leaves_nothing(quick_path: Path) -> None:
    for number in count(1):
        bench = fresh(quick_path / "bench")
        before = bench.tree()
        was_killed = killed(bench, nested_directories, Countdown(number, "before"), preview=True)
        bench.recover()
        assert bench.tree() == before
        assert bench.journal.entries() == []
        if not was_killed:
            return


WHO = range(4)


def write_all(bench: Bench, who: int, version: int) -> None:
    """One edit in both projects, of files that no other edit changes."""
    names = [f"{project}/{who}/{number}" for project in ("a", "b") for number in range(3)]
    content = f"{who} {version}\n".encode()
    bench.apply(lambda draft: [draft.write(path(name), content) for name in names])


def all_at_once(bench: Bench) -> None:
    threads = [threading.Thread(target=write_all, args=(bench, who, 1), daemon=True) for who in WHO]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_several_edits_killed_at_once_are_each_whole_or_absent(quick_path: Path) -> None:
    for number in count(1, 4):
        bench = Bench(quick_path / str(number))
        for who in WHO:
            write_all(bench, who, 0)
        bench.close()

        def child(bench: Bench = bench, number: int = number) -> None:
            bench.open()
            with around_disk(Countdown(number, "before")):
                all_at_once(bench)

        lived = survives(child)
        bench.recover()
        for who in WHO:
            found = {thing.content for name, thing in bench.tree().items() if f"/{who}/" in name}
            assert len(found) == 1, f"half of the edit of {who}: {found}"
        assert not bench.temporaries()
        assert bench.recover() == {}
        shutil.rmtree(bench.base)
        if lived:
            return


def test_an_unreadable_edit_does_not_stop_the_recovery_of_another(bench: Bench) -> None:
    plant(bench)
    bench.close()
    before = bench.tree()
    bench.open()
    bench.journal.write("edit", "unreadable", {"changes": "no"}, b"", {"projects": ["a"], "boot": ""})
    assert killed(bench, several_files, lambda n, call, args: die() if n == "exchange" else call(*args))
    ends = bench.recover()
    assert ends.pop("unreadable") == "unfinished"
    assert len(ends) == 1
    tree = bench.tree()
    assert tree == before or tree["a/dir/in"].content == b"in\n"
    assert not bench.temporaries()


def test_a_file_named_similarly_to_a_temporary_file_is_kept(bench: Bench) -> None:
    plant(bench)
    (bench.a / ".codebuddy-mine.tmp").write_bytes(b"mine")
    bench.close()
    assert killed(bench, several_files, lambda n, call, args: die() if n == "exchange" else call(*args))
    bench.recover()
    assert (bench.a / ".codebuddy-mine.tmp").read_bytes() == b"mine"


# Without renameat2 ----------------------------------------------------------------------------------------------------


class SystemCalls:
    """Kills this process at one of the calls that replace renameat2."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self._left = number
        for name in ("link", "rename"):
            monkeypatch.setattr(disk.os, name, self._counted(getattr(os, name)))
        for name in ("_exchange", "_rename_new"):
            monkeypatch.setattr(disk, name, refused)

    def _counted(self, call: Callable[..., None]) -> Callable[..., None]:
        def counted(*arguments: Any, **options: Any) -> None:
            self._left -= 1
            if self._left == 0:
                die()
            call(*arguments, **options)

        return counted


def refused(*_: object) -> None:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


@pytest.mark.parametrize("write", [several_files, swap, *WRITES[2:5]], ids=lambda write: write.__name__)
def test_without_renameat2_an_edit_killed_between_its_calls_is_whole_or_absent(
    write: Write, quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees: list[dict[str, Thing]] = []
    for number in count(0):
        bench = fresh(quick_path / "bench")
        trees = trees or [bench.tree()]

        def child(bench: Bench = bench, number: int = number) -> None:
            SystemCalls(monkeypatch, number)
            bench.open()
            bench.apply(write)
            bench.close()

        lived = survives(child)
        with monkeypatch.context() as patched:
            for name in ("_exchange", "_rename_new"):
                patched.setattr(disk, name, refused)
            bench.recover()
        if number == 0:
            assert lived
            trees.append(bench.tree())
        assert bench.tree() in trees, f"killed at call {number}"
        assert not bench.temporaries()
        if lived and number:
            return


def test_an_engine_works_as_usual_after_recovery(bench: Bench) -> None:
    """The same crash twice, then the same edit without one."""
    plant(bench)
    bench.close()
    before = bench.tree()
    for _ in range(2):
        assert killed(bench, several_files, lambda n, call, args: die() if n == "set_attributes" else call(*args))
        bench.recover()
        assert bench.tree() == before
    with suppress(ToolError):
        bench.apply(several_files)
    bench.undo(bench.standing()[-1].id)
    assert bench.tree() == before
