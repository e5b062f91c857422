"""The output of a job from a position on: a page of it, or the lines that match a pattern."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from pydantic import TypeAdapter

from codebuddy.agent.runs.output import Piece, excerpt_of
from codebuddy.agent.runs.runs import Run
from codebuddy.files.cursors import seal, unseal
from codebuddy.files.search import SearchPattern, compile_search
from codebuddy.schemas.runs import JobOutput, JobOutputArguments, Match, OutputStream

_PLAIN: Final = (None, False, True)  # pattern, regex and case_sensitive of who only reads
_POSITION: TypeAdapter[int] = TypeAdapter(int)
_POLL_SECONDS: Final = 0.05
_SEARCH_AGAIN_SECONDS: Final = 0.2
_MAX_MATCHES: Final = 200
_MAX_LINE: Final = 2000  # characters of a line in the answer
_MAX_SEARCHED_LINE: Final = 64 * 1024  # bytes; a longer line is searched in parts
# How much is searched for one answer, and for how long; the cursor continues.
_SEARCH_BYTES: Final = 32 * 1024 * 1024
_SEARCH_SECONDS: Final = 3.0
_LINES_BETWEEN_CLOCK_CHECKS: Final = 500


def cursor_after(job_id: str, offset: int) -> str:
    """Return the cursor of a job's output that leads to what comes after a position."""
    return seal((job_id, *_PLAIN), offset)


async def read_job(run: Run, arguments: JobOutputArguments) -> JobOutput:
    """Return the requested output.

    Raises:
        ToolError: ``invalid_cursor``, ``invalid_pattern``, ``invalid_arguments``.
    """
    query = (arguments.job_id, arguments.pattern, arguments.regex, arguments.case_sensitive)
    start = _start(run, arguments, query)
    deadline = asyncio.get_running_loop().time() + arguments.wait_seconds
    if arguments.pattern is None:
        await _wait_for_output(run, start, deadline)
        ended = run.end is not None  # checked first: output may come after the check, and then this is not the end
        page = await run.transcript.read(start, arguments.limit)
        answer = _answer(run, page.end, ended, query)
        answer.output, answer.streams = excerpt_of(page.pieces)
        answer.omitted_bytes = page.start - start or None
        return answer
    pattern = compile_search(arguments.pattern, regex=arguments.regex, case_sensitive=arguments.case_sensitive)
    while True:
        total, ended = run.transcript.total, run.end is not None
        pieces = run.transcript.snapshot(start)
        found = await asyncio.to_thread(_search, pieces, pattern, start, arguments.limit, ended)
        if found.matches or not found.searched_all or ended or asyncio.get_running_loop().time() >= deadline:
            break
        start = found.next_start
        await asyncio.sleep(_SEARCH_AGAIN_SECONDS)
        await _wait_for_output(run, total, deadline)
    answer = _answer(run, found.next_start, ended, query)
    answer.matches = found.matches
    return answer


def _start(run: Run, arguments: JobOutputArguments, query: object) -> int:
    if arguments.cursor is not None:
        return unseal(query, arguments.cursor, _POSITION)
    offset = arguments.offset or 0
    return max(0, run.transcript.total + offset) if offset < 0 else offset


async def _wait_for_output(run: Run, start: int, deadline: float) -> None:
    loop = asyncio.get_running_loop()
    while run.end is None and run.transcript.total <= start and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


def _answer(run: Run, end: int, ended: bool, query: object) -> JobOutput:
    complete = ended and end >= run.transcript.total
    problem = run.transcript.problem
    cursor = None if complete else seal(query, end)
    answer = JobOutput(**dict(run.describe()), complete=complete, cursor=cursor, **dict(run.report))
    if problem is not None:
        lost = f"Not all of its output could be kept: {problem}."
        answer.message = lost if answer.message is None else f"{answer.message} {lost}"
        if ended:  # what was not kept does not come later either
            answer.complete, answer.cursor = True, None
    return answer


class _Found(NamedTuple):
    """The matching lines, where to continue, and whether everything that was there was searched."""

    matches: list[Match]
    next_start: int
    searched_all: bool


def _search(pieces: Iterator[tuple[int, Piece]], pattern: SearchPattern, start: int, limit: int, ended: bool) -> _Found:
    matches: list[Match] = []
    room, next_start, until = limit, start, time.monotonic() + _SEARCH_SECONDS
    for number, line in enumerate(_lines(pieces, start, ended), 1):
        if line.start - start > _SEARCH_BYTES or len(matches) >= _MAX_MATCHES:
            return _Found(matches, next_start, False)
        if number % _LINES_BETWEEN_CLOCK_CHECKS == 0 and time.monotonic() > until:
            return _Found(matches, next_start, False)
        if any(span is not None for span in pattern.spans(line.text)):
            room -= min(len(line.text), _MAX_LINE)
            if room < 0 and matches:
                return _Found(matches, next_start, False)
            text = line.text.decode("utf-8", "replace")[:_MAX_LINE]
            matches.append(Match(offset=line.start, stream=line.stream, line_text=text))
        next_start = line.next_start
    return _Found(matches, next_start, True)


class _Line(NamedTuple):
    """A line of output."""

    start: int
    stream: OutputStream
    text: bytes
    next_start: int  # where a later search continues so that it misses no line of the other stream


def _lines(pieces: Iterator[tuple[int, Piece]], start: int, ended: bool) -> Iterator[_Line]:
    """Return the lines from a position on; one without an end only when the run has ended."""
    partial: dict[OutputStream, tuple[int, bytes]] = {}
    for at, (stream, data) in pieces:
        if at + len(data) <= start:
            continue
        position = max(start, at)
        begin, before = partial.pop(stream, (position, b""))
        other_starts = [begun for begun, _ in partial.values()]
        *whole, rest = data[position - at :].split(b"\n")
        for text in whole:
            position += len(text) + 1
            yield _Line(begin, stream, (before + text).rstrip(b"\r"), min([position, *other_starts]))
            begin, before = position, b""
        if len(before) + len(rest) > _MAX_SEARCHED_LINE:
            position += len(rest)
            yield _Line(begin, stream, before + rest, min([position, *other_starts]))
        elif before or rest:
            partial[stream] = begin, before + rest
    if ended:
        for stream, (begin, text) in sorted(partial.items(), key=lambda item: item[1][0]):
            yield _Line(begin, stream, text, begin + len(text))
