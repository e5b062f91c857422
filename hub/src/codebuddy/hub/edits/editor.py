"""How every writing tool makes its edit: plan it, apply it, tell the spokes, and see what it did to the diagnostics."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Generic, TypedDict, TypeVar, Unpack
from weakref import WeakValueDictionary

import anyio
from anyio.to_thread import run_sync

from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import Text, decode, encode
from codebuddy.hub.edits.draft import Change, Draft, Plan
from codebuddy.hub.edits.engine import EditEngine, Outcome
from codebuddy.hub.edits.summaries import summarise
from codebuddy.hub.spokes import Links, ask_each, ask_spoke
from codebuddy.schemas.code import Diagnostic, DiagnosticsResult, FormattedText, Reason, paths_in, reason_of
from codebuddy.schemas.edits import DiagnosticsChange, EditResult, Extent
from codebuddy.text_safety import printable
from codebuddy.tool import Call, ToolError

AskFormat = Callable[[WorkspacePath, str], Awaitable[FormattedText]]
"""Asks for a file's text to be formatted."""

FORMAT_SECONDS: Final = 5.0
"""So long a formatter may take for one file."""

ALL_SECONDS: Final = 20.0
"""So long formatting may take for all files of an edit."""

MAX_TEXT: Final = 768 * 1024
"""Characters of JSON; a larger text is not sent to a spoke, and so not formatted."""

_ANSWER_SECONDS: Final = 2.0  # so long after its time-out a spoke may take to say that it timed out
_FILES_AT_ONCE: Final = 8
_EDITS_AT_ONCE: Final = 8  # as each holds its content in memory
_TOLD: Final = 5

log = logging.getLogger(__name__)


@dataclass
class Formatted:
    """An edit whose texts were formatted.

    Args:
        plan: what is to be done now.
        texts: new contents of files, where formatting changed them.
        failures: why a text stays as it was given, by file.
    """

    plan: Plan
    texts: dict[WorkspacePath, bytes] = field(default_factory=dict)
    failures: dict[WorkspacePath, str] = field(default_factory=dict)

    @property
    def told(self) -> str | None:
        """What was not formatted and why, in a sentence; None when there is nothing to tell."""
        if not self.failures:
            return None
        shown = [f"{printable(str(path))}: {why}" for path, why in list(self.failures.items())[:_TOLD]]
        more = len(self.failures) - len(shown)
        return f"Written without being formatted: {' '.join(shown)}" + (f" And {more} more files." if more else "")


class WriteFormatter:
    """Formats the texts of edits.

    Args:
        ask: asks a spoke.
        projects: those in which everything that is written is formatted.
        max_file_bytes: a text that becomes longer is not accepted.
    """

    def __init__(self, ask: AskFormat, projects: Collection[str], max_file_bytes: int) -> None:
        self._ask, self._projects, self._max_bytes = ask, frozenset(projects), max_file_bytes
        self._edits = anyio.CapacityLimiter(_EDITS_AT_ONCE)

    def concerns(self, plan: Plan) -> bool:
        """Say whether there is anything to format."""
        return bool(self._projects) and any(self._texts(plan))

    async def format(self, plan: Plan) -> Formatted:
        """Format every new text of an edit; never fails."""
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
            if len(json.dumps(text.content, ensure_ascii=False)) > MAX_TEXT:
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
        data = encode(content, text.encoding)
        if len(data) > self._max_bytes:
            raise ToolError("too_large", f"formatted it would have more than {self._max_bytes} bytes.")
        if text.content.strip() and not content.strip():
            raise ToolError("bad_answer", "its formatter would leave nothing of it.")
        return data

    def _texts(self, plan: Plan) -> dict[WorkspacePath, Text]:
        """Give the new texts: not what only moves, even where that is a copy and a deletion."""
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
                found[path] = decode(after.content)
            except ToolError:
                continue  # no text
        return found


