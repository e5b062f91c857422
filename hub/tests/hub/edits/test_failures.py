"""When any disk call fails, the edit is reverted completely, with one error message."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from codebuddy.hub.edits.engine import EditEngine
from codebuddy.tool import ToolError
from codebuddy_testing.open_files import open_files_below

from .bench import Bench, around_disk, path
from .scenarios import APPLIED, UNDONE, WRITES, Scenario, plant, several_files

AFTERWARDS = (
    "remove_file",
    "remove_tree",
    "append",
    "truncate",
    "sync",
    "sync_data",
)  # what is done when the edit stands already


class Failing:
    """Makes the n-th disk call fail after doing nothing or half of it."""

    def __init__(self, number: int, error: int, *, half: bool = False) -> None:
        self._number, self._error, self._half = number, error, half
        self.failed: str | None = None

    def __call__(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        self._number -= 1
        if self._number != 0:
            return call(*arguments)
        self.failed = name
        if self._half and name in ("create_file", "overwrite", "append"):
            self._write_half(name, arguments)
        raise OSError(self._error, os.strerror(self._error))

    def _write_half(self, name: str, arguments: tuple[Any, ...]) -> None:
        content = arguments[-1]
        half = content[: len(content) // 2]
        if name == "create_file":
            directory, called, _ = arguments
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(called, flags, 0o600, dir_fd=directory), "wb") as file:
                file.write(half)
        elif name == "overwrite":
            os.pwrite(arguments[0], half, 0)
        else:
            os.write(arguments[0], half)


def fail_at_every_call(
    scenario: Scenario, base: Path, make: Callable[[int], Failing]
) -> Iterator[tuple[Bench, Any, dict[str, Any], ToolError | None, str]]:
    """Run a scenario with its first disk call failing, then its second, and so on."""
    for number in count(1):
        bench = Bench(base / str(number))
        planted = scenario.plant(bench)
        bench.engine.close()
        bench.open()
        before, failing, refused = bench.tree(), make(number), None
        with around_disk(failing):
            try:
                scenario.work(bench, planted)
            except ToolError as error:
                refused = error
        if failing.failed is None:
            bench.close()
            return
        yield bench, planted, before, refused, failing.failed
        bench.close()
        shutil.rmtree(bench.base)


@pytest.mark.parametrize(
    ("error", "half"), [(errno.EIO, False), (errno.ENOSPC, True)], ids=["nothing done", "half done"]
)
@pytest.mark.parametrize("scenario", [*APPLIED, *UNDONE[:4]], ids=lambda scenario: scenario.name)
def test_an_edit_whose_disk_call_fails_is_whole_or_reverted_with_an_error(
    scenario: Scenario, error: int, half: bool, quick_path: Path
) -> None:
    undone = scenario in UNDONE
    for bench, planted, before, refused, failed in fail_at_every_call(
        scenario, quick_path, lambda number: Failing(number, error, half=half)
    ):
        tree = bench.tree()
        if refused is None:
            assert failed in AFTERWARDS, f"the failure of {failed} is not reported"
            assert tree != before
        else:
            assert refused.code not in ("revert_incomplete", "conflict"), refused.message
            assert refused.message.endswith("."), refused.message
            assert {name: thing for name, thing in tree.items() if ".codebuddy" not in name} == before, failed
            scenario.work(bench, planted)  # the engine goes on
        bench.restart()
        assert len(bench.standing()) == 1 + undone
        assert not bench.temporaries(), f"after {failed} failed"


def test_each_kind_of_failure_has_its_error_code(bench: Bench) -> None:
    (bench.a / "one").write_bytes(b"1")
    told = {
        errno.ENOSPC: ("disk_full", "room"),
        errno.EDQUOT: ("disk_full", "room"),
        errno.EROFS: ("read_only", "read-only"),
        errno.EACCES: ("permission_denied", "owner and mode"),
        errno.EIO: ("io_error", "dmesg"),
    }
    for error, (code, words) in told.items():

        def around(name: str, call: Callable[..., Any], arguments: tuple[Any, ...], error: int = error) -> Any:
            return refuse(error) if name == "create_file" else call(*arguments)

        with around_disk(around), pytest.raises(ToolError, match=words) as caught:
            bench.apply(lambda draft: draft.write(path("a/one"), b"new"))
        assert caught.value.code == code
        assert caught.value.path == "a/one"


def refuse(error: int) -> None:
    raise OSError(error, os.strerror(error))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_edit_that_cannot_be_reverted_is_completed_or_reverted_by_the_next_start(bench: Bench, number: int) -> None:
    """The disk fails in the middle of the steps and does not recover; no answer may claim that nothing changed."""
    for name in ("a/1", "a/2", "b/3"):
        (bench.base / name).write_bytes(b"old")
    before = bench.tree()
    left = [number]

    def around(name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        left[0] -= name == "exchange"
        return refuse(errno.EIO) if name == "exchange" and left[0] < 1 else call(*arguments)

    with around_disk(around), pytest.raises(ToolError):
        bench.apply(lambda draft: [draft.write(path(name), b"new") for name in ("a/1", "a/2", "b/3")])
    bench.restart()
    assert bench.tree() == before, "it was reported as failed"


def test_edits_that_succeed_or_fail_leave_no_descriptor_open(quick_path: Path) -> None:
    bench = Bench(quick_path / "bench")
    plant(bench)
    bench.apply(several_files)
    bench.undo(bench.standing()[-1].id)
    bench.close()
    bench.open()
    bench.apply(several_files, preview=True)  # has the projects opened, which stay so
    opened = open_files_below(bench.base)
    for write in WRITES:
        for number in (2, 5, 9):
            with around_disk(Failing(number, errno.EIO)), suppress(ToolError):
                bench.undo(bench.apply(write).edit)
        for entry in [entry for entry in bench.standing() if entry.about["tool"] == "test"][-1:]:
            with suppress(ToolError):
                bench.undo(entry.id)
        bench.engine.close()
        bench.engine = EditEngine(bench.workspaces, bench.journal)
    assert open_files_below(bench.base) == opened
    bench.close()
