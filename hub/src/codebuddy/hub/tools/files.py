"""The hub's tools that read files: list, find, read and search, in worker threads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import anyio
from anyio.to_thread import run_sync

from codebuddy.files.confinement import ProjectRoot, Workspaces
from codebuddy.files.cursors import decode_cursor, encode_cursor, merge
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.search import (
    Page,
    Position,
    Query,
    compile_glob,
    compile_search,
    find_files,
    list_directory,
    search_text,
)
from codebuddy.files.text import MAX_FILE_BYTES, Excerpt, excerpt_of, read_excerpt
from codebuddy.files.walking import Bounds
from codebuddy.schemas.files import (
    FindArguments,
    FindResult,
    ListArguments,
    ListResult,
    ReadArguments,
    ReadResult,
    SearchArguments,
    SearchResult,
    Unavailable,
)
from codebuddy.tool import Call, Tool, ToolError, tool_of
from codebuddy.wire.load import reserve

T = TypeVar("T")
_Many = ListArguments | FindArguments | SearchArguments
_Look = Callable[[ProjectRoot, Bounds, Position], Page[T]]

_NOT_THE_QUESTION = {"cursor", "limit", "timeout_seconds", "projects", "context_lines"}
_READ_AT_ONCE = 32 * 1024
_READ_COPIES = 5  # of a file's content, while it is decoded and split
_WALKERS = 4  # walks at a time; those that wait take no thread from reads and writes


def file_tools(workspaces: Workspaces, max_file_bytes: int = MAX_FILE_BYTES) -> list[Tool[Any]]:
    """Make the tools that read files; files of more than ``max_file_bytes`` are neither read nor searched."""
    tools = _FileTools(workspaces, max_file_bytes)
    return [
        tool_of(tools.list_directory, "read"),
        tool_of(tools.find_files, "read"),
        tool_of(tools.read_file, "read"),
        tool_of(tools.search_text, "read"),
    ]


class _FileTools:
    def __init__(self, workspaces: Workspaces, max_file_bytes: int) -> None:
        self._workspaces, self._max_bytes = workspaces, max_file_bytes
        self._walkers = anyio.CapacityLimiter(_WALKERS)

    async def read_file(self, call: Call, arguments: ReadArguments) -> ReadResult:
        """Read a text file, or some of its lines. A write takes the answer's hash as expected_hash."""
        path = self._path(call, arguments.path)
        start, end, column = arguments.start_line, arguments.end_line, arguments.start_column

        def read() -> Excerpt:
            root = self._workspaces.root(path.project)
            return read_excerpt(root, path, start, end, start_column=column, limit=self._max_bytes)

        # A thread takes longer than the read of a small file that the kernel has in memory, which never blocks.
        data = self._workspaces.read_cached(path, min(_READ_AT_ONCE, self._max_bytes))
        if data is None:
            await reserve(_READ_COPIES * self._max_bytes)
            excerpt = await run_sync(read, abandon_on_cancel=True)
        else:
            excerpt = excerpt_of(path, data, start, end, column)
        return ReadResult(path=str(path), **vars(excerpt))

    async def list_directory(self, call: Call, arguments: ListArguments) -> ListResult:
        """List a directory (ls) or a tree."""
        path = self._path(call, arguments.path)

        def look(root: ProjectRoot, bounds: Bounds, after: Position) -> Page[Any]:
            return list_directory(
                root,
                path,
                bounds,
                depth=arguments.depth,
                limit=arguments.limit,
                after=after,
                include_ignored=arguments.include_ignored,
            )

        entries, rest = await self._look(call, arguments, [path.project], look)
        return ListResult(path=str(path), entries=entries, **rest)

    async def find_files(self, call: Call, arguments: FindArguments) -> FindResult:
        """Find files by name or glob in one or many projects."""
        glob = compile_glob(arguments.pattern)

        def look(root: ProjectRoot, bounds: Bounds, after: Position) -> Page[str]:
            ignored = arguments.include_ignored
            return find_files(root, glob, bounds, limit=arguments.limit, after=after, include_ignored=ignored)

        projects = call.principal.choose(arguments.projects, self._workspaces.projects)
        paths, rest = await self._look(call, arguments, projects, look)
        return FindResult(paths=paths, **rest)

    async def search_text(self, call: Call, arguments: SearchArguments) -> SearchResult:
        """Search text or a regular expression (grep) in the files of one or many projects."""
        pattern = compile_search(arguments.pattern, regex=arguments.regex, case_sensitive=arguments.case_sensitive)
        query = Query(
            pattern,
            None if arguments.include is None else compile_glob(arguments.include),
            arguments.limit,
            arguments.context_lines,
            self._max_bytes,
            include_ignored=arguments.include_ignored,
        )

        def look(root: ProjectRoot, bounds: Bounds, after: Position) -> Page[Any]:
            return search_text(root, query, bounds, after)

        projects = call.principal.choose(arguments.projects, self._workspaces.projects)
        matches, rest = await self._look(call, arguments, projects, look)
        return SearchResult(matches=matches, **rest)

    def _path(self, call: Call, text: str) -> WorkspacePath:
        path = WorkspacePath.parse(text)
        call.principal.require_project(path.project, self._workspaces.projects)
        return path

    async def _look(
        self, call: Call, arguments: _Many, projects: list[str], look: _Look[T]
    ) -> tuple[list[T], dict[str, Any]]:
        """Search several projects at once; give the items, and the fields of `PagedResult`."""
        question = (type(arguments).__name__, arguments.model_dump(exclude=_NOT_THE_QUESTION))
        starts = {project: Position() for project in projects}
        if arguments.cursor is not None:
            starts = decode_cursor(question, arguments.cursor)
            for project in starts:
                call.principal.require_project(project, projects)
        pages, unavailable = await self._pages(starts, arguments.timeout_seconds, look)
        items, unfinished = merge(pages, starts, arguments.limit)
        reasons: list[str] = [page.reason for page in pages.values() if page.reason]
        reasons += ["limit"] if unfinished else []
        reasons += ["project_unavailable"] if unavailable else []
        skipped = sum((page.skipped for page in pages.values()), Counter[str]())
        return items, {
            "truncated": bool(reasons),
            "reason": reasons[0] if reasons else None,
            "cursor": encode_cursor(question, unfinished) if unfinished else None,
            "skipped": dict(skipped) or None,
            "unavailable": unavailable or None,
        }

    async def _pages(
        self, starts: dict[str, Position], seconds: float, look: _Look[T]
    ) -> tuple[dict[str, Page[T]], list[Unavailable]]:
        pages: dict[str, Page[T]] = {}
        failed: list[Unavailable] = []
        bounds = Bounds(time.monotonic() + seconds, stop=threading.Event())

        def walk(project: str, start: Position) -> Page[T]:
            return look(self._workspaces.root(project), bounds, start)

        async def one(project: str, start: Position) -> None:
            try:
                work = partial(walk, project, start)
                pages[project] = await run_sync(work, abandon_on_cancel=True, limiter=self._walkers)
            except ToolError as error:
                if len(starts) == 1:
                    raise
                failed.append(Unavailable(project=project, code=error.code, message=error.message))

        try:
            if len(starts) == 1:
                await one(*next(iter(starts.items())))
            else:
                async with anyio.create_task_group() as group:
                    for project, start in starts.items():
                        group.start_soon(one, project, start)
        finally:
            bounds.stop.set()  # an abandoned walk ends at its next step
        return pages, failed
