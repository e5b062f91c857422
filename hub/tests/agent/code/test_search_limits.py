"""A server that leaves things out without saying so is not taken for complete, and does not rename."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.anyio
REFERENCES, RENAME, SYMBOLS = "textDocument/references", "textDocument/rename", "textDocument/documentSymbol"
RENAMES = {"renameProvider": True}

# The project has two files that are served, with the name in both of them.
WITHIN = {"searched_files": 2, "parsed_files": 2, "shortest_name": 9}
BEYOND = [
    ({**WITHIN, "searched_files": 1}, "fake looks into 1 files only, and the project has more, so it may not have"),
    ({**WITHIN, "parsed_files": 1}, "fake looks closely at 1 files only, and 'open_shop' stands in more, so it may"),
    ({**WITHIN, "shortest_name": 10}, "fake looks for a name as short as 'open_shop' in one file only, so it may not"),
]


@pytest.fixture
def root(root: Path) -> Path:
    # None of these is one that the server looks at for the name.
    (root / "notes.txt").write_text("open_shop\n")
    (root / ".venv").mkdir()
    (root / ".venv/other.py").write_text("open_shop\n")
    return root


def script(wire: Any) -> dict[str, Any]:
    places = [wire.place("main.py", 0, 17, 26), wire.place("main.py", 1, 0, 9), wire.place("shop.py", 0, 4, 13)]
    return {
        REFERENCES: [[{"reply": places}]],
        RENAME: [[{"reply": wire.renamed()}]],
        SYMBOLS: [[{"reply": [wire.symbol("open_shop", 0, 4)]}]],
    }


@pytest.mark.parametrize("asked", [{}, {"symbol": "open_shop"}], ids=["place", "name"])
@pytest.mark.parametrize(("limits", "sentence"), BEYOND)
async def test_references_beyond_a_limit_are_told_to_be_incomplete(
    asked: dict[str, str], limits: dict[str, int], sentence: str, start: Any, wire: Any
) -> None:
    async with start(script(wire), limits=limits) as fake:
        answer = await fake.references(**asked)
        assert (answer.complete, answer.reason) == (False, "truncated")
        assert answer.message.startswith(sentence)
        assert len(answer.locations) == 3


@pytest.mark.parametrize("asked", [{}, {"symbol": "open_shop"}], ids=["place", "name"])
@pytest.mark.parametrize("limits", [WITHIN, {}])
async def test_references_within_the_limits_are_complete(
    asked: dict[str, str], limits: dict[str, int], start: Any, wire: Any
) -> None:
    async with start(script(wire), limits=limits) as fake:
        answer = await fake.references(**asked)
        assert (answer.complete, answer.reason, answer.message) == (True, None, None)


async def test_a_name_counts_as_a_word_only(root: Path, start: Any, wire: Any) -> None:
    (root / "more.py").write_text("reopen_shop = open_shops = 1\n")
    async with start(script(wire), limits={"parsed_files": 2}) as fake:
        assert (await fake.references()).complete
        (root / "more.py").write_text("x = 'open_shop'\n")
        assert (await fake.references()).reason == "truncated"


@pytest.mark.parametrize("asked", [{}, {"name": "open_shop", "paths": ["p/shop.py"]}], ids=["place", "name"])
@pytest.mark.parametrize(("limits", "sentence"), BEYOND)
async def test_a_rename_beyond_a_limit_is_refused(
    asked: dict[str, Any], limits: dict[str, int], sentence: str, start: Any, wire: Any
) -> None:
    async with start(script(wire), RENAMES, limits=limits) as fake:
        planned = await fake.rename(**asked)
        assert (planned.complete, planned.reason, planned.changes) == (False, "truncated", [])
        assert planned.message.startswith(sentence)
        assert fake.sent(RENAME) == []


async def test_a_rename_within_the_limits_is_made(start: Any, wire: Any) -> None:
    async with start(script(wire), RENAMES, limits=WITHIN) as fake:
        planned = await fake.rename()
        assert planned.complete
        assert {change.path for change in planned.changes} == {"p/main.py", "p/shop.py"}
