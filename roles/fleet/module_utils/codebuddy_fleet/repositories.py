"""What of a project's git repository cannot work in its spoke, which sees the project's directory and no other.

Reads a few small files of the project, which may be hostile: what they say is only shown.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from .declaration import Fleet

_WORKSPACE = "/workspace"  # where a spoke sees the project's directory
_MOST = 4096  # bytes that are read of a file
_SHOWN = 200  # characters
_CLONE = "make the project a clone of its own (git clone), or use git on this machine"


def repository_warnings(fleet: Fleet) -> list[str]:
    """Return one sentence for each project whose spoke cannot use git, or has no author for its commits."""
    warnings: list[str] = []
    nobody: list[str] = []
    for project in fleet.projects:
        directory = Path(project.path)
        if not os.path.lexists(directory / ".git"):
            continue
        if found := next(_problems(directory), None):
            warnings.append(f"host {project.id}: {found}.")
        elif not (project.git_author or fleet.git_author or _names_author(directory)):
            nobody.append(project.id)
    return warnings + _unsigned(nobody)


def _unsigned(projects: list[str]) -> list[str]:
    if not projects:
        return []
    return [
        f"host{'s' if projects[1:] else ''} {', '.join(projects)}: commits in the spoke have no author, because git on "
        "this machine knows none: set codebuddy_git_author (or git_author for one host), like "
        "Ada Lovelace <ada@example.org>."
    ]


def _problems(directory: Path) -> Iterator[str]:
    git = directory / ".git"
    if git.is_symlink():
        yield from _outside(directory, "its .git is a link to", os.readlink(git))
        return
    if not git.is_dir():
        for line in _lines(git):
            yield from _outside(directory, "its .git refers to", line.removeprefix("gitdir:").strip())
        return
    for line in _lines(git / "objects/info/alternates"):
        # Relative to the directory `objects`.
        yield from _outside(directory, "its repository takes objects from", line, git / "objects")


def _outside(directory: Path, what: str, target: str, base: Path | None = None) -> Iterator[str]:
    """Yield a sentence if a spoke does not see this path of its project."""
    seen = Path(os.path.normpath(Path(_WORKSPACE, (base or directory).relative_to(directory), target)))
    if seen != Path(_WORKSPACE) and Path(_WORKSPACE) not in seen.parents:
        yield f"{what} {target[:_SHOWN]!a}, which its spoke does not see, so git does not work there: {_CLONE}"


def _lines(path: Path) -> Iterable[str]:
    """Return the lines of a small file; none if it is none, or cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return []
        return [line for line in file.read(_MOST).decode(errors="replace").splitlines() if line.strip()]


def _names_author(directory: Path) -> bool:
    """Whether the repository's own configuration seems to name one: exact enough for a warning."""
    return any(line.split("=")[0].strip().lower() == "email" for line in _lines(directory / ".git/config"))
