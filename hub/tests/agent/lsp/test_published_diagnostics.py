"""Published diagnostics are kept within bounds."""

from __future__ import annotations

from pathlib import Path

from codebuddy.agent.lsp.connection import Published
from codebuddy.agent.lsp.documents import Document
from codebuddy.agent.lsp.tree import Stamp


def document(number: int) -> Document:
    path = Path(f"/p/f{number}.py")
    return Document(path, path.as_uri(), 1, "", [""], "", Stamp(0, 0, 0, 0), False, since=1)


def test_the_oldest_diagnostics_are_dropped() -> None:
    published = Published()
    for number in range(30):
        for _ in range(2):  # the second replaces the first
            published.take(document(number).path, 1, [{}] * 2000, has_version=True)
    kept = [number for number in range(30) if published.current(document(number)) is not None]
    assert kept == list(range(5, 30))
