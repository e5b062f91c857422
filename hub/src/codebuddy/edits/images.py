"""What is on the disk, for a draft: real paths, and what is at them."""

from __future__ import annotations

import os

from codebuddy.edits.plan import Node
from codebuddy.edits.spots import MAX_ENTRIES, Spot, look, walk
from codebuddy.files.confinement import Workspaces, about
from codebuddy.files.paths import WorkspacePath
from codebuddy.tool import ToolError

__all__ = ["Images"]


class Images:
    """Looks at the projects and changes nothing.

    Args:
        workspaces: the projects.
        max_file_bytes: larger files are not read.
    """

    def __init__(self, workspaces: Workspaces, max_file_bytes: int) -> None:
        self._workspaces, self._max_bytes = workspaces, max_file_bytes

    def real(self, path: WorkspacePath) -> WorkspacePath:
        """Give the path without any link in it, as far as it exists.

        Raises:
            ToolError: it leads out of the project, or is the project itself.
        """
        return self.look(path, content=False)[0]

    def look(self, path: WorkspacePath, *, content: bool) -> tuple[WorkspacePath, Node | None]:
        """Give the path without any link in it, and what is there; None if there is nothing.

        Raises:
            ToolError: it leads out of the project, or is the project itself; it cannot be read.
        """
        root = self._workspaces.root(path.project)
        try:
            place = root.open_place(path)
        except ToolError as error:
            if error.code != "not_found":
                raise
            return self._new(path), None
        try:
            parent = root.locate(place.directory)
            here = parent.child(place.name)
            return here, self._node(Spot(here, parent, place.directory, place.name), content=content)
        finally:
            os.close(place.directory)

    def entry(self, path: WorkspacePath) -> WorkspacePath:
        """Give the path without any link in it but the one that it may end in.

        Raises:
            ToolError: as `real`.
        """
        root = self._workspaces.root(path.project)
        try:
            with root.entry(path) as place:
                return root.locate(place.directory).child(place.name)
        except ToolError as error:
            if error.code != "not_found":
                raise
        return self._new(path)

    def _new(self, path: WorkspacePath) -> WorkspacePath:
        """Give the real path of something below directories that are missing."""
        if len(path.parts) < 2:
            return path
        parent = WorkspacePath(path.project, path.parts[:-1])
        root = self._workspaces.root(path.project)
        try:
            with root.directory(parent) as fd:
                return root.locate(fd).child(path.parts[-1])
        except ToolError as error:
            if error.code != "not_found":
                raise
        return self._new(parent).child(path.parts[-1])

    def find(self, path: WorkspacePath, *, content: bool) -> Node | None:
        """Give what is at a real path; None if there is nothing. A file's content only if asked for.

        Raises:
            ToolError: it cannot be read.
        """
        if not path.parts:
            return Node("directory")
        root = self._workspaces.root(path.project)
        try:
            with root.entry(path) as place:
                return self._node(Spot(path, path, place.directory, place.name), content=content)
        except ToolError as error:
            if error.code == "not_found":
                return None
            raise

    def _node(self, spot: Spot, *, content: bool) -> Node | None:
        found = look(spot, self._max_bytes, content=content, attributes=False)
        # Of what is there, an edit may rely on kind, content and mode.
        return None if found is None else Node(found.node.kind, found.node.content, mode=found.node.mode)

    def below(self, path: WorkspacePath, most: int = MAX_ENTRIES) -> list[tuple[str, ...]]:
        """Give what is below a directory, at most so much, as names from it down.

        Raises:
            ToolError: ``too_many_entries``; it cannot be read.
        """
        root = self._workspaces.root(path.project)
        with about(path), root.entry(path) as place:
            return [names for names, _ in walk(Spot(path, path, place.directory, place.name), most)]
