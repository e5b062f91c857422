"""Build contexts: files by name, their digest, and the tar archive that is sent to the engine."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

IGNORED_NAMES = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".DS_Store"})
IGNORED_SUFFIXES = (".pyc", ".swp", "~")


@dataclass(frozen=True)
class File:
    """One file of a context. Of its mode, only the executable bit counts, as in a Git checkout."""

    content: bytes
    executable: bool = False


#: Files by their path in the context, with ``/`` between the parts.
Context = Mapping[str, File]


def read_file(path: Path) -> File:
    """Read one file; a link is followed."""
    return File(path.read_bytes(), os.access(path, os.X_OK))


def read_tree(root: Path, under: str = "", suffix: str = "") -> dict[str, File]:
    """Read every file below a directory, except caches and editors' backup files; links to files are followed.

    Args:
        root: the directory; a missing one has no files.
        under: the folder of the context for the files; empty for its top.
        suffix: of the names to read, such as ``.crt``.
    """
    files: dict[str, File] = {}
    for folder, directories, names in os.walk(root):
        directories[:] = sorted(name for name in directories if not _is_ignored(name))
        for name in sorted(names):
            if name.endswith(suffix) and not _is_ignored(name):
                path = Path(folder, name)
                files[(Path(under) / path.relative_to(root)).as_posix()] = read_file(path)
    return files


def _is_ignored(name: str) -> bool:
    return name in IGNORED_NAMES or name.endswith((*IGNORED_SUFFIXES, ".egg-info"))


def digest(context: Context) -> str:
    """Return the SHA-256 (hex) of every file's path, executable bit and content."""
    total = hashlib.sha256()
    for path, file in sorted(context.items()):
        total.update(f"{path}\0{int(file.executable)}\0{len(file.content)}\0".encode())
        total.update(file.content)
    return total.hexdigest()


def to_tar(context: Context) -> bytes:
    """Return an uncompressed tar archive; equal contexts result in equal bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, file in sorted(context.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(file.content), 0o755 if file.executable else 0o644
            archive.addfile(entry, io.BytesIO(file.content))
    return packed.getvalue()
