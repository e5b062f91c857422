"""Diagnostics that a server publishes by itself, each kept with the version of the document that it belongs to."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from codebuddy.language.changes import Changes, remaining

__all__ = ["Published"]

_MAX_FILES: Final = 2000
_MAX_ITEMS: Final = 2000


@dataclass(frozen=True)
class _Entry:
    sent_version: int | None
    open_version: int | None
    items: list[Any]


class Published:
    """The last diagnostics of each file; the least recently told are forgotten."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Path, _Entry] = OrderedDict()
        self._changes = Changes()
        self._closed = False

    def take(self, path: Path, sent_version: Any, open_version: int | None, items: list[Any]) -> None:
        """Keep what was published.

        Args:
            path: the file.
            sent_version: the version in the message; servers may leave it out.
            open_version: the version of the document that the server had been sent when the message came.
            items: the diagnostics as the protocol writes them.
        """
        version = sent_version if isinstance(sent_version, int) else None
        self._entries[path] = _Entry(version, open_version, items[:_MAX_ITEMS])
        self._entries.move_to_end(path)
        if len(self._entries) > _MAX_FILES:
            self._entries.popitem(last=False)
        self._changes.tell()

    def of_version(self, path: Path, version: int) -> list[Any] | None:
        """Give what was computed for this version of the file; None when nothing was yet.

        Without a version in the message, what came after the version was sent counts.
        """
        entry = self._entries.get(path)
        if entry is None:
            return None
        known = entry.open_version if entry.sent_version is None else entry.sent_version
        return entry.items if known == version else None

    def besides(self, path: Path, version: int) -> list[Any]:
        """Give what a server that is asked for its diagnostics published in addition, e.g. from a compiler run."""
        entry = self._entries.get(path)
        return entry.items if entry is not None and entry.sent_version in (None, version) else []

    async def wait(self, path: Path, version: int, deadline: float) -> list[Any] | None:
        """Wait for what is computed for this version; None when it did not come in time or the server is gone."""
        while (items := self.of_version(path, version)) is None:
            if self._closed or not await self._changes.wait(remaining(deadline)):
                return None
        return items

    def close(self) -> None:
        """Note that the server is gone: nobody needs to wait any more."""
        self._closed = True
        self._changes.tell()
