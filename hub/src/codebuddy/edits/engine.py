"""The engine: a plan becomes an edit. Check, journal, stage, sync, commit; whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

from codebuddy.edits import disk
from codebuddy.edits.committing import apply_all, build_steps
from codebuddy.edits.journal import Journal
from codebuddy.edits.locks import Locks
from codebuddy.edits.plan import Change, Plan
from codebuddy.edits.records import Contents, write_change, write_path, write_step
from codebuddy.edits.settling import Settler
from codebuddy.edits.staging import Stage
from codebuddy.edits.steps import RevertIncomplete, Step
from codebuddy.edits.worksite import Site, Worksite
from codebuddy.files.confinement import Workspaces, as_tool_error
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.walking import MAX_FILE_BYTES
from codebuddy.tool import ToolError

__all__ = ["EditEngine", "Outcome"]

_SYNCERS = 8  # files that are synced at once: the file system then writes one transaction for many

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What an edit did, or would do.

    Args:
        edit: its id; None for a preview, and where there was nothing to do.
        changes: with what was found before and what came after.
        hard_links: files that have other names, which have the new content too.
    """

    edit: str | None
    changes: tuple[Change, ...]
    hard_links: tuple[WorkspacePath, ...] = ()


class EditEngine:
    """Applies plans. Safe to be used from several threads; every writer of the hub goes through one engine.

    Args:
        workspaces: the projects.
        journal: where edits are recorded; what it holds unfinished was recovered before.
        max_file_bytes: larger files are not rewritten.
    """

    def __init__(self, workspaces: Workspaces, journal: Journal, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self.workspaces, self.journal, self.max_file_bytes = workspaces, journal, max_file_bytes
        self._locks = Locks()
        self._settler = Settler(journal)
        self._syncers = ThreadPoolExecutor(_SYNCERS, "sync")

    def wait_until_tidy(self, edit: str | None = None) -> None:
        """Wait until what an edit replaced is removed, or all of them; it may take a moment longer than they do."""
        self._settler.wait_until_tidy(edit)

    def close(self) -> None:
        """Have all that was committed on the disk, directories too."""
        self._settler.close()
        self._syncers.shutdown()

    def apply(self, plan: Plan, *, preview: bool = False) -> Outcome:
        """Make an edit of a plan, or with ``preview`` all of it but the commit.

        When this returns, the edit survives a crash of the hub; and of the machine, but for one of a single rename:
        that is as durable as any write that was synced, and its record follows a moment later.

        Raises:
            ToolError: ``conflict`` and others; then nothing was changed.
        """
        if not plan.changes:
            return Outcome(None, ())
        edit = self.journal.new_id()
        worksite, alone = Worksite(plan, self.workspaces, self.max_file_bytes), _wanted_alone(plan)
        with (
            self._locks.projects(plan.projects, alone),
            worksite,
            self._locks.files(worksite.keys),
        ):
            if alone:
                self._settler.wait_until_tidy()  # what is being removed is not for this edit to find
            worksite.check()
            changes = tuple(_with_found(site) for site in worksite.sites)
            links = tuple(site.change.path for site in worksite.sites if _has_links(site))
            self._make(edit, worksite, changes, preview=preview)
            return Outcome(None if preview else edit, changes, links)

    def _make(self, edit: str, worksite: Worksite, changes: tuple[Change, ...], *, preview: bool) -> None:
        """Journal, stage and commit; what is not committed is taken away again."""
        stage = Stage(worksite, edit)
        steps = build_steps(worksite, stage, edit)
        # First the record, so that after a crash it is known where to look for what was staged.
        contents = Contents()
        where = [[write_path(spot.directory), name] for spot, name in stage.temporaries]
        if preview:
            self._write("staging", edit, where)
        else:
            document = {"changes": [write_change(change, contents) for change in changes], "staged": where}
            if _is_atomic(steps):
                document["steps"] = [write_step(steps[0], contents)]
            sync_journal = self._record(edit, worksite.plan, document, contents)
        done: list[Step] = []
        kept: set[WorkspacePath | None] = set()
        end = "discarded"
        try:
            unsynced = stage.write()
            if preview:
                return
            stage.enter_created(steps)
            if not _is_atomic(steps):
                sync_journal = self._write("begun", edit, {"steps": [write_step(step, contents) for step in steps]})
            self._sync(unsynced, steps, sync_journal, worksite.plan.changes[0].path)
            end = "reverted"
            apply_all(steps, done)
            end = "applied"
            self._tidy(edit, steps)
        except RevertIncomplete as error:
            kept = {step.former for step in error.steps}
            raise
        finally:
            stage.close()
            if end != "applied":
                # What the disk refused to take back is left to recovery, with all that it needs for that.
                stage.discard({*kept, *(step.former for step in done)})
                self._mark("reverting" if done else end, edit)

    def _record(self, edit: str, plan: Plan, document: dict[str, Any], contents: Contents) -> Callable[[], None]:
        about = {"tool": plan.tool, "subject": plan.subject, "projects": plan.projects, "undoes": plan.undoes}
        about["boot"] = self.journal.boot
        return self._write("edit", edit, document, contents.data, about)

    def _write(self, kind: str, edit: str, *parts: Any) -> Callable[[], None]:
        try:
            return self.journal.write(kind, edit, *parts)
        except OSError as error:
            raise ToolError(
                "journal_failed",
                f"The journal of edits cannot be written ({error.strerror}); make room for it. Nothing was changed.",
            ) from error

    def _sync(self, unsynced: list[int], steps: list[Step], journal: Callable[[], None], path: WorkspacePath) -> None:
        """Wait until staged content is on the disk, and the journal.

        Several syncs at once cost little more than one: the file system writes them in one transaction. An edit that is
        a single rename is whole or absent without any journal; its record is synced with the next ones, a moment later.
        """
        try:
            if _is_atomic(steps):
                for fd in unsynced:
                    disk.sync(fd)
                return
            waiting = [self._syncers.submit(disk.sync, fd) for fd in unsynced]
            try:
                journal()
            finally:
                wait(waiting)  # for all of them: the descriptors are closed next
            for future in waiting:
                future.result()
        except OSError as error:
            raise as_tool_error(error, path) from error

    def _tidy(self, edit: str, steps: list[Step]) -> None:
        """Remove what was replaced; have the rest settled soon."""
        if _is_atomic(steps):
            self.journal.note(edit, "applied")  # that it is there shows it well enough, until it is settled
            self._settler.tidy(edit, steps[0])
            return
        self._mark("applied", edit)
        try:
            for step in steps:
                step.finish()
        except OSError:
            log.exception("what edit %s replaced could not be removed; the hub tries again when it starts", edit)
            return
        self._settler.add(edit, {fd for step in steps for fd in step.directories})

    def _mark(self, kind: str, edit: str) -> None:
        """Note how an edit ended. It need not succeed: recovery finds out by what is there."""
        try:
            self.journal.write(kind, edit)
        except OSError:
            log.exception("the journal could not note that edit %s was %s", edit, kind)


def _is_atomic(steps: list[Step]) -> bool:
    return len(steps) == 1 and steps[0].is_atomic


def _wanted_alone(plan: Plan) -> set[str]:
    """Give the projects in which a whole directory moves or goes: no file in it may be changed meanwhile."""
    return {
        change.source.project
        for change in plan.changes
        if change.source is not None
        and change.source != change.target
        and change.before is not None
        and change.before.kind == "directory"
    }


def _with_found(site: Site) -> Change:
    """Give the change with all that was found of what was before, and all that is known of what comes after."""
    change, found = site.change, site.found
    if found is None:
        return change
    after = change.after
    if after is not None and not change.rewrites:
        after = found.node if after.mode is None else replace(found.node, mode=after.mode)
    before = found.node
    if change.before is not None and change.before.implied:
        before = replace(before, implied=True)
    if after is not None and not change.rewrites:  # it moves, or its mode changes: to undo that takes no content
        before, after = before.without_content(), after.without_content()
    return Change(change.source, change.target, before, after)


def _has_links(site: Site) -> bool:
    found = site.found
    return site.change.rewrites and found is not None and found.status.st_nlink > 1
