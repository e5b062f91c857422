"""Whatever form a server's edit has, what it does to the texts is exactly what the protocol says, or it is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codebuddy.agent.code.workspace_edits import EditContext, TextEdits, changes_of, read_source, read_steps
from codebuddy.agent.lsp.documents import StaleText
from codebuddy.agent.lsp.positions import Encoding
from codebuddy.agent.lsp.tree import Tree, uri_of
from codebuddy.files.text import content_hash
from codebuddy.schemas.files import FileChange, RangeEdit
from codebuddy.tool import ToolError

ENDINGS = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}


@pytest.fixture
def tree(root: Path) -> Tree:
    return Tree("p", root)


def at(start: tuple[int, int], end: tuple[int, int], text: str) -> dict[str, Any]:
    places = {"start": {"line": start[0], "character": start[1]}, "end": {"line": end[0], "character": end[1]}}
    return {"range": places, "newText": text}


def in_form(form: str, uri: str, edits: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a workspace edit of one file in one of the forms of LSP 3.17."""
    if form == "changes":
        return {"changes": {uri: edits}}
    version = {"versioned": {"version": 3}, "null": {"version": None}, "left out": {}}.get(form, {"version": 3})
    if form == "annotated":
        edits = [{**edit, "annotationId": "a"} for edit in edits]
    document = {"textDocument": {"uri": uri, **version}, "edits": edits}
    return {"documentChanges": [document], "changeAnnotations": {"a": {"label": "x"}}}


def planned(tree: Tree, result: Any, encoding: Encoding = "utf-16", **expected: Any) -> list[FileChange]:
    """Return the changes of an answer, for the texts on the disk."""
    steps = read_steps(result, tree)
    origins = [step.origin for step in steps if isinstance(step, TextEdits) and step.origin is not None]
    sources = {path: read_source(path.read_bytes(), tree.show(path)) for path in origins}
    return changes_of(steps, sources, EditContext(tree, encoding, **{"old_name": None, "new_name": "new", **expected}))


def applied(text: str, edits: list[RangeEdit]) -> str:
    """Apply edits by offsets, the last first, as LSP's own implementation does."""
    starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]
    for edit in sorted(edits, key=lambda one: (one.line, one.column), reverse=True):
        start, end = starts[edit.line - 1] + edit.column - 1, starts[edit.end_line - 1] + edit.end_column - 1
        assert start <= end
        text = text[:start] + edit.new_text + text[end:]
    return text


def span(line: int, column: int, end_line: int, end_column: int, text: str) -> dict[str, Any]:
    return {"line": line, "column": column, "end_line": end_line, "end_column": end_column, "new_text": text}


def places(change: FileChange) -> list[tuple[int, int, int, int, str]]:
    return [(one.line, one.column, one.end_line, one.end_column, one.new_text) for one in change.edits or []]


