"""Searching by text, by file name and for references by name sees the same files of a project."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code.asking import files_with_word
from codebuddy.agent.lsp.tree import Tree
from codebuddy.files.confinement import ProjectRoot
from codebuddy.files.search import Position, Query, compile_glob, compile_search, find_files, search_text
from codebuddy.files.walking import Bounds

pytestmark = pytest.mark.anyio
SYMBOLS = "textDocument/documentSymbol"
WORD = "open_shop"

IGNORE_FILES = {
    ".gitignore": "/dist/\n*.gen.py\n!kept.gen.py\nnode_modules/\n",
    "a/.gitignore": "secret.py\n!b.gen.py\n",
}
SEEN = [
    ".hidden/in_hidden.py",
    "a/b.gen.py",
    "a/deep/dist/in_dist.py",
    "a/target/in_target.py",
    "kept.gen.py",
    "main.py",
    "shop.py",
    "target/in_target.py",
]
HIDDEN = [
    ".git/in_git.py",
    "a/.git/in_git.py",
    "a/secret.py",
    "dist/in_dist.py",
    "a/node_modules/in_modules.py",
    "node_modules/in_modules.py",
    "x.gen.py",
]


@pytest.fixture
def root(root: Path) -> Path:
    for name, content in {**IGNORE_FILES, **dict.fromkeys(SEEN + HIDDEN, f"{WORD}\n")}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / "a/latin.py").write_bytes(b"# caf\xe9\n")
    (root / "linked").symlink_to("a/deep", target_is_directory=True)
    (root / "link.py").symlink_to("main.py")
    return root


@pytest.fixture
def by_references(root: Path, start: Any, wire: Any) -> Callable[[], Any]:
    async def look() -> list[str]:
        async with start({SYMBOLS: [[{"reply": [wire.symbol(WORD, 0, 0)]}]]}) as fake:
            await fake.references(symbol=WORD)
            tree = Tree("p", root)
            uris = [message["params"]["textDocument"]["uri"] for message in fake.sent(SYMBOLS)]
            return sorted({tree.relative(path) for path in map(tree.path_of, uris) if path is not None})

    return look


def by_text(root: Path) -> list[str]:
    query = Query(compile_search(WORD, regex=False, case_sensitive=True), compile_glob("*.py"), limit=100)
    page = search_text(ProjectRoot("p", str(root)), query, Bounds(time.monotonic() + 60), Position())
    return sorted({match.path.removeprefix("p/") for _, match in page.found})


def by_file_name(root: Path) -> list[str]:
    """Find the files with the word; the tool names links too."""
    confined, glob = ProjectRoot("p", str(root)), compile_glob("*.py")
    page = find_files(confined, glob, Bounds(time.monotonic() + 60), limit=100, after=Position())
    files = [root / path.removeprefix("p/") for _, path in page.found]
    with_word = [file for file in files if not file.is_symlink() and WORD.encode() in file.read_bytes()]
    return sorted(str(file.relative_to(root)) for file in with_word)


async def test_the_three_ways_to_search_see_the_same_files(root: Path, by_references: Any) -> None:
    assert by_text(root) == SEEN
    assert by_file_name(root) == SEEN
    assert await by_references() == SEEN


async def test_directories_of_tools_that_no_rule_hides_are_seen_by_all_three(root: Path, by_references: Any) -> None:
    (root / ".gitignore").unlink()
    expected = sorted([*SEEN, *(name for name in HIDDEN if ".git/" not in name and name != "a/secret.py")])
    assert by_text(root) == expected
    assert by_file_name(root) == expected
    assert await by_references() == expected


async def test_directories_of_tools_come_last(root: Path) -> None:
    """They may have more files than are looked at, and the project's own are not to be missed for them."""
    tree = Tree("p", root)
    names = ["/".join(entry.parts) for entry in tree.entries(lambda _: True, include_tool_directories=True)]
    first = next(number for number, name in enumerate(names) if "target/" in name)
    assert all("target/" in name for name in names[first:])
    assert set(SEEN) <= set(names)


async def test_a_name_that_only_ignored_code_declares_is_found(root: Path, start: Any, wire: Any) -> None:
    (root / "x.gen.py").write_text("generated_name\n")
    place = wire.place("x.gen.py", 0, 0, 14)
    on = {
        SYMBOLS: [[{"reply": [wire.symbol("generated_name", 0, 0)]}]],
        "textDocument/definition": [[{"reply": place}]],
        "textDocument/references": [[{"reply": [place]}]],
    }
    async with start(on) as fake:
        answer = await fake.references(symbol="generated_name")
        assert (answer.complete, [at.path for at in answer.locations]) == (True, ["p/x.gen.py"])


async def test_a_word_is_found_in_every_encoding(root: Path) -> None:
    (root / "utf16.py").write_text(f"{WORD}\n", "utf-16")
    (root / "a/latin.py").write_bytes(b"# caf\xe9\n" + WORD.encode())
    found = [path.name async for some in files_with_word(Tree("p", root), WORD, lambda _: True) for path in some.found]
    assert {"utf16.py", "latin.py"} <= set(found)
