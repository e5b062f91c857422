"""The engine: a plan becomes an edit. Check, journal, stage, sync, commit; whole or not at all."""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from codebuddy.files.confinement import Workspaces, about, as_tool_error
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.walking import MAX_FILE_BYTES
from codebuddy.hub.edits import disk
from codebuddy.hub.edits.draft import NOWHERE, Change, Plan, Spot, temporary_name
from codebuddy.hub.edits.journal import Contents, Journal, write_change, write_path, write_step
from codebuddy.hub.edits.prepare import Site, Stage, Worksite
from codebuddy.hub.edits.steps import (
    Chmod,
    Create,
    Move,
    Overwrite,
    Remove,
    Replace,
    RevertFailed,
    RevertIncomplete,
    Step,
    identity_of,
)
from codebuddy.tool import ToolError


class _Lock:
    """Held by any number that share it, or by one alone."""

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


class _Held:
    """Locks that are held inside; taken in the given order."""

    def __init__(self, locks: list[tuple[_Lock, bool]]) -> None:
        self._locks = locks
        self._held: list[_Lock] = []

    def __enter__(self) -> None:
        try:
            for lock, shared in self._locks:
                lock.acquire(shared=shared)
                self._held.append(lock)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        while self._held:
            self._held.pop().release()


class Locks:
    """Locks that are taken in one fixed order, projects before files, so that no two edits wait for each other."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, _Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    def projects(self, names: Iterable[str], alone: Iterable[str]) -> AbstractContextManager[None]:
        """Hold projects: those in ``alone`` against every other edit, the others against edits that want them alone."""
        exclusive = set(alone)
        return _Held([(self._lock(name), name not in exclusive) for name in sorted({*names, *exclusive})])

    def files(self, keys: Iterable[tuple[int, int, str]]) -> AbstractContextManager[None]:
        """Hold files, each named by device and inode of its directory, and its name there."""
        return _Held([(self._lock(key), False) for key in sorted(set(keys))])

    def _lock(self, key: Hashable) -> _Lock:
        with self._guard:
            return self._locks.setdefault(key, _Lock())


def build_steps(worksite: Worksite, stage: Stage, edit: str) -> list[Step]:
    """Give the steps in the order in which they are done.

    First what stays where it is gets its new content, then all that goes or moves gives up its name, the deepest first,
    then what is new takes its place, and last what moves, the shallowest first. So a step never needs a name that
    another still holds, and names can be swapped.
    """
    builder = _Builder(worksite, stage, edit)
    sites = worksite.sites
    rewrites = [step for site in sites for step in builder.rewrite(site)]
    leaving = sorted(sites, key=lambda site: -len(site.change.source.parts) if site.change.source else 0)
    takes = [step for site in leaving for step in builder.take(site)]
    creates = [step for site in sites for step in builder.create(site)]
    arriving = sorted(sites, key=lambda site: len(site.change.path.parts))
    moves = [step for site in arriving for step in builder.move(site)]
    return [*rewrites, *takes, *creates, *moves]


class _Builder:
    def __init__(self, worksite: Worksite, stage: Stage, edit: str) -> None:
        self._worksite, self._stage, self._edit = worksite, stage, edit
        self._numbers = {id(site): number for number, site in enumerate(worksite.sites)}
        moves = [site for site in worksite.sites if self._is_own_move(site)]
        # What moves away from a name that another takes, or out of a directory that goes itself, waits in between.
        self._parked = {
            id(site): temporary_name(edit, len(worksite.sites) + number)
            for number, site in enumerate(moves)
            if self._must_wait(site)
        }

    def rewrite(self, site: Site) -> list[Step]:
        change, spot, found = site.change, site.source, site.found
        if spot is None or found is None or change.after is None or self._worksite.is_replanted(site):
            return []
        steps: list[Step] = []
        if change.rewrites:
            name, before, after = self._stage.names[id(site)], found.node.hash or "", change.after.hash or ""
            if found.status.st_nlink == 1:
                return [Replace(spot, name, before, after, identity_of(found.status))]
            steps.append(Overwrite(spot, name, before, after, found.node.content or b""))
        wanted, mode = change.after.mode, stat.S_IMODE(found.status.st_mode)
        if wanted not in (None, mode) and change.after.kind != "link":
            steps.append(Chmod(spot, mode, wanted))
        return steps

    def take(self, site: Site) -> list[Step]:
        change, spot, found = site.change, site.source, site.found
        if spot is None or found is None:
            return []
        if self._worksite.is_replanted(site) or (
            change.target is None and not self._worksite.is_deleted_with_parent(change)
        ):
            name = temporary_name(self._edit, 2 * len(self._worksite.sites) + self._numbers[id(site)])
            marks = self._worksite.marks(site) if found.node.kind == "directory" else {}
            return [Remove(spot, name, found.node.hash, found.status.st_ino, marks)]
        if change.target is not None and id(site) in self._parked:
            return [Move(spot, self._waiting(site, change.target), found.status.st_ino)]
        return []

    def create(self, site: Site) -> list[Step]:
        change, spot = site.change, site.target
        is_new = change.source is None or self._worksite.is_replanted(site)
        if not is_new or spot is None or change.after is None:
            return []
        inside = {
            other.change.path.parts[len(change.path.parts) :]: other.change.after.hash
            for other in self._worksite.sites
            if (other.change.source is None or self._worksite.is_replanted(other))
            and other.change.after is not None
            and self._worksite.created_around(other.change.path) == change.path
        }
        return [Create(spot, self._stage.names[id(site)], change.after.hash, inside)]

    def move(self, site: Site) -> list[Step]:
        change, source, found = site.change, site.source, site.found
        if not self._is_own_move(site) or source is None or found is None or change.target is None:
            return []
        if id(site) in self._parked:
            source = self._waiting(site, change.target)
        return [Move(source, self._target(site, change.target), found.status.st_ino)]

    def _target(self, site: Site, path: WorkspacePath) -> Spot:
        """Give the spot where a move ends; a directory that is yet to be created is entered when it is there."""
        parent = WorkspacePath(path.project, path.parts[:-1])
        return site.target or Spot(path, parent, NOWHERE, path.parts[-1])

    def _waiting(self, site: Site, path: WorkspacePath) -> Spot:
        """Give where something waits: beside its target, as the directory that it comes from may go."""
        return replace(self._target(site, path), name=self._parked[id(site)])

    def _is_own_move(self, site: Site) -> bool:
        carried, replanted = self._worksite.is_carried(site.change), self._worksite.is_replanted(site)
        return site.change.moves and not carried and not replanted

    def _must_wait(self, site: Site) -> bool:
        own = site.change
        return any(_collide(own, other) for other in self._worksite.plan.changes if other is not own)


def _collide(own: Change, other: Change) -> bool:
    """Say whether a move wants a name that the other change still holds, or holds one that it wants or takes away."""
    if own.source is None or own.target is None or other.source == other.target:
        return False
    if own.source == other.target:
        return True
    if other.source is None:
        return False
    return own.target == other.source or own.target.is_below(other.source) or own.source.is_below(other.source)


def apply_all(steps: Sequence[Step], done: list[Step]) -> None:
    """Do the steps, all of them or none.

    Args:
        steps: in order.
        done: those that are done; empty again when all were taken back.

    Raises:
        ToolError: a step failed, and those before it were taken back.
        RevertIncomplete: not all of them could be, as somebody else changed what they did.
        RevertFailed: the disk refused to take one back; recovery is to try again.
    """
    try:
        for step in steps:
            with about(step.spot.path):
                step.apply()
            done.append(step)
    except BaseException as error:
        left = revert_all(done, error)
        left += error.steps if isinstance(error, RevertIncomplete) else ()
        if left:
            raise RevertIncomplete(left, error) from error
        raise


def revert_all(done: list[Step], cause: BaseException) -> list[Step]:
    """Take steps back, the last first, and out of the list; give those of which somebody else changed what they did.

    What one step cannot do keeps no other from being taken back: they may be in other projects.

    Raises:
        RevertFailed: the disk refused some; they are still in the list.
    """
    left: list[Step] = []
    refused: list[Step] = []
    while done:
        step = done.pop()
        try:
            step.revert()
        except (ToolError, FileNotFoundError, FileExistsError):  # changed, or taken away, or something in its place
            left.append(step)
        except OSError:
            refused.insert(0, step)
    done += refused
    if refused:
        raise RevertFailed(refused[0], cause)
    return left


_SECONDS = 0.05
_MAX_DIRECTORIES = 1024

log = logging.getLogger(__name__)


class Settler:
    """Syncs the directories of edits a moment after they were committed, many at once.

    An edit of several steps is durable before: its content and its record are on the disk, and recovery does again what
    a power cut undid. One of a single rename is whole or absent by itself; its record is synced here.

    Args:
        journal: is told which edits are settled.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._guard = threading.Lock()
        self._settling = threading.Lock()  # who comes second waits, as what the first took is not settled yet
        self._directories: dict[tuple[int, int], int] = {}
        self._edits: list[str] = []
        self._timer: threading.Timer | None = None
        self._tidier = ThreadPoolExecutor(1, "tidy")
        self._tidying: dict[str, Future[None]] = {}

    def tidy(self, edit: str, step: Step) -> None:
        """Have what a single step replaced removed at once, while the caller goes on; then have the edit settled.

        To free the room of a file takes as long as to write one.
        """
        fd = os.dup(step.spot.fd)
        step.spot = replace(step.spot, fd=fd)

        def work() -> None:
            try:
                step.finish()
                self.add(edit, [fd])
            except OSError:
                log.exception("what edit %s replaced could not be removed; the hub tries again when it starts", edit)
            finally:
                os.close(fd)

        future = self._tidier.submit(work)
        self._tidying[edit] = future
        future.add_done_callback(lambda _: self._tidying.pop(edit, None))

    def wait_until_tidy(self, edit: str | None = None) -> None:
        """Wait until what an edit replaced is removed; without one, until nothing is being removed."""
        wait([future for name, future in list(self._tidying.items()) if edit in (None, name)])

    def add(self, edit: str, directories: Iterable[int]) -> None:
        """Have an edit settled soon; the descriptors of the directories may be closed after this."""
        with self._guard:
            for fd in directories:
                status = os.fstat(fd)
                key = (status.st_dev, status.st_ino)
                if key not in self._directories:
                    self._directories[key] = os.dup(fd)
            self._edits.append(edit)
            if self._timer is None:
                self._timer = threading.Timer(_SECONDS, self.settle)
                self._timer.daemon = True
                self._timer.start()
            is_full = len(self._directories) > _MAX_DIRECTORIES
        if is_full:
            self.settle()

    def settle(self) -> None:
        """Settle all that waits for it."""
        with self._settling:
            self._settle()

    def _settle(self) -> None:
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
            log.exception("edits could not be settled; they will be looked at again when the hub starts")
        finally:
            for fd in directories.values():
                os.close(fd)

    def close(self) -> None:
        """Settle what waits, and no more after this."""
        self._tidier.shutdown()
        self.settle()


_SYNCERS = 8  # files that are synced at once: the file system then writes one transaction for many


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
