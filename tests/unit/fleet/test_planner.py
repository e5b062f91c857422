"""The plan is hardened, sealed, and the same for the same declaration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.codebuddy_fleet.declaration import parse_fleet
from ansible.module_utils.codebuddy_fleet.host_facts import HostFacts, read_host_facts
from ansible.module_utils.codebuddy_fleet.plan import Container, Plan, spec_hash
from ansible.module_utils.codebuddy_fleet.planner import render

PlanOf = Callable[[dict[str, Any]], Plan]


@pytest.fixture
def plan(declared: dict[str, Any], plan_of: PlanOf) -> Plan:
    return plan_of(declared)


def hashes(plan: Plan) -> dict[str, str]:
    return {name: spec_hash(item) for name, item in plan.containers.items()}


def test_names_follow_the_fleet_and_the_project(plan: Plan) -> None:
    names = ["unitfleet-hub", "unitfleet-api", "unitfleet-web"]
    assert list(plan.containers) == names
    assert list(plan.networks) == names
    assert list(plan.volumes) == names[1:]


def test_every_container_is_hardened(plan: Plan) -> None:
    for container in plan.containers.values():
        assert container.cap_drop == ["ALL"]
        assert container.security_options == ["no-new-privileges:true"]
        assert container.read_only
        assert container.init
        assert container.user == "1000:1000"
        assert container.memory == container.memory_swap > 0
        assert container.pids > 0
        assert container.cpus > 0
        assert {"core", "nofile"} <= set(container.ulimits)
        assert {"/tmp", "/run"} == set(container.tmpfs)
        assert container.restart == "unless-stopped"
        assert {"max-size", "max-file"} == set(container.log_options)
        assert (container.ipc, container.cgroup_namespace) == ("private", "private")
        assert not container.foreign_settings


def test_a_spoke_mounts_its_own_project_only_and_no_engine_socket(plan: Plan) -> None:
    mounts = plan.containers["unitfleet-api"].mounts
    writable = {target: mount["source"] for target, mount in mounts.items() if not mount["read_only"]}
    assert writable == {"/workspace": "/srv/projects/api", "/home/codebuddy": "unitfleet-api"}
    assert not any("web" in mount["source"] for mount in mounts.values())
    assert not any("sock" in m["source"] for c in plan.containers.values() for m in c.mounts.values())


def test_only_the_hub_mounts_the_journal_and_may_write_there(plan: Plan) -> None:
    journal = {"type": "bind", "source": "/srv/state/hub/journal", "read_only": False}
    assert plan.containers["unitfleet-hub"].mounts["/var/lib/codebuddy/journal"] == journal
    mounts = [
        m for c in plan.containers.values() for m in c.mounts.values() if m["source"].startswith("/srv/state/hub")
    ]
    assert [m["source"] for m in mounts if not m["read_only"]] == ["/srv/state/hub/journal"]
    assert len(mounts) == 2


def test_no_spoke_mounts_the_keys_and_the_hub_only_the_public_one(plan: Plan) -> None:
    sources = {m["source"]: c.name for c in plan.containers.values() for m in c.mounts.values()}
    assert "/srv/state/keys" not in sources
    assert "/srv/state" not in sources
    assert sources["/srv/state/hub/keys"] == "unitfleet-hub"
    assert sources["/srv/state/tokens/api"] == "unitfleet-api"


def test_each_spoke_shares_a_sealed_network_with_the_hub_only(plan: Plan) -> None:
    members: dict[str, set[str]] = {}
    for container in plan.containers.values():
        for network in container.networks:
            members.setdefault(network, set()).add(container.name)
    assert members["unitfleet-api"] == {"unitfleet-hub", "unitfleet-api"}
    assert members["unitfleet-web"] == {"unitfleet-hub", "unitfleet-web"}
    assert members["unitfleet-hub"] == {"unitfleet-hub"}
    for name in ("unitfleet-api", "unitfleet-web"):
        assert plan.networks[name].internal
        assert plan.networks[name].options["com.docker.network.bridge.inhibit_ipv4"] == "true"
    assert plan.networks["unitfleet-hub"].options["com.docker.network.bridge.enable_ip_masquerade"] == "false"


def test_only_the_hub_publishes_and_only_on_the_loopback_address(plan: Plan) -> None:
    assert {c.name: c.ports for c in plan.containers.values() if c.ports} == {
        "unitfleet-hub": {"3000/tcp": "127.0.0.1:3950"}
    }


def test_a_spoke_connects_to_the_address_where_the_hub_listens(plan: Plan) -> None:
    config = json.loads(plan.files["/srv/state/config/hub/config.json"].content)
    spoke, hub = plan.containers["unitfleet-api"], plan.containers["unitfleet-hub"]
    listen = config["projects"]["api"]["listen"]
    assert spoke.extra_hosts == [f"codebuddy:{listen}"]
    assert hub.networks["unitfleet-api"] == {"address": listen, "aliases": ["codebuddy"]}
    assert config["client"] == {"address": hub.networks["unitfleet-hub"]["address"], "port": 3000, "published": 3950}
    assert spoke.environment["CODEBUDDY_URL"] == "ws://codebuddy:3000"
    assert spoke.environment["PROJECT_ID"] == "api"


def test_the_configuration_contains_what_was_declared(plan: Plan) -> None:
    hub = json.loads(plan.files["/srv/state/config/hub/config.json"].content)
    assert hub["projects"]["api"]["languages"] == ["python"]
    assert hub["projects"]["api"]["tasks"] == ["test"]
    assert hub["journal"] == {"max_bytes": 64 * 2**20, "max_age_seconds": 7 * 86400}
    spoke = json.loads(plan.files["/srv/state/config/api/config.json"].content)
    assert set(spoke) == {"project", "profile", "tasks", "environment", "language_servers", "runs", "egress"}
    assert spoke["tasks"] == {"test": {"argv": ["pytest"], "formats": []}}
    assert spoke["runs"]["max_run_seconds"] == 3600
    assert spoke["language_servers"][0]["ready"] == "immediate"


def test_formatting_on_write_is_configured_in_the_hub_and_in_no_spoke(
    declared: dict[str, Any], plan_of: PlanOf
) -> None:
    before = plan_of(declared)
    declared["projects"][0]["format_on_write"] = True
    after = plan_of(declared)
    hub = json.loads(after.files["/srv/state/config/hub/config.json"].content)
    assert {name: project["format_on_write"] for name, project in hub["projects"].items()} == {
        declared["projects"][0]["id"]: True,
        declared["projects"][1]["id"]: False,
    }
    changed = {name for name, one in hashes(after).items() if hashes(before)[name] != one}
    assert changed == {"unitfleet-hub"}


def test_encodings_are_configured_in_hub_and_spoke_in_their_order(declared: dict[str, Any], plan_of: PlanOf) -> None:
    assert "encodings" not in "".join(file.content for file in plan_of(declared).files.values())
    declared["projects"][0]["encodings"] = {"b/**": "latin-1", "a/**": "cp1252"}
    files, project = plan_of(declared).files, declared["projects"][0]["id"]
    hub, spoke = (json.loads(files[f"/srv/state/config/{name}/config.json"].content) for name in ("hub", project))
    wanted = [["b/**", "latin-1"], ["a/**", "cp1252"]]
    assert (hub["projects"][project]["encodings"], spoke["encodings"]) == (wanted, wanted)


def test_the_size_of_shared_memory_is_that_of_the_project(declared: dict[str, Any], plan_of: PlanOf) -> None:
    declared["projects"][0]["shm_size"] = "1g"
    sizes = {name: one.shm_size for name, one in plan_of(declared).containers.items() if one.shm_size != 64 * 2**20}
    assert sizes == {f"unitfleet-{declared['projects'][0]['id']}": 2**30}


def test_the_environment_of_a_project_is_in_no_setting_of_a_container(
    declared: dict[str, Any], plan_of: PlanOf
) -> None:
    declared["projects"][0]["environment"] = {"LD_PRELOAD": "/workspace/evil.so"}
    assert "LD_PRELOAD" not in json.dumps(plan_of(declared).as_dict()["containers"])


def test_adding_a_project_changes_the_hub_and_no_other_spoke(declared: dict[str, Any], plan_of: PlanOf) -> None:
    before = hashes(plan_of(declared))
    new = {**declared["projects"][0], "id": "aaa", "path": "/srv/projects/aaa"}
    after = hashes(plan_of({**declared, "projects": [new, *declared["projects"]]}))
    assert {name for name in before if before[name] != after[name]} == {"unitfleet-hub"}
    assert set(after) - set(before) == {"unitfleet-aaa"}


def test_the_engines_own_resolver_has_no_reachable_name_server(plan: Plan) -> None:
    assert all(container.dns == ["192.0.2.1"] for container in plan.containers.values())


def test_another_directory_at_a_projects_path_recreates_its_spoke_and_the_hub_only(
    declared: dict[str, Any],
) -> None:
    fleet = parse_fleet(declared["fleet"], declared["projects"])
    before = hashes(render(fleet, HostFacts({"api": 1, "web": 2}, "k")))
    after = hashes(render(fleet, HostFacts({"api": 3, "web": 2}, "k")))
    assert {name for name in before if before[name] != after[name]} == {"unitfleet-hub", "unitfleet-api"}


def test_another_signing_key_recreates_the_hub(declared: dict[str, Any]) -> None:
    fleet = parse_fleet(declared["fleet"], declared["projects"])
    before = hashes(render(fleet, HostFacts({}, "old")))
    after = hashes(render(fleet, HostFacts({}, "new")))
    assert {name for name in before if before[name] != after[name]} == {"unitfleet-hub"}


def test_another_directory_of_the_journal_recreates_the_hub(declared: dict[str, Any]) -> None:
    fleet = parse_fleet(declared["fleet"], declared["projects"])
    before, after = (hashes(render(fleet, HostFacts({}, "k", journal=inode))) for inode in (1, 2))
    assert {name for name in before if before[name] != after[name]} == {"unitfleet-hub"}


@pytest.mark.parametrize("change", [{"journal_size": "65m"}, {"journal_age": "8d"}])
def test_another_limit_of_the_journal_recreates_the_hub(
    declared: dict[str, Any], plan_of: PlanOf, change: dict[str, str]
) -> None:
    before = hashes(plan_of(declared))
    declared["fleet"] |= change
    after = hashes(plan_of(declared))
    assert {name for name in before if before[name] != after[name]} == {"unitfleet-hub"}


def test_the_facts_of_the_host_are_read(declared: dict[str, Any], tmp_path: Path) -> None:
    directory, key, journal = (tmp_path / name for name in ("api", "state/hub/keys/signing.pub", "state/hub/journal"))
    directory.mkdir()
    journal.mkdir(parents=True)
    key.parent.mkdir(parents=True)
    key.write_bytes(b"key")
    declared["fleet"]["state_dir"] = str(tmp_path / "state")
    declared["projects"][0]["path"] = str(directory)
    facts = read_host_facts(parse_fleet(declared["fleet"], declared["projects"]))
    assert facts.inodes == {"api": directory.stat().st_ino}
    assert facts.journal == journal.stat().st_ino
    assert facts.signing_key == hashlib.sha256(b"key").hexdigest()


def test_the_order_of_the_declaration_changes_nothing(declared: dict[str, Any], plan_of: PlanOf) -> None:
    before = plan_of(declared)
    declared["projects"].reverse()
    assert plan_of(declared) == before


@pytest.mark.parametrize(
    "change",
    [
        {"memory": "512m"},
        {"cpus": 2},
        {"pids": 100},
        {"shm_size": "1g"},
        {"encodings": {"*.txt": "latin-1"}},
        {"expect": "nfs4"},
        {"image": "unitfleet:other"},
        {"path": "/srv/projects/moved"},
        {"tasks": {"test": ["pytest", "-q"]}},
        {"tasks": {"test": {"argv": ["pytest"], "format": "pytest"}}},
        {"max_jobs": 3},
        {"environment": {"A": "2"}},
        {"language_servers": []},
    ],
)
def test_every_declared_value_is_part_of_the_hash(
    declared: dict[str, Any], plan_of: PlanOf, change: dict[str, Any]
) -> None:
    before = hashes(plan_of(declared))
    declared["projects"][0] |= change
    after = hashes(plan_of(declared))
    assert before["unitfleet-api"] != after["unitfleet-api"]
    assert before["unitfleet-web"] == after["unitfleet-web"]


def test_a_plan_is_read_back_from_json_with_any_key_order(plan: Plan) -> None:
    shown = plan.as_dict()
    assert all(item["spec"] for kind in ("networks", "containers") for item in shown[kind].values())
    kept = Plan.from_dict(json.loads(json.dumps(shown, sort_keys=True)))
    assert kept == plan
    assert hashes(kept) == hashes(plan)


def test_a_declared_value_never_becomes_an_engine_option(declared: dict[str, Any], plan_of: PlanOf) -> None:
    declared["projects"][0] |= {"privileged": True, "cap_add": ["ALL"], "volumes": ["/:/host"], "network_mode": "host"}
    container: Container = plan_of(declared).containers["unitfleet-api"]
    del declared["projects"][0]["privileged"]
    assert container == plan_of(declared).containers["unitfleet-api"]
    assert "/host" not in json.dumps(container.mounts)
