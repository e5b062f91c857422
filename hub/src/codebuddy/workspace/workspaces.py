"""The projects of a fleet as this hub sees them: an id and a mounted directory each."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from codebuddy.errors import ToolError
from codebuddy.workspace.confinement import Opener, ProjectRoot

__all__ = ["Workspaces"]


class Workspaces:
    """Gives each project's root, opened when first asked for and again when another directory was mounted in its place.

    Args:
        roots: project id → path of its root directory.
        opener: how paths are resolved; the default is openat2 where there is one.
    """

    def __init__(self, roots: Mapping[str, str | Path], opener: Opener | None = None) -> None:
        self._paths = {project: os.fspath(path) for project, path in roots.items()}
        self._opener = opener
        self._open: dict[str, ProjectRoot] = {}
        self._guard = threading.Lock()

    @property
    def projects(self) -> list[str]:
        """The ids, sorted."""
        return sorted(self._paths)

    def root(self, project: str) -> ProjectRoot:
        """Give a project's root; safe to use until the last reference is dropped, from any thread.

        Raises:
            ToolError: ``unknown_project``; ``project_unavailable`` when its directory is not there.
        """
        path = self._path(project)
        try:
            status = os.stat(path)
            with self._guard:
                root = self._open.get(project)
                if root is None or root.identity != (status.st_dev, status.st_ino):
                    root = self._open[project] = ProjectRoot(project, path, self._opener)
        except OSError as error:
            raise _unavailable(project, error) from error
        return root

    def identity(self, project: str) -> str:
        """Give ``st_dev:st_ino`` of the directory that is mounted now; a spoke that sees another is on a stale mount.

        Raises:
            ToolError: as `root`.
        """
        device, inode = self.root(project).identity
        return f"{device}:{inode}"

    def _path(self, project: str) -> str:
        try:
            return self._paths[project]
        except KeyError:
            known = ", ".join(self.projects) or "none"
            raise ToolError("unknown_project", f"There is no project {project!r}; there are: {known}.") from None


def _unavailable(project: str, error: OSError) -> ToolError:
    return ToolError(
        "project_unavailable",
        f"The directory of project {project!r} cannot be opened in the hub ({error.strerror}); "
        "check its mount and deploy again.",
        project,
    )
