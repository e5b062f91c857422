"""The filters pass the inventory to the modules; a project's own value precedes the profile's."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError


def test_only_a_path_is_required_and_home_is_expanded(filter_plugin: ModuleType) -> None:
    (project,) = filter_plugin.declared_projects({"api": {"project_path": "~/api/"}}, ["api"])
    assert project == {
        "id": "api",
        "path": str(Path.home() / "api"),
        "profile": None,
        "base_image": None,
        "packages": [],
        "language_servers": [],
        "known_language_servers": {},
        "tasks": {},
        "environment": {},
        "memory": None,
        "cpus": None,
        "pids": None,
        "shm_size": None,
        "max_run_time": None,
        "max_job_time": None,
        "max_jobs": None,
        "max_output": None,
        "encodings": {},
        "format_on_write": False,
        "egress": "none",
        "git_author": None,
        "secrets": {},
        "unsupported": [],
        "allow_root_owned": False,
        "sample": None,
        "expect": None,
        "groups": [],
    }


def test_dicts_of_the_project_take_precedence_by_key_and_lists_as_a_whole(filter_plugin: ModuleType) -> None:
    variables = {
        "project_path": "/srv/api",
        "profile_tasks": {"test": ["pytest"], "lint": ["ruff"]},
        "project_tasks": {"test": ["tox"]},
        "tasks": {"build": ["make"]},
        "profile_environment": {"A": "1"},
        "environment": {"A": "2"},
        "profile_language_servers": [{"command": ["pylsp"]}],
        "language_servers": [{"command": ["ty"]}],
        "profile_known_language_servers": {"pylsp": {"command": ["pylsp"]}, "ty": {"command": ["ty"]}},
        "known_language_servers": {"ty": {"command": ["my-ty"]}},
        "profile_memory": "1g",
        "profile_cpus": 1,
        "cpus": 3,
    }
    (project,) = filter_plugin.declared_projects({"api": variables}, ["api"])
    assert project["tasks"] == {"test": ["tox"], "lint": ["ruff"], "build": ["make"]}
    assert project["environment"] == {"A": "2"}
    assert project["language_servers"] == [{"command": ["ty"]}]
    assert project["known_language_servers"] == {"pylsp": {"command": ["pylsp"]}, "ty": {"command": ["my-ty"]}}
    assert (project["memory"], project["cpus"]) == ("1g", 3)


def test_an_empty_list_of_the_project_is_not_replaced_by_the_one_of_the_profile(filter_plugin: ModuleType) -> None:
    variables: dict[str, Any] = {"project_path": "/a", "language_servers": [], "profile_language_servers": [{}]}
    assert filter_plugin.declared_projects({"api": variables}, ["api"])[0]["language_servers"] == []


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"egress": "any", "secrets": {"a": "/a"}}, []),
        (
            {"read_only_paths": ["b"], "cache_paths": ["c"]},
            ["read_only_paths", "cache_paths"],
        ),
    ],
)
def test_unsupported_settings_are_reported_and_not_ignored(
    filter_plugin: ModuleType, variables: dict[str, Any], names: list[str]
) -> None:
    (project,) = filter_plugin.declared_projects({"api": {"project_path": "/a", **variables}}, ["api"])
    assert project["unsupported"] == names


@pytest.mark.parametrize(
    ("egress", "environment"),
    [
        ({}, {"OFFLINE": "1", "A": "1"}),
        ({"egress": "none"}, {"OFFLINE": "1", "A": "1"}),
        ({"egress": []}, {"OFFLINE": "1", "A": "1"}),
        ({"egress": "any"}, {"A": "1"}),
        ({"profile_egress": ["packages.example.org"]}, {"A": "1"}),
        ({"environment": {"OFFLINE": "0"}}, {"OFFLINE": "0", "A": "1"}),
    ],
)
def test_the_offline_environment_is_the_base_of_the_environment_without_an_egress(
    filter_plugin: ModuleType, egress: dict[str, Any], environment: dict[str, str]
) -> None:
    profile = {"profile_environment": {"A": "1"}, "profile_offline_environment": {"OFFLINE": "1"}}
    (project,) = filter_plugin.declared_projects({"api": {"project_path": "/a", **profile, **egress}}, ["api"])
    assert project["environment"] == environment


def test_the_home_directory_is_expanded_in_the_paths_of_secrets(filter_plugin: ModuleType) -> None:
    variables = {"project_path": "/a", "secrets": {"npmrc": "~/npmrc", "key": "/etc/key", "odd": 5}}
    (project,) = filter_plugin.declared_projects({"api": variables}, ["api"])
    assert project["secrets"] == {"npmrc": str(Path.home() / "npmrc"), "key": "/etc/key", "odd": 5}
    (odd,) = filter_plugin.declared_projects({"api": {"project_path": "/a", "secrets": ["x"]}}, ["api"])
    assert odd["secrets"] == ["x"]


def test_the_groups_of_a_host_are_passed_to_the_check_of_its_profile(filter_plugin: ModuleType) -> None:
    hostvars = {"api": {"project_path": "/a", "group_names": ["python", "rust", "spokes"]}}
    assert filter_plugin.declared_projects(hostvars, ["api"])[0]["groups"] == ["python", "rust", "spokes"]


def test_names_that_all_hosts_have_are_returned_once_and_those_of_ansible_never(filter_plugin: ModuleType) -> None:
    everywhere = {"codebuddy_port": 1, "ansible_version": {}}
    hostvars = {"localhost": everywhere, "api": {**everywhere, "memory": "1g", "ansible_host": "x"}, "web": everywhere}
    names = filter_plugin.variable_names(hostvars, ["localhost", "api", "web"])
    assert names == {"all": ["codebuddy_port"], "api": ["memory"], "web": []}


def test_a_setting_of_the_fleet_with_another_value_on_a_host_is_the_hosts_own(filter_plugin: ModuleType) -> None:
    class Written(dict[str, Any]):
        """Like Ansible's ``hostvars``, which renders values unless the raw ones are requested."""

        def raw_get(self, host: str) -> Any:
            return super().__getitem__(host)

        def __getitem__(self, host: str) -> Any:
            raise AssertionError(f"a template of {host} would be rendered")

    everywhere = {"codebuddy_port": 3000, "codebuddy_endpoint": "127.0.0.1:{{ codebuddy_port }}"}
    hostvars = Written({"localhost": everywhere, "api": {**everywhere, "codebuddy_port": 3001}, "web": everywhere})
    names = filter_plugin.variable_names(hostvars, ["api", "web"])
    assert names == {"all": ["codebuddy_endpoint", "codebuddy_port"], "api": ["codebuddy_port"], "web": []}


def test_a_variable_that_cannot_be_read_is_reported_with_its_host(filter_plugin: ModuleType) -> None:
    class Broken(dict[str, Any]):
        def get(self, _key: str, _default: Any = None) -> Any:
            raise KeyError("undefined template")

    with pytest.raises(AnsibleFilterError, match=r"host api: .*undefined template"):
        filter_plugin.declared_projects({"api": Broken()}, ["api"])


def test_each_project_gets_its_image_or_none(filter_plugin: ModuleType) -> None:
    projects = filter_plugin.with_images([{"id": "api"}, {"id": "web"}], {"api": "spoke:1"})
    assert [project["image"] for project in projects] == ["spoke:1", None]
