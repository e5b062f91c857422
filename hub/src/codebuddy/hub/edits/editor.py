"""How every writing tool makes its edit: plan, format, apply, notify the spokes, and compare the diagnostics."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any, Generic, TypedDict, TypeVar, Unpack
from weakref import WeakValueDictionary

import anyio
from anyio.to_thread import run_sync

from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import LINE_BREAK, Text, content_hash, decode, encode_again, unified_diff
from codebuddy.hub.edits.dependents import Dependents, find_dependents
from codebuddy.hub.edits.disk_view import Node
from codebuddy.hub.edits.draft import Change, Draft, Drafted, Plan
from codebuddy.hub.edits.engine import EditEngine, Outcome
from codebuddy.hub.spokes import Links, ask_each, ask_spoke
from codebuddy.schemas.code import Diagnostic, DiagnosticsResult, FormattedText, Reason, paths_in, reason_of
from codebuddy.schemas.edits import Action, DiagnosticsChange, EditedFile, EditResult, Extent, TouchedFile, WriteResult
from codebuddy.text_safety import printable
from codebuddy.tool import Call, ToolError
from codebuddy.wire.load import count, reserve

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)

# Of summaries.
MAX_DIFF_BYTES = 32 * 1024
MAX_DIFFS_BYTES = 128 * 1024
MAX_CHILDREN = 50
"""If a created or deleted directory has more files, only the directory is listed, with their number."""

_CUT_NOTE = 100  # bytes for the last line of a cut diff
_LEAST_DIFF = 500  # bytes; with less room left, a diff is left out
_MAX_DIFFED = 4 * 1024 * 1024  # bytes; no diff of larger content

_Whole = tuple[bool, WorkspacePath]
"""The path of a directory that is deleted (True) or created."""

# Of making an edit.
Planner = Callable[[], tuple[Plan, T]]
"""Makes the plan of an edit and a value for the tool's answer; called in a thread, and again after a conflict."""

OnChange = Callable[[str, list[str]], Awaitable[None]]
"""Called with (project id, paths in the project) after a write. The tool's answer waits, so it limits its own time."""

ATTEMPTS = 8
"""How often an edit that expects no particular content is planned, while other writers are faster."""

_WRITERS = 4  # edits at a time, as each may hold much content in memory; those that wait take no thread from reads
_LEAST_BYTES = 8 * 1024 * 1024  # for which an edit waits; what it holds is known when it is planned
_COPIES = 4  # of an edit's content, while it is decoded, split and compared
_PATHS_AT_ONCE = 10_000  # a spoke takes no more in one message

# Of formatting.
AskFormat = Callable[[WorkspacePath, str], Awaitable[FormattedText]]
"""Asks a spoke to format a file's text."""

FORMAT_SECONDS = 5.0
"""Time limit of a formatter for one file."""

ALL_SECONDS = 20.0
"""Time limit for formatting all files of an edit."""

_MAX_TEXT = 768 * 1024  # characters of JSON; a larger text is not sent to a spoke, and so not formatted
_ANSWER_SECONDS = 2.0  # how long a spoke may take after its time limit to answer that it timed out
_FILES_AT_ONCE = 8
_EDITS_AT_ONCE = 8  # as each holds its content in memory
_SHOWN_FAILURES = 5

# Of diagnostics before and after an edit.
Check = Callable[[str, list[str] | None], Awaitable[DiagnosticsResult]]
"""Asks for the diagnostics of (project, workspace paths of files in it); None means the whole project."""

CHECK_SECONDS = 30.0
"""Time limit of the language servers, before and after the edit each."""

MAX_FOUND = 5000  # diagnostics of a project
_MAX_FILES = 100
_MAX_PAGES = 200
_MAX_CHARACTERS = 5_000_000  # of a project's diagnostics as JSON
_MAX_SHOWN = 200
_REQUESTS_AT_ONCE = 8

_Key = tuple[str | None, ...]


