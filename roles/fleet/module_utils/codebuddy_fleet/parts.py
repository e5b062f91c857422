"""What hub, spokes and proxies have in common besides being sealed: names, labels, configuration files, mounts."""

from __future__ import annotations

import hashlib
from typing import Any

from .declaration import Fleet
from .plan import FLEET_LABEL, PROJECT_LABEL, File
from .state import CONFIG

__all__ = ["CONFIG_MOUNT", "add_file", "bind", "config_dir", "hashes", "labels", "part_name"]

CONFIG_MOUNT = "/etc/codebuddy"


def part_name(fleet: Fleet, suffix: str) -> str:
    """Name a container, with its network and volume: after the fleet, and the hub, a project or a project's proxy."""
    return f"{fleet.name}-{suffix}"


def labels(fleet: Fleet, project: str) -> dict[str, str]:
    """Give the labels of what belongs to a project, or with "" to the fleet as a whole."""
    return {FLEET_LABEL: fleet.name, PROJECT_LABEL: project}


def config_dir(fleet: Fleet, suffix: str) -> str:
    """Give the directory on the host that a container has as ``/etc/codebuddy``."""
    return f"{fleet.state_dir}/{CONFIG}/{suffix}"


def add_file(files: dict[str, File], fleet: Fleet, path: str, content: str) -> None:
    """Plan a file that the containers' user may read."""
    files[path] = File(path=path, content=content, mode="0640", uid=fleet.uid, gid=fleet.gid)


def bind(source: str, *, read_only: bool) -> dict[str, Any]:
    """Mount a directory or file of the host."""
    return {"type": "bind", "source": source, "read_only": read_only}


def hashes(files: dict[str, File], *paths: str) -> dict[str, str]:
    """Give what makes a container differ when one of its files does."""
    return {path: hashlib.sha256(files[path].content.encode()).hexdigest() for path in paths}
