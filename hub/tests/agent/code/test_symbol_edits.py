"""Code that replaces a symbol or comes beside it fits in: indentation, comments, blank lines, line breaks."""

from __future__ import annotations

from typing import Any

import pytest

from codebuddy.agent.code.symbol_edits import find_declaration, fitted, inserted, plan_symbol_edit, replaced
from codebuddy.files.text import apply_range_edits, content_hash
from codebuddy.schemas.code import SymbolEditArguments
from codebuddy.tool import ToolError

SYMBOLS = "textDocument/documentSymbol"
CAN = {"documentSymbolProvider": True}

PYTHON = """\
import os

# Greets.
@cache
def greet():
    return 1


class A:
    x = 1

    def first(self):
        return 1  # one

    def last(self):
        return 2
"""
RUST = """\
enum E {
    A,
    B,
}
"""


def edit(text: str, full: Any, name_line: int, content: str, how: str, *, path: str = "p/a.py", name: str = "") -> str:
    lines = text.split("\n")
    found = find_declaration(lines, full, name_line, path)
    if how == "replace":
        change = replaced(lines, found, content, path, name)
    else:
        change = inserted(lines, found, content, path, below=how == "after")
    return apply_range_edits(text, [change])


def test_a_statement_above_is_no_attribute() -> None:
    text = "requires = ['a']\ndef f(): ...\n"
    assert find_declaration(text.split("\n"), (2, 1, 2, 13), 2, "p/setup.py").top == 2


METHOD = "def first(self):\n    return 3"


@pytest.mark.parametrize(
    "content",
    [
        METHOD,
        METHOD + "\n\n",
        "\n" + METHOD,
        "    def first(self):\n        return 3",
        "def first(self):\n        return 3",
        "\tdef first(self):\n\t    return 3",
    ],
)
def test_code_is_indented_like_the_place_however_it_comes(content: str) -> None:
    changed = edit(PYTHON, (12, 5, 14, 1), 12, content, "replace")
    assert changed == PYTHON.replace("        return 1  # one", "        return 3")


def test_a_body_in_braces_that_was_copied_without_its_first_indentation() -> None:
    assert fitted("go() {\n      x;\n    }", "    ", "a.ts") == ["    go() {", "      x;", "    }"]
    assert fitted("go() {\n  x;\n}", "    ", "a.ts") == ["    go() {", "      x;", "    }"]
    assert fitted("@Input()\n    go() {}", "    ", "a.ts") == ["    @Input()", "    go() {}"]
    assert fitted("def f():\n    '''\n\n    '''", "", "a.py") == ["def f():", "    '''", "", "    '''"]


def test_decorators_and_the_comment_stay() -> None:
    changed = edit(PYTHON, (5, 1, 7, 1), 5, "async def greet():\n    return 2", "replace")
    assert changed == PYTHON.replace("def greet():\n    return 1", "async def greet():\n    return 2")


def test_a_comment_in_the_content_replaces_the_comment() -> None:
    changed = edit(PYTHON, (4, 1, 7, 1), 5, "# New.\n@cache\ndef greet(): ...", "replace")
    assert changed.startswith("import os\n\n# New.\n@cache\ndef greet(): ...\n\n\nclass A")


