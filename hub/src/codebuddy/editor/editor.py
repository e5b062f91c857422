"""How every writing tool makes its edit: plan it, apply it, tell the spokes, and see what it did to the diagnostics."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypedDict, TypeVar, Unpack
from weakref import WeakValueDictionary

import anyio
from anyio.to_thread import run_sync

from codebuddy.editor.diagnostics import Check, compare, places, survey
from codebuddy.editor.formatting import Formatted, WriteFormatter
from codebuddy.edits.draft import Draft
from codebuddy.edits.engine import EditEngine, Outcome
from codebuddy.edits.plan import Change, Plan
from codebuddy.edits.summaries import summarise
from codebuddy.files.paths import WorkspacePath
from codebuddy.schemas.edits import DiagnosticsChange, EditResult, Extent
from codebuddy.tool import Call, ToolError

__all__ = ["ATTEMPTS", "Editor", "Made", "OnChange", "tell"]

OnChange = Callable[[str, list[str]], Awaitable[None]]
"""Told (project id, paths in the project) after a write is on the disk; the answer waits, so it limits its own time."""

ATTEMPTS = 8
"""So often an edit that relies on nothing is drafted anew when another writer was faster."""

_WRITERS = 4  # edits at a time, as each may hold much content in memory; one that waits takes no thread from reads
_PATHS_AT_ONCE = 10_000  # as many as a spoke takes in one message

log = logging.getLogger(__name__)

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
