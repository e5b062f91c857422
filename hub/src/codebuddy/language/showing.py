"""Showing changed files to a server, so that it knows their text before the next question.

A mere notice that a file changed makes some servers read it in their own time, perhaps after the next question. What
helps differs, so it is declared (``refresh``):

notify    the notice is enough: the server acts on it before the next request
show      every changed file is opened, and closed again: an open document's text is in the server's memory at once,
          and when it is closed the disk has the same
search    as ``show``; what is in new files counts only after a search for them, which the server makes in its own time
reload    the notice is enough for a few files where others were; what lies in a new directory, a package in Go, the
          server does not look for: a new one does
restart   the server does not look at files again that it has read: a new one does
"""

from __future__ import annotations

import asyncio
import glob
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from codebuddy.language.config import Refresh
from codebuddy.language.documents import Documents
from codebuddy.language.searches import Searches
from codebuddy.language.snapshot import CREATED, DELETED
from codebuddy.tool import ToolError

__all__ = ["Showing"]

# As long as they are so few, changed files stay open, whatever is declared.
_KEPT_OPEN: Final = 32
_BYTES_AT_ONCE: Final = 256 * 1024


class Showing:
    """What one server is still to be shown.

    Args:
        refresh: what is declared.
        documents: the server's.
        serves: whether the server serves a file.
        flush: waits until the server has read what it was sent.
        searches: the server's searches for new files.
    """

    def __init__(
        self,
        refresh: Refresh,
        documents: Documents,
        serves: Callable[[Path], bool],
        flush: Callable[[], Awaitable[None]],
        searches: Searches,
    ) -> None:
        self._refresh = refresh
        self._documents = documents
        self._serves = serves
        self._flush = flush
        self._searches = searches
        self._waiting: dict[Path, bool] = {}
        self._new: set[Path] = set()
        self._turn = asyncio.Lock()
        #: Whether only a new process of the server can know the files as they are.
        self.outdated = False

    def note(self, changes: Mapping[Path, int]) -> None:
        """Note changes that the server was told of."""
        served = {path: kind for path, kind in changes.items() if self._serves(path)}
        few = len(served) + len(self._waiting) <= _KEPT_OPEN
        gone = any(kind == DELETED for kind in served.values())
        if self._refresh == "restart" and served and (gone or not few):
            self.outdated = True
        if self._refresh == "reload" and (not few or self._has_new_directory(served)):
            self.outdated = True
        for path, kind in served.items():
            keep = few and kind != DELETED
            if keep or self._refresh in ("show", "search"):
                self._waiting[path] = keep
            if kind == CREATED and self._refresh == "search":
                self._new.add(path)
            elif kind == DELETED:
                self._new.discard(path)

    async def catch_up(self, asked: Path | None = None) -> str | None:
        """Show all that waits; return when it is with the server. Say in a sentence what it may not know all the same.

        Args:
            asked: the file that the server is going to be asked about; without it no search for files is waited for.

        Raises:
            SessionClosed: the server is gone.
        """
        if not self._waiting and not self._new and not self._searches.awaited and not self._turn.locked():
            return None
        async with self._turn:
            unsent = 0
            while self._waiting:
                path, keep = self._waiting.popitem()
                if keep:
                    self._new.discard(path)  # what is open is in the answers
                unsent += self._show(path, keep)
                if unsent > _BYTES_AT_ONCE:
                    await self._flush()
                    await asyncio.sleep(0)
                    unsent = 0
            created, self._new = self._new, set()
            self._searches.begin(created, asked)
            await self._flush()
        return None if asked is None else await self._searches.end()

    def _has_new_directory(self, served: Mapping[Path, int]) -> bool:
        """Say whether all files of a kind in some directory are new."""
        created = {path for path, kind in served.items() if kind == CREATED}
        return any(
            all(file in created for file in directory.glob(f"*{glob.escape(suffix)}") if self._serves(file))
            for directory, suffix in {(path.parent, path.suffix) for path in created}
        )

    def _show(self, path: Path, keep: bool) -> int:
        try:
            return self._documents.show(path, keep)
        except ToolError:
            return 0  # it can be read by nobody
