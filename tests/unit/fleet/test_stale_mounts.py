"""What a container sees is compared with the host. The commands that a container would run are run here."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests.exceptions
from ansible.module_utils.codebuddy_fleet import converge, stale_mounts
from ansible.module_utils.codebuddy_fleet.declaration import parse_fleet
from ansible.module_utils.codebuddy_fleet.differ import Observed, changes
from ansible.module_utils.codebuddy_fleet.engine_responses import ImageDefaults, ObservedContainer
from ansible.module_utils.codebuddy_fleet.host_facts import HostFacts
from ansible.module_utils.codebuddy_fleet.planner import render


def run_here(_client: object, _name: str, command: list[str]) -> tuple[int, bytes]:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    return done.returncode, done.stdout


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale_mounts, "execute", run_here)


def stale(*mounts: tuple[Path, Path]) -> list[str]:
    """Ask a container that sees the first of each pair, where the host has the second."""
    asked = {"c": {str(seen): str(source) for seen, source in mounts}}
    found: list[str] = stale_mounts.stale_mounts(object(), asked).get("c", [])
    return found


@pytest.mark.usefixtures("here")
def test_only_another_directory_is_stale(tmp_path: Path) -> None:
    one, other, odd = (tmp_path / name for name in ("one", "other", "a b"))
    for directory in (one, other, odd):
        directory.mkdir()
    assert stale((one, one), (odd, odd)) == []
    assert stale((one, other), (odd, odd)) == [str(other)]
    # A mount that is lost cannot be looked at any more.
    assert stale((tmp_path / "lost", one), (odd, odd)) == [str(one)]


@pytest.mark.usefixtures("here")
def test_what_is_not_on_this_machine_is_not_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").mkdir()
    assert stale((tmp_path / "one", tmp_path / "missing")) == []
    own = run_here

    def elsewhere(*call: Any) -> tuple[int, bytes]:
        return 0, own(*call)[1].replace(b"-", b"+")  # the id of another kernel's start

    monkeypatch.setattr(stale_mounts, "execute", elsewhere)
    assert stale((tmp_path / "one", tmp_path)) == []


@pytest.mark.parametrize("answer", [(127, b"OCI runtime exec failed: no such file"), (0, b"")])
def test_a_container_that_cannot_be_asked_is_not_stale(
    answer: tuple[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stale_mounts, "execute", lambda *_: answer)
    assert stale((tmp_path / "one", tmp_path)) == []

    def silent(*_: object) -> None:
        raise requests.exceptions.ReadTimeout

    monkeypatch.setattr(stale_mounts, "execute", silent)
    assert stale((tmp_path / "one", tmp_path)) == []


def test_only_the_directories_of_projects_are_compared() -> None:
    mounts = {"/workspace": "/a", "/workspaces/b": "/b", "/etc/codebuddy": "/c", "/workspace2": "/d"}
    assert stale_mounts.project_mounts(mounts) == {"/workspace": "/a", "/workspaces/b": "/b"}


def test_a_stale_directory_recreates_the_hub_and_its_spoke_alone(
    declared: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = parse_fleet(declared["fleet"], declared["projects"])
    plan = render(fleet, HostFacts(inodes={project.id: 1 for project in fleet.projects}))
    containers = {
        name: ObservedContainer(name, "running", "healthy", "", container, ImageDefaults())
        for name, container in plan.containers.items()
    }
    observed = Observed(volumes=plan.volumes, files=plan.files, containers=containers)
    api = next(project.path for project in fleet.projects if project.id == "api")

    def recreated() -> list[str]:
        noted = converge._with_stale_mounts(object(), fleet, plan, observed)
        return [
            one.name
            for one in changes(plan, noted, purge=False)
            if one.kind == "container" and "codebuddy.directory.api" in str(one.before)
        ]

    monkeypatch.setattr(converge, "stale_mounts", lambda _client, asked: {})
    assert recreated() == []
    monkeypatch.setattr(
        converge,
        "stale_mounts",
        lambda _client, asked: {name: [api] for name, mounts in asked.items() if api in mounts.values()},
    )
    assert recreated() == ["unitfleet-hub", "unitfleet-api"]
