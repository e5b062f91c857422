"""After a crash, every unfinished edit of the journal is completed or reverted before the hub serves. Undo, too."""

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
from codebuddy.hub.edits.disk_view import MAX_ENTRIES, NOWHERE, DirectoryEntry, DiskView, spare_name
from codebuddy.hub.edits.draft import Change, Plan
from codebuddy.hub.edits.journal import Contents, Entry, Journal, read_change, read_path, read_step
from codebuddy.hub.edits.steps import Move, RevertIncomplete, Step, revert_all
from codebuddy.tool import ToolError

_MAX_PATHS = 1000  # at which a directory is looked for

log = logging.getLogger(__name__)


def recover(workspaces: Workspaces, journal: Journal) -> dict[str, str]:
    """Complete or revert every unfinished edit.

    Returns:
        Edit id → ``applied``, ``reverted`` or ``discarded``; or ``unfinished`` if one of its projects cannot be opened
        now. The next start of the hub tries again.
    """
    ends: dict[str, str] = {}
    for entry in journal.entries():
        if entry.has_ended:
            continue
        try:
            ends[entry.id] = _Recovery(workspaces, journal, entry).run()
        except Exception as error:  # whatever is wrong with one project, the hub starts
            log.exception("edit %s could not be recovered: %s", entry.id, error)
            ends[entry.id] = "unfinished"
        log.warning("edit %s was not settled when the hub ended; now it is %s", entry.id, ends[entry.id])
    return ends


class _Recovery:
    """The recovery of one edit."""

    def __init__(self, workspaces: Workspaces, journal: Journal, edit: Entry) -> None:
        self._workspaces, self._journal, self._edit = workspaces, journal, edit
        self._document, content = journal.read(edit)
        begun = journal.read_begun(edit) or {}
        self._records: list[dict[str, Any]] = []
        if edit.state != "staging":
            self._records = begun.get("steps") or self._document.get("steps", [])
        self._contents = Contents(content)
        self._held = ExitStack()
        self._directories: dict[tuple[WorkspacePath, int], int] = {}
        self._kept: set[WorkspacePath | None] = set()

    def run(self) -> str:
        with self._held:
            if self._edit.state == "staging":
                return self._discard(self._document)
            for project in self._edit.about["projects"]:
                self._workspaces.root(project)  # fails before anything is done if one of them is missing
            return self._end()

    def _end(self) -> str:
        end = self._recover()
        if end == "discarded":
            return self._discard(self._document["staged"])
        if end == "applied" and self._edit.state != "applied":
            self._journal.write("applied", self._edit.id)
        steps = list(self._steps())
        for step in steps:
            if step.entry.fd != NOWHERE and (step.displaced is None or step.displaced not in self._kept):
                step.clean_up()
                if step.displaced is not None:
                    disk.remove_tree(step.entry.fd, spare_name(step.displaced.parts[-1]))
        for fd in {fd for step in steps for fd in step.directories if fd != NOWHERE}:
            disk.sync(fd)
        self._journal.write("settled" if end == "applied" else end, self._edit.id)()
        return end

    def _recover(self) -> str:
        match self._edit.state:
            case "applied":
                return self._redo()
            case "begun":
                return self._complete()
            case "reverting":
                return self._revert()
        return self._check_single_rename()  # other edits have a `begun` record before their first step

    def _discard(self, staged: list[Any]) -> str:
        """Remove what was staged for an edit that did not begin."""
        for raw, name in staged:
            directory = read_path(raw)
            with suppress(ToolError), self._workspaces.root(directory.project).directory(directory) as fd:
                disk.remove_tree(fd, name)
                disk.remove_tree(fd, spare_name(name))
        self._journal.write("discarded", self._edit.id)
        return "discarded"

    def _check_single_rename(self) -> str:
        """Find out whether an edit of a single rename was applied."""
        for step in self._steps():
            match step.state():
                case "done":
                    try:
                        step.verify()
                    except ToolError:
                        return "discarded"
                    return "applied"
                case "lost":
                    return "applied" if self._is_superseded(step) else "discarded"
        return "discarded"  # no caller got the answer that it is applied

    def _redo(self) -> str:
        """Repeat what a power cut undid of an applied edit; later edits may build on it."""
        if self._edit.about["boot"] != self._journal.boot:
            for step in self._steps():
                try:
                    if step.state() == "pending":
                        step.apply()
                except (ToolError, OSError) as error:
                    log.error("edit %s: %s could not be applied again: %s", self._edit.id, step.entry.path, error)
        return "applied"

    def _complete(self) -> str:
        """Apply the steps that are left; if that is impossible, revert those that were done."""
        done: list[Step] = []
        try:
            for step in self._steps():
                self._apply(step)
                done.append(step)
        except (ToolError, OSError) as error:
            log.warning("edit %s cannot be completed (%s); it is reverted", self._edit.id, error)
            left = [*revert_all(done, error), *(error.steps if isinstance(error, RevertIncomplete) else ())]
            for step in left:
                self._kept.add(step.displaced)
                log.error("edit %s: another process changed %s, which stays as it is", self._edit.id, step.entry.path)
            return "reverted"
        return "applied"

    def _revert(self) -> str:
        """Revert what the disk refused to revert before; the caller was told that nothing changed."""
        done = [step for step in self._steps() if step.state() == "done"]
        self._kept |= {step.displaced for step in revert_all(done, ToolError("reverting", "it had failed"))}
        return "reverted"

    def _apply(self, step: Step) -> None:
        state = step.state()
        if state == "lost" and isinstance(step, Move) and self._moved_on(step):
            return
        if state == "lost":
            raise ToolError("lost", f"what was staged for {step.entry.path} is missing")
        if state == "pending":
            step.apply()
        else:
            step.verify()

    def _moved_on(self, step: Move) -> bool:
        """Say whether a later step moved what this one had moved."""
        return any(
            isinstance(other, Move) and other.inode == step.inode and other.state() == "done" for other in self._steps()
        )

    def _is_superseded(self, step: Step) -> bool:
        """Say whether a later edit changed the same path, which means that this step was done."""
        entries = self._journal.entries()
        later = entries[[entry.id for entry in entries].index(self._edit.id) + 1 :]
        for entry in later:
            document = self._journal.read_document(entry)
            if any(step.entry.real_path in (change.source, change.target) for change in _changes(document, None)):
                return True
        return False

    # The steps and their directories ----------------------------------------------------------------------------------

    def _steps(self) -> Iterator[Step]:
        """Yield the steps, each opened when its turn comes, as a step may move the directory of a later one."""
        for raw in self._records:
            yield read_step(raw, self._contents, self._open)

    def _open(self, directory: WorkspacePath, inode: int, name: str) -> DirectoryEntry:
        key = directory, inode
        if key not in self._directories:
            descriptor = self._find(directory, inode)
            if descriptor is None:
                return _closed(directory, inode, name)
            self._directories[key] = descriptor
            self._held.callback(os.close, descriptor)
        return DirectoryEntry(directory.child(name), directory, self._directories[key], name)

    def _find(self, directory: WorkspacePath, inode: int) -> int | None:
        """Open a directory at any path to which the renames of this edit may have moved it."""
        steps = [read_step(raw, self._contents, _closed) for raw in self._records]
        renames = [step.renamed for step in steps if step.renamed is not None]
        renames += [(target, source) for source, target in renames]
        waiting, seen = [directory], {directory}
        while waiting:
            here = waiting.pop(0)
            with suppress(ToolError), self._workspaces.root(here.project).directory(here) as fd:
                if os.fstat(fd).st_ino == inode:
                    return os.dup(fd)
            for source, target in renames:
                if source == here or here.is_below(source):
                    other = target.child(*here.parts[len(source.parts) :])
                    if other not in seen and len(seen) < _MAX_PATHS:
                        seen.add(other)
                        waiting.append(other)
        return None


