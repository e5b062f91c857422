"""What an import statement says of where it imports from, as it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Final

from codebuddy.agent.lsp.tree import Tree
from codebuddy.tool import ToolError

_PYTHON: Final = re.compile(r"\s*(?:from\s+([\w.]+)\s+import\b|import\s+([\w.]+))")
_SCRIPT: Final = re.compile(r"""(?:\bfrom|\brequire\s*\(|\bimport\s*\(?)\s*['"]([^'"]+)['"]""")
_SCRIPT_BEGINS: Final = re.compile(r"\s*(?:import|export|const|let|var)\b")
_MAX_LINES: Final = 100  # of a statement

_PYTHON_FILES: Final = (".py", ".pyi")
_SCRIPT_FILES: Final = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")


def imported_from(tree: Tree, file: Path, line: int) -> str | None:
    """Return the module that the statement at a line imports from; None if it is no import of Python or TypeScript."""
    try:
        lines = tree.lines(file)
    except ToolError:
        return None
    if line > len(lines):
        return None
    if file.suffix in _PYTHON_FILES:
        return _python(lines, line)
    return _script(lines, line) if file.suffix in _SCRIPT_FILES else None


def _python(lines: list[str], line: int) -> str | None:
    for number in range(line, max(0, line - _MAX_LINES), -1):
        text = lines[number - 1].partition("#")[0]
        if match := _PYTHON.match(text):
            is_open = ("(" in text and ")" not in text) or lines[line - 2].endswith("\\")
            return (match[1] or match[2]) if number == line or is_open else None
        if number < line and ")" in text:
            return None
    return None


def _script(lines: list[str], line: int) -> str | None:
    begin = next(
        (n for n in range(line, max(0, line - _MAX_LINES), -1) if _SCRIPT_BEGINS.match(lines[n - 1])),
        line,
    )
    for number in range(begin, min(len(lines), begin + _MAX_LINES) + 1):
        text = lines[number - 1]
        if number >= line and (match := _SCRIPT.search(text)):
            return match[1]
        if ";" in text or (number > begin and _SCRIPT_BEGINS.match(text)):
            return None
    return None


def is_elsewhere(tree: Tree, file: Path, module: str, known: Iterable[str]) -> bool:
    """Say whether a module that a server does not find is surely none of those in which a thing is known.

    Args:
        file: where it is imported.
        known: workspace paths of files.
    """
    if module.startswith((".", "@/", "~", "#", "/")):
        return False  # of the project
    python = file.suffix in _PYTHON_FILES
    names = {module.partition(".")[0]} if python else set(re.split(r"[/@.-]", module)) - {""}
    paths = [PurePath(path) for path in known]
    if any(names & {*path.parent.parts, path.stem} for path in paths):
        return False
    if not python:
        return not any(_is_package_of(tree, tree.locate(str(path)), module) for path in paths)
    above = [directory for directory in file.parents if directory.is_relative_to(tree.root)]
    name = module.partition(".")[0]
    inside = name, f"{name}.py", f"src/{name}", f"src/{name}.py"
    return not any((directory / one).exists() for directory in above for one in inside)


def _is_package_of(tree: Tree, file: Path, module: str) -> bool:
    """Say whether a file is in the npm package that a module is of."""
    package = "/".join(module.split("/")[: 2 if module.startswith("@") else 1])
    name = re.compile(rf'"name"\s*:\s*"{re.escape(package)}"')
    for directory in file.parents:
        if not directory.is_relative_to(tree.root):
            return False
        if (directory / "package.json").is_file():
            try:
                return name.search("\n".join(tree.lines(directory / "package.json"))) is not None
            except ToolError:
                return False
    return False
