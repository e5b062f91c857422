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
HOLDER = "project-b"  # has one in the inventory, and so the mount, before and after


@pytest.fixture
def source(fleet: Deployment, tmp_path: Path) -> Iterator[Path]:
    """A file that every project declares as a secret (extra variables are every host's); without it at the end."""
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


def started(fleet: Deployment, part: str) -> str:
    return str(fleet.container(part).attrs["State"]["StartedAt"])


def copies(fleet: Deployment) -> set[str]:
    kept = fleet.state / "secrets"
    return {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()}


def test_a_secret_is_a_file_in_its_spoke_and_told_nowhere_and_goes_with_its_declaration(
    fleet: Deployment, source: Path
) -> None:
    untouched = {part: started(fleet, part) for part in ("hub", HOLDER)}
    said = up(fleet, source, "key", "other")
    before = {project: started(fleet, project) for project in fleet.projects}
    assert {part: started(fleet, part) for part in untouched} == untouched
    for project in fleet.projects:
        assert fleet.run(project, "ls", KEPT).output.split() == ["key", "other"]
        assert fleet.run(project, "cat", f"{KEPT}/key").output == FIRST

    source.write_text(SECOND)
    said += up(fleet, source, "key")
    for project in fleet.projects:
        assert fleet.run(project, "ls", KEPT).output.split() == ["key"]
        assert fleet.run(project, "cat", f"{KEPT}/key").output == SECOND
        assert started(fleet, project) == before[project]
        assert SECOND not in str(fleet.container(project).attrs)

    told = [path for path in fleet.state.rglob("*") if path.is_file() and SECOND.encode() in path.read_bytes()]
    assert {path.relative_to(fleet.state).parts[0] for path in told} == {"secrets"}
    assert FIRST not in said
    assert SECOND not in said
    for line in ("project-a/key: added", "project-a/key: changed", "project-a/other: removed"):
        assert line in said

    assert fleet.make("up").returncode == 0
    assert {project for project in fleet.projects if fleet.run(project, "ls", KEPT).code == 0} == {HOLDER}
    assert copies(fleet) == {f"{HOLDER}/api-key"}
    assert started(fleet, HOLDER) == untouched[HOLDER]


def test_a_directory_of_secrets_that_was_lost_is_made_and_mounted_anew(fleet: Deployment) -> None:
    content = fleet.run(HOLDER, "cat", f"{KEPT}/api-key").output
    shutil.rmtree(fleet.state / "secrets")
    before = started(fleet, HOLDER)
    assert fleet.run(HOLDER, "cat", f"{KEPT}/api-key").code != 0
    assert fleet.make("up").returncode == 0
    assert fleet.run(HOLDER, "cat", f"{KEPT}/api-key").output == content
    assert started(fleet, HOLDER) != before


def test_a_secret_that_is_not_there_is_told_before_anything_is_changed(fleet: Deployment, tmp_path: Path) -> None:
    variables = tmp_path / "variables.json"
    variables.write_text(json.dumps({"secrets": {"key": str(tmp_path / "none")}}))
    done = fleet.make("up", f"ARGS=-e @{variables}")
    assert done.returncode != 0
    assert f"the secret key, {tmp_path}/none, cannot be read" in " ".join((done.stdout + done.stderr).split())
