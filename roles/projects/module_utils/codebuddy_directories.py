"""Host directories of projects: what is missing, and how it is made and filled without ever following a link."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Owner", "Work", "examine", "perform"]

IGNORED = frozenset({"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", "node_modules", "dist", "target"})
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


@dataclass(frozen=True)
class Owner:
    """Whom everything that is created belongs to."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Work:
    """What has to be done for one project.

    Args:
        path: the project's directory.
        missing: directories to create, outermost first; the last is the project's own.
        sample: the sample project to copy into it, or None.
    """

    path: Path
    missing: tuple[Path, ...]
    sample: Path | None

    def __bool__(self) -> bool:
        """Say whether there is anything to do."""
        return bool(self.missing or self.sample)

    def lines(self) -> Iterator[str]:
        """Give what will have been created, a line each, as it stands in a diff."""
        yield from (f"{path}/" for path in self.missing)
        if self.sample is not None:
            yield from (f"{self.path / name}" for name in _names(self.sample))


def examine(path: Path, sample: Path) -> Work:
    """Find out what a project lacks; changes nothing.

    Args:
        path: the project's directory, absolute.
        sample: the sample project of its profile; one that does not exist is never copied.

    Raises:
        NotADirectoryError: the path, or what it should lie in, is something else than a directory.
        OSError: a directory cannot be read.
    """
    missing: list[Path] = []
    existing = path
    while not os.path.lexists(existing):
        missing.insert(0, existing)
        existing = existing.parent
    if not existing.is_dir():
        raise NotADirectoryError(20, "It is not a directory", str(existing))
    empty = bool(missing) or not os.listdir(path)
    return Work(path, tuple(missing), sample if empty and sample.is_dir() else None)


def perform(work: Work, owner: Owner) -> None:
    """Create what is missing, and copy the sample.

    Every step is relative to an open directory, takes no link for a directory, and replaces nothing: a container that
    works in the directory at the same time cannot lead it elsewhere.

    Raises:
        OSError: something cannot be created or given to the owner, or appeared in the meantime.
    """
    for path in work.missing:
        os.mkdir(path, 0o755)
        _give(os.open(path, DIRECTORY), owner, 0o755)
    if work.sample is not None:
        directory = os.open(work.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _copy(work.sample, directory, owner)
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
                _give(directory, owner, 0o755)
        else:
            file = os.open(entry.name, NEW_FILE, 0o644, dir_fd=target)
            with os.fdopen(os.dup(file), "wb") as stream:
                stream.write(entry.read_bytes())
            _give(file, owner, 0o755 if os.access(entry, os.X_OK) else 0o644)


def _give(descriptor: int, owner: Owner, mode: int) -> None:
    """Set owner and mode of what was just created (whatever the umask), and close it."""
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
