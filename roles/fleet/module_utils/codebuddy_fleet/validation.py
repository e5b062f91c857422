"""Everything that is wrong with a declaration: its values, its addresses, and where its directories lie."""

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import addresses, values
from .declaration import project_problems
from .sites import Site, site_problems

__all__ = ["declaration_problems"]


def declaration_problems(
    *,
    projects: Sequence[Mapping[str, Any]],
    profiles: Sequence[str],
    fleet_name: str,
    state_dir: str,
    uid: int,
    address_pool: str,
) -> list[str]:
    """One sentence for each problem, each with the host (or variable) and what to do; empty when all is well."""
    problems: list[str] = []
    try:
        values.identifier(fleet_name)
    except ValueError as error:
        problems.append(f"codebuddy_fleet_name '{fleet_name}' {error}.")
    if uid <= 0:
        problems.append(
            f"codebuddy_uid {uid} must be a user other than root: set it to the owner of the projects, like 1000."
        )
    if not os.path.isabs(state_dir) or os.path.normpath(state_dir) == "/":
        problems.append(f"codebuddy_state_dir '{state_dir}' must be an absolute path of a directory of its own.")
    try:
        addresses.allocate(addresses.parse_pool(address_pool), (str(project.get("id")) for project in projects))
    except addresses.PoolError as error:
        problems.append(str(error))
    problems += project_problems(projects, profiles)
    return problems + site_problems(_sites(projects), Path(state_dir), uid, Path.home())


def _sites(projects: Sequence[Mapping[str, Any]]) -> list[Site]:
    """Pick the projects whose path can be looked at; the check of the values speaks of the others."""
    return [
        Site(str(project.get("id")), Path(path), bool(project.get("allow_root_owned")))
        for project in projects
        if isinstance(path := project.get("path"), str) and os.path.isabs(path) and "\0" not in path
    ]
