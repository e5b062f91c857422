"""Reads the recipes of all images from the directories of the roles and of the hub's package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .context import Context, read_file, read_tree
from .images import Recipes

RECIPE = "Dockerfile"


@dataclass(frozen=True)
class Sources:
    """The directories of the recipes."""

    base: Path
    runtime: Path
    hub: Path
    spoke: Path
    proxy: Path
    toolchains: Path  # one folder for each profile, named after it
    hub_source: Path  # the hub's package, with ``requirements.txt`` and ``src``
    certificates: Path  # the host's extra CA certificates, as ``*.crt``; may be missing


def read_recipes(sources: Sources) -> Recipes:
    """Read all recipes.

    Raises:
        OSError: a file, ``filename``, is missing or cannot be read.
    """
    program = read_tree(sources.hub_source / "src", under="src")
    if not program:
        raise FileNotFoundError(2, "There is no program to put into the images", str(sources.hub_source / "src"))
    libraries = {"requirements.txt": read_file(sources.hub_source / "requirements.txt")}
    certificates = read_tree(sources.certificates, under="certificates", suffix=".crt")
    profiles = sorted(path.parent for path in sources.toolchains.glob(f"*/{RECIPE}"))
    return Recipes(
        base={**_read_recipe(sources.base), **certificates},
        runtime={**_read_recipe(sources.runtime), **libraries},
        hub={**_read_recipe(sources.hub), **program},
        spoke={**_read_recipe(sources.spoke), **program},
        proxy=_read_recipe(sources.proxy),
        toolchains={path.name: _read_recipe(path) for path in profiles},
    )


def _read_recipe(directory: Path) -> Context:
    files = read_tree(directory)
    if RECIPE not in files:
        raise FileNotFoundError(2, f"There is no {RECIPE}", str(directory / RECIPE))
    return files
