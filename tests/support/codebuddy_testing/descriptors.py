"""What a test's own process holds open."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

__all__ = ["open_below"]


def open_below(base: Path) -> Counter[str]:
    """Give what this process has open in a directory and below; what other tests left open is none of its."""
    found: Counter[str] = Counter()
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own; another thread's that was closed meanwhile
            found[os.readlink(f"/proc/self/fd/{descriptor}")] += 1
    return Counter({place: count for place, count in found.items() if place.startswith(str(base))})