def summarise(
    outcome: Outcome,
    *,
    preview: bool | None = None,
    undoes: str | None = None,
    diagnostics: DiagnosticsChange | None = None,
    formatting: str | None = None,
) -> EditResult:
    """Return the answer for an edit. Computing the diffs takes time: call it in a thread.

    Args:
        undoes: id of the edit that it undoes.
        diagnostics: how they changed.
        formatting: which texts were not formatted although they should be.
    """
    shown, cut = _fold(outcome.changes)
    linked = set(outcome.hard_links)
    room, diff_cut = MAX_DIFFS_BYTES, False
    files = []
    for change, entries in shown:
        diff, is_cut = _diff(change, room)
        room -= len((diff or "").encode())
        diff_cut = diff_cut or is_cut
        files.append(_edited(change, entries, linked, diff))
    return EditResult(
        edit_id=outcome.edit,
        preview=preview or None,
        undoes=undoes,
        files=files,
        files_cut=cut or None,
        diff_cut=diff_cut or None,
        formatting=formatting,
        diagnostics=diagnostics,
    )


def touched(changes: Iterable[Change], limit: int) -> tuple[list[TouchedFile], int]:
    """List what some changes touched, up to a limit, and count the rest."""
    shown, cut = _fold(list(changes))
    files = [TouchedFile(**_touched(change, entries)) for change, entries in shown[:limit]]
    return files, cut + len(shown) - len(files)


def summarise_write(
    path: WorkspacePath,
    drafted: Drafted,
    outcome: Outcome,
    *,
    preview: bool | None = None,
    diagnostics: DiagnosticsChange | None = None,
    formatting: str | None = None,
    formatted: bool = False,
) -> WriteResult:
    """Return the answer for an edit of one text file; see `summarise`.

    Args:
        path: the file, as the caller named it.
        formatted: whether its new text is not the caller's.
    """
    before = None if drafted.before is None else decode(drafted.before, path).content
    diff, is_cut = _bounded_diff(str(path), before, decode(drafted.after, path).content)
    modes = [mode for change in outcome.changes if change.node.kind == "file" and (mode := _mode_change(change))]
    return WriteResult(
        path=str(path),
        hash=content_hash(drafted.after),
        diff=diff,
        created=before is None,
        edit_id=outcome.edit,
        preview=preview or None,
        mode=modes[0] if modes else None,
        hard_links=bool(outcome.hard_links) or None,
        diff_cut=is_cut or None,
        formatted=formatted or None,
        formatting=formatting,
        diagnostics=diagnostics,
    )


def _fold(changes: Sequence[Change]) -> tuple[list[tuple[Change, int | None]], int]:
    """Leave out parents that were only created for something in them, and the content of large directories.

    Returns:
        The changes to show, each large directory with the number of changes in it; and the number of those left out.
    """
    listed = [change for change in changes if not change.node.implied]
    listed.sort(key=lambda change: (change.path, change.target is not None))  # deletions before what takes their place
    wholes = {(change.target is None, change.path) for change in listed if _is_whole(change)}
    tops = [_top(change, wholes) for change in listed]
    inside = Counter(top for top in tops if top is not None)
    large = {top: count for top, count in inside.items() if count > MAX_CHILDREN}
    shown = [
        (change, large.get((change.target is None, change.path)))
        for change, top in zip(listed, tops, strict=True)
        if top not in large
    ]
    return shown, sum(large.values())


def _is_whole(change: Change) -> bool:
    return None in (change.source, change.target) and change.node.kind == "directory"


def _top(change: Change, wholes: set[_Whole]) -> _Whole | None:
    """Return the outermost directory with which something is deleted or created; None if there is none."""
    if None not in (change.source, change.target):
        return None
    path = change.path
    above = (WorkspacePath(path.project, path.parts[:depth]) for depth in range(1, len(path.parts)))
    return next((whole for parent in above if (whole := (change.target is None, parent)) in wholes), None)


