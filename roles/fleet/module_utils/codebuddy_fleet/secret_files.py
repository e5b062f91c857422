"""The secrets that a project declares: names, and files of the host that its spoke receives copies of.

A spoke must not be able to choose which file of the host is copied. Messages never show a wrong value, because it may
be the secret itself, written where its path belongs.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.codebuddy_files import read_secret

from .problem_collector import ProblemCollector
from .project_paths import ProjectPath, is_inside

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")
_MOST_LINKS = 40  # the kernel refuses a path with more (path_resolution(7))


def read_secrets(collector: ProblemCollector, value: Any) -> dict[str, str]:
    """Return the path of each secret's file on the host by the secret's name; wrong ones are left out."""
    if not isinstance(value, dict):
        collector.add("secrets must map names to files, like {npmrc: ~/.config/my-service/npmrc}.")
        return {}
    found: dict[str, str] = {}
    for name, path in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            collector.add(
                f"secrets has the name {name!r}, which is not a file's: "
                "use at most 63 letters, digits, '.', '_' and '-', and no '.' or '-' first."
            )
        elif not isinstance(path, str) or not os.path.isabs(path):
            collector.add(
                f"secrets gives {name} no absolute path: "
                "write the path of the file that holds it (or one that begins with ~), not the secret itself."
            )
        elif "\0" in path or "\n" in path:
            collector.add(f"secrets gives {name} a path with a line break or NUL character in it: rename the file.")
        else:
            found[name] = path
    return found


def secret_problems(projects: Sequence[Mapping[str, Any]], paths: Sequence[ProjectPath], state_dir: Path) -> list[str]:
    """Return one sentence for each declared file that cannot be a secret. Reads the file system, changes nothing.

    Args:
        projects: as declared.
        paths: the projects' directories, whose content their spokes can read and replace.
        state_dir: the directory of the copies and of the keys.
    """
    return [
        f"host {project.get('id')}: the secret {name}, {path}, {problem}."
        for project in projects
        for name, path in read_secrets(ProblemCollector(""), project.get("secrets") or {}).items()
        for problem in _file_problems(Path(path), paths, Path(os.path.realpath(state_dir)))
    ]


def _file_problems(path: Path, paths: Sequence[ProjectPath], state_dir: Path) -> list[str]:
    steps = list(_resolution_steps(path))
    forbidden = [(f"the project {one.project}", one.resolved) for one in paths] + [("codebuddy_state_dir", state_dir)]
    # A file whose path a spoke can redirect is not even opened.
    if found := [problem for name, place in forbidden if (problem := _location_problem(steps, name, place))]:
        return found
    try:
        read_secret(path)
    except ValueError as error:
        return [str(error)]
    return []


def _location_problem(steps: Sequence[Path], name: str, forbidden: Path) -> str | None:
    """Return the problem of a path that leads through a forbidden directory.

    The location of the file itself is not enough: a spoke that changes a link, or replaces a directory by one, would
    choose which file of the host it receives a copy of.
    """
    if steps and is_inside(steps[-1], forbidden):
        return f"lies in {name}, which containers use: move it out of there"
    if any(is_inside(step, forbidden) for step in steps):
        return f"is reached through {name}, which containers use and could make lead to any file: give its own path"
    return None


def _resolution_steps(path: Path) -> Iterator[Path]:
    """Yield every path that the kernel visits when it resolves an absolute path, links included; the file is last."""
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