def _with_texts(plan: Plan, texts: dict[WorkspacePath, bytes]) -> Plan:
    changes = []
    for change in plan.changes:
        content = None if change.target is None else texts.get(change.target)
        if content is None or change.after is None:
            changes.append(change)
            continue
        after = replace(change.after, content=content, known_hash=None)
        if change.source != change.target or after != change.before:  # else formatting gave back what is there
            changes.append(Change(change.source, change.target, change.before, after))
    return replace(plan, changes=tuple(changes))


def link_format(links: Links) -> AskFormat:
    """Give what asks the spokes.

    Args:
        links: the links to them.
    """

    async def ask(path: WorkspacePath, content: str) -> FormattedText:
        sent = {"path": str(path), "content": content, "timeout_seconds": FORMAT_SECONDS}
        patience = FORMAT_SECONDS + _ANSWER_SECONDS
        return await links.call(path.project, "format_text", sent, FormattedText, timeout_seconds=patience)

    return ask


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


OnChange = Callable[[str, list[str]], Awaitable[None]]
"""Told (project id, paths in the project) after a write is on the disk; the answer waits, so it limits its own time."""

ATTEMPTS = 8
"""So often an edit that relies on nothing is drafted anew when another writer was faster."""

_WRITERS = 4  # edits at a time, as each may hold much content in memory; one that waits takes no thread from reads
_PATHS_AT_ONCE = 10_000  # as many as a spoke takes in one message


T = TypeVar("T")

Planner = Callable[[], tuple[Plan, T]]
"""Makes the plan of an edit, and something that its answer needs; called in a thread, and again after a conflict."""


class How(TypedDict, total=False):
    """How an edit is made: the arguments of `Editor.make`."""

    preview: bool
    diagnostics: Extent | None
    attempts: int
    turn: WorkspacePath | None
    formats: bool


@dataclass(frozen=True)
class Made(Generic[T]):
    """An edit that was made, or looked at.

    Args:
        value: what its planner gave with the plan.
        outcome: what it did, or would do.
        diagnostics: what it did to them, if that was asked for.
        formatted: how its texts were formatted; None where they were not to be.
    """

    value: T
    outcome: Outcome
    diagnostics: DiagnosticsChange | None
    formatted: Formatted | None = None

    @property
    def formatting(self) -> str | None:
        """What was written without being formatted although it should be, and why, in a sentence."""
        return None if self.formatted is None else self.formatted.told


async def tell(made: Made[Any], *, preview: bool) -> EditResult:
    """Give the answer for an edit.

    Args:
        made: the edit.
        preview: whether it was only looked at.
    """
    return await run_sync(
        partial(
            summarise,
            made.outcome,
            preview=preview or None,
            diagnostics=made.diagnostics,
            formatting=made.formatting,
        )
    )


