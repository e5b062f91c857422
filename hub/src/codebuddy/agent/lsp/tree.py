"""The files of a project as language servers name them: workspace paths, file URIs, confined reading and walking."""

from __future__ import annotations

import codecs
import math
import os
import re
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from errno import ENOENT, ENOTDIR, EXDEV
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

from codebuddy.agent.lsp.positions import decode_text, split_lines
from codebuddy.files.confinement import READ_FLAGS, Workspaces, open_resolved
from codebuddy.files.encodings import declared_encoding
from codebuddy.files.paths import WorkspacePath, from_wire, to_wire
from codebuddy.files.text import MAX_FILE_BYTES, read_limited
from codebuddy.files.walking import Bounds, Entry, Walk
from codebuddy.schemas.encodings import codec_of
from codebuddy.tool import ToolError

MAX_ENTRIES: Final = 200_000

# The same few files are named in question after question; a very long name is not remembered.
_REMEMBERED: Final = 512
_LONGEST_REMEMBERED: Final = 1024

# With "?" or "#", even if nothing follows it, a URI names no file; what Python removes from URIs, no server writes.
_PLAIN_URI: Final = re.compile(r"[^?#\t\r\n]+")
_CELL: Final = re.compile(r"[0-9]{1,6}")

#: Directories that version control, package managers and build tools fill, by name, at any depth.
TOOL_DIRECTORIES: Final = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", ".tox", "node_modules", "target", "__pycache__"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache"}
)


class Stamp(NamedTuple):
    """Distinguishes two states of a file without reading it."""

    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int


def uri_of(path: Path) -> str:
    """Return the ``file:`` URI of an absolute path, byte for byte."""
    return "file://" + quote(os.fsencode(path))


