"""Which files of the host can be secrets: a spoke gets copies of them, and must not choose which."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.codebuddy_files import read_secret

from .declared_secrets import read_secrets
from .reading import Reader
from .sites import Site, inside

__all__ = ["secret_problems"]

_MOST_LINKS = 40  # as the kernel has it: a path with more is refused (path_resolution(7))


def secret_problems(projects: Sequence[Mapping[str, Any]], sites: Sequence[Site], state_dir: Path) -> list[str]:
    """One sentence for each file that cannot be a secret. Reads the file system, changes nothing.

    Args:
        projects: as declared; what is wrong with the values of their secrets is told by :func:`read_secrets`.
        sites: where the projects lie: their spokes can read and replace what lies there, and turn links.
        state_dir: where the copies are kept, and the keys.
    """
    return [
        f"host {project.get('id')}: the secret {name}, {path}, {why}."
        for project in projects
        for name, path in read_secrets(Reader(""), project.get("secrets") or {}).items()
        for why in _wrong(Path(path), sites, Path(os.path.realpath(state_dir)))
    ]


def _wrong(path: Path, sites: Sequence[Site], state_dir: Path) -> list[str]:
    steps = list(_steps(path))
    places = [(f"the project {site.project}", site.real) for site in sites] + [("codebuddy_state_dir", state_dir)]
    # What a spoke can turn is not even opened.
    if found := [why for name, place in places if (why := _misplaced(steps, name, place))]:
        return found
    try:
        read_secret(path)
    except ValueError as error:
        return [str(error)]
    return []


def _misplaced(steps: Sequence[Path], name: str, place: Path) -> str | None:
    """Say what is wrong with a path that enters a place; None when it does not.

    That the file itself lies elsewhere is not enough: a spoke that turns a link, or puts one in the place of a
    directory, would choose which file of the host it gets a copy of.
    """
    if steps and inside(steps[-1], place):
        return f"lies in {name}, which containers use: move it out of there"
    if any(inside(step, place) for step in steps):
        return f"is reached through {name}, which containers use and could make lead to any file: give its own path"
    return None


def _steps(path: Path) -> Iterator[Path]:
    """Give every place that the kernel comes by on its way along an absolute path, links followed; the file is last."""
    here, links = Path("/"), 0
    rest = deque(path.parts[1:])
    while rest:
        part = rest.popleft()
        if part == "..":
            here = here.parent
            continue
        yield here / part
        if not os.path.islink(here / part):
            here /= part
        elif (links := links + 1) <= _MOST_LINKS:
            target = Path(os.readlink(here / part))
            if target.is_absolute():
                here = Path("/")
            rest.extendleft(reversed(target.parts[target.is_absolute() :]))
        else:
            return
