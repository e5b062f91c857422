"""On a real engine, a fleet of fake containers is created, compared, repaired, reduced and removed.

They run codebuddy_testing.faulty_image, which shows faults on demand.
"""

from __future__ import annotations

import copy
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
from ansible.module_utils.codebuddy_fleet import converge
from ansible.module_utils.codebuddy_fleet.errors import FleetError

from codebuddy_testing.faulty_image import import_faulty_image

pytestmark = pytest.mark.engine

HOST = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
NAME, POOL, IMAGE = "unitfleet", "10.222.0.0/16", "unitfleet:faulty"


@pytest.fixture(scope="module")
def client() -> Iterator[docker.APIClient]:
    api = docker.APIClient(base_url=HOST, version="auto")
    import_faulty_image(api, IMAGE)
    yield api
    api.remove_image(IMAGE, force=True)
    api.close()


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Fleet:
    """A declared fleet on the engine."""

    def __init__(self, client: docker.APIClient, home: Path, port: int, *ids: str) -> None:
        self.client, self.home = client, home
        uid, gid = (1000, 1000) if os.getuid() == 0 else (os.getuid(), os.getgid())
        self.fleet: dict[str, Any] = {
            "name": NAME, "state_dir": str(home / "state"), "uid": uid, "gid": gid, "address_pool": POOL, "port": port,
            "journal_size": "1m", "journal_age": "1d", "run_width": 8,
            "hub": {"image": IMAGE, "memory": "64m", "cpus": 1, "pids": 64},
        }  # fmt: skip
        for directory in ("keys", "journal"):
            (home / "state/hub" / directory).mkdir(parents=True)
        self.projects = [self.project(project_id) for project_id in ids]

    def project(self, project_id: str) -> dict[str, Any]:
        path = self.home / "projects" / project_id
        path.mkdir(parents=True)
        if os.getuid() == 0:
            os.chown(path, self.fleet["uid"], self.fleet["gid"])
        (self.home / "state/tokens" / project_id).mkdir(parents=True)
        return {
            "id": project_id, "path": str(path), "profile": "python", "image": IMAGE,
            "memory": "64m", "cpus": 0.5, "pids": 32, "tasks": {"test": ["true"]},
        }  # fmt: skip

    def up(self, *, check: bool = False, purge: bool = False, timeout: float = 30) -> dict[str, Any]:
        result: dict[str, Any] = converge.override(
            HOST, self.fleet, self.projects, health_timeout=timeout, purge=purge, check_mode=check
        )
        return result

    def down(self, *, purge: bool = False, check: bool = False) -> dict[str, Any]:
        result: dict[str, Any] = converge.delete(HOST, self.fleet, self.projects, purge=purge, check_mode=check)
        return result

    def containers(self) -> dict[str, str]:
        """The ids of the fleet's containers, by name."""
        found = self.client.containers(all=True, filters={"label": f"codebuddy.fleet={NAME}"})
        return {item["Names"][0].lstrip("/"): item["Id"] for item in found}

    def networks(self) -> set[str]:
        return {n["Name"] for n in self.client.networks(filters={"label": f"codebuddy.fleet={NAME}"})}

    def volumes(self) -> set[str]:
        found = self.client.volumes(filters={"label": f"codebuddy.fleet={NAME}"})["Volumes"] or []
        return {volume["Name"] for volume in found}

    def add_foreign(self, name: str, **body: Any) -> None:
        """Create a container that is not the fleet's."""
        config = {"Image": IMAGE, "Cmd": ["sleep", "600"], "StopTimeout": 0, **body}
        made = self.client.create_container_from_config(config, name)  # type: ignore[no-untyped-call]
        self.client.start(made["Id"])


def remove_leftovers(client: docker.APIClient) -> None:
    """Remove what an interrupted run left, labelled or not: the engine creates a missing volume without labels."""
    named = {"name": f"{NAME}-"}
    for container in client.containers(all=True, filters=named):
        client.remove_container(container["Id"], force=True)
    for network in client.networks(filters=named):
        client.remove_network(network["Id"])
    for volume in client.volumes(filters=named)["Volumes"] or []:
        client.remove_volume(volume["Name"])


