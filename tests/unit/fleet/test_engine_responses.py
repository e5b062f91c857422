"""A real engine's answer about a container is read back as the plan that the container was created from."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.codebuddy_fleet import engine_responses
from ansible.module_utils.codebuddy_fleet.engine_requests import container_body, endpoint
from ansible.module_utils.codebuddy_fleet.engine_responses import (
    ImageDefaults,
    read_container,
    read_network,
    read_volume,
)
from ansible.module_utils.codebuddy_fleet.plan import Plan, spec_hash

PlanOf = Callable[[dict[str, Any]], Plan]
# The engine's own settings, which affect neither the security nor the limits of a container.
ENGINES_OWN = {
    "ConsoleSize", "ContainerIDFile", "IOMaximumBandwidth", "IOMaximumIOps", "Isolation", "MaskedPaths", "NetworkMode",
    "ReadonlyPaths", "Runtime",
}  # fmt: skip
PLANNED = {
    "CapDrop", "CgroupnsMode", "CpuPeriod", "CpuQuota", "Dns", "ExtraHosts", "Init", "IpcMode", "LogConfig", "Memory",
    "MemorySwap", "Mounts", "PidsLimit", "PortBindings", "ReadonlyRootfs", "RestartPolicy", "SecurityOpt", "ShmSize",
    "Sysctls", "Tmpfs", "Ulimits",
}  # fmt: skip


@pytest.fixture
def network_ids(recorded: dict[str, Any]) -> dict[str, str]:
    return {network["Name"]: network["Id"] for network in recorded["networks"]}


@pytest.fixture
def image(recorded: dict[str, Any]) -> ImageDefaults:
    return ImageDefaults.from_inspect(recorded["image"])


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_container_created_from_a_plan_is_read_back_as_that_plan(
    recorded: dict[str, Any], plan_of: PlanOf, network_ids: dict[str, str], image: ImageDefaults, index: int
) -> None:
    seen = read_container(recorded["containers"][index], image, network_ids)
    planned = plan_of(recorded["declaration"]).containers[seen.container.name]
    assert seen.own == replace(planned, files={})
    assert seen.spec == spec_hash(planned)
    assert seen.state == "running"


def test_the_request_that_creates_a_container_is_read_back_as_its_plan(
    declared: dict[str, Any], plan_of: PlanOf
) -> None:
    for planned in plan_of(declared).containers.values():
        body = container_body(planned)
        networks = {name: endpoint(settings) for name, settings in planned.networks.items()}
        assert body["NetworkingConfig"]["EndpointsConfig"] == {planned.name: networks[planned.name]}
        answer = {
            "Id": "0" * 64,
            "Name": f"/{planned.name}",
            "Config": body,
            "HostConfig": body["HostConfig"],
            "NetworkSettings": {"Networks": networks},
        }
        assert read_container(answer, ImageDefaults(), {}).own == replace(planned, files={})


def test_networks_and_volumes_created_from_a_plan_are_read_back_as_that_plan(
    recorded: dict[str, Any], plan_of: PlanOf
) -> None:
    plan = plan_of(recorded["declaration"])
    for found in recorded["networks"]:
        network, spec = read_network(found)
        assert (network, spec) == (plan.networks[network.name], spec_hash(network))
    assert {v["Name"]: read_volume(v) for v in recorded["volumes"]} == plan.volumes


def test_every_setting_of_the_engine_is_known(recorded: dict[str, Any]) -> None:
    known = ENGINES_OWN | PLANNED | set(engine_responses.FOREIGN_HOST_SETTINGS)
    assert set(recorded["containers"][0]["HostConfig"]) <= known


def test_values_of_the_image_are_not_taken_for_settings(
    recorded: dict[str, Any], network_ids: dict[str, str], image: ImageDefaults
) -> None:
    seen = read_container(recorded["containers"][0], image, network_ids)
    assert "FROM_IMAGE" in seen.container.environment
    assert "FROM_IMAGE" not in seen.own.environment
    assert "maker" in seen.container.labels
    assert "maker" not in seen.own.labels


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("Privileged", True),
        ("CapAdd", ["SYS_ADMIN"]),
        ("Binds", ["/:/host"]),
        ("Devices", [{"PathOnHost": "/dev/sda"}]),
        ("PidMode", "host"),
        ("UTSMode", "host"),
        ("UsernsMode", "host"),
        ("NetworkMode", "host"),
        ("GroupAdd", ["0"]),
        ("VolumesFrom", ["other"]),
        ("MaskedPaths", []),
        ("OomKillDisable", True),
        ("NanoCpus", 10**9),
        ("MemoryReservation", 10**8),
    ],
)
def test_a_setting_that_no_plan_contains_is_found(
    recorded: dict[str, Any], network_ids: dict[str, str], image: ImageDefaults, setting: str, value: Any
) -> None:
    found = copy.deepcopy(recorded["containers"][1])
    found["HostConfig"][setting] = value
    assert read_container(found, image, network_ids).own.foreign_settings == {setting: value}


def test_a_recreated_network_counts_as_not_connected(recorded: dict[str, Any], image: ImageDefaults) -> None:
    seen = read_container(recorded["containers"][1], image, {"unitfleet-api": "another id"})
    assert seen.own.networks == {}