class Tree:
    """The files of one project.

    Paths are absolute and lexically below ``root``. Content is only read through `codebuddy.files.confinement`.

    Args:
        project: its id, the first part of every workspace path.
        root: its directory.
    """

    def __init__(self, project: str, root: Path) -> None:
        self.project = project
        self.root = root.resolve()
        self._workspaces = Workspaces({project: self.root}, open_resolved)
        self._line_cache = _LineCache(self)
        self._below = os.path.join(self.root, "")  # comparing strings costs a tenth of what comparing Paths does
        self._remembered_path_of = lru_cache(_REMEMBERED)(self._path_of)
        self._remembered_locate_inside = lru_cache(_REMEMBERED)(self._locate_inside)

    def locate(self, path: str) -> Path:
        """Return the absolute path of a workspace path; the file need not exist.

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
        """Return the absolute path of a path relative to the project, as it is sent (see `codebuddy.files.paths`).

        Raises:
            ToolError: ``outside_project``; ``invalid_path`` for lone surrogates.
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
        """Return the path relative to the project, with ``/``."""
        name = str(path)
        if name.startswith(self._below):
            return name.removeprefix(self._below)
        return path.relative_to(self.root).as_posix()

    def show(self, path: Path) -> str:
        """Return the workspace path of a path in the project; the inverse of `locate`."""
        return self.project if path == self.root else f"{self.project}/{to_wire(self.relative(path))}"

    def path_of(self, uri: str) -> Path | None:
        """Return the path in the project that a URI names; None for anything outside it or not a file.

        With a fragment or query, a URI names something in a file, and so no file.
        """
        return (self._remembered_path_of if len(uri) <= _LONGEST_REMEMBERED else self._path_of)(uri)

    def cell_of(self, uri: str) -> tuple[Path, int] | None:
        """Return the notebook in the project and the number of the cell that a URI names; None if it names no cell."""
        name, _, number = uri.partition("#")
        path = self.path_of(name) if name.endswith(".ipynb") and _CELL.fullmatch(number) else None
        return None if path is None else (path, int(number))

    def has(self, uri: str) -> bool:
        """Say whether a URI names a file in the project, or a cell of a notebook in it."""
        return self.path_of(uri) is not None or self.cell_of(uri) is not None

    def _path_of(self, uri: str) -> Path | None:
        try:
            parts = urlsplit(uri)
            raw = unquote_to_bytes(parts.path)
        except ValueError:  # also a lone surrogate
            return None
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            return None
        if not _PLAIN_URI.fullmatch(uri):
            return None
        if not raw.startswith(b"/") or b"\0" in raw:
            return None
        path = Path(os.path.normpath(os.fsdecode(raw)))
        return path if self._has(str(path)) else None

    def _has(self, name: str) -> bool:
        """Say whether a normal absolute path is the root or below it."""
        return name.startswith(self._below) or name == str(self.root)

    def read(self, path: Path) -> tuple[bytes, Stamp]:
        """Read a regular file of the project; never blocks on a FIFO or a device.

        Raises:
            ToolError: ``not_found``, ``not_readable``, ``not_a_file``, ``outside_project``, ``too_large``.
        """
        try:
            descriptor = self._workspaces.root(self.project).open(self.relative(path), READ_FLAGS)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise ToolError("not_a_file", "This is not a regular file.")
                return read_limited(descriptor, MAX_FILE_BYTES), _stamp(status)
            finally:
                os.close(descriptor)
        except OSError as error:  # a disk or a network file system may fail at the reading only
            if error.errno == EXDEV and not os.path.exists(path):  # a link that leads nowhere
                raise ToolError("not_found", "There is no such file.", self.show(path)) from None
            raise _not_readable(error, self.show(path)) from None
        except ToolError as error:
            if error.code == "project_unavailable":
                raise ToolError("not_found", "There is no such file.", self.show(path)) from None
            error.path = self.show(path)
            raise

    def encoding_of(self, path: Path) -> str | None:
        """Return the encoding that the project declares for a file, if it is not UTF-8."""
        return declared_encoding(self.project, to_wire(self.relative(path)))

    def decode(self, path: Path, data: bytes) -> str:
        """Return the text of a file's bytes, without a byte order mark; what cannot be decoded becomes U+FFFD."""
        declared = None if data.startswith(_MARKS) else self.encoding_of(path)
        return decode_text(data) if declared is None else data.decode(codec_of(declared) or declared, "replace")

    def lines(self, path: Path) -> list[str]:
        """Return the lines that a file has now; do not change the list. Raises as `read`."""
        return self._line_cache.get(path).lines

    def begins_with_mark(self, path: Path) -> bool:
        """Say whether a file begins with a byte order mark; False if it cannot be read."""
        try:
            return self._line_cache.get(path).marked
        except ToolError:
            return False

    # The next two follow links out of the project: they reveal no content, only whether something exists or changed,
    # and `stamp` runs for every open document before each question, in a quarter of the time of a confined open.

    def stamp(self, path: Path) -> Stamp | None:
        """Return the present stamp of a file; None when it is gone."""
        try:
            return _stamp(os.stat(path))
        except OSError:
            return None

    def is_directory(self, path: Path) -> bool:
        """Say whether a path is a directory; False if it cannot be examined."""
        return os.path.isdir(path)

    def files(
        self,
        wanted: Callable[[str], bool],
        below: Path | None = None,
        cut: Callable[[str], None] | None = None,
    ) -> Iterator[Path]:
        """Yield the paths of `entries`."""
        for entry in self.entries(wanted, below, cut):
            yield self.root.joinpath(*entry.parts)

    def any_file(self, wanted: Callable[[str], bool]) -> Path | None:
        """Return the first wanted file of the walk; one that ignore rules hide only if there is no other."""
        for include_ignored in (False, True):
            for entry in self.entries(wanted, include_ignored=include_ignored):
                return self.root.joinpath(*entry.parts)
        return None

    def entries(
        self,
        wanted: Callable[[str], bool],
        below: Path | None = None,
        cut: Callable[[str], None] | None = None,
        *,
        include_ignored: bool = False,
        include_tool_directories: bool = False,
    ) -> Iterator[Entry]:
        """Walk the regular files that no ignore rule hides, without `TOOL_DIRECTORIES`.

        A directory's files come before what is in its directories, each in the order of their names.

        Args:
            wanted: says whether a path, relative to the project, is wanted.
            below: a directory; by default the whole project.
            cut: called with a sentence when the walk ends before it has seen everything.
            include_ignored: do not apply ignore rules.
            include_tool_directories: at the end, walk the `TOOL_DIRECTORIES` too, so that this sees all that the
                hub's searches see. At the end, because they may have more files than `MAX_ENTRIES`.
        """
        starts, visited = [Path() if below is None else below.relative_to(self.root)], 0
        for start in starts:
            try:
                walk = Walk(
                    self._workspaces.root(self.project),
                    WorkspacePath(self.project, start.parts),
                    Bounds(math.inf, MAX_ENTRIES - visited),
                    include_ignored=include_ignored,
                    files_first=True,
                    left_out=TOOL_DIRECTORIES,
                )
                with closing(walk.entries()) as entries:
                    for entry in entries:
                        if entry.kind == "file" and wanted("/".join(entry.parts)):
                            yield entry
            except ToolError:
                if below is not None:
                    raise
                continue  # the directory is gone, and so are its files
            visited += walk.visited
            if walk.beyond_limits and cut is not None:
                cut(f"{walk.beyond_limits} directories of this project are too deep or too large to be searched.")
            if walk.reason is not None:
                if cut is not None:
                    cut(f"Of this project only {MAX_ENTRIES} files and directories were searched; it has more.")
                return
            if include_tool_directories:
                starts += [Path(*parts) for parts in walk.not_entered]


def _not_readable(error: OSError, shown: str) -> ToolError:
    if error.errno in (ENOENT, ENOTDIR):
        return ToolError("not_found", "There is no such file.", shown)
    if error.errno == EXDEV:
        return ToolError("outside_project", "This is a link that leads out of the project.", shown)
    return ToolError("not_readable", f"The file cannot be read: {error.strerror}.", shown)


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


_MAX_CACHED_FILES: Final = 32
_MAX_CACHED_BYTES: Final = 64 * 1024

# Two writes within one tick of the file system's clock leave the same stamp, so a file written just now is not cached.
_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UNSURE_NS: Final = 100_000_000


class _Lines(NamedTuple):
    lines: list[str]
    marked: bool


class _LineCache:
    """The lines of small files that were read lately."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._cached: OrderedDict[Path, tuple[Stamp, _Lines]] = OrderedDict()

    def get(self, path: Path) -> _Lines:
        cached = self._cached.get(path)
        if cached is not None and cached[0] == self._tree.stamp(path):
            self._cached.move_to_end(path)
            return cached[1]
        self._cached.pop(path, None)
        data, stamp = self._tree.read(path)
        text = _Lines(split_lines(self._tree.decode(path, data)), data.startswith(codecs.BOM_UTF8))
        if len(data) <= _MAX_CACHED_BYTES and time.time_ns() - stamp.mtime_ns > _UNSURE_NS:
            self._cached[path] = stamp, text
            if len(self._cached) > _MAX_CACHED_FILES:
                self._cached.popitem(last=False)
        return text
