"""The projects of the ``languages`` scenario: the cases of each, and how its directory is filled."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from codebuddy_testing.deployment import ROOT
from codebuddy_testing.language_cases import Case

PROFILES = {
    "ts-tsc": "typescript",
    "ts-tls": "typescript",
    "py-pylsp": "python",
    "py-basedpyright": "python",
    "py-ty": "python",
    "py-mixed": "python",
    "rust": "rust",
    "go": "go",
    "cpp": "cpp",
}


def chosen_projects() -> list[str]:
    """Return the projects of the fleet, or those that CODEBUDDY_TEST_PROJECTS names."""
    return os.environ.get("CODEBUDDY_TEST_PROJECTS", " ".join(PROFILES)).split()


def case_directory(profile: str) -> Path:
    """Return the directory of a profile's case project."""
    return ROOT / "tests/languages/cases" / profile


def cases_of(profile: str) -> list[Case]:
    """Load the cases of a profile."""
    found = importlib.util.spec_from_file_location(
        f"expected_{profile}", ROOT / "tests/languages/expected" / f"{profile}.py"
    )
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return list(module.CASES)


def reset_project(target: Path, source: Path) -> None:
    """Make a project's directory the same as its case project; files that are the same are not touched."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    there = {path.relative_to(target) for path in target.rglob("*") if path.is_file() or path.is_symlink()}
    for extra in there - wanted:
        (target / extra).unlink()
    owner = target.stat()
    for path in sorted(wanted):
        data = (source / path).read_bytes()
        if path in there and (target / path).read_bytes() == data:
            continue
        for directory in reversed(path.parents[:-1]):
            if not (target / directory).is_dir():
                (target / directory).mkdir()
                shutil.chown(target / directory, owner.st_uid, owner.st_gid)
        (target / path).write_bytes(data)
        shutil.chown(target / path, owner.st_uid, owner.st_gid)
