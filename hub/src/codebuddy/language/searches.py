"""Waiting for a server that looks for new files in its own time (``refresh: search``).

Told of new files, such a server (basedpyright) starts a timer, and lists the project's directories when that runs out.
Until then no answer has what is in them, though they were shown to it; and that it has looked is said in its log only.

Which line of the log counts is told by the order of messages: the files are told, something is asked, and one of them
is told again. A line after the answer is of a search that began after the files were told; and there will be one, for
what was told again begins another.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from codebuddy.errors import ToolError
from codebuddy.language.config import ServerConfig
from codebuddy.language.documents import Documents
from codebuddy.language.session import Session

__all__ = ["Searches"]

_LONGEST: Final = 20.0
_MAX_LOG_LINE: Final = 2000


class Searches:
    """The searches of one process.

    Args:
        config: the server.
        session: the session with it.
        documents: its documents.
    """

    def __init__(self, config: ServerConfig, session: Session, documents: Documents) -> None:
        self._name = config.name
        self._ended = re.compile(config.ready_log) if config.refresh == "search" and config.ready_log else None
        self._session = session
        self._documents = documents
        self._question: asyncio.Future[Any] | None = None
        self._line = asyncio.Event()

    def logged(self, text: str) -> None:
        """Take what the server logs, in its place among its answers."""
        if self._ended is None or self._question is None or not self._question.done():
            return
        if self._ended.search(text[:_MAX_LOG_LINE]):
            self._line.set()

    def close(self) -> None:
        """End all waiting, for the session is closed."""
        self._line.set()

    async def end(self, created: Collection[Path]) -> str | None:
        """Wait until a search has ended that began now or later; say in a sentence if that cannot be known.

        Args:
            created: new files that the server was told of.

        Raises:
            SessionClosed: the server is gone.
        """
        if self._ended is None or not created:
            return None
        self._line.clear()
        self._question = self._session.ask("$/codebuddy/search", None)
        self._question.add_done_callback(asyncio.Future.exception)  # it is an unknown request, which is what it is for
        try:
            if not any(map(self._announce, created)):
                return None  # all of them are gone again
            await self._session.flush()
            async with asyncio.timeout(_LONGEST):
                await self._line.wait()
        except TimeoutError:
            return f"{self._name} did not say that it looked for new files: what is in them may be missing."
        finally:
            self._question = None
        self._session.require_open()
        return None

    def _announce(self, path: Path) -> bool:
        try:
            self._documents.announce(path)
        except ToolError:
            return False
        return True
