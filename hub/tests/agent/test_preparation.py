"""What happens before an agent serves never keeps it from serving."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

import pytest

from codebuddy.agent.preparation import prepare
from codebuddy.hub.edits.disk_view import temporary_name

NOTHING = Path("/nonexistent")


def program(directory: Path, text: str) -> Path:
    path = directory / "prepare-home"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*"))


def status(repository: Path) -> str:
    command = ["git", "status", "--short", "--untracked-files=all"]
    return subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    subprocess.run(["git", "init", "--quiet", str(path)], check=True)
    return path


@pytest.mark.anyio
async def test_the_images_program_runs_to_its_end_first(tmp_path: Path) -> None:
    await prepare(tmp_path, program(tmp_path, f"touch {tmp_path}/made"))
    assert (tmp_path / "made").exists()


@pytest.mark.anyio
@pytest.mark.parametrize("text", ["echo no space left; exit 1", None])
async def test_a_program_that_fails_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    path = program(tmp_path, text or "")
    if text is None:
        path.chmod(0o644)
    await prepare(tmp_path, path)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert ("no space left" if text else "Permission denied") in caplog.text


@pytest.mark.anyio
async def test_what_the_hub_stages_never_shows_in_git_status(repository: Path) -> None:
    staged = temporary_name("20260101T000000-0123abcd", 3)
    for name in (staged, f"{staged}~", "directory/" + staged, "other.tmp"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).touch()
    (repository / ".git/info/exclude").write_text("# mine")
    for _ in range(2):
        await prepare(repository, NOTHING)
    assert status(repository) == "?? other.tmp\n"
    assert (repository / ".git/info/exclude").read_text() == "# mine\n.codebuddy-*.tmp*\n"


@pytest.mark.anyio
async def test_a_repository_without_a_list_gets_one(repository: Path) -> None:
    (repository / ".git/info/exclude").unlink()
    (repository / ".git/info").rmdir()
    await prepare(repository, NOTHING)
    assert (repository / ".git/info/exclude").read_text() == ".codebuddy-*.tmp*\n"


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["none", "worktree", "link", "fifo", "linked list", "directory"])
async def test_what_is_no_repository_or_an_odd_one_is_left_alone(tmp_path: Path, kind: str) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / ".git/info").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "file").write_text("kept")
    if kind in ("none", "worktree", "link"):
        (project / ".git/info").rmdir()
        (project / ".git").rmdir()
    if kind == "worktree":
        (project / ".git").write_text("gitdir: ../elsewhere\n")
    elif kind == "link":
        (project / ".git").symlink_to(elsewhere)
    elif kind == "fifo":
        os.mkfifo(project / ".git/info/exclude")
    elif kind == "linked list":
        (project / ".git/info/exclude").symlink_to(elsewhere / "file")
    elif kind == "directory":
        (project / ".git/info/exclude").mkdir()
    before = files(tmp_path)
    await prepare(project, NOTHING)
    assert files(tmp_path) == before
    assert (elsewhere / "file").read_text() == "kept"
