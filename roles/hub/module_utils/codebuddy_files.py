"""Small secret files: read only where they are some, written so that no reader ever sees half of one or one with the
wrong mode.
"""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Ownership", "ensure_directory", "ensure_file", "read_if_there", "read_secret"]

_LARGEST_SECRET = 2**20


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
            content = stream.read(_LARGEST_SECRET + 1)
    except PermissionError as error:
        raise ValueError("cannot be read by you: change its mode, or deploy as a user who can") from error
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}): create the file or correct the path") from error
    if len(content) > _LARGEST_SECRET:
        raise ValueError("is larger than 1 MiB: give a file with the secret alone")
    return content


def ensure_directory(module: Any, path: Path, ownership: Ownership, mode: str | None = None) -> bool:
    """Make a directory that only its owner can enter, and its missing parents; gives whether something changes.

    Args:
        module: the AnsibleModule that runs; in check mode nothing is made.
        mode: of a directory that is already there too; None: that one keeps its own, since it may be one that others
            need, such as ``/tmp``.
    """
    missing = not path.is_dir()
    if missing and not module.check_mode:
        for directory in (*reversed(path.parents), path):
            directory.mkdir(mode=0o700, exist_ok=True)
    if missing and module.check_mode:
        return True
    return _set_attributes(module, path, mode, ownership) or missing


def ensure_file(module: Any, path: Path, content: bytes, mode: str, ownership: Ownership) -> bool:
    """Give a file exactly this content, mode and owner, in one step; gives whether something changes."""
    if read_if_there(path) == content:
        return _set_attributes(module, path, mode, ownership)
    if not module.check_mode:
        # Beside its target, so that the rename is atomic; mkstemp makes it readable by nobody else.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            _set_attributes(module, Path(temporary), mode, ownership)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    return True


def _set_attributes(module: Any, path: Path, mode: str | None, ownership: Ownership) -> bool:
    labels = {"secontext": [None, None, None], "attributes": None}
    wanted = {"path": str(path), "owner": ownership.owner, "group": ownership.group, "mode": mode, **labels}
    return bool(module.set_fs_attributes_if_different(wanted, False))