class Editor:
    """Makes edits for the tools.

    Args:
        engine: applies them.
        on_change: told of every edit before it is answered; what it raises is logged, and the edit stands.
        check: asks for diagnostics.
        formatter: formats what is written; None: nothing is.
    """

    def __init__(
        self, engine: EditEngine, on_change: OnChange, check: Check, formatter: WriteFormatter | None = None
    ) -> None:
        self.engine, self._on_change, self._check, self._formatter = engine, on_change, check, formatter
        self._writers = anyio.CapacityLimiter(_WRITERS)
        self._turns: WeakValueDictionary[WorkspacePath, anyio.Lock] = WeakValueDictionary()

    def path(self, call: Call, text: str) -> WorkspacePath:
        """Read a path that the token covers.

        Raises:
            ToolError: ``invalid_path``, ``outside_project``, ``unknown_project``.
        """
        path = WorkspacePath.parse(text)
        self.require(call, [path])
        return path

    def require(self, call: Call, paths: Iterable[WorkspacePath]) -> None:
        """See that the token covers the projects of some paths.

        Raises:
            ToolError: ``unknown_project``.
        """
        for project in {path.project: None for path in paths}:
            call.principal.require_project(project, self.engine.workspaces.projects)

    async def draft(self, call: Call, tool: str, fill: Callable[[Draft], T], **how: Unpack[How]) -> Made[T]:
        """Make an edit of what is put into a draft.

        Args:
            call: whose it is.
            tool: the tool's name.
            fill: puts it in; what it gives is the value of the answer.
            how: as for `make`.

        Raises:
            ToolError: what `fill` and the engine raise; then nothing was changed.
        """

        def plan() -> tuple[Plan, T]:
            draft = Draft(self.engine.workspaces, self.engine.max_file_bytes)
            value = fill(draft)
            return draft.plan(tool, call.principal.subject), value

        return await self.make(plan, **how)

    async def make(
        self,
        plan: Planner[T],
        *,
        preview: bool = False,
        diagnostics: Extent | None = None,
        attempts: int = 1,
        turn: WorkspacePath | None = None,
        formats: bool = False,
    ) -> Made[T]:
        """Make an edit. One that has begun is finished and told, even when nobody waits for its answer any more.

        Args:
            plan: makes the plan.
            preview: do everything but the commit.
            diagnostics: what to compare them of; not with a preview.
            attempts: how often to plan anew when another writer was faster.
            turn: edits of the same path take turns, so that none of them has to be planned anew for another.
            formats: format the new texts first, where the project wants it.

        Raises:
            ToolError: ``conflict``, ``changed_meanwhile``, and others; then nothing was changed.
        """
        before = None
        if diagnostics is not None:
            planned, _ = await run_sync(plan, limiter=self._writers)
            before = await survey(self._check, places(planned.changes, diagnostics, after=False))
        async with self._turn(turn):
            made = await self._attempt(plan, preview, attempts, formats)
        outcome = made.outcome
        change = None
        if diagnostics is not None and before is not None:
            changes = outcome.changes
            after = await survey(self._check, places(changes, diagnostics, after=True)) if changes else before
            change = compare(before, after, changes)
        return replace(made, diagnostics=change)

    def _turn(self, path: WorkspacePath | None) -> AbstractAsyncContextManager[Any]:
        return nullcontext() if path is None else self._turns.setdefault(path, anyio.Lock())

    async def _attempt(self, plan: Planner[T], preview: bool, attempts: int, formats: bool) -> Made[T]:
        for attempt in range(attempts):
            try:
                return await self._once(plan, preview, formats)
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
            # Nothing is held meanwhile: who changes a file in this time makes the edit a conflict, as at any time.
            formatted = await formatter.format(planned)
            with anyio.CancelScope(shield=True):
                apply = partial(self.engine.apply, formatted.plan, preview=preview)
                outcome = await run_sync(apply, limiter=self._writers)
                await self._finish(outcome)
        assert outcome is not None
        return Made(value, outcome, None, formatted)

    async def _finish(self, outcome: Outcome) -> None:
        """Tell of an edit, and wait until nothing is left of what it replaced."""
        if outcome.edit is not None:
            await self._tell(outcome.changes)
            await run_sync(self.engine.wait_until_tidy, outcome.edit)

    async def _tell(self, changes: Sequence[Change]) -> None:
        """Tell the spokes of all projects, at the same time, where something is other than it was."""
        touched: dict[str, dict[str, None]] = {}
        for change in changes:
            node = change.after or change.before
            for path in (change.source, change.target):
                # That a directory is there goes without saying where it was only made for what is in it.
                if path is not None and node is not None and not node.implied:
                    touched.setdefault(path.project, {})[path.relative_wire] = None

        async def one(project: str, paths: list[str]) -> None:
            try:
                for start in range(0, len(paths), _PATHS_AT_ONCE):
                    await self._on_change(project, paths[start : start + _PATHS_AT_ONCE])
            except Exception:
                log.exception("a change of %s could not be told", project)

        async with anyio.create_task_group() as tasks:
            for project, paths in touched.items():
                tasks.start_soon(one, project, list(paths))
