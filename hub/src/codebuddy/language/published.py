"""Diagnostics that a server publishes by itself, each kept with the version of the document that it belongs to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from codebuddy.language.changes import Changes, remaining
from codebuddy.language.documents import Document

__all__ = ["Published"]

_MAX_FILES: Final = 2000
_MAX_ITEMS: Final = 2000
_MAX_ITEMS_OF_ALL: Final = 50_000


@dataclass(frozen=True)
class _Entry:
    version: int | None
    said: bool
    items: list[Any]
    cut: bool


class Published:
    """The last diagnostics of each file; the least recently told are forgotten."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Path, _Entry] = OrderedDict()
        self._items = 0
        self._changes = Changes()
        self._closed = False

    def take(self, path: Path, version: int | None, items: list[Any], said: bool) -> None:
        """Keep what was published.

        Args:
            path: the file.
            version: the version of the document that it is for.
            items: the diagnostics as the protocol writes them.
            said: whether the version was in the message; servers may leave it out. It is then the one that the server
                had been sent when the message came, None when the document was not open.
        """
        if (before := self._entries.pop(path, None)) is not None:
            self._items -= len(before.items)
        entry = self._entries[path] = _Entry(version, said, items[:_MAX_ITEMS], len(items) > _MAX_ITEMS)
        self._items += len(entry.items)
        while len(self._entries) > _MAX_FILES or self._items > _MAX_ITEMS_OF_ALL:
            self._items -= len(self._entries.popitem(last=False)[1].items)
        self._changes.tell()

    def is_cut(self, document: Document) -> bool:
        """Say whether there were more diagnostics of a file than are kept."""
        entry = self._entries.get(document.path)
        return entry is not None and entry.cut

    def of(self, document: Document) -> list[Any] | None:
        """Give what was computed for the text that the document has now; None when nothing was yet."""
        entry = self._entries.get(document.path)
        return entry.items if entry is not None and document.has_text_of(entry.version) else None

    def besides(self, document: Document) -> list[Any]:
        """Give what a server that is asked for its diagnostics published in addition, e.g. from a compiler run."""
        entry = self._entries.get(document.path)
        if entry is None or (entry.said and not document.has_text_of(entry.version)):
            return []
        return entry.items

    async def wait(
        self,
        document: Document,
        deadline: float,
        needless: Callable[[], bool] = lambda: False,
        enough: Callable[[list[Any]], bool] = lambda items: True,
    ) -> list[Any] | None:
        """Wait for what is computed for the document's text; None when it did not come in time or the server is gone.

        When the text changes meanwhile, it is that of the new text.

        Args:
            document: the document.
            deadline: until when, in the running loop's time.
            needless: looked at whenever `wake` is called: whether there is nothing to wait for any more.
            enough: whether what was published is all of it, from a server that publishes in parts.
        """
        while (items := self.of(document)) is None or not enough(items):
            if self._closed or needless() or not await self._changes.wait(remaining(deadline)):
                return None
        return items

    def wake(self) -> None:
        """Have all who wait look whether that has become needless."""
        self._changes.tell()

    def close(self) -> None:
        """Note that the server is gone: nobody needs to wait any more."""
        self._closed = True
        self._changes.tell()
