"""Which containers share a network, and which port the host publishes."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from codebuddy_testing.deployment import PROJECTS, PROXIES, Deployment, host_addresses


@pytest.fixture(scope="module")
def networks(fleet: Deployment) -> dict[str, dict[str, Any]]:
    found = fleet.engine.networks.list(filters={"label": f"codebuddy.fleet={fleet.name}"}, greedy=True)
    return {network.name.removeprefix(f"{fleet.name}-"): network.attrs for network in found if network.name}


def test_the_networks_are_one_for_each_project_and_proxy_and_the_hubs_own(networks: dict[str, Any]) -> None:
    assert sorted(networks) == sorted(["hub", *PROJECTS, *PROXIES.values()])


@pytest.mark.parametrize("project", sorted(PROJECTS))
def test_a_project_network_is_internal_and_has_only_its_spoke_the_hub_and_the_proxy(
    fleet: Deployment, networks: dict[str, Any], project: str
) -> None:
    network = networks[project]
    members = {member["Name"] for member in network["Containers"].values()}
    proxy = {f"{fleet.name}-{PROXIES[project]}"} if project in PROXIES else set()
    assert members == {f"{fleet.name}-hub", f"{fleet.name}-{project}", *proxy}
    assert network["Internal"]
    assert not network["EnableIPv6"]
    assert network["Labels"]["codebuddy.project"] == project


def test_only_the_hub_is_on_its_own_network(fleet: Deployment, networks: dict[str, Any]) -> None:
    assert [member["Name"] for member in networks["hub"]["Containers"].values()] == [f"{fleet.name}-hub"]


@pytest.mark.parametrize("proxy", sorted(PROXIES.values()))
def test_only_a_proxy_is_on_its_network_with_a_way_out(fleet: Deployment, networks: dict[str, Any], proxy: str) -> None:
    assert [member["Name"] for member in networks[proxy]["Containers"].values()] == [f"{fleet.name}-{proxy}"]
    assert not networks[proxy]["EnableIPv6"]


def test_a_spoke_is_only_on_its_own_network(fleet: Deployment) -> None:
    for project in fleet.projects:
        assert list(fleet.inspected[project]["NetworkSettings"]["Networks"]) == [f"{fleet.name}-{project}"]


def test_the_only_published_port_is_the_hubs_on_loopback(fleet: Deployment) -> None:
    published = {
        part: [binding for bindings in inspected["NetworkSettings"]["Ports"].values() for binding in bindings or []]
        for part, inspected in fleet.inspected.items()
    }
    assert published.pop("hub") == [{"HostIp": "127.0.0.1", "HostPort": str(fleet.port)}]
    assert not any(published.values())


def test_the_endpoint_answers_on_no_other_address_of_the_host(fleet: Deployment) -> None:
    addresses = host_addresses()
    assert "127.0.0.1" in addresses
    for address in addresses - {"127.0.0.1"}:
        with socket.socket() as connection:
            connection.settimeout(1)
            assert connection.connect_ex((address, fleet.port)) != 0, address


def test_health_gives_details_only_to_a_token(fleet: Deployment) -> None:
    anonymous = fleet.get("/health")
    assert anonymous.status_code == 200
    assert anonymous.json() == {"status": "ok"}
    document = fleet.get("/health", fleet.token(scopes=("read",))).json()
    assert list(document["projects"]) == fleet.projects
    assert {report["link"] for report in document["projects"].values()} == {"connected"}
    assert {report["mount"] for report in document["projects"].values()} == {"same"}
