"""Everything that is wrong with a declaration: its values, its addresses, and where its directories lie."""

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .declaration import fleet_problems, project_problems
from .secret_files import secret_problems
from .settings import setting_problems
from .sites import Site, site_problems

__all__ = ["declaration_problems"]

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
    """One sentence for each problem, each with the host (or variable) and what to do; empty when all is well."""
    problems = setting_problems(variables) + ([] if projects else [_NO_PROJECT])
    problems += fleet_problems(fleet, projects) + project_problems(projects, profiles)
    sites, state_dir = _sites(projects), Path(str(fleet["state_dir"]))
    problems += site_problems(sites, state_dir, int(fleet["uid"]), Path.home())
    return problems + secret_problems(projects, sites, state_dir)


def _sites(projects: Sequence[Mapping[str, Any]]) -> list[Site]:
    """Pick the projects whose path can be looked at; the check of the values speaks of the others."""
    return [
        Site(str(project.get("id")), Path(path), project.get("allow_root_owned") is True)
        for project in projects
        if isinstance(path := project.get("path"), str) and os.path.isabs(path) and "\0" not in path
    ]
