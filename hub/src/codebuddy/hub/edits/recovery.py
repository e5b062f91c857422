"""After a crash: every unfinished edit of the journal is finished, or else taken back, before the hub serves."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from codebuddy.files.confinement import Workspaces
from codebuddy.files.paths import WorkspacePath
from codebuddy.hub.edits import disk
from codebuddy.hub.edits.draft import MAX_ENTRIES, NOWHERE, Change, Images, Plan, Spot, spare_name
from codebuddy.hub.edits.engine import revert_all
from codebuddy.hub.edits.journal import Contents, Entry, Journal, read_change, read_path, read_renames, read_step
from codebuddy.hub.edits.steps import Move, RevertIncomplete, Step
from codebuddy.tool import ToolError

_MAX_PLACES = 1000  # where a directory is looked for

log = logging.getLogger(__name__)


def recover(workspaces: Workspaces, journal: Journal) -> dict[str, str]:
    """Bring every unfinished edit to an end.

    Returns:
        Edit id → ``applied``, ``reverted`` or ``discarded``; or ``unfinished`` when one of its projects cannot be
        opened now, which leaves it for the next start.
    """
    ends: dict[str, str] = {}
    for entry in journal.entries():
        if entry.has_ended:
            continue
        try:
            ends[entry.id] = _Recovery(workspaces, journal, entry).run()
        except Exception as error:  # whatever one project does to itself, the hub starts
            log.exception("edit %s could not be recovered: %s", entry.id, error)
            ends[entry.id] = "unfinished"
        log.warning("edit %s was not settled when the hub ended; now it is %s", entry.id, ends[entry.id])
    return ends


class _Recovery:
    def __init__(self, workspaces: Workspaces, journal: Journal, entry: Entry) -> None:
        self._workspaces, self._journal, self._entry = workspaces, journal, entry
        self._document, content = journal.read(entry)
        begun = journal.read_begun(entry) or {}
        self._raw: list[dict[str, Any]] = []
        if entry.state != "staging":
            self._raw = begun.get("steps") or self._document.get("steps", [])
        self._contents = Contents(content)
        self._held = ExitStack()
        self._directories: dict[tuple[WorkspacePath, int], int] = {}
        self._kept: set[WorkspacePath | None] = set()

    def run(self) -> str:
        with self._held:
            if self._entry.state == "staging":
                return self._discard(self._document)
            for project in self._entry.about["projects"]:
                self._workspaces.root(project)  # all of them, before anything is done
            return self._bring_to_an_end()

    def _discard(self, staged: list[Any]) -> str:
        """Remove what was staged for an edit that never began."""
        for raw, name in staged:
            directory = read_path(raw)
            with suppress(ToolError), self._workspaces.root(directory.project).directory(directory) as fd:
                disk.remove_tree(fd, name)
                disk.remove_tree(fd, spare_name(name))
        self._journal.write("discarded", self._entry.id)
        return "discarded"

    def _bring_to_an_end(self) -> str:
        match self._entry.state:
            case "applied":
                end = self._do_again()
            case "begun":
                end = self._go_on()
            case "reverting":
                end = self._go_back()
            case _:
                end = self._see()
        if end == "discarded":
            return self._discard(self._document["staged"])
        if end == "applied" and self._entry.state != "applied":
            self._journal.write("applied", self._entry.id)
        steps = list(self._steps())
        for step in steps:
            if step.spot.fd != NOWHERE and (step.former is None or step.former not in self._kept):
                step.finish()
                if step.former is not None:
                    disk.remove_tree(step.spot.fd, spare_name(step.former.parts[-1]))
        self._sync_directories(steps)
        self._journal.write("settled" if end == "applied" else end, self._entry.id)()
        return end

    def _steps(self) -> Iterator[Step]:
        """Give the steps, each made when its turn comes: what one does may bring the directory of the next."""
        for raw in self._raw:
            yield read_step(raw, self._contents, self._open)

    def _see(self) -> str:
        """See whether an edit of a single rename was applied; any other is noted when it begins."""
        for step in self._steps():
            match step.state():
                case "done":
                    try:
                        step.confirm()
                    except ToolError:
                        return "discarded"
                    return "applied"
                case "pending":
                    return "discarded"  # nobody was told of it
                case "lost":
                    return "applied" if self._is_superseded(self._raw[0]) else "discarded"
        return "discarded"

    def _do_again(self) -> str:
        """Do again what a power cut undid of an edit that was told as applied; later edits may have built on it."""
        if self._entry.about["boot"] != self._journal.boot:
            for step in self._steps():
                try:
                    if step.state() == "pending":
                        step.apply()
                except (ToolError, OSError) as error:
                    log.error("edit %s: %s could not be done again: %s", self._entry.id, step.spot.path, error)
        return "applied"

    def _go_on(self) -> str:
        """Do what is still to be done; when that is not possible, take back what was done."""
        done: list[Step] = []
        try:
            for step in self._steps():
                self._do(step)
                done.append(step)
        except (ToolError, OSError) as error:
            log.warning("edit %s cannot be finished (%s); it is taken back", self._entry.id, error)
            left = [*revert_all(done, error), *(error.steps if isinstance(error, RevertIncomplete) else ())]
            for step in left:
                self._kept.add(step.former)
                log.error("edit %s: %s was changed by another, and stays as it is", self._entry.id, step.spot.path)
            return "reverted"
        return "applied"

    def _go_back(self) -> str:
        """Take back what the disk refused to take back before; the caller was told that nothing was changed."""
        done = [step for step in self._steps() if step.state() == "done"]
        self._kept |= {step.former for step in revert_all(done, ToolError("reverting", "it had failed"))}
        return "reverted"

    def _do(self, step: Step) -> None:
        state = step.state()
        if state == "lost" and isinstance(step, Move) and self._has_gone_on(step):
            return
        if state == "lost":
            raise ToolError("lost", f"what was staged for {step.spot.path} is not there")
        if state == "pending":
            step.apply()
        else:
            step.confirm()

    def _has_gone_on(self, step: Move) -> bool:
        """Say whether what a step moved was moved on by a later one."""
        return any(
            isinstance(other, Move) and other.inode == step.inode and other.state() == "done" for other in self._steps()
        )

    def _is_superseded(self, step: dict[str, Any]) -> bool:
        """Say whether a later edit changed the same name, which it could only when this one was done."""
        entries = self._journal.entries()
        later = entries[[entry.id for entry in entries].index(self._entry.id) + 1 :]
        name = (*step["directory"], step["name"])
        for entry in later:
            document = self._journal.read_document(entry)
            changes = document["changes"] if isinstance(document, dict) else []
            if any(name in (tuple(raw["source"] or ()), tuple(raw["target"] or ())) for raw in changes):
                return True
        return False

    def _open(self, directory: WorkspacePath, inode: int, name: str) -> Spot:
        key = directory, inode
        if key not in self._directories:
            descriptor = self._find(directory, inode)
            if descriptor is None:
                return Spot(directory.child(name), directory, NOWHERE, name)
            self._directories[key] = descriptor
            self._held.callback(os.close, descriptor)
        return Spot(directory.child(name), directory, self._directories[key], name)

    def _find(self, directory: WorkspacePath, inode: int) -> int | None:
        """Open a directory wherever the renames of this edit may have taken it."""
        renames = read_renames(self._raw)
        renames += [(target, source) for source, target in renames]
        waiting, seen = [directory], {directory}
        while waiting:
            here = waiting.pop(0)
            with suppress(ToolError), self._workspaces.root(here.project).directory(here) as fd:
                if os.fstat(fd).st_ino == inode:
                    return os.dup(fd)
            for source, target in renames:
                if source.project == here.project and source.parts == here.parts[: len(source.parts)]:
                    other = target.child(*here.parts[len(source.parts) :])
                    if other not in seen and len(seen) < _MAX_PLACES:
                        seen.add(other)
                        waiting.append(other)
        return None

    def _sync_directories(self, steps: list[Step]) -> None:
        for fd in {fd for step in steps for fd in step.directories if fd != NOWHERE}:
            disk.sync(fd)


def read_changes(journal: Journal, entry: Entry, *, content: bool = True) -> list[Change]:
    """Give the changes of an edit, with the content of what was there before, or with hashes alone.

    Raises:
        ToolError: ``journal_damaged``.
    """
    try:
        document, data = journal.read(entry) if content else (journal.read_document(entry), b"")
    except (ValueError, OSError) as error:
        raise ToolError(
            "journal_damaged", f"The journal cannot be read ({error}); restore the files from git."
        ) from None
    contents = Contents(data) if content else None
    raw: list[dict[str, Any]] = document["changes"] if isinstance(document, dict) else []
    return [read_change(change, contents) for change in raw]


def undo_plan(journal: Journal, entry: Entry, images: Images, subject: str) -> Plan:
    """Give the plan that undoes an edit. It expects all to be as that edit left it.

    Directories that were made only because something in them was stay when they hold something else by now.

    Raises:
        ToolError: ``journal_damaged``.
    """
    changes = [_turned_around(change) for change in read_changes(journal, entry)]
    leaving = {change.source for change in changes if change.source != change.target}
    kept = []
    # The deepest first: what stays in a directory keeps that too.
    for change in sorted(changes, key=lambda change: -len(change.path.parts)):
        source = change.source
        is_implied = change.target is None and change.before is not None and change.before.implied
        if source is not None and is_implied and _holds_more(images, source, leaving):
            leaving.discard(source)
        else:
            kept.append(change)
    return Plan(tuple(sorted(kept, key=lambda change: change.path)), "undo_edit", subject, entry.id)


def _holds_more(images: Images, directory: WorkspacePath, leaving: set[WorkspacePath | None]) -> bool:
    """Say whether something stays in a directory when all that leaves has left."""
    try:
        below = images.below(directory, len(leaving) + MAX_ENTRIES)
    except ToolError:
        return False  # the engine will say what is wrong
    return any(
        all(directory.child(*names[:depth]) not in leaving for depth in range(1, len(names) + 1)) for names in below
    )


def _turned_around(change: Change) -> Change:
    return Change(
        change.target,
        change.source,
        None if change.after is None else replace(change.after, owner=None, attributes={}),
        change.before,
    )
