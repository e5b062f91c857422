"""A place can be given by a word or a symbol; what is not clear is refused with the candidates."""

from __future__ import annotations

from typing import Any

import pytest

from codebuddy.agent.code.places import Span, Symbol, find_group, find_symbol, find_word, read_symbols
from codebuddy.agent.lsp.positions import split_lines, to_lsp
from codebuddy.tool import ToolError

LINES = ["class Cart:", "    @cached", "    def add(self, added):", "        return add", "def add(): ..."]


def span(start: tuple[int, int], end: tuple[int, int]) -> dict[str, Any]:
    return {"start": {"line": start[0], "character": start[1]}, "end": {"line": end[0], "character": end[1]}}


NESTED = [
    {
        "name": "Cart",
        "selectionRange": span((0, 6), (0, 10)),
        "range": span((0, 0), (3, 18)),
        "children": [{"name": "add", "selectionRange": span((2, 8), (2, 11)), "range": span((1, 4), (3, 18))}],
    },
    {"name": "add", "selectionRange": span((4, 4), (4, 7)), "range": span((4, 0), (4, 14))},
]
FLAT = [
    {"name": "add", "location": {"uri": "file:///x", "range": span((4, 0), (4, 14))}},
    {"name": "add", "containerName": "", "location": {"uri": "file:///x", "range": span((1, 4), (3, 18))}},
    {"name": "Cart", "location": {"uri": "file:///x", "range": span((0, 0), (3, 18))}},
]


def at(path: tuple[str, ...], line: int, column: int) -> Symbol:
    return Symbol(path, line, column, Span(line, column, line, column))


@pytest.mark.parametrize("form", [NESTED, FLAT], ids=["hierarchical", "flat"])
def test_a_symbol_is_found_by_its_path_and_its_name_is_pointed_at(form: list[Any]) -> None:
    symbols = read_symbols(form, LINES, "utf-16")
    method = find_symbol(symbols, "Cart/add", "p/x")
    assert (method.path, method.line, method.column, method.full) == (("Cart", "add"), 3, 9, (2, 5, 4, 19))
    function = find_symbol(symbols, "add", "p/x")
    assert (function.path, function.line, function.column, function.full) == (("add",), 5, 5, (5, 1, 5, 15))


def test_a_symbol_that_is_two_is_refused_with_both() -> None:
    symbols = [at(("A", "run"), 2, 5), at(("B", "run"), 7, 5)]
    with pytest.raises(ToolError, match=r"A/run \(line 2\), B/run \(line 7\)") as refused:
        find_symbol(symbols, "run", "p/x")
    assert refused.value.code == "ambiguous_symbol"


OVERLOADS = [
    at(("A",), 1, 7)._replace(detail="class"),
    at(("A", "run"), 2, 5)._replace(detail="int (int, const char *)"),
    at(("A", "run"), 4, 5)._replace(detail="void (double (*)(int)) const"),
    at(("A", "run"), 6, 5),
    at(("B", "run"), 9, 5),
]


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        ("A/run[1]", [2]),
        ("A.run[3]", [6]),
        ("A/run[*]", [2, 4, 6]),
        ("A/run(int, const char*)", [2]),
        ("A::run(double (*)(int))", [4]),
        ("B/run", [9]),
        ("A[*]", [1]),
    ],
)
def test_one_of_several_symbols_with_one_path_has_a_name_and_so_have_all(wanted: str, lines: list[int]) -> None:
    assert [one.line for one in find_group(OVERLOADS, wanted, "p/x")] == lines
    assert find_symbol(OVERLOADS, wanted, "p/x").line == lines[-1]


