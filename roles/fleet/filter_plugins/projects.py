"""Converts the inventory to the list of projects that the modules of this role take."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

# Settings of which a project's own value replaces the profile's.
_REPLACED = (
    "base_image",
    "memory",
    "cpus",
    "pids",
    "shm_size",
    "max_run_time",
    "max_job_time",
    "max_jobs",
    "max_output",
)
# Reserved for later: a declaration that uses one is refused, so that it is not ignored silently.
_NOT_SUPPORTED = ("read_only_paths", "cache_paths")


def declared_projects(hostvars: Mapping[str, Mapping[str, Any]], hosts: Iterable[str]) -> list[dict[str, Any]]:
    """Return the declared projects, unchecked, in the order of the inventory.

    A value of the host takes precedence over that of its profile (``profile_*``): dicts by key, lists as a whole.
    Absent limits, profile and base_image are None. An egress of ``[]`` is ``none``.

    Args:
        hostvars: Ansible's ``hostvars``.
        hosts: the inventory hosts that are projects.
    """
    return [_project(host, hostvars) for host in hosts]


def variable_names(hostvars: Mapping[str, Mapping[str, Any]], hosts: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of each host's own variables, and under ``all`` those of ``localhost``, which every host has.

    A host's own are those that ``localhost`` does not have, and settings of the fleet (``codebuddy_*``) with another
    value. Ansible's own (``ansible_*``) are omitted. No template is rendered.
    """
    # HostVars returns values without rendering them; a plain mapping has no templates.
    raw = getattr(hostvars, "raw_get", hostvars.__getitem__)
    common = raw("localhost")
    found = {"all": set(common)}
    for host in hosts:
        if host != "localhost":
            own = raw(host)
            found[host] = {
                name
                for name in own
                if name not in common or (name.startswith("codebuddy_") and own[name] != common[name])
            }
    return {host: sorted(name for name in names if not name.startswith("ansible_")) for host, names in found.items()}


def with_images(projects: Iterable[Mapping[str, Any]], references: Mapping[str, str]) -> list[dict[str, Any]]:
    """Add to each project the reference of its image, or None."""
    return [{**project, "image": references.get(project["id"])} for project in projects]


def _project(host: str, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    def first(*names: str, default: Any = None) -> Any:
        return next((variables[name] for name in names if variables.get(name) is not None), default)

    try:
        variables = hostvars[host]
        path = first("project_path")
        egress = first("egress", "profile_egress", default="none")
        egress = "none" if egress == [] else egress
        # Variables that keep package managers from trying to reach a registry.
        offline = ("profile_offline_environment",) if egress == "none" else ()
        return {
            "id": host,
            "path": os.path.normpath(os.path.expanduser(path)) if isinstance(path, str) and path else path,
            "profile": first("project_profile"),
            **{name: first(name, f"profile_{name}") for name in _REPLACED},
            "packages": first("packages", "profile_packages", default=[]),
            "language_servers": first("language_servers", "profile_language_servers", default=[]),
            "known_language_servers": _merged(variables, "profile_known_language_servers", "known_language_servers"),
            "tasks": _merged(variables, "profile_tasks", "project_tasks", "tasks"),
            "environment": _merged(variables, *offline, "profile_environment", "project_environment", "environment"),
            "encodings": _merged(variables, "profile_encodings", "encodings"),
            "format_on_write": first("format_on_write", "profile_format_on_write", default=False),
            "egress": egress,
            "git_author": first("git_author", "profile_git_author"),
            "secrets": _expanded(first("secrets", default={})),
            "unsupported": [name for name in _NOT_SUPPORTED if variables.get(name)],
            "allow_root_owned": first("allow_root_owned", default=False),
            "sample": first("sample"),
            "expect": first("expect"),
            "groups": list(first("group_names", default=[])),
        }
    except AnsibleFilterError:
        raise
    except Exception as error:  # a file or template of the inventory can fail in any way; the message names its host
        where = "its variables (in the inventory, host_vars or group_vars)"
        raise AnsibleFilterError(f"host {host}: {where} cannot be read: {error}") from error


def _expanded(files: Any) -> Any:
    """Expand ``~`` in the paths of a dict. Any other value is returned unchanged, for the validation to refuse."""
    if not isinstance(files, Mapping):
        return files
    return {name: os.path.expanduser(path) if isinstance(path, str) else path for name, path in files.items()}


def _merged(variables: Mapping[str, Any], *names: str) -> Any:
    """Merge dicts by key, later ones taking precedence. Any other value is returned, for the validation to refuse."""
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
    """Registers the filters."""

    def filters(self) -> dict[str, Any]:
        return {
            "declared_projects": declared_projects,
            "variable_names": variable_names,
            "with_images": with_images,
        }
