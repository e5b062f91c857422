"""An edit is whole or absent after a kill at any disk call of the edit, its undo, or the recovery."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from codebuddy.hub.edits import disk

from .bench import Around, Bench, Countdown, Moment, Thing, around_disk, die, survives
from .scenarios import APPLIED, UNDONE, Scenario, named

Tree = dict[str, Thing]

SCENARIOS = [*APPLIED, *UNDONE]


def half_of_a_file(directory: int, name: str, content: bytes) -> None:
    os.close(disk.create_file(directory, name, content[: len(content) // 2]))


def half_of_a_record(fd: int, data: bytes) -> None:
    os.write(fd, data[: len(data) // 2])


def some_pages(fd: int, content: bytes) -> None:
    """A kill in the middle of a write leaves whole pages of it."""
    os.pwrite(fd, content[: len(content) // 2 // 4096 * 4096], 0)


def not_yet_cut(fd: int, content: bytes) -> None:
    os.pwrite(fd, content, 0)


HALVES: dict[str, list[Callable[..., None]]] = {
    "create_file": [half_of_a_file],
    "append": [half_of_a_record],
    "overwrite": [some_pages, not_yet_cut],
}


class Planted:
    """A scenario on fresh benches below one directory, with the tree before it and after it."""

    def __init__(self, scenario: Scenario, base: Path) -> None:
        self._scenario, self._base, self._numbers = scenario, base, count(1)
        bench, planted = self.fresh()
        self.before = bench.tree()
        assert survives(lambda: self.work(bench, planted))
        self.after = bench.tree()
        assert self.after != self.before
        assert not bench.temporaries()

    def fresh(self) -> tuple[Bench, Any]:
        bench = Bench(self._base / str(next(self._numbers)))
        planted = self._scenario.plant(bench)
        bench.close()
        return bench, planted

    def work(self, bench: Bench, planted: Any, around: Around | None = None) -> None:
        """Run it completely, as a hub that has just started."""
        bench.open()
        with around_disk(around or (lambda _, call, arguments: call(*arguments))):
            self._scenario.work(bench, planted)
            bench.close()

    def crash(self, around: Around) -> tuple[Bench, Any, bool]:
        """Run it in a process that may be killed; say whether it survived."""
        bench, planted = self.fresh()
        return bench, planted, survives(lambda: self.work(bench, planted, around))

    def crashes(self, moment: Moment) -> Iterator[tuple[Bench, Any]]:
        """Kill it at its first disk call, then at its second, and so on until it comes to its end."""
        for number in count(1):
            bench, planted, lived = self.crash(Countdown(number, moment))
            yield bench, planted
            shutil.rmtree(bench.base)
            if lived:
                return

    def expect_whole(self, bench: Bench, planted: Any) -> None:
        """After a crash: recovery leaves the tree before or after, nothing else, and the journal knows which."""
        undone = self._scenario in UNDONE
        bench.recover()
        tree = bench.tree()
        expected = self.after if tree == self.after else self.before
        assert tree == expected, "half an edit"
        edits = len(bench.standing()) - undone
        assert edits == (tree == self.after), "the journal does not tell what is there"
        assert bench.recover() == {}, "recovery left something to be done"
        assert bench.tree() == tree
        if tree == self.after:
            bench.undo(bench.standing()[-1].id)
            assert bench.tree() == self.before
        else:
            self._scenario.work(bench, planted)
            assert bench.tree() == self.after
        bench.close()
        assert not bench.temporaries()


@pytest.mark.parametrize(
    ("scenario", "moment"),
    [*((scenario, "before") for scenario in SCENARIOS), *((scenario, "after") for scenario in APPLIED)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_an_edit_killed_at_any_disk_call_is_whole_or_absent(
    scenario: Scenario, moment: Moment, quick_path: Path
) -> None:
    planted = Planted(scenario, quick_path)
    for bench, handed in planted.crashes(moment):
        planted.expect_whole(bench, handed)


@pytest.mark.parametrize("scenario", APPLIED, ids=lambda scenario: scenario.name)
def test_an_edit_killed_in_the_middle_of_a_write_is_whole_or_absent(scenario: Scenario, quick_path: Path) -> None:
    planted = Planted(scenario, quick_path)
    for name, halves in HALVES.items():
        for half in halves:
            for number in count(1):
                left = [number]

                def around(called: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
                    left[0] -= called == name  # noqa: B023  each round is over when the next begins
                    if called == name and left[0] == 0:  # noqa: B023
                        half(*arguments)  # noqa: B023
                        die()
                    return call(*arguments)

                bench, handed, lived = planted.crash(around)
                planted.expect_whole(bench, handed)
                shutil.rmtree(bench.base)
                if lived:
                    break


@pytest.mark.parametrize(
    "scenario",
    ["nested_directories", "edit_in_moved_directory", "swap", "hard_linked"],
)
def test_a_recovery_killed_at_any_disk_call_is_completed_by_the_next(scenario: str, quick_path: Path) -> None:
    planted = Planted(named(scenario), quick_path)
    for number in count(1, 2):  # every other: most of the crashes are alike to a recovery
        for at in count(1):
            bench, handed, edited = planted.crash(Countdown(number, "before"))

            def recover_and_die(bench: Bench = bench, at: int = at) -> None:
                with around_disk(Countdown(at, "before")):
                    bench.recover()

            recovered = survives(recover_and_die)
            planted.expect_whole(bench, handed)
            shutil.rmtree(bench.base)
            if recovered:
                break
        if edited:
            return