@pytest.fixture
def fleet(client: docker.APIClient, tmp_path: Path, port: int) -> Iterator[Fleet]:
    remove_leftovers(client)
    made = Fleet(client, tmp_path, port, "api", "web")
    yield made
    made.down()
    for volume in made.volumes():
        client.remove_volume(volume)


def test_a_second_run_changes_nothing_and_touches_no_container(fleet: Fleet) -> None:
    first = fleet.up()
    before = fleet.containers()
    assert (first["changed"], first["generation"]) == (True, 1)
    assert set(before) == {"unitfleet-hub", "unitfleet-api", "unitfleet-web"}
    second = fleet.up()
    assert (second["changed"], second["changes"], second["generation"]) == (False, [], 1)
    assert second["diff"] == {"before": "", "after": ""}
    assert second["summary"] == "Nothing changed in hub and spokes."
    assert fleet.containers() == before


def test_check_mode_reports_exactly_the_changes_of_the_next_run_and_makes_none(fleet: Fleet) -> None:
    planned = fleet.up(check=True)
    assert (fleet.containers(), fleet.networks()) == ({}, set())
    assert not (fleet.home / "state/config").exists()
    done = fleet.up()
    assert (planned["changes"], planned["diff"]) == (done["changes"], done["diff"])


def test_the_gathered_fleet_after_a_run_is_the_plan(fleet: Fleet) -> None:
    plan = fleet.up()["plan"]
    gathered = converge.gather_fleet(HOST, fleet.fleet)["gathered"]
    for container in gathered["containers"].values():
        assert container.pop("state") == "running"
        container.pop("health")
    for container in plan["containers"].values():
        container["files"] = {}  # known to the state directory, not to the engine
    for kind in ("networks", "volumes", "files", "containers"):
        assert gathered[kind].keys() == plan[kind].keys()
        for name in plan[kind]:
            assert gathered[kind][name] == plan[kind][name]


def test_a_new_project_does_not_restart_other_spokes_and_a_removed_one_keeps_its_volume(fleet: Fleet) -> None:
    fleet.up()
    before = fleet.containers()
    fleet.projects.append(fleet.project("new"))
    assert fleet.up()["summary"] == "Created new; renewed hub; kept api, web."
    after = fleet.containers()
    assert {name for name in before if before[name] != after[name]} == {"unitfleet-hub"}
    fleet.projects.pop()
    assert fleet.up()["generation"] == 3
    assert fleet.containers().keys() == before.keys() == fleet.networks()
    assert "unitfleet-new" in fleet.volumes()
    assert fleet.up()["changed"] is False
    assert fleet.up(purge=True)["changes"] == ["remove volume unitfleet-new"]
    assert (fleet.home / "projects/new").is_dir()


def test_settings_changed_by_hand_are_found_and_repaired(fleet: Fleet) -> None:
    fleet.up()
    before = fleet.containers()
    fleet.client.update_container("unitfleet-api", mem_limit="96m", memswap_limit="128m")
    fleet.client.connect_container_to_network("unitfleet-web", "unitfleet-api")
    planned = fleet.up(check=True)
    assert planned["changes"] == ["recreate container unitfleet-api", "recreate container unitfleet-web"]
    assert "memory: 100663296" in planned["diff"]["before"]
    assert "memory: 67108864" in planned["diff"]["after"]
    fleet.up()
    after = fleet.containers()
    assert {name for name in before if before[name] != after[name]} == {"unitfleet-api", "unitfleet-web"}
    assert set(fleet.client.inspect_container("unitfleet-web")["NetworkSettings"]["Networks"]) == {"unitfleet-web"}
    assert fleet.up()["changed"] is False


def test_a_container_replaced_by_a_weaker_one_with_the_same_labels_is_found(fleet: Fleet) -> None:
    fleet.up()
    labels = fleet.client.inspect_container("unitfleet-api")["Config"]["Labels"]
    fleet.client.remove_container("unitfleet-api", force=True)
    fleet.add_foreign("unitfleet-api", Labels=labels, HostConfig={"CapAdd": ["NET_RAW"], "Binds": ["/:/host:ro"]})
    planned = fleet.up(check=True)
    assert planned["changes"] == ["recreate container unitfleet-api"]
    assert "NET_RAW" in planned["diff"]["before"]
    assert "/:/host:ro" in planned["diff"]["before"]
    fleet.up()
    assert not fleet.client.inspect_container("unitfleet-api")["HostConfig"]["CapAdd"]


