"""Changes by other processes around a crash are kept, and the rest of the edit is whole or absent."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from .bench import Bench, Countdown, around_disk, die, survives
from .scenarios import named

FOREIGN = b"foreign"


def in_place(place: Path) -> None:
    place.write_bytes(FOREIGN)


def over_it(place: Path) -> None:
    other = place.with_name("foreign")
    other.write_bytes(FOREIGN)
    other.rename(place)


HOWS = pytest.mark.parametrize("how", [in_place, over_it])


def work(bench: Bench, scenario: str, around: Callable[..., Any]) -> bool:
    """Run a scenario in a process that may be killed; say whether it survived."""

    def child() -> None:
        bench.open()
        with around_disk(around):
            named(scenario).work(bench, None)
            bench.close()

    return survives(child)


def fresh(base: Path, scenario: str) -> Bench:
    shutil.rmtree(base, ignore_errors=True)
    bench = Bench(base)
    named(scenario).plant(bench)
    bench.close()
    return bench


def unless(bench: Bench, changed: str) -> dict[str, Any]:
    return {name: thing for name, thing in bench.tree().items() if name != changed}


@HOWS
@pytest.mark.parametrize(
    ("scenario", "changed"),
    [
        ("several_files", "a/one"),
        ("several_files", "b/new"),
        ("delete_files", "a/one"),
        ("delete_files", "b/dir/in"),
        ("move_files", "a/dir/two"),
        ("nested_directories", "b/dir/more"),
        ("hard_linked", "a/one"),
        ("hard_linked", "b/one"),
    ],
)
def test_content_written_between_crash_and_recovery_is_kept(
    scenario: str, changed: str, how: Callable[[Path], None], quick_path: Path
) -> None:
    bench = fresh(quick_path / "after", scenario)
    before = unless(bench, changed)
    assert work(bench, scenario, lambda _, call, arguments: call(*arguments))
    after = unless(bench, changed)
    for number in count(1):
        bench = fresh(quick_path / "crashed", scenario)
        lived = work(bench, scenario, Countdown(number, "before"))
        if not (bench.base / changed).is_dir():
            how(bench.base / changed)
            bench.recover()
            assert (bench.base / changed).read_bytes() == FOREIGN
            assert unless(bench, changed) in (before, after), f"killed before disk call {number}"
            assert bench.recover() == {}
        if lived:
            return


@HOWS
@pytest.mark.parametrize(
    ("scenario", "name", "changed"),
    [
        ("one_file", "in", "a/dir/in"),
        ("several_files", "in", "a/dir/in"),
        ("delete_files", "in", "b/dir/in"),
        ("delete_directories", "empty", "a/empty/late"),
        ("delete_directories", "dir", "a/dir/in"),
    ],
)
def test_content_written_just_before_a_step_that_is_killed_is_kept(
    scenario: str, name: str, changed: str, how: Callable[[Path], None], quick_path: Path
) -> None:
    """The step removes what another process has just put there, and is killed before it can notice."""
    bench = fresh(quick_path / "bench", scenario)
    before = unless(bench, changed)

    def around(called: str, real: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if called in ("exchange", "rename") and name in arguments:
            how(bench.base / changed)
            real(*arguments)
            die()
        return real(*arguments)

    assert not work(bench, scenario, around), "it was never killed"
    bench.recover()
    assert (bench.base / changed).read_bytes() == FOREIGN
    assert unless(bench, changed) == before
    assert not bench.temporaries()
    assert bench.recover() == {}


def test_a_file_that_replaced_one_to_be_moved_is_kept_and_nothing_moves(quick_path: Path) -> None:
    for number in count(1):
        bench = fresh(quick_path / "crashed", "move_files")
        before = bench.tree()
        lived = work(bench, "move_files", Countdown(number, "before"))
        over_it(bench.a / "two")
        was_there = (bench.a / "dir/two").exists()
        bench.recover()
        assert (bench.a / "two").read_bytes() == FOREIGN
        moved = [name for name in ("a/renamed", "a/dir/two", "a/dir/link", "b/one more") if name in bench.tree()]
        if was_there:
            assert len(moved) == 4, f"half an edit, killed before disk call {number}: {moved}"
        else:
            assert unless(bench, "a/two") == {name: thing for name, thing in before.items() if name != "a/two"}
        if lived:
            return
