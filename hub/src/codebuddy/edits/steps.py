"""The steps of a commit: each one rename or the like, which can be taken back, and told apart from one not yet done.

A step works in directories that are held open. New content lies staged beside its target under a temporary name; what
it replaces or removes gets that name until the edit stands. After a crash the steps are made anew from the journal, and
each tells by what is there how far it got.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from codebuddy.edits.plan import ABSENT
from codebuddy.edits.spots import MAX_EDIT_BYTES, Spot, look
from codebuddy.files.paths import WorkspacePath
from codebuddy.tool import ToolError

__all__ = ["Conflict", "RevertFailed", "RevertIncomplete", "State", "Step", "hash_at"]

State = Literal["pending", "done", "lost"]
"""How far a step got: not begun, done, or neither can be said and it cannot be gone on with."""

_SHOWN = 20


class Conflict(ToolError):
    """Somebody else changed what a step works on."""

    def __init__(self, spot: Spot, expected: str | None, actual: str | None) -> None:
        told = f"expected {expected}, it is now {actual}; " if expected and actual else ""
        super().__init__(
            "conflict", f"{spot.path} changed while the edit was made: {told}nothing was written.", str(spot.path)
        )


class RevertIncomplete(ToolError):
    """A step could not be taken back, because somebody else changed what it had done.

    Args:
        steps: such steps; what they replaced or removed is kept where it lies.
        cause: why they were to be taken back.
    """

    def __init__(self, steps: Sequence[Step], cause: BaseException) -> None:
        told = ", ".join(_told(step) for step in steps[:_SHOWN])
        super().__init__(
            "revert_incomplete",
            f"The edit failed ({cause}) and was taken back, but another process had changed these files meanwhile, and "
            f"they were left as they are: {told}.",
            str(steps[0].spot.path),
        )
        self.steps = tuple(steps)


class RevertFailed(ToolError):
    """A step could not be taken back, because the disk refused; recovery tries again when the hub starts."""

    def __init__(self, step: Step, cause: BaseException) -> None:
        super().__init__(
            "revert_failed",
            f"The edit failed ({cause}), and the disk refuses to take back what was done; see to the disk and restart "
            "the hub, which ends the edit before it serves.",
            str(step.spot.path),
        )


def _told(step: Step) -> str:
    former = f" (what was there before is {step.former})" if step.former is not None else ""
    return f"{step.spot.path}{former}"


@dataclass
class Step(ABC):
    """One step; `apply` and `revert` leave things as they were when they raise.

    Args:
        spot: where.
    """

    spot: Spot

    @abstractmethod
    def apply(self) -> None:
        """Do it, and make sure that it met what it was to meet.

        Raises:
            Conflict: it did not.
            OSError: it cannot be done.
        """

    @abstractmethod
    def revert(self) -> None:
        """Take it back, if what it left is still there.

        Raises:
            Conflict: somebody changed it since.
        """

    @abstractmethod
    def state(self) -> State:
        """Say how far it got, by what is there."""

    def confirm(self) -> None:
        """After a crash, of a step that was done: make sure that it met what it was to meet; else put that back.

        Raises:
            Conflict: it did not.
        """
        return

    def finish(self) -> None:
        """Remove what is no longer needed, once the edit stands or was taken back."""
        return

    @property
    def former(self) -> WorkspacePath | None:
        """Where what it replaced or removed lies until `finish`; None if it does not do that."""
        return None

    @property
    def directories(self) -> list[int]:
        """The directories whose names it changes."""
        return [self.spot.fd]

    @property
    def is_atomic(self) -> bool:
        """Whether it is done or not done whatever happens, and loses nothing that is not elsewhere."""
        return False


def hash_at(spot: Spot, name: str | None = None) -> str:
    """Give the hash of what is there: of a file's content or a link's target, or what else it is."""
    try:
        found = look(spot, MAX_EDIT_BYTES, attributes=False, name=name)
    except ToolError as error:
        return error.code
    if found is None:
        return ABSENT
    return found.node.hash or found.node.kind
