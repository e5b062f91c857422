from __future__ import annotations

from pathlib import Path

import pytest

from codebuddy.agent.code.redeclared import twins


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lib.js", ["lib.d.ts"]),
        ("lib.d.ts", ["lib.js", "lib.jsx"]),
        ("lib.d.mts", ["lib.mjs"]),
        ("lib.pyi", ["lib.py"]),
        ("lib.ts", []),
        ("lib.rs", []),
    ],
)
def test_files_beside_that_declare_the_same(name: str, expected: list[str]) -> None:
    assert twins(Path("/a") / name) == [Path("/a") / other for other in expected]
