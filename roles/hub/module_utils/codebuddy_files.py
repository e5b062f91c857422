"""Small secret files, written so that no reader ever sees half of one or one with the wrong mode."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Ownership", "ensure_directory", "ensure_file", "read_if_there"]


@dataclass(frozen=True)
class Ownership:
    """Who owns a file: name or number, None to leave it as it is."""

    owner: str | None
    group: str | None


def read_if_there(path: Path) -> bytes | None:
    """Give the content, or None when there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def ensure_directory(module: Any, path: Path, mode: str, ownership: Ownership) -> bool:
    """Make a directory; missing parents are made for the deploying user alone. Gives whether something changes.

    Args:
        module: the AnsibleModule that runs; in check mode nothing is made.
        mode: of the directory itself, as Ansible writes it, e.g. ``0700``.
    """
    if path.is_dir():
        return _set_attributes(module, path, mode, ownership)
    if not module.check_mode:
        for parent in reversed(path.parents):
            parent.mkdir(mode=0o700, exist_ok=True)
        path.mkdir(mode=0o700)
        _set_attributes(module, path, mode, ownership)
    return True


def ensure_file(module: Any, path: Path, content: bytes, mode: str, ownership: Ownership) -> bool:
    """Give a file exactly this content, mode and owner, in one step; gives whether something changes."""
    if read_if_there(path) == content:
        return _set_attributes(module, path, mode, ownership)
    if not module.check_mode:
        # Beside its target, so that the rename is atomic; mkstemp makes it readable by nobody else.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        _set_attributes(module, Path(temporary), mode, ownership)
        os.replace(temporary, path)
    return True


def _set_attributes(module: Any, path: Path, mode: str, ownership: Ownership) -> bool:
    labels = {"secontext": [None, None, None], "attributes": None}
    wanted = {"path": str(path), "owner": ownership.owner, "group": ownership.group, "mode": mode, **labels}
    return bool(module.set_fs_attributes_if_different(wanted, False))
