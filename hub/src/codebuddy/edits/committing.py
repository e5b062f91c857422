"""From a staged plan to the steps that commit it, and how they are done or taken back as one."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import replace

from codebuddy.edits.names import temporary_name
from codebuddy.edits.placing import Create, Move, Remove
from codebuddy.edits.plan import Change
from codebuddy.edits.rewriting import Chmod, Overwrite, Replace, identity_of
from codebuddy.edits.spots import NOWHERE, Spot
from codebuddy.edits.staging import Stage
from codebuddy.edits.steps import RevertFailed, RevertIncomplete, Step
from codebuddy.edits.worksite import Site, Worksite
from codebuddy.files.confinement import about
from codebuddy.files.paths import WorkspacePath
from codebuddy.tool import ToolError

__all__ = ["apply_all", "build_steps", "revert_all"]


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