def _edited(change: Change, entries: int | None, linked: set[WorkspacePath], diff: str | None) -> EditedFile:
    return EditedFile(
        **_touched(change, entries),
        hash=change.after.hash if change.after else None,
        before_hash=change.before.hash if change.before else None,
        mode=_mode_change(change),
        hard_links=change.path in linked or None,
        diff=diff,
    )


def _touched(change: Change, entries: int | None) -> dict[str, Any]:
    kind = change.node.kind
    return {
        "path": str(change.path),
        "action": _action(change),
        "type": None if kind == "file" else kind,
        "from_": str(change.source) if change.moves else None,
        "entries": entries,
    }


def _action(change: Change) -> Action:
    if change.source is None:
        return "created"
    if change.target is None:
        return "deleted"
    if change.moves:
        return "moved"
    # By hash: the journal does not have the content that came after.
    same = change.before is not None and change.after is not None and change.before.hash == change.after.hash
    return "mode" if same else "changed"


def _diff(change: Change, room: int) -> tuple[str | None, bool]:
    """Return the diff of a text file, and whether it was cut or left out because of its size."""
    if change.source is not None and change.target is not None and not change.rewrites:
        return None, False
    if any(node is not None and len(node.content or b"") > _MAX_DIFFED for node in (change.before, change.after)):
        return None, True
    try:
        before, after = _text(change.before, change.source), _text(change.after, change.target)
    except ToolError:
        return None, False  # binary
    if before is None and after is None:
        return None, False
    if room < _LEAST_DIFF:
        return None, True
    old_path = str(change.source) if change.moves else None
    diff, is_cut = _bounded_diff(str(change.path), before, after, room, old_path)
    return diff or None, is_cut


def _text(node: Node | None, path: WorkspacePath | None) -> str | None:
    return None if node is None or node.kind != "file" or node.content is None else decode(node.content, path).content


def _bounded_diff(
    path: str, before: str | None, after: str | None, room: int = MAX_DIFF_BYTES, old_path: str | None = None
) -> tuple[str, bool]:
    """Return a diff of at most `room` bytes, and whether it was cut."""
    diff = unified_diff(path, before, after, min(room, MAX_DIFF_BYTES) - _CUT_NOTE, old_path)
    # Every line of a diff begins with one of these, except the note that it was cut.
    return diff, bool(diff) and diff.rstrip("\n").rpartition("\n")[2][:1] not in {"-", "+", " ", "@", "\\"}


def _mode_change(change: Change) -> str | None:
    """Return the new permissions in octal, if they changed."""
    before, after = change.before, change.after
    if before is None or after is None or after.mode is None or after.mode == before.mode:
        return None
    return f"{after.mode:04o}"


class MakeOptions(TypedDict, total=False):
    """How to make an edit.

    Args:
        preview: do everything but the commit.
        diagnostics: what to compare the diagnostics of; not with a preview.
        attempts: how often to plan while other writers are faster; 1 if not given.
        turn: edits of the same path take turns, so that they need not be planned again for each other.
        formats: format the new texts first, in projects that want it.
        renamed: the old name and the new one, which tell diagnostics apart that have the name in their message.
    """

    preview: bool
    diagnostics: Extent | None
    attempts: int
    turn: WorkspacePath | None
    formats: bool
    renamed: tuple[str, str] | None


@dataclass(frozen=True)
class Made(Generic[T]):
    """An edit that was made, or previewed.

    Args:
        value: what the planner gave with the plan.
        diagnostics: how they changed, if that was asked for.
        formatted: how its texts were formatted; None if they were not to be.
    """

    value: T
    outcome: Outcome
    diagnostics: DiagnosticsChange | None
    formatted: Formatted | None = None

    @property
    def formatting(self) -> str | None:
        """Which texts were not formatted although they should be, and why."""
        return None if self.formatted is None else self.formatted.message


def _bytes_of(changes: Iterable[Change]) -> int:
    nodes = (node for change in changes for node in (change.before, change.after) if node is not None)
    return _COPIES * sum(len(node.content or b"") for node in nodes)