ROUTE = "@app.route(\n    '/a',  # don't\n\n    methods=[')'],\n)\n@login\n"
KEPT = {  # the code above, its last line, the new code, and the code after
    "a decorator with another argument": (
        "@cache(1)\n@x\n",
        "def f(): 1",
        "@cache(2)\ndef f(): 2",
        "@cache(2)\n@x\ndef f(): 2",
    ),
    "the same decorator": (ROUTE, "def f(): 1", f"{ROUTE}def f(): 2", f"{ROUTE}def f(): 2"),
    "one of two": (ROUTE, "def f(): 1", "@login\ndef f(): 2", f"{ROUTE}def f(): 2"),
    "another one": (ROUTE, "def f(): 1", "@other\ndef f(): 2", f"{ROUTE}@other\ndef f(): 2"),
    "after a blank line": ("@x\n\n", "def f(): 1", "def f(): 2", "@x\ndef f(): 2"),
    "any expression": ("@(lambda f: f)\n@a[0].b\n", "def f(): 1", "def f(): 2", "@(lambda f: f)\n@a[0].b\ndef f(): 2"),
    "a comment behind it": ("@x  # why\n", "def f(): 1", "def f(): 2", "@x  # why\ndef f(): 2"),
    "two of one name": (
        "@given('a', 1)\n@given('b', 2)\n",
        "def f(): 1",
        "@given('b', 3)\ndef f(): 2",
        "@given('a', 1)\n@given('b', 3)\ndef f(): 2",
    ),
    "a helper first": (
        "@x\n",
        "def f(): 1",
        "def helper(): 0\n\n\n@y\ndef f(): 2",
        "def helper(): 0\n\n\n@x\n@y\ndef f(): 2",
    ),
}
ATTRIBUTES = {
    "rs": (
        "/// Doc.\n#[test]\n#[cfg(\n    unix,\n)] #[allow(x)]\n",
        "fn f() {}",
        "#[allow(y)]\nfn f() { 2 }",
        "/// Doc.\n#[test]\n#[cfg(\n    unix,\n)]\n#[allow(y)]\nfn f() { 2 }",
    ),
    "java": (
        '/** Doc. */\n@Override @Deprecated\n@A({")", "b"})\n',
        "void f() {}",
        "/** New. */\n@Override\nvoid f() { }",
        '/** New. */\n@Override\n@Deprecated\n@A({")", "b"})\nvoid f() { }',
    ),
    "ts": (
        "@Component({\n  template: `it's (`,\n})\n",
        "export class f {}",
        "export class f { a = 1; }",
        "@Component({\n  template: `it's (`,\n})\nexport class f { a = 1; }",
    ),
    "field.ts": ("", "@Input() @Old(1) f: string;", "f: number;", "@Input() @Old(1) f: number;"),
    "row.ts": ("", "@Input() f: string;", "@Input()\nf: number;", "@Input()\nf: number;"),
    "cc": (
        "template <\n    typename T>\n  requires A<T>\n[[nodiscard]] [[gnu::hot]]\n__attribute__((cold))\n",
        "T f();",
        "[[nodiscard]]\nT f() { }",
        "template <\n    typename T>\n  requires A<T>\n[[nodiscard]]\n[[gnu::hot]]\n__attribute__((cold))\nT f() { }",
    ),
    "constrained.cc": ("template <class T>\nrequires A<T>\n", "T f();", "int f();", "int f();"),
    "special.cc": ("template <>\n", "int f<int>();", "int f<int>() { }", "template <>\nint f<int>() { }"),
    "plain.cc": ("template <typename T>\n[[x]]\n", "T f();", "int f();", "[[x]]\nint f();"),
    "type.cc": ("[[x]]\n", "int f();", "unsigned\nf() { }", "[[x]]\nunsigned\nf() { }"),
    "go": (
        "// f does.\n//go:noinline\n",
        "func f() {}",
        "// f is.\nfunc f() { }",
        "// f is.\n//go:noinline\nfunc f() { }",
    ),
}


@pytest.mark.parametrize(
    ("path", "above", "old", "content", "new"),
    [
        *(pytest.param("p/a.py", *case, id=name) for name, case in KEPT.items()),
        *(pytest.param(f"p/a.{name}", *case, id=name) for name, case in ATTRIBUTES.items()),
    ],
)
def test_what_stands_above_stays_once(path: str, above: str, old: str, content: str, new: str) -> None:
    line, end = above.count("\n") + 1, len(old) + 1
    for begin in (1, line):  # as servers count it
        full = (begin, 1, line, end)
        assert edit(f"{above}{old}\n", full, line, content, "replace", path=path, name="f") == f"{new}\n"
        assert edit(f"{above}{old}\n", full, line, "x = 1", "before", path=path).endswith(f"{above}{old}\n")


@pytest.mark.parametrize(("content", "new"), [("C", "C,"), ("C,", "C,"), ("C // c", "C, // c"), ("C, // c", "C, // c")])
def test_the_comma_after_it_is_there_once(content: str, new: str) -> None:
    assert edit(RUST, (3, 5, 3, 6), 3, content, "replace", path="p/a.rs") == RUST.replace("B,", new)


