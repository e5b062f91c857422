"""The changes are empty if nothing differs, exact otherwise, and strict about what is no longer declared."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.codebuddy_fleet.differ import (
    Change,
    EngineLimits,
    Observed,
    changes,
    conflicts,
)
from ansible.module_utils.codebuddy_fleet.engine_responses import (
    ImageDefaults,
    read_container,
    read_network,
    read_volume,
)
from ansible.module_utils.codebuddy_fleet.plan import File, Plan
from ansible.module_utils.codebuddy_fleet.summary import rendered_diff

PlanOf = Callable[[dict[str, Any]], Plan]
SPOKE = "unitfleet-api"


@pytest.fixture
def plan(declared: dict[str, Any], plan_of: PlanOf) -> Plan:
    return plan_of(declared)


@pytest.fixture
def found(recorded: dict[str, Any]) -> dict[str, Any]:
    """A copy of the engine's answers."""
    return copy.deepcopy(recorded)


def container(found: dict[str, Any], name: str = SPOKE) -> dict[str, Any]:
    return next(item for item in found["containers"] if item["Name"] == f"/{name}")


def observe(found: dict[str, Any], plan: Plan, **more: Any) -> Observed:
    ids = {network["Name"]: network["Id"] for network in found["networks"]}
    image = ImageDefaults.from_inspect(found["image"])
    seen = [read_container(item, image, ids) for item in found["containers"]]
    return Observed(
        networks={item["Name"]: read_network(item) for item in found["networks"]},
        volumes={item["Name"]: read_volume(item) for item in found["volumes"]},
        files=more.pop("files", plan.files),
        containers={item.container.name: item for item in seen},
        **more,
    )


def lines(todo: list[Change]) -> list[str]:
    return [f"{change.action} {change.kind} {change.name}" for change in todo]


def test_a_fleet_as_planned_has_no_difference(plan: Plan, found: dict[str, Any]) -> None:
    todo = changes(plan, observe(found, plan))
    assert todo == []
    assert rendered_diff(todo) == ({}, {})


def test_on_an_empty_engine_everything_is_created(plan: Plan) -> None:
    todo = changes(plan, Observed())
    assert {change.action for change in todo} == {"create", "write"}
    assert len(todo) == 3 + 2 + 8 + 3
    assert rendered_diff(todo)[0] == {}


MANIPULATIONS: list[tuple[str, Callable[[dict[str, Any]], Any], dict[str, Any] | None]] = [
    ("memory", lambda c: c["HostConfig"].update(Memory=2**30), {"memory": 2**30}),
    ("swap", lambda c: c["HostConfig"].update(MemorySwap=-1), {"memory_swap": -1}),
    ("cpus", lambda c: c["HostConfig"].update(CpuQuota=400_000), {"cpus": 4.0}),
    ("pids", lambda c: c["HostConfig"].update(PidsLimit=None), {"pids": 0}),
    ("shared memory", lambda c: c["HostConfig"].update(ShmSize=2**30), {"shm_size": 2**30}),
    ("restart policy", lambda c: c["HostConfig"].update(RestartPolicy={"Name": "no"}), {"restart": "no"}),
    ("user", lambda c: c["Config"].update(User="0:0"), {"user": "0:0"}),
    ("capability kept", lambda c: c["HostConfig"].update(CapDrop=None), {"cap_drop": []}),
    (
        "capability added",
        lambda c: c["HostConfig"].update(CapAdd=["NET_RAW"]),
        {"foreign_settings": {"CapAdd": ["NET_RAW"]}},
    ),
    ("variable added", lambda c: c["Config"]["Env"].append("EVIL=1"), {"environment": {"EVIL": "1"}}),
    ("variable changed", lambda c: c["Config"]["Env"].append("HOME=/"), {"environment": {"HOME": "/"}}),
    ("writable root", lambda c: c["HostConfig"].update(ReadonlyRootfs=False), {"read_only": False}),
    ("privileges", lambda c: c["HostConfig"].update(SecurityOpt=None), {"security_options": []}),
    (
        "mount added",
        lambda c: c["HostConfig"]["Mounts"].append({"Type": "bind", "Source": "/", "Target": "/host"}),
        {"mounts": {"/host": {"type": "bind", "source": "/", "read_only": False}}},
    ),
    (
        "mount writable",
        lambda c: [m.pop("ReadOnly", None) for m in c["HostConfig"]["Mounts"] if m["Target"] == "/etc/codebuddy"],
        {"mounts": {"/etc/codebuddy": {"read_only": False}}},
    ),
    ("file system added", lambda c: c["HostConfig"]["Tmpfs"].update({"/x": ""}), {"tmpfs": {"/x": ""}}),
    (
        "network joined by hand",
        lambda c: c["NetworkSettings"]["Networks"].update({"bridge": {"NetworkID": "", "IPAddress": "172.17.0.2"}}),
        {"networks": {"bridge": {"address": "172.17.0.2", "aliases": []}}},
    ),
    (
        "port published",
        lambda c: c["HostConfig"].update(PortBindings={"22/tcp": [{"HostIp": "", "HostPort": "22"}]}),
        {"ports": {"22/tcp": ":22"}},
    ),
    ("health check off", lambda c: c["Config"].update(Healthcheck={"Test": ["NONE"]}), None),
    ("another program", lambda c: c["Config"].update(Entrypoint=["/bin/sh"]), {"entrypoint": ["/bin/sh"]}),
    ("another image", lambda c: c["Config"].update(Image="evil:1"), {"image": "evil:1"}),
    ("another specification", lambda c: c["Config"]["Labels"].update({"codebuddy.spec": "0"}), {"spec": "0"}),
]  # fmt: skip


