"""What a server answers becomes plain items; nothing outside the project is read for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code.decoding import Reader, StaleLocation
from codebuddy.agent.lsp.tree import Tree, uri_of

RANGE = {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 13}}


@pytest.fixture
def reader(root: Path) -> Reader:
    return Reader(Tree("p", root), "utf-16", {})


def test_a_location_and_a_link_to_the_same_place_are_the_same(reader: Reader, root: Path) -> None:
    uri = uri_of(root.resolve() / "shop.py")
    whole = {"start": {"line": 0, "character": 0}, "end": {"line": 1, "character": 0}}
    link = {"targetUri": uri, "targetRange": whole, "targetSelectionRange": RANGE}
    (found,) = reader.locations([{"uri": uri, "range": RANGE}, link])
    assert found.model_dump(exclude_none=True) == {
        "path": "p/shop.py",
        "line": 1,
        "column": 5,
        "end_line": 1,
        "end_column": 14,
        "line_text": "def open_shop():",
    }
    assert reader.locations({"uri": uri, "range": RANGE}) == [found]
    assert reader.locations(None) == []


def test_columns_count_code_points_of_the_file_that_is_pointed_at(reader: Reader, root: Path) -> None:
    (root / "x.py").write_text("👋👋open_shop")
    (found,) = reader.locations([{"uri": uri_of(root.resolve() / "x.py"), "range": RANGE}])
    assert (found.column, found.end_column) == (3, 12)


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "bundled:///libs/lib.d.ts", "file://p/shop.py"])
def test_a_place_outside_the_project_is_named_and_not_read(reader: Reader, uri: str) -> None:
    (found,) = reader.locations([{"uri": uri, "range": RANGE}])
    assert found.external
    assert found.line_text is None
    assert found.path == ("/etc/passwd" if uri == "file:///etc/passwd" else uri)


def test_a_link_in_the_project_that_leads_out_gives_no_text_either(reader: Reader, root: Path) -> None:
    (root / "link.py").symlink_to("/etc/passwd")
    with pytest.raises(StaleLocation):
        reader.locations([{"uri": uri_of(root.resolve() / "link.py"), "range": RANGE}])


def test_what_the_server_was_sent_counts_before_the_disk(root: Path) -> None:
    path = root.resolve() / "shop.py"
    reader = Reader(Tree("p", root), "utf-16", {path: ["as it was sent"]})
    (found,) = reader.locations([{"uri": uri_of(path), "range": RANGE}])
    assert found.line_text == "as it was sent"


@pytest.mark.parametrize(
    "answer",
    [
        5,
        ["x"],
        [{}],
        [{"uri": 5, "range": RANGE}],
        [{"uri": "file:///x", "range": {"start": {"line": -1, "character": 0}}}],
    ],
)
def test_a_malformed_answer_is_a_value_error(reader: Reader, answer: Any) -> None:
    with pytest.raises(ValueError, match=r"^a location.*: (Field required|Input should be (a valid|greater than))"):
        reader.locations(answer)


def test_a_diagnostic_keeps_its_severity_source_and_code(reader: Reader, root: Path) -> None:
    item = {"range": RANGE, "severity": 2, "message": "unused", "code": 7, "source": "lint"}
    bare = {"range": RANGE, "message": "wrong", "severity": []}
    found = reader.diagnostics(root.resolve() / "shop.py", [item, item, bare])
    assert sorted((one.severity, one.message, one.code, one.source) for one in found) == [
        ("error", "wrong", None, None),
        ("warning", "unused", "7", "lint"),
    ]