def test_a_function_above_another_one_and_its_comment() -> None:
    changed = edit(PYTHON, (5, 1, 7, 1), 5, "def new():\n    pass\n", "before")
    assert changed == PYTHON.replace("import os\n\n# G", "import os\n\n\ndef new():\n    pass\n\n\n# G")


def test_a_method_between_two_and_at_the_end_of_a_class() -> None:
    between = edit(PYTHON, (12, 5, 14, 1), 12, "def new(self): ...", "after")
    assert between == PYTHON.replace("# one\n", "# one\n\n    def new(self): ...\n")
    end = edit(PYTHON, (15, 5, 17, 1), 15, "def new(self): ...", "after")
    assert end == PYTHON + "\n    def new(self): ...\n"


def test_a_function_after_the_last_class_in_a_file_without_final_line_break() -> None:
    text = PYTHON.rstrip("\n")
    assert edit(text, (9, 1, 16, 17), 9, "def new(): ...", "after") == text + "\n\n\ndef new(): ..."


def test_single_lines_stand_together() -> None:
    assert edit(PYTHON, (10, 5, 10, 10), 10, "y = 2", "after") == PYTHON.replace("x = 1\n", "x = 1\n    y = 2\n")
    assert edit(RUST, (2, 5, 2, 6), 2, "Z,", "before", path="p/a.rs") == RUST.replace("    A,", "    Z,\n    A,")
    assert edit(RUST, (3, 5, 3, 6), 3, "C,", "after", path="p/a.rs") == RUST.replace("    B,\n", "    B,\n    C,\n")


def test_a_decorator_above_a_symbol_gets_no_blank_line() -> None:
    assert edit(PYTHON, (12, 5, 14, 1), 12, "@staticmethod", "before") == PYTHON.replace(
        "    def first", "    @staticmethod\n    def first"
    )


def test_blank_lines_that_are_asked_for_are_given() -> None:
    assert edit(PYTHON, (10, 5, 10, 10), 10, "\n\ny = 2", "after") == PYTHON.replace(
        "x = 1\n", "x = 1\n\n\n    y = 2\n"
    )


@pytest.mark.parametrize("content", ["", "  \n\n"])
def test_blank_code_is_refused(content: str) -> None:
    with pytest.raises(ToolError, match="blank"):
        edit(PYTHON, (5, 1, 7, 1), 5, content, "replace")


# With a server


async def plan(fake: Any, **given: Any) -> Any:
    arguments = {"path": "p/shop.py", "symbol": "open_shop", "action": "replace", "content": "def open_shop(): ..."}
    return await plan_symbol_edit(fake.servers, SymbolEditArguments(**{**arguments, **given}), fake.report)


def symbol(wire: Any, name: str, line: int, last: int) -> dict[str, Any]:
    whole = {"start": {"line": line, "character": 0}, "end": {"line": last, "character": 99}}
    return {**wire.symbol(name, line, 4), "range": whole}


@pytest.mark.anyio
async def test_the_change_is_for_the_bytes_that_were_seen_and_keeps_line_breaks(
    start: Any, wire: Any, root: Any
) -> None:
    data = "\ufeffdef open_shop():\r\n    return '😀'\r\n".encode()
    (root / "shop.py").write_bytes(data)
    async with start({SYMBOLS: [[{"reply": [symbol(wire, "open_shop", 0, 1)]}]]}, CAN) as fake:
        planned = await plan(fake, content="def open_shop():\n    pass\n    return '😀'")
    (change,) = planned.changes
    assert change.expected_hash == content_hash(data)
    text = data.decode("utf-8-sig")
    assert apply_range_edits(text, change.edits) == "def open_shop():\r\n    pass\r\n    return '😀'\r\n"


@pytest.mark.anyio
async def test_what_is_so_already_is_no_change(start: Any, wire: Any) -> None:
    async with start({SYMBOLS: [[{"reply": [symbol(wire, "open_shop", 0, 1)]}]]}, CAN) as fake:
        planned = await plan(fake, content="def open_shop():\n    return 1")
    assert (planned.complete, planned.changes) == (True, [])


