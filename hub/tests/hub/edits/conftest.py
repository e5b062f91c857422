"""A fresh bench for every test, and a directory that lives in memory for those that need hundreds of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .bench import MEMORY, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "bench")
    yield bench
    bench.close()


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """A kill loses nothing of the page cache, so it does not matter whether there is a disk below it."""
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="codebuddy-edits-", dir=where) as directory:
        yield Path(directory)
