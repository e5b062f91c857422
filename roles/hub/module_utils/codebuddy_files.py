"""Small files of the host: secrets that are read, and files that are written atomically, with owner and mode."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LARGEST_SECRET = 2**20


@dataclass(frozen=True)
class Ownership:
    """The owner of a file, by name or number; None leaves it unchanged."""

    owner: str | None
    group: str | None


def read_if_there(path: Path) -> bytes | None:
    """Return the content, or None if there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def read_secret(path: Path) -> bytes:
    """Return the content of a file that holds a secret.

    Raises:
        ValueError: the file cannot be a secret; the message is the end of a sentence with the reason and what to do.
    """
    try:
        # Checked before it is opened: opening a FIFO blocks, and opening a device may have effects.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("is not a file: give the path of one")
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_SECRET + 1)
    except PermissionError as error:
        raise ValueError("cannot be read by you: change its mode, or deploy as a user who can") from error
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}): create the file or correct the path") from error
    if len(content) > _LARGEST_SECRET:
        raise ValueError("is larger than 1 MiB: give a file that holds only the secret")
    return content


def write_atomically(path: Path, content: bytes, prepare: Callable[[Path], object]) -> None:
    """Replace a file in one step: a reader, or a crash, finds the old content or the new one, never a part.

    Args:
        path: the file, which may not exist yet.
        content: its new content.
        prepare: sets owner and mode of the temporary file, which until then only its creator can read.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        prepare(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def ensure_directory(module: Any, path: Path, ownership: Ownership, mode: str | None = None) -> bool:
    """Create a directory that only its owner can enter, with its missing parents; return whether something changes.

    Args:
        module: the running AnsibleModule; in check mode, nothing is created.
        path: the directory.
        ownership: its owner.
        mode: enforced on an existing directory too. None: an existing one keeps its mode, because it may be shared,
            such as ``/tmp``.
    """
    missing = not path.is_dir()
    if missing and module.check_mode:
        return True
    if missing:
        for directory in (*reversed(path.parents), path):
            directory.mkdir(mode=0o700, exist_ok=True)
    return _set_attributes(module, path, mode, ownership) or missing


def ensure_file(module: Any, path: Path, content: bytes, mode: str, ownership: Ownership) -> bool:
    """Return a file exactly this content, mode and owner, in one step; return whether something changes."""
    if read_if_there(path) == content:
        return _set_attributes(module, path, mode, ownership)
    if not module.check_mode:
        write_atomically(path, content, lambda temporary: _set_attributes(module, temporary, mode, ownership))
    return True


def _set_attributes(module: Any, path: Path, mode: str | None, ownership: Ownership) -> bool:
    labels = {"secontext": [None, None, None], "attributes": None}
    wanted = {"path": str(path), "owner": ownership.owner, "group": ownership.group, "mode": mode, **labels}
    return bool(module.set_fs_attributes_if_different(wanted, False))
