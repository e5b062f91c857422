"""The state ``validated`` of the fleet module: all problems of a declaration, without an engine."""

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .declaration import project_problems, read_fleet, read_project
from .project_paths import ProjectPath, path_problems
from .secret_files import secret_problems
from .unknown_variables import variable_problems

_NO_PROJECT = (
    "fleet: the inventory declares no project: add one to the group of its profile, "
    "like python: {hosts: {my-service: {project_path: ~/src/my-service}}}."
)


def declaration_problems(
    fleet: Mapping[str, Any],
    projects: Sequence[Mapping[str, Any]],
    profiles: Sequence[str],
    variables: Mapping[str, Sequence[str]],
) -> list[str]:
    """Return one sentence for each problem, with the host or variable and what to do."""
    declared, problems = read_fleet(fleet, projects)
    problems = variable_problems(variables) + ([] if projects else [_NO_PROJECT]) + problems
    problems += project_problems(projects, profiles)
    # A path that cannot be looked at is a problem of the project's values.
    paths = [
        ProjectPath(str(project.get("id")), Path(path), project.get("allow_root_owned") is True, read.expect)
        for project in projects
        for read, _ in [read_project(project)]
        if isinstance(path := project.get("path"), str) and os.path.isabs(path) and "\0" not in path
    ]
    state_dir = Path(str(fleet.get("state_dir")))
    problems += path_problems(paths, state_dir, declared.uid or 0, Path.home())
    return problems + secret_problems(projects, paths, state_dir)
