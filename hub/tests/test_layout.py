"""Which package may import which: the layout that the README of the code and its faces promise."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import codebuddy

ROOT = Path(codebuddy.__file__).parent
SHARED = ("schemas", "files", "wire")


def module_of(path: Path) -> str:
    parts = ("codebuddy", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in ROOT.rglob("*.py")}


def imports_of(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & MODULES.keys()) or {node.module}
    return found & MODULES.keys()


IMPORTS = {module: imports_of(path) for module, path in MODULES.items()}


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [("hub", {"agent"}), ("agent", {"hub"}), *((shared, {"hub", "agent"}) for shared in SHARED)],
)
def test_hub_and_agent_never_import_each_other_and_what_they_share_imports_neither(
    package: str, forbidden: set[str]
) -> None:
    members = [module for module in MODULES if package_of(module) == package]
    assert members
    wrong = {
        module: found for module in members if (found := {m for m in IMPORTS[module] if package_of(m) in forbidden})
    }
    assert wrong == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module))
        if module not in done:
            for other in sorted(IMPORTS[module]):
                visit(other, (*trail, module))
            done.add(module)

    for module in sorted(MODULES):
        visit(module, ())


def test_only_the_command_line_chooses_the_process() -> None:
    for process in ("hub", "agent"):
        users = {module for module, found in IMPORTS.items() if any(package_of(one) == process for one in found)}
        assert {module for module in users if package_of(module) != process} == {"codebuddy.cli"}


@pytest.mark.parametrize("face", sorted(path for path in ROOT.rglob("__init__.py")), ids=module_of)
def test_each_package_says_what_it_is_for_and_who_may_use_it(face: Path) -> None:
    text = ast.get_docstring(ast.parse(face.read_text()))
    assert text is not None
    assert face.parent == ROOT or "sed by" in text or "imports this package" in text
