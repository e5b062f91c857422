"""Lines of files that were read before are those that the file has now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codebuddy.agent.lsp.tree import Tree
from codebuddy.tool import ToolError

LONG_AGO = 1_000_000_000


def write(path: Path, text: str, at: int | None = None) -> None:
    path.write_text(text)
    if at is not None:
        os.utime(path, (at, at))


def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, file = Tree("p", tmp_path), tmp_path / "a.py"
    write(file, "one\r\ntwo", LONG_AGO)
    assert tree.lines(file) == ["one", "two"]
    monkeypatch.setattr(tree, "read", None)
    assert tree.lines(file) == ["one", "two"]


def test_a_change_is_seen_at_once(tmp_path: Path) -> None:
    tree, file = Tree("p", tmp_path), tmp_path / "a.py"
    write(file, "one", LONG_AGO)
    tree.lines(file)
    write(file, "two", LONG_AGO + 1)
    assert tree.lines(file) == ["two"]


def test_two_writes_in_one_tick_of_the_clock_are_told_apart(tmp_path: Path) -> None:
    tree, file = Tree("p", tmp_path), tmp_path / "a.py"
    for text in ("one", "two"):
        with file.open("r+" if file.exists() else "w") as opened:  # the same inode, size and, perhaps, time
            opened.write(text)
        assert tree.lines(file) == [text]


def test_a_file_that_is_gone_has_no_lines(tmp_path: Path) -> None:
    tree, file = Tree("p", tmp_path), tmp_path / "a.py"
    write(file, "one", LONG_AGO)
    tree.lines(file)
    file.unlink()
    with pytest.raises(ToolError):
        tree.lines(file)


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    tree = Tree("p", tmp_path)
    for number in range(100):
        write(tmp_path / f"{number}.py", str(number), LONG_AGO)
        assert tree.lines(tmp_path / f"{number}.py") == [str(number)]
    write(tmp_path / "large", "x" * 2**20, LONG_AGO)
    tree.lines(tmp_path / "large")
    kept = tree._line_cache._cached
    assert len(kept) <= 32
    assert tmp_path / "large" not in kept
