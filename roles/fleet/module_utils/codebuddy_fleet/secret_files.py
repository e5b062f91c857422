"""The declared secrets: files of the host that a spoke gets copies of. Only their names and places are known here."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .sites import Site, inside

__all__ = ["SECRETS", "read_secrets", "secret_problems"]

SECRETS = "secrets"  # below the state directory; in it a directory for each project that has some
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")
_LARGEST = 2**20


def read_secrets(value: Any) -> dict[str, str]:
    """Read secrets: the name of each in the spoke, and its file on the host; ValueError as in :mod:`values`."""
    if not isinstance(value, dict):
        raise ValueError("must map names to files, like {npmrc: ~/.config/my-service/npmrc}")
    for name, path in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(
                f"has the name {name!r}, which is not one of a file: use letters, digits, '.', '_' and '-'"
            )
        if not isinstance(path, str) or not os.path.isabs(path) or "\0" in path:
            raise ValueError(f"gives {name} no absolute path: write that of a file (or one that begins with ~)")
    return dict(value)


def secret_problems(projects: Sequence[Mapping[str, Any]], sites: Sequence[Site], state_dir: Path) -> list[str]:
    """One sentence for each file that cannot be a secret. Reads the file system, changes nothing.

    Args:
        projects: as declared; what is wrong with the values of their secrets is told by :func:`read_secrets`.
        sites: where the projects lie: what lies in one, its spoke could read and replace.
        state_dir: where the copies are kept.
    """
    found: list[str] = []
    for project in projects:
        try:
            secrets = read_secrets(project.get("secrets") or {})
        except ValueError:
            continue
        for name, path in secrets.items():
            say = f"host {project.get('id')}: the secret {name}, {path},"
            found += [f"{say} {why}" for why in _wrong(Path(path), sites, Path(os.path.realpath(state_dir)))]
    return found


def _wrong(path: Path, sites: Sequence[Site], state_dir: Path) -> Iterator[str]:
    real = Path(os.path.realpath(path))
    try:
        status = real.stat()
    except OSError as error:
        yield f"cannot be read ({error.strerror}): create the file or correct the path."
        return
    if not stat.S_ISREG(status.st_mode):
        yield "is no file: give the path of one."
    elif not os.access(real, os.R_OK):
        yield "cannot be read by you: change its mode, or give another file."
    elif status.st_size > _LARGEST:
        yield "is larger than 1 MiB: give the file with the secret alone."
    for site in sites:
        if inside(real, site.real) or inside(path, site.path):
            yield f"lies in the project {site.project}, whose spoke could read and replace it: move it out of there."
    if inside(real, state_dir):
        yield "lies in codebuddy_state_dir, which is CodeBuddy's own: move it out of there."
