"""What moves takes its imports with it, in one edit with one undo; where no server can see to that, the answer says so.

Of each case the right texts are written by hand: what is replaced in which file, at its path before the move.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from mcp.client.client import Client

from codebuddy_testing.case_projects import chosen_projects
from codebuddy_testing.clients import call
from codebuddy_testing.deployment import Deployment

pytestmark = pytest.mark.anyio

# The servers that update imports also when the directory is another one.
TYPESCRIPT = ("ts-tsc", "ts-tls")
# Those that mend them if only the name is.
PYTHON = ("py-basedpyright", "py-ty", "py-mixed")


@dataclass(frozen=True)
class Move:
    """A move.

    Args:
        projects: where to make it.
        mended: file → pairs of a text and the one that takes its place.
        left: the lines that the answer says are to be looked at, when no server updates imports.
    """

    projects: tuple[str, ...]
    source: str
    target: str
    mended: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    left: tuple[str, ...] = ()


MOVES = [
    Move(
        TYPESCRIPT,
        "src/format.ts",
        "src/text/render.ts",
        {
            "src/index.ts": [('from "./format"', 'from "./text/render"')],
            "src/shapes.ts": [('from "./format"', 'from "./text/render"')],
        },
    ),
    # Out of its directory: its own imports change too, and the configuration includes it.
    Move(
        TYPESCRIPT,
        "src/store.ts",
        "store.ts",
        {
            "src/store.ts": [('"../generated/limits"', '"./generated/limits"'), ('"./shapes"', '"./src/shapes"')],
            "src/index.ts": [('from "./store"', 'from "../store"')],
            "tsconfig.json": [('"generated"]', '"generated", "store.ts"]')],
        },
    ),
    # A directory: imports within it stay.
    Move(
        TYPESCRIPT,
        "src",
        "source",
        {
            "tests/app.test.ts": [('"../src/app"', '"../source/app"'), ('"../src/index"', '"../source/index"')],
            "tsconfig.json": [('["src"', '["source"')],
        },
    ),
    # In another project of the workspace.
    Move(
        TYPESCRIPT,
        "packages/text/src/shout.ts",
        "packages/text/src/loud/shout.ts",
        {"packages/text/src/index.ts": [('"./shout"', '"./loud/shout"')]},
    ),
    # Its paths are mended in the configuration, but for the references to projects.
    Move(
        TYPESCRIPT,
        "packages/text",
        "packages/words",
        {
            "src/app.ts": [('"@shop/text"', '"../packages/words/src"')],
            "tsconfig.json": [("./packages/text/src/index.ts", "./packages/words/src/index.ts")],
        },
        left=("tsconfig.json:15",),
    ),
    Move(
        PYTHON,
        "shop/formatting.py",
        "shop/rendering.py",
        {
            "shop/__init__.py": [("from shop.formatting", "from shop.rendering")],
            "shop/shapes.py": [("from shop.formatting", "from shop.rendering")],
        },
    ),
    Move(PYTHON, "generated", "limited", {"shop/store.py": [("from generated.limits", "from limited.limits")]}),
    Move(("py-pylsp", *PYTHON), "words/loud.py", "shop/loud.py", left=("words/__init__.py:1",)),
    Move(("py-pylsp",), "shop/formatting.py", "shop/rendering.py", left=("shop/__init__.py:1", "shop/shapes.py:4")),
    Move(
        ("rust",),
        "src/format.rs",
        "src/render.rs",
        {
            "src/lib.rs": [("mod format;", "mod render;"), ("use format::", "use render::")],
            "src/shapes.rs": [("crate::format::", "crate::render::")],
        },
    ),
    Move(("rust",), "words/src/loud.rs", "words/src/deep/loud.rs", left=("words/src/lib.rs:1", "words/src/lib.rs:3")),
    Move(
        ("go",),
        "format",
        "formatting",
        left=("app/app.go:5", "app/crlf.go:3", "app/marked.go:1", "app/wide.go:3", "shapes/shapes.go:3"),
    ),
    Move(
        ("cpp",),
        "include/format.hpp",
        "include/text/format.hpp",
        left=("include/shop.hpp:2", "src/format.cpp:1", "src/shapes.cpp:2"),
    ),
]

CASES = [
    pytest.param(project, move, id=f"{project}-{move.source}-{move.target}".replace("/", "_"))
    for move in MOVES
    for project in move.projects
    if project in chosen_projects()
]


def files_of(fleet: Deployment, project: str) -> dict[str, bytes]:
    """Return the project's files, without those that servers and tests leave there."""
    root = fleet.path(project)
    found = {path.relative_to(root): path for path in root.rglob("*") if path.is_file()}
    return {
        str(inside): path.read_bytes()
        for inside, path in found.items()
        if not any(part.startswith((".", "__pycache__", "target")) for part in inside.parts)
    }


def moved(move: Move, before: dict[str, bytes]) -> dict[str, bytes]:
    """Return what the project must have after the move."""
    after = dict(before)
    for path, pairs in move.mended.items():
        for old, new in pairs:
            assert after[path].count(old.encode()) == 1, (path, old)
            after[path] = after[path].replace(old.encode(), new.encode())
    inside = [path for path in before if f"{path}/".startswith(f"{move.source}/")]
    return after | {move.target + path.removeprefix(move.source): after.pop(path) for path in inside}


@pytest.mark.parametrize(("project", "move"), CASES)
async def test_imports_are_right_after_a_move_or_named(
    project: str, move: Move, client: Client, fleet: Deployment
) -> None:
    before = files_of(fleet, project)
    paths: dict[str, Any] = {"source": f"{project}/{move.source}", "target": f"{project}/{move.target}"}
    made = await call(client, "move_path", **paths)
    try:
        assert files_of(fleet, project) == moved(move, before), made
        named = {f"{one['path']}:{one['line']}" for one in made.get("lines_to_check", [])}
        if move.mended:
            assert "imports" not in made, made
        else:
            assert made["imports"].startswith("Imports were not updated: "), made
        assert named >= {f"{project}/{line}" for line in move.left}, made
    finally:
        await call(client, "undo_edit", edit_id=made["edit_id"])
    assert files_of(fleet, project) == before


@pytest.mark.parametrize("project", chosen_projects())
async def test_of_what_no_server_serves_nothing_is_said(project: str, client: Client) -> None:
    written = await call(client, "write_file", path=f"{project}/notes.md", content="# Notes\n")
    made = await call(client, "move_path", source=f"{project}/notes.md", target=f"{project}/docs/notes.md")
    for edit in (made, written):
        await call(client, "undo_edit", edit_id=edit["edit_id"])
    assert {"imports", "lines_to_check"} & set(made) == set(), made
