"""Plans and steps as the journal keeps them: a document, and raw content that it points into. Both ways exact."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

from codebuddy.edits.placing import Create, Move, Remove
from codebuddy.edits.plan import Change, Node
from codebuddy.edits.rewriting import Chmod, Overwrite, Replace
from codebuddy.edits.spots import Spot
from codebuddy.edits.steps import Step
from codebuddy.files.paths import WorkspacePath

__all__ = [
    "Contents",
    "read_change",
    "read_path",
    "read_step",
    "write_change",
    "write_path",
    "write_spot",
    "write_step",
]

OpenSpot = Callable[[WorkspacePath, int, str], Spot]
"""Opens (directory, its inode, name in it)."""


class Contents:
    """Raw content, each piece once, told by where it begins and how long it is."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = bytearray(data)
        self._known: dict[bytes, list[int]] = {}

    @property
    def data(self) -> bytes:
        """All of it."""
        return bytes(self._data)

    def add(self, content: bytes) -> list[int]:
        """Put a piece in; give where."""
        if content not in self._known:
            self._known[content] = [len(self._data), len(content)]
            self._data += content
        return self._known[content]

    def get(self, where: list[int]) -> bytes:
        """Give a piece."""
        start, length = where
        return bytes(self._data[start : start + length])


def write_path(path: WorkspacePath) -> list[str]:
    """Give a path as a list: the project, then the names."""
    return [path.project, *path.parts]


def read_path(raw: list[str]) -> WorkspacePath:
    """Undo `write_path`."""
    return WorkspacePath(raw[0], tuple(raw[1:]))


def write_change(change: Change, contents: Contents) -> dict[str, Any]:
    """Give a change: of what was before with its content, of what came after with its hash."""
    after = change.after
    return {
        "source": None if change.source is None else write_path(change.source),
        "target": None if change.target is None else write_path(change.target),
        "before": None if change.before is None else _write_node(change.before, contents),
        "after": None if after is None else _write_node(after.without_content(), contents),
    }


def read_change(raw: dict[str, Any], contents: Contents | None) -> Change:
    """Undo `write_change`; without contents, give hashes alone."""
    return Change(
        None if raw["source"] is None else read_path(raw["source"]),
        None if raw["target"] is None else read_path(raw["target"]),
        None if raw["before"] is None else _read_node(raw["before"], contents),
        None if raw["after"] is None else _read_node(raw["after"], contents),
    )


def _write_node(node: Node, contents: Contents) -> dict[str, Any]:
    raw: dict[str, Any] = {"kind": node.kind}
    if node.content is not None:
        raw["content"] = contents.add(node.content)
    if node.hash is not None:
        raw["hash"] = node.hash
    if node.mode is not None:
        raw["mode"] = node.mode
    if node.owner is not None:
        raw["owner"] = list(node.owner)
    if node.attributes:
        raw["attributes"] = {name: base64.b64encode(value).decode() for name, value in node.attributes.items()}
    if node.implied:
        raw["implied"] = True
    return raw


def _read_node(raw: dict[str, Any], contents: Contents | None) -> Node:
    owner = raw.get("owner")
    return Node(
        raw["kind"],
        contents.get(raw["content"]) if "content" in raw and contents is not None else None,
        raw.get("hash"),
        raw.get("mode"),
        None if owner is None else (owner[0], owner[1]),
        {name: base64.b64decode(value) for name, value in raw.get("attributes", {}).items()},
        raw.get("implied", False),
    )


def write_step(step: Step, contents: Contents) -> dict[str, Any]:
    """Give a step as it can be made again after a crash."""
    raw: dict[str, Any] = {"step": type(step).__name__, **write_spot(step.spot)}
    match step:
        case Replace():
            raw |= {"temporary": step.temporary, "before": step.before, "after": step.after}
            raw["identity"] = list(step.identity)
        case Overwrite():
            raw |= {"temporary": step.temporary, "before": step.before, "after": step.after}
            raw["old"] = contents.add(step.old)
        case Chmod():
            raw |= {"before": step.before, "after": step.after}
        case Create():
            raw |= {"temporary": step.temporary, "after": step.after}
            raw["inside"] = [[list(names), known] for names, known in step.inside.items()]
        case Remove():
            raw |= {"temporary": step.temporary, "before": step.before, "inode": step.inode}
            raw["marks"] = [[list(names), list(mark)] for names, mark in step.marks.items()]
        case Move():
            raw |= {"target": write_spot(step.target), "inode": step.inode}
    return raw


def read_step(raw: dict[str, Any], contents: Contents, open_spot: OpenSpot) -> Step:
    """Undo `write_step`."""
    spot = _read_spot(raw, open_spot)
    match raw["step"]:
        case "Replace":
            return Replace(spot, raw["temporary"], raw["before"], raw["after"], tuple(raw["identity"]))
        case "Overwrite":
            return Overwrite(spot, raw["temporary"], raw["before"], raw["after"], contents.get(raw["old"]))
        case "Chmod":
            return Chmod(spot, raw["before"], raw["after"])
        case "Create":
            inside = {tuple(names): known for names, known in raw["inside"]}
            return Create(spot, raw["temporary"], raw["after"], inside)
        case "Remove":
            marks = {tuple(names): tuple(mark) for names, mark in raw["marks"]}
            return Remove(spot, raw["temporary"], raw["before"], raw["inode"], marks)
        case "Move":
            return Move(spot, _read_spot(raw["target"], open_spot), raw["inode"])
    raise ValueError(f"the journal has a step that this hub does not know: {raw['step']}")


def write_spot(spot: Spot) -> dict[str, Any]:
    """Give a spot as a directory, by path and inode, and the name there.

    The path alone does not name a directory: within an edit, one can take the path of another.
    """
    return {"directory": write_path(spot.directory), "inode_of": os.fstat(spot.fd).st_ino, "name": spot.name}


def _read_spot(raw: dict[str, Any], open_spot: OpenSpot) -> Spot:
    return open_spot(read_path(raw["directory"]), raw["inode_of"], raw["name"])


def read_renames(steps: list[dict[str, Any]]) -> list[tuple[WorkspacePath, WorkspacePath]]:
    """Give each rename that steps make, as (from, to)."""
    renames = []
    for raw in steps:
        directory = read_path(raw["directory"])
        here = directory.child(raw["name"])
        match raw["step"]:
            case "Move":
                renames.append((here, read_path(raw["target"]["directory"]).child(raw["target"]["name"])))
            case "Remove":
                renames.append((here, directory.child(raw["temporary"])))
            case "Create":
                renames.append((directory.child(raw["temporary"]), here))
    return renames
