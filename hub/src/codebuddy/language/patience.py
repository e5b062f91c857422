"""How long things may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from codebuddy.language.readiness import PROGRESS_GRACE

__all__ = ["DEFAULT_PATIENCE", "Patience"]


@dataclass(frozen=True)
class Patience:
    """How long things may take, in seconds; tests take less."""

    initialize: float = 60.0
    probe: float = 20.0
    verdict: float = 5.0
    memory_look: float = 3.0
    first_delay: float = 0.5
    longest_delay: float = 30.0
    healthy_after: float = 60.0
    shutdown: float = 1.0
    grace: float = PROGRESS_GRACE


DEFAULT_PATIENCE: Final = Patience()
