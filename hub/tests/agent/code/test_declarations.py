"""One rule for where a declaration begins and ends, whatever a server counts to it."""

from __future__ import annotations

import pytest

from codebuddy.agent.code.symbol_edits import Declaration, find_declaration
from codebuddy.tool import ToolError

PYTHON = """\
import os

# About the class.
@final
@register(
    name="x", (1, 2)
)
class A:
    first = 1
    second = (
        2,
    )  # two

    @property
    # Between.
    @cached("@)")
    def value(self) -> int:
        return 1


    other: int
"""
RUST = """\
use std::fmt;
/// Says what.
/// More.
#[derive(Debug, Clone)]
#[serde(
    rename = "x]",
)]
pub(crate) struct S {
    a: u8,
    #[cfg(test)] b: u8, // note
}
fn f() {} fn g() {}
"""
TYPESCRIPT = """\
/**
 * About it.
 */
export const limit = 1;
class A {
  @Input() a: string;
  b: string;
  // about c
  @Output()
  c = () => {
    go();
  };
}
enum E { X, Y }
let p = 1, q = 2;
"""
CPP = """\
/* one */
template <typename T>
[[nodiscard]]
T f();
"""


def found(text: str, full: tuple[int, int, int, int], name_line: int, path: str) -> Declaration:
    return find_declaration(text.split("\n"), full, name_line, path)


@pytest.mark.parametrize("full", [(8, 1, 13, 1), (4, 1, 12, 13), (3, 1, 14, 1), (8, 7, 12, 13)])
def test_what_a_server_counts_to_a_class_makes_no_difference(full: tuple[int, int, int, int]) -> None:
    declaration = found(PYTHON, full, 8, "p/a.py")
    assert (declaration.top, declaration.start, declaration.end) == (3, 8, 12)
    assert declaration.comments == (3,)


@pytest.mark.parametrize("full", [(17, 5, 20, 1), (14, 5, 18, 17)])
def test_comments_between_decorators_belong_to_what_is_above(full: tuple[int, int, int, int]) -> None:
    assert found(PYTHON, full, 17, "p/a.py") == Declaration(14, 17, 18, "", (15,), "    ")


@pytest.mark.parametrize(
    ("name", "full", "end"), [(9, (9, 5, 9, 14), 9), (9, (9, 5, 9, 10), 9), (10, (10, 5, 10, 11), 12)]
)
def test_a_variable_ends_with_its_statement(name: int, full: tuple[int, int, int, int], end: int) -> None:
    declaration = found(PYTHON, full, name, "p/a.py")
    assert declaration.end == end
    assert declaration.top == name


def test_an_annotation_is_a_part_of_it() -> None:
    assert found(PYTHON, (21, 5, 21, 10), 21, "p/a.py").end == 21


@pytest.mark.parametrize("full", [(8, 1, 11, 2), (2, 1, 11, 2), (4, 1, 11, 2)])
def test_attributes_and_doc_comments_in_rust(full: tuple[int, int, int, int]) -> None:
    assert found(RUST, full, 8, "p/a.rs") == Declaration(2, 8, 11, "", (2, 3), "")


def test_a_field_with_an_attribute_on_its_line_and_a_comma() -> None:
    with_attribute = found(RUST, (10, 5, 10, 23), 10, "p/a.rs")
    assert (with_attribute.top, with_attribute.separator) == (10, ",")


def test_keywords_before_a_constant_belong_to_it_and_the_comment_above() -> None:
    assert found(TYPESCRIPT, (4, 14, 4, 23), 4, "p/a.ts") == Declaration(1, 4, 4, ";", (1, 2, 3), "")


def test_the_decorated_field_above_is_another_one() -> None:
    assert found(TYPESCRIPT, (7, 3, 7, 13), 7, "p/a.ts").top == 7
    assert found(TYPESCRIPT, (10, 3, 12, 5), 10, "p/a.ts").top == 8


def test_a_template_and_its_attribute() -> None:
    assert found(CPP, (4, 1, 4, 6), 4, "p/a.cc").top == 1


@pytest.mark.parametrize(
    ("text", "full", "name", "path"),
    [
        (RUST, (12, 1, 12, 10), 12, "p/a.rs"),
        (RUST, (12, 11, 12, 20), 12, "p/a.rs"),
        (TYPESCRIPT, (14, 10, 14, 11), 14, "p/a.ts"),
        (TYPESCRIPT, (15, 5, 15, 10), 15, "p/a.ts"),
        (TYPESCRIPT, (15, 12, 15, 17), 15, "p/a.ts"),
    ],
)
def test_what_shares_its_line_is_refused(text: str, full: tuple[int, int, int, int], name: int, path: str) -> None:
    with pytest.raises(ToolError, match="use edit_file") as error:
        found(text, full, name, path)
    assert error.value.code == "shares_line"


def test_a_server_that_names_lines_behind_the_end_is_taken_for_the_end() -> None:
    assert found("def f():\n    pass", (1, 1, 9, 1), 1, "p/a.py").end == 2
