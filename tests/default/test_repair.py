"""Drift from the declaration: ``make plan`` shows it and ``make up`` repairs it, without touching anything else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from codebuddy_testing.deployment import Deployment


def started(fleet: Deployment) -> dict[str, str]:
    return {part: fleet.started_at(part) for part in ("hub", *fleet.projects)}


def up(fleet: Deployment) -> set[str]:
    """Deploy; return the parts whose containers were replaced or restarted."""
    before = started(fleet)
    done = fleet.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    after = started(fleet)
    return {part for part in after if after[part] != before[part]}


@pytest.fixture
def redeployed(fleet: Deployment) -> Iterator[None]:
    """Deploys the fleet again after the test, even if it fails."""
    yield
    fleet.make("up")


@pytest.mark.usefixtures("redeployed")
def test_after_a_new_signing_key_old_tokens_are_invalid(fleet: Deployment) -> None:
    old = fleet.token()
    assert fleet.get("/health", old).status_code == 200
    (fleet.state / "keys/signing.key").unlink()
    assert "hub" in up(fleet)
    assert fleet.get("/health", old).status_code == 401
    assert fleet.get("/health", fleet.token()).status_code == 200


def test_a_project_directory_that_was_replaced_is_mounted_again(fleet: Deployment) -> None:
    path = fleet.path("project-b")
    shutil.move(path, moved := path.with_name("moved-away"))
    shutil.copytree(moved, path, symlinks=True)
    shutil.chown(path, 1000, 1000)
    (path / "only-here").touch()
    try:
        assert fleet.run("project-b", "ls", "/workspace/only-here").code != 0
        plan = fleet.make("plan").stdout
        assert f"{fleet.name}-project-b:" in plan
        assert f"{fleet.name}-project-a:" not in plan
        assert "codebuddy.directory.project-b" in plan
        assert up(fleet) == {"hub", "project-b"}
        assert fleet.run("project-b", "ls", "/workspace/only-here").code == 0
        assert fleet.run("hub", "ls", "/workspaces/project-b/only-here").code == 0
    finally:
        shutil.rmtree(path)
        shutil.move(moved, path)
        assert fleet.make("up").returncode == 0


def test_a_limit_that_was_changed_by_hand_is_planned_and_restored(fleet: Deployment) -> None:
    declared = fleet.container("project-b").attrs["HostConfig"]["Memory"]
    fleet.container("project-b").update(mem_limit="200m", memswap_limit="200m")
    assert "memory: 209715200" in fleet.make("plan").stdout
    assert up(fleet) == {"project-b"}
    assert fleet.container("project-b").attrs["HostConfig"]["Memory"] == declared
