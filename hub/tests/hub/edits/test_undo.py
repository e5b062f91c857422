"""Every edit can be undone, also an undo; what another process changed since is not overwritten."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from codebuddy.files.text import content_hash
from codebuddy.hub.edits.disk_view import ABSENT
from codebuddy.hub.edits.draft import Draft
from codebuddy.tool import ToolError

from .bench import Bench, Write, path
from .scenarios import WRITES, nested_directories, plant, several_files


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
def test_every_kind_of_edit_can_be_undone_redone_and_undone_again_exactly(bench: Bench, write: Write) -> None:
    plant(bench)
    before = bench.tree()
    edit = bench.apply(write).edit
    after = bench.tree()
    assert after != before
    for expected in (before, after, before):
        bench.restart()
        edit = bench.undo(edit).edit
        assert bench.tree() == expected
    assert len(bench.standing()) == 4
    assert not bench.temporaries()


def test_edits_can_be_undone_one_by_one_back_to_the_first(bench: Bench) -> None:
    plant(bench)
    trees, edits = [bench.tree()], []
    for write in (several_files, move_about, fill_up):
        edits.append(bench.apply(write).edit)
        trees.append(bench.tree())
    for edit, expected in zip(reversed(edits), reversed(trees[:-1]), strict=True):
        bench.undo(edit)
        assert bench.tree() == expected


def move_about(draft: Draft) -> None:
    draft.move(path("a/dir"), path("b/dir/from a"))
    draft.delete(path("a/one"))


def fill_up(draft: Draft) -> None:
    draft.write(path("a/one"), b"again")
    draft.write(path("a/dir"), b"a file")
    draft.delete(path("b/dir/from a/sub"), recursive=True)


def test_an_undo_records_what_it_undoes_and_changes_the_same_files(bench: Bench) -> None:
    plant(bench)
    done = bench.apply(several_files)
    undone = bench.undo(done.edit)
    entry = bench.journal.get(undone.edit or "")
    assert entry is not None
    assert entry.about["undoes"] == done.edit
    assert entry.about["tool"] == "undo_edit"
    assert {str(change.path) for change in undone.changes} == {str(change.path) for change in done.changes}


# What changed since ---------------------------------------------------------------------------------------------------


def refused_undo(bench: Bench, write: Write, change: Callable[[Bench], object]) -> ToolError:
    """Apply, let another process change something, undo, and return the error."""
    edit = bench.apply(write).edit
    change(bench)
    before, standing = bench.tree(), len(bench.standing())
    with pytest.raises(ToolError) as caught:
        bench.undo(edit)
    assert bench.tree() == before
    assert len(bench.standing()) == standing
    assert caught.value.code == "conflict"
    return caught.value


def test_undo_refuses_a_file_that_changed_since_with_both_hashes(bench: Bench) -> None:
    plant(bench)
    error = refused_undo(bench, several_files, lambda bench: (bench.b / "new").write_bytes(b"foreign"))
    assert "b/new" in error.message
    assert content_hash(b"made") in error.message
    assert content_hash(b"foreign") in error.message


def test_undo_refuses_a_file_that_was_edited_since_until_that_edit_is_undone(bench: Bench) -> None:
    plant(bench)
    before = bench.tree()
    first = bench.apply(several_files).edit
    second = bench.apply(lambda draft: draft.write(path("a/one"), b"second")).edit
    with pytest.raises(ToolError, match="a/one") as caught:
        bench.undo(first)
    assert caught.value.code == "conflict"
    bench.undo(second)
    bench.undo(first)
    assert bench.tree() == before


CASES: dict[str, tuple[Write, Callable[[Bench], object], str]] = {
    "a deleted file's name was taken": (
        lambda draft: draft.delete(path("a/one")),
        lambda bench: (bench.a / "one").write_bytes(b"foreign"),
        "a/one",
    ),
    "a created file is gone": (
        lambda draft: draft.write(path("a/new"), b"new"),
        lambda bench: (bench.a / "new").unlink(),
        ABSENT,
    ),
    "a moved file's old name was taken": (
        lambda draft: draft.move(path("a/one"), path("a/three")),
        lambda bench: (bench.a / "one").write_bytes(b"foreign"),
        "a/one",
    ),
    "a moved file is gone": (
        lambda draft: draft.move(path("a/one"), path("a/three")),
        lambda bench: (bench.a / "three").unlink(),
        "a/three",
    ),
    "a created file became a link": (
        lambda draft: draft.write(path("a/new"), b"new"),
        lambda bench: ((bench.a / "new").unlink(), (bench.a / "new").symlink_to("one")),
        "a/new",
    ),
    "the mode of a rewritten file was changed": (
        lambda draft: draft.write(path("a/one"), b"new"),
        lambda bench: (bench.a / "one").chmod(0o777),
        "0777",
    ),
    "the directory of a rewritten file is gone": (
        lambda draft: draft.write(path("a/dir/sub/deep"), b"new"),
        lambda bench: (bench.a / "dir/sub").rename(bench.a / "away"),
        "a/dir/sub",
    ),
    "a created directory has something more in it": (
        lambda draft: draft.make_directory(path("a/made")),
        lambda bench: (bench.a / "made/late").write_bytes(b"foreign"),
        "a/made/late",
    ),
    "a directory that came from the other project has more in it": (
        lambda draft: draft.move(path("a/dir"), path("b/carried")),
        lambda bench: (bench.b / "carried/late").write_bytes(b"foreign"),
        "b/carried/late",
    ),
}


@pytest.mark.parametrize(("write", "change", "told"), CASES.values(), ids=CASES)
def test_undo_refuses_anything_that_changed_since(
    bench: Bench, write: Write, change: Callable[[Bench], object], told: str
) -> None:
    plant(bench)

    def with_another(draft: Draft) -> None:
        draft.write(path("b/one"), b"undone with it or not at all")
        write(draft)

    edit = bench.apply(with_another).edit
    change(bench)
    before = bench.tree()
    with pytest.raises(ToolError) as caught:
        bench.undo(edit)
    assert caught.value.code in ("conflict", "not_found")
    assert told in caught.value.message + (caught.value.path or "")
    assert bench.tree() == before


def test_content_written_since_into_a_moved_directory_moves_back_with_it(bench: Bench) -> None:
    plant(bench)
    edit = bench.apply(lambda draft: draft.move(path("a/dir"), path("a/moved"))).edit
    (bench.a / "moved/late").write_bytes(b"foreign")
    (bench.a / "moved/in").write_bytes(b"foreign too")
    bench.undo(edit)
    assert (bench.a / "dir/late").read_bytes() == b"foreign"
    assert (bench.a / "dir/in").read_bytes() == b"foreign too"
    assert not (bench.a / "moved").exists()


# Directories that came along ------------------------------------------------------------------------------------------


def test_undo_removes_implied_parents_that_are_empty(bench: Bench) -> None:
    edit = bench.apply(nested_directories).edit
    assert (bench.a / "new/deep/er").is_dir()
    bench.undo(edit)
    assert bench.tree() == {}


@pytest.mark.parametrize(
    ("late", "kept"),
    [
        ("a/new/deep/er/late", {"a/new", "a/new/deep", "a/new/deep/er"}),
        ("a/new/deep/late", {"a/new", "a/new/deep"}),
        ("a/new/late", {"a/new"}),
    ],
)
@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_undo_keeps_implied_parents_that_hold_something_else(
    bench: Bench, late: str, kept: set[str], kind: str
) -> None:
    edit = bench.apply(
        lambda draft: (draft.write(path("a/new/deep/er/file"), b"1"), draft.write(path("b/other/file"), b"2"))
    ).edit
    if kind == "file":
        (bench.base / late).write_bytes(b"foreign")
    elif kind == "link":
        (bench.base / late).symlink_to("nowhere")
    else:
        (bench.base / late).mkdir()
    undone = bench.undo(edit)
    assert set(bench.tree()) == {*kept, late}
    bench.undo(undone.edit)
    assert (bench.a / "new/deep/er/file").read_bytes() == b"1"
    assert (bench.b / "other/file").read_bytes() == b"2"


def test_a_requested_directory_is_not_an_implied_parent(bench: Bench) -> None:
    edit = bench.apply(
        lambda draft: (draft.make_directory(path("a/asked")), draft.write(path("a/asked/file"), b""))
    ).edit
    (bench.a / "asked/late").write_bytes(b"foreign")
    with pytest.raises(ToolError, match="a/asked/late"):
        bench.undo(edit)
    os.unlink(bench.a / "asked/late")
    bench.undo(edit)
    assert bench.tree() == {}
