"""Two renames together are one edit or none; what a file is before an edit is known exactly, or it is not edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code.workspace_edits import Source, covers, merged, read_source
from codebuddy.agent.lsp.documents import StaleText
from codebuddy.agent.lsp.positions import split_lines
from codebuddy.agent.lsp.tree import Tree
from codebuddy.files.text import content_hash
from codebuddy.schemas.files import FileChange
from codebuddy.tool import ToolError


@pytest.fixture
def tree(root: Path) -> Tree:
    return Tree("p", root)


def span(line: int, column: int, end_line: int, end_column: int, text: str) -> dict[str, Any]:
    return {"line": line, "column": column, "end_line": end_line, "end_column": end_column, "new_text": text}


def places(change: FileChange) -> list[tuple[int, int, int, int, str]]:
    return [(one.line, one.column, one.end_line, one.end_column, one.new_text) for one in change.edits or []]


def change(path: str = "p/x", digest: str = "a", **given: Any) -> FileChange:
    return FileChange.model_validate({"path": path, "expected_hash": "sha256:" + digest * 64, **given})


def test_two_renames_become_one_with_what_both_change_once() -> None:
    one = [
        change(edits=[span(1, 1, 1, 4, "new"), span(5, 1, 5, 4, "new")]),
        change("p/y", edits=[span(1, 1, 1, 4, "new")]),
    ]
    other = [change(edits=[span(3, 1, 3, 4, "new"), span(1, 1, 1, 4, "new")]), change("p/z", delete=True)]
    both = merged(one, other)
    assert [one.path for one in both] == ["p/x", "p/y", "p/z"]
    assert [line for line, *_ in places(both[0])] == [1, 3, 5]
    assert merged(both, other) == both


def test_a_rename_that_edits_and_moves_a_file_contradicts_nothing() -> None:
    both = [change(edits=[span(1, 1, 1, 4, "new")]), change(move_to="p/moved")]
    assert merged([], both) == both
    assert merged(both, both) == both
    assert [one.path for one in merged([change("p/y", delete=True)], both)] == ["p/y", "p/x", "p/x"]


@pytest.mark.parametrize(
    "other",
    [
        change(edits=[span(1, 2, 1, 6, "new")]),
        change(edits=[span(1, 1, 1, 4, "other")]),
        change(edits=[span(1, 1, 1, 1, "inserted")]),
        change(delete=True),
        change(move_to="p/elsewhere"),
        change("p/elsewhere", move_to="p/x"),
    ],
)
def test_two_renames_that_contradict_each_other_are_refused(other: FileChange) -> None:
    with pytest.raises(ToolError, match="different changes") as refused:
        merged([change(edits=[span(1, 1, 1, 4, "new")])], [other])
    assert refused.value.code == "bad_answer"


def test_two_renames_of_two_states_of_a_file_are_not_put_together() -> None:
    with pytest.raises(StaleText):
        merged([change(edits=[span(1, 1, 1, 4, "new")])], [change(digest="b", edits=[span(3, 1, 3, 4, "new")])])


@pytest.mark.parametrize(("column", "covered"), [(4, False), (5, True), (7, True), (8, False)])
def test_a_place_is_covered_from_the_first_to_the_last_character_of_an_edit(column: int, covered: bool) -> None:
    changes = [change("p/main.py", edits=[span(2, 5, 2, 8, "new")])]
    assert covers(changes, "p/main.py", 2, column) == covered
    assert not covers(changes, "p/shop.py", 2, column)


def test_a_file_that_moves_covers_its_beginning_which_is_where_a_module_is_declared() -> None:
    changes = [change("p/old", move_to="p/new")]
    assert covers(changes, "p/old", 1, 1)
    assert covers(changes, "p/old/in.py", 1, 1)
    assert not covers(changes, "p/old.py", 1, 1)
    assert not covers(changes, "p/old", 2, 1)


@pytest.mark.parametrize("data", [b"\xff\xfex\0", b"\xe9t\xe9", b"a\0b", "x".encode("utf-32")])
def test_a_file_that_is_no_utf_8_is_refused_and_named(data: bytes) -> None:
    with pytest.raises(ToolError) as refused:
        read_source(data, "p/x.py")
    assert refused.value.code in ("unsupported_encoding", "binary_file")
    assert refused.value.path == "p/x.py"


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("a", None),
        ("a\nb\n", "\n"),
        ("a\r\nb\r\n", "\r\n"),
        ("a\r", "\r"),
        ("a\nb\r\n", "\n"),
        ("a\rb\r\n", "\r\n"),
    ],
)
def test_a_new_line_ends_as_those_of_the_file_do_and_never_becomes_a_part_of_one(text: str, ending: str | None) -> None:
    data = text.encode()
    assert read_source(data, "p/x") == Source(split_lines(text), content_hash(data), ending)
