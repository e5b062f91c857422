"""A file in a declared encoding is sent to a server as text, since the server would read it as UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codebuddy.files.encodings import declare_encodings
from codebuddy.files.search import use_encodings
from codebuddy.files.text import apply_range_edits, content_hash

pytestmark = pytest.mark.anyio
REFERENCES, RENAME, OPENED = "textDocument/references", "textDocument/rename", "textDocument/didOpen"
TEXT = "# first\nx = '表é能力', open_shop()\n"


@pytest.fixture
def declared(root: Path) -> Iterator[bytes]:
    use_encodings("p", [("*.odd.py", "gb18030")])
    data = TEXT.encode("gb18030")
    (root / "a.odd.py").write_bytes(data)
    yield data
    declare_encodings("p", [])


async def test_a_place_in_it_is_requested_again_after_opening_it(start: Any, wire: Any, declared: bytes) -> None:
    column = TEXT.split("\n")[1].index("open_shop")
    # What a server counts that reads the bytes as UTF-8, and then in the document.
    on = {REFERENCES: [[{"reply": [wire.place("a.odd.py", 1, first, first + 9)]}] for first in (column + 5, column)]}
    async with start(on) as fake:
        answer = await fake.references()
        (found,) = [one for one in answer.locations if one.path == "p/a.odd.py"]
        assert (found.line, found.column, found.line_text) == (2, column + 1, TEXT.split("\n")[1])
        assert TEXT in [message["params"]["textDocument"]["text"] for message in fake.sent(OPENED)]
        assert len(fake.sent(REFERENCES)) == 2


async def test_a_rename_in_it_is_for_the_text_that_was_sent(start: Any, wire: Any, declared: bytes) -> None:
    column = TEXT.split("\n")[1].index("open_shop")
    documents = [*wire.renamed()["documentChanges"], wire.document("a.odd.py", None, wire.edit(1, column, column + 9))]
    async with start({RENAME: [[{"reply": {"documentChanges": documents}}]]}, {"renameProvider": True}) as fake:
        planned = await fake.rename()
        (change,) = [one for one in planned.changes if one.path == "p/a.odd.py"]
        assert change.expected_hash == content_hash(declared)
        assert apply_range_edits(TEXT, change.edits) == TEXT.replace("open_shop", "enter")
        assert TEXT in [message["params"]["textDocument"]["text"] for message in fake.sent(OPENED)]
