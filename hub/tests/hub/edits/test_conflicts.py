"""A change by another process during an edit is a conflict: it is kept, and nothing is written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codebuddy.files.mounts import Mount
from codebuddy.files.text import content_hash
from codebuddy.hub.edits.disk_view import ABSENT
from codebuddy.hub.edits.draft import Draft
from codebuddy.tool import ToolError

from .bench import Bench, Write, around_disk, path
from .scenarios import plant, several_files

Change = Callable[[Bench], object]


def conflict(bench: Bench, write: Write, change: Change) -> ToolError:
    """Make a draft, let another process change something, apply, and return the error."""
    draft = bench.draft()
    write(draft)
    change(bench)
    with pytest.raises(ToolError) as caught:
        bench.engine.apply(draft.plan("test", "tester"))
    assert caught.value.code == "conflict"
    return caught.value


def rewrite_one(bench: Bench) -> None:
    (bench.a / "one").write_bytes(b"foreign")


def test_a_file_that_changed_since_the_draft_is_a_conflict_with_both_hashes(bench: Bench) -> None:
    plant(bench)
    old = content_hash((bench.a / "one").read_bytes())
    rewrite_one(bench)
    expected = bench.tree()
    (bench.a / "one").write_bytes(b"a/one\n")
    error = conflict(bench, several_files, rewrite_one)
    assert "a/one" in error.message
    assert old in error.message
    assert content_hash(b"foreign") in error.message
    assert error.path == "a/one"
    assert bench.tree() == expected
    assert bench.journal.entries() == []


def test_a_conflict_names_every_file_that_changed(bench: Bench) -> None:
    plant(bench)

    def change(bench: Bench) -> None:
        rewrite_one(bench)
        (bench.b / "two").unlink()
        (bench.b / "new").write_bytes(b"foreign")

    error = conflict(bench, several_files, change)
    assert all(name in error.message for name in ("a/one", "b/two", "b/new"))
    assert ABSENT in error.message
    assert "a/dir/in" not in error.message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda bench: (bench.a / "one").chmod(0o600), "now 0600"),
        (lambda bench: (bench.a / "one").unlink(), ABSENT),
        (lambda bench: replaced(bench.a / "one", lambda place: place.mkdir()), "directory"),
        (lambda bench: replaced(bench.a / "one", lambda place: place.symlink_to("two")), "link"),
        (lambda bench: replaced(bench.a / "one", os.mkfifo), "one"),
        (lambda bench: replaced(bench.a / "dir", lambda place: place.symlink_to("empty"), to="dir2"), "dir"),
    ],
    ids=["mode", "gone", "directory", "link", "fifo", "parent"],
)
def test_a_file_replaced_by_anything_else_is_refused_and_kept(bench: Bench, change: Change, told: str) -> None:
    plant(bench)
    draft = bench.draft()
    several_files(draft)
    change(bench)
    names = set(os.listdir(bench.a)), (bench.a / "one").lstat() if os.path.lexists(bench.a / "one") else None
    with pytest.raises(ToolError) as caught:
        bench.engine.apply(draft.plan("test", "tester"))
    assert told in caught.value.message + (caught.value.path or "")
    assert names == (
        set(os.listdir(bench.a)),
        (bench.a / "one").lstat() if os.path.lexists(bench.a / "one") else None,
    )
    assert not (bench.b / "new").exists()


def replaced(place: Path, make: Callable[[Path], object], to: str = "moved away") -> None:
    place.rename(place.with_name(to))
    make(place)


@pytest.mark.parametrize("expected", [ABSENT, content_hash(b"other")])
def test_write_delete_and_move_are_refused_if_the_expected_hash_differs(bench: Bench, expected: str) -> None:
    plant(bench)
    actual = content_hash((bench.a / "one").read_bytes())
    attempts: list[Write] = [
        lambda draft: draft.write(path("a/one"), b"new", expected_hash=expected),
        lambda draft: draft.delete(path("a/one"), expected_hash=expected),
        lambda draft: draft.move(path("a/one"), path("a/three"), expected_hash=expected),
    ]
    for attempt in attempts:
        with pytest.raises(ToolError) as caught:
            attempt(bench.draft())
        assert caught.value.code == "conflict"
        assert actual in caught.value.message
        assert caught.value.path == "a/one"


# Just before a disk call ----------------------------------------------------------------------------------------------


def just_before(name: str, number: int, change: Callable[[], object]) -> Any:
    """Do something just before the n-th of some disk calls."""
    left = [number]

    def around(called: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        left[0] -= called == name
        if called == name and left[0] == 0:
            change()
        return call(*arguments)

    return around_disk(around)


def in_place(place: Path) -> None:
    place.write_bytes(b"foreign")


def over_it(place: Path) -> None:
    other = place.with_name("foreign")
    other.write_bytes(b"foreign")
    other.rename(place)


@pytest.mark.parametrize("how", [in_place, over_it])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_file_changed_just_before_its_exchange_keeps_that_content_and_the_edit_is_reverted(
    bench: Bench, how: Callable[[Path], None], number: int
) -> None:
    plant(bench)
    before = bench.tree()
    changed = ("a/dir/in", "a/one", "b/two")[number - 1]
    draft = bench.draft()
    several_files(draft)
    with just_before("exchange", number, lambda: how(bench.base / changed)), pytest.raises(ToolError) as caught:
        bench.engine.apply(draft.plan("test", "tester"))
    assert caught.value.code == "conflict"
    assert changed in caught.value.message
    assert content_hash(b"foreign") in caught.value.message
    tree = bench.tree()
    assert tree.pop(changed).content == b"foreign"
    del before[changed]
    assert tree == before


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("ext4", "conflict", "its content is the same, but its inode, mode or owner is not; nothing was written"),
        ("fuse.sshfs", "unsupported", "A file system of the type fuse.sshfs gives a file another inode"),
    ],
)
def test_of_a_file_with_another_inode_and_the_same_content_it_is_said_what_differs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: str, code: str, said: str
) -> None:
    plant(bench)
    monkeypatch.setattr("codebuddy.hub.edits.steps.mount_of", lambda _fd: Mount("1", "/", kind))

    def again() -> None:
        (bench.a / "copy").write_bytes((bench.a / "one").read_bytes())
        (bench.a / "copy").chmod((bench.a / "one").stat().st_mode & 0o7777)
        (bench.a / "copy").rename(bench.a / "one")

    before = bench.tree()
    draft = bench.draft()
    draft.write(path("a/one"), b"new")
    with just_before("exchange", 1, again), pytest.raises(ToolError) as caught:
        bench.engine.apply(draft.plan("test", "tester"))
    assert caught.value.code == code
    assert said in caught.value.message
    assert bench.tree() == before


CASES: dict[str, tuple[Write, Callable[[Path], None], str]] = {
    "its name is taken": (lambda draft: draft.write(path("a/new"), b"x"), in_place, "a/new"),
    "a deleted file": (lambda draft: draft.delete(path("a/one")), in_place, "a/one"),
    "one more in a tree": (lambda draft: draft.delete(path("a/dir"), recursive=True), in_place, "a/dir/late"),
    "deep in a tree": (lambda draft: draft.delete(path("a/dir"), recursive=True), in_place, "a/dir/sub/deep"),
    "where it moves to": (lambda draft: draft.move(path("a/one"), path("a/new")), in_place, "a/new"),
    "what moves": (lambda draft: draft.move(path("a/one"), path("a/new")), over_it, "a/one"),
}


@pytest.mark.parametrize(("write", "how", "changed"), CASES.values(), ids=CASES)
def test_a_change_just_before_a_rename_is_kept_and_the_edit_is_reverted(
    bench: Bench, write: Write, how: Callable[[Path], None], changed: str
) -> None:
    plant(bench)
    before = bench.tree()

    def both(draft: Draft) -> None:
        draft.write(path("b/one"), b"first")  # is done by then, and has to be taken back
        write(draft)

    draft = bench.draft()
    both(draft)
    with just_before("rename", 1, lambda: how(bench.base / changed)), pytest.raises(ToolError) as caught:
        bench.engine.apply(draft.plan("test", "tester"))
    assert caught.value.code == "conflict"
    tree = bench.tree()
    assert tree.pop(changed).content == b"foreign"
    before.pop(changed, None)
    assert tree == before


def test_a_mode_changed_just_before_the_exchange_is_not_lost(bench: Bench) -> None:
    plant(bench)
    draft = bench.draft()
    draft.write(path("a/one"), b"new")
    with (
        just_before("exchange", 1, lambda: (bench.a / "one").chmod(0o755)),
        pytest.raises(ToolError, match="a/one") as caught,
    ):
        bench.engine.apply(draft.plan("test", "tester"))
    assert caught.value.code == "conflict"
    assert bench.tree()["a/one"][:2] == ("file", 0o755)
    assert (bench.a / "one").read_bytes() == b"a/one\n"


def test_a_hard_linked_file_changed_just_before_it_is_written_keeps_that_content(bench: Bench) -> None:
    plant(bench)
    (bench.a / "a").write_bytes(b"comes before it")
    before = bench.tree()
    draft = bench.draft()
    draft.write(path("a/a"), b"new")
    draft.write(path("a/big"), b"new")
    with just_before("exchange", 1, lambda: in_place(bench.a / "big")), pytest.raises(ToolError) as caught:
        bench.engine.apply(draft.plan("test", "tester"))
    assert caught.value.code == "conflict"
    tree = bench.tree()
    assert tree.pop("a/big").content == b"foreign" == tree.pop("a/other name").content
    assert tree == {name: thing for name, thing in before.items() if name not in ("a/big", "a/other name")}


DONE_BEFORE: dict[str, tuple[Write, str]] = {
    "rewritten": (lambda draft: draft.write(path("a/a"), b"new"), "a/a"),
    "rewritten under several names": (lambda draft: draft.write(path("a/big"), b"new"), "a/big"),
    "created": (lambda draft: draft.write(path("a/new"), b"new"), "a/new"),
    "deleted": (lambda draft: draft.delete(path("a/dir/in")), "a/dir/in"),
}


@pytest.mark.parametrize(("write", "changed"), DONE_BEFORE.values(), ids=DONE_BEFORE)
def test_a_change_after_a_step_and_before_the_edit_fails_is_kept_and_reported(
    bench: Bench, write: Write, changed: str
) -> None:
    """The rest of the edit is reverted, and what was replaced is kept."""
    plant(bench)
    (bench.a / "a").write_bytes(b"old")
    (bench.b / "last").write_bytes(b"old")
    before = bench.tree()

    def fails_at_last(name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if name == "rename" and "last" in arguments:
            in_place(bench.base / changed)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return call(*arguments)

    draft = bench.draft()
    write(draft)
    draft.write(path("b/two"), b"new")
    draft.move(path("b/last"), path("b/moved"))
    with around_disk(fails_at_last), pytest.raises(ToolError, match=changed) as caught:
        bench.engine.apply(draft.plan("test", "tester"))
    assert caught.value.code == "revert_incomplete"
    for restarted in (False, True):
        if restarted:
            bench.restart()
        assert (bench.base / changed).read_bytes() == b"foreign"
        kept = {name: thing for name, thing in bench.tree().items() if ".codebuddy" not in name}
        names = {changed, "a/other name"} if changed == "a/big" else {changed}
        assert {name: thing for name, thing in kept.items() if name not in names} == {
            name: thing for name, thing in before.items() if name not in names
        }
