"""Walking the tree of a project: never through a link, in a fixed order, within bounds."""

from __future__ import annotations

import os
import re
import stat
import threading
import time
import warnings
from collections.abc import Generator, Set
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from typing import Literal

import re2
from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore import GitIgnorePatternError

from codebuddy.files.confinement import DIRECTORY_FLAGS, READ_FLAGS, ProjectRoot, require_regular
from codebuddy.files.paths import WorkspacePath, to_wire
from codebuddy.files.text import MAX_FILE_BYTES, read_limited

# Compiling a rule takes some 50 µs, and a project may have a .gitignore in every directory.
_MAX_RULES_BYTES = 64 * 1024
_MAX_RULES = 1000
_MAX_RULE_CHARS = 256
_BLOCK = 1 << 20
_COMPILE_ERRORS = (GitIgnorePatternError, re.error, re2.error, UnicodeEncodeError)


@dataclass(frozen=True)
class IgnoreRules:
    """The rules that apply in a directory: those of each ``.gitignore`` in it or above, outermost first.

    Args:
        levels: (number of path parts of the directory that has the ``.gitignore``, its rules).
    """

    levels: tuple[tuple[int, GitIgnoreSpec], ...] = ()

    def entering(self, directory: int, depth: int) -> IgnoreRules:
        """Add the rules of an open directory that lies ``depth`` levels below the project's root."""
        spec = _read_rules(directory)
        return self if spec is None else IgnoreRules((*self.levels, (depth, spec)))

    def hides(self, parts: tuple[str, ...], is_directory: bool) -> bool:
        """Say whether a path is ignored, assuming that the directories above it are not."""
        for depth, spec in reversed(self.levels):
            relative = "/".join(to_wire(part) for part in parts[depth:])
            verdict = spec.check_file(relative + "/" if is_directory else relative).include
            if verdict is not None:
                return verdict
        return False


def _read_rules(directory: int) -> GitIgnoreSpec | None:
    try:
        # git itself does not follow a .gitignore that is a link.
        fd = os.open(".gitignore", READ_FLAGS | os.O_NOFOLLOW, dir_fd=directory)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        return _parse_rules(os.read(fd, _MAX_RULES_BYTES))
    except OSError:
        return None
    finally:
        os.close(fd)


@lru_cache(maxsize=16)  # few: a compiled set may take 8 MB
def _parse_rules(data: bytes) -> GitIgnoreSpec | None:
    lines = data.decode("utf-8", "replace").split("\n")
    if len(data) == _MAX_RULES_BYTES:
        lines.pop()  # probably cut, and so another rule than was meant
    lines = [line.rstrip("\r") for line in lines if len(line) <= _MAX_RULE_CHARS][:_MAX_RULES]
    return _compile(lines) or _compile([line for line in lines if _compile([line])])


def _compile(lines: list[str]) -> GitIgnoreSpec | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # Python's re about sets like [[a]; RE2 does the matching
            return GitIgnoreSpec.from_lines(lines, backend="re2")
    except _COMPILE_ERRORS:
        return None


Kind = Literal["file", "directory", "link", "other"]
StopReason = Literal["limit", "timed_out", "too_many_entries", "too_much_text"]

_MAX_DEPTH = 100  # each level of a walk holds one descriptor
_MAX_DIRECTORY = 500_000


@dataclass(frozen=True)
class Entry:
    """An entry of a directory; ``parent`` is open only until the walk goes on."""

    parts: tuple[str, ...]
    kind: Kind
    parent: int

    @property
    def name(self) -> str:
        """Its name in its directory."""
        return self.parts[-1]

    def size(self) -> int | None:
        """Return the bytes of a regular file; None for anything else."""
        try:
            status = os.stat(self.name, dir_fd=self.parent, follow_symlinks=False)
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def read(self, limit: int = MAX_FILE_BYTES) -> bytes:
        """Read a regular file whole.

        Raises:
            OSError: it cannot be opened or read.
            ToolError: ``is_a_directory``, ``not_a_file``, ``too_large``.
        """
        fd = os.open(self.name, READ_FLAGS | os.O_NOFOLLOW, dir_fd=self.parent)
        try:
            require_regular(os.fstat(fd))
            return read_limited(fd, limit)
        finally:
            os.close(fd)

    def lacks(self, part: bytes) -> bool:
        """Say whether some bytes are surely not in a regular file, of any size; it is read bit by bit."""
        try:
            with open(self.name, "rb", buffering=0, opener=self._open) as file:
                kept = b""
                while block := file.read(_BLOCK):
                    kept += block
                    if part in kept:
                        return False
                    kept = kept[-len(part) :]
        except OSError:
            return False
        return True

    def _open(self, name: str, _flags: int) -> int:
        return os.open(name, READ_FLAGS | os.O_NOFOLLOW, dir_fd=self.parent)


@dataclass
class Bounds:
    """When a walk stops: at a time of `time.monotonic`, after so many entries, or when ``stop`` is set."""

    deadline: float
    max_entries: int = 200_000
    stop: threading.Event = field(default_factory=threading.Event)

    def reached(self, visited: int = 0) -> StopReason | None:
        """Return which bound is reached."""
        if self.stop.is_set() or time.monotonic() > self.deadline:
            return "timed_out"
        return "too_many_entries" if visited >= self.max_entries else None


