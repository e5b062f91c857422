"""Shapes the inventory into the list of projects that the modules of this role take."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

__all__ = ["FilterModule", "declared_projects", "variable_names", "with_images"]

_RUN_LIMITS = ("max_run_time", "max_job_time", "max_jobs", "max_output")
# Named in the documentation, but not built yet: a declaration that uses one is refused, never silently ignored.
_NOT_SUPPORTED = ("read_only_paths", "cache_paths")


def declared_projects(hostvars: Mapping[str, Mapping[str, Any]], hosts: Iterable[str]) -> list[dict[str, Any]]:
    """Give the declared projects, in the order of the inventory.

    Args:
        hostvars: Ansible's ``hostvars``.
        hosts: the inventory hosts that are projects.

    Returns:
        One dict for each host: id, path, profile, base_image, packages, language_servers (as chosen),
        known_language_servers (to choose from), tasks, environment, memory, cpus, pids, max_run_time, max_job_time,
        max_jobs, max_output, format_on_write, egress, secrets, unsupported, allow_root_owned, groups. Absent limits,
        profile and base_image are None. Nothing is checked.

    A value of the host wins over the one of its profile (``profile_*``): dicts by key, lists as a whole. An empty list
    of host names to reach is ``none``.
    """
    return [_project(host, hostvars) for host in hosts]


def variable_names(hostvars: Mapping[str, Mapping[str, Any]], hosts: Iterable[str]) -> dict[str, list[str]]:
    """Give the names of each host's own variables; under ``all`` those that every host has, as ``localhost`` has them.

    A host's own are those that ``localhost`` does not have, and the fleet's settings (``codebuddy_*``) that it has in
    another form. Ansible's own (``ansible_*``) are left out. No template is rendered.
    """
    # HostVars gives values as they are written; a plain mapping has no others.
    written = getattr(hostvars, "raw_get", hostvars.__getitem__)
    everywhere = written("localhost")
    found = {"all": set(everywhere)}
    for host in hosts:
        if host != "localhost":
            own = written(host)
            found[host] = {name for name in own if name not in everywhere or _differs(name, own, everywhere)}
    return {host: sorted(name for name in names if not name.startswith("ansible_")) for host, names in found.items()}


def with_images(projects: Iterable[Mapping[str, Any]], references: Mapping[str, str]) -> list[dict[str, Any]]:
    """Add to each project the reference of its image (None where there is none)."""
    return [{**project, "image": references.get(project["id"])} for project in projects]


def _project(host: str, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    def first(*names: str, default: Any = None) -> Any:
        return next((variables[name] for name in names if variables.get(name) is not None), default)

    try:
        variables = hostvars[host]
        path = first("project_path")
        egress = first("egress", "profile_egress", default="none")
        egress = "none" if egress == [] else egress
        # What tells package managers that they need not try.
        offline = ("profile_offline_environment",) if egress == "none" else ()
        return {
            "id": host,
            "path": os.path.normpath(os.path.expanduser(path)) if isinstance(path, str) and path else path,
            "profile": first("project_profile"),
            "base_image": first("base_image", "profile_base_image"),
            "packages": first("packages", "profile_packages", default=[]),
            "language_servers": first("language_servers", "profile_language_servers", default=[]),
            "known_language_servers": _merged(variables, "profile_known_language_servers", "known_language_servers"),
            "tasks": _merged(variables, "profile_tasks", "project_tasks", "tasks"),
            "environment": _merged(variables, *offline, "profile_environment", "project_environment", "environment"),
            "memory": first("memory", "profile_memory"),
            "cpus": first("cpus", "profile_cpus"),
            "pids": first("pids", "profile_pids"),
            **{name: first(name, f"profile_{name}") for name in _RUN_LIMITS},
            "format_on_write": first("format_on_write", "profile_format_on_write", default=False),
            "egress": egress,
            "secrets": _expanded(first("secrets", default={})),
            "unsupported": [name for name in _NOT_SUPPORTED if variables.get(name)],
            "allow_root_owned": first("allow_root_owned", default=False),
            "groups": list(first("group_names", default=[])),
        }
    except AnsibleFilterError:
        raise
    except Exception as error:  # a file or template of the inventory may be wrong in any way: say whose it is
        where = "its variables (in the inventory, host_vars or group_vars)"
        raise AnsibleFilterError(f"host {host}: {where} cannot be read: {error}") from error


def _differs(name: str, own: Mapping[str, Any], everywhere: Mapping[str, Any]) -> bool:
    return name.startswith("codebuddy_") and own[name] != everywhere[name]


def _expanded(files: Any) -> Any:
    """Expand ``~`` in the paths of a dict; what is no dict is passed on and refused later."""
    if not isinstance(files, Mapping):
        return files
    return {name: os.path.expanduser(path) if isinstance(path, str) else path for name, path in files.items()}


def _merged(variables: Mapping[str, Any], *names: str) -> Any:
    """Merge the dicts of these names, later ones winning by key; what is no dict is passed on and refused later."""
    result: dict[str, Any] = {}
    for name in names:
        value = variables.get(name)
        if value is None:
            continue
        if not isinstance(value, Mapping):
            return value
        result.update(value)
    return result


class FilterModule:
    """Makes the functions known to Ansible."""

    def filters(self) -> dict[str, Any]:
        return {
            "declared_projects": declared_projects,
            "variable_names": variable_names,
            "with_images": with_images,
        }
