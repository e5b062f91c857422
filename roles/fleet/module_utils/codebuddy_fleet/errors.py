"""The errors of converging a fleet."""

from __future__ import annotations


class FleetError(Exception):
    """An error to show to the user: one or more sentences, one a line, that say what to do."""

    def __init__(self, sentences: str, *, changed: bool = False) -> None:
        super().__init__(sentences)
        self.changed = changed  # whether something was changed before


class EngineUnreachable(FleetError):
    """No engine answers at the given address."""
