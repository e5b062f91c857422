"""What the plan stands on besides the declaration: which directories lie at the projects' paths, and which key signs.

A container keeps the directory that it was started with when another is put in its place, and the hub the key. So these
facts are part of what it is made from: they stand in its labels, and a difference renews it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .declaration import Fleet

__all__ = ["PUBLIC_KEY", "Ground", "look"]

PUBLIC_KEY = "hub/keys/signing.pub"  # below the state directory; the hub mounts its directory and nothing else of it


@dataclass(frozen=True)
class Ground:
    """What was found on the host.

    Args:
        inodes: project id to the inode of its directory; none for one that is not there yet.
        signing_key: SHA-256 (hex) of the public key; empty when there is none yet.
    """

    inodes: Mapping[str, int] = field(default_factory=dict)
    signing_key: str = ""


def look(fleet: Fleet) -> Ground:
    """Read the facts of this host.

    The inode alone stands for a directory: device numbers may change when the machine starts anew, and an inode is not
    given away again while a container holds on to it.
    """
    inodes = {}
    for project in fleet.projects:
        try:
            inodes[project.id] = os.stat(project.path).st_ino
        except OSError:
            continue
    try:
        signing_key = hashlib.sha256((Path(fleet.state_dir) / PUBLIC_KEY).read_bytes()).hexdigest()
    except OSError:
        signing_key = ""
    return Ground(inodes, signing_key)