class Editor:
    """Makes edits for the tools.

    Args:
        on_change: called for every edit before its answer; an exception is logged, and the edit stands.
        check: asks for diagnostics.
        formatter: formats what is written; None: nothing is formatted.
    """

    def __init__(
        self, engine: EditEngine, on_change: OnChange, check: Check, formatter: WriteFormatter | None = None
    ) -> None:
        self.engine, self._on_change, self._check, self._formatter = engine, on_change, check, formatter
        self._writers = anyio.CapacityLimiter(_WRITERS)
        self._turns: WeakValueDictionary[WorkspacePath, anyio.Lock] = WeakValueDictionary()

    def path(self, call: Call, text: str) -> WorkspacePath:
        """Parse a path, which the token must cover."""
        path = WorkspacePath.parse(text)
        self.require(call, [path])
        return path

    def require(self, call: Call, paths: Iterable[WorkspacePath]) -> None:
        """Raise ``unknown_project`` if the token does not cover the projects of some paths."""
        for project in {path.project: None for path in paths}:
            call.principal.require_project(project, self.engine.workspaces.projects)

    async def draft(self, call: Call, tool: str, fill: Callable[[Draft], T], **options: Unpack[MakeOptions]) -> Made[T]:
        """Make an edit of what `fill` adds to a draft; see `make`."""

        def plan() -> tuple[Plan, T]:
            draft = Draft(self.engine.workspaces, self.engine.max_file_bytes)
            value = fill(draft)
            return draft.plan(tool, call.principal.subject), value

        return await self.make(plan, **options)

    async def make(self, plan: Planner[T], **options: Unpack[MakeOptions]) -> Made[T]:
        """Make an edit. Once it has begun, it is completed and announced even if the caller cancels.

        Raises:
            ToolError: ``conflict``, ``changed_meanwhile``, and others; then nothing has changed.
        """
        await reserve(_LEAST_BYTES)
        diagnostics, before, dependents = options.get("diagnostics"), None, Dependents()
        if diagnostics is not None:
            planned, _ = await run_sync(plan, limiter=self._writers)
            count(_bytes_of(planned.changes))
            if diagnostics == "files":
                dependents = await run_sync(partial(find_dependents, self.engine.workspaces, planned.changes))
            affected = _affected_files(planned.changes, diagnostics, dependents, after=False)
            before = await _check_affected(self._check, affected)
        async with self._turn(options.get("turn")):
            made = await self._attempt(plan, options)
        count(_bytes_of(made.outcome.changes))
        if diagnostics is None or before is None:
            return made
        changes, after = made.outcome.changes, before
        if changes:
            after = await _check_affected(self._check, _affected_files(changes, diagnostics, dependents, after=True))
        compared = await self.compute(partial(_Compared.of, changes, options.get("renamed")))
        return replace(made, diagnostics=_compare(before, after, compared, dependents.cut))

    async def answer_of(self, made: Made[Any], *, preview: bool, undoes: str | None = None) -> EditResult:
        """Return the tool's answer for an edit."""
        summary = partial(summarise, made.outcome, diagnostics=made.diagnostics, formatting=made.formatting)
        return await self.compute(partial(summary, preview=preview or None, undoes=undoes))

    async def compute(self, summary: Callable[[], R]) -> R:
        """Compute an answer with diffs in a thread. It has its turn like an edit, as it takes as much memory."""
        return await run_sync(summary, limiter=self._writers)

    def _turn(self, path: WorkspacePath | None) -> AbstractAsyncContextManager[Any]:
        return nullcontext() if path is None else self._turns.setdefault(path, anyio.Lock())

    async def _attempt(self, plan: Planner[T], options: MakeOptions) -> Made[T]:
        attempts = options.get("attempts", 1)
        for attempt in range(attempts):
            try:
                return await self._once(plan, options.get("preview", False), options.get("formats", False))
            except ToolError as error:
                if error.code != "conflict" or attempts == 1:
                    raise
                if attempt == attempts - 1:
                    message = "Another process keeps changing this; nothing was written. Try again."
                    raise ToolError("changed_meanwhile", message, error.path) from error
        raise AssertionError("unreachable")

    async def _once(self, plan: Planner[T], preview: bool, formats: bool) -> Made[T]:
        formatter = self._formatter if formats else None

        def plan_and_apply() -> tuple[Plan, T, Outcome | None]:
            planned, value = plan()
            if formatter is not None and formatter.concerns(planned):
                return planned, value, None
            return planned, value, self.engine.apply(planned, preview=preview)

        formatted = None
        with anyio.CancelScope(shield=True):
            planned, value, outcome = await run_sync(plan_and_apply, limiter=self._writers)
            if outcome is not None:
                await self._finish(outcome)
        if outcome is None and formatter is not None:
            # No lock is held meanwhile: a file that another process changes in this time is a conflict, as always.
            formatted = await formatter.format(planned)
            with anyio.CancelScope(shield=True):
                apply = partial(self.engine.apply, formatted.plan, preview=preview)
                outcome = await run_sync(apply, limiter=self._writers)
                await self._finish(outcome)
        assert outcome is not None
        return Made(value, outcome, None, formatted)

    async def _finish(self, outcome: Outcome) -> None:
        """Announce an edit, and wait until what it replaced is removed."""
        if outcome.edit is not None:
            await self._announce(outcome.changes)
            await run_sync(self.engine.wait_until_removed, outcome.edit)

    async def _announce(self, changes: Sequence[Change]) -> None:
        """Tell the spokes of all projects at the same time what has changed."""
        touched: dict[str, dict[str, None]] = {}
        for change in changes:
            for path in (change.source, change.target):
                if path is not None and not change.node.implied:
                    touched.setdefault(path.project, {})[path.relative_wire] = None

        async def one(project: str, paths: list[str]) -> None:
            try:
                for start in range(0, len(paths), _PATHS_AT_ONCE):
                    await self._on_change(project, paths[start : start + _PATHS_AT_ONCE])
            except Exception:
                log.exception("a change of %s could not be announced", project)

        async with anyio.create_task_group() as tasks:
            for project, paths in touched.items():
                tasks.start_soon(one, project, list(paths))


