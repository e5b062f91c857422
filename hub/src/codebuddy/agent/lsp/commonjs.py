"""Which JavaScript files are CommonJS modules: ``require``, ``exports``, ``module.exports``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from codebuddy.agent.lsp.tree import Tree
from codebuddy.tool import ToolError

_COMMONJS: Final = re.compile(r"\brequire\s*\(|\bmodule\.exports\b|(?<![.\w])exports\s*[.=\[]")
_MODULE: Final = re.compile(r"^(?:import\b(?!\s*\()|export\b)", re.MULTILINE)


def is_commonjs(tree: Tree, path: Path) -> bool:
    """Say whether a file is a CommonJS module.

    A ``.js`` file is, if its text says so and the package.json above does not say ``"type": "module"``.
    """
    if path.suffix == ".cjs":
        return True
    if path.suffix not in (".js", ".jsx"):
        return False
    try:
        text = "\n".join(tree.lines(path))
    except ToolError:
        return False
    return bool(_COMMONJS.search(text)) and not _MODULE.search(text) and not _is_of_modules(tree, path.parent)


def _is_of_modules(tree: Tree, directory: Path) -> bool:
    while True:
        try:
            package = json.loads("\n".join(tree.lines(directory / "package.json")))
            return isinstance(package, dict) and package.get("type") == "module"
        except ValueError:
            return False
        except ToolError:
            if directory == tree.root:
                return False
        directory = directory.parent
