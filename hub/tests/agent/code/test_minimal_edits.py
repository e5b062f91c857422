"""Of an edit that replaces much, what is left does the same, and changes only what becomes different."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codebuddy.agent.code.workspace_edits import differs_only_in_name, minimal_edits, read_source
from codebuddy.schemas.files import RangeEdit

LINES = st.lists(st.sampled_from(["", "a", "b b", "old", "x(old, 👋)", "  }", "\u2028", "\f"]), max_size=12)
# A lone CR among others is not here: where the line after it is emptied, it becomes a part of the next line end.
BREAKS = st.sampled_from([["\n", "\r\n"], ["\r"]])


@st.composite
def texts(draw: st.DrawFn, ending: str | None = None) -> str:
    breaks = st.sampled_from([ending] if ending else draw(BREAKS))
    return "".join(line + draw(breaks) for line in draw(LINES)) + draw(st.sampled_from(["", "end", "old"]))


def applied(text: str, edits: list[RangeEdit]) -> str:
    """Apply edits by offsets, the last first, as LSP's own implementation does."""
    starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]
    for edit in sorted(edits, key=lambda one: (one.line, one.column), reverse=True):
        start, end = starts[edit.line - 1] + edit.column - 1, starts[edit.end_line - 1] + edit.end_column - 1
        assert start <= end
        text = text[:start] + edit.new_text + text[end:]
    return text


def whole(lines: list[str], text: str) -> RangeEdit:
    return RangeEdit(line=1, column=1, end_line=len(lines), end_column=len(lines[-1]) + 1, new_text=text)


def with_ending(text: str, ending: str) -> str:
    return re.sub(r"\r\n|\n|\r", ending, text)


def test_of_a_whole_text_only_the_words_that_change_are_left_and_each_is_an_edit_of_its_own() -> None:
    lines = ["def old(x):", "    return x", "", "y = old(old(1)), 'older'", ""]
    edits = minimal_edits(lines, whole(lines, "\n".join(lines).replace("old(", "brand_new(")), "\n")
    assert [(one.line, one.column, one.end_column, one.new_text) for one in edits] == [
        (1, 5, 8, "brand_new"),
        (4, 5, 8, "brand_new"),
        (4, 9, 12, "brand_new"),
    ]


@settings(deadline=None, max_examples=500)
@given(texts(), texts(), st.randoms(use_true_random=False))
def test_reduced_edits_do_what_the_edit_does_whatever_the_texts(old: str, new: str, choose: random.Random) -> None:
    lines = re.split(r"\r\n|\n|\r", old)
    line = choose.randint(1, len(lines))
    end_line = choose.randint(line, len(lines))
    column = choose.randint(1, len(lines[line - 1]) + 1)
    end_column = choose.randint(column if line == end_line else 1, len(lines[end_line - 1]) + 1)
    edit = RangeEdit(line=line, column=column, end_line=end_line, end_column=end_column, new_text=new)
    small = minimal_edits(lines, edit, read_source(old.encode(), "p/x").ending)
    wanted = applied("\n".join(lines), [edit.model_copy(update={"new_text": with_ending(new, "\n")})])
    assert re.split(r"\r\n|\n|\r", applied(old, small)) == wanted.split("\n")
    assert all((one.end_line, one.end_column) <= (two.line, two.column) for one, two in pairwise(small))


@settings(deadline=None)
@given(texts(ending="\r\n"), texts(ending="\n"))
def test_reduced_edits_leave_a_file_with_one_line_ending(old: str, new: str) -> None:
    lines = old.split("\r\n")
    assert applied(old, minimal_edits(lines, whole(lines, new), "\r\n")) == with_ending(new, "\r\n")


def test_what_an_edit_inserts_in_the_middle_is_all_that_is_left_of_it() -> None:
    lines = [f"line {number}" for number in range(5000)]
    new = [*lines[:2000], "added", *lines[2000:]]
    new[4000] = "line changed"
    edits = minimal_edits(lines, whole(lines, "\n".join(new)), "\n")
    assert [(one.line, one.column, one.new_text) for one in edits] == [
        (2001, 1, "added\n"),
        (4000, 6, "changed"),
    ]


@pytest.mark.timeout(60)  # without the bound it takes minutes
def test_the_comparison_of_long_texts_of_equal_lines_is_not_endless() -> None:
    lines = ["a", "b"] * 20_000
    new = ["b", "a"] * 19_999 + ["c"]
    edits = minimal_edits(lines, whole(lines, "\n".join(new)), "\n")
    assert applied("\n".join(lines), edits) == "\n".join(new)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("a = old\r\nold()\r\n", "a = new\nnew()\n", True),
        ("a = old\n", "a = old\n", True),
        ("a = old\n", "b = new\n", False),
        ("a = older\n", "a = newer\n", False),
        ("a = old\nadded meanwhile\n", "a = new\n", False),
    ],
)
def test_a_text_that_differs_in_more_than_the_name_is_told_from_a_renamed_one(old: str, new: str, same: bool) -> None:
    assert differs_only_in_name(old, new, "old", "new") == same