# Formatting -----------------------------------------------------------------------------------------------------------


def link_format(links: Links) -> AskFormat:
    """Format by the spokes."""

    async def ask(path: WorkspacePath, content: str) -> FormattedText:
        sent = {"path": str(path), "content": content, "timeout_seconds": FORMAT_SECONDS}
        timeout = FORMAT_SECONDS + _ANSWER_SECONDS
        return await links.call(path.project, "format_text", sent, FormattedText, timeout_seconds=timeout)

    return ask


@dataclass
class Formatted:
    """A plan with formatted texts.

    Args:
        texts: new contents of the files that formatting changed.
        failures: why a text stays as it was given, by file.
    """

    plan: Plan
    texts: dict[WorkspacePath, bytes] = field(default_factory=dict)
    failures: dict[WorkspacePath, str] = field(default_factory=dict)

    @property
    def message(self) -> str | None:
        """Which texts were not formatted, and why."""
        if not self.failures:
            return None
        shown = [f"{printable(str(path))}: {why}" for path, why in list(self.failures.items())[:_SHOWN_FAILURES]]
        more = len(self.failures) - len(shown)
        return f"Written without being formatted: {' '.join(shown)}" + (f" And {more} more files." if more else "")


class WriteFormatter:
    """Formats the texts of edits in some projects. A text that becomes longer than `max_file_bytes` is not accepted."""

    def __init__(self, ask: AskFormat, projects: Collection[str], max_file_bytes: int) -> None:
        self._ask, self._projects, self._max_bytes = ask, frozenset(projects), max_file_bytes
        self._edits = anyio.CapacityLimiter(_EDITS_AT_ONCE)

    def concerns(self, plan: Plan) -> bool:
        """Say whether there is anything to format."""
        return bool(self._projects) and any(self._texts(plan))

    async def format(self, plan: Plan) -> Formatted:
        """Format every new text of a plan. Failures are noted, and never raised."""
        formatted = Formatted(plan)
        files = anyio.CapacityLimiter(_FILES_AT_ONCE)
        texts = self._texts(plan)

        async def one(path: WorkspacePath, text: Text) -> None:
            async with files:
                formatted.failures[path] = f"its formatter took longer than {FORMAT_SECONDS:.0f} s."
                with anyio.move_on_after(FORMAT_SECONDS + _ANSWER_SECONDS):
                    await self._one(formatted, path, text)

        async with self._edits:
            for path in texts:
                formatted.failures[path] = f"formatting all files of the edit took longer than {ALL_SECONDS:.0f} s."
            with anyio.move_on_after(ALL_SECONDS):
                async with anyio.create_task_group() as tasks:
                    for path, text in texts.items():
                        tasks.start_soon(one, path, text)
        formatted.plan = _with_texts(plan, formatted.texts)
        return formatted

    async def _one(self, formatted: Formatted, path: WorkspacePath, text: Text) -> None:
        try:
            if len(json.dumps(text.content, ensure_ascii=False)) > _MAX_TEXT:
                raise ToolError("too_large", "it is too large for that.")
            answer = await self._ask(path, text.content)
            if answer.complete and answer.content is not None:
                formatted.texts[path] = self._encoded(answer.content, text)
            if answer.served and not answer.complete:
                raise ToolError("not_complete", answer.message or f"{answer.reason}.")
        except ToolError as error:
            formatted.failures[path] = error.message
            return
        except Exception:
            log.exception("formatting %s failed", path)
            formatted.failures[path] = "formatting failed inside the hub; see its log."
            return
        del formatted.failures[path]

    def _encoded(self, content: str, text: Text) -> bytes:
        data = encode_again(content, text)
        if len(data) > self._max_bytes:
            raise ToolError("too_large", f"formatted it would have more than {self._max_bytes} bytes.")
        if text.content.strip() and not content.strip():
            raise ToolError("bad_answer", "its formatter would leave nothing of it.")
        return data

    def _texts(self, plan: Plan) -> dict[WorkspacePath, Text]:
        """Return the new texts; without those that only move, also to another project (a copy and a deletion)."""
        gone = {change.before.hash for change in plan.changes if change.target is None and change.before is not None}
        found = {}
        for change in plan.changes:
            path, after = change.target, change.after
            if path is None or after is None or after.kind != "file" or not after.content:
                continue
            if path.project not in self._projects or (change.source is None and after.hash in gone):
                continue
            if change.before is not None and change.before.hash == after.hash:
                continue
            try:
                found[path] = decode(after.content, path)
            except ToolError:
                continue  # it is binary
        return found


