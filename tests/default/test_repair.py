"""What changed behind the declaration: ``make plan`` finds it and ``make up`` mends it, and nothing else is touched."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from codebuddy_testing.deployment import Deployment


def started(fleet: Deployment) -> dict[str, str]:
    """When each container was started, read afresh."""
    parts = ("hub", *fleet.projects)
    return {part: str(fleet.container(part).attrs["State"]["StartedAt"]) for part in parts}


def up(fleet: Deployment) -> set[str]:
    """Deploy; give the parts that were renewed."""
    before = started(fleet)
    done = fleet.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    after = started(fleet)
    return {part for part in after if after[part] != before[part]}


@pytest.fixture
def key_kept(fleet: Deployment) -> Iterator[None]:
    """Whatever comes of the test, the fleet is whole afterwards."""
    yield
    fleet.make("up")


@pytest.mark.usefixtures("key_kept")
def test_a_new_signing_key_ends_the_old_tokens(fleet: Deployment) -> None:
    old = fleet.token()
    assert fleet.get("/health", old).status_code == 200
    (fleet.state / "keys/signing.key").unlink()
    assert "hub" in up(fleet)
    assert fleet.get("/health", old).status_code == 401
    assert fleet.get("/health", fleet.token()).status_code == 200


def test_a_directory_put_in_the_place_of_a_project_is_mounted_anew(fleet: Deployment) -> None:
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


def test_a_limit_changed_by_hand_is_found_and_put_back(fleet: Deployment) -> None:
    declared = fleet.container("project-b").attrs["HostConfig"]["Memory"]
    fleet.container("project-b").update(mem_limit="200m", memswap_limit="200m")
    assert "memory: 209715200" in fleet.make("plan").stdout
    assert up(fleet) == {"project-b"}
    assert fleet.container("project-b").attrs["HostConfig"]["Memory"] == declared
