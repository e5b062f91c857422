"""What a server says of a notebook's cell is about the JSON that the cell is written in, character for character."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebuddy.agent.code.decoding import Reader, StaleLocation
from codebuddy.agent.code.notebooks import UnknownCell, cells_of
from codebuddy.agent.code.places import Span
from codebuddy.agent.code.workspace_edits import EditContext, TextEdits, changes_of, read_source, read_steps
from codebuddy.agent.lsp.documents import StaleText
from codebuddy.agent.lsp.positions import split_lines
from codebuddy.agent.lsp.tree import Tree, uri_of
from codebuddy.schemas.files import FileChange
from codebuddy.tool import ToolError

WORD = re.compile(r"\bprice\b")


def cell(source: str | list[str], kind: str = "code", **metadata: Any) -> dict[str, Any]:
    return {"cell_type": kind, "metadata": metadata, "source": source}


def notebook(*cells: dict[str, Any], **how: Any) -> str:
    return json.dumps({"metadata": {"cells": [1]}, "cells": cells, "nbformat": 4}, **how)


CELLS = [
    cell("# price", "markdown"),
    cell(["from shop import price\n", 'print("\\"é👋", price(1))']),
    cell("select price", vscode={"languageId": "sql"}),
    cell("x = 1\nprice(2); s = '👋'; price(3)\n"),
]


@pytest.fixture
def tree(root: Path) -> Tree:
    return Tree("p", root)


def written(tree: Tree, text: str) -> str:
    """Write a notebook, and return its URI."""
    path = tree.root / "a#b.ipynb"
    path.write_bytes(text.encode())
    return uri_of(path)


def uses(uri: str) -> list[dict[str, Any]]:
    """Return the places of the word in the cells, as basedpyright names them."""
    found = []
    for number, lines in enumerate(
        (["from shop import price", 'print("\\"é👋", price(1))'], CELLS[3]["source"].split("\n"))
    ):
        for line, text in enumerate(lines):
            for match in WORD.finditer(text):
                start, end = (len(text[:at].encode("utf-16-le")) // 2 for at in match.span())
                places = {"start": {"line": line, "character": start}, "end": {"line": line, "character": end}}
                found.append({"uri": f"{uri}#{number}", "range": places})
    assert len(found) == 4
    return found


def renamed(tree: Tree, uri: str, new_name: str, *more: dict[str, Any]) -> list[FileChange]:
    changes: dict[str, list[Any]] = {}
    for use in [*uses(uri), *more]:
        changes.setdefault(use["uri"], []).append({"range": use["range"], "newText": new_name})
    steps = read_steps({"changes": changes}, tree)
    paths = {step.origin for step in steps if isinstance(step, TextEdits) and step.origin is not None}
    sources = {path: read_source(path.read_bytes(), tree.show(path)) for path in paths}
    return changes_of(steps, sources, EditContext(tree, "utf-16", "price", new_name))


def applied(text: str, change: FileChange) -> str:
    starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]
    for edit in sorted(change.edits or [], key=lambda one: (one.line, one.column), reverse=True):
        start, end = starts[edit.line - 1] + edit.column - 1, starts[edit.end_line - 1] + edit.end_column - 1
        text = text[:start] + edit.new_text + text[end:]
    return text


def renamed_source(source: str | list[str]) -> str | list[str]:
    return WORD.sub("größe", source) if isinstance(source, str) else [WORD.sub("größe", one) for one in source]


WRITTEN = [{"indent": 1}, {"ensure_ascii": False}, {"indent": 2, "ensure_ascii": False}]


@pytest.mark.parametrize("how", WRITTEN, ids=str)
@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=repr)
def test_a_rename_changes_the_words_in_the_cells_and_not_another_byte(
    how: dict[str, Any], ending: str, tree: Tree
) -> None:
    text = notebook(*CELLS, **how).replace("\n", ending)
    (change,) = renamed(tree, written(tree, text), "größe")
    cells = [one if number in (0, 2) else cell(renamed_source(one["source"])) for number, one in enumerate(CELLS)]
    assert json.loads(applied(text, change)) == json.loads(notebook(*cells))
    before = re.split("price", text)
    assert "".join(re.split("größe|price", applied(text, change))) == "".join(before)
    assert change.path == "p/a#b.ipynb"


def test_a_reference_in_a_cell_is_where_its_word_stands_in_the_file(tree: Tree) -> None:
    text = notebook(*CELLS, indent=1)
    found = Reader(tree, "utf-16", {}).locations(uses(written(tree, text)))
    lines = text.split("\n")
    assert [lines[at.line - 1][at.column - 1 : at.end_column - 1] for at in found] == ["price"] * 4
    assert [at.line_text for at in found] == [lines[at.line - 1] for at in found]
    assert {at.path for at in found} == {"p/a#b.ipynb"}


def test_the_name_of_a_caller_is_found_in_its_cell(tree: Tree) -> None:
    uri = written(tree, notebook(cell("x\ndef price(): price()")))
    span = {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 20}}
    reader = Reader(tree, "utf-16", {})
    assert [reader.name_in(f"{uri}#0", span, "price")] == reader.words_in(f"{uri}#0", span, "price")[:1]
    assert len(reader.words_in(f"{uri}#0", span, "price")) == 2


@pytest.mark.parametrize("fragment", ["#2", "#x", "?0", "#", "?"])
def test_what_is_no_cell_is_no_place_in_the_notebook_and_not_edited(fragment: str, tree: Tree) -> None:
    uri = written(tree, notebook(*CELLS)) + fragment
    span = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 5}}
    (found,) = Reader(tree, "utf-16", {}).locations([{"uri": uri, "range": span}])
    assert (found.external, found.line_text) == (True, None)
    with pytest.raises((ToolError, StaleText)) as refused:
        renamed(tree, uri.partition(fragment)[0], "new", {"uri": uri, "range": span})
    assert isinstance(refused.value, StaleText) or refused.value.code == "outside_project"


def test_a_notebook_that_is_too_large_is_named_and_does_not_make_the_answer_fail(tree: Tree) -> None:
    uri = written(tree, notebook(*CELLS, cell("x" * (5 << 20), "raw")))
    assert [at.path for at in Reader(tree, "utf-16", {}).locations(uses(uri)[:1])] == [f"{tree.root}/a#b.ipynb#0"]


def test_a_notebook_that_is_gone_is_asked_for_again(tree: Tree) -> None:
    with pytest.raises(StaleLocation):
        Reader(tree, "utf-16", {}).locations(uses(uri_of(tree.root / "gone.ipynb")))


def test_an_edit_for_another_text_of_the_cell_is_not_made(tree: Tree) -> None:
    uri = written(tree, notebook(CELLS[1], cell("import os\n" + CELLS[3]["source"])))
    with pytest.raises(StaleText):
        renamed(tree, uri, "new")


def test_an_edit_over_several_strings_of_a_cell_is_refused(tree: Tree) -> None:
    uri = written(tree, notebook(CELLS[1], CELLS[3]))
    span = {"start": {"line": 0, "character": 17}, "end": {"line": 1, "character": 1}}
    steps = read_steps({"changes": {f"{uri}#0": [{"range": span, "newText": "x"}]}}, tree)
    path = tree.root / "a#b.ipynb"
    with pytest.raises(ToolError, match="several lines") as refused:
        changes_of(steps, {path: read_source(path.read_bytes(), "p")}, EditContext(tree, "utf-16"))
    assert refused.value.code == "unsupported"


@pytest.mark.parametrize(
    "text",
    ["", "5", "[]", "{}", '{"cells": 5}', '{"cells": "12"}', '{"cells": [5]}', '{"cells": [{}]}', "[" * 100_000]
    + [notebook(cell(source)) for source in (None, 5, [5], [["x"]], {"a": "b"})]  # type: ignore[arg-type]
    + [notebook(cell("x"))[:-5]],
    ids=lambda text: text[:20],
)
def test_what_is_no_notebook_has_no_cells(text: str) -> None:
    with pytest.raises(UnknownCell):
        cells_of([text])


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=8), max_size=4), st.booleans(), st.data())
def test_each_stretch_of_a_cell_is_found_in_the_json(strings: list[str], ascii_only: bool, data: st.DataObject) -> None:
    as_list = data.draw(st.booleans())
    source = strings if as_list else "".join(strings)
    text = notebook(cell("no", "raw"), cell(source), indent=1, ensure_ascii=ascii_only)
    content = "".join(json.loads(text)["cells"][1]["source"])
    lines, json_lines = split_lines(content), split_lines(text)
    (found,) = cells_of(json_lines)
    assert found.lines == lines
    if not content:
        return
    line = data.draw(st.integers(1, len(lines)))
    start = data.draw(st.integers(1, len(lines[line - 1]) + 1))
    end = data.draw(st.integers(start, len(lines[line - 1]) + 1))
    at = found.in_notebook(Span(line, start, line, end))
    if at.line == at.end_line:
        raw = json_lines[at.line - 1][at.column - 1 : at.end_column - 1]
        if not as_list or '", "' not in raw:
            assert json.loads(f'"{raw}"') == lines[line - 1][start - 1 : end - 1]
