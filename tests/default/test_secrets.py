"""Secrets of a project: files in its spoke, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from codebuddy_testing.deployment import Deployment

FIRST, SECOND = "a-secret-of-the-scenario", "another-secret-of-the-scenario"
KEPT = "/run/secrets/project"


@pytest.fixture
def source(fleet: Deployment, tmp_path: Path) -> Iterator[Path]:
    """A file that every project declares as a secret (extra variables are every host's); without it at the end."""
    file = tmp_path / "key"
    file.write_text(FIRST)
    yield file
    fleet.make("up")


def up(fleet: Deployment, source: Path) -> str:
    variables = source.parent / "variables.json"
    variables.write_text(json.dumps({"secrets": {"key": str(source)}}))
    done = fleet.make("up", f"ARGS=-e @{variables} --diff")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_secret_is_a_file_in_its_spoke_and_told_nowhere_and_goes_with_its_declaration(
    fleet: Deployment, source: Path
) -> None:
    said = up(fleet, source)
    started = {}
    for project in fleet.projects:
        assert fleet.run(project, "cat", f"{KEPT}/key").output == FIRST
        assert fleet.run(project, "stat", "-c", "%a %U", f"{KEPT}/key").output.split()[0] == "400"
        assert fleet.run(project, "sh", "-c", f"echo x > {KEPT}/key").code != 0
        assert fleet.run(project, "sh", "-c", f"rm -f {KEPT}/key; mv {KEPT}/key /tmp; cat {KEPT}/key").output.endswith(
            FIRST
        )
        started[project] = fleet.container(project).attrs["State"]["StartedAt"]
    assert fleet.run("hub", "ls", KEPT).code != 0

    source.write_text(SECOND)
    said += up(fleet, source)
    for project in fleet.projects:
        assert fleet.run(project, "cat", f"{KEPT}/key").output == SECOND
        assert fleet.container(project).attrs["State"]["StartedAt"] == started[project]
        assert SECOND not in str(fleet.container(project).attrs)

    told = [path for path in fleet.state.rglob("*") if path.is_file() and SECOND in path.read_text("latin-1")]
    assert {path.relative_to(fleet.state).parts[0] for path in told} == {"secrets"}
    assert FIRST not in said
    assert SECOND not in said
    assert "project-a/key: written" in said

    assert fleet.make("up").returncode == 0
    assert all(fleet.run(project, "ls", KEPT).code != 0 for project in fleet.projects)
    assert not list((fleet.state / "secrets").iterdir())


def test_a_secret_that_is_not_there_is_told_before_anything_is_changed(fleet: Deployment, tmp_path: Path) -> None:
    variables = tmp_path / "variables.json"
    variables.write_text(json.dumps({"secrets": {"key": str(tmp_path / "none")}}))
    done = fleet.make("up", f"ARGS=-e @{variables}")
    assert done.returncode != 0
    assert f"the secret key, {tmp_path}/none, cannot be read" in " ".join((done.stdout + done.stderr).split())
