"""What a spoke tells of itself."""

from __future__ import annotations

from codebuddy.language.models import LanguageServerState
from codebuddy.tools.tool import Arguments, Result

__all__ = ["SpokeStatus", "StatusArguments"]


class StatusArguments(Arguments):
    """None are needed."""


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
