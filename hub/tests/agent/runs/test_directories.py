"""A run starts in a directory of its project, whatever links lead there, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from codebuddy.agent.runs.runs import directory_in
from codebuddy.files import confinement
from codebuddy.tool import ToolError


@pytest.fixture(params=["openat2", "no openat2"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "no openat2":
        monkeypatch.setattr(confinement, "openat2_works", lambda: False)
    root = tmp_path.resolve() / "p"
    (root / "a/b").mkdir(parents=True)
    (root / "file").touch()
    (root / "inside").symlink_to("a/b")
    (root / "absolute").symlink_to(root / "a")
    (root / "back").symlink_to("../p/a")
    (root / "out").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    (root / "gone").symlink_to("nothing")
    return root


@pytest.mark.parametrize(
    ("cwd", "expected"),
    [
        ("", "."),
        (".", "."),
        ("a/b/", "a/b"),
        ("a//b", "a/b"),
        ("a/../a", "a"),
        ("inside", "a/b"),
        ("inside/..", "a"),
        ("absolute/b", "a/b"),
        ("back", "a"),
        ("{root}/a", "a"),
    ],
)
def test_a_directory_inside_is_found(root: Path, cwd: str, expected: str) -> None:
    assert directory_in(root, cwd.format(root=root), "p") == root / expected


@pytest.mark.parametrize(
    ("cwd", "code"),
    [
        ("..", "outside_project"),
        ("../p-evil", "outside_project"),
        ("a/../..", "outside_project"),
        ("out", "outside_project"),
        ("out/p-evil", "outside_project"),
        ("/", "outside_project"),
        ("/etc", "outside_project"),
        ("nothing", "not_a_directory"),
        ("file", "not_a_directory"),
        ("file/x", "not_a_directory"),
        ("gone", "not_a_directory"),
        ("loop", "not_a_directory"),
        ("x" * 300, "not_a_directory"),
        ("a\0", "not_a_directory"),
    ],
)
def test_anything_else_is_refused(root: Path, cwd: str, code: str) -> None:
    with pytest.raises(ToolError) as refused:
        directory_in(root, cwd, "p")
    assert refused.value.code == code


def test_a_project_id_before_the_directory_is_told(root: Path) -> None:
    with pytest.raises(ToolError, match=r"'p/a' is no directory of p\. cwd is relative to the project: a\."):
        directory_in(root, "p/a", "p")
