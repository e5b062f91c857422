"""What a spoke tells of itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from codebuddy.tool import Arguments, Result

__all__ = ["LanguageServerState", "SpokeStatus", "StatusArguments"]


class StatusArguments(Arguments):
    """None are needed."""


class LanguageServerState(BaseModel):
    """How one language server is.

    Args:
        name: as declared.
        state: ``starting``, ``indexing`` (it answers, but not yet completely), ``ready`` or ``dead``.
        reason: why it is not ready.
        percent: how far indexing is, when the server tells.
    """

    name: str
    state: Literal["starting", "indexing", "ready", "dead"]
    reason: str | None = None
    percent: int | None = None


class SpokeStatus(Result):
    """How a spoke is.

    Args:
        mount: ``st_dev:st_ino`` of its workspace; the hub compares it with its own, for both must see one directory.
        watching: how changes by others are noticed, ``inotify`` or ``polling``, and why when it is the second.
        language_servers: each one's state.
    """

    mount: str
    watching: str
    language_servers: list[LanguageServerState]
