"""The project's directory tree as language servers see it: workspace paths, file URIs, reading without surprises."""

from __future__ import annotations

import codecs
import os
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

from codebuddy.agent.lsp.positions import decode_text, split_lines
from codebuddy.files.paths import from_wire, to_wire
from codebuddy.tool import ToolError

_MAX_KEPT: Final = 32
_MAX_BYTES: Final = 64 * 1024

# Two writes within one tick of the file system's clock leave the same stamp: what was written just now is not kept.
_UNSURE_NS: Final = 100_000_000


class _Text(NamedTuple):
    lines: list[str]
    marked: bool


class Texts:
    """The files of a project as lines, those that are small and were read lately without reading them again.

    Args:
        tree: the project.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._kept: OrderedDict[Path, tuple[Stamp, _Text]] = OrderedDict()

    def lines(self, path: Path) -> list[str]:
        """Give the lines that a file has now; they are not to be changed.

        Raises:
            ToolError: it cannot be read.
        """
        return self._text(path).lines

    def begins_with_mark(self, path: Path) -> bool:
        """Say whether a file begins with a byte order mark.

        Raises:
            ToolError: it cannot be read.
        """
        return self._text(path).marked

    def _text(self, path: Path) -> _Text:
        kept = self._kept.get(path)
        if kept is not None and kept[0] == self._tree.stamp(path):
            self._kept.move_to_end(path)
            return kept[1]
        self._kept.pop(path, None)
        data, stamp = self._tree.read(path)
        text = _Text(split_lines(decode_text(data)), data.startswith(codecs.BOM_UTF8))
        if len(data) <= _MAX_BYTES and time.time_ns() - stamp.mtime_ns > _UNSURE_NS:
            self._kept[path] = stamp, text
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return text


MAX_FILE: Final = 4 * 1024 * 1024
MAX_ENTRIES: Final = 200_000

# The same few files are named in question after question; a very long name is not remembered.
_REMEMBERED: Final = 512
_LONGEST_REMEMBERED: Final = 1024

IGNORED_DIRECTORIES: Final = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", ".tox", "node_modules", "target", "__pycache__"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache"}
)


class Stamp(NamedTuple):
    """What tells two states of a file apart without reading it."""

    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int


def uri_of(path: Path) -> str:
    """Give the ``file:`` URI of an absolute path, byte for byte."""
    return "file://" + quote(os.fsencode(path))


class Tree:
    """One project's files.

    Args:
        project: its id, the first part of every workspace path.
        root: its directory.
    """

    def __init__(self, project: str, root: Path) -> None:
        self.project = project
        self.root = root.resolve()
        self._texts = Texts(self)
        self._below = os.path.join(self.root, "")  # a prefix of strings: pathlib's own comparison costs ten times that
        self._remembered_path_of = lru_cache(_REMEMBERED)(self._path_of)
        self._remembered_locate_inside = lru_cache(_REMEMBERED)(self._locate_inside)

    def locate(self, path: str) -> Path:
        """Give the absolute path of a workspace path; the file need not exist.

        Raises:
            ToolError: ``outside_project``.
        """
        project, _, inside = path.partition("/")
        if project != self.project:
            raise ToolError("outside_project", f"Paths here begin with {self.project!r}, like {self.project}/….", path)
        return self.locate_inside(inside, path)

    def require_own(self, projects: Sequence[str] | None) -> None:
        """Refuse a question that is for other projects only.

        Raises:
            ToolError: ``unknown_project``.
        """
        if projects is not None and self.project not in projects:
            message = f"This is the project {self.project!r}; it was not among those asked for."
            raise ToolError("unknown_project", message)

    def locate_inside(self, inside: str, shown: str | None = None) -> Path:
        """Give the absolute path of a path relative to the project, with names as they travel (`workspace.paths`).

        Raises:
            ToolError: ``outside_project``; ``invalid_path`` for what is no text.
        """
        short = len(inside) <= _LONGEST_REMEMBERED
        return (self._remembered_locate_inside if short else self._locate_inside)(inside, shown)

    def _locate_inside(self, inside: str, shown: str | None) -> Path:
        try:
            inside.encode()
        except UnicodeEncodeError:
            message = "A path may not contain lone surrogates; write bytes that are not UTF-8 as \\xHH."
            raise ToolError("invalid_path", message, inside.encode("utf-8", "replace").decode()) from None
        named = from_wire(inside) if "\\" in inside else inside
        found = os.path.normpath(os.path.join(self.root, named))
        if "\0" in inside or not self._has(found):
            raise ToolError("outside_project", f"This path leads out of the project {self.project!r}.", shown or inside)
        return Path(found)

    def relative(self, path: Path) -> str:
        """Give the path in the project, with ``/``."""
        name = str(path)
        if name.startswith(self._below):
            return name.removeprefix(self._below)
        return path.relative_to(self.root).as_posix()

    def show(self, path: Path) -> str:
        """Give the workspace path of a path in the project; `locate` leads back."""
        return self.project if path == self.root else f"{self.project}/{to_wire(self.relative(path))}"

    def path_of(self, uri: str) -> Path | None:
        """Give the path in the project that a URI names; None for anything outside it or not a file."""
        return (self._remembered_path_of if len(uri) <= _LONGEST_REMEMBERED else self._path_of)(uri)

    def _path_of(self, uri: str) -> Path | None:
        try:
            parts = urlsplit(uri)
        except ValueError:
            return None
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            return None
        raw = unquote_to_bytes(parts.path)
        if not raw.startswith(b"/") or b"\0" in raw:
            return None
        path = Path(os.path.normpath(os.fsdecode(raw)))
        return path if self._has(str(path)) else None

    def read(self, path: Path) -> tuple[bytes, Stamp]:
        """Read a regular file of the project.

        Never blocks on a FIFO or a device, and never follows a link out of the project: what counts is where the
        *opened* file is, so that a link swapped during the call gains nothing.

        Raises:
            ToolError: ``not_found``, ``not_readable``, ``not_a_file``, ``outside_project``, ``too_large``.
        """
        shown = self.show(path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except (FileNotFoundError, NotADirectoryError):
            raise ToolError("not_found", "There is no such file.", shown) from None
        except OSError as error:
            raise ToolError("not_readable", f"The file cannot be read: {error.strerror}.", shown) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ToolError("not_a_file", "This is not a regular file.", shown)
            if not self._has(os.readlink(f"/proc/self/fd/{descriptor}")):
                raise ToolError("outside_project", "This is a link that leads out of the project.", shown)
            if status.st_size > MAX_FILE:
                raise ToolError("too_large", f"The file is larger than {MAX_FILE} bytes.", shown)
            return _read_whole(descriptor, status.st_size), _stamp(status)
        except OSError as error:  # a disk or a network file system fails at the reading, not at the opening
            raise ToolError("not_readable", f"The file cannot be read: {error.strerror}.", shown) from None
        finally:
            os.close(descriptor)

    def lines(self, path: Path) -> list[str]:
        """Give the lines that a file has now; they are not to be changed.

        Raises:
            ToolError: as `read`.
        """
        return self._texts.lines(path)

    def begins_with_mark(self, path: Path) -> bool:
        """Say whether a file begins with a byte order mark; one that cannot be read does not."""
        try:
            return self._texts.begins_with_mark(path)
        except ToolError:
            return False

    def stamp(self, path: Path) -> Stamp | None:
        """Give the present stamp of a file; None when it is gone."""
        try:
            return _stamp(os.stat(path))
        except OSError:
            return None

    def _has(self, name: str) -> bool:
        """Say whether a normal absolute path is the root or below it."""
        return name.startswith(self._below) or name == str(self.root)

    def is_directory(self, path: Path) -> bool:
        """Say whether it is a directory; what cannot be looked at is none."""
        return os.path.isdir(path)

    def files(
        self, wanted: Callable[[str], bool], below: Path | None = None, cut: Callable[[str], None] | None = None
    ) -> Iterator[Path]:
        """Walk the regular files whose path in the project is wanted, in a fixed order, without what tools generate.

        Args:
            wanted: says so.
            below: a directory; left out: the whole project.
            cut: told in a sentence when the walk ends before it has seen all.
        """
        seen = 0
        for directory, directories, names in os.walk(below or self.root):
            seen += len(names) + len(directories)
            directories[:] = sorted(name for name in directories if name not in IGNORED_DIRECTORIES)
            for name in sorted(names):
                path = Path(directory, name)
                # Not Path.is_file: that raises for a link into a directory that may not be entered.
                if wanted(self.relative(path)) and not os.path.islink(path) and os.path.isfile(path):
                    yield path
            if seen > MAX_ENTRIES:
                if cut is not None:
                    cut(f"Of this project only {MAX_ENTRIES} files and directories were looked at; it has more.")
                return


def _read_whole(descriptor: int, size: int) -> bytes:
    """Read a file to its end, or to the limit if it grew since its size was taken."""
    data = os.read(descriptor, min(size + 1, MAX_FILE))
    if len(data) == size:
        return data  # nearly always: one read, for it did not grow
    with open(descriptor, "rb", closefd=False) as file:
        return data + file.read(MAX_FILE - len(data))


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
