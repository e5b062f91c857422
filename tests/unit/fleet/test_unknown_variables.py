"""The names of variables: settings are known, misspelled ones are reported, the user's own variables are accepted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.codebuddy_fleet.declaration import FLEET_SETTINGS
from ansible.module_utils.codebuddy_fleet.unknown_variables import (
    FLEET_VARIABLES,
    PROJECT_VARIABLES,
    variable_problems,
    variable_warnings,
)

ROOT = Path(__file__).parents[3]
INVENTORY = ROOT / "inventory"


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def test_the_settings_of_the_fleet_are_those_with_a_default_and_the_profiles() -> None:
    assert set(read(INVENTORY / "defaults.yml")["all"]["vars"]) | {"codebuddy_profiles"} == FLEET_VARIABLES


def test_the_wiring_passes_every_setting_that_the_fleet_role_reads() -> None:
    passed = read(INVENTORY / "group_vars/all/wiring.yml")["fleet_settings"]
    assert {f"codebuddy_{'fleet_name' if key == 'name' else key}" for key in passed} == FLEET_SETTINGS


def test_each_documented_setting_of_a_project_is_known() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|", (ROOT / "docs/projects.md").read_text().split("## Language servers")[0], re.MULTILINE
    )
    assert {"project_path", "memory", "allow_root_owned"} <= set(rows) - {"typescript"}
    assert set(rows) - {"typescript", "python", "rust", "go", "cpp"} <= PROJECT_VARIABLES


def test_no_variable_of_this_repository_is_reported() -> None:
    ours = {"all": [*read(INVENTORY / "defaults.yml")["all"]["vars"], *read(INVENTORY / "group_vars/all/wiring.yml")]}
    for path in INVENTORY.glob("group_vars/*.yml"):
        ours[path.stem] = list(read(path))
    for path in (ROOT / "molecule/inventory.yml", ROOT / "molecule/languages/inventory.yml"):
        groups = read(path)
        ours["all"] += groups.pop("all", {}).get("vars", {})
        for name, group in groups.items():
            ours[f"{path.parent.name} {name}"] = [*group.get("vars", {})]
            ours |= {f"{path.parent.name} {host}": list(own or {}) for host, own in group.get("hosts", {}).items()}
    assert variable_problems(ours) == []
    assert variable_warnings(ours) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("codebuddy_prot", "codebuddy_port"),
        ("codebuddy_adress_pool", "codebuddy_address_pool"),
        ("codebuddy_state", "codebuddy_state_dir"),
        ("project_pth", "project_path"),
        ("project_task", "project_tasks"),
        ("project_memory", "memory"),
        ("project_enviroment", "project_environment"),
        ("project_language_servers", "language_servers"),
    ],
)
def test_an_unknown_name_with_a_reserved_prefix_is_refused_with_the_most_similar_setting(name: str, meant: str) -> None:
    assert variable_problems({"api": [name]}) == [f"host api: {name} is not a setting; did you mean {meant}?"]


def test_an_unknown_name_similar_to_no_setting_is_refused_with_the_known_ones() -> None:
    (problem,) = variable_problems({"api": ["project_zzz"]})
    assert problem.startswith("host api: project_zzz is not a setting: use one of project_environment, project_path,")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("memmory", "memory"),
        ("memroy", "memory"),
        ("cpu", "cpus"),
        ("enviroment", "environment"),
        ("langauge_servers", "language_servers"),
        ("package", "packages"),
        ("profile_memmory", "profile_memory"),
    ],
)
def test_a_name_that_is_nearly_a_setting_is_warned_of_and_not_refused(name: str, meant: str) -> None:
    (doubt,) = variable_warnings({"api": [name]})
    assert doubt == f"host api: {name} is not a setting and has no effect; did you mean {meant}?"
    assert variable_problems({"api": [name]}) == []


@pytest.mark.parametrize(
    "name",
    ["team", "memory_limit", "docker_image", "group_names", "inventory_hostname", "role_path", "profile_rust_analyzer"],
)
def test_a_variable_of_the_users_own_is_accepted(name: str) -> None:
    assert variable_problems({"api": [name], "all": [name]}) == []
    assert variable_warnings({"api": [name], "all": [name]}) == []


def test_a_name_is_reported_once_with_all_its_hosts() -> None:
    assert variable_warnings({"all": [], "api": ["memmory"], "web": ["memmory"]})[0].startswith(
        "hosts api, web: memmory"
    )
    assert variable_problems({"all": ["codebuddy_prot"], "api": ["codebuddy_prot"]}) == [
        "fleet: codebuddy_prot is not a setting; did you mean codebuddy_port?"
    ]


def test_a_setting_of_the_fleet_at_a_project_is_refused_with_where_it_belongs() -> None:
    variables = {"all": ["codebuddy_port"], "api": ["codebuddy_port"], "web": ["codebuddy_egress_networks", "memory"]}
    assert variable_problems(variables) == [
        "host web: codebuddy_egress_networks is a setting of the fleet and has no effect on one project: "
        "move it to all: {vars: {codebuddy_egress_networks: ...}}.",
        "host api: codebuddy_port is a setting of the fleet and has no effect on one project: "
        "move it to all: {vars: {codebuddy_port: ...}}.",
    ]