@pytest.mark.parametrize(
    ("wanted", "code", "message"),
    [
        ("A/run", "ambiguous_symbol", r"one of: A/run\[1\] \(line 2\), A/run\[2\] \(line 4\), A/run\[3\] \(line 6\)\."),
        ("run[*]", "ambiguous_symbol", r"A/run\[3\] \(line 6\), B/run \(line 9\)\."),
        ("A/run[4]", "no_such_symbol", r"there are: A/run\[1\] \(line 2\), "),
        ("A/run(long)", "no_such_symbol", r"there are: A/run\[1\] \(line 2\), "),
        ("B/run[1]", "no_such_symbol", r"B/run \(line 9\)"),
        ("A/run[0]", "no_such_symbol", r"A/run"),
    ],
)
def test_the_names_of_several_are_listed(wanted: str, code: str, message: str) -> None:
    with pytest.raises(ToolError, match=message) as refused:
        find_group(OVERLOADS, wanted, "p/x")
    assert refused.value.code == code


def test_a_symbol_that_is_not_there_is_refused_with_what_is_like_it() -> None:
    with pytest.raises(ToolError, match=r"there are: A/running \(line 2\)\.") as refused:
        find_symbol([at(("A", "running"), 2, 5), at(("B",), 7, 5)], "run", "p/x")
    assert refused.value.code == "no_such_symbol"


@pytest.mark.parametrize(
    "shown",
    ["impl Config", "impl Display for Config", "impl<T> Config<T>", "Config<T>", "impl<T> From<T> for Config<T>"],
)
def test_a_method_is_found_by_its_type_however_the_server_shows_that(shown: str) -> None:
    method = at((shown, "twice(int)"), 8, 12)
    assert find_symbol([method], "Config/twice", "p/x") == method


# The paths of a method, as the servers of five languages and flat ones write them.
WAYS = {
    ("Box", "open"): ["Box/open", "Box.open", "Box::open"],
    ("(*Box).Open",): ["Box/Open", "Box.Open", "(*Box).Open"],
    ("(*Pair[T, U]).Open",): ["Pair/Open", "Pair.Open", "Pair[T, U]/Open", "(*Pair[T, U]).Open"],
    ("ns", "sub", "Tin<T>::open"): ["Tin/open", "ns::sub::Tin::open", "sub/Tin<T>/open", "ns/sub/Tin<T>::open"],
    ("ns::sub::Box::Lid::lift",): ["Lid/lift", "ns/sub/Box/Lid/lift", "Box::Lid::lift", "Box.Lid.lift"],
    ("ns", "Box::operator<"): ["Box/operator<", "ns::Box::operator<", "ns/Box::operator<"],
    ("Box::operator std::string",): ["Box/operator std::string", "Box::operator std::string"],
    ("Box::~Box",): ["Box/~Box", "Box::~Box"],
    ("(anonymous namespace)", "Hidden", "go"): ["Hidden/go", "(anonymous namespace)/Hidden/go"],
    ("m", "impl Opener for Tin<u8>", "open"): [
        "Tin/open",
        "Tin<u8>::open",
        "m/Tin/open",
        "m/impl Opener for Tin<u8>/open",
    ],
    ("impl<T: Into<U>> fmt::Display for &'a mut a::Tin<T>", "fmt"): ["Tin/fmt", "Tin<T>/fmt"],
    ("impl Opener for Tin<fn() -> u8>", "open"): ["Tin/open", "Tin<fn() -> u8>/open"],
    ("impl dyn Opener", "go"): ["Opener/go", "Opener::go"],
    ("a.b", "c"): ["a.b/c", "a/b/c", "a.b.c", "b/c"],
    ("x", '"mod.x/y"', "f"): ['x/"mod.x/y"/f', '"mod.x/y"/f', "f"],
    ("Box", "[Symbol.iterator]"): ["Box/[Symbol.iterator]", "Box.[Symbol.iterator]"],
    ("Box", "#hidden"): ["Box/#hidden", "Box.#hidden"],
    ('describe("a.b/c") callback', "x"): ['describe("a.b/c") callback/x', "x"],
}


@pytest.mark.parametrize(("path", "wanted"), [(path, way) for path, ways in WAYS.items() for way in ways], ids=str)
def test_a_symbol_is_found_by_its_path_in_every_way_of_writing_it(path: tuple[str, ...], wanted: str) -> None:
    others = [
        at(one, 50 + line, 1) for line, one in enumerate([("Other", "open"), ("open",), ("Opener", "open"), ("x",)])
    ]
    symbol = at(path, 8, 12)
    if wanted in {"f", "x"}:
        others = others[:3]
    assert find_symbol([*others, symbol], wanted, "p/x") == symbol