FORMS = ["changes", "versioned", "null", "left out", "annotated"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_edit_gives_the_same_change_with_the_hash_of_the_bytes(form: str, tree: Tree) -> None:
    path = tree.root / "main.py"
    edits = [at((1, 0), (1, 9), "close"), at((0, 17), (0, 26), "close")]
    (change,) = planned(tree, in_form(form, uri_of(path), edits))
    assert change.path == "p/main.py"
    assert change.expected_hash == content_hash(path.read_bytes())
    assert places(change) == [(1, 18, 1, 27, "close"), (2, 1, 2, 10, "close")]


def test_of_two_forms_the_one_with_versions_counts(tree: Tree) -> None:
    uri = uri_of(tree.root / "main.py")
    both = in_form("versioned", uri, [at((0, 0), (0, 4), "a")]) | in_form("changes", uri, [at((0, 0), (0, 4), "b")])
    assert places(planned(tree, both)[0]) == [(1, 1, 1, 5, "a")]


@pytest.mark.parametrize(("encoding", "start", "end"), [("utf-16", 7, 8), ("utf-8", 12, 13), ("utf-32", 6, 7)], ids=str)
def test_columns_behind_characters_of_any_width_are_code_points(
    encoding: Encoding, start: int, end: int, tree: Tree
) -> None:
    (tree.root / "main.py").write_text('"👋漢é";x\n')
    (change,) = planned(
        tree, in_form("changes", uri_of(tree.root / "main.py"), [at((0, start), (0, end), "y")]), encoding
    )
    assert places(change) == [(1, 7, 1, 8, "y")]


def test_inserts_at_one_place_keep_their_order_and_a_replacement_there_comes_after_them(tree: Tree) -> None:
    edits = [at((1, 0), (1, 4), "R"), at((1, 0), (1, 0), "1"), at((1, 0), (1, 0), "2"), at((1, 4), (1, 4), "E")]
    (change,) = planned(tree, in_form("changes", uri_of(tree.root / "main.py"), edits))
    assert places(change) == [(2, 1, 2, 5, "12R"), (2, 5, 2, 5, "E")]


def test_the_same_replacement_twice_is_one(tree: Tree) -> None:
    edits = [at((1, 0), (1, 9), "x")] * 2
    assert places(planned(tree, in_form("changes", uri_of(tree.root / "main.py"), edits))[0]) == [(2, 1, 2, 10, "x")]


@pytest.mark.parametrize(
    "edits",
    [
        [at((1, 0), (1, 5), "a"), at((1, 4), (1, 9), "b")],
        [at((1, 0), (1, 5), "a"), at((1, 0), (1, 5), "b")],
        [at((1, 0), (1, 9), "a"), at((1, 3), (1, 3), "b")],
        [at((0, 0), (2, 0), "a\nb\n"), at((1, 0), (1, 9), "c")],
    ],
)
def test_edits_that_overlap_are_refused(edits: list[Any], tree: Tree) -> None:
    with pytest.raises(ToolError, match=r"overlap in line [12]") as refused:
        planned(tree, in_form("changes", uri_of(tree.root / "main.py"), edits))
    assert (refused.value.code, refused.value.path) == ("bad_answer", "p/main.py")


def test_edits_of_one_document_in_two_pieces_are_all_for_the_text_as_it_was(tree: Tree) -> None:
    uri = uri_of(tree.root / "main.py")
    pieces = [
        in_form("null", uri, [edit])["documentChanges"][0]
        for edit in (at((0, 0), (0, 0), "a\n"), at((1, 0), (1, 9), "b"))
    ]
    (change,) = planned(tree, {"documentChanges": pieces})
    assert places(change) == [(1, 1, 1, 1, "a\n"), (2, 1, 2, 10, "b")]


@pytest.mark.parametrize("nothing", [None, [], {}, {"changes": {}}, {"documentChanges": []}, {"changes": None}])
def test_no_edit_is_no_changes(nothing: Any, tree: Tree) -> None:
    assert planned(tree, nothing) == []


def test_text_that_is_given_back_as_it_is_is_no_change(tree: Tree) -> None:
    text = (tree.root / "main.py").read_text()
    edits = [at((0, 0), (2, 0), text)]
    assert planned(tree, in_form("changes", uri_of(tree.root / "main.py"), edits)) == []
    assert planned(tree, in_form("changes", uri_of(tree.root / "main.py"), [at((0, 0), (0, 4), "from")])) == []


BACKWARDS = [at((1, 0), (0, 0), "x")]


@pytest.mark.parametrize(
    "answer",
    [
        5, "x", [1], {"changes": []}, {"changes": {"file:///x": {}}}, {"documentChanges": {}},
        {"documentChanges": [{"kind": "replace", "uri": "file:///x"}]}, {"documentChanges": [{"kind": "create"}]},
        {"documentChanges": [{"textDocument": {"uri": 1}, "edits": []}]},
        {"documentChanges": [{"textDocument": {"uri": "file:///x", "version": "1"}, "edits": []}]},
        {"changes": {"file:///x": [{"range": {"start": {"line": -1, "character": 0}}, "newText": ""}]}},
        {"changes": {"file:///x": [{**at((0, 0), (0, 1), "x"), "newText": None}]}},
        {"changes": {"file:///x": [at((0, 0), (0, 1), "\ud800")]}},
        {"changes": {"@main": BACKWARDS}},
    ],
)  # fmt: skip
def test_a_malformed_edit_is_a_value_error(answer: Any, tree: Tree) -> None:
    if isinstance(answer, dict) and "@main" in str(answer):
        answer = {"changes": {uri_of(tree.root / "main.py"): BACKWARDS}}
    with pytest.raises(ValueError, match=r"\w"):
        planned(tree, answer)


KEYS = [
    "changes", "documentChanges", "textDocument", "uri", "version", "edits", "range", "start", "end", "line", "kind",
    "newText", "character", "oldUri", "newUri", "options", "overwrite", "create", "rename", "delete", "@",
]  # fmt: skip
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(KEYS)
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)


