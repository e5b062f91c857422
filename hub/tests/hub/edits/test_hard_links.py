"""A file with several names (hard links) is one file, also within one edit."""

from __future__ import annotations

import os

import pytest

from codebuddy.tool import ToolError

from .bench import Bench, Write, path


@pytest.fixture
def linked(bench: Bench) -> Bench:
    """One file with the names `a/one` and `a/two`, and an unrelated one."""
    (bench.a / "one").write_bytes(b"old")
    os.link(bench.a / "one", bench.a / "two")
    (bench.b / "three").write_bytes(b"old")
    return bench


def content(bench: Bench, name: str) -> bytes:
    return (bench.base / name).read_bytes()


def test_two_contents_for_two_hard_links_of_one_file_are_refused(linked: Bench) -> None:
    before = linked.tree()
    with pytest.raises(ToolError) as caught:
        linked.apply(
            lambda draft: (
                draft.write(path("b/three"), b"new"),
                draft.write(path("a/one"), b"1"),
                draft.write(path("a/two"), b"2"),
            )
        )
    assert caught.value.code == "same_file_twice"
    assert linked.tree() == before


@pytest.mark.parametrize(
    "other",
    [
        lambda draft: draft.write(path("a/two"), b"new"),
        lambda draft: draft.delete(path("a/two")),
        lambda draft: draft.move(path("a/two"), path("a/four")),
        lambda draft: draft.move(path("a/two"), path("b/four")),
    ],
    ids=["written", "deleted", "moved", "carried over"],
)
def test_rewriting_one_hard_link_and_changing_another_in_one_edit_is_refused(linked: Bench, other: Write) -> None:
    before = linked.tree()
    with pytest.raises(ToolError) as caught:
        linked.apply(lambda draft: (draft.write(path("a/one"), b"new"), other(draft)))
    assert caught.value.code == "same_file_twice"
    assert "a/one" in caught.value.message
    assert "a/two" in caught.value.message or "four" in caught.value.message
    assert linked.tree() == before


def test_one_hard_link_can_be_moved_over_another_and_back(linked: Bench) -> None:
    outcome = linked.apply(lambda draft: draft.move(path("a/one"), path("a/two"), overwrite=True))
    assert not (linked.a / "one").exists()
    assert content(linked, "a/two") == b"old"
    linked.undo(outcome.edit)
    assert content(linked, "a/one") == content(linked, "a/two") == b"old"


def test_a_hard_link_outside_the_project_has_the_new_content_too_which_is_reported(linked: Bench) -> None:
    os.link(linked.b / "three", linked.base / "outside")
    outcome = linked.apply(lambda draft: draft.write(path("b/three"), b"new"))
    assert content(linked, "outside") == b"new"
    assert outcome.hard_links == (path("b/three"),)
