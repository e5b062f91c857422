"""Where a run works: its directory, inside the project."""

from __future__ import annotations

import os
from pathlib import Path

from codebuddy.tool import ToolError

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
    try:
        directory = Path(os.path.realpath(root / cwd))
        inside, is_directory = directory.is_relative_to(os.path.realpath(root)), directory.is_dir()
    except OSError as error:  # a name that is too long, or links that lead in a circle
        raise ToolError("not_a_directory", f"That is no directory of {project}: {error.strerror}.") from None
    if not inside:
        raise ToolError("outside_project", f"{cwd!r} lies outside {project}; give a directory inside it.", cwd)
    if not is_directory:
        raise ToolError("not_a_directory", f"{cwd!r} is no directory of {project}.{_hint(cwd, project)}", cwd)
    return directory


def _hint(cwd: str, project: str) -> str:
    first, _, rest = cwd.partition("/")
    return f" cwd is relative to the project: {rest or 'leave it out'}." if first == project else ""
