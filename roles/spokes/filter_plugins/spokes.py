"""Filters of the spokes role: what spokes are given, and what they must not be able to reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Projects = Iterable[Mapping[str, Any]]


def link_tokens(projects: Projects, directory: str) -> list[dict[str, Any]]:
    """Return the tokens for ``codebuddy_token``: each covers one project, and has a directory of its own."""
    return [
        {"dest": f"{directory}/{project['id']}/token", "subject": project["id"], "projects": [project["id"]]}
        for project in projects
    ]


def projects_secrets(projects: Projects) -> list[dict[str, Any]]:
    """Return the projects for ``codebuddy_secrets``: id and secrets of each that has some."""
    return [{"id": project["id"], "secrets": project["secrets"]} for project in projects if project.get("secrets")]


def foreign_addresses(gathered: Mapping[str, Any], own: str) -> list[str]:
    """Return every address of the fleet that a spoke must not reach.

    These are the gateways of all networks, and the addresses of all containers on other networks than its own. Only the
    spoke itself, the hub and, if it has one, its proxy are on its own.

    Args:
        gathered: the fleet, as ``codebuddy_fleet`` returns it.
        own: the name of the spoke's container and network.
    """
    gateways = {network["gateway"] for network in gathered["networks"].values()}
    attached = [entry for container in gathered["containers"].values() for entry in container["networks"].items()]
    return sorted(gateways | {entry["address"] for network, entry in attached if network != own})


def foreign_paths(projects: Projects, own: str) -> list[str]:
    """Return the directories of all other projects, on the host and in the hub."""
    others = [project for project in projects if project["id"] != own]
    return sorted({project["path"] for project in others} | {f"/workspaces/{project['id']}" for project in others})


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        functions: list[Callable[..., Any]] = [link_tokens, projects_secrets, foreign_addresses, foreign_paths]
        return {function.__name__: function for function in functions}
