"""Two empty projects, `p` and `q`, and a client of the tools over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from codebuddy_testing.tool_client import ToolClient


@pytest.fixture
def p(tmp_path: Path) -> Path:
    """The root of the project `p`; that of `q` is beside it."""
    for name in "pq":
        (tmp_path / "fleet" / name).mkdir(parents=True)
    return tmp_path / "fleet" / "p"


@pytest.fixture
def client(p: Path, tmp_path: Path) -> Iterator[ToolClient]:
    client = ToolClient(p.parent, tmp_path / "journal", ["p", "q"])
    yield client
    client.close()
