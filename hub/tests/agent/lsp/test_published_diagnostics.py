"""What servers publish is kept within bounds."""

from __future__ import annotations

from pathlib import Path

from codebuddy.agent.lsp.connection import Published
from codebuddy.agent.lsp.documents import Document
from codebuddy.agent.lsp.tree import Stamp


def document(number: int) -> Document:
    path = Path(f"/p/f{number}.py")
    return Document(path, path.as_uri(), 1, "", [""], "", Stamp(0, 0, 0, 0), False, since=1)


def test_of_all_files_together_the_oldest_items_are_forgotten() -> None:
    published = Published()
    for number in range(30):
        for _ in range(2):  # what is told again takes the place of what was told
            published.take(document(number).path, 1, [{}] * 2000, has_version=True)
    kept = [number for number in range(30) if published.current(document(number)) is not None]
    assert kept == list(range(5, 30))
