"""How a process is, left in a file for ``codebuddy health``: reading a file costs a health check next to nothing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

__all__ = ["FRESH_SECONDS", "STATE_PATH", "read_state", "write_state"]

STATE_PATH = Path("/run/codebuddy/state.json")

WRITE_SECONDS = 5.0
"""How often a living agent writes its state."""

FRESH_SECONDS = 20.0
"""A state older than this was left by an agent that hangs."""


def write_state(state: dict[str, Any], path: Path = STATE_PATH) -> None:
    """Write the state, stamped with the time, so that a reader sees the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({**state, "written_at": time.time()}))
    os.replace(temporary, path)


def read_state(path: Path = STATE_PATH) -> dict[str, Any] | None:
    """Read the state; None when there is none or it is stale."""
    try:
        state = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(state, dict) or time.time() - float(state.get("written_at", 0)) > FRESH_SECONDS:
        return None
    return state
