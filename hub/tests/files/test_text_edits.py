"""Exact replacements: right number of occurrences or nothing; line breaks of the file stay."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from codebuddy.files.text import TextEdit, apply_edits, line_ending_of
from codebuddy.tool import ToolError


@pytest.mark.parametrize(
    ("content", "old", "new", "count", "result"),
    [
        ("one two", "two", "2", 1, "one 2"),
        ("a a a", "a", "b", 3, "b b b"),
        ("x", "x", "", 1, ""),
        ("a\r\nb\r\nc", "a\nb", "1\n2\n3", 1, "1\r\n2\r\n3\r\nc"),
        ("a\r\nb", "a\r\nb", "c\nd", 1, "c\r\nd"),
        ("a\r\nb", "b", "c\r\nd", 1, "a\r\nc\r\nd"),
        ("a\nb\n", "a\n", "x\r\n", 1, "x\r\nb\n"),
        ("a\rb\rc", "b", "1\n2", 1, "a\r1\r2\rc"),
        ("a\r\nb\nc\nd\r\n", "b\nc", "1\n2", 1, "a\r\n1\n2\nd\r\n"),
        ("a\r\nb", "b", "1\n2", 1, "a\r\n1\r\n2"),
        ("\r\n\r\na\r\n", "\na", "\nb", 1, "\r\n\r\nb\r\n"),
        ("é🦀e\u0301", "🦀", "x", 1, "éxe\u0301"),
        ("a.b", ".", "\\1", 1, "a\\1b"),
    ],
)
def test_replacements(content: str, old: str, new: str, count: int, result: str) -> None:
    assert apply_edits(content, [TextEdit(old, new, count)]) == result


def test_each_edit_works_on_the_result_of_the_one_before() -> None:
    assert apply_edits("a", [TextEdit("a", "bc"), TextEdit("c", "d")]) == "bd"


@pytest.mark.parametrize(
    ("content", "old", "count", "code", "said"),
    [
        ("a\nb\n", "c", 1, "no_match", "edits[0]"),
        ("  if x:\n    y\n", "if x:\n  y", 1, "no_match", "lines 1"),
        ("a\nb\n", "a\r\nb", 1, "no_match", "carriage returns"),
        ("x\ny\nx\n", "x", 1, "ambiguous_match", "lines 1, 3"),
        ("x\ry\r\nx\n", "x", 1, "ambiguous_match", "lines 1, 3"),
        ("x\n", "x", 2, "ambiguous_match", "occurs 1 times, not 2"),
        ("aaa", "aa", 1, "ambiguous_match", "overlap"),
        ("aaaa", "aa", 2, "ambiguous_match", "overlap"),
        ("a", "", 1, "invalid_arguments", "empty"),
    ],
)
def test_what_does_not_match_exactly_so_often_is_refused(
    content: str, old: str, count: int, code: str, said: str
) -> None:
    with pytest.raises(ToolError) as refused:
        apply_edits(content, [TextEdit(old, "new", count)])
    assert refused.value.code == code
    assert said in refused.value.message


def test_a_failing_edit_applies_none() -> None:
    with pytest.raises(ToolError, match=r"edits\[1\]"):
        apply_edits("a b", [TextEdit("a", "1"), TextEdit("a", "2")])


def test_overlap_search_is_linear() -> None:
    half = "a" * 200_000
    with pytest.raises(ToolError) as refused:
        apply_edits(half * 2, [TextEdit(half, "b")])
    assert refused.value.code == "ambiguous_match"


lines = st.lists(st.text("ab é🦀", max_size=4), min_size=1, max_size=8)


@given(lines, st.data(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_an_edit_written_with_lf_changes_just_that_place_of_a_file_with_any_line_ending(
    content: list[str], data: st.DataObject, ending: str
) -> None:
    text = "\n".join(content)
    start = data.draw(st.integers(0, len(text) - 1)) if text else 0
    end = data.draw(st.integers(start + 1, len(text))) if text else 0
    old, new = text[start:end], data.draw(st.text("xy\n", max_size=5))
    assume(old and text.count(old) == 1 and text.find(old, text.find(old) + 1) < 0)
    real = text.replace("\n", ending)
    result = apply_edits(real, [TextEdit(old, new)])
    assert result.replace(ending, "\n") == text.replace(old, new) or "\n" not in text
    if "\n" in text and "\n" in result.replace(ending, "\n"):
        assert line_ending_of(result) == line_ending_of(real)
