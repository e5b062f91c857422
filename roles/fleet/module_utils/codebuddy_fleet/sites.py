"""Where projects lie on the host: what is wrong with their directories, and with how they lie to each other.

Reads the file system, changes nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

__all__ = ["Site", "site_problems"]

# Never a project: what the system itself lives in. Below the first kind nothing is a project either.
_SYSTEM_TREES = tuple(Path(p) for p in ("/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/var/run"))
_SYSTEM_ROOTS = frozenset(
    Path("/", name) for name in ("", "bin", "home", "lib", "lib64", "opt", "root", "sbin", "srv", "tmp", "usr", "var")
)


@dataclass(frozen=True)
class Site:
    """A project's directory as declared: an absolute path, which may not exist yet."""

    project: str
    path: Path
    allow_root_owned: bool = False

    @property
    def real(self) -> Path:
        """The path with every link followed."""
        return Path(os.path.realpath(self.path))


def site_problems(sites: Sequence[Site], state_dir: Path, uid: int, home: Path) -> list[str]:
    """One sentence for each thing that is wrong.

    Args:
        sites: the projects with an absolute path.
        state_dir: where keys and tokens are kept; no project may hold it or lie in it.
        uid: the user that the containers run as.
        home: the home directory of the deploying user; directories below it are created with their parents.
    """
    problems = [sentence for site in sites for sentence in _alone(site, state_dir, uid, home)]
    for one, other in combinations(sites, 2):
        if one.real == other.real:
            problems.append(
                f"host {other.project}: project_path {other.path} is the directory of {one.project} too: "
                "give each project a directory of its own."
            )
        elif inside(one.real, other.real) or inside(one.path, other.path):
            problems.append(_nested(one, other))
        elif inside(other.real, one.real) or inside(other.path, one.path):
            problems.append(_nested(other, one))
    return problems


def inside(inner: Path, outer: Path) -> bool:
    """Whether ``inner`` is ``outer`` or lies below it, by name."""
    return inner == outer or outer in inner.parents


def _nested(inner: Site, outer: Site) -> str:
    return (
        f"host {inner.project}: project_path {inner.path} lies inside the one of {outer.project} ({outer.path}): "
        "move one of them, so that no project sees another."
    )


def _alone(site: Site, state_dir: Path, uid: int, home: Path) -> Iterator[str]:
    say = f"host {site.project}: project_path {site.path}"
    real, state = site.real, Path(os.path.realpath(state_dir))
    if real in _SYSTEM_ROOTS or any(inside(real, tree) for tree in _SYSTEM_TREES):
        yield f"{say} belongs to the system: give the directory of a project."
        return
    if inside(state, real) or inside(real, state):
        yield (
            f"{say} and codebuddy_state_dir {state_dir} lie in one another: "
            "move one, or the project could read the keys."
        )
    if site.path.is_symlink() and not site.path.exists():
        yield f"{say} is a link to nothing: repair the link, or give the directory itself."
    elif site.path.is_dir():
        yield from _existing(say, site, uid)
    elif site.path.exists():
        yield f"{say} is not a directory: give the directory of the project."
    else:
        yield from _missing(say, site.path, home)


def _existing(say: str, site: Site, uid: int) -> Iterator[str]:
    status = site.path.stat()
    if status.st_uid == 0 and uid != 0:
        if not site.allow_root_owned:
            yield (
                f"{say} belongs to root, but the containers run as user {uid}: give it to that user "
                f"(chown -R {uid} {site.path}) or set allow_root_owned: true for this host."
            )
    elif status.st_uid != uid and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield (
            f"{say} belongs to user {status.st_uid}, but the containers run as user {uid}, who cannot write there: "
            "set codebuddy_uid to the owner, or give the directory to that user."
        )


def _missing(say: str, path: Path, home: Path) -> Iterator[str]:
    ancestor = next(parent for parent in path.parents if os.path.lexists(parent))
    if not ancestor.is_dir():
        yield f"{say} cannot be created, because {ancestor} is not a directory: correct the path."
    elif ancestor != path.parent and not inside(ancestor, home):
        yield (
            f"{say} cannot be created, because {path.parent} does not exist: create that directory or correct the path."
        )
    elif not os.access(ancestor, os.W_OK | os.X_OK):
        yield (
            f"{say} cannot be created, because you may not write in {ancestor}: "
            "create the directory or correct the path."
        )
