"""Output of a job from a place on: a page of it, or the lines that fit a pattern. It can wait for more."""

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
from codebuddy.schemas.runs import JobOutput, JobOutputArguments, Match, StretchOf

_WHERE: TypeAdapter[int] = TypeAdapter(int)
_POLL_SECONDS: Final = 0.05
_SEARCH_AGAIN_SECONDS: Final = 0.2
_MAX_MATCHES: Final = 200
_MAX_LINE: Final = 2000
_LONGEST_LINE: Final = 64 * 1024
_SEARCH_BYTES: Final = 32 * 1024 * 1024
_SEARCH_SECONDS: Final = 3.0
"""So much is searched for one answer, and for so long; the cursor goes on."""

_LINES_A_LOOK: Final = 500  # at the clock


async def read_job(run: Run, arguments: JobOutputArguments) -> JobOutput:
    """Give the output that is asked for.

    Raises:
        ToolError: ``invalid_cursor``, ``invalid_pattern``, ``invalid_arguments``.
    """
    question = (arguments.job_id, arguments.pattern, arguments.regex, arguments.case_sensitive)
    start = _start(run, arguments, question)
    deadline = asyncio.get_running_loop().time() + arguments.wait_seconds
    if arguments.pattern is None:
        await _wait(run, start, deadline)
        ended = run.end is not None  # looked at first: what comes after that look is not taken for the end
        page = await run.transcript.read(start, arguments.limit)
        text, streams = excerpt_of(page.pieces)
        answer = _answer(run, page.end, ended, question)
        answer.output, answer.streams = text, streams
        answer.omitted_bytes = page.start - start or None
        return answer
    pattern = compile_search(arguments.pattern, regex=arguments.regex, case_sensitive=arguments.case_sensitive)
    while True:
        seen, ended = run.transcript.total, run.end is not None
        pieces = run.transcript.snapshot(start)
        found = await asyncio.to_thread(_search, pieces, pattern, start, arguments.limit, ended)
        if found.matches or not found.searched_all or ended or asyncio.get_running_loop().time() >= deadline:
            break
        start = found.resume
        await asyncio.sleep(_SEARCH_AGAIN_SECONDS)
        await _wait(run, seen, deadline)
    answer = _answer(run, found.resume, ended, question)
    answer.matches = found.matches
    return answer


def _start(run: Run, arguments: JobOutputArguments, question: object) -> int:
    if arguments.cursor is not None:
        return unseal(question, arguments.cursor, _WHERE)
    offset = arguments.offset or 0
    return max(0, run.transcript.total + offset) if offset < 0 else offset


async def _wait(run: Run, start: int, deadline: float) -> None:
    loop = asyncio.get_running_loop()
    while run.end is None and run.transcript.total <= start and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


def _answer(run: Run, end: int, ended: bool, question: object) -> JobOutput:
    complete = ended and end >= run.transcript.total
    problem = run.transcript.problem
    answer = JobOutput(
        **dict(run.describe()), complete=complete, cursor=None if complete else seal(question, end), **dict(run.report)
    )
    if problem is not None:
        lost = f"Not all of its output could be kept: {problem}."
        answer.message = lost if answer.message is None else f"{answer.message} {lost}"
        if ended:  # what was not kept does not come later either
            answer.complete, answer.cursor = True, None
    return answer


class _Found(NamedTuple):
    """The lines that fit from a place on, where a later search goes on, and whether all that is there was looked at."""

    matches: list[Match]
    resume: int
    searched_all: bool


def _search(pieces: Iterator[tuple[int, Piece]], pattern: SearchPattern, start: int, limit: int, ended: bool) -> _Found:
    matches: list[Match] = []
    room, resume, until = limit, start, time.monotonic() + _SEARCH_SECONDS
    for number, line in enumerate(_lines(pieces, start, ended), 1):
        if line.begin - start > _SEARCH_BYTES or len(matches) >= _MAX_MATCHES:
            return _Found(matches, resume, False)
        if number % _LINES_A_LOOK == 0 and time.monotonic() > until:
            return _Found(matches, resume, False)
        if next((span for span in pattern.spans(line.text) if span is not None), None) is not None:
            room -= min(len(line.text), _MAX_LINE)
            if room < 0 and matches:
                return _Found(matches, resume, False)
            told = line.text.decode("utf-8", "replace")[:_MAX_LINE]
            matches.append(Match(offset=line.begin, stream=line.stream, line_text=told))
        resume = line.resume
    return _Found(matches, resume, True)


class _Line(NamedTuple):
    """A line: where it begins, its stream, its text; and where to go on behind it, so that no other one is missed."""

    begin: int
    stream: StretchOf
    text: bytes
    resume: int


def _lines(pieces: Iterator[tuple[int, Piece]], start: int, ended: bool) -> Iterator[_Line]:
    """Give lines. One that has no end yet is given only when none will come."""
    parts: dict[StretchOf, tuple[int, bytes]] = {}
    for at, (stream, data) in pieces:
        if at + len(data) <= start:
            continue
        position = max(start, at)
        begin, before = parts.pop(stream, (position, b""))
        waiting = [one for one, _ in parts.values()]
        *whole, rest = data[position - at :].split(b"\n")
        for text in whole:
            position += len(text) + 1
            yield _Line(begin, stream, (before + text).rstrip(b"\r"), min([position, *waiting]))
            begin, before = position, b""
        if len(before) + len(rest) > _LONGEST_LINE:
            position += len(rest)
            yield _Line(begin, stream, before + rest, min([position, *waiting]))
        elif before or rest:
            parts[stream] = begin, before + rest
    for stream, (begin, text) in sorted(parts.items(), key=lambda part: part[1][0]):
        if ended:
            yield _Line(begin, stream, text, begin + len(text))
