"""The pinned clients, each installed into a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path

from codebuddy_testing.node import ROOT, node_environment, npm_packages, python_packages

PINNED = ROOT / "tests/clients/packages"


def install(package: str) -> Path:
    """Install a folder of `PINNED` unless it is there, and return where it is.

    Its package.json is installed with npm, its requirements.txt into a virtual environment.
    """
    folder = PINNED / package
    if (folder / "package.json").exists():
        return npm_packages(folder)
    return python_packages(package, folder / "requirements.txt")


def node() -> Path:
    """Return the folder of the program ``node``, installed if need be."""
    return Path(node_environment()["PATH"].split(os.pathsep)[0])