def with_uris(value: Any, uri: str) -> Any:
    if isinstance(value, dict):
        return {key.replace("@", uri): with_uris(item, uri) for key, item in value.items()}
    if isinstance(value, list):
        return [with_uris(item, uri) for item in value]
    return uri if value == "@" else value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(JSON)
def test_any_answer_is_read_or_refused(root: Path, answer: Any) -> None:
    tree = Tree("p", root)
    try:
        planned(tree, with_uris(answer, uri_of(tree.root / "main.py")))
    except (ValueError, ToolError):
        return


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_whole_text_with_other_line_endings_changes_none_of_them(ending: str, tree: Tree) -> None:
    old = "def open_shop():\n    '👋'; return open_shop\n\nlast = 1".replace("\n", ending)
    path = tree.root / "main.py"
    path.write_bytes(b"\xef\xbb\xbf" + old.encode())
    for server_ending in ENDINGS.values():
        new = "\ufeff" + old.replace(ending, server_ending).replace("open_shop", "enter")
        (change,) = planned(tree, in_form("null", uri_of(path), [at((0, 0), (4, 0), new)]))
        assert places(change) == [(1, 5, 1, 14, "enter"), (2, 17, 2, 26, "enter")]
        assert applied(old, change.edits or []) == old.replace("open_shop", "enter")


def test_new_lines_end_as_those_of_the_file_do(tree: Tree) -> None:
    path = tree.root / "main.py"
    path.write_bytes(b"a\r\nb\r\n")
    for edit in (at((0, 0), (2, 0), "a\nnew\nb\n"), at((1, 0), (1, 0), "new\n")):
        (change,) = planned(tree, in_form("null", uri_of(path), [edit]))
        assert applied("a\r\nb\r\n", change.edits or []) == "a\r\nnew\r\nb\r\n"


def test_where_the_lines_end_in_several_ways_each_keeps_its_own(tree: Tree) -> None:
    path = tree.root / "main.py"
    path.write_bytes(b"old\r\nold\nx\rold")
    (change,) = planned(tree, in_form("null", uri_of(path), [at((0, 0), (9, 0), "new\nnew\nx\nnew")]))
    assert applied("old\r\nold\nx\rold", change.edits or []) == "new\r\nnew\nx\rnew"


def test_a_whole_text_of_another_state_of_the_file_is_not_accepted(tree: Tree) -> None:
    stale = (tree.root / "shop.py").read_text().replace("open_shop", "enter")
    (tree.root / "shop.py").write_text((tree.root / "shop.py").read_text() + "added = 1\n")
    edit = in_form("null", uri_of(tree.root / "shop.py"), [at((0, 0), (9, 0), stale)])
    with pytest.raises(StaleText, match=r"p/shop\.py"):
        planned(tree, edit, old_name="open_shop", new_name="enter")


def test_a_server_that_gives_whole_texts_means_all_of_the_file_whatever_range_it_gives(tree: Tree) -> None:
    (tree.root / "main.py").write_text("old = 1; old")
    edit = in_form("null", uri_of(tree.root / "main.py"), [at((0, 0), (0, 0), "new = 1; new")])
    (change,) = planned(tree, edit, old_name="old", whole_texts=True)
    assert places(change) == [(1, 1, 1, 4, "new"), (1, 10, 1, 13, "new")]


def test_a_name_that_is_no_utf_8_is_written_so_that_it_can_be_found(tree: Tree) -> None:
    path = tree.root / "caf\udce9.py"
    path.write_text("x\n")
    (only,) = planned(tree, in_form("null", uri_of(path), [at((0, 0), (0, 1), "y")]))
    assert only.path == "p/caf\\xe9.py"
