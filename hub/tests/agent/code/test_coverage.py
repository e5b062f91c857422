"""What a server says about a whole project is compared with the places where the word stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.files.text import MAX_FILE_BYTES

pytestmark = pytest.mark.anyio

REFERENCES, DEFINITION, SYMBOLS = "textDocument/references", "textDocument/definition", "textDocument/documentSymbol"


@pytest.fixture
def found(wire: Any) -> list[Any]:
    """The answer of a server that has loaded the two files of the project."""
    return [wire.place("shop.py", 0, 4, 13), wire.place("main.py", 0, 17, 26), wire.place("main.py", 1, 0, 9)]


def shown(answer: Any) -> list[tuple[str, int]]:
    return [(at.path.removeprefix("p/"), at.line) for at in answer.locations]


def told(answer: Any) -> list[tuple[str, int]]:
    return [(at.path.removeprefix("p/"), at.line) for at in answer.text_matches or []]


LOADED = [("main.py", 1), ("main.py", 2), ("shop.py", 1)]


async def test_a_place_that_leads_to_the_declaration_is_a_use(
    start: Any, root: Path, wire: Any, found: list[Any]
) -> None:
    (root / "more.py").write_text("from shop import open_shop\n# open_shop\n")
    async with start({REFERENCES: [[{"reply": found}]], DEFINITION: [[{"reply": found[0]}]]}) as fake:
        answer = await fake.references()
        assert (answer.complete, shown(answer), told(answer)) == (True, [*LOADED[:2], ("more.py", 1), LOADED[2]], [])
        assert len(fake.sent(DEFINITION)) == 1


async def test_a_place_that_leads_elsewhere_is_another_thing(
    start: Any, root: Path, wire: Any, found: list[Any]
) -> None:
    (root / "more.py").write_text("def open_shop(): ...\nopen_shop()\n")
    leads = [[{"reply": wire.place("more.py", 1, 0, 9)}], [{"reply": wire.place("more.py", 0, 4, 13)}]]
    async with start({REFERENCES: [[{"reply": found}]], DEFINITION: leads}) as fake:
        answer = await fake.references()
        assert (answer.complete, shown(answer), told(answer)) == (True, LOADED, [])


async def test_an_import_of_a_package_that_is_not_installed_is_another_thing(
    start: Any, root: Path, wire: Any, found: list[Any]
) -> None:
    (root / "more.py").write_text("from foreign.parts import open_shop\nopen_shop()\n")
    leads = [[{"reply": None}], [{"reply": wire.place("more.py", 0, 26, 35)}]]
    async with start({REFERENCES: [[{"reply": found}]], DEFINITION: leads}) as fake:
        answer = await fake.references()
        assert (answer.complete, shown(answer), told(answer)) == (True, LOADED, [])


async def test_a_use_of_an_import_that_leads_nowhere_is_told(
    start: Any, root: Path, wire: Any, found: list[Any]
) -> None:
    (root / "lost").mkdir()
    (root / "more.py").write_text("from lost import open_shop\nopen_shop()\n")
    leads = [[{"reply": None}], [{"reply": wire.place("more.py", 0, 17, 26)}]]
    async with start({REFERENCES: [[{"reply": found}]], DEFINITION: leads}) as fake:
        answer = await fake.references()
        assert (answer.reason, shown(answer)) == ("not_covered", LOADED)
        assert told(answer) == [("more.py", 1), ("more.py", 2)]
        assert answer.message == ("fake does not know what 'open_shop' is at p/more.py:1 (fake finds nothing there).")


async def test_a_file_too_large_to_be_searched_is_told_if_the_word_is_in_it(
    start: Any, root: Path, found: list[Any]
) -> None:
    (root / "large.py").write_text("#" * (MAX_FILE_BYTES + 1))
    async with start({REFERENCES: [[{"reply": found}]]}) as fake:
        assert (await fake.references()).complete
        (root / "large.py").write_text("#" * MAX_FILE_BYTES + "\nopen_shop()\n")
        await fake.servers.files_changed([root / "large.py"])
        answer = await fake.references()
        assert (answer.complete, answer.reason, shown(answer)) == (False, "truncated", LOADED)
        assert answer.message.startswith("p/large.py was not searched for 'open_shop': The file has ")


async def test_more_places_than_are_shown_are_counted(start: Any, root: Path, found: list[Any]) -> None:
    (root / "more.py").write_text("open_shop()\n" * 60)
    async with start({REFERENCES: [[{"reply": found}]], DEFINITION: [[{"reply": None}]]}) as fake:
        answer = await fake.references()
        assert (answer.reason, len(answer.text_matches), answer.text_matches_cut) == ("not_covered", 50, 10)


async def test_an_import_over_several_lines_is_told_if_it_may_be_one_of_the_project(
    start: Any, root: Path, found: list[Any]
) -> None:
    (root / "more.py").write_text("from x import (\n    open_shop,\n)\nfrom shop import (\n    open_shop,\n)\n")
    async with start({REFERENCES: [[{"reply": found}]], DEFINITION: [[{"reply": None}]]}) as fake:
        answer = await fake.references()
        assert (answer.reason, shown(answer), told(answer)) == ("not_covered", LOADED, [("more.py", 5)])


async def test_a_member_of_what_nobody_knows_is_told_and_the_answer_is_complete(
    start: Any, root: Path, found: list[Any]
) -> None:
    (root / "more.py").write_text("def run(x):\n    x.open_shop()\n    run(open_shop=1)\n")
    async with start({REFERENCES: [[{"reply": found}]], DEFINITION: [[{"reply": None}]]}) as fake:
        answer = await fake.references()
        assert (answer.complete, told(answer)) == (True, [("more.py", 2), ("more.py", 3)])


async def test_a_file_of_a_kind_that_is_not_read_is_told(start: Any, root: Path, found: list[Any]) -> None:
    (root / "fast.pyx").write_text("from shop import open_shop\n")
    async with start({REFERENCES: [[{"reply": found}]]}) as fake:
        answer = await fake.references()
        assert (answer.reason, told(answer)) == ("not_covered", [("fast.pyx", 1)])
        assert "fake does not read .pyx files" in str(answer.message)


async def test_a_server_that_refuses_to_say_what_stands_there_does_not_know(
    start: Any, root: Path, found: list[Any]
) -> None:
    (root / "more.py").write_text("open_shop()\n")
    async with start({REFERENCES: [[{"reply": found}]], DEFINITION: [[{"error": [-32603, "no package"]}]]}) as fake:
        assert told(await fake.references()) == [("more.py", 1)]


async def test_when_files_were_shown_the_server_is_asked_again(start: Any, root: Path, found: list[Any]) -> None:
    (root / "more.py").write_text("from shop import open_shop\n")
    more = [[{"reply": found[:1]}], [{"reply": found}]]
    async with start({REFERENCES: more, DEFINITION: [[{"reply": found[0]}]]}) as fake:
        assert shown(await fake.references()) == [*LOADED[:2], ("more.py", 1), LOADED[2]]
        assert len(fake.sent(REFERENCES)) == 2


async def test_nothing_is_looked_up_twice_until_a_file_changes(start: Any, root: Path, found: list[Any]) -> None:
    (root / "more.py").write_text("open_shop()\n")
    async with start({REFERENCES: [[{"reply": found}]]}) as fake:
        assert await fake.references() == await fake.references()
        assert len(fake.sent(DEFINITION)) == 1
        (root / "more.py").write_text("\nopen_shop()\nopen_shop()\n")
        await fake.references()
        assert len(fake.sent(DEFINITION)) == 3


async def test_what_only_one_function_can_use_is_not_looked_for_elsewhere(start: Any, root: Path, wire: Any) -> None:
    (root / "main.py").write_text("def run():\n    item = 1\n    return item\n")
    (root / "more.py").write_text("item = 2\n")
    symbol = {
        "name": "run",
        "kind": 12,
        "range": {"start": {"line": 0, "character": 0}, "end": {"line": 2, "character": 15}},
        "selectionRange": wire.span(0, 4, 7),
    }
    places = [wire.place("main.py", 1, 4, 8), wire.place("main.py", 2, 11, 15)]
    async with start({REFERENCES: [[{"reply": places}]], SYMBOLS: [[{"reply": [symbol]}]]}) as fake:
        answer = await fake.references(path="p/main.py", line=2, column=5)
        assert (answer.complete, len(answer.locations), fake.sent(DEFINITION)) == (True, 2, [])


async def test_a_member_is_looked_for_elsewhere_though_one_function_has_all_its_uses(
    start: Any, root: Path, wire: Any
) -> None:
    (root / "main.py").write_text("def run(self):\n    self.item = 1\n")
    (root / "more.py").write_text("item = 2\n")
    places = [wire.place("main.py", 1, 9, 13)]
    async with start({REFERENCES: [[{"reply": places}]]}) as fake:
        await fake.references(path="p/main.py", line=2, column=10)
        assert len(fake.sent(DEFINITION)) == 1


async def test_of_more_places_than_are_looked_up_the_answer_says_so(start: Any, root: Path, found: list[Any]) -> None:
    for number in range(130):
        (root / f"more{number}.py").write_text("open_shop()\n")
    async with start({REFERENCES: [[{"reply": found}]]}) as fake:
        answer = await fake.references()
        assert (answer.reason, len(fake.sent(DEFINITION))) == ("truncated", 100)
        assert answer.message == "30 more places have the name 'open_shop' and were not compared."


async def test_further_places_of_a_file_that_the_server_named_need_not_be_looked_up(
    start: Any, root: Path, found: list[Any]
) -> None:
    (root / "main.py").write_text("from shop import open_shop\nopen_shop()\n" + "open_shop()\n" * 400)
    async with start({REFERENCES: [[{"reply": found}]]}) as fake:
        assert (await fake.references()).complete
        assert len(fake.sent(DEFINITION)) == 300


async def test_further_places_of_a_file_that_the_server_did_not_name_are_told(
    start: Any, root: Path, found: list[Any]
) -> None:
    (root / "more.py").write_text("open_shop()\n" * 400)
    async with start({REFERENCES: [[{"reply": found}]]}) as fake:
        answer = await fake.references()
        assert (answer.reason, len(fake.sent(DEFINITION))) == ("truncated", 300)


async def test_a_server_without_definitions_is_not_asked_for_them(start: Any, root: Path, found: list[Any]) -> None:
    (root / "more.py").write_text("open_shop()\n")
    async with start({REFERENCES: [[{"reply": found}]]}, {"definitionProvider": None}) as fake:
        assert ((await fake.references()).complete, fake.sent(DEFINITION)) == (True, [])


async def test_a_file_of_each_configuration_is_shown_before_the_question(start: Any, root: Path, wire: Any) -> None:
    for name in ("main.py", "shop.py"):
        (root / name).unlink()
    for directory in ("one", "two", "two/inner", "three"):
        (root / directory).mkdir()
        (root / directory / "a.ts").write_text("const x = 1;\n")
        (root / directory / "b.ts").write_text("word;\n")
        (root / directory / "c.ts").write_text("word;\n")
    for configured in ("one/tsconfig.json", "two/tsconfig.json", "two/inner/jsconfig.json"):
        (root / configured).write_text("{}")
    places = [wire.place(f"{where}/{name}.ts", 0, 0, 4) for where in ("one", "two") for name in "bc"]
    places += [wire.place(f"{where}/{name}.ts", 0, 0, 4) for where in ("two/inner", "three") for name in "bc"]
    async with start({REFERENCES: [[{"reply": places}]]}, languages={"*.ts": "typescript"}) as fake:
        answer = await fake.references(path="p/one/c.ts", line=1, column=1)
        assert (answer.complete, len(answer.locations)) == (True, 8)
        opened = {one["params"]["textDocument"]["uri"] for one in fake.sent("textDocument/didOpen")}
        shown = [f"{where}/b.ts" for where in ("one", "two", "two/inner", "three")]
        assert opened == {wire.uri(name) for name in ["one/c.ts", *shown]}


async def test_the_server_is_asked_again_though_the_first_places_of_files_lead_elsewhere(
    start: Any, root: Path, wire: Any, found: list[Any]
) -> None:
    for number in range(4):
        (root / f"more{number}.py").write_text("open_shop()\n" * 100)
    late = wire.place("more0.py", 99, 0, 9)
    lead = [[{"reply": wire.place("more1.py", 0, 0, 9)}]]
    async with start({REFERENCES: [[{"reply": found}], [{"reply": [*found, late]}]], DEFINITION: lead}) as fake:
        answer = await fake.references()
        assert ("more0.py", 100) in shown(answer)


@pytest.mark.parametrize(
    "case",
    [
        ("more.py", "def run(a, item):\n    item\n", False),
        ("more.py", "def run(\n    a=(), *,\n    item: int = 1,\n): item\n", False),
        ("more.py", "def run(a):\n    item = a\n    return f(item)\n", True),
    ],
)
async def test_a_parameter_that_calls_name_is_looked_for_elsewhere(
    case: tuple[str, str, bool], start: Any, root: Path, wire: Any
) -> None:
    name, text, is_local = case
    (root / name).write_text(text)
    (root / "other.py").write_text("run(item=2)\n")
    lines = text.splitlines()
    symbol = {
        "name": "run",
        "kind": 12,
        "range": {"start": {"line": 0, "character": 0}, "end": {"line": len(lines), "character": 0}},
        "selectionRange": wire.span(0, lines[0].index("run"), lines[0].index("run") + 3),
    }
    starts = [(row, line.index("item")) for row, line in enumerate(lines) if "item" in line]
    places = [wire.place(name, row, column, column + 4) for row, column in starts]
    at = {"path": f"p/{name}", "line": starts[0][0] + 1, "column": starts[0][1] + 1}
    async with start({REFERENCES: [[{"reply": places}]], SYMBOLS: [[{"reply": [symbol]}]]}) as fake:
        await fake.references(**at)
        assert (fake.sent(DEFINITION) == []) is is_local


async def test_overloads_that_lead_to_each_other_are_followed_once(
    start: Any, root: Path, wire: Any, found: list[Any]
) -> None:
    (root / "more.py").write_text("open_shop()\n" * 40)
    leads = [[{"reply": [wire.place("more.py", row, 0, 9) for row in range(40)]}]]
    async with start({REFERENCES: [[{"reply": found}]], DEFINITION: leads}) as fake:
        answer = await fake.references()
        assert (answer.complete, shown(answer), told(answer)) == (True, LOADED, [])


async def test_a_name_in_all_is_a_use_where_the_module_binds_the_thing(
    start: Any, root: Path, wire: Any, found: list[Any]
) -> None:
    (root / "main.py").write_text('from shop import open_shop\nopen_shop()\n__all__ = [\n    "open_shop",\n]\n')
    (root / "more.py").write_text('__all__ = ["open_shop"]\n')
    async with start({REFERENCES: [[{"reply": found}]]}) as fake:
        answer = await fake.references()
        assert shown(answer) == [*LOADED[:2], ("main.py", 4), LOADED[2]]


async def test_a_word_of_the_language_is_no_use(start: Any, root: Path, wire: Any) -> None:
    (root / "main.py").write_text("def match(): ...\n")
    (root / "more.py").write_text("match 1:\n    case 1: x.match()\n")
    on = {REFERENCES: [[{"reply": [wire.place("main.py", 0, 4, 9)]}]], DEFINITION: [[{"reply": None}]]}
    async with start(on) as fake:
        answer = await fake.references(path="p/main.py", line=1, column=5)
        assert (answer.complete, told(answer)) == (True, [("more.py", 2)])