@pytest.mark.parametrize(("manipulate", "before"), [pytest.param(t, b, id=name) for name, t, b in MANIPULATIONS])
def test_settings_changed_by_hand_are_found_and_shown_exactly(
    plan: Plan, found: dict[str, Any], manipulate: Callable[[dict[str, Any]], Any], before: dict[str, Any] | None
) -> None:
    manipulate(container(found))
    (change,) = changes(plan, observe(found, plan))
    assert (change.kind, change.name, change.action) == ("container", SPOKE, "recreate")
    if before is not None:
        assert change.before == before


@pytest.mark.parametrize(
    "drop",
    [
        lambda c: c["HostConfig"]["Mounts"].pop(),
        lambda c: c["Config"]["Env"].remove("PROJECT_ID=api"),
        lambda c: c["HostConfig"]["Tmpfs"].pop("/run"),
        lambda c: c["NetworkSettings"].update(Networks={}),
        lambda c: c["HostConfig"].update(Sysctls=None),
        lambda c: c["HostConfig"].update(Ulimits=None),
        lambda c: c["HostConfig"].update(ExtraHosts=None),
    ],
)
def test_what_is_declared_but_missing_is_restored(plan: Plan, found: dict[str, Any], drop: Any) -> None:
    drop(container(found))
    (change,) = changes(plan, observe(found, plan))
    assert change.action == "recreate"
    assert change.after


def test_only_the_changed_project_and_its_line_in_the_diff_are_touched(
    declared: dict[str, Any], plan: Plan, plan_of: PlanOf, found: dict[str, Any]
) -> None:
    declared["projects"][0]["memory"] = "512m"
    todo = changes(plan_of(declared), observe(found, plan))
    assert lines(todo) == [f"recreate container {SPOKE}"]
    before, after = rendered_diff(todo)
    assert set(before["containers"][SPOKE]) == set(after["containers"][SPOKE]) == {"memory", "memory_swap", "spec"}
    assert after["containers"][SPOKE]["memory"] == 2**29


def test_a_changed_configuration_file_recreates_its_container_and_shows_both_contents(
    declared: dict[str, Any], plan: Plan, plan_of: PlanOf, found: dict[str, Any]
) -> None:
    declared["projects"][0]["environment"] = {"A": "2"}
    todo = changes(plan_of(declared), observe(found, plan))
    path = "/srv/state/config/api/config.json"
    assert lines(todo) == [f"write file {path}", f"recreate container {SPOKE}"]
    before, after = rendered_diff(todo)
    assert '"A": "1"' in before["files"][path]["content"]
    assert '"A": "2"' in after["files"][path]["content"]


def test_a_file_changed_by_hand_is_restored_and_its_containers_are_recreated(plan: Plan, found: dict[str, Any]) -> None:
    path = "/srv/state/config/resolv.conf"
    files = {**plan.files, path: replace(plan.files[path], content="nameserver 8.8.8.8\n")}
    todo = changes(plan, observe(found, plan, files=files))
    assert lines(todo) == [
        f"write file {path}",
        "recreate container unitfleet-api",
        "recreate container unitfleet-web",
    ]


def test_a_project_that_is_no_longer_declared_is_removed_but_its_volume_is_kept(
    declared: dict[str, Any], plan: Plan, plan_of: PlanOf, found: dict[str, Any]
) -> None:
    declared["projects"] = [p for p in declared["projects"] if p["id"] != "api"]
    smaller = plan_of(declared)
    expected = [
        "remove network unitfleet-api",
        "write file /srv/state/config/hub/config.json",
        "remove file /srv/state/config/api/config.json",
        "remove file /srv/state/config/api/gitconfig",
        "recreate container unitfleet-hub",
        "remove container unitfleet-api",
    ]
    assert lines(changes(smaller, observe(found, plan))) == expected
    assert "remove volume unitfleet-api" in lines(changes(smaller, observe(found, plan), purge=True))


