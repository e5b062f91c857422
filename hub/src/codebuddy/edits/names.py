"""The temporary names of an edit."""

from __future__ import annotations

import re

__all__ = ["is_temporary", "spare_name", "temporary_name"]

_TEMPORARY = re.compile(r"\.codebuddy-[0-9]{8}T[0-9]{6}-[0-9a-f]{8}-[0-9]+\.tmp~?")


def temporary_name(edit: str, number: int) -> str:
    """Give the name under which something of an edit lies until it gets its own."""
    return f".codebuddy-{edit}-{number}.tmp"


def spare_name(temporary: str) -> str:
    """Give the name that a file has while it is swapped with a temporary one, where that takes several steps."""
    return temporary + "~"


def is_temporary(name: str) -> bool:
    """Say whether an edit lies, or left something, under this name: it is not the project's."""
    return _TEMPORARY.fullmatch(name) is not None
