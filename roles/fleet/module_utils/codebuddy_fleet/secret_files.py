"""The declared secrets: files of the host that a spoke gets copies of. Which can be some, and how they are read.

A value that is wrong is never shown: it may be the secret itself, written where its path belongs.
"""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .reading import Reader
from .sites import Site, inside

__all__ = ["SECRETS", "read_secret", "read_secrets", "secret_problems"]

SECRETS = "secrets"  # below the state directory; in it a directory for each project that has some
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")
_LARGEST = 2**20
_MOST_LINKS = 40  # as the kernel has it: a path with more is refused (path_resolution(7))


def read_secrets(reader: Reader, value: Any) -> dict[str, str]:
    """Give the name of each secret in the spoke, and its file on the host; those that are wrong are left out."""
    if not isinstance(value, dict):
        reader.say("secrets must map names to files, like {npmrc: ~/.config/my-service/npmrc}.")
        return {}
    found: dict[str, str] = {}
    for name, path in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            what = f"has the name {name!r}, which is not one of a file"
            reader.say(f"secrets {what}: use at most 63 letters, digits, '.', '_' and '-', and no '.' or '-' first.")
        elif not isinstance(path, str) or not os.path.isabs(path):
            what = "that of the file that holds it (or one that begins with ~), not the secret itself"
            reader.say(f"secrets gives {name} no absolute path: write {what}.")
        elif "\0" in path or "\n" in path:
            reader.say(f"secrets gives {name} a path with a line break or NUL character in it: rename the file.")
        else:
            found[name] = path
    return found


def read_secret(path: Path) -> bytes:
    """Give what is in a file that is a secret.

    Raises:
        ValueError: it cannot be one, with the end of a sentence that says why and what to do.
    """
    try:
        # Before it is opened: to open a FIFO would be to wait, and to open a device may be to use it.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("is no file: give the path of one")
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except PermissionError as error:
        raise ValueError("cannot be read by you: change its mode, or deploy as a user who can") from error
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}): create the file or correct the path") from error
    if len(content) > _LARGEST:
        raise ValueError("is larger than 1 MiB: give a file with the secret alone")
    return content


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
