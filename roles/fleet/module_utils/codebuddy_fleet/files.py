"""The files of a fleet on the host: written as a whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from .plan import File

__all__ = ["make_directory", "read_files", "remove_file", "write_atomically", "write_file"]


def read_files(state_dir: Path) -> dict[str, File]:
    """Every configuration file below the state directory, as it is."""
    found = {}
    for directory, _, names in os.walk(state_dir / "config"):
        for name in names:
            path = Path(directory, name)
            status = path.lstat()
            content = path.read_bytes().decode(errors="backslashreplace") if stat.S_ISREG(status.st_mode) else ""
            mode = f"{stat.S_IMODE(status.st_mode):04o}" if stat.S_ISREG(status.st_mode) else "not a file"
            found[str(path)] = File(path=str(path), content=content, mode=mode, uid=status.st_uid, gid=status.st_gid)
    return found


def make_directory(path: Path, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Create the directory with these rights if it is missing; an existing one keeps its own, except for the owner."""
    with suppress(FileExistsError):  # files are written at the same time, so another one's writer may be first
        path.mkdir(mode=mode)
        path.chmod(mode)
    if owner is not None:
        _own(path, owner)


def write_file(state_dir: Path, file: File) -> None:
    """Put the file in place, with its owner and mode, and make its directory so that the same user can enter it."""
    path, mode, owner = Path(file.path), int(file.mode, 8), (file.uid, file.gid)
    config = state_dir / "config"
    make_directory(state_dir, 0o700)
    make_directory(config, 0o755)
    if path.parent != config:
        make_directory(path.parent, mode | (mode & 0o444) >> 2, owner)
    write_atomically(path, file.content, mode, owner)


def write_atomically(path: Path, content: str, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Replace the file in one step: a reader, or a crash, meets the old one or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, mode)
        if owner is not None:
            _own(Path(temporary), owner)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def remove_file(path: Path) -> None:
    """Remove the file, and its directory when that was the last one in it."""
    with suppress(FileNotFoundError):
        path.unlink()
    with suppress(OSError):
        path.parent.rmdir()


def _own(path: Path, owner: tuple[int, int]) -> None:
    status = path.stat()
    if (status.st_uid, status.st_gid) != owner:
        os.chown(path, *owner)
