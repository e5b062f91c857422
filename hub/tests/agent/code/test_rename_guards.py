"""Renames that would break the code are refused, with what to do; others are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebuddy.agent.code.rename import require_no_shorthand, require_not_reserved, without_aliases
from codebuddy.agent.code.shorthand import shorthands
from codebuddy.agent.code.workspace_edits import EditContext
from codebuddy.agent.lsp.tree import Tree
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
        "export const api = { <<name };",
        "export const api = {\n  other, // {\n  <<name, // }\n};",
        "export default { <<name };",
        "export = { <<name };",
        "module.exports = { <<name };",
        "export const f = () => ({ <<name });",
        "export const f = <T,>(x: T) => ({ x, <<name });",
        "export class X { m() { return { <<name } } }",
        "export class X { field = { <<name }; }",
        "export namespace N { export const api = { <<name }; }",
        "import { a } from 'b';\nexport const api = { <<name };",
        "@Component({ <<name }) class X {}",
        "const x = [{ <<name }, ...{ a }];",
        "const x = a ? { b } : { <<name };",
        "const x = { a: { b: { <<name } } };",
        "const x = <Api>{ <<name };",
        "const x: { name: Map<a, b> } = { <<name };",
        "const x = a ?? { <<name };",
        "switch (a) { case 1: f({ <<name }); }",
        "const x = { /* } */ 'a}': /[}\"'`/]{2}/, <<name };",
        "const q = a / 2; const x = { <<name }; b / 3;",
        "const x = `${[{ <<name }]} {`;",
        "const x = `a ${`{ ${1}`} }`; const y = { <<name };",
        "const x = 'don\\'t {'; const y = { <<name };",
        "for (const { <<name } of list) {}",
        "function f({ <<name }: Props) {}",
        "let name; ({ <<name = 1 } = other);",
        "const a = 1, { <<name } = other;",
        "try { } catch ({ <<name }) { }",
    ],
)
def test_a_shorthand_property_is_refused_and_told_how_to_write_it(text: str) -> None:
    lines, edits = edit(text)
    with pytest.raises(ToolError, match="write it as 'name: name' first") as caught:
        require_no_shorthand("project-a/src/parse.ts", lines, edits, "label")
    assert caught.value.code == "cannot_rename"


@pytest.mark.parametrize(
    "text",
    [
        "const v = <p>don't <C style={{ <<name }} /></p>;",
        "const v = <C {...{ <<name }} />;",
        "const v = <b>{ f({ <<name }) }</b>;",
        "const v = <></>; const w = { <<name };",
        "const v = <C a='>' b={<i/>}>}</C>; const w = { <<name };",
        "function C({ <<name, ...rest }: P) { return <b {...rest}>{name}</b>; }",
    ],
)
def test_a_shorthand_property_beside_markup_is_refused_too(text: str) -> None:
    lines, edits = edit(text)
    with pytest.raises(ToolError, match="write it as 'name: name' first"):
        require_no_shorthand("project-a/src/view.tsx", lines, edits, "label")


@given(st.text("ab{}()[]<>/`'\"$=:;,?!*\\n \n"), st.booleans())
def test_any_text_is_read_to_its_end(text: str, jsx: bool) -> None:
    assert shorthands(f"{text};", range(len(text) + 1), jsx=jsx) <= set(range(len(text)))


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
        ("a/x.ts", "export type { <<name };"),
        ("a/x.ts", "const x = {};\nexport { x, <<name } from './y';"),
        ("a/x.ts", "export const enum Kind { first = 1, <<name }"),
        ("a/x.ts", "export class X { <<name = 1; }"),
        ("a/x.ts", "export class X<T> extends Y<T> { <<name; }"),
        ("a/x.ts", "interface X { <<name, other }"),
        ("a/x.ts", "type X = { <<name, other };"),
        ("a/x.ts", "export function f() { <<name = 0; }"),
        ("a/x.ts", "export function f(): Map<a, b> { <<name = 0; }"),
        ("a/x.ts", "export function f(): a[] { <<name = 0; }"),
        ("a/x.ts", "export const f = () => {\n  <<name = 0;\n};"),
        ("a/x.ts", "const x = { async m() { <<name = 0; }, get y() { return 1 } };"),
        ("a/x.ts", "if (x) { a } else { <<name = 0 }"),
        ("a/x.ts", "try { <<name = 0 } finally {}"),
        ("a/x.ts", "switch (x) { case 'a': { <<name = 0; } }"),
        ("a/x.ts", "switch (x) { case a ? 1 : 2: b(); default: { <<name = 0; } }"),
        ("a/x.ts", "label: { <<name = 0; }"),
        ("a/x.ts", "class X { static { <<name = 0; } }"),
        ("a/x.ts", "namespace N { <<name = 0; }"),
        ("a/x.ts", "const text = '{ ' + f(<<name, other) + ' }';"),
        ("a/x.tsx", 'const view = <b title="{">don\'t {<<name}</b>;'),
        ("a/x.tsx", "const view = <>it's {list.map((x) => <i k={x}>{<<name}</i>)}</>;"),
        ("a/x.js", "const view = a < b ? <b>{<<name}</b> : null;"),
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


@pytest.mark.parametrize(
    ("path", "text", "old", "is_kept"),
    [
        ("a/x.ts", "import { <<other } from './y';", "other", False),
        ("a/x.ts", "<<other();", "other", False),
        ("a/x.ts", "import { <<name } from './y';", "name", True),
        ("a/x.ts", "const x = { <<'name': 1 };", "'name'", True),
        ("a/x.ts", "const x = { '<<name': 1 };", "name", True),
        ("a/x.py", "<<other()", "other", True),
    ],
)
def test_another_name_of_the_same_thing_stays(path: str, text: str, old: str, is_kept: bool, tmp_path: Path) -> None:
    lines, edits = edit(text, old)
    for asked in ("name", "'name'"):
        context = EditContext(Tree("a", tmp_path), "utf-16", asked, "label")
        assert without_aliases(path, lines, edits, context) == (edits if is_kept else [])