@pytest.mark.anyio
async def test_of_two_symbols_with_one_name_the_line_says_which(start: Any, wire: Any, root: Any) -> None:
    (root / "shop.py").write_text("def twice():\n    return 1\ndef twice():\n    return 2\n")
    both = [symbol(wire, "twice", 0, 1), symbol(wire, "twice", 2, 3)]
    async with start({SYMBOLS: [[{"reply": both}]]}, CAN) as fake:
        with pytest.raises(ToolError, match="line 3") as error:
            await plan(fake, symbol="twice")
        assert error.value.code == "ambiguous_symbol"
        planned = await plan(fake, symbol="twice", line=3, content="def twice(): ...")
        assert planned.changes[0].edits[0].line == 3


OVERLOADS = """\
# Why.
@overload
def f(x: int) -> int: ...

@overload
def f(x: str) -> str: ...
def f(x):
    return x

def other(): ...
"""


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"symbol": "f[2]", "content": "def f(x: bytes) -> bytes: ..."}, OVERLOADS.replace("str", "bytes")),
        (
            {"symbol": "f[*]", "content": "def f(x):\n    return 2"},
            "# Why.\ndef f(x):\n    return 2\n\ndef other(): ...\n",
        ),
        (
            {"symbol": "f[*]", "content": "# New.\n@overload\ndef f(): ..."},
            "# New.\n@overload\ndef f(): ...\n\ndef other(): ...\n",
        ),
        ({"symbol": "f[*]", "action": "before", "content": "x = 1"}, f"x = 1\n\n\n{OVERLOADS}"),
        ({"symbol": "f[*]", "action": "after", "content": "x = 1"}, OVERLOADS.replace("x\n\nd", "x\n\n\nx = 1\n\n\nd")),
    ],
)
async def test_overloads_are_edited_one_by_one_or_as_a_group(
    start: Any, wire: Any, root: Any, given: Any, expected: str
) -> None:
    (root / "shop.py").write_text(OVERLOADS)
    several = [symbol(wire, "f", 2, 2), symbol(wire, "f", 5, 5), symbol(wire, "f", 6, 7), symbol(wire, "other", 9, 9)]
    async with start({SYMBOLS: [[{"reply": several}]]}, CAN) as fake:
        planned = await plan(fake, **given)
        assert apply_range_edits(OVERLOADS, planned.changes[0].edits) == expected


@pytest.mark.anyio
async def test_a_group_with_something_else_in_it_is_refused(start: Any, wire: Any, root: Any) -> None:
    (root / "shop.py").write_text("def f(): 1\ndef g(): 2\ndef f(): 3\n")
    several = [symbol(wire, "f", 0, 0), symbol(wire, "g", 1, 1), symbol(wire, "f", 2, 2)]
    async with start({SYMBOLS: [[{"reply": several}]]}, CAN) as fake:
        with pytest.raises(ToolError, match=r"g \(line 2\) stands between them"):
            await plan(fake, symbol="f[*]")
        with pytest.raises(ToolError) as refused:
            await plan(fake, symbol="f")
        assert refused.value.message.endswith("one of: f[1] (line 1), f[2] (line 3). f[*] is all of them.")


@pytest.mark.anyio
async def test_a_symbol_that_is_not_there_is_refused_with_those_that_are(start: Any, wire: Any) -> None:
    async with start({SYMBOLS: [[{"reply": [symbol(wire, "open_shop", 0, 1)]}]]}, CAN) as fake:
        with pytest.raises(ToolError, match="open_shop"):
            await plan(fake, symbol="close_shop")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("on", "capabilities", "reason"),
    [
        ({SYMBOLS: [[{"reply": [{"name": "x"}]}]]}, CAN, "server_error"),
        ({SYMBOLS: [[{"exit": 1}]]}, CAN, "server_crashed"),
        ({}, {"documentSymbolProvider": False}, "unsupported"),
    ],
)
async def test_a_server_that_cannot_tell_changes_nothing(start: Any, on: Any, capabilities: Any, reason: str) -> None:
    async with start(on, capabilities) as fake:
        planned = await plan(fake)
        assert (planned.complete, planned.reason, planned.changes) == (False, reason, [])
