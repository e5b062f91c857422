"""Full and read-only disks, missing directories and files that may not be written: an error, and nothing changes."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from codebuddy.tool import ToolError

from .bench import Bench, Write, around_disk, path

# Real full and read-only disks ----------------------------------------------------------------------------------------


@contextmanager
def mounted(where: Path, options: str) -> Iterator[Path]:
    """A small separate file system."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True)


MOUNTS = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts; faults are injected above for everybody")


@MOUNTS
def test_on_a_full_disk_an_edit_is_refused_and_works_once_there_is_room(bench: Bench) -> None:
    with mounted(bench.a, "size=256k"):
        bench.open()
        (bench.a / "one").write_bytes(b"old")
        (bench.b / "two").write_bytes(b"old")
        filler = bench.a / "filler"
        filler.write_bytes(b"\0" * 180_000)
        before = bench.tree()

        def write(draft: Any) -> None:
            draft.write(path("b/two"), b"new")
            draft.write(path("a/one"), b"n" * 150_000)

        with pytest.raises(ToolError, match="no room") as caught:
            bench.apply(write)
        assert (caught.value.code, caught.value.path) == ("disk_full", "a/one")
        assert bench.tree() == before
        filler.unlink()
        outcome = bench.apply(write)
        assert (bench.a / "one").stat().st_size == 150_000
        bench.undo(outcome.edit)
        assert (bench.a / "one").read_bytes() == b"old"
        bench.close()


@MOUNTS
def test_with_no_room_for_the_journal_nothing_is_changed(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    bench = Bench(tmp_path / "bench")
    with mounted(bench.journal_directory, "size=64k"):
        bench.open()
        (bench.a / "one").write_bytes(b"o" * 100_000)
        before = bench.tree()
        with pytest.raises(ToolError, match="make room") as caught:
            bench.apply(lambda draft: draft.write(path("a/one"), b"new"))
        assert caught.value.code == "journal_failed"
        assert bench.tree() == before
        assert bench.journal.entries() == []
        bench.apply(lambda draft: draft.write(path("a/small"), b"new"))
        assert bench.restart() == {}
        assert (bench.a / "small").read_bytes() == b"new"
        bench.close()


@MOUNTS
def test_on_a_read_only_mount_nothing_is_written_in_any_project(bench: Bench) -> None:
    with mounted(bench.a, "size=256k"):
        (bench.a / "one").write_bytes(b"old")
        bench.open()
        subprocess.run(["mount", "-o", "remount,ro", bench.a], check=True)
        before = bench.tree()
        with pytest.raises(ToolError, match="read-only") as caught:
            bench.apply(lambda draft: (draft.write(path("b/new"), b"1"), draft.write(path("a/one"), b"2")))
        assert caught.value.code == "read_only"
        assert bench.tree() == before
        bench.close()


# What is not there, or may not be -------------------------------------------------------------------------------------


def test_if_a_directory_vanished_nothing_is_written(bench: Bench) -> None:
    (bench.a / "dir").mkdir()
    (bench.a / "dir/in").write_bytes(b"old")
    draft = bench.draft()
    draft.write(path("a/dir/in"), b"new")
    draft.write(path("b/new"), b"new")
    shutil.rmtree(bench.a / "dir")
    with pytest.raises(ToolError) as caught:
        bench.engine.apply(draft.plan("test", "tester"))
    assert caught.value.code in ("not_found", "conflict")
    assert bench.tree() == {}


def test_if_a_directory_vanishes_during_staging_nothing_is_written(bench: Bench) -> None:
    (bench.a / "dir").mkdir()
    (bench.a / "dir/in").write_bytes(b"old")
    left = [1]

    def around(name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        left[0] -= name == "create_file"
        if name == "create_file" and left[0] == 0:
            shutil.rmtree(bench.a / "dir")
        return call(*arguments)

    with around_disk(around), pytest.raises(ToolError):
        bench.apply(lambda draft: (draft.write(path("a/dir/in"), b"new"), draft.write(path("b/new"), b"new")))
    assert bench.tree() == {}


def test_a_project_that_is_not_mounted_is_reported(bench: Bench) -> None:
    draft = bench.draft()
    draft.write(path("b/new"), b"new")
    draft.write(path("a/new"), b"new")
    bench.b.rename(bench.base / "away")
    with pytest.raises(ToolError) as caught:
        bench.engine.apply(draft.plan("test", "tester"))
    assert caught.value.code == "project_unavailable"
    assert not (bench.a / "new").exists()
    (bench.base / "away").rename(bench.b)


def test_a_file_marked_read_only_is_not_rewritten(bench: Bench) -> None:
    (bench.a / "one").write_bytes(b"old")
    (bench.a / "one").chmod(0o444)
    before = bench.tree()
    with pytest.raises(ToolError, match="0444") as caught:
        bench.apply(lambda draft: (draft.write(path("a/one"), b"new"), draft.write(path("a/other"), b"new")))
    assert caught.value.code == "read_only"
    assert bench.tree() == before


def test_an_edit_of_more_files_than_may_be_open_is_whole_or_refused(bench: Bench) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 60, limits[1]))
    try:
        with pytest.raises(ToolError) as caught:
            bench.apply(lambda draft: [draft.write(path(f"a/{n}/file"), b"1") for n in range(100)])
        assert caught.value.code == "busy"
        assert bench.tree() == {}
    except pytest.fail.Exception:
        assert len(bench.tree()) == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_fifo_is_neither_written_nor_deleted_and_moves_with_its_directory(bench: Bench) -> None:
    (bench.a / "dir").mkdir()
    os.mkfifo(bench.a / "dir/fifo")
    refused: list[Write] = [
        lambda draft: draft.write(path("a/dir/fifo"), b"new"),
        lambda draft: draft.delete(path("a/dir"), recursive=True),
        lambda draft: draft.move(path("a/dir"), path("b/dir")),
    ]
    for write in refused:
        with pytest.raises(ToolError) as caught:
            bench.apply(write)
        assert caught.value.code == "not_a_file"
    bench.apply(lambda draft: draft.move(path("a/dir"), path("a/moved")))
    assert (bench.a / "moved/fifo").is_fifo()
