"""Renames that would break the code are refused, with what to do; others are not."""

from __future__ import annotations

import pytest

from codebuddy.agent.code.rename import require_no_shorthand, require_not_reserved
from codebuddy.schemas.files import RangeEdit
from codebuddy.tool import ToolError


def edit(text: str, old: str = "name", new: str = "label") -> tuple[list[str], list[RangeEdit]]:
    """Rename the word between the marks."""
    lines = text.replace("<<", "").split("\n")
    before = text.split("<<", maxsplit=1)[0].split("\n")
    line, column = len(before), len(before[-1]) + 1
    return lines, [RangeEdit(line=line, column=column, end_line=line, end_column=column + len(old), new_text=new)]


@pytest.mark.parametrize(
    "text",
    [
        "return { <<name, value: 1 };",
        "return { value: 1, <<name };",
        "const { <<name } = thing;",
        "const { <<name = 1, other } = thing;",
        "f({\n  first(a, { b }),\n  <<name,\n});",
        "x = {\n  // a comment\n  <<name\n};",
    ],
)
def test_a_shorthand_property_is_refused_and_told_how_to_write_it(text: str) -> None:
    lines, edits = edit(text)
    with pytest.raises(ToolError, match="write it as 'name: name' first") as caught:
        require_no_shorthand("project-a/src/parse.ts", lines, edits, "label")
    assert caught.value.code == "cannot_rename"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a/x.ts", "import { <<name } from './y';"),
        ("a/x.ts", "import type { other, <<name } from './y';"),
        ("a/x.ts", "import thing, {\n  other,\n  <<name,\n} from './y';"),
        ("a/x.ts", "export { <<name };"),
        ("a/x.ts", "enum Kind { <<name, other }"),
        ("a/x.ts", "f(<<name, other);"),
        ("a/x.ts", "const list = [first, <<name];"),
        ("a/x.ts", "const text = `${<<name}`;"),
        ("a/x.ts", "const made = { key: <<name };"),
        ("a/x.ts", "if (x) { <<name === 1 }"),
        ("a/x.tsx", "const view = <b>{<<name}</b>;"),
        ("a/x.py", "d = {<<name, other}"),
    ],
)
def test_what_is_no_shorthand_property_is_renamed(path: str, text: str) -> None:
    lines, edits = edit(text)
    require_no_shorthand(path, lines, edits, "label")


def test_what_the_server_wrote_out_is_let_pass() -> None:
    lines, edits = edit("return { <<name };", new="label: name")
    require_no_shorthand("a/x.ts", lines, edits, "label")


@pytest.mark.parametrize(("path", "name"), [("a/x.ts", "class"), ("a/x.jsx", "await"), ("a/x.py", "lambda")])
def test_a_reserved_word_is_refused(path: str, name: str) -> None:
    with pytest.raises(ToolError, match="reserved word"):
        require_not_reserved(path, name)


@pytest.mark.parametrize(("path", "name"), [("a/x.ts", "lambda"), ("a/x.py", "let"), ("a/x.rs", "fn")])
def test_a_word_that_another_language_reserves_is_not(path: str, name: str) -> None:
    require_not_reserved(path, name)
