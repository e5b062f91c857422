"""Files that a server's edit makes, moves or deletes: in its order, with what it said of them, within the project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code.workspace_edits import EditContext, TextEdits, changes_of, read_source, read_steps
from codebuddy.agent.lsp.tree import Tree, uri_of
from codebuddy.files.text import content_hash
from codebuddy.schemas.files import FileChange
from codebuddy.tool import ToolError


@pytest.fixture
def tree(root: Path) -> Tree:
    return Tree("p", root)


def at(start: tuple[int, int], end: tuple[int, int], text: str) -> dict[str, Any]:
    places = {"start": {"line": start[0], "character": start[1]}, "end": {"line": end[0], "character": end[1]}}
    return {"range": places, "newText": text}


def edited(uri: str, edits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"textDocument": {"uri": uri, "version": None}, "edits": edits}]


def planned(tree: Tree, result: Any) -> list[FileChange]:
    """Return the changes of an answer, for the texts on the disk."""
    steps = read_steps(result, tree)
    origins = [step.origin for step in steps if isinstance(step, TextEdits) and step.origin is not None]
    sources = {path: read_source(path.read_bytes(), tree.show(path)) for path in origins}
    return changes_of(steps, sources, EditContext(tree, "utf-16", None, "new"))


def span(line: int, column: int, end_line: int, end_column: int, text: str) -> dict[str, Any]:
    return {"line": line, "column": column, "end_line": end_line, "end_column": end_column, "new_text": text}


def places(change: FileChange) -> list[tuple[int, int, int, int, str]]:
    return [(one.line, one.column, one.end_line, one.end_column, one.new_text) for one in change.edits or []]


OUTSIDE = ["file:///etc/passwd", "untitled:Untitled-1", "file://host/x", "{root}", "{root}/../outside.py", "http://x/y"]


def test_files_are_made_moved_and_deleted_in_order_with_all_that_was_said_of_it(tree: Tree) -> None:
    main, shop, new = (uri_of(tree.root / name) for name in ("main.py", "shop.py", "a b/new.py"))
    digest = content_hash((tree.root / "shop.py").read_bytes())
    changes = planned(
        tree,
        {
            "documentChanges": [
                {"kind": "create", "uri": new},
                *edited(new, [at((0, 0), (0, 0), "x = 1\n")]),
                {
                    "kind": "rename",
                    "oldUri": shop,
                    "newUri": uri_of(tree.root / "store.py"),
                    "options": {"overwrite": True, "ignoreIfExists": True},
                },
                *edited(uri_of(tree.root / "store.py"), [at((0, 4), (0, 13), "open")]),
                {"kind": "delete", "uri": main, "options": {"recursive": True, "ignoreIfNotExists": True}},
                {"kind": "create", "uri": main, "options": {"overwrite": True}},
                {"kind": "create", "uri": uri_of(tree.root / "y"), "options": {"ignoreIfExists": True}},
            ]
        },
    )
    assert [change.model_dump(exclude_defaults=True) for change in changes] == [
        {"path": "p/a b/new.py", "content": "", "expected_hash": "absent"},
        {"path": "p/a b/new.py", "edits": [span(1, 1, 1, 1, "x = 1\n")]},
        {"path": "p/shop.py", "move_to": "p/store.py", "overwrite": True, "expected_hash": digest},
        {
            "path": "p/store.py",
            "expected_hash": digest,
            "edits": [span(1, 5, 1, 14, "open")],
        },
        {
            "path": "p/main.py",
            "delete": True,
            "recursive": True,
            "ignore_if_not_exists": True,
            "expected_hash": content_hash((tree.root / "main.py").read_bytes()),
        },
        {"path": "p/main.py", "content": ""},
        {"path": "p/y", "content": "", "ignore_if_exists": True},
    ]  # fmt: skip


def test_a_file_in_a_moved_directory_is_edited_where_it_went_by_its_old_text(tree: Tree) -> None:
    (tree.root / "old").mkdir()
    (tree.root / "old" / "in.py").write_text("first\nsecond\n")
    moved = {"kind": "rename", "oldUri": uri_of(tree.root / "old"), "newUri": uri_of(tree.root / "new")}
    edit = edited(uri_of(tree.root / "new" / "in.py"), [at((1, 0), (1, 6), "x")])
    move, change = planned(tree, {"documentChanges": [moved, *edit]})
    assert (move.move_to, move.expected_hash) == ("p/new", None)
    assert (change.path, places(change)) == ("p/new/in.py", [(2, 1, 2, 7, "x")])
    assert change.expected_hash == content_hash(b"first\nsecond\n")


def test_a_file_that_is_edited_and_then_moved_is_not_expected_to_be_as_it_was(tree: Tree) -> None:
    edit = edited(uri_of(tree.root / "shop.py"), [at((0, 4), (0, 13), "x")])
    moved = {"kind": "rename", "oldUri": uri_of(tree.root / "shop.py"), "newUri": uri_of(tree.root / "s.py")}
    change, move = planned(tree, {"documentChanges": [*edit, moved]})
    assert change.expected_hash is not None
    assert move.expected_hash is None


def test_a_link_is_moved_as_it_is_whatever_it_leads_to(tree: Tree) -> None:
    (tree.root / "link.py").symlink_to("main.py")
    (move,) = planned(
        tree,
        {
            "documentChanges": [
                {"kind": "rename", "oldUri": uri_of(tree.root / "link.py"), "newUri": uri_of(tree.root / "l")}
            ]
        },
    )
    assert (move.path, move.move_to, move.expected_hash) == ("p/link.py", "p/l", None)


@pytest.mark.parametrize("after", ["delete", "rename", "rename of its directory", "edits on both sides of a move"])
def test_an_edit_that_contradicts_itself_is_refused(after: str, tree: Tree) -> None:
    (tree.root / "d").mkdir()
    (tree.root / "d" / "x.py").write_text("x\n")
    uri, new = uri_of(tree.root / "d" / "x.py"), uri_of(tree.root / "y.py")
    edit = edited(uri, [at((0, 0), (0, 1), "z")])
    late = edited(new, [at((0, 0), (0, 1), "z")])
    move = {"kind": "rename", "oldUri": uri, "newUri": new}
    changes = {
        "delete": [{"kind": "delete", "uri": uri}, *edit],
        "rename": [move, *edit],
        "rename of its directory": [{**move, "oldUri": uri_of(tree.root / "d")}, *edit],
        "edits on both sides of a move": [*edit, move, *late],
    }
    with pytest.raises(ToolError) as refused:
        planned(tree, {"documentChanges": changes[after]})
    assert refused.value.code == "bad_answer"


def test_a_move_that_does_nothing_leaves_its_target_to_be_edited(tree: Tree) -> None:
    options = {"ignoreIfExists": True}
    move = {"kind": "rename", "oldUri": uri_of(tree.root / "main.py"), "newUri": uri_of(tree.root / "shop.py")}
    edit = edited(uri_of(tree.root / "shop.py"), [at((0, 4), (0, 13), "x")])
    _, change = planned(tree, {"documentChanges": [{**move, "options": options}, *edit]})
    assert change.expected_hash == content_hash((tree.root / "shop.py").read_bytes())


@pytest.mark.parametrize("uri", OUTSIDE)
@pytest.mark.parametrize("kind", ["edit", "changes", "create", "rename from", "rename to", "delete"])
def test_whatever_is_no_file_of_the_project_has_all_refused_and_is_named(uri: str, kind: str, tree: Tree) -> None:
    uri, inside = uri.format(root=uri_of(tree.root)), uri_of(tree.root / "main.py")
    good = edited(inside, [at((0, 0), (0, 1), "x")])
    answer = {
        "edit": {"documentChanges": [*good, *edited(uri, [at((0, 0), (0, 1), "x")])]},
        "changes": {"changes": {inside: [], uri: []}},
        "create": {"documentChanges": [*good, {"kind": "create", "uri": uri}]},
        "rename from": {"documentChanges": [{"kind": "rename", "oldUri": uri, "newUri": inside}]},
        "rename to": {"documentChanges": [{"kind": "rename", "oldUri": inside, "newUri": uri}]},
        "delete": {"documentChanges": [*good, {"kind": "delete", "uri": uri, "options": {"recursive": True}}]},
    }[kind]
    with pytest.raises(ToolError, match=re.escape(uri.removeprefix("file://"))) as refused:
        read_steps(answer, tree)
    assert refused.value.code == "outside_project"
