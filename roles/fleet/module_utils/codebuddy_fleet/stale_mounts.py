"""Projects' directories of which a running container sees another one than the host has at that path now.

A container keeps the directory that it was started with: when another one replaces it, and when something is mounted
there, unmounted, or mounted again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import docker.errors
import requests.exceptions

from .engine import WORKERS
from .health import execute

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Absolute paths: a project may have put programs of its own first in PATH.
_LOOK = f'/usr/bin/cat {_BOOT_ID}; /usr/bin/stat --format="%d:%i %n" "$@"'
_SEEN = re.compile(r"(\d+:\d+) (/.+)")

Mounts = Mapping[str, str]  # path in the container -> path on the host


def project_mounts(mounts: Mapping[str, str]) -> dict[str, str]:
    """Return those mounts of a container that are directories of projects."""
    return {
        target: source
        for target, source in mounts.items()
        if target == "/workspace" or target.startswith("/workspaces/")
    }


def stale_mounts(client: docker.APIClient, containers: Mapping[str, Mounts]) -> dict[str, list[str]]:
    """Return for each running container, by name, the paths on the host where it sees another directory.

    Of what cannot be asked or looked at, nothing is said; nor of an engine on another kernel, which has other numbers.
    """
    with ThreadPoolExecutor(WORKERS) as pool:
        found = pool.map(lambda item: _stale(client, *item), containers.items())
        return {name: stale for name, stale in zip(containers, found, strict=True) if stale}


def _stale(client: docker.APIClient, name: str, mounts: Mounts) -> list[str]:
    here = {target: identity for target, source in mounts.items() if (identity := _identity(source))}
    if not here:
        return []
    try:
        _, output = execute(client, name, ["/bin/sh", "-c", _LOOK, "sh", *here])
    except (docker.errors.APIError, requests.exceptions.RequestException):
        return []
    boot_id, *lines = output.decode(errors="replace").splitlines() or [""]
    if boot_id != _BOOT_ID.read_text().strip():
        return []
    seen = {match[2]: match[1] for line in lines if (match := _SEEN.fullmatch(line))}
    return [mounts[target] for target, identity in here.items() if seen.get(target) != identity]


def _identity(path: str) -> str | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return f"{status.st_dev}:{status.st_ino}"