@pytest.mark.parametrize("path", WAYS, ids=str)
@pytest.mark.parametrize(
    "wanted", ["Lid/open", "penn", "x/Box/open", "Box/", "/", ".", "::", "Tin/fm", "(*Box)/Open/x"]
)
def test_another_path_is_not_taken_for_it(path: tuple[str, ...], wanted: str) -> None:
    with pytest.raises(ToolError) as refused:
        find_symbol([at(path, 8, 12)], wanted, "p/x")
    assert refused.value.code == "no_such_symbol"


def test_a_path_as_document_symbols_gives_it_is_always_found_and_the_whole_one_is_preferred() -> None:
    symbols = [
        at(path, line, 1) for line, path in enumerate([*WAYS, ("Tin<u8>", "open"), ("lift",), ("a", "b", "c")], 1)
    ]
    for symbol in symbols:
        assert find_symbol(symbols, "/".join(symbol.path), "p/x") == symbol


def test_methods_of_two_receivers_or_traits_stay_ambiguous_without_the_rest_of_the_path() -> None:
    symbols = [at(("impl A for Tin", "open"), 1, 1), at(("impl B for Tin", "open"), 2, 1), at(("(*X).Go",), 3, 1)]
    with pytest.raises(ToolError, match=r"impl A for Tin/open \(line 1\), impl B for Tin/open \(line 2\)") as refused:
        find_symbol(symbols, "Tin.open", "p/x")
    assert refused.value.code == "ambiguous_symbol"
    assert find_symbol(symbols, "impl B for Tin/open", "p/x").line == 2


@pytest.mark.parametrize("form", [5, [5], [{"name": "x"}], [{"name": "x", "location": 5}], {"a": 1}])
def test_malformed_symbols_are_a_value_error(form: Any) -> None:
    with pytest.raises(ValueError, match="symbol"):
        read_symbols(form, LINES, "utf-16")


@pytest.mark.parametrize(
    ("line", "text", "column"), [(3, "add", 9), (3, "added", 19), (1, "art", 8), (3, "self, a", 13)]
)
def test_a_word_is_found_on_its_line_whole_words_first(line: int, text: str, column: int) -> None:
    assert find_word(LINES, line, text, "p/x") == column


def test_a_word_that_is_there_twice_is_refused_with_its_columns() -> None:
    with pytest.raises(ToolError, match=r"column 1 or 7\.") as refused:
        find_word(["add = add"], 1, "add", "p/x")
    assert refused.value.code == "ambiguous_place"


def test_what_is_wanted_behind_a_word_is_told_with_the_columns_behind_it() -> None:
    with pytest.raises(ToolError, match=r"column 4, 10 or 14\."):
        find_word(["add = add.add"], 1, "add", "p/x", after=True)
    assert find_word(["x = add"], 1, "add", "p/x", after=True) == 8


@pytest.mark.parametrize(("text", "told"), [("a\nb\n", "2 lines"), ("a\nb", "2 lines"), ("a\n", "1 line")])
def test_lines_are_counted_as_read_file_does(text: str, told: str) -> None:
    lines = split_lines(text)
    for line in (3, 4) if told == "2 lines" else (2, 3):
        with pytest.raises(ToolError, match=rf"There is no line {line}: the file has {told}\."):
            find_word(lines, line, "a", "p/x")
    with pytest.raises(ValueError, match=f"there is no line 4: the file has {told}"):
        to_lsp(lines, 4, 1, "utf-16")


@pytest.mark.parametrize(("line", "text"), [(1, "missing"), (99, "Cart")])
def test_a_word_that_is_not_there_is_refused(line: int, text: str) -> None:
    with pytest.raises(ToolError) as refused:
        find_word(LINES, line, text, "p/x")
    assert refused.value.code == "no_such_place"
