"""What an import says of where it imports from, and whether that can be a part of the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from codebuddy.agent.code.imports import imported_from, is_elsewhere
from codebuddy.agent.lsp.tree import Tree

IMPORTS = [
    ("a.py", "from x.y import thing\nthing()\n", ["x.y", None]),
    ("a.py", "from x import (  # more\n    other,\n    thing,\n)\nthing()\n", ["x", "x", "x", "x", None]),
    ("a.py", "from x import a, \\\n    thing\nthing()\n", ["x", "x", None]),
    ("a.py", "from .x import thing\nimport thing.z\n", [".x", "thing.z"]),
    ("a.ts", "import { thing } from 'x';\nthing();\n", ["x", None]),
    ("a.ts", "import {\n  thing,\n} from '@x/y';\nthing()\nf()\n", ["@x/y", "@x/y", "@x/y", None, None]),
    ("a.ts", "export { thing } from \"x\"\nimport thing = require('y')\n", ["x", "y"]),
    ("a.js", "const { thing } = require('x');\nconst b = thing\nfrom('x')\n", ["x", None, None]),
    ("a.go", "import thing\n", [None]),
]


@pytest.mark.parametrize(("name", "text", "modules"), IMPORTS)
def test_the_module_of_an_import(name: str, text: str, modules: list[str | None], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    tree = Tree("p", tmp_path)
    assert [imported_from(tree, tmp_path / name, line) for line in range(1, len(modules) + 1)] == modules
    assert imported_from(tree, tmp_path / name, 99) is None
    assert imported_from(tree, tmp_path / f"gone{name}", 1) is None


@pytest.mark.parametrize(
    ("file", "module", "expected"),
    [
        ("app/main.py", "shop_core", False),
        ("app/main.py", "werkzeug.core", True),
        ("app/main.py", "beside.x", False),
        ("app/main.py", ".x", False),
        ("app/main.ts", "@shop/core", False),
        ("app/main.ts", "named", False),
        ("app/main.ts", "named/deep", False),
        ("app/main.ts", "nam", True),
        ("app/main.ts", "@/lib", False),
        ("app/main.ts", "./x", False),
        ("app/main.ts", "react", True),
    ],
)
def test_a_module_is_elsewhere_unless_its_name_is_one_of_the_project(
    file: str, module: str, expected: bool, tmp_path: Path
) -> None:
    (tmp_path / "packages" / "core").mkdir(parents=True)
    (tmp_path / "packages" / "package.json").write_text('{"name": "no"}')
    (tmp_path / "packages" / "core" / "package.json").write_text('{"name": "named"}')
    (tmp_path / "beside").mkdir()
    known = ["p/packages/core/index.ts", "p/packages/core/src/shop_core/__init__.py"]
    assert is_elsewhere(Tree("p", tmp_path), tmp_path / file, module, known) is expected
