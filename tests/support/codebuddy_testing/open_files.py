"""The open file descriptors of the test process."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path


def open_files_below(base: Path) -> Counter[str]:
    """Count what this process has open in a directory and below, by path."""
    found: Counter[str] = Counter()
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own descriptor, or one that another thread closed meanwhile
            found[os.readlink(f"/proc/self/fd/{descriptor}")] += 1
    return Counter({place: count for place, count in found.items() if place.startswith(str(base))})
