"""How Ansible reads an inventory: nothing is lost silently, and hints refer to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.codebuddy_fleet import naming

ROOT = Path(__file__).parents[3]


def run(program: str, inventory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    sources = ["-i", str(ROOT / "inventory/defaults.yml"), "-i", str(inventory)]
    return subprocess.run(
        [str(Path(sys.executable).with_name(program)), *sources, *arguments],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **environment},
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yml"
    path.write_text("python:\n  hosts:\n    one: {project_path: /tmp/one}\n")
    return path


def test_a_group_declared_twice_is_refused_with_its_file_and_name(inventory: Path) -> None:
    with inventory.open("a") as stream:
        stream.write("python:\n  hosts:\n    two: {project_path: /tmp/two}\n")
    done = run("ansible-inventory", inventory, "--list")
    assert done.returncode != 0
    assert "Found duplicate mapping key 'python'" in done.stderr
    assert f"{inventory}:4:1" in done.stderr


def test_a_setting_that_a_host_has_twice_is_refused_with_host_and_name(inventory: Path, tmp_path: Path) -> None:
    variables = tmp_path / "host_vars/one.yml"
    variables.parent.mkdir()
    variables.write_text("memory: 1g\nmemory: 3g\n")
    done = run("ansible", inventory, "localhost", "-m", "ansible.builtin.debug", "-a", "var=codebuddy_projects")
    assert done.returncode != 0
    # Ansible names the file only if it is the one with the hosts.
    told = " ".join((done.stdout + done.stderr).split())
    assert "host one: its variables (in the inventory, host_vars or group_vars) cannot be read" in told
    assert "Found duplicate mapping key 'memory'" in told


@pytest.mark.parametrize(
    ("given", "ending"),
    [
        ({}, ""),
        ({"INVENTORY": "inventory/"}, ""),
        ({"INVENTORY": "/srv/my fleet.yml"}, " INVENTORY='/srv/my fleet.yml'"),
        ({"INVENTORY": "~/mine", "HOME": "/home/me"}, " INVENTORY=/home/me/mine"),
    ],
)
def test_commands_in_hints_use_the_given_inventory(
    inventory: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], ending: str
) -> None:
    monkeypatch.delenv("INVENTORY", raising=False)
    asked = ["localhost", "-m", "ansible.builtin.debug", "-a", "var=hub_up_command"]
    done = run("ansible", inventory, *asked, ANSIBLE_CALLBACK_RESULT_FORMAT="json", **given)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout[done.stdout.index("{") :])["hub_up_command"] == f"make up{ending}"


def test_the_roles_create_the_directories_that_the_plan_mounts() -> None:
    wiring = yaml.safe_load((ROOT / "inventory/group_vars/all/wiring.yml").read_text())
    told = {name: str(path).removeprefix("{{ codebuddy_state_path }}/") for name, path in wiring.items()}
    assert told["hub_public_key"] == naming.PUBLIC_KEY
    assert told["hub_journal_dir"] == naming.JOURNAL
    assert told["spokes_tokens_dir"] == naming.TOKENS
    assert told["spokes_secrets_dir"] == naming.SECRETS


@pytest.mark.parametrize("profile", ["typescript", "python", "rust", "go", "cpp"])
def test_a_program_that_is_installed_in_a_spoke_never_takes_the_place_of_a_language_server(profile: str) -> None:
    servers = yaml.safe_load((ROOT / f"inventory/group_vars/{profile}.yml").read_text())[
        "profile_known_language_servers"
    ]
    commands = [server["command"][0] for server in servers.values()]
    assert commands
    assert all(command.startswith(("/usr/", "/opt/")) for command in commands)
    if profile == "python":  # they look for a project's own environment, unless a variable names another one
        assert all(servers[name]["environment"] == {"VIRTUAL_ENV": ""} for name in ("ty", "basedpyright", "pylsp"))
