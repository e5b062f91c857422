"""The configuration files of a fleet on the host."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.codebuddy_files import write_atomically

from .plan import File


def read_files(state_dir: Path) -> dict[str, File]:
    """Return every configuration file below the state directory, by path."""
    found = {}
    for directory, _, names in os.walk(state_dir / "config"):
        for name in names:
            path = Path(directory, name)
            status = path.lstat()
            is_file = stat.S_ISREG(status.st_mode)
            found[str(path)] = File(
                path=str(path),
                content=path.read_bytes().decode(errors="backslashreplace") if is_file else "",
                mode=f"{stat.S_IMODE(status.st_mode):04o}" if is_file else "not a file",
                uid=status.st_uid,
                gid=status.st_gid,
            )
    return found


def make_directory(path: Path, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Create a directory with this mode if it is missing; an existing one keeps its mode, but gets the owner."""
    with suppress(FileExistsError):  # files are written in parallel, so another thread may be first
        path.mkdir(mode=mode)
        path.chmod(mode)
    if owner is not None:
        _set_owner(path, owner)


def write_file(state_dir: Path, file: File) -> None:
    """Write a file with its owner and mode, in a directory that the same user can enter."""
    path, mode, owner = Path(file.path), int(file.mode, 8), (file.uid, file.gid)
    config = state_dir / "config"
    make_directory(state_dir, 0o700)
    make_directory(config, 0o755)
    if path.parent != config:
        make_directory(path.parent, mode | (mode & 0o444) >> 2, owner)

    def prepare(temporary: Path) -> None:
        temporary.chmod(mode)
        _set_owner(temporary, owner)

    write_atomically(path, file.content.encode(), prepare)


def remove_file(path: Path) -> None:
    """Remove a file, and its directory if that is empty then."""
    with suppress(FileNotFoundError):
        path.unlink()
    with suppress(OSError):
        path.parent.rmdir()


def _set_owner(path: Path, owner: tuple[int, int]) -> None:
    status = path.stat()
    if (status.st_uid, status.st_gid) != owner:
        os.chown(path, *owner)
