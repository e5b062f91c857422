"""What the plan stands on besides the declaration: which directories lie at the projects' paths, at their secrets' and
at the journal's, and which key signs.

A container keeps the directory that it was started with when another is put in its place, and the hub the key. So these
facts are part of what it is made from: they stand in its labels, and a difference renews it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .declaration import Fleet
from .state import JOURNAL, PUBLIC_KEY, SECRETS

__all__ = ["Ground", "look"]


@dataclass(frozen=True)
class Ground:
    """What was found on the host.

    Args:
        inodes: project id to the inode of its directory; none for one that is not there yet.
        signing_key: SHA-256 (hex) of the public key; empty when there is none yet.
        journal: inode of the directory of the hub's journal; None when there is none yet.
        secrets: project id to the inode of the directory of its secrets; none for one that is not there yet.
    """

    inodes: Mapping[str, int] = field(default_factory=dict)
    signing_key: str = ""
    journal: int | None = None
    secrets: Mapping[str, int] = field(default_factory=dict)


def look(fleet: Fleet) -> Ground:
    """Read the facts of this host.

    The inode alone stands for a directory: device numbers may change when the machine starts anew, and an inode is not
    given away again while a container holds on to it.
    """
    state_dir = Path(fleet.state_dir)
    inodes = _inodes({project.id: Path(project.path) for project in fleet.projects})
    secrets = _inodes({project.id: state_dir / SECRETS / project.id for project in fleet.projects if project.secrets})
    try:
        signing_key = hashlib.sha256((state_dir / PUBLIC_KEY).read_bytes()).hexdigest()
    except OSError:
        signing_key = ""
    return Ground(inodes, signing_key, _inode(state_dir / JOURNAL), secrets)


def _inodes(directories: Mapping[str, Path]) -> dict[str, int]:
    found = {project: _inode(directory) for project, directory in directories.items()}
    return {project: inode for project, inode in found.items() if inode is not None}


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
