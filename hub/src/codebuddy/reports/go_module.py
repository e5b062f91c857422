"""The path of a Go module, from its go.mod."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["module_of"]

_MODULE = re.compile(r'module[ \t]{1,20}"?([^\s"]{1,1000})"?')  # Go Modules Reference, "go.mod files"
_MAX_SIZE = 65536  # bytes


def module_of(root: Path | None) -> str | None:
    """Give the path of the module whose go.mod lies in a directory; none when that cannot be read."""
    if root is None:
        return None
    try:
        descriptor = os.open(root / "go.mod", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            text = file.read(_MAX_SIZE).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
    found = next(filter(None, (_MODULE.match(line.strip()) for line in text.split("\n"))), None)
    return found[1] if found else None