def _with_texts(plan: Plan, texts: dict[WorkspacePath, bytes]) -> Plan:
    changes = []
    for change in plan.changes:
        content = None if change.target is None else texts.get(change.target)
        if content is None or change.after is None:
            changes.append(change)
            continue
        after = replace(change.after, content=content, known_hash=None)
        if change.source != change.target or after != change.before:  # else formatting restored the present text
            changes.append(replace(change, after=after))
    return replace(plan, changes=tuple(changes))


# Diagnostics before and after an edit ---------------------------------------------------------------------------------


def link_check(links: Links) -> Check:
    """Check by the spokes."""

    async def check(project: str, paths: list[str] | None) -> DiagnosticsResult:
        deadline = anyio.current_time() + CHECK_SECONDS
        if paths is None:
            return await _check_project(links, project, deadline)
        answers: dict[str, DiagnosticsResult] = {}
        limiter = anyio.CapacityLimiter(_REQUESTS_AT_ONCE)

        async def one(path: str) -> None:
            async with limiter:
                answers[path] = await _ask(links, project, deadline, path=path)

        async with anyio.create_task_group() as tasks:
            for path in paths[:_MAX_FILES]:
                tasks.start_soon(one, path)
        found = [answers[path] for path in sorted(answers)]
        if len(paths) > _MAX_FILES:
            message = f"{len(paths)} files of {project} were edited, and only {_MAX_FILES} of them were checked; "
            found.append(_incomplete("truncated", f"{message}ask for projects instead."))
        return _merged(found)

    return check


