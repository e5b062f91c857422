"""What of a project's repository cannot work in its spoke is told; shown with real git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.codebuddy_fleet.declaration import parse_fleet
from ansible.module_utils.codebuddy_fleet.repositories import repository_warnings


def git(directory: Path, *arguments: str) -> str:
    identity = {f"GIT_{who}_{what}": "ada@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *arguments], cwd=directory, env={**os.environ, **identity}, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A repository with one commit."""
    directory = tmp_path / "main"
    directory.mkdir()
    git(directory, "init", "--quiet")
    git(directory, "commit", "--quiet", "--allow-empty", "--message", "first")
    return directory


def warnings(declared: dict[str, Any], directory: Path, author: str = "Ada <ada@example.org>") -> list[str]:
    declared["fleet"]["git_author"] = author
    declared["projects"][0]["path"] = str(directory)
    found: list[str] = repository_warnings(parse_fleet(declared["fleet"], declared["projects"]))
    return found


@pytest.mark.parametrize("kind", ["worktree", "separate", "submodule", "link", "shared"])
def test_a_repository_that_lies_partly_outside_of_the_project_is_told(
    declared: dict[str, Any], main: Path, kind: str
) -> None:
    project, outside = main.parent / "project", "its .git refers to "
    if kind == "worktree":
        git(main, "worktree", "add", "--quiet", str(project))
    elif kind == "separate":
        git(main, "clone", "--quiet", "--separate-git-dir", str(main.parent / "elsewhere"), str(main), str(project))
    elif kind == "submodule":
        git(main, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(main), "part")
        project = main / "part"
    elif kind == "link":
        project.mkdir()
        (project / ".git").symlink_to(main / ".git")
        outside = "its .git is a link to "
    else:
        git(main, "clone", "--quiet", "--shared", str(main), str(project))
        outside = "its repository takes objects from "
    (warning,) = warnings(declared, project)
    assert warning.startswith(f"host api: {outside}'")
    assert "git clone" in warning


def test_a_repository_inside_of_the_project_is_not_told(declared: dict[str, Any], main: Path) -> None:
    assert warnings(declared, main) == []
    inside = main / "inside"
    inside.mkdir()
    for target in ("gitdir: ../.git/modules/x", "gitdir: /elsewhere"):
        (inside / ".git").write_text(target)  # of a directory of the project, about which nothing is known
    assert warnings(declared, main) == []
    (main / ".git").rename(main / "kept")
    (main / ".git").write_text("gitdir: kept\n")
    assert warnings(declared, main) == []
    git(main, "status")


def test_what_is_no_repository_needs_no_author(declared: dict[str, Any], tmp_path: Path) -> None:
    assert warnings(declared, tmp_path, author="") == []


def test_a_repository_for_whose_commits_nobody_is_known_is_told(declared: dict[str, Any], main: Path) -> None:
    (warning,) = warnings(declared, main, author="")
    assert warning.startswith("host api: commits in the spoke have no author")
    assert "codebuddy_git_author" in warning
    declared["projects"][0]["git_author"] = "Bo <bo@example.org>"
    assert warnings(declared, main, author="") == []
    del declared["projects"][0]["git_author"]
    git(main, "config", "user.email", "cy@example.org")
    assert warnings(declared, main, author="") == []


def test_what_a_hostile_repository_says_stays_on_one_line(declared: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /x\rok: [localhost] \x1b[31m\u202e" + "y" * 9999)
    (warning,) = warnings(declared, tmp_path)
    assert warning.isprintable()
    assert warning.isascii()
    assert len(warning) < 500
    (tmp_path / ".git").unlink()
    os.mkfifo(tmp_path / ".git")
    assert warnings(declared, tmp_path) == []
