"""Problems of the projects' directories on the host, alone and in relation to each other.

Reads the file system, changes nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from .mounts import Expectation, Mount, mount_of

# Directories of the system: no project may be one of them; below those of the first kind, no project may lie either.
_SYSTEM_TREES = tuple(Path(p) for p in ("/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/var/run"))
_SYSTEM_ROOTS = frozenset(
    Path("/", name) for name in ("", "bin", "home", "lib", "lib64", "opt", "root", "sbin", "srv", "tmp", "usr", "var")
)


@dataclass(frozen=True)
class ProjectPath:
    """A project's directory as declared: an absolute path, which may not exist yet."""

    project: str
    path: Path
    allow_root_owned: bool = False
    expect: Expectation | None = None

    @property
    def resolved(self) -> Path:
        """The path with every link followed."""
        return Path(os.path.realpath(self.path))


def path_problems(paths: Sequence[ProjectPath], state_dir: Path, uid: int, home: Path) -> list[str]:
    """Return one sentence for each problem.

    Args:
        paths: the projects with an absolute path.
        state_dir: the directory of keys and tokens; no project may contain it or lie in it.
        uid: the user that the containers run as.
        home: the deploying user's home; directories below it are created with their parents.
    """
    problems = [sentence for one in paths for sentence in _own_problems(one, state_dir, uid, home)]
    for one, other in combinations(paths, 2):
        if one.resolved == other.resolved:
            problems.append(
                f"host {other.project}: project_path {other.path} is the directory of {one.project} too: "
                "give each project a directory of its own."
            )
        elif is_inside(one.resolved, other.resolved) or is_inside(one.path, other.path):
            problems.append(_nested(one, other))
        elif is_inside(other.resolved, one.resolved) or is_inside(other.path, one.path):
            problems.append(_nested(other, one))
    return problems


def is_inside(inner: Path, outer: Path) -> bool:
    """Whether ``inner`` is ``outer`` or lies below it, by name."""
    return inner == outer or outer in inner.parents


def _nested(inner: ProjectPath, outer: ProjectPath) -> str:
    return (
        f"host {inner.project}: project_path {inner.path} lies inside the one of {outer.project} ({outer.path}): "
        "move one of them, so that no project sees another."
    )


def _own_problems(one: ProjectPath, state_dir: Path, uid: int, home: Path) -> Iterator[str]:
    subject = f"host {one.project}: project_path {one.path}"
    resolved, state = one.resolved, Path(os.path.realpath(state_dir))
    if resolved in _SYSTEM_ROOTS or any(is_inside(resolved, tree) for tree in _SYSTEM_TREES):
        yield f"{subject} belongs to the system: give the directory of a project."
        return
    if is_inside(state, resolved) or is_inside(resolved, state):
        yield (
            f"{subject} and codebuddy_state_dir {state_dir} lie in one another: "
            "move one, or the project could read the keys."
        )
    if one.path.is_symlink() and not one.path.exists():
        yield f"{subject} is a link to nothing: repair the link, or give the directory itself."
    elif one.expect is not None and (found := _instead(one.path, one.expect)):
        yield (
            f"{subject} is not what is expected there (expect: {one.expect}): it is {found}. Mount it, or correct "
            "expect; until then nothing is made and nothing is put there."
        )
    elif one.path.is_dir():
        yield from _owner_problems(subject, one, uid)
    elif one.path.exists():
        yield f"{subject} is not a directory: give the directory of the project."
    else:
        yield from _creation_problems(subject, one.path, home)


def mount_warnings(directories: Mapping[str, str]) -> list[str]:
    """Return one sentence for each project, by id, whose directory is on a file system that edits are refused on."""
    return [
        f"host {project}: {directory} is on a file system of the type {mount.type}, whose files do not keep "
        "their inodes: edits may be refused there; keep the project on a local disk or on NFS."
        for project, directory in sorted(directories.items())
        if (mount := _mount(directory)) is not None and not mount.keeps_inodes
    ]


def _mount(directory: str) -> Mount | None:
    try:
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None  # it is not there yet, or that is told elsewhere
    try:
        return mount_of(descriptor)
    finally:
        os.close(descriptor)


def _instead(path: Path, expect: Expectation) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return "nothing"
    except OSError as error:
        return f"a directory that cannot be opened ({error.strerror})"
    try:
        return expect.unmet(descriptor)
    except OSError as error:
        return f"a directory that cannot be looked at ({error.strerror})"
    finally:
        os.close(descriptor)


def _owner_problems(subject: str, one: ProjectPath, uid: int) -> Iterator[str]:
    status = one.path.stat()
    if status.st_uid == 0 and uid != 0:
        if not one.allow_root_owned:
            yield (
                f"{subject} belongs to root, but the containers run as user {uid}: give it to that user "
                f"(chown -R {uid} {one.path}) or set allow_root_owned: true for this host."
            )
    elif status.st_uid != uid and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield (
            f"{subject} belongs to user {status.st_uid}, but the containers run as user {uid}, who cannot write there: "
            "set codebuddy_uid to the owner, or give the directory to that user."
        )


def _creation_problems(subject: str, path: Path, home: Path) -> Iterator[str]:
    ancestor = next(parent for parent in path.parents if os.path.lexists(parent))
    reason = f"{subject} cannot be created, because"
    if not ancestor.is_dir():
        yield f"{reason} {ancestor} is not a directory: correct the path."
    elif ancestor != path.parent and not is_inside(ancestor, home):
        yield f"{reason} {path.parent} does not exist: create that directory or correct the path."
    elif not os.access(ancestor, os.W_OK | os.X_OK):
        yield f"{reason} you may not write in {ancestor}: create the directory or correct the path."
