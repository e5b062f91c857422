"""Finding files by name and by content in one project, within bounds, and able to go on where it stopped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from codebuddy.errors import ToolError
from codebuddy.workspace.confinement import READ_FLAGS, ProjectRoot, require_regular
from codebuddy.workspace.matches import LineFinder, Match
from codebuddy.workspace.paths import WorkspacePath
from codebuddy.workspace.patterns import Glob, SearchPattern
from codebuddy.workspace.reading import MAX_FILE_BYTES, read_limited
from codebuddy.workspace.text import decode
from codebuddy.workspace.walking import Bounds, Entry, StopReason, Walk

__all__ = ["Listed", "Page", "Position", "Query", "find_files", "list_directory", "search_text"]

T = TypeVar("T")
_Chooser = Callable[[Entry, str], T | None]


@dataclass(frozen=True)
class Position:
    """How far a search got: all up to and including this path is done.

    Args:
        parts: of the path, from the project's root; empty when nothing is done.
        line, column: of that file, only what begins up to here is done; 0, 0 for nothing of it.
    """

    parts: tuple[str, ...] = ()
    line: int | None = None
    column: int = 0


@dataclass
class Page(Generic[T]):
    """What one project gave.

    Args:
        found: each item with its position, behind which a later search goes on.
        reason: why it ended early; None when all was seen.
        resume: where a later search goes on, if it ended early.
        skipped: how many entries were left out, by reason.
    """

    found: list[tuple[Position, T]] = field(default_factory=list)
    reason: StopReason | None = None
    resume: Position | None = None
    skipped: Counter[str] = field(default_factory=Counter)

    def end(self, reason: StopReason, resume: Position) -> None:
        """Note why and where it ended early."""
        self.reason, self.resume = reason, resume

    def finish(self, walk: Walk) -> None:
        """Take over what the walk tells at its end."""
        if self.reason is None and walk.reason is not None:
            self.end(walk.reason, Position(walk.last))
        for name, number in (("ignored", walk.ignored), ("unreadable", walk.unreadable)):
            if number:
                self.skipped[name] += number


@dataclass(frozen=True)
class Listed:
    """An entry of a directory: type is file, directory, link or other; size in bytes, of files only."""

    path: str
    type: str
    size: int | None = None


def list_directory(
    root: ProjectRoot,
    path: WorkspacePath,
    bounds: Bounds,
    *,
    depth: int,
    limit: int,
    after: Position,
    include_ignored: bool = False,
) -> Page[Listed]:
    """List a directory, to a depth.

    Raises:
        ToolError: ``not_found``, ``not_a_directory``, ``outside_project``, ...
    """
    walk = Walk(root, path, bounds, max_depth=depth, after=after.parts, include_ignored=include_ignored)
    return _collect(walk, path.project, limit, lambda entry, name: Listed(name, entry.kind, entry.size()))


def find_files(
    root: ProjectRoot, glob: Glob, bounds: Bounds, *, limit: int, after: Position, include_ignored: bool = False
) -> Page[str]:
    """Find files (and links, which are not followed) by glob; gives workspace paths."""
    project = root.project
    walk = Walk(root, WorkspacePath(project), bounds, after=after.parts, include_ignored=include_ignored)

    def matching(entry: Entry, name: str) -> str | None:
        fits = entry.kind != "directory" and glob.matches(project, name.partition("/")[2])
        return name if fits else None

    return _collect(walk, project, limit, matching)


def _collect(walk: Walk, project: str, limit: int, choose: _Chooser[T]) -> Page[T]:
    page: Page[T] = Page()
    with closing(walk.entries()) as entries:
        for entry in entries:
            chosen = choose(entry, str(WorkspacePath(project, entry.parts)))
            if chosen is None:
                continue
            if len(page.found) >= limit:
                page.end("limit", page.found[-1][0])
                break
            page.found.append((Position(entry.parts), chosen))
    page.finish(walk)
    return page


@dataclass(frozen=True)
class Query:
    """What to search for in the contents of files.

    Args:
        pattern: compiled pattern.
        include: which files; None for all.
        limit: matches at most.
        context_lines: lines given before and after each match.
        file_bytes: larger files are skipped.
        answer_chars: text of all matches together, at most.
        include_ignored: search files that ignore rules hide, too.
    """

    pattern: SearchPattern
    include: Glob | None = None
    limit: int = 100
    context_lines: int = 0
    file_bytes: int = MAX_FILE_BYTES
    answer_chars: int = 200_000
    include_ignored: bool = False


def search_text(root: ProjectRoot, query: Query, bounds: Bounds, after: Position) -> Page[Match]:
    """Search the text files of a project; what cannot be searched is counted in ``skipped``."""
    return _TextSearch(root, query, bounds, after).run()


class _TextSearch:
    def __init__(self, root: ProjectRoot, query: Query, bounds: Bounds, after: Position) -> None:
        self._query, self._bounds, self._after = query, bounds, after
        self._project = root.project
        self._page: Page[Match] = Page()
        self._room = query.answer_chars
        self._walk = Walk(
            root,
            WorkspacePath(root.project),
            bounds,
            after=after.parts,
            again=after.line is not None,
            include_ignored=query.include_ignored,
        )

    def run(self) -> Page[Match]:
        with closing(self._walk.entries()) as entries:
            for entry in entries:
                path = WorkspacePath(self._project, entry.parts)
                if entry.kind == "file" and self._included(path):
                    self._file(entry, path)
                if self._page.reason is not None:
                    break
        self._page.finish(self._walk)
        return self._page

    def _included(self, path: WorkspacePath) -> bool:
        include = self._query.include
        return include is None or include.matches(path.project, path.relative_wire)

    def _file(self, entry: Entry, path: WorkspacePath) -> None:
        try:
            self._matches(_searchable(entry, self._query.file_bytes), path)
        except ToolError as error:
            self._page.skipped[error.code] += 1
        except OSError:
            self._page.skipped["unreadable"] += 1

    def _matches(self, data: bytes, path: WorkspacePath) -> None:
        page, finder = self._page, LineFinder(data)
        resumed = self._after if self._after.parts == path.parts else Position(path.parts, 0)
        last, done = resumed, (resumed.line or 0, resumed.column)
        for span in self._query.pattern.spans(data):
            stopped = self._bounds.reached()
            if stopped is not None:
                page.end(stopped, last)
                return
            if span is None:
                continue
            match = finder.match(str(path), *span, self._query.context_lines)
            if (match.line, match.column) <= done:
                continue
            if len(page.found) >= self._query.limit:
                page.end("limit", last)
                return
            if match.weight > self._room:
                page.end("too_much_text", last)
                return
            last = Position(path.parts, match.line, match.column)
            page.found.append((last, match))
            self._room -= match.weight


def _searchable(entry: Entry, limit: int) -> bytes:
    """Read a file as UTF-8 with LF breaks, which leaves lines and columns what they are."""
    fd = os.open(entry.name, READ_FLAGS | os.O_NOFOLLOW, dir_fd=entry.parent)
    try:
        require_regular(os.fstat(fd))
        data = read_limited(fd, limit)
    finally:
        os.close(fd)
    text = decode(data)
    data = data if text.encoding == "utf-8" else text.content.encode()
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data
