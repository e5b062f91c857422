"""An edit that was answered survives a power cut, which undoes renames that were not synced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from codebuddy.hub.edits import disk, engine
from codebuddy.hub.edits.journal import Journal

from .bench import Bench, around_disk, die, survives
from .scenarios import APPLIED, UNDONE, Scenario, several_files

SCENARIOS = pytest.mark.parametrize("scenario", [*APPLIED, *UNDONE], ids=lambda scenario: scenario.name)


class PowerCut:
    """Records what a power cut undoes: renames, mode changes and removals."""

    def __init__(self) -> None:
        self._takes_back: list[Callable[[], object]] = []

    def __call__(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if name in ("remove_file", "remove_tree"):
            return None
        if name == "exchange":
            directory, one, other = os.dup(arguments[0]), *arguments[1:]
            self._takes_back.append(lambda: disk._exchange(directory, one, directory, other))
        elif name == "rename":
            source, old, target, new = os.dup(arguments[0]), arguments[1], os.dup(arguments[2]), arguments[3]
            self._takes_back.append(lambda: os.rename(new, old, src_dir_fd=target, dst_dir_fd=source))
        elif name == "change_mode":
            directory, file = os.dup(arguments[0]), arguments[1]
            mode = os.stat(file, dir_fd=directory).st_mode & 0o7777
            self._takes_back.append(lambda: os.chmod(file, mode, dir_fd=directory))
        return call(*arguments)

    def happens(self, number: int) -> bool:
        """Undo the last `number` of them; say whether there were as many."""
        for take_back in list(reversed(self._takes_back))[:number]:
            take_back()
        return number <= len(self._takes_back)


@SCENARIOS
def test_an_edit_that_was_answered_survives_a_power_cut(
    scenario: Scenario, quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_SYNC_DELAY_SECONDS", 3600)  # the power is cut before
    planned = Bench(quick_path / "planned")
    scenario.work(planned, scenario.plant(planned))
    after = planned.tree()
    planned.undo(planned.standing()[-1].id)
    # One file is written as every editor does it: whole in any case, and safe from a power cut a moment later.
    expected = [after, planned.tree()] if "one_" in scenario.name else [after]
    planned.close()
    for number in count(0):
        bench = Bench(quick_path / "cut")
        planted = scenario.plant(bench)
        bench.close()

        def cut(bench: Bench = bench, planted: Any = planted, number: int = number) -> None:
            bench.open()
            power = PowerCut()
            with around_disk(power):
                scenario.work(bench, planted)
            if power.happens(number):
                die()

        was_cut = not survives(cut)
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "boot", property(lambda _: "another"))
            bench.recover()
            assert bench.tree() in expected, f"with the last {number} names as before again"
            assert bench.recover() == {}
            bench.close()
        shutil.rmtree(bench.base)
        if not was_cut:
            return


class Order:
    """Checks the order in which files are written, synced and renamed."""

    def __init__(self) -> None:
        self.unsynced: set[tuple[int, int]] = set()
        self.unsynced_records = 0
        self.too_early: list[str] = []

    def __call__(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if name in ("exchange", "rename", "overwrite", "change_mode", "remove_file", "remove_tree") and (
            self.unsynced or self.unsynced_records
        ):
            self.too_early.append(name)
        if name in ("sync", "sync_data"):
            self.unsynced.discard(identity(arguments[0]))
            self.unsynced_records -= name == "sync_data" and self.unsynced_records
        result = call(*arguments)
        if name == "create_file":
            self.unsynced.add(identity(result))
        if name == "append" and b'"kind":"begun"' in arguments[1]:
            self.unsynced_records = 1
        return result


def identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


@SCENARIOS
def test_nothing_is_renamed_before_its_content_and_record_are_synced(scenario: Scenario, quick_path: Path) -> None:
    bench = Bench(quick_path / "bench")
    planted = scenario.plant(bench)
    bench.engine.close()
    bench.open()
    order = Order()
    with around_disk(order):
        scenario.work(bench, planted)
        bench.close()
    assert order.too_early == []


def test_the_check_of_the_order_detects_missing_syncs(quick_path: Path) -> None:
    """The test above would notice."""
    bench = Bench(quick_path / "bench")
    order = Order()

    def forgetful(name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return None if name in ("sync", "sync_data") else order(name, call, arguments)

    for name in ("a/one", "b/two", "a/dir/in"):
        (bench.base / name).parent.mkdir(exist_ok=True)
        (bench.base / name).write_bytes(b"old")
    with around_disk(forgetful):
        bench.apply(several_files)
    assert order.too_early
    bench.close()
