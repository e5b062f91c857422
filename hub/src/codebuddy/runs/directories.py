"""Where a run works: its directory, inside the project."""

from __future__ import annotations

import os
from pathlib import Path

from codebuddy.errors import ToolError

__all__ = ["directory_in"]


def directory_in(root: Path, cwd: str, project: str) -> Path:
    """Give the directory to run in.

    Args:
        root: the project's directory.
        cwd: relative to it, as the caller gave it.
        project: id of the project, for the sentence.

    Raises:
        ToolError: ``outside_project``, ``not_a_directory``.
    """
    if "\0" in cwd:
        raise ToolError("not_a_directory", "A path may not contain NUL.")
    directory = Path(os.path.realpath(root / cwd))
    if not directory.is_relative_to(os.path.realpath(root)):
        raise ToolError("outside_project", f"{cwd!r} lies outside {project}; give a directory inside it.", cwd)
    if not directory.is_dir():
        raise ToolError("not_a_directory", f"{cwd!r} is no directory of {project}.", cwd)
    return directory
