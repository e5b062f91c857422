"""Some servers count a byte order mark as a column of the first line of a file that they read from disk."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code.decoding import Reader, UnopenedFiles
from codebuddy.agent.lsp.tree import Tree, uri_of

pytestmark = pytest.mark.anyio
REFERENCES, OPENED = "textDocument/references", "textDocument/didOpen"
TEXT = codecs.BOM_UTF8 + b"open_shop()\nopen_shop()\n"


@pytest.fixture
def marked(root: Path) -> list[str]:
    """Return the names of forty files with a byte order mark."""
    names = [f"marked{number}.py" for number in range(40)]
    for name in names:
        (root / name).write_bytes(TEXT)
    return names


def opened(fake: Any) -> list[str]:
    return [message["params"]["textDocument"]["uri"].rpartition("/")[2] for message in fake.sent(OPENED)]


def counted_and_not(wire: Any, names: list[str]) -> list[list[dict[str, Any]]]:
    """Return a server's answers about the first lines, before and after the files are opened."""
    return [[{"reply": [wire.place(name, 0, first, first + 9) for name in names]}] for first in (1, 0)]


async def test_places_in_first_lines_of_marked_files_are_requested_again_after_opening_these(
    start: Any, wire: Any, marked: list[str]
) -> None:
    async with start({REFERENCES: counted_and_not(wire, marked)}) as fake:
        answer = await fake.references()
        assert (answer.complete, len(answer.locations)) == (True, 40)
        assert {(one.line, one.column, one.end_column, one.line_text) for one in answer.locations} == {
            (1, 1, 10, "open_shop()")
        }
        assert set(marked) <= set(opened(fake))
        assert all("\ufeff" not in message["params"]["textDocument"]["text"] for message in fake.sent(OPENED))
        assert len(fake.sent(REFERENCES)) == 2


async def test_nothing_is_requested_again_for_other_lines_or_files_without_a_mark(
    start: Any, wire: Any, marked: list[str]
) -> None:
    places = [wire.place(marked[0], 1, 0, 9), wire.place("shop.py", 0, 4, 13)]
    async with start({REFERENCES: [[{"reply": places}]]}) as fake:
        assert [one.line for one in (await fake.references()).locations] == [2, 1]
        assert len(fake.sent(REFERENCES)) == 1


async def test_too_many_marked_files_make_the_answer_unsupported(start: Any, wire: Any, root: Path) -> None:
    names = [f"marked{number:03}.py" for number in range(101)]
    for name in names:
        (root / name).write_bytes(TEXT)
    async with start({REFERENCES: counted_and_not(wire, names)}) as fake:
        answer = await fake.references()
        assert (answer.complete, answer.reason, answer.locations) == (False, "unsupported", [])
        assert "p/marked000.py and 100 more" in answer.message


async def test_a_marked_file_that_the_server_does_not_serve_makes_the_answer_unsupported(
    start: Any, wire: Any, root: Path
) -> None:
    (root / "words.txt").write_bytes(TEXT)
    async with start({REFERENCES: [[{"reply": [wire.place("words.txt", 0, 1, 10)]}]]}) as fake:
        answer = await fake.references()
        assert (answer.complete, answer.reason) == (False, "unsupported")
        assert "p/words.txt" in answer.message


async def test_hierarchies_and_symbols_are_requested_again(start: Any, wire: Any, marked: list[str]) -> None:
    def item(first: int) -> dict[str, Any]:
        at = wire.place(marked[0], 0, first, first + 9)
        return {"name": "open_shop", "kind": 12, **at, "selectionRange": at["range"]}

    def symbol(first: int) -> dict[str, Any]:
        return {"name": "open_shop", "kind": 12, "location": wire.place(marked[1], 0, first, first + 9)}

    on = {
        "textDocument/prepareCallHierarchy": [[{"reply": [item(1)]}], [{"reply": [item(0)]}]],
        "workspace/symbol": [[{"reply": [symbol(1)]}], [{"reply": [symbol(0)]}]],
    }
    async with start(on) as fake:
        assert [one.column for one in (await fake.calls()).items] == [1]
        assert [one.column for one in (await fake.find_symbols("open_shop")).symbols] == [1]
        assert {marked[0], marked[1]} <= set(opened(fake))


async def test_a_rename_finds_the_declaration_in_the_first_line_of_a_marked_file(
    start: Any, wire: Any, marked: list[str]
) -> None:
    edits = {wire.uri("main.py"): [wire.edit(1, 0, 9)], wire.uri(marked[0]): [wire.edit(0, 0, 9)]}
    on = {
        "textDocument/definition": counted_and_not(wire, marked[:1]),
        "textDocument/rename": [[{"reply": {"changes": edits}}]],
    }
    async with start(on, {"renameProvider": True}) as fake:
        planned = await fake.rename()
        assert planned.complete
        assert [(one.path, one.line, one.column) for one in planned.declarations] == [(f"p/{marked[0]}", 1, 1)]


async def test_a_rename_of_many_files_opens_only_the_marked_ones(start: Any, wire: Any, root: Path) -> None:
    for number in range(120):
        (root / f"plain{number}.py").write_text("open_shop()\n")
    (root / "marked.py").write_bytes(TEXT)
    names = ["main.py", "marked.py", *(f"plain{number}.py" for number in range(120))]
    for name in names:  # it is uncertain which text of a recently written file the server read
        os.utime(root / name, (1, 1))

    def renamed(mark: int) -> dict[str, Any]:
        edits = {wire.uri(name): [wire.edit(0, 0, 9)] for name in names[2:]}
        edits[wire.uri("main.py")] = [wire.edit(1, 0, 9)]
        edits[wire.uri("marked.py")] = [wire.edit(0, mark, mark + 9)]
        return {"changes": edits}

    on = {"textDocument/rename": [[{"reply": renamed(1)}], [{"reply": renamed(0)}]]}
    async with start(on, {"renameProvider": True, "definitionProvider": None}) as fake:
        planned = await fake.rename()
        (edited,) = [change.edits for change in planned.changes if change.path == "p/marked.py"]
        assert (edited[0].column, edited[0].end_column) == (1, 10)
        assert "marked.py" in opened(fake)
        assert not any(name.startswith("plain") for name in opened(fake))


@pytest.mark.parametrize(("line", "shown", "right"), [(0, False, False), (1, False, True), (0, True, True)])
def test_a_place_is_wrong_only_in_the_first_line_of_a_marked_file_that_is_not_open(
    line: int, shown: bool, right: bool, root: Path, wire: Any
) -> None:
    path = root.resolve() / "marked.py"
    path.write_bytes(TEXT)
    reader = Reader(Tree("p", root), "utf-16", {path: ["open_shop()", "open_shop()", ""]} if shown else {})
    place = {"uri": uri_of(path), "range": wire.span(line, 0, 9)}
    if right:
        assert [one.column for one in reader.locations([place])] == [1]
    else:
        with pytest.raises(UnopenedFiles) as unshown:
            reader.locations([place])
        assert unshown.value.paths == {path}