def test_an_empty_plan_removes_the_whole_fleet(plan: Plan, found: dict[str, Any]) -> None:
    todo = changes(Plan(fleet="unitfleet"), observe(found, plan, files={}))
    assert {change.action for change in todo} == {"remove"}
    assert sorted(change.kind for change in todo) == ["container"] * 3 + ["network"] * 3


@pytest.mark.parametrize(
    "manipulate",
    [
        lambda n: n.update(Internal=False),
        lambda n: n.update(Options={}),
        lambda n: n["IPAM"].update(Config=[{"Subnet": "10.1.0.0/29", "Gateway": "10.1.0.1"}]),
        lambda n: n.update(EnableIPv6=True),
        lambda n: n["Labels"].pop("codebuddy.spec"),
    ],
)
def test_a_changed_network_is_recreated_with_all_its_containers(
    plan: Plan, found: dict[str, Any], manipulate: Any
) -> None:
    manipulate(next(network for network in found["networks"] if network["Name"] == SPOKE))
    todo = changes(plan, observe(found, plan))
    assert lines(todo) == [
        f"recreate network {SPOKE}",
        "recreate container unitfleet-hub",
        f"recreate container {SPOKE}",
    ]
    assert todo[1].after["renewed_because_of"] == [f"network {SPOKE}"]


def test_a_foreign_container_on_a_network_of_the_fleet_is_disconnected(plan: Plan, found: dict[str, Any]) -> None:
    todo = changes(plan, observe(found, plan, foreign_attachments={SPOKE: ["stranger"]}))
    assert lines(todo) == [f"disconnect network {SPOKE}"]
    assert todo[0].before == {"other_containers": ["stranger"]}


@pytest.mark.parametrize(
    ("state", "action"),
    [("exited", "start"), ("created", "start"), ("paused", "unpause"), ("dead", "recreate"), ("restarting", None)],
)
def test_a_container_that_does_not_run_is_started_again(
    plan: Plan, found: dict[str, Any], state: str, action: str | None
) -> None:
    container(found)["State"]["Status"] = state
    expected = [] if action is None else [f"{action} container {SPOKE}"]
    assert lines(changes(plan, observe(found, plan))) == expected


def test_a_limit_that_the_engine_cannot_enforce_is_no_difference(plan: Plan, found: dict[str, Any]) -> None:
    for item in found["containers"]:
        item["HostConfig"]["MemorySwap"] = -1
    assert changes(plan, observe(found, plan, limits=EngineLimits(swap=False))) == []
    assert changes(plan, observe(found, plan)) != []


def test_defaults_that_the_engine_adds_by_itself_are_no_difference(plan: Plan, found: dict[str, Any]) -> None:
    container(found)["HostConfig"]["Ulimits"].append({"Name": "memlock", "Soft": 1, "Hard": 1})
    found["networks"][0]["Options"]["com.docker.network.driver.mtu"] = "1450"
    assert changes(plan, observe(found, plan)) == []


@pytest.mark.parametrize(
    ("conflicting", "sentence"),
    [
        ({"foreign_containers": frozenset({"unitfleet-hub"})}, "A container named unitfleet-hub exists that does not"),
        ({"foreign_volumes": frozenset({"unitfleet-api"})}, "A volume named unitfleet-api exists that does not"),
        ({"foreign_networks": {"unitfleet-api": []}}, "A network named unitfleet-api exists that does not"),
        ({"foreign_networks": {"vpn": ["10.222.0.0/16"]}}, "set codebuddy_address_pool to a range that is free"),
    ],
)
def test_foreign_objects_are_never_touched_but_reported(plan: Plan, conflicting: dict[str, Any], sentence: str) -> None:
    (problem,) = conflicts(plan, Observed(**conflicting))
    assert sentence in problem


def test_foreign_networks_with_other_addresses_are_no_conflict(plan: Plan) -> None:
    elsewhere = {"bridge": ["172.17.0.0/16"], "host": [], "six": ["fd00::/64"]}
    assert conflicts(plan, Observed(foreign_networks=elsewhere)) == []


def test_a_missing_file_is_written_again(plan: Plan, found: dict[str, Any]) -> None:
    files: dict[str, File] = {key: file for key, file in plan.files.items() if not key.endswith("api/config.json")}
    assert lines(changes(plan, observe(found, plan, files=files))) == [
        "write file /srv/state/config/api/config.json",
        f"recreate container {SPOKE}",
    ]
