"""Fixtures: a fresh bench for every test, and a directory in memory for tests that need hundreds of benches."""

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
    """In memory if possible: a kill does not lose the page cache, so a disk makes no difference."""
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="codebuddy-edits-", dir=where) as directory:
        yield Path(directory)
