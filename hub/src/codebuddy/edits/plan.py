"""What an edit does: a set of changes, each from what is at a path to what is to be there. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import content_hash

__all__ = ["ABSENT", "Change", "Kind", "Node", "Plan"]

ABSENT = "absent"
"""As a hash: there is nothing at the path."""

Kind = Literal["file", "directory", "link"]


@dataclass(frozen=True)
class Node:
    """A file, directory or symbolic link, as far as it is known or matters; what is None is not known or stays.

    Args:
        kind: what it is.
        content: a file's bytes, or a link's target.
        known_hash: hash of a content that is not at hand.
        mode: permission bits, set-user-id and the like included.
        owner: user and group id.
        attributes: extended attributes, access lists among them.
        implied: a directory that was only made because something in it was.
    """

    kind: Kind
    content: bytes | None = None
    known_hash: str | None = None
    mode: int | None = None
    owner: tuple[int, int] | None = None
    attributes: Mapping[str, bytes] = field(default_factory=dict)
    implied: bool = False

    @cached_property
    def hash(self) -> str | None:
        """The hash of its content; None for a directory, and where nothing is known of it."""
        return self.known_hash if self.content is None else content_hash(self.content)

    def without_content(self) -> Node:
        """Give it with the hash in place of the content."""
        return replace(self, content=None, known_hash=self.hash)


@dataclass(frozen=True)
class Change:
    """One thing that becomes another, moves, comes or goes.

    Args:
        source: where it is; None for what is new.
        target: where it will be; None for what is deleted.
        before: what must be at the source: its kind, and its hash and mode if they are given.
        after: what will be at the target.
    """

    source: WorkspacePath | None
    target: WorkspacePath | None
    before: Node | None
    after: Node | None

    @property
    def path(self) -> WorkspacePath:
        """The path to speak of it: where it will be, or else where it was."""
        path = self.target or self.source
        if path is None:
            raise ValueError("a change without a path")
        return path

    @property
    def moves(self) -> bool:
        """Whether it is there before and after, at different paths."""
        return self.source is not None and self.target is not None and self.source != self.target

    @property
    def rewrites(self) -> bool:
        """Whether it is there before and after, with new content."""
        if self.before is None or self.after is None:
            return False
        if self.before.content is not None and self.after.content is not None:
            return self.after.content != self.before.content
        return self.after.hash is not None and self.after.hash != self.before.hash


@dataclass(frozen=True)
class Plan:
    """Changes that belong together.

    No two of them have the same source, and no two the same target. Their order does not matter.

    Args:
        changes: in the order of their paths.
        tool: the tool that made it.
        subject: who asked.
        undoes: id of the edit that it undoes.
    """

    changes: tuple[Change, ...]
    tool: str
    subject: str
    undoes: str | None = None

    @property
    def projects(self) -> list[str]:
        """The projects that it changes, sorted."""
        paths = [path for change in self.changes for path in (change.source, change.target) if path is not None]
        return sorted({path.project for path in paths})
