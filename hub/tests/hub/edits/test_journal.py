"""The journal keeps edits as long as configured, and damage costs no more than the damaged record."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from codebuddy.hub.edits.engine import EditEngine
from codebuddy.hub.edits.journal import Journal
from codebuddy.tool import ToolError

from .bench import Bench, around_disk, die, path, survives
from .scenarios import delete_directories, edit_in_moved_directory, plant, several_files

MEBIBYTE = 1 << 20
DAY = 86400.0


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def with_journal(bench: Bench, max_bytes: int, max_age: float = 1e9, clock: Callable[[], float] | None = None) -> None:
    """Reopen the journal of the bench with other limits."""
    bench.engine.close()
    bench.journal = Journal(bench.journal_directory, max_bytes, max_age, **({"clock": clock} if clock else {}))
    bench.engine = EditEngine(bench.workspaces, bench.journal)


def settle(bench: Bench) -> None:
    """Sync everything now instead of shortly afterwards, because unfinished edits are not removed."""
    bench.engine.close()
    bench.engine = EditEngine(bench.workspaces, bench.journal)


def size(bench: Bench) -> int:
    return sum(file.stat().st_size for file in bench.journal_directory.iterdir())


def write(bench: Bench, content: bytes) -> str:
    edit = bench.apply(lambda draft: draft.write(path("a/file"), content)).edit
    assert edit is not None
    return edit


# Retention ------------------------------------------------------------------------------------------------------------


def test_the_oldest_edits_are_removed_when_the_journal_exceeds_its_size(bench: Bench) -> None:
    with_journal(bench, MEBIBYTE)
    edits, largest = [], 0
    for number in range(120):
        edits.append(write(bench, os.urandom(40_000)))
        largest = max(largest, size(bench))
        settle(bench)
        assert bench.journal.get(edits[-1]) is not None, f"edit {number} is gone at once"
    assert largest < 1.25 * MEBIBYTE
    kept = [entry.id for entry in bench.journal.entries()]
    assert kept == edits[-len(kept) :], "others than the oldest went"
    assert len(kept) > 10
    assert bench.journal.get(edits[0]) is None
    bench.restart()
    for edit in reversed(edits[-10:]):
        bench.undo(edit)
    assert bench.journal.get(edits[0]) is None


def test_edits_that_exceed_the_age_are_removed(bench: Bench) -> None:
    clock = Clock()
    with_journal(bench, 64 * MEBIBYTE, 30 * DAY, clock)
    old = [write(bench, os.urandom(1_000_000)) for _ in range(20)]
    before = size(bench)
    clock.now += 20 * DAY
    new = write(bench, b"new")
    settle(bench)
    assert all(bench.journal.get(edit) for edit in (*old, new))
    clock.now += 11 * DAY
    assert [entry.id for entry in bench.journal.entries()] == [new]
    assert bench.journal.get(old[-1]) is None
    with_journal(bench, 64 * MEBIBYTE, 30 * DAY, clock)
    assert size(bench) < before / 2
    bench.undo(new)


def test_an_unfinished_edit_is_never_removed(bench: Bench) -> None:
    plant(bench)
    before = bench.tree()
    bench.close()

    def killed_in_its_steps() -> None:
        bench.open()
        with around_disk(lambda name, call, arguments: die() if name == "exchange" else call(*arguments)):
            bench.apply(several_files)

    assert not survives(killed_in_its_steps)
    clock = Clock()
    clock.now += 365 * DAY
    bench.open()
    with_journal(bench, MEBIBYTE, DAY, clock)
    (unfinished,) = [entry for entry in bench.journal.entries() if not entry.has_ended]
    for _ in range(60):
        write(bench, os.urandom(40_000))
        settle(bench)
    clock.now += 365 * DAY
    write(bench, os.urandom(200_000))
    assert bench.journal.get(unfinished.id) is not None
    with_journal(bench, MEBIBYTE, DAY, clock)
    assert bench.journal.get(unfinished.id) is not None
    (bench.a / "file").unlink()
    assert bench.recover()[unfinished.id] in ("applied", "reverted", "discarded")
    assert not bench.temporaries()
    assert bench.tree() == before or len(bench.standing()) > 0


def test_removing_segments_does_not_make_an_ended_edit_unfinished(tmp_path: Path) -> None:
    """The end of an edit may be in a later segment than the edit, which must not be removed first."""

    def write(kind: str, edit: str, content: bytes = b"") -> None:
        journal.write(kind, edit, None, content, {"projects": ["a"], "boot": ""})

    journal = Journal(tmp_path, MEBIBYTE, 1e9)
    write("edit", "unfinished")
    write("edit", "ended", os.urandom(400_000))
    write("edit", "next", os.urandom(400_000))
    for edit in ("ended", "next"):
        write("applied", edit)
        write("settled", edit)
    for number in range(20):
        write("edit", f"more-{number}", os.urandom(400_000))
        write("settled", f"more-{number}")
    again = Journal(tmp_path, MEBIBYTE, 1e9)
    assert again.get("unfinished") is not None
    ended = again.get("ended")
    assert ended is None or ended.has_ended


# Damage ---------------------------------------------------------------------------------------------------------------


def copy_of(bench: Bench, base: Path) -> Bench:
    """The same projects and journal elsewhere, with other inodes."""
    shutil.rmtree(base, ignore_errors=True)
    shutil.copytree(bench.base, base, symlinks=True)
    return Bench(base)


def test_a_journal_cut_at_any_byte_of_its_last_record_is_read_up_to_there_and_continues(quick_path: Path) -> None:
    bench = Bench(quick_path / "bench")
    first = write(bench, b"1")
    bench.close()
    (segment,) = bench.journal_directory.iterdir()
    end = segment.stat().st_size
    bench.open()
    bench.journal.write("edit", "torn", {"changes": [], "steps": []}, b"content", {"projects": [], "subject": "ö"})
    bench.close()
    whole = segment.read_bytes()
    assert len(whole) > end + 100
    for length in range(end, len(whole)):
        segment.write_bytes(whole[:length])
        journal = Journal(bench.journal_directory, MEBIBYTE, 1e9)
        assert [entry.id for entry in journal.entries()] == [first], f"torn at byte {length - end}"
        assert segment.stat().st_size == end, "what is torn is cut off, so that the next record is found"
        journal.write("staging", "next", [])
        again = Journal(bench.journal_directory, MEBIBYTE, 1e9)
        assert [entry.id for entry in again.entries()] == [first, "next"]
    bench.recover()
    bench.undo(first)
    assert bench.tree() == {}
    bench.close()


@pytest.mark.parametrize("damage", [b"\0", b"\xff" * 100, b"\n", b"{}\n", b'{"document":-1,"content":0,"sha256":""}\n'])
def test_whatever_follows_the_last_record_is_cut_off(bench: Bench, damage: bytes) -> None:
    first = write(bench, b"1")
    bench.close()
    (segment,) = bench.journal_directory.iterdir()
    with segment.open("ab") as file:
        file.write(damage)
    assert bench.recover() == {}
    second = write(bench, b"2")
    bench.restart()
    assert [entry.id for entry in bench.standing()] == [first, second]
    bench.undo(second)
    assert (bench.a / "file").read_bytes() == b"1"


def test_a_damaged_record_only_prevents_the_undo_of_its_edit(bench: Bench) -> None:
    with_journal(bench, MEBIBYTE)
    edits = [write(bench, bytes([65 + number]) * 40_000) for number in range(12)]
    bench.close()
    segments = sorted(bench.journal_directory.iterdir())
    assert len(segments) > 2
    data = segments[0].read_bytes()
    where = data.index(b"A" * 1000)  # what was there before the second edit
    segments[0].write_bytes(data[:where] + b"x" + data[where + 1 :])
    assert bench.recover() == {}
    before = bench.tree()
    for edit in reversed(edits[2:]):
        bench.undo(edit)
    with pytest.raises(ToolError) as caught:
        bench.undo(edits[1])
    assert caught.value.code == "journal_damaged"
    assert (bench.a / "file").read_bytes() == b"B" * 40_000
    assert bench.tree() != before


def test_a_damaged_header_in_an_older_segment_loses_no_later_segment(bench: Bench) -> None:
    with_journal(bench, MEBIBYTE)
    edits = [write(bench, bytes([65 + number]) * 40_000) for number in range(12)]
    bench.close()
    segments = sorted(bench.journal_directory.iterdir())
    segments[0].write_bytes(b"garbage" + segments[0].read_bytes())
    bench.recover()
    assert bench.journal.get(edits[-1]) is not None
    bench.undo(edits[-1])
    new = write(bench, b"new")
    bench.restart()
    assert bench.journal.get(new) is not None


# One after the other --------------------------------------------------------------------------------------------------


def test_a_reopened_journal_continues_the_numbers_of_its_segments(bench: Bench) -> None:
    names: list[list[str]] = []
    edits = []
    for _ in range(3):
        with_journal(bench, 4 * MEBIBYTE)
        edits += [write(bench, os.urandom(100_000)) for _ in range(5)]
        names.append(sorted(file.name for file in bench.journal_directory.iterdir()))
    assert names[0] < names[1] < names[2]
    assert names[2][: len(names[0])] == names[0], "an older file was written again"
    assert [entry.id for entry in bench.journal.entries()] == edits
    for edit in reversed(edits):
        bench.undo(edit)
    assert bench.tree() == {}


def test_ids_are_unique_also_within_one_second_and_between_threads(bench: Bench) -> None:
    journal = Journal(bench.base / "other", MEBIBYTE, 1e9, clock=Clock())
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: journal.new_id(), range(5000)))
    assert len(set(ids)) == len(ids)


def test_edits_are_listed_in_order_with_subject_and_tool(bench: Bench) -> None:
    edits = [write(bench, str(number).encode()) for number in range(5)]
    bench.restart()
    entries = bench.journal.entries()
    assert [entry.id for entry in entries] == edits
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert {(entry.about["tool"], entry.about["subject"]) for entry in entries} == {("test", "tester")}
    assert entries[0].about["projects"] == ["a"]


def test_refused_edits_and_previews_are_not_listed(bench: Bench) -> None:
    plant(bench)
    bench.apply(delete_directories, preview=True)
    draft = bench.draft()
    edit_in_moved_directory(draft)
    (bench.a / "dir/in").write_bytes(b"foreign")
    with pytest.raises(ToolError):
        bench.engine.apply(draft.plan("test", "tester"))
    assert bench.journal.entries() == []
    assert bench.restart() == {}
    assert bench.journal.entries() == []


def test_only_the_owner_can_read_the_journal(bench: Bench) -> None:
    write(bench, b"secret")
    assert bench.journal_directory.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in bench.journal_directory.iterdir()} == {0o600}