def _closed(directory: WorkspacePath, _inode: int, name: str) -> DirectoryEntry:
    return DirectoryEntry(directory.child(name), directory, NOWHERE, name)


# Undo -----------------------------------------------------------------------------------------------------------------


def read_changes(journal: Journal, entry: Entry, *, content: bool = True) -> list[Change]:
    """Read the changes of an edit: with the content of what was there before, or only with hashes."""
    try:
        document, data = journal.read(entry) if content else (journal.read_document(entry), b"")
    except (ValueError, OSError) as error:
        message = f"The journal cannot be read ({error}); restore the files from git."
        raise ToolError("journal_damaged", message) from None
    return _changes(document, Contents(data) if content else None)


def _changes(document: Any, contents: Contents | None) -> list[Change]:
    """Read the changes in the document of an edit; that of a preview has none."""
    return [read_change(raw, contents) for raw in document["changes"]] if isinstance(document, dict) else []


def undo_plan(journal: Journal, entry: Entry, view: DiskView, subject: str) -> Plan:
    """Plan the undoing of an edit, which expects everything as that edit left it.

    Directories that were only created as parents of something stay if they hold something else now.
    """
    changes = [_inverse(change) for change in read_changes(journal, entry)]
    leaving = {change.source for change in changes if change.source != change.target}
    kept = []
    # The deepest first, because what stays in a directory keeps that directory too.
    for change in sorted(changes, key=lambda change: -len(change.path.parts)):
        source = change.source
        is_implied = change.target is None and change.before is not None and change.before.implied
        if source is not None and is_implied and _holds_more(view, source, leaving):
            leaving.discard(source)
        else:
            kept.append(change)
    return Plan(tuple(sorted(kept, key=lambda change: change.path)), "undo_edit", subject, entry.id)


def _holds_more(view: DiskView, directory: WorkspacePath, leaving: set[WorkspacePath | None]) -> bool:
    """Say whether a directory holds something that does not leave it."""
    try:
        below = view.below(directory, len(leaving) + MAX_ENTRIES)
    except ToolError:
        return False  # the engine reports what is wrong
    return any(
        all(directory.child(*names[:depth]) not in leaving for depth in range(1, len(names) + 1)) for names in below
    )


def _inverse(change: Change) -> Change:
    after = change.after
    before = None if after is None else replace(after, owner=None, attributes={})
    return Change(change.target, change.source, before, change.before)
