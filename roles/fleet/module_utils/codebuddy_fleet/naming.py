"""The names, labels and host paths of a fleet's parts, and the files and mounts that all its containers use."""

from __future__ import annotations

import hashlib
from typing import Any

from .declaration import Fleet
from .plan import FLEET_LABEL, PROJECT_LABEL, File

# Paths below the state directory. wiring.yml passes them to the roles that create what lies there.
CONFIG = "config"  # holds a directory for each container, mounted as /etc/codebuddy
HUB_KEYS = "hub/keys"  # mounted in the hub: what checks tokens, and nothing that could sign one
PUBLIC_KEY = f"{HUB_KEYS}/signing.pub"
JOURNAL = "hub/journal"  # mounted in the hub, which keeps there what it needs to undo edits
TOKENS = "tokens"  # holds a directory for each project, with its spoke's token
SECRETS = "secrets"  # holds a directory for each project that declares secrets

CONFIG_MOUNT = "/etc/codebuddy"


def resource_name(fleet: Fleet, suffix: str) -> str:
    """Return the name of a container, of its network and of its volume; the suffix is an id."""
    return f"{fleet.name}-{suffix}"


def labels(fleet: Fleet, project: str) -> dict[str, str]:
    """Return the labels of what belongs to a project, or with "" to the fleet as a whole."""
    return {FLEET_LABEL: fleet.name, PROJECT_LABEL: project}


def config_dir(fleet: Fleet, suffix: str) -> str:
    """Return the directory on the host that a container mounts as ``/etc/codebuddy``."""
    return f"{fleet.state_dir}/{CONFIG}/{suffix}"


def add_file(files: dict[str, File], fleet: Fleet, path: str, content: str, mode: str = "0640") -> None:
    """Plan a file that the containers' user may read."""
    files[path] = File(path=path, content=content, mode=mode, uid=fleet.uid, gid=fleet.gid)


def bind(source: str, *, read_only: bool) -> dict[str, Any]:
    """Return the mount of a directory or file of the host."""
    return {"type": "bind", "source": source, "read_only": read_only}


def hashes(files: dict[str, File], *paths: str) -> dict[str, str]:
    """Return the hashes of files, so that a container's specification changes with the files that it mounts."""
    return {path: hashlib.sha256(files[path].content.encode()).hexdigest() for path in paths}