@dataclass
class Walk:
    """A walk below a directory, depth first; `.git` is always left out.

    Args:
        start: directory to walk; when ignore rules hide it, they are not applied, because it was asked for by name.
        max_depth: levels below start; 1 gives its own entries only.
        after: parts of the path that an earlier walk ended at; everything up to it is left out.
        again: give the entry at ``after`` itself once more.
        include_ignored: do not apply ignore rules.
        files_first: give the files of a directory before its directories; otherwise names are in order of their code
            points. Not together with ``after``.
        left_out: names of directories that the walk gives but does not enter.

    Attributes:
        visited: entries seen so far.
        ignored: entries hidden by ignore rules.
        unreadable: directories that could not be opened, are too deep, or have too many entries to list all.
        not_entered: parts of the directories that were left out by name.
        last: parts of the last path that is done.
        reason: why the walk ended early, if it did.
    """

    root: ProjectRoot
    start: WorkspacePath
    bounds: Bounds
    _: KW_ONLY
    max_depth: int = _MAX_DEPTH
    after: tuple[str, ...] = ()
    again: bool = False
    include_ignored: bool = False
    files_first: bool = False
    left_out: Set[str] = frozenset()
    visited: int = field(default=0, init=False)
    ignored: int = field(default=0, init=False)
    unreadable: int = field(default=0, init=False)
    beyond_limits: int = field(default=0, init=False)  # of the unreadable ones: too deep or too large
    not_entered: list[tuple[str, ...]] = field(default_factory=list, init=False)
    reason: StopReason | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.max_depth = min(self.max_depth, _MAX_DEPTH)
        self.last = self.after

    def entries(self) -> Generator[Entry, None, None]:
        """Yield the entries; close the generator to end the walk early.

        Raises:
            ToolError: the start is no directory inside the project.
        """
        with self.root.directory(self.start) as fd:
            rules = IgnoreRules() if self.include_ignored else self._rules_above()
            yield from self._directory(fd, self.start.parts, rules, 1)

    def _rules_above(self) -> IgnoreRules:
        """Collect the rules of the directories above the start; none apply if they hide the start itself."""
        rules = IgnoreRules()
        for depth in range(len(self.start.parts)):
            above = WorkspacePath(self.start.project, self.start.parts[:depth])
            with self.root.directory(above) as fd:
                rules = rules.entering(fd, depth)
            if rules.hides(self.start.parts[: depth + 1], is_directory=True):
                self.include_ignored = True
                return IgnoreRules()
        return rules

    def _directory(
        self, fd: int, parts: tuple[str, ...], rules: IgnoreRules, depth: int
    ) -> Generator[Entry, None, None]:
        if not self.include_ignored:
            rules = rules.entering(fd, len(parts))
        for name, kind in self._listed(fd):
            here = (*parts, name)
            again = self.again and here == self.after
            inside = self.after[: len(here)] == here and not again  # `after` lies at or below this entry
            if here <= self.after and not again and not (inside and kind == "directory"):
                continue
            if self.reason is None:
                self.reason = self.bounds.reached(self.visited)
            if self.reason is not None:
                return
            self.visited += 1
            if self._is_hidden(here, kind, rules):
                self.last = here  # so that a walk that goes on from here makes progress even where all is hidden
                continue
            if not inside:
                yield Entry(here, kind, fd)
                self.last = here
            if kind == "directory":
                yield from self._enter(fd, here, rules, depth)

    def _enter(self, fd: int, here: tuple[str, ...], rules: IgnoreRules, depth: int) -> Generator[Entry, None, None]:
        if here[-1] in self.left_out:
            self.not_entered.append(here)
            return
        if depth >= self.max_depth:
            if depth >= _MAX_DEPTH:
                self.unreadable += 1
                self.beyond_limits += 1
            return
        try:
            child = os.open(here[-1], DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=fd)
        except FileNotFoundError:
            return
        except OSError:  # forbidden, or a link was put in its place
            self.unreadable += 1
            return
        try:
            yield from self._directory(child, here, rules, depth + 1)
        finally:
            os.close(child)

    def _listed(self, fd: int) -> list[tuple[str, Kind]]:
        names: list[tuple[str, Kind]] = []
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    names.append((entry.name, _kind(entry)))
                    if len(names) >= _MAX_DIRECTORY:
                        self.unreadable += 1
                        self.beyond_limits += 1
                        break
        except OSError:
            self.unreadable += 1
        names.sort()
        if self.files_first:
            names.sort(key=lambda named: named[1] == "directory")
        return names

    def _is_hidden(self, parts: tuple[str, ...], kind: Kind, rules: IgnoreRules) -> bool:
        if parts[-1] == ".git":
            return True
        if self.include_ignored or not rules.hides(parts, kind == "directory"):
            return False
        self.ignored += 1
        return True


def _kind(entry: os.DirEntry[str]) -> Kind:
    try:
        if entry.is_symlink():
            return "link"
        if entry.is_dir(follow_symlinks=False):
            return "directory"
        return "file" if entry.is_file(follow_symlinks=False) else "other"
    except OSError:
        return "other"
