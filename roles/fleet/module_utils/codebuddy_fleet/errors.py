"""The ways in which converging a fleet fails, each with a sentence that says what to do."""

from __future__ import annotations

__all__ = ["EngineUnreachable", "FleetError"]


class FleetError(Exception):
    """A failure to show to the user: one or more sentences, one a line.

    Args:
        sentences: what to show.
        changed: whether something was changed before.
    """

    def __init__(self, sentences: str, *, changed: bool = False) -> None:
        super().__init__(sentences)
        self.changed = changed


class EngineUnreachable(FleetError):
    """No engine answers at the given address (not installed, not running)."""
