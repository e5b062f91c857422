"""Parent directories that a new file needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from codebuddy.errors import ToolError
from codebuddy.workspace.confinement import ProjectRoot
from codebuddy.workspace.paths import WorkspacePath

__all__ = ["made_parents"]


@contextmanager
def made_parents(root: ProjectRoot, path: WorkspacePath) -> Iterator[None]:
    """Create the missing parents of a path; when the body fails, those that were created here go again (if still
    empty).

    Raises:
        ToolError: ``not_a_directory``, ``outside_project``, ``permission_denied``, ``disk_full``, ...
    """
    made: list[WorkspacePath] = []
    try:
        for parent in _missing(root, path):
            with root.place(parent) as place, suppress(FileExistsError):
                os.mkdir(place.name, 0o755, dir_fd=place.directory)
                made.append(parent)
                os.fsync(place.directory)
        yield
    except BaseException:
        for parent in reversed(made):
            with suppress(OSError, ToolError), root.place(parent) as place:
                os.rmdir(place.name, dir_fd=place.directory)
        raise


def _missing(root: ProjectRoot, path: WorkspacePath) -> list[WorkspacePath]:
    """Give the parents that do not exist, outermost first."""
    missing: list[WorkspacePath] = []
    for depth in range(len(path.parts) - 1, 0, -1):
        parent = WorkspacePath(path.project, path.parts[:depth])
        try:
            with root.directory(parent):
                break
        except ToolError as error:
            if error.code != "not_found":
                raise
        missing.append(parent)
    return missing[::-1]
