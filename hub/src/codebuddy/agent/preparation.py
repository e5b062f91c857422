"""What an agent does before it serves: the home directory is prepared, and git is told what to leave aside."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path
from typing import Final

import anyio

PREPARE_HOME: Final = Path("/usr/local/lib/codebuddy/prepare-home")
"""The program of an image that makes what its tools expect in the home directory, which is empty at the first start."""

STAGED_FILES: Final = ".codebuddy-*.tmp*"
"""What matches the files that the hub stages in a project (`codebuddy.hub.edits.disk_view`)."""

_SECONDS: Final = 60.0
_MOST_BYTES: Final = 2**20

log = logging.getLogger(__name__)


async def prepare(workspace: Path, program: Path = PREPARE_HOME) -> None:
    """Prepare both. What fails is logged, because an agent can do without."""
    try:
        exclude_staged_files(workspace)
    except OSError as error:
        log.info("git is not told to leave staged files aside: %s", error)
    try:
        with anyio.fail_after(_SECONDS):
            done = await anyio.run_process([program], check=False, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    except FileNotFoundError:  # of this profile there is nothing to prepare
        return
    except (OSError, TimeoutError) as error:
        log.warning("the home directory could not be prepared: %s: %s", type(error).__name__, error)
        return
    if done.returncode != 0:
        log.warning("the home directory could not be prepared: %s", done.stdout.decode(errors="replace")[-2000:])


def exclude_staged_files(workspace: Path) -> None:
    """Add what the hub stages to the repository's own list of ignored files, which git reads on the host too.

    Raises:
        OSError: the list cannot be read or changed.
    """
    repository = workspace / ".git"
    if repository.is_symlink() or not repository.is_dir():
        return
    (repository / "info").mkdir(exist_ok=True)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(os.open(repository / "info/exclude", flags, 0o644), "rb+") as file:
        listed = file.read(_MOST_BYTES)
        if len(listed) < _MOST_BYTES and STAGED_FILES.encode() not in listed.splitlines():
            file.write(b"" if not listed or listed.endswith(b"\n") else b"\n")
            file.write(f"{STAGED_FILES}\n".encode())
