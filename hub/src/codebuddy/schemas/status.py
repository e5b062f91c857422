"""What a spoke reports about itself."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel

from codebuddy.text_safety import one_line
from codebuddy.tool import Arguments, Count, Result

State = Literal["starting", "indexing", "ready", "degraded", "dead", "stopped"]


class StatusArguments(Arguments):
    """None are needed."""


Printable = Annotated[str, AfterValidator(partial(one_line, longest=500))]
"""A spoke's words, which are printed on terminals."""


class LanguageServerState(BaseModel):
    """The state of one language server.

    Args:
        name: as declared.
        state: ``starting``, ``indexing`` (it answers, but not yet completely), ``ready``, ``degraded`` (it answers, but
            its answers may lack something), ``dead``, or ``stopped`` (it starts when it is asked).
        reason: why it is not ready.
        percent: progress of indexing, if the server reports it.
    """

    name: Printable
    state: State
    reason: Printable | None = None
    percent: Count | None = None

    def row(self) -> str:
        """Render it for a lean answer; of a server that is ready, the name says all."""
        done = None if self.percent is None else f"{self.percent} %"
        notes = ", ".join(filter(None, (self.state, done, self.reason)))
        return self.name if self.state == "ready" else f"{self.name}: {notes}"


class SpokeStatus(Result):
    """The state of a spoke.

    Args:
        mount: ``st_dev:st_ino`` of its workspace; the hub compares it with its own, since both must see one directory.
        unavailable: why its workspace cannot be used, in a sentence; None if it can be.
        watching: how it notices changes made by others, ``inotify`` or ``polling``, and why if it is polling.
    """

    mount: Printable
    unavailable: Printable | None = None
    watching: Printable
    language_servers: list[LanguageServerState]