@pytest.fixture
def mounted(fleet: Fleet) -> Iterator[Callable[[], None]]:
    """Mounts a new tmpfs, whose root always has the same inode, at the directory of api in place of an earlier one."""
    path = fleet.projects[0]["path"]

    def unmount() -> None:
        subprocess.run(["umount", "--lazy", path], check=False, capture_output=True)

    def mount() -> None:
        unmount()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"uid={fleet.fleet['uid']}", "none", path], check=True)

    yield mount
    unmount()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_container_that_sees_what_was_mounted_before_is_recreated(fleet: Fleet, mounted: Callable[[], None]) -> None:
    mounted()
    inode = Path(fleet.projects[0]["path"]).stat().st_ino
    fleet.up()
    assert fleet.up()["changes"] == []
    before = fleet.containers()
    mounted()
    assert Path(fleet.projects[0]["path"]).stat().st_ino == inode, "the labels alone do not show it"
    assert fleet.up()["changes"] == ["recreate container unitfleet-hub", "recreate container unitfleet-api"]
    assert fleet.containers()["unitfleet-web"] == before["unitfleet-web"]
    assert fleet.up()["changes"] == []


def test_stopped_paused_and_removed_parts_are_restored(fleet: Fleet) -> None:
    fleet.up()
    fleet.client.kill("unitfleet-hub")
    fleet.client.pause("unitfleet-web")
    fleet.client.remove_container("unitfleet-api", force=True)
    fleet.client.disconnect_container_from_network("unitfleet-hub", "unitfleet-api", force=True)
    fleet.client.remove_network("unitfleet-api")
    assert set(fleet.up()["changes"]) == {
        "create network unitfleet-api",
        "create container unitfleet-api",
        "recreate container unitfleet-hub",
        "unpause container unitfleet-web",
    }
    assert fleet.up()["changed"] is False


def test_a_foreign_container_is_disconnected_from_a_network_of_the_fleet(fleet: Fleet) -> None:
    fleet.up()
    fleet.add_foreign("unitfleet-stranger", HostConfig={"NetworkMode": "unitfleet-api"})
    try:
        assert fleet.up()["changes"] == ["disconnect network unitfleet-api"]
        assert fleet.client.inspect_container("unitfleet-stranger")["NetworkSettings"]["Networks"] == {}
    finally:
        fleet.client.remove_container("unitfleet-stranger", force=True)


def test_a_foreign_container_with_a_name_of_the_fleet_stops_the_run_before_any_change(fleet: Fleet) -> None:
    fleet.add_foreign("unitfleet-api")
    try:
        with pytest.raises(FleetError, match="A container named unitfleet-api exists that does not belong to fleet"):
            fleet.up()
        assert (fleet.containers(), fleet.networks()) == ({}, set())
    finally:
        fleet.client.remove_container("unitfleet-api", force=True)


