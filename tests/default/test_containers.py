"""Which containers run, and how each is confined."""

from __future__ import annotations

import stat
from typing import Any

import pytest

from codebuddy_testing.deployment import PROJECTS, PROXIES, Deployment

PARTS = ["hub", *sorted(PROJECTS), *sorted(PROXIES.values())]


@pytest.fixture(params=PARTS)
def inspected(fleet: Deployment, request: pytest.FixtureRequest) -> dict[str, Any]:
    return fleet.inspected[request.param]


def test_the_containers_are_the_hub_a_spoke_for_each_project_and_the_proxies(fleet: Deployment) -> None:
    assert sorted(fleet.inspected) == sorted(PARTS)


def test_each_container_is_healthy(inspected: dict[str, Any]) -> None:
    assert inspected["State"]["Status"] == "running"
    assert inspected["State"]["Health"]["Status"] == "healthy"


def test_each_container_has_the_labels_of_its_fleet_and_project(fleet: Deployment, inspected: dict[str, Any]) -> None:
    labels = inspected["Config"]["Labels"]
    assert labels["codebuddy.fleet"] == fleet.name
    assert labels["codebuddy.spec"]
    project = inspected["Name"].removeprefix(f"/{fleet.name}-").removesuffix(".egress")
    assert labels.get("codebuddy.project", "") == ("" if project == "hub" else project)


def test_each_container_has_no_privilege(inspected: dict[str, Any]) -> None:
    host = inspected["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert not host["Devices"]
    assert "no-new-privileges" in [option.removesuffix(":true") for option in host["SecurityOpt"]]
    assert not any("unconfined" in option for option in host["SecurityOpt"])
    assert host["ReadonlyRootfs"]
    assert int(inspected["Config"]["User"].split(":")[0]) > 0


def test_each_container_shares_no_namespace_with_the_host(inspected: dict[str, Any]) -> None:
    host = inspected["HostConfig"]
    assert host["NetworkMode"] not in ("host", "bridge", "default")
    assert host["PidMode"] in ("", "private")
    assert host["IpcMode"] in ("private", "none")
    assert host["UTSMode"] == ""
    assert host["UsernsMode"] == ""


def test_the_resources_of_each_container_are_limited(inspected: dict[str, Any]) -> None:
    host = inspected["HostConfig"]
    assert host["Memory"] > 0
    assert host["MemorySwap"] == host["Memory"]
    assert host["NanoCpus"] > 0 or host["CpuQuota"] > 0
    assert 0 < host["PidsLimit"] <= 4096
    assert {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]}["core"] == 0
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}


def test_each_container_restarts_by_itself(inspected: dict[str, Any]) -> None:
    assert inspected["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert inspected["HostConfig"]["Init"]


@pytest.mark.parametrize("project", sorted(PROJECTS))
def test_a_spoke_mounts_its_own_project_and_no_other(fleet: Deployment, project: str) -> None:
    mounts = {mount["Destination"]: mount for mount in fleet.inspected[project]["Mounts"]}
    assert mounts["/workspace"]["Source"] == str(fleet.path(project))
    assert mounts["/workspace"]["RW"]
    foreign = [str(fleet.path(other)) for other in fleet.projects if other != project]
    assert not [mount for mount in mounts.values() if mount["Source"] in foreign]
    writable = {target for target, mount in mounts.items() if mount["RW"]}
    assert writable == {"/workspace", "/home/codebuddy"}


def test_the_hub_mounts_every_project_and_only_the_public_key(fleet: Deployment) -> None:
    mounts = {mount["Destination"]: mount for mount in fleet.inspected["hub"]["Mounts"]}
    for project in fleet.projects:
        assert mounts[f"/workspaces/{project}"]["Source"] == str(fleet.path(project))
    assert fleet.run("hub", "ls", "/run/secrets/codebuddy").output.split() == ["signing.pub"]
    assert not [mount for mount in mounts.values() if mount["Source"].startswith(str(fleet.state / "keys"))]


def test_only_the_hub_mounts_the_journal_and_only_its_user_can_enter_it(fleet: Deployment) -> None:
    journal = fleet.state / "hub/journal"
    (mount,) = (m for part in fleet.inspected.values() for m in part["Mounts"] if m["Source"] == str(journal))
    assert (mount["Destination"], mount["RW"]) == ("/var/lib/codebuddy/journal", True)
    assert mount in fleet.inspected["hub"]["Mounts"]
    status = journal.stat()
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert f"{status.st_uid}:{status.st_gid}" == fleet.inspected["hub"]["Config"]["User"]
    written = "from pathlib import Path; p = Path('/var/lib/codebuddy/journal/.probe'); p.touch(); p.unlink()"
    assert fleet.python("hub", written).code == 0


def test_the_hub_can_write_only_in_the_projects_and_the_journal(fleet: Deployment) -> None:
    writable = {mount["Destination"] for mount in fleet.inspected["hub"]["Mounts"] if mount["RW"]}
    assert writable == {"/var/lib/codebuddy/journal", *(f"/workspaces/{project}" for project in fleet.projects)}


def test_no_container_mounts_the_engines_socket(fleet: Deployment) -> None:
    sources = [mount["Source"] for part in fleet.inspected.values() for mount in part["Mounts"]]
    assert not [source for source in sources if source.endswith(".sock") or "docker.sock" in source]


def test_the_engine_shows_no_secret_of_the_fleet(fleet: Deployment) -> None:
    secrets = [(fleet.state / f"tokens/{project}/token").read_text().strip() for project in fleet.projects]
    for part in fleet.inspected.values():
        shown = str(part)
        assert not [secret for secret in secrets if secret in shown or secret.split(".")[2] in shown]
        assert "PRIVATE KEY" not in shown
        history = str(fleet.engine.images.get(part["Image"]).history())
        assert not [secret for secret in secrets if secret in history]


@pytest.mark.parametrize("proxy", sorted(PROXIES.values()))
def test_a_proxy_mounts_only_its_configuration_read_only(fleet: Deployment, proxy: str) -> None:
    (mount,) = fleet.inspected[proxy]["Mounts"]
    assert (mount["Source"], mount["Destination"]) == (str(fleet.state / "config" / proxy), "/etc/codebuddy")
    assert not mount["RW"]


@pytest.mark.parametrize("project", sorted(PROJECTS))
def test_the_environment_of_a_spoke_names_its_project_and_its_hub(fleet: Deployment, project: str) -> None:
    environment = dict(entry.split("=", 1) for entry in fleet.inspected[project]["Config"]["Env"])
    assert environment["PROJECT_ID"] == project
    assert environment["CODEBUDDY_URL"] == "ws://codebuddy:3000"
    assert fleet.inspected[project]["Config"]["WorkingDir"] == "/workspace"
