"""What a spoke tells of itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel

from codebuddy.tool import Arguments, Count, Result

State = Literal["starting", "indexing", "ready", "degraded", "dead", "stopped"]


class StatusArguments(Arguments):
    """None are needed."""


def _printable(text: str) -> str:
    """Keep control characters out: what a spoke says of itself is printed on terminals."""
    return "".join(c if c.isprintable() else " " for c in text)[:500]


Shown = Annotated[str, AfterValidator(_printable)]


class LanguageServerState(BaseModel):
    """How one language server is.

    Args:
        name: as declared.
        state: ``starting``, ``indexing`` (it answers, but not yet completely), ``ready``, ``degraded`` (it answers, but
            its answers may lack something), ``dead``, or ``stopped`` (it starts when it is asked).
        reason: why it is not ready.
        percent: how far indexing is, when the server tells.
    """

    name: Shown
    state: State
    reason: Shown | None = None
    percent: Count | None = None


class SpokeStatus(Result):
    """How a spoke is.

    Args:
        mount: ``st_dev:st_ino`` of its workspace; the hub compares it with its own, for both must see one directory.
        watching: how changes by others are noticed, ``inotify`` or ``polling``, and why when it is the second.
        language_servers: each one's state.
    """

    mount: Shown
    watching: Shown
    language_servers: list[LanguageServerState]
