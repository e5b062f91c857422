"""Plans and creates the host directories of projects, without following a link."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

IGNORED = frozenset({"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", "node_modules", "dist", "target"})
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


@dataclass(frozen=True)
class Owner:
    """The owner of everything that is created."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Setup:
    """What has to be done for one project."""

    path: Path  # the project's directory
    missing: tuple[Path, ...]  # directories to create, outermost first; the last is the project's own
    sample: Path | None  # the sample project to copy into it

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.missing or self.sample)

    def lines(self) -> Iterator[str]:
        """Yield what will be created, as the lines of a diff."""
        yield from (f"{path}/" for path in self.missing)
        if self.sample is not None:
            yield from (f"{self.path / name}" for name in _names(self.sample))


def plan(path: Path, sample: Path, wanted: bool | None = None) -> Setup:
    """Return what a project lacks; changes nothing.

    Args:
        path: the project's directory, absolute.
        sample: the sample project of its profile, which may not exist.
        wanted: True: a directory that exists gets the sample too, if it is empty; None: only one that is created does,
            because an empty one may be a mount point of what is not mounted; False: none does.

    Raises:
        NotADirectoryError: the path, or a parent of it, is not a directory.
        OSError: a directory cannot be read.
    """
    missing: list[Path] = []
    existing = path
    while not os.path.lexists(existing):
        missing.insert(0, existing)
        existing = existing.parent
    if not existing.is_dir():
        raise NotADirectoryError(20, "It is not a directory", str(existing))
    empty = wanted is not False if missing else wanted is True and not os.listdir(path)
    return Setup(path, tuple(missing), sample if empty and sample.is_dir() else None)


def apply(setup: Setup, owner: Owner) -> None:
    """Create what is missing, and copy the sample.

    Every step is relative to an open directory, follows no link and replaces nothing, so that a container that works in
    the directory at the same time cannot redirect it.

    Raises:
        OSError: something cannot be created or given to the owner, or appeared in the meantime.
    """
    for path in setup.missing:
        os.mkdir(path, 0o755)
        _hand_over(os.open(path, DIRECTORY), owner, 0o755)
    if setup.sample is not None:
        directory = os.open(setup.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _copy(setup.sample, directory, owner)
        finally:
            os.close(directory)


def _copy(source: Path, target: int, owner: Owner) -> None:
    for entry in _entries(source):
        if entry.is_dir():
            os.mkdir(entry.name, 0o755, dir_fd=target)
            directory = os.open(entry.name, DIRECTORY, dir_fd=target)
            try:
                _copy(entry, directory, owner)
            finally:
                _hand_over(directory, owner, 0o755)
        else:
            file = os.open(entry.name, NEW_FILE, 0o644, dir_fd=target)
            with os.fdopen(os.dup(file), "wb") as stream:
                stream.write(entry.read_bytes())
            _hand_over(file, owner, 0o755 if os.access(entry, os.X_OK) else 0o644)


def _hand_over(descriptor: int, owner: Owner, mode: int) -> None:
    """Set owner and mode of a new file or directory, independently of the umask, and close it."""
    try:
        os.fchown(descriptor, owner.uid, owner.gid)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _entries(directory: Path) -> list[Path]:
    return sorted(entry for entry in directory.iterdir() if entry.name not in IGNORED)


def _names(directory: Path, under: Path = Path()) -> Iterator[Path]:
    for entry in _entries(directory):
        if entry.is_dir():
            yield from _names(entry, under / entry.name)
        else:
            yield under / entry.name
