"""What a process in a spoke does to its own project during an edit harms no other project and not the hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from codebuddy.hub.edits import disk
from codebuddy.tool import ToolError

from .bench import Bench, path

HUGE = 1 << 40


def before_call(monkeypatch: pytest.MonkeyPatch, name: str, act: Any) -> None:
    """Do something once, just before a disk call."""
    call = getattr(disk, name)

    def acting(*arguments: Any) -> Any:
        monkeypatch.setattr(disk, name, call)
        act()
        return call(*arguments)

    monkeypatch.setattr(disk, name, acting)


def temporary(directory: Path) -> Path:
    return next(entry for entry in directory.iterdir() if entry.name.startswith(".codebuddy-"))


def test_a_file_that_becomes_huge_at_the_last_instant_is_not_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.a / "file").write_bytes(b"old")
    before_call(monkeypatch, "exchange", lambda: os.truncate(bench.a / "file", HUGE))
    with pytest.raises(ToolError) as caught:
        bench.apply(lambda draft: draft.write(path("a/file"), b"new"))
    assert caught.value.code == "conflict"
    assert (bench.a / "file").stat().st_size == HUGE
    assert bench.restart() == {}


def test_a_huge_file_in_place_of_a_staged_one_does_not_stop_the_hub_from_starting(bench: Bench) -> None:
    (bench.a / "file").write_bytes(b"old")
    edit = bench.apply(lambda draft: draft.write(path("a/file"), b"new")).edit
    assert edit is not None
    bench.engine.wait_until_removed()
    bench.journal.note(edit, "edit")
    os.truncate(bench.a / "file", HUGE)
    assert set(bench.recover().values()) <= {"applied", "discarded"}


@pytest.mark.timeout(20)
def test_a_pipe_in_place_of_a_staged_file_does_not_block(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.a / "file").write_bytes(b"old")
    os.link(bench.a / "file", bench.a / "other")

    def plant() -> None:
        staged = temporary(bench.a)
        staged.unlink()
        os.mkfifo(staged)

    before_call(monkeypatch, "sync_data", plant)
    with pytest.raises(ToolError):
        bench.apply(lambda draft: draft.write(path("a/file"), b"new"))
    assert (bench.a / "file").read_bytes() == b"old"


def test_a_step_that_cannot_be_reverted_does_not_stop_reverts_in_other_projects(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.b / "victim").write_bytes(b"old")
    (bench.a / "file").write_bytes(b"old")
    (bench.a / "linked").write_bytes(b"old")
    os.link(bench.a / "linked", bench.a / "other")
    before_call(monkeypatch, "overwrite", lambda: [temporary(bench.a).unlink(), (bench.a / "linked").unlink()])
    rename = disk.rename

    def refuse(*arguments: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(disk, "rename", refuse)
    with pytest.raises(ToolError):
        bench.apply(
            lambda draft: (
                draft.write(path("a/linked"), b"new"),
                draft.write(path("a/new"), b"new"),
                draft.write(path("b/victim"), b"new"),
            )
        )
    monkeypatch.setattr(disk, "rename", rename)
    assert (bench.b / "victim").read_bytes() == b"old"


def test_a_directory_tree_deeper_than_the_stack_is_removed(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        here = os.dup(fd)
        for _ in range(1500):
            os.mkdir("d", dir_fd=here)
            inner = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(here)
        disk.remove_tree(fd, "d")
        assert os.listdir(fd) == []
    finally:
        os.close(fd)


def test_a_directory_in_place_of_a_replaced_file_is_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.a / "file").write_bytes(b"old")

    def plant() -> None:
        old = temporary(bench.a)
        old.unlink()
        old.mkdir()
        (old / "mine").write_bytes(b"kept")

    before_call(monkeypatch, "remove_file", plant)
    bench.apply(lambda draft: draft.write(path("a/file"), b"new"))
    bench.engine.wait_until_removed()
    assert (bench.a / "file").read_bytes() == b"new"
    assert (temporary(bench.a) / "mine").read_bytes() == b"kept"
