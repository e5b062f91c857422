"""Secrets of a project: files in its spoke, and nowhere else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from codebuddy_testing.deployment import Deployment

FIRST, SECOND = "a-secret-of-the-scenario", "another-secret-of-the-scenario"
KEPT = "/run/secrets/project"
HOLDER = "project-b"  # its secret in the inventory gives it the mount before and after


@pytest.fixture
def source(fleet: Deployment, tmp_path: Path) -> Iterator[Path]:
    """A file for secrets that every project declares, since extra variables hold for every host; removed at the end."""
    file = tmp_path / "key"
    file.write_text(FIRST)
    yield file
    fleet.make("up")


def up(fleet: Deployment, source: Path, *names: str) -> str:
    variables = source.parent / "variables.json"
    variables.write_text(json.dumps({"secrets": dict.fromkeys(names, str(source))}))
    done = fleet.make("up", f"ARGS=-e @{variables} --diff")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def copies(fleet: Deployment) -> set[str]:
    kept = fleet.state / "secrets"
    return {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()}


def test_a_secret_is_a_file_in_its_spoke_only_and_is_removed_with_its_declaration(
    fleet: Deployment, source: Path
) -> None:
    untouched = {part: fleet.started_at(part) for part in ("hub", HOLDER)}
    output = up(fleet, source, "key", "other")
    before = {project: fleet.started_at(project) for project in fleet.projects}
    assert {part: fleet.started_at(part) for part in untouched} == untouched
    for project in fleet.projects:
        assert fleet.run(project, "ls", KEPT).output.split() == ["key", "other"]
        assert fleet.run(project, "cat", f"{KEPT}/key").output == FIRST

    source.write_text(SECOND)
    output += up(fleet, source, "key")
    for project in fleet.projects:
        assert fleet.run(project, "ls", KEPT).output.split() == ["key"]
        assert fleet.run(project, "cat", f"{KEPT}/key").output == SECOND
        assert fleet.started_at(project) == before[project]
        assert SECOND not in str(fleet.container(project).attrs)

    found = [path for path in fleet.state.rglob("*") if path.is_file() and SECOND.encode() in path.read_bytes()]
    assert {path.relative_to(fleet.state).parts[0] for path in found} == {"secrets"}
    assert FIRST not in output
    assert SECOND not in output
    for line in ("project-a/key: added", "project-a/key: changed", "project-a/other: removed"):
        assert line in output

    assert fleet.make("up").returncode == 0
    assert {project for project in fleet.projects if fleet.run(project, "ls", KEPT).code == 0} == {HOLDER}
    assert copies(fleet) == {f"{HOLDER}/api-key"}
    assert fleet.started_at(HOLDER) == untouched[HOLDER]


def test_a_lost_directory_of_secrets_is_created_and_mounted_again(fleet: Deployment) -> None:
    content = fleet.run(HOLDER, "cat", f"{KEPT}/api-key").output
    shutil.rmtree(fleet.state / "secrets")
    before = fleet.started_at(HOLDER)
    assert fleet.run(HOLDER, "cat", f"{KEPT}/api-key").code != 0
    assert fleet.make("up").returncode == 0
    assert fleet.run(HOLDER, "cat", f"{KEPT}/api-key").output == content
    assert fleet.started_at(HOLDER) != before


def test_a_secret_whose_file_is_missing_is_refused(fleet: Deployment, tmp_path: Path) -> None:
    variables = tmp_path / "variables.json"
    variables.write_text(json.dumps({"secrets": {"key": str(tmp_path / "none")}}))
    done = fleet.make("up", f"ARGS=-e @{variables}")
    assert done.returncode != 0
    assert f"the secret key, {tmp_path}/none, cannot be read" in " ".join((done.stdout + done.stderr).split())
