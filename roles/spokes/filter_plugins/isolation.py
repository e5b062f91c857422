"""Filters of the spokes role: what a spoke must not be able to reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["FilterModule", "foreign_addresses", "foreign_paths"]


def foreign_addresses(gathered: Mapping[str, Any], own: str) -> list[str]:
    """Give every address of the fleet that a spoke has no business with.

    Args:
        gathered: the fleet as ``codebuddy_fleet`` finds it.
        own: the spoke's container, which is its network's name too.

    Returns:
        The gateways of all networks, and the addresses of all containers on other networks than its own. What is left
        out is who is on the spoke's own network: itself, the hub, and its proxy where it has one.
    """
    gateways = {network["gateway"] for network in gathered["networks"].values()}
    attached = [entry for container in gathered["containers"].values() for entry in container["networks"].items()]
    return sorted(gateways | {entry["address"] for network, entry in attached if network != own})


def foreign_paths(projects: Iterable[Mapping[str, Any]], own: str) -> list[str]:
    """Give the directories of all other projects, as the host and as the hub names them."""
    others = [project for project in projects if project["id"] != own]
    return sorted({project["path"] for project in others} | {f"/workspaces/{project['id']}" for project in others})


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give the filters by name."""
        return {"foreign_addresses": foreign_addresses, "foreign_paths": foreign_paths}
