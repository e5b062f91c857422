"""The engine: applies a plan completely or not at all. It checks, records, stages, syncs and commits."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from codebuddy.files.confinement import Workspaces, as_tool_error
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import MAX_FILE_BYTES
from codebuddy.hub.edits import disk
from codebuddy.hub.edits.draft import Change, Plan
from codebuddy.hub.edits.journal import Contents, Journal, write_change, write_path, write_step
from codebuddy.hub.edits.prepare import PreparedPlan, Staging, build_steps
from codebuddy.hub.edits.steps import RevertIncomplete, Step, apply_all
from codebuddy.tool import ToolError

_SYNC_DELAY_SECONDS = 0.05
_MAX_DIRECTORIES = 1024  # that wait to be synced; each takes a descriptor
_SYNC_THREADS = 8  # the file system then writes one transaction for many files

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What an edit did, or would do.

    Args:
        edit: its id; None for a preview, and if there was nothing to do.
        changes: with what was found before and what came after.
        hard_links: files with other names, which have the new content too.
    """

    edit: str | None
    changes: tuple[Change, ...]
    hard_links: tuple[WorkspacePath, ...] = ()


class EditEngine:
    """Applies plans. Thread-safe; everything that the hub writes goes through one engine.

    Files of more than `max_file_bytes` are not rewritten. Unfinished edits in the journal must be recovered before.
    """

    def __init__(self, workspaces: Workspaces, journal: Journal, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self.workspaces, self.journal, self.max_file_bytes = workspaces, journal, max_file_bytes
        self._locks = Locks()
        self._deferred = DeferredSync(journal)
        self._syncers = ThreadPoolExecutor(_SYNC_THREADS, "sync")

    def wait_until_removed(self, edit: str | None = None) -> None:
        """Wait until what an edit replaced is removed; without an id, what all edits replaced."""
        self._deferred.wait_until_removed(edit)

    def close(self) -> None:
        """Wait until everything is on the disk."""
        self._deferred.close()
        self._syncers.shutdown()

    def apply(self, plan: Plan, *, preview: bool = False) -> Outcome:
        """Apply a plan; for a preview, do everything but the commit.

        When this returns, the edit survives a crash of the hub. It also survives a power cut, unless it is a single
        rename: that is as durable as any synced write, and its record reaches the disk a moment later.

        Raises:
            ToolError: ``conflict`` and others; then nothing has changed.
        """
        if not plan.changes:
            return Outcome(None, ())
        edit = self.journal.new_id()
        prepared, exclusive = PreparedPlan(plan, self.workspaces, self.max_file_bytes), _exclusive_projects(plan)
        with (
            self._locks.projects(plan.projects, exclusive),
            prepared,
            self._locks.files(prepared.keys),
        ):
            if exclusive:
                self._deferred.wait_until_removed()  # or this edit would find what another is removing
            prepared.check()
            changes = tuple(planned.as_recorded() for planned in prepared.changes)
            hard_links = tuple(planned.change.path for planned in prepared.changes if planned.has_hard_links)
            self._make(edit, prepared, changes, preview=preview)
            return Outcome(None if preview else edit, changes, hard_links)

    def _make(self, edit: str, prepared: PreparedPlan, changes: tuple[Change, ...], *, preview: bool) -> None:
        """Record, stage and commit an edit; remove what is not committed."""
        staging = Staging(prepared, edit)
        steps = build_steps(prepared, staging, edit)
        # Write the record first: after a crash, it says where to look for what was staged.
        contents = Contents()
        staged = [[write_path(entry.directory), name] for entry, name in staging.temporaries]
        if preview:
            self._write("staging", edit, staged)
        else:
            document = {"changes": [write_change(change, contents) for change in changes], "staged": staged}
            if _is_atomic(steps):
                document["steps"] = [write_step(steps[0], contents)]
            sync_journal = self._write("edit", edit, document, contents.data, self._about(prepared.plan))
        done: list[Step] = []
        kept: set[WorkspacePath | None] = set()
        end = "discarded"
        try:
            unsynced = staging.write()
            if preview:
                return
            staging.open_created_targets(steps)
            if not _is_atomic(steps):
                sync_journal = self._write("begun", edit, {"steps": [write_step(step, contents) for step in steps]})
            self._sync(unsynced, steps, sync_journal, prepared.plan.changes[0].path)
            end = "reverted"
            apply_all(steps, done)
            end = "applied"
            self._clean_up(edit, steps)
        except RevertIncomplete as error:
            kept = {step.displaced for step in error.steps}
            raise
        finally:
            staging.close()
            if end != "applied":
                # What the disk refused to revert is left to recovery, with everything that it needs for that.
                staging.discard({*kept, *(step.displaced for step in done)})
                self._record_end("reverting" if done else end, edit)

    def _about(self, plan: Plan) -> dict[str, Any]:
        about = {"tool": plan.tool, "subject": plan.subject, "projects": plan.projects, "undoes": plan.undoes}
        return {**about, "boot": self.journal.boot}

    def _write(self, kind: str, edit: str, *parts: Any) -> Callable[[], None]:
        try:
            return self.journal.write(kind, edit, *parts)
        except OSError as error:
            raise ToolError(
                "journal_failed",
                f"The journal of edits cannot be written ({error.strerror}); make room for it. Nothing was changed.",
            ) from error

    def _sync(self, unsynced: list[int], steps: list[Step], journal: Callable[[], None], path: WorkspacePath) -> None:
        """Wait until the staged content and the journal are on the disk.

        Several syncs at once cost little more than one: the file system writes them in one transaction. A single rename
        is atomic without the journal, so its record is synced a moment later, together with others.
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
                wait(waiting)  # also after an error, as the descriptors are closed next
            for future in waiting:
                future.result()
        except OSError as error:
            raise as_tool_error(error, path) from error

    def _clean_up(self, edit: str, steps: list[Step]) -> None:
        """Remove what was replaced, and schedule the syncs of the directories."""
        if _is_atomic(steps):
            self.journal.note(edit, "applied")  # recovery sees it on the disk, until it is recorded as settled
            self._deferred.clean_up(edit, steps[0])
            return
        self._record_end("applied", edit)
        try:
            for step in steps:
                step.clean_up()
        except OSError:
            log.exception("what edit %s replaced could not be removed; the hub tries again when it starts", edit)
            return
        self._deferred.add(edit, {fd for step in steps for fd in step.directories})

    def _record_end(self, kind: str, edit: str) -> None:
        """Record how an edit ended. This may fail: recovery finds out from the disk."""
        try:
            self.journal.write(kind, edit)
        except OSError:
            log.exception("the journal could not record that edit %s was %s", edit, kind)


def _is_atomic(steps: list[Step]) -> bool:
    return len(steps) == 1 and steps[0].is_atomic


def _exclusive_projects(plan: Plan) -> set[str]:
    """Return the projects in which a whole directory moves or is deleted: no file in it may change meanwhile."""
    return {
        change.source.project
        for change in plan.changes
        if change.source is not None
        and change.source != change.target
        and change.before is not None
        and change.before.kind == "directory"
    }


class DeferredSync:
    """Syncs the directories of edits shortly after the commit, those of many edits together.

    An edit of several steps is durable before: its content and record are on the disk, and recovery does again what a
    power cut undid. An edit of a single rename is atomic by itself; its record is synced here.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._guard = threading.Lock()
        self._syncing = threading.Lock()  # a second call must wait until the first has synced what it took
        self._directories: dict[tuple[int, int], int] = {}
        self._edits: list[str] = []
        self._timer: threading.Timer | None = None
        self._remover = ThreadPoolExecutor(1, "remove")
        self._removing: dict[str, Future[None]] = {}

    def clean_up(self, edit: str, step: Step) -> None:
        """Remove what an edit of a single step replaced, in a thread, and then sync the directory.

        In a thread, because freeing the space of a file takes as long as writing one.
        """
        fd = os.dup(step.entry.fd)
        step.entry = replace(step.entry, fd=fd)

        def work() -> None:
            try:
                step.clean_up()
                self.add(edit, [fd])
            except OSError:
                log.exception("what edit %s replaced could not be removed; the hub tries again when it starts", edit)
            finally:
                os.close(fd)

        future = self._remover.submit(work)
        self._removing[edit] = future
        future.add_done_callback(lambda _: self._removing.pop(edit, None))

    def wait_until_removed(self, edit: str | None = None) -> None:
        """Wait until what an edit replaced is removed; without an id, what all edits replaced."""
        wait([future for name, future in list(self._removing.items()) if edit in (None, name)])

    def add(self, edit: str, directories: Iterable[int]) -> None:
        """Schedule the sync of an edit; the caller may close the descriptors of the directories."""
        with self._guard:
            for fd in directories:
                status = os.fstat(fd)
                key = (status.st_dev, status.st_ino)
                if key not in self._directories:
                    self._directories[key] = os.dup(fd)
            self._edits.append(edit)
            if self._timer is None:
                self._timer = threading.Timer(_SYNC_DELAY_SECONDS, self.sync)
                self._timer.daemon = True
                self._timer.start()
            is_full = len(self._directories) > _MAX_DIRECTORIES
        if is_full:
            self.sync()

    def sync(self) -> None:
        """Sync everything that is scheduled."""
        with self._syncing:
            self._sync()

    def _sync(self) -> None:
        with self._guard:
            edits, self._edits = self._edits, []
            directories, self._directories = self._directories, {}
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        try:
            self._journal.sync()
            for fd in directories.values():
                disk.sync(fd)
            if edits:
                self._journal.write("settled", edits[-1], None, b"", {"edits": edits})
        except OSError:
            log.exception("edits could not be synced; the hub checks them again when it starts")
        finally:
            for fd in directories.values():
                os.close(fd)

    def close(self) -> None:
        """Sync everything that is scheduled, and accept no more."""
        self._remover.shutdown()
        self.sync()


class Locks:
    """Locks that are taken in one fixed order, projects before files, so that edits cannot deadlock."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, _SharedLock] = WeakValueDictionary()
        self._guard = threading.Lock()

    def projects(self, names: Iterable[str], exclusive: Iterable[str]) -> AbstractContextManager[None]:
        """Hold projects: shared, except for those that are to be exclusive."""
        alone = set(exclusive)
        return _hold([(self._lock(name), name not in alone) for name in sorted({*names, *alone})])

    def files(self, keys: Iterable[tuple[int, int, str]]) -> AbstractContextManager[None]:
        """Hold files exclusively; see `DirectoryEntry.key`."""
        return _hold([(self._lock(key), False) for key in sorted(set(keys))])

    def _lock(self, key: Hashable) -> _SharedLock:
        with self._guard:
            return self._locks.setdefault(key, _SharedLock())


@contextmanager
def _hold(locks: list[tuple[_SharedLock, bool]]) -> Iterator[None]:
    with ExitStack() as held:
        for lock, shared in locks:
            lock.acquire(shared=shared)
            held.callback(lock.release)
        yield


class _SharedLock:
    """A lock that any number of threads share, or one thread holds exclusively."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._sharing = 0
        self._taken = False

    def acquire(self, *, shared: bool) -> None:
        with self._condition:
            while self._taken or (self._sharing and not shared):
                self._condition.wait()
            if shared:
                self._sharing += 1
            else:
                self._taken = True

    def release(self) -> None:
        with self._condition:
            if self._taken:
                self._taken = False
            else:
                self._sharing -= 1
            self._condition.notify_all()
