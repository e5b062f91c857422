"""Facts of the host that the plan depends on besides the declaration.

They are the inodes of the mounted directories, and the public key. A container keeps the directory that it was started
with when another one replaces it, and the hub keeps the key. Therefore these facts are part of the containers' labels,
and a difference recreates a container.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .declaration import Fleet
from .naming import JOURNAL, PUBLIC_KEY, SECRETS


@dataclass(frozen=True)
class HostFacts:
    """What was found on the host; what does not exist yet has no entry.

    The inode alone identifies a directory: device numbers may change when the machine restarts, and an inode is not
    reused while a container holds on to it.
    """

    inodes: Mapping[str, int] = field(default_factory=dict)  # of the projects' directories, by project id
    signing_key: str = ""  # SHA-256 (hex) of the public key
    journal: int | None = None  # inode
    secrets: Mapping[str, int] = field(default_factory=dict)  # inodes of their directories, by project id


def read_host_facts(fleet: Fleet) -> HostFacts:
    """Read the facts of this host."""
    state_dir = Path(fleet.state_dir)
    try:
        signing_key = hashlib.sha256((state_dir / PUBLIC_KEY).read_bytes()).hexdigest()
    except OSError:
        signing_key = ""
    return HostFacts(
        inodes=_inodes({project.id: Path(project.path) for project in fleet.projects}),
        signing_key=signing_key,
        journal=_inode(state_dir / JOURNAL),
        secrets=_inodes(
            {project.id: state_dir / SECRETS / project.id for project in fleet.projects if project.secrets}
        ),
    )


def _inodes(directories: Mapping[str, Path]) -> dict[str, int]:
    found = {project: _inode(directory) for project, directory in directories.items()}
    return {project: inode for project, inode in found.items() if inode is not None}


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
