"""The targets of the Makefile, on the deployed fleet."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from codebuddy_testing.deployment import PROXIES, ROOT, Deployment
from codebuddy_testing.waiting import wait_until


def test_a_plan_right_after_a_deployment_is_empty(fleet: Deployment) -> None:
    done = fleet.make("plan")
    assert done.returncode == 0, done.stdout
    assert set(re.findall(r"changed=(\d+)", done.stdout)) == {"0"}
    assert "+++" not in done.stdout
    assert "Nothing would change in hub and spokes." in done.stdout


def test_make_token_prints_only_a_token_for_the_requested_projects(fleet: Deployment) -> None:
    done = fleet.make("token", "PROJECT=project-b", "SCOPES=read", "TTL=5m")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    document = fleet.get("/health", done.stdout.strip()).json()
    assert list(document["projects"]) == ["project-b"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["PROJECT=nope"], "There is no project nope; declared are project-a, project-b, project-c."),
        (["SCOPES=admin"], "admin"),
        (["TOOLS=few"], "TOOLS=few must be all or lean."),
        (["TTL=soon"], "The lifetime 'soon' is not a time"),
        (["PROJECT=$(touch /tmp/codebuddy-ran)"], "There is no project"),
    ],
)
def test_make_token_with_wrong_arguments_fails_and_prints_nothing_on_stdout(
    fleet: Deployment, arguments: list[str], sentence: str
) -> None:
    done = fleet.make("token", **dict(argument.split("=", 1) for argument in arguments))
    assert done.returncode != 0
    assert done.stdout == ""
    assert sentence in " ".join(done.stderr.split())
    assert not Path("/tmp/codebuddy-ran").exists()


@pytest.mark.parametrize(
    ("client", "servers", "address"),
    [
        ("vscode", "servers", "url"),
        ("cursor", "mcpServers", "url"),
        ("windsurf", "mcpServers", "serverUrl"),
        ("zed", "context_servers", "url"),
        ("jetbrains", "mcpServers", "url"),
    ],
)
def test_make_client_config_prints_only_json_that_names_this_fleet(
    fleet: Deployment, client: str, servers: str, address: str
) -> None:
    done = fleet.make("client-config", CLIENT=client, PROJECT="project-a")
    assert done.returncode == 0, done.stderr
    server = json.loads(done.stdout)[servers][fleet.name]
    assert server[address] == f"http://127.0.0.1:{fleet.port}/mcp"
    token = server["headers"]["Authorization"].removeprefix("Bearer ")
    if client in ("zed", "jetbrains"):
        assert "It contains a token" in done.stderr
    else:
        # No token lies in the file; the note's command prints the one to put into the environment.
        assert token == "${env:CODEBUDDY_TOKEN}"
        command = done.stderr.partition("export CODEBUDDY_TOKEN=$(")[2].rpartition(")")[0]
        token = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.strip()
    assert list(fleet.get("/health", token).json()["projects"]) == ["project-a"]


def test_the_configuration_of_claude_desktop_starts_a_program_that_needs_no_token(fleet: Deployment) -> None:
    done = fleet.make("client-config")
    server = json.loads(done.stdout)["mcpServers"][fleet.name]
    assert server["args"] == ["-I", str(fleet.state / "codebuddy-stdio.py"), f"{fleet.name}-hub"]
    environment = {name: value for name, value in os.environ.items() if name != "PATH"}
    command = [server["command"], *server["args"]]
    started = subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, check=False)
    assert started.returncode == 0


def test_make_status_prints_a_line_for_each_container(fleet: Deployment) -> None:
    done = fleet.make("status")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert sorted(lines) == sorted(["hub", *fleet.projects, *PROXIES.values()])
    assert all(line.endswith("yes") for line in lines.values())
    assert all(" Up " in line and "healthy" not in line for line in lines.values())


def test_make_status_of_a_fleet_that_is_down_fails_and_names_the_command_that_deploys_it(fleet: Deployment) -> None:
    done = fleet.make("status", "ARGS=-e codebuddy_fleet_name=cbnone")
    assert done.returncode != 0
    expected = "The fleet cbnone is not up; bring it up with: make up INVENTORY=molecule/inventory.yml\n"
    assert done.stdout == expected


def _is_healthy(fleet: Deployment, part: str) -> bool:
    state = fleet.container(part).attrs["State"]
    return fleet.get("/health").status_code == 200 and state["Health"]["Status"] == "healthy"


def test_make_status_fails_if_a_project_is_not_ready_and_still_prints_the_table(fleet: Deployment) -> None:
    spoke = fleet.container("project-b")
    spoke.pause()
    try:
        done = fleet.make("status")
    finally:
        spoke.unpause()
        # The engine calls a container that was paused unhealthy until its next health check.
        wait_until(lambda: _is_healthy(fleet, "project-b"), "project-b is healthy again")
    assert done.returncode != 0
    ready = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert "no: " in ready["project-b"]
    assert ready["project-a"].endswith("yes")


def test_ansible_connects_to_the_spokes_as_hosts(fleet: Deployment) -> None:
    inventories = ["-i", "inventory/defaults.yml", "-i", "molecule/inventory.yml"]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible")), *inventories, "spokes", "-m", "ansible.builtin.ping"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("SUCCESS") == len(fleet.projects), done.stdout


def test_an_inventory_that_cannot_be_read_changes_nothing(fleet: Deployment) -> None:
    done = subprocess.run(
        ["make", "plan", "INVENTORY=no/such/inventory.yml"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "PLAY" not in done.stdout


def test_two_projects_with_one_directory_are_refused_before_anything_is_changed(
    fleet: Deployment, tmp_path: Path
) -> None:
    inventory = tmp_path / "hosts.yml"
    both = {f"same-{side}": {"project_path": str(fleet.path("project-b"))} for side in "ab"}
    inventory.write_text(json.dumps({"python": {"hosts": both}}))
    done = subprocess.run(
        ["make", "up", f"INVENTORY={inventory}", "ARGS=-e codebuddy_fleet_name=cbsame"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "same-a" in done.stdout
    assert "same-b" in done.stdout
    assert (done.stdout + done.stderr).count("is the directory of") == 1
    assert "changed=0" in done.stdout
    assert not fleet.engine.containers.list(all=True, filters={"label": "codebuddy.fleet=cbsame"})


def test_only_its_owner_can_read_the_state_directory(fleet: Deployment) -> None:
    assert stat.S_IMODE(fleet.state.stat().st_mode) == 0o700
    assert stat.S_IMODE((fleet.state / "keys/signing.key").stat().st_mode) == 0o600