async def _check_project(links: Links, project: str, deadline: float) -> DiagnosticsResult:
    """Ask for page after page, within limits: a spoke may never come to an end."""
    pages: list[DiagnosticsResult] = []
    cursors: set[str | None] = {None}
    cursor, count, characters = None, 0, 0
    while True:
        page = await _ask(links, project, deadline, **({} if cursor is None else {"cursor": cursor}))
        count, characters = count + len(page.diagnostics), characters + len(page.model_dump_json())
        cursor = page.cursor
        is_new = cursor not in cursors and (page.checked_files > 0 or bool(page.diagnostics))
        is_enough = len(pages) + 1 >= _MAX_PAGES or count > MAX_FOUND or characters > _MAX_CHARACTERS
        if page.complete or not is_new or is_enough or anyio.current_time() > deadline:
            return _merged([*pages, page])
        cursors.add(cursor)
        if page.reason == "truncated":  # the next page completes it
            page = page.model_copy(update={"complete": True, "reason": None, "message": None})
        pages.append(page)


async def _ask(links: Links, project: str, deadline: float, **about: str) -> DiagnosticsResult:
    seconds = max(1.0, deadline - anyio.current_time())
    asked: dict[str, Any] = {**about, "timeout_seconds": seconds, "limit": 1000}
    try:
        return await ask_spoke(links, project, "diagnostics", asked, DiagnosticsResult, seconds=seconds, paths=paths_in)
    except ToolError as error:
        return _incomplete(reason_of(error), error.message)


def _affected_files(
    changes: Sequence[Change], extent: Extent, dependents: Dependents, *, after: bool
) -> dict[str, list[str] | None]:
    """Return what to check before or after an edit: project → its files, or None for the whole project."""
    affected: dict[str, list[str] | None] = {}
    for change in changes:
        if extent == "projects":
            affected |= {path.project: None for path in (change.source, change.target) if path is not None}
            continue
        path, node = (change.target, change.after) if after else (change.source, change.before)
        if path is not None and node is not None and node.kind == "file":
            files = affected.setdefault(path.project, [])
            if files is not None:
                files.append(str(path))
    moved = {str(change.source): str(change.target) for change in changes if change.moves} if after else {}
    gone = tuple(f"{change.source}/" for change in changes if after and change.target is None)
    for project, others in dependents.files.items():
        there = [_moved_path(path, moved) for path in others if not f"{path}/".startswith(gone)]
        affected[project] = [*(affected.get(project) or []), *there]
    return affected


async def _check_affected(check: Check, affected: Mapping[str, list[str] | None]) -> DiagnosticsResult:
    """Check all projects at the same time; one that cannot be checked makes the answer incomplete."""
    answers = await ask_each(affected, lambda project: check(project, affected[project]))
    return _merged(
        [
            _incomplete(reason_of(answer), answer.message) if isinstance(answer, ToolError) else answer
            for answer in answers.values()
        ]
    )


def _merged(answers: Sequence[DiagnosticsResult]) -> DiagnosticsResult:
    """Join answers. A reason that waiting or fixing something may remove takes precedence over ``unsupported``."""
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


