"""What an edit did to the diagnostics: asked before and after it, and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import anyio

from codebuddy.edits.plan import Change
from codebuddy.links.fanout import ask_each, ask_spoke
from codebuddy.links.registry import Links
from codebuddy.schemas.code import Diagnostic, DiagnosticsResult, Reason, paths_in, reason_of
from codebuddy.schemas.edits import DiagnosticsChange, Extent
from codebuddy.tool import ToolError

__all__ = ["Check", "compare", "link_check", "places", "survey"]

Check = Callable[[str, list[str] | None], Awaitable[DiagnosticsResult]]
"""Asks for the diagnostics of (project, workspace paths of files there); None means all of the project."""

CHECK_SECONDS = 30.0
"""So long the language servers may take, each time."""

MAX_FILES = 100
MAX_FOUND = 5000
MAX_PAGES = 200
MAX_CHARACTERS = 5_000_000
MAX_TOLD = 200

_AT_ONCE = 8


def link_check(links: Links) -> Check:
    """Give what asks the spokes.

    Args:
        links: the links to them.
    """

    async def check(project: str, paths: list[str] | None) -> DiagnosticsResult:
        deadline = anyio.current_time() + CHECK_SECONDS
        if paths is None:
            return await _check_all(links, project, deadline)
        answers: dict[str, DiagnosticsResult] = {}
        limiter = anyio.CapacityLimiter(_AT_ONCE)

        async def one(path: str) -> None:
            async with limiter:
                answers[path] = await _ask(links, project, deadline, path=path)

        async with anyio.create_task_group() as tasks:
            for path in paths[:MAX_FILES]:
                tasks.start_soon(one, path)
        found = [answers[path] for path in sorted(answers)]
        if len(paths) > MAX_FILES:
            told = f"{len(paths)} files of {project} were edited, and only {MAX_FILES} of them were looked at"
            found.append(_incomplete("truncated", f"{told}; ask for projects instead."))
        return _merged(found)

    return check


async def _check_all(links: Links, project: str, deadline: float) -> DiagnosticsResult:
    """Ask page after page, to the last or as far as is sensible: what a spoke gives need not come to an end."""
    pages: list[DiagnosticsResult] = []
    cursors: set[str | None] = {None}
    cursor, count, characters = None, 0, 0
    while True:
        page = await _ask(links, project, deadline, **({} if cursor is None else {"cursor": cursor}))
        count, characters = count + len(page.diagnostics), characters + len(page.model_dump_json())
        cursor = page.cursor
        is_new = cursor not in cursors and (page.checked_files > 0 or bool(page.diagnostics))
        is_enough = len(pages) + 1 >= MAX_PAGES or count > MAX_FOUND or characters > MAX_CHARACTERS
        if page.complete or not is_new or is_enough or anyio.current_time() > deadline:
            return _merged([*pages, page])
        cursors.add(cursor)
        if page.reason == "truncated":  # A page that another one follows is not what is incomplete.
            page = page.model_copy(update={"complete": True, "reason": None, "message": None})
        pages.append(page)


async def _ask(links: Links, project: str, deadline: float, **about: str) -> DiagnosticsResult:
    seconds = max(1.0, deadline - anyio.current_time())
    asked: dict[str, Any] = {**about, "timeout_seconds": seconds, "limit": 1000}
    try:
        return await ask_spoke(links, project, "diagnostics", asked, DiagnosticsResult, seconds=seconds, paths=paths_in)
    except ToolError as error:
        return _incomplete(reason_of(error), error.message)


def places(changes: Iterable[Change], extent: Extent, *, after: bool) -> dict[str, list[str] | None]:
    """Give what to ask for: project → its files, or None for all of it.

    Args:
        changes: those of an edit.
        extent: what is to be looked at.
        after: the files as they are after the edit; else as before.
    """
    asked: dict[str, list[str] | None] = {}
    for change in changes:
        if extent == "projects":
            asked |= {path.project: None for path in (change.source, change.target) if path is not None}
            continue
        path, node = (change.target, change.after) if after else (change.source, change.before)
        if path is not None and node is not None and node.kind == "file":
            files = asked.setdefault(path.project, [])
            if files is not None:
                files.append(str(path))
    return asked


async def survey(check: Check, asked: Mapping[str, list[str] | None]) -> DiagnosticsResult:
    """Ask all projects at the same time; what cannot be asked makes the answer incomplete and fails nothing."""
    answers = await ask_each(asked, lambda project: check(project, asked[project]))
    return _merged([_told(answer) for answer in answers.values()])


def compare(before: DiagnosticsResult, after: DiagnosticsResult, changes: Sequence[Change]) -> DiagnosticsChange:
    """Tell what came and what went, whatever the lines that it is on now.

    Args:
        before: what was there before the edit.
        after: what is there now.
        changes: those of the edit; what it moved is the same thing at its new path.
    """
    moved = {str(change.source): str(change.target) for change in changes if change.moves}
    was = [(_key(item, _later(item.path, moved)), item) for item in before.diagnostics]
    now = [(_key(item, item.path), item) for item in after.diagnostics]
    introduced, cured = _beyond(now, was), _beyond(was, now)
    sides = [("Before the edit", before), ("After the edit", after)]
    lacking = [(name, side) for name, side in sides if not side.complete]
    notes = [f"{name}: {side.message or side.reason}" for name, side in lacking]
    reasons: list[Reason | None] = [side.reason for _, side in lacking]
    if not before.complete and introduced:
        notes.append("So what is told as introduced may have been there before.")
    if max(len(introduced), len(cured)) > MAX_TOLD:
        reasons.append("truncated")
        notes.append(f"Of {len(introduced)} introduced and {len(cured)} cured, {MAX_TOLD} each are told at most.")
    return DiagnosticsChange(
        introduced=introduced[:MAX_TOLD],
        cured=cured[:MAX_TOLD],
        complete=not reasons,
        reason=reasons[0] if reasons else None,
        message=" ".join(notes) or None,
    )


_Key = tuple[str | None, ...]


def _key(item: Diagnostic, path: str) -> _Key:
    return path, item.severity, item.code, item.source, item.message, item.line_text


def _later(path: str, moved: Mapping[str, str]) -> str:
    """Give where a path is after the moves of files and directories."""
    here, rest = path, ""
    while here:
        if here in moved:
            return moved[here] + rest
        here, slash, name = here.rpartition("/")
        rest = slash + name + rest
    return path


def _beyond(items: list[tuple[_Key, Diagnostic]], others: list[tuple[_Key, Diagnostic]]) -> list[Diagnostic]:
    """Give the items that the others lack, each as often as it is more."""
    left = Counter(key for key, _ in others)
    found = []
    for key, item in items:
        if left[key] > 0:
            left[key] -= 1
        else:
            found.append(item)
    return found


def _told(answer: DiagnosticsResult | ToolError) -> DiagnosticsResult:
    if isinstance(answer, ToolError):
        return _incomplete(reason_of(answer), answer.message)
    return answer


def _merged(answers: Sequence[DiagnosticsResult]) -> DiagnosticsResult:
    """Join answers; of several reasons, one that waiting or mending may remove is told before one that stays."""
    lacking = sorted((part for part in answers if not part.complete), key=lambda part: part.reason == "unsupported")
    return DiagnosticsResult(
        complete=not lacking,
        reason=lacking[0].reason if lacking else None,
        message=lacking[0].message if lacking else None,
        diagnostics=[item for part in answers for item in part.diagnostics],
        checked_files=sum(part.checked_files for part in answers),
    )


def _incomplete(reason: Reason, message: str) -> DiagnosticsResult:
    return DiagnosticsResult(complete=False, reason=reason, message=message, diagnostics=[], checked_files=0)
