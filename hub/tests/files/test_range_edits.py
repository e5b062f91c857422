"""Edits by line and column: as a naive editor does it, for every kind of character and line end."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebuddy.files.text import apply_range_edits, decode, encode, fit_line_breaks
from codebuddy.tool import ToolError


@dataclass
class Edit:
    line: int
    column: int
    end_line: int
    end_column: int
    new_text: str


def at(line: int, column: int, new_text: str, end_line: int | None = None, end_column: int | None = None) -> Edit:
    return Edit(line, column, end_line or line, end_column or column, new_text)


# A naive editor: a cursor that walks over the text, character by character.


def places(text: str) -> dict[int, tuple[int, int]]:
    """Return for every offset where a cursor can stand its line and column."""
    found, line, column, offset = {}, 1, 1, 0
    while True:
        found[offset] = (line, column)
        if offset == len(text):
            return found
        length = 2 if text[offset : offset + 2] == "\r\n" else 1
        line, column = (line + 1, 1) if text[offset] in "\r\n" else (line, column + 1)
        offset += length


def naive(text: str, spans: list[tuple[int, int, str]]) -> str:
    """Apply (start, end, new text) from the last to the first, so that no offset shifts."""
    for start, end, new in reversed(spans):
        text = text[:start] + new + text[end:]
    return text


PIECES = ["a", "b ", "\t", "é", "e\u0301", "漢字", "🦀", "👩‍👩‍👧", "\u2028", "\x0b", "\n", "\r\n", "\r", "\r\r\n"]
texts = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)
LF_TEXTS = st.lists(st.sampled_from([piece for piece in PIECES if "\r" not in piece]), max_size=20).map("".join)


@st.composite
def edits_of(draw: st.DrawFn, content: st.SearchStrategy[str]) -> tuple[str, list[Edit], str]:
    """Draw a text, edits of it in any order, and what a naive editor makes of them."""
    text = draw(content)
    where = places(text)
    stops = sorted(draw(st.lists(st.sampled_from(sorted(where)), max_size=8)))
    spans = [(start, end, draw(content)) for start, end in zip(stops[::2], stops[1::2], strict=False)]
    given_order = draw(st.permutations(spans))
    edits = [Edit(*where[start], *where[end], new) for start, end, new in given_order]
    # A stable sort: insertions at one place keep their order, and come before what replaces the text behind it.
    expected = sorted(given_order, key=lambda span: span[:2])
    return text, edits, naive(text, [(s, e, fit_line_breaks(new, text, s)) for s, e, new in expected])


@given(edits_of(texts))
def test_edits_do_what_a_naive_editor_does(case: tuple[str, list[Edit], str]) -> None:
    text, edits, expected = case
    assert apply_range_edits(text, edits) == expected


@given(edits_of(LF_TEXTS), st.sampled_from(["utf-8", "utf-8-bom", "utf-16-le", "utf-16-be"]))
def test_encoding_and_mark_stay(case: tuple[str, list[Edit], str], encoding: str) -> None:
    text, edits, expected = case
    before = decode(encode(text, encoding))  # type: ignore[arg-type]
    after = encode(apply_range_edits(before.content, edits), before.encoding)
    assert after == encode(expected, encoding)  # type: ignore[arg-type]


@given(texts)
def test_no_edit_and_empty_edits_change_nothing(text: str) -> None:
    assert apply_range_edits(text, []) == text
    assert apply_range_edits(text, [at(*place, "") for place in places(text).values()]) == text


@given(texts)
def test_every_place_of_a_text_can_be_named_and_none_beyond_it(text: str) -> None:
    where = places(text)
    last_line, last_column = where[len(text)]
    assert apply_range_edits(text, [at(1, 1, "", last_line, last_column)]) == ""
    widest = dict(sorted(where.values()))
    for line, column in widest.items():
        with pytest.raises(ToolError, match=f"columns 1 to {column}"):
            apply_range_edits(text, [at(line, column + 1, "x")])
    with pytest.raises(ToolError, match=f"lines 1 to {last_line}"):
        apply_range_edits(text, [at(last_line + 1, 1, "x")])


@pytest.mark.parametrize(
    ("content", "edits", "result"),
    [
        ("", [at(1, 1, "x")], "x"),
        ("", [at(1, 1, "a\nb")], "a\nb"),
        ("a", [at(1, 2, "\n")], "a\n"),
        ("a\n", [at(2, 1, "b")], "a\nb"),
        ("one\ntwo\n", [at(1, 1, "1", 1, 4), at(2, 1, "2", 2, 4)], "1\n2\n"),
        ("one\ntwo\n", [at(2, 1, "2", 2, 4), at(1, 1, "1", 1, 4)], "1\n2\n"),
        ("one\ntwo\n", [at(1, 4, "", 2, 1)], "onetwo\n"),
        ("one\r\ntwo\r\n", [at(1, 4, "", 2, 1)], "onetwo\r\n"),
        ("one\r\ntwo\r\n", [at(2, 1, "x\ny\n")], "one\r\nx\r\ny\r\ntwo\r\n"),
        ("one\r\ntwo", [at(2, 4, "\nx")], "one\r\ntwo\r\nx"),
        ("one\r\ntwo", [at(2, 4, "\r\nx\ny")], "one\r\ntwo\r\nx\ny"),
        ("one\rtwo\r", [at(2, 1, "x\n")], "one\rx\rtwo\r"),
        ("a\r\nb\nc", [at(2, 1, "x\n"), at(1, 1, "y\n")], "y\r\na\r\nx\nb\nc"),
        ("🦀b", [at(1, 2, "x", 1, 3)], "🦀x"),
        ("e\u0301b", [at(1, 3, "x", 1, 4)], "e\u0301x"),
        ("\tx", [at(1, 2, "y", 1, 3)], "\ty"),
        ("ab", [at(1, 2, "1"), at(1, 2, "2"), at(1, 2, "3")], "a123b"),
        ("ab", [at(1, 2, "x", 1, 3), at(1, 2, "1"), at(1, 2, "2")], "a12x"),
        ("ab", [at(1, 1, "x", 1, 2), at(1, 2, "1")], "x1b"),
        ("abc", [at(1, 1, "x", 1, 2), at(1, 2, "y", 1, 3)], "xyc"),
    ],
)
def test_examples(content: str, edits: list[Edit], result: str) -> None:
    assert apply_range_edits(content, edits) == result


@pytest.mark.parametrize(
    "edits",
    [
        [at(1, 1, "x", 1, 3), at(1, 2, "y", 1, 4)],
        [at(1, 1, "x", 1, 4), at(1, 2, "y")],
        [at(1, 2, "y", 1, 3), at(1, 1, "x", 2, 1)],
        [at(1, 1, "x", 1, 2), at(1, 1, "y", 1, 2)],
    ],
)
def test_edits_that_overlap_are_refused_and_named(edits: list[Edit]) -> None:
    with pytest.raises(ToolError) as refused:
        apply_range_edits("abcd\nef\n", edits)
    assert refused.value.code == "overlapping_edits"
    assert "edits[0] and edits[1]" in refused.value.message


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (at(4, 1, "x"), "edits[0] names line 4; the file has lines 1 to 3."),
        (at(1, 5, "x"), "edits[0] names column 5 of line 1, which has columns 1 to 4;"),
        (at(1, 1, "x", 2, 9), "edits[0] names column 9 of line 2, which has columns 1 to 3;"),
        (at(2, 1, "x", 1, 2), "edits[0] ends at 1:2, before it begins at 2:1."),
        (at(1, 3, "x", 1, 2), "edits[0] ends at 1:2, before it begins at 1:3."),
    ],
)
def test_what_is_not_in_the_file_is_refused_with_what_is(edit: Edit, said: str) -> None:
    with pytest.raises(ToolError) as refused:
        apply_range_edits("abc\r\n漢字\r\n", [edit])
    assert refused.value.code == "invalid_range"
    assert said in refused.value.message


@pytest.mark.timeout(60)  # each edit once over the text would take minutes
def test_many_edits_of_a_large_text_are_applied_in_one_pass() -> None:
    content = "x" * 60 + "\r\n"
    edits = [at(line, 3, "y\nz", line, 5) for line in range(1, 40_001)]
    result = apply_range_edits(content * 40_000, edits)
    assert result == ("xxy\r\nz" + "x" * 56 + "\r\n") * 40_000
