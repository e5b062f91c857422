"""On a file system without renameat2, edits take other system calls and have the same result."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codebuddy.hub.edits import disk
from codebuddy.tool import ToolError

from .bench import Bench, around_disk
from .scenarios import APPLIED, UNDONE, Scenario, several_files


def refuse(error: int) -> None:
    raise OSError(error, os.strerror(error))


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS])
@pytest.mark.parametrize("scenario", [*APPLIED, *UNDONE], ids=lambda scenario: scenario.name)
def test_without_renameat2_edits_have_the_same_result(
    scenario: Scenario, error: int, quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = []
    for name in ("with", "without"):
        bench = Bench(quick_path / name)
        scenario.work(bench, scenario.plant(bench))
        trees.append(bench.tree())
        bench.undo(bench.standing()[-1].id)
        trees.append(bench.tree())
        bench.close()
        assert not bench.temporaries()
        monkeypatch.setattr(disk, "_exchange", lambda *_: refuse(error))
        monkeypatch.setattr(disk, "_rename_new", lambda *_: refuse(error))
    assert trees[:2] == trees[2:]


def test_without_renameat2_a_change_by_another_process_is_a_conflict_and_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_exchange", lambda *_: refuse(errno.EINVAL))
    monkeypatch.setattr(disk, "_rename_new", lambda *_: refuse(errno.EINVAL))
    for name in ("a/dir", "b"):
        (bench.base / name).mkdir(exist_ok=True)
    for name in ("a/one", "a/dir/in", "b/two"):
        (bench.base / name).write_bytes(b"old")
    left = [2]

    def around(name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        left[0] -= name == "exchange"
        if name == "exchange" and left[0] == 0:
            (bench.a / "one").write_bytes(b"foreign")
        return call(*arguments)

    with around_disk(around), pytest.raises(ToolError) as caught:
        bench.apply(several_files)
    assert caught.value.code == "conflict"
    assert {name: thing.content for name, thing in bench.tree().items() if thing.kind == "file"} == {
        "a/one": b"foreign",
        "a/dir/in": b"old",
        "b/two": b"old",
    }
