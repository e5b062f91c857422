"""Waiting for a server that looks for new files in its own time (``refresh: search``).

Told of new files, such a server (basedpyright) starts a timer, and lists the project's directories when that runs out.
Until then no answer has what is in them, though they were shown to it; and that it has looked is said in its log only.

Which line of the log counts is told by the order of messages: the files are told, something is asked, and some of them
are told again. A line after the answer is of a search that began after the files were told; and there will be one, for
what was told again begins another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, Final

from codebuddy.language.changes import Changes
from codebuddy.language.documents import Documents
from codebuddy.language.session import Session
from codebuddy.language.tree import Tree
from codebuddy.tool import ToolError

__all__ = ["Searches"]

_LONGEST: Final = 10.0
_MAX_ANNOUNCED: Final = 50


class Searches:
    """The searches of one process.

    Args:
        name: the server's.
        tells: says whether a line of its log tells the end of a search.
        tree: the project.
        session: the session with it.
        documents: its documents.
    """

    def __init__(
        self, name: str, tells: Callable[[str], bool], tree: Tree, session: Session, documents: Documents
    ) -> None:
        self._name = name
        self._tells = tells
        self._tree = tree
        self._session = session
        self._documents = documents
        self._question: asyncio.Future[Any] | None = None
        self._announced: set[str] = set()
        self._until = 0.0
        self._changes = Changes()

    @property
    def awaited(self) -> bool:
        """Whether there is a search that is not known to have ended."""
        return self._question is not None

    def logged(self, text: str) -> None:
        """Take what the server logs, in its place among its answers."""
        if self._question is not None and self._question.done() and self._tells(text):
            self._question = None
            self._changes.tell()

    def close(self) -> None:
        """End all waiting, for the session is closed."""
        self._question = None
        self._changes.tell()

    def begin(self, created: Collection[Path], asked: Path | None) -> None:
        """Have the server look for files that it was told of, and for those that it did not look for yet.

        Args:
            created: new files.
            asked: a file that the server is going to be asked about.

        Raises:
            SessionClosed: the server is gone.
        """
        if not created and not self.awaited:
            return
        if created:
            self._question = self._session.ask("$/codebuddy/search", None)
            # It is an unknown request, which is what it is for.
            self._question.add_done_callback(asyncio.Future.exception)
            self._until = asyncio.get_running_loop().time() + _LONGEST
            self._announced.clear()
        # A server ignores what is outside of what it was set to look at, which only it knows.
        self._announce([*created, *([] if asked is None else [asked]), *reversed(self._documents.paths())])
        if not self._announced:
            self._question = None  # all that was new is gone again, and nothing else is there

    async def end(self) -> str | None:
        """Wait until the search has ended; say in a sentence if that cannot be known.

        Raises:
            SessionClosed: the server is gone.
        """
        while self.awaited:
            left = self._until - asyncio.get_running_loop().time()
            if left <= 0:
                return f"{self._name} has not said yet that it looked for new files: what is in them may be missing."
            await self._changes.wait(left)
        self._session.require_open()
        return None

    def _announce(self, paths: Iterable[Path]) -> None:
        """Tell one file of each directory in the project's own."""
        for path in paths:
            inside = self._tree.relative(path)
            directory = inside.partition("/")[0] if "/" in inside else ""
            if directory in self._announced or len(self._announced) == _MAX_ANNOUNCED:
                continue
            try:
                self._documents.announce(path)
            except (ToolError, ValueError):
                continue  # it is not there any more, or not the server's
            self._announced.add(directory)