def _compare(
    before: DiagnosticsResult, after: DiagnosticsResult, edit: _Compared, cut: str | None
) -> DiagnosticsChange:
    """Return the diagnostics that an edit introduced and cured, whatever their line numbers and however files moved."""
    was = [(_key(item, _moved_path(item.path, edit.moved)), item) for item in before.diagnostics]
    now = [(_key(item, item.path), item) for item in after.diagnostics]
    introduced, cured = _without_rewritten(_difference(now, was), _difference(was, now), edit)
    sides = [("Before the edit", before), ("After the edit", after)]
    lacking = [(name, side) for name, side in sides if not side.complete]
    notes = [f"{name}: {side.message or side.reason}" for name, side in lacking]
    reasons: list[Reason | None] = [side.reason for _, side in lacking]
    if not before.complete and introduced:
        notes.append("What is listed as introduced may have been there before.")
    if cut is not None:
        reasons.append("truncated")
        notes.append(f'{cut} diagnostics: "projects" compares all.')
    if max(len(introduced), len(cured)) > _MAX_SHOWN:
        reasons.append("truncated")
        notes.append(f"Of {len(introduced)} introduced and {len(cured)} cured, at most {_MAX_SHOWN} each are listed.")
    return DiagnosticsChange(
        introduced=introduced[:_MAX_SHOWN],
        cured=cured[:_MAX_SHOWN],
        complete=not reasons,
        reason=reasons[0] if reasons else None,
        message=" ".join(notes) or None,
    )


def _key(item: Diagnostic, path: str) -> _Key:
    return path, item.severity, item.code, item.source, item.message, item.line_text


def _moved_path(path: str, moved: Mapping[str, str]) -> str:
    """Return where a path is after files and directories moved."""
    here, rest = path, ""
    while here:
        if here in moved:
            return moved[here] + rest
        here, slash, name = here.rpartition("/")
        rest = slash + name + rest
    return path


@dataclass(frozen=True)
class _Compared:
    """An edit whose diagnostics are compared.

    Args:
        moved: new paths by old ones.
        lines: how many lines each text file has before and after it, by its new path.
        renamed: the old name and the new one, of a rename.
    """

    moved: Mapping[str, str]
    lines: Mapping[str, tuple[int, int]]
    renamed: tuple[str, str] | None

    @classmethod
    def of(cls, changes: Sequence[Change], renamed: tuple[str, str] | None) -> _Compared:
        lines = {}
        for change in changes:
            with suppress(ToolError):  # binary
                before, after = _text(change.before, change.source), _text(change.after, change.target)
                if before is not None and after is not None:
                    lines[str(change.target)] = (len(LINE_BREAK.split(before)), len(LINE_BREAK.split(after)))
        return cls({str(change.source): str(change.target) for change in changes if change.moves}, lines, renamed)

    def place(self, item: Diagnostic, side: int, from_end: bool, with_name: bool) -> _Key:
        """Return what tells a diagnostic from others without the text of its line.

        Args:
            side: 0 for one of before the edit, 1 for one of after it.
            from_end: count its line from the end of the file.
            with_name: read the old name in its message as the new one.
        """
        path, message = item.path, item.message
        if side == 0:
            path = _moved_path(path, self.moved)
            if with_name and self.renamed is not None:
                old, new = self.renamed
                message = re.sub(rf"(?<![\w$]){re.escape(old)}(?![\w$])", lambda _: new, message)
        line = item.line - (self.lines.get(path, (0, 0))[side] if from_end else 0)
        return path, item.severity, item.code, item.source, message, str(line)


def _without_rewritten(
    introduced: list[Diagnostic], cured: list[Diagnostic], edit: _Compared
) -> tuple[list[Diagnostic], list[Diagnostic]]:
    """Leave out what stays at its place, while the text of its line changes, as where a name in it is renamed.

    The place is counted from the first line or from the last one: lines may be added or removed below or above it.
    """
    for from_end, with_name in product((False, True), (False, True)):
        was = [(edit.place(item, 0, from_end, with_name), item) for item in cured]
        now = [(edit.place(item, 1, from_end, with_name), item) for item in introduced]
        introduced, cured = _difference(now, was), _difference(was, now)
    return introduced, cured


def _difference(items: list[tuple[_Key, Diagnostic]], others: list[tuple[_Key, Diagnostic]]) -> list[Diagnostic]:
    """Return the items that the others do not have, as often as they are missing there."""
    left = Counter(key for key, _ in others)
    found = []
    for key, item in items:
        if left[key] > 0:
            left[key] -= 1
        else:
            found.append(item)
    return found