def test_a_taken_port_is_reported_with_the_variable_before_any_change(fleet: Fleet) -> None:
    fleet.up()
    before, own = fleet.containers(), fleet.fleet["port"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        fleet.fleet["port"] = taken.getsockname()[1]
        with pytest.raises(FleetError, match=r"Container unitfleet-hub: its port \d+ is taken .* Nothing was changed"):
            fleet.up()
        assert fleet.containers() == before
    states = [c["State"] for c in fleet.client.containers(all=True, filters={"label": f"codebuddy.fleet={NAME}"})]
    assert states == ["running"] * 3
    fleet.fleet["port"] = own
    assert fleet.up()["changed"] is False
    # The port that a hub holds itself does not stop its renewal.
    fleet.fleet["hub"]["pids"] = 65
    assert fleet.up()["changes"][0] == "recreate container unitfleet-hub"


def test_an_address_pool_in_use_is_reported_before_any_change(fleet: Fleet) -> None:
    ipam = {"Config": [{"Subnet": "10.222.0.0/28"}]}
    network = fleet.client.create_network("unitfleet-other", ipam=ipam)  # type: ignore[arg-type]
    try:
        with pytest.raises(FleetError, match=r"Network unitfleet-other .* set codebuddy_address_pool"):
            fleet.up(check=True)
    finally:
        fleet.client.remove_network(network["Id"])


@pytest.mark.parametrize("missing", ["projects/api", "state/tokens/web", "state/hub/keys", "state/hub/journal"])
def test_a_missing_directory_is_reported_and_never_created_by_the_engine(fleet: Fleet, missing: str) -> None:
    (fleet.home / missing).rmdir()
    with pytest.raises(FleetError, match=f"{missing}, which it mounts at .* does not exist: create it"):
        fleet.up()
    assert fleet.containers() == {}
    assert not (fleet.home / missing).exists()


def test_a_missing_image_is_reported_before_any_change(fleet: Fleet) -> None:
    fleet.projects[0]["image"] = "unitfleet:missing"
    with pytest.raises(FleetError, match="Image unitfleet:missing is not there: build it first"):
        fleet.up()
    assert (fleet.containers(), fleet.networks()) == ({}, set())


def test_an_unhealthy_spoke_fails_the_run_with_its_reason_and_log_and_the_others_run(fleet: Fleet) -> None:
    (fleet.home / "projects/web/sick").touch()
    with pytest.raises(FleetError) as caught:
        fleet.up(timeout=2)
    message = str(caught.value)
    assert (
        "unitfleet-web is not healthy: the language server is down. Its last log lines:\n    | started spoke" in message
    )
    assert "unitfleet-api" not in message
    (fleet.home / "projects/web/sick").unlink()
    assert fleet.up()["changed"] is False


def test_a_restart_loop_is_reported_before_the_time_is_over(fleet: Fleet) -> None:
    (fleet.home / "projects/web/crash").touch()
    with pytest.raises(
        FleetError, match=r"unitfleet-web is not healthy: it stops as soon as it is started(.|\n)*cannot go on"
    ):
        fleet.up(timeout=300)


def test_a_changed_environment_recreates_one_spoke_and_its_configuration(fleet: Fleet) -> None:
    fleet.up()
    before = fleet.containers()
    fleet.projects[0]["environment"] = {"MODE": "fast"}
    fleet.up()
    after = fleet.containers()
    assert {name for name in before if before[name] != after[name]} == {"unitfleet-api"}
    assert '"MODE": "fast"' in (fleet.home / "state/config/api/config.json").read_text()


def test_down_keeps_projects_volumes_and_state_and_purge_keeps_projects(fleet: Fleet) -> None:
    fleet.up()
    planned = fleet.down(check=True)
    done = fleet.down()
    assert done["changes"] == planned["changes"]
    assert done["summary"] == (
        "Removed containers and networks of api, hub, web. Kept the volumes unitfleet-api, unitfleet-web; "
        f"the state directory {fleet.home}/state; the images and the project directories."
    )
    assert (fleet.containers(), fleet.networks()) == ({}, set())
    assert fleet.volumes() == {"unitfleet-api", "unitfleet-web"}
    assert (fleet.home / "state/generations/0001.json").exists()
    assert (fleet.home / "state/hub/journal").is_dir()
    assert fleet.down()["changed"] is False
    assert fleet.down(purge=True)["changed"] is True
    assert fleet.volumes() == set()
    assert not (fleet.home / "state").exists()
    assert (fleet.home / "projects/api").is_dir()


def test_purge_removes_no_directory_that_contains_a_project(fleet: Fleet) -> None:
    fleet.up()
    fleet.projects[0]["path"] = str(fleet.home / "state/project")
    with pytest.raises(FleetError, match="is not removed, because it holds"):
        fleet.down(purge=True)
    assert (fleet.home / "state/config").exists()
    fleet.projects[0]["path"] = str(fleet.home / "projects/api")


def test_two_runs_at_once_do_not_mix(fleet: Fleet) -> None:
    other = copy.copy(fleet)
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def run(who: Fleet) -> None:
        start.wait()
        try:
            who.up()
            outcomes.append("done")
        except FleetError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=run, args=(who,)) for who in (fleet, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["Another run is changing this fleet: wait until it has ended.", "done"]
    assert fleet.up()["changed"] is False
